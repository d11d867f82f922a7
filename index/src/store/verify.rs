//! Do the three stores agree? For `doctor`.

use std::io::Read;

use sha2::{Digest, Sha256};

use super::{Store, remove::named};
use crate::{
    IndexError, StoreCheck,
    blobs::hex,
    catalogue,
    packing::{checksum, unpack_words},
};

/// Problems that one check names.
const NAMED_MAX: usize = 5;
const RESTORE: &str = "restore the data directory from a backup";
const REBUILD: &str = "stop the program, remove the directory named, start it again: it is rebuilt from the catalogue";
const REOPEN: &str = "start the program again: what lags is caught up when the store is opened";

/// What a check found: in order with a remark, or its problems.
type Outcome = Result<Result<String, Vec<String>>, IndexError>;

fn line(name: &'static str, mend: &'static str, outcome: Outcome) -> StoreCheck {
    match outcome {
        Ok(Ok(detail)) => StoreCheck { name, ok: true, detail, mend: "" },
        Ok(Err(problems)) => {
            let more = problems.len().saturating_sub(NAMED_MAX);
            let mut detail = problems[..problems.len() - more].join("; ");
            if more > 0 {
                detail = format!("{detail}; and {more} more");
            }
            StoreCheck { name, ok: false, detail, mend }
        }
        Err(error) => StoreCheck { name, ok: false, detail: error.to_string(), mend },
    }
}

fn none_or(problems: Vec<String>, detail: String) -> Result<String, Vec<String>> {
    if problems.is_empty() { Ok(detail) } else { Err(problems) }
}

impl Store {
    /// Checks each store and whether they agree. Reads everything, so that it takes as long as the disk needs.
    pub fn verify(&self) -> Vec<StoreCheck> {
        vec![
            line("catalogue", RESTORE, self.check_catalogue()),
            line("stored text", RESTORE, self.check_rows()),
            line("originals", RESTORE, self.check_originals()),
            line("leftovers", REOPEN, self.check_leftovers()),
            line("keyword index", REBUILD, self.check_keyword()),
            line("vectors", REBUILD, self.check_vectors()),
            line("editions", REOPEN, self.check_editions()),
        ]
    }

    fn check_catalogue(&self) -> Outcome {
        Ok(none_or(self.catalogue.integrity()?, "sound".to_owned()))
    }

    /// Every text, word list and vector against its checksum.
    fn check_rows(&self) -> Outcome {
        self.catalogue.read("read every text", |view| {
            let mut problems = Vec::new();
            let mut rows = 0_u64;
            for (noun, sql) in [
                ("page", "SELECT version, number, CAST(text AS BLOB), checksum FROM pages"),
                ("passage", "SELECT version, row, CAST(text AS BLOB), checksum FROM passages"),
                ("vector", "SELECT 0, passage, data, checksum FROM vectors"),
            ] {
                let mut statement = view.prepare_cached(sql)?;
                let mut found = statement.query([])?;
                while let Some(row) = found.next()? {
                    rows += 1;
                    if checksum(row.get_ref(2)?.as_blob().unwrap_or_default()) != row.get::<_, i64>(3)? {
                        let (version, number): (i64, i64) = (row.get(0)?, row.get(1)?);
                        problems.push(format!("{noun} {number} of version {version} is damaged"));
                    }
                }
            }
            let mut statement = view.prepare_cached("SELECT version, number, words FROM pages")?;
            let mut found = statement.query([])?;
            while let Some(row) = found.next()? {
                if unpack_words(row.get_ref(2)?.as_blob().unwrap_or_default()).is_err() {
                    let (version, number): (i64, i64) = (row.get(0)?, row.get(1)?);
                    problems.push(format!("the words of page {number} of version {version} are damaged"));
                }
            }
            Ok(none_or(problems, format!("{rows} rows")))
        })
    }

    /// Every original that the catalogue names, against its name.
    fn check_originals(&self) -> Outcome {
        let wanted: Vec<(String, i64)> = self.catalogue.read("list the originals", |view| {
            let mut statement = view.prepare_cached("SELECT DISTINCT sha256, bytes FROM versions ORDER BY sha256")?;
            let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?;
            Ok(rows)
        })?;
        let mut problems = Vec::new();
        for (sha256, bytes) in &wanted {
            match self.hash_of(sha256) {
                Ok((found, length)) if found == *sha256 && length == *bytes as u64 => {}
                Ok(_) => problems.push(format!("{sha256} is damaged")),
                Err(IndexError::NotFound { .. }) => problems.push(format!("{sha256} is missing")),
                Err(error) => problems.push(error.to_string()),
            }
        }
        Ok(none_or(problems, format!("{} originals", wanted.len())))
    }

    fn hash_of(&self, sha256: &str) -> Result<(String, u64), IndexError> {
        let mut file = self.blobs.open_file(sha256)?;
        let path = self.blobs.path(sha256)?;
        let (mut hash, mut length, mut buffer) = (Sha256::new(), 0_u64, vec![0_u8; 1 << 16]);
        loop {
            let count = file.read(&mut buffer).map_err(|e| IndexError::io("read", &path, e))?;
            if count == 0 {
                return Ok((hex(&hash.finalize()), length));
            }
            hash.update(&buffer[..count]);
            length += count as u64;
        }
    }

    fn check_leftovers(&self) -> Outcome {
        let mut problems = Vec::new();
        for sha256 in self.blobs.list()? {
            let is_named = self.catalogue.read("look an original up", |view| named(view, &sha256))?;
            if !is_named && !self.blobs.is_pinned(&sha256) {
                problems.push(format!("original {sha256} belongs to no document"));
            }
        }
        Ok(none_or(problems, "none".to_owned()))
    }

    /// Rows of the passages that should be found: all, or those with a vector of the present embedder.
    fn expected(&self, with_vector: bool) -> Result<(Vec<i64>, u64), IndexError> {
        let embedder = self.embedder()?;
        self.catalogue.read("list the passages", |view| {
            let (sha256, dimension) = embedder.map_or((String::new(), 0), |e| (e.sha256, e.dimension as i64));
            let mut statement = view.prepare_cached(
                "SELECT passages.row FROM passages JOIN versions ON versions.row = passages.version
                 JOIN documents ON documents.current = versions.row
                 LEFT JOIN vectors ON vectors.passage = passages.row
                 LEFT JOIN embedders ON embedders.row = vectors.embedder
                    AND embedders.sha256 = ?2 AND embedders.dimension = ?3
                 WHERE NOT ?1 OR embedders.row IS NOT NULL ORDER BY passages.row",
            )?;
            let rows =
                statement.query_map((with_vector, sha256, dimension), |row| row.get(0))?.collect::<Result<_, _>>()?;
            Ok((rows, catalogue::edition(view)?))
        })
    }

    fn check_keyword(&self) -> Outcome {
        let (expected, _) = self.expected(false)?;
        let mut problems = self.keyword.damaged_files()?;
        problems.extend(differences(&expected, &self.keyword.passages()?));
        Ok(none_or(problems, format!("{} passages", expected.len())))
    }

    fn check_vectors(&self) -> Outcome {
        let Some(vectors) = self.vectors() else { return Ok(Ok("no model was named yet".to_owned())) };
        let (expected, _) = self.expected(true)?;
        let mut problems = vectors.damaged_files()?;
        problems.extend(differences(&expected, &vectors.passages()));
        Ok(none_or(problems, format!("{} vectors", expected.len())))
    }

    fn check_editions(&self) -> Outcome {
        let edition = self.edition()?;
        let mut problems = Vec::new();
        let keyword = self.keyword.edition()?;
        if keyword != edition {
            problems.push(format!("the keyword index is at edition {keyword}, the catalogue at {edition}"));
        }
        if let Some(vectors) = self.vectors().filter(|vectors| vectors.edition() != edition) {
            problems.push(format!("the vectors are at edition {}, the catalogue at {edition}", vectors.edition()));
        }
        Ok(none_or(problems, format!("edition {edition}")))
    }
}

/// Passages that are missing from a store, or should not be in it. Both lists are in order.
fn differences(expected: &[i64], found: &[i64]) -> Vec<String> {
    let missing = expected.iter().filter(|row| found.binary_search(row).is_err()).count();
    let surplus = found.iter().filter(|row| expected.binary_search(row).is_err()).count();
    let mut problems = Vec::new();
    if missing > 0 {
        problems.push(format!("{missing} passages are missing"));
    }
    if surplus > 0 {
        problems.push(format!("{surplus} passages should not be there"));
    }
    if found.windows(2).any(|pair| pair[0] == pair[1]) {
        problems.push("a passage is there twice".to_owned());
    }
    problems
}
