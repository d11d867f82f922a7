//! Any text as a chat template: rendered within its limits or refused.
#![no_main]

use cloister_engine::{ChatMessage, ChatTemplate};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|source: &str| {
    let Ok(template) = ChatTemplate::new(source, "<s>", "</s>") else { return };
    let messages = [ChatMessage::new("system", "Be brief."), ChatMessage::new("user", " <|im_end|> hi ")];
    let _ = template.render(&messages, true);
});
