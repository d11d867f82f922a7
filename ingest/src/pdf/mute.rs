//! Composite fonts that do not say which characters their codes mean, but whose character collection is known.
//!
//! A font of one of Adobe's collections (Japan1, GB1, CNS1, Korea1) numbers its glyphs by that collection; a published table
//! gives the characters. The interpreter uses it for fonts that are not embedded; this module does so for those that are.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use hayro_interpret::hayro_cmap::{BfString, CMap, CMapName, CidFamily, load_embedded};
use hayro_syntax::object::{Array, Dict, Name, Stream, String as PdfString};
use hayro_syntax::page::{Page, Resources};

/// Deepest nesting of forms whose fonts are looked at.
const DEPTH_MAX: u32 = 4;
/// Most fonts and forms looked at on a page.
const LOOKS_MAX: u32 = 2_000;

/// A composite font without a table of characters.
pub(super) struct MuteFont {
    encoding: CMap,
    characters: Option<Rc<CMap>>,
}

impl MuteFont {
    /// The characters of a code.
    pub(super) fn lookup(&self, code: u32) -> Option<BfString> {
        let characters = self.characters.as_ref()?;
        let number = (1..=4).find_map(|length| self.encoding.lookup_cid_code(code, length))?;
        characters.lookup_bf_string(number)
    }
}

/// The fonts of a document that are mute, by name; filled page by page.
#[derive(Default)]
pub(super) struct MuteFonts {
    /// Composite fonts by name; those that are not mute without a table.
    fonts: HashMap<String, Option<MuteFont>>,
    simple: HashSet<String>,
    tables: HashMap<Vec<u8>, Option<Rc<CMap>>>,
    looks: u32,
}

impl MuteFonts {
    /// Notes the mute fonts of a page and of the forms that it draws.
    pub(super) fn note(&mut self, page: &Page<'_>) {
        self.looks = 0;
        self.look(page.resources(), 0);
    }

    /// The font of this name, if it is mute.
    pub(super) fn get(&self, name: &str) -> Option<&MuteFont> {
        self.fonts.get(name).and_then(Option::as_ref)
    }

    /// Whether a font of this name has codes of one byte.
    pub(super) fn is_simple(&self, name: &str) -> bool {
        self.simple.contains(name) && !self.fonts.contains_key(name)
    }

    fn look(&mut self, resources: &Resources<'_>, depth: u32) {
        for key in resources.fonts.keys() {
            self.looks += 1;
            if self.looks > LOOKS_MAX {
                return;
            }
            if let Some(font) = resources.fonts.get::<Dict<'_>>(key.as_ref()) {
                self.font(&font);
            }
        }
        if depth >= DEPTH_MAX {
            return;
        }
        for key in resources.x_objects.keys() {
            self.looks += 1;
            if self.looks > LOOKS_MAX {
                return;
            }
            let form = resources.x_objects.get::<Stream<'_>>(key.as_ref());
            let inner = form.and_then(|form| form.dict().get::<Dict<'_>>(b"Resources".as_ref()));
            if let Some(inner) = inner {
                self.look(&Resources::new(inner), depth + 1);
            }
        }
    }

    fn font(&mut self, font: &Dict<'_>) {
        let base = font.get::<Name<'_>>(b"BaseFont".as_ref());
        let Some(name) = base.map(|name| without_prefix(name.as_str()).to_owned()) else { return };
        if self.fonts.contains_key(&name) || self.simple.contains(&name) {
            return;
        }
        let composite = font.get::<Name<'_>>(b"Subtype".as_ref()).is_some_and(|kind| kind.as_ref() == b"Type0");
        let mute = composite && !font.contains_key(b"ToUnicode".as_ref());
        if !composite {
            self.simple.insert(name);
            return;
        }
        let known = mute.then(|| self.mute(font)).flatten();
        self.fonts.insert(name, known);
    }

    fn mute(&mut self, font: &Dict<'_>) -> Option<MuteFont> {
        let encoding = if let Some(name) = font.get::<Name<'_>>(b"Encoding".as_ref()) {
            match name.as_ref() {
                b"Identity-H" => CMap::identity_h(),
                b"Identity-V" => CMap::identity_v(),
                other => CMap::parse(load_embedded(CMapName::from_bytes(other))?, load_embedded)?,
            }
        } else {
            let stream = font.get::<Stream<'_>>(b"Encoding".as_ref())?;
            CMap::parse(&stream.decoded_data().ok()?, load_embedded)?
        };
        let inner = font.get::<Array<'_>>(b"DescendantFonts".as_ref())?.iter::<Dict<'_>>().next()?;
        let system = inner.get::<Dict<'_>>(b"CIDSystemInfo".as_ref());
        let text = |dict: &Dict<'_>, key: &[u8]| dict.get::<PdfString<'_>>(key).map(|s| s.as_bytes().to_vec());
        let family = system
            .and_then(|s| Some(CidFamily::from_registry_ordering(&text(&s, b"Registry")?, &text(&s, b"Ordering")?)));
        let named = encoding.metadata().character_collection.as_ref().map(|c| c.family.clone());
        let characters = [family, named].into_iter().flatten().find_map(|family| self.table(&family));
        Some(MuteFont { encoding, characters })
    }

    /// The table of characters of a collection, read once.
    fn table(&mut self, family: &CidFamily) -> Option<Rc<CMap>> {
        let name = family.ucs2_cmap()?;
        let read = || load_embedded(name).and_then(|data| CMap::parse(data, load_embedded)).map(Rc::new);
        self.tables.entry(name.to_bytes().to_vec()).or_insert_with(read).clone()
    }
}

/// A font's name without the six letters that mark a subset.
fn without_prefix(name: &str) -> &str {
    match name.split_once('+') {
        Some((prefix, rest)) if prefix.len() == 6 => rest,
        _ => name,
    }
}
