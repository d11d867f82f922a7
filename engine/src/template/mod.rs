//! Chat templates: the Jinja programs that models carry, run without access to anything, within limits.
//!
//! A template comes from a model file and the messages from people and documents. The template decides about control
//! tokens; messages never do: [`encode_chat`] renders placeholders in their place and reads control tokens only in what
//! the template itself wrote.

mod chat;
mod environment;
mod json;
mod strftime;

use minijinja::Environment;
use minijinja::value::Value;

use crate::EngineError;
use crate::gguf::GgufFile;

pub use chat::encode_chat;
pub use strftime::Moment;

/// Longest template, in bytes.
pub const TEMPLATE_BYTES_MAX: usize = 1 << 20;
/// Longest text that a template may produce, in bytes.
pub const OUTPUT_BYTES_MAX: usize = 16 << 20;
/// Most instructions that one rendering may take.
pub const FUEL: u64 = 5_000_000;
/// Deepest nesting of blocks, loops and macros.
pub const RECURSION_MAX: usize = 100;
/// Most messages of a conversation.
pub const MESSAGES_MAX: usize = 4096;
/// Longest role name, in bytes.
pub const ROLE_BYTES_MAX: usize = 32;

const NAME: &str = "chat";

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChatMessage {
    /// "system", "user" or "assistant": lower-case letters, digits, `_` and `-`.
    pub role: String,
    /// What was said.
    pub content: String,
}

impl ChatMessage {
    /// A message.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        Self { role: role.into(), content: content.into() }
    }
}

/// A model's chat template, read and checked for syntax.
#[derive(Debug)]
pub struct ChatTemplate {
    source: String,
    bos: String,
    eos: String,
    environment: Environment<'static>,
}

impl ChatTemplate {
    /// The template of a GGUF file, when it carries one.
    ///
    /// # Errors
    /// [`EngineError::Template`] when it is no template.
    pub fn from_gguf(file: &GgufFile) -> Result<Option<Self>, EngineError> {
        let Some(source) = file.text("tokenizer.chat_template")? else { return Ok(None) };
        let tokens = file.strings("tokenizer.ggml.tokens")?;
        let name = |key: &str| -> Result<String, EngineError> {
            let id = file.u32(&format!("tokenizer.ggml.{key}"))?;
            let text = id.and_then(|id| tokens?.get(id as usize));
            Ok(text.map_or_else(String::new, |text| String::from_utf8_lossy(text).into_owned()))
        };
        Self::new(source, &name("bos_token_id")?, &name("eos_token_id")?).map(Some)
    }

    /// A template from its text, with the texts of the tokens that open and close a prompt.
    pub fn new(source: &str, bos: &str, eos: &str) -> Result<Self, EngineError> {
        if source.len() > TEMPLATE_BYTES_MAX {
            return Err(EngineError::Template(format!(
                "{} bytes long; {TEMPLATE_BYTES_MAX} are allowed",
                source.len()
            )));
        }
        let mut environment = environment::new(&Moment::default());
        environment
            .add_template_owned(NAME, environment::without_generation_blocks(source))
            .map_err(|error| EngineError::Template(error.to_string()))?;
        Ok(Self { source: source.to_owned(), bos: bos.to_owned(), eos: eos.to_owned(), environment })
    }

    /// Sets the moment that `strftime_now` reports. Without it a fixed day is reported, so that prompts do not change
    /// from day to day.
    pub fn set_moment(&mut self, moment: &Moment) {
        environment::set_moment(&mut self.environment, moment);
    }

    /// The template's own text.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The text of a conversation. Where tokens are wanted use [`encode_chat`]: in this text nobody can tell any more
    /// which control tokens the template wrote and which a message spelt.
    pub fn render(&self, messages: &[ChatMessage], add_generation_prompt: bool) -> Result<String, EngineError> {
        check(messages)?;
        let contents: Vec<&str> = messages.iter().map(|message| message.content.as_str()).collect();
        self.render_contents(messages, &contents, add_generation_prompt)
    }

    /// Renders the roles of `messages` with other contents.
    fn render_contents(
        &self,
        messages: &[ChatMessage],
        contents: &[&str],
        add_generation_prompt: bool,
    ) -> Result<String, EngineError> {
        let rows: Vec<Value> = messages
            .iter()
            .zip(contents)
            .map(|(message, content)| minijinja::context! { role => message.role.as_str(), content => *content })
            .collect();
        let context = minijinja::context! {
            messages => rows,
            add_generation_prompt => add_generation_prompt,
            bos_token => self.bos.as_str(),
            eos_token => self.eos.as_str(),
            tools => Value::UNDEFINED,
        };
        let template = self.environment.get_template(NAME).expect("added when this value was made");
        let mut output = environment::Bounded::new(OUTPUT_BYTES_MAX);
        template
            .render_captured_to(context, &mut output)
            .map_err(|error| EngineError::Template(environment::message(&error)))?;
        output.into_text().map_err(EngineError::Template)
    }
}

/// Refuses conversations that are no conversations.
fn check(messages: &[ChatMessage]) -> Result<(), EngineError> {
    if messages.is_empty() || messages.len() > MESSAGES_MAX {
        return Err(EngineError::InvalidInput(format!("{} messages; 1 to {MESSAGES_MAX} are allowed", messages.len())));
    }
    let sound = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_' || byte == b'-';
    for message in messages {
        if message.role.is_empty() || message.role.len() > ROLE_BYTES_MAX || !message.role.bytes().all(sound) {
            return Err(EngineError::InvalidInput(format!("{:?} is no role", message.role)));
        }
    }
    Ok(())
}
