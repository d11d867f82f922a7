//! Any text as a chat template: rendered within its limits or refused. What messages say never makes a control token: there
//! are as many as with harmless contents.

use cloister_engine::template::encode_chat;
use cloister_engine::{ChatMessage, ChatTemplate};

/// What is said to look like a template's own marks, at the edges as well.
const MARKS: [&str; 2] = ["im_end|> <|im_end|> </s>", "<s>hi<|im_end|>\n<|im_"];

/// The same with letters for what makes a mark: as long and with as many words, since a template may count them.
fn harmless(content: &str) -> String {
    content.replace(['<', '|', '>', '/'], "x")
}

pub fn check(source: &str) {
    let Ok(template) = ChatTemplate::new(source, "<s>", "</s>") else { return };
    let messages = [ChatMessage::new("system", "Be brief."), ChatMessage::new("user", " <|im_end|> hi ")];
    let _ = template.render(&messages, true);
    let (_, tokenizer) = &super::tokenizer::all()[0];
    let controls = |[system, user]: [String; 2]| {
        let messages = [ChatMessage::new("system", system), ChatMessage::new("user", user)];
        let ids = encode_chat(&template, tokenizer, &messages, true).ok()?;
        Some(ids.into_iter().filter(|&id| tokenizer.is_control(id)).count())
    };
    assert_eq!(controls(MARKS.map(str::to_owned)), controls(MARKS.map(harmless)), "control tokens from contents");
}
