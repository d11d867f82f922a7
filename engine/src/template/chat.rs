//! Conversations to tokens, without trusting what was said.
//!
//! The template is rendered with a placeholder for each message's content. What lies between the placeholders was
//! written by the template and may name control tokens; the contents are put back as plain text. The placeholders tell
//! what the template does to contents: white space around them shows whether it trims, and a template that alters the
//! inside (escapes it, changes its case, cuts it) breaks them and is refused.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::{ChatMessage, ChatTemplate, check};
use crate::tokenizer::{Special, Tokenizer};
use crate::{EngineError, TokenId};

/// White space to put around placeholders; the first kind that the template does not write itself is taken.
const EDGES: [char; 6] = ['\u{2003}', '\u{2002}', '\u{2004}', '\u{2005}', '\u{2006}', '\u{2008}'];

/// The tokens of a conversation; message contents never yield control tokens.
///
/// The opening token is added when the model's file asks for one and the template did not write it. An empty content is
/// given to the template as it is. What a template does depending on the words of a content (for example cutting away
/// earlier reasoning) it cannot do here, as it does not see them.
///
/// # Errors
/// [`EngineError::Template`] when the template fails, or alters contents beyond trimming them.
/// [`EngineError::InvalidInput`] for no messages or a role that is no word.
pub fn encode_chat(
    template: &ChatTemplate,
    tokenizer: &Tokenizer,
    messages: &[ChatMessage],
    add_generation_prompt: bool,
) -> Result<Vec<TokenId>, EngineError> {
    check(messages)?;
    let marks = Marks::new(template.source());
    let placeholders: Vec<String> = messages
        .iter()
        .enumerate()
        .map(|(at, message)| if message.content.is_empty() { String::new() } else { marks.placeholder(at) })
        .collect();
    let contents: Vec<&str> = placeholders.iter().map(String::as_str).collect();
    let rendered = template.render_contents(messages, &contents, add_generation_prompt)?;
    let segments = marks.segments(&rendered, messages)?;
    let mut ids = tokenizer.encode_segments(&segments);
    if let Some(bos) = tokenizer.bos().filter(|_| tokenizer.adds_bos())
        && ids.first() != Some(&bos)
    {
        ids.insert(0, bos);
    }
    Ok(ids)
}

/// The placeholders of one rendering. The contents are not part of what is rendered, so a placeholder can be met only
/// where the template put it; the number keeps it apart from the template's own text.
struct Marks {
    number: u64,
    edge: char,
}

impl Marks {
    fn new(source: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        source.hash(&mut hasher);
        let mut number = hasher.finish();
        while source.contains(&format!("{number:016x}")) {
            number = number.wrapping_add(1);
        }
        let edge = EDGES.into_iter().find(|&edge| !source.contains(edge)).unwrap_or(EDGES[0]);
        Self { number, edge }
    }

    /// The inside of a placeholder: characters that escaping and changes of case would alter.
    fn inside(&self, at: usize) -> String {
        format!("Mq\"<{:016x}.{at}>", self.number)
    }

    fn placeholder(&self, at: usize) -> String {
        format!("{edge}{}{edge}", self.inside(at), edge = self.edge)
    }

    /// What the template wrote and the contents that it placed, in order.
    fn segments<'a>(
        &self,
        rendered: &'a str,
        messages: &'a [ChatMessage],
    ) -> Result<Vec<(&'a str, Special)>, EngineError> {
        let insides: BTreeMap<String, usize> = (0..messages.len()).map(|at| (self.inside(at), at)).collect();
        let start_text = format!("Mq\"<{:016x}.", self.number);
        let mut segments = Vec::new();
        let mut rest = rendered;
        while let Some(found) = rest.find(&start_text) {
            let end = rest[found..].find('>').map_or(rest.len(), |length| found + length + 1);
            let at = *insides.get(&rest[found..end]).ok_or_else(altered)?;
            let (before, after) = (&rest[..found], &rest[end..]);
            let (own, left_kept) = before.strip_suffix(self.edge).map_or((before, false), |own| (own, true));
            let (next, right_kept) = after.strip_prefix(self.edge).map_or((after, false), |next| (next, true));
            segments.push((own, Special::Parse));
            segments.push((trimmed(&messages[at].content, left_kept, right_kept), Special::AsText));
            rest = next;
        }
        segments.push((rest, Special::Parse));
        let number = format!("{:016x}", self.number);
        let broken = |text: &str| text.contains(self.edge) || text.to_ascii_lowercase().contains(&number);
        if segments.iter().any(|(text, special)| *special == Special::Parse && broken(text)) {
            return Err(altered());
        }
        Ok(segments)
    }
}

fn altered() -> EngineError {
    EngineError::Template("it alters the text of messages, which cannot be done safely".to_owned())
}

/// A content with white space taken off where the template took it off the placeholder.
fn trimmed(content: &str, left_kept: bool, right_kept: bool) -> &str {
    let content = if left_kept { content } else { content.trim_start() };
    if right_kept { content } else { content.trim_end() }
}
