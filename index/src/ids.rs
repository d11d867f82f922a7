//! Names of things: 16 lower-case base32 characters drawn from the injected randomness.

use std::fmt;

use crate::{IndexError, Random};

/// Characters of an id.
pub const ID_LENGTH: usize = 16;

const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

fn draw(random: &Random) -> String {
    let mut bytes = [0_u8; 10];
    random.fill(&mut bytes);
    let mut bits: u128 = 0;
    for byte in bytes {
        bits = (bits << 8) | u128::from(byte);
    }
    (0..ID_LENGTH).rev().map(|index| char::from(ALPHABET[((bits >> (index * 5)) & 31) as usize])).collect()
}

/// Whether `text` has the form of an id.
pub(crate) fn is_id(text: &str) -> bool {
    text.len() == ID_LENGTH && text.bytes().all(|byte| ALPHABET.contains(&byte))
}

macro_rules! id_type {
    ($(#[$doc:meta])* $name:ident, $noun:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(String);

        impl $name {
            /// A fresh id.
            #[must_use]
            pub fn new(random: &Random) -> Self {
                Self(draw(random))
            }

            /// Takes the text of an id; the error is the one for a thing that does not exist.
            pub fn parse(text: &str) -> Result<Self, IndexError> {
                if is_id(text) { Ok(Self(text.to_owned())) } else { Err(IndexError::NotFound { what: $noun }) }
            }

            /// The 16 characters.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }

            pub(crate) fn trusted(text: String) -> Self {
                Self(text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

id_type!(
    /// Names a document.
    DocumentId, "document"
);
id_type!(
    /// Names a collection.
    CollectionId, "collection"
);
id_type!(
    /// Names a user.
    UserId, "user"
);
id_type!(
    /// Names a job.
    JobId, "job"
);
id_type!(
    /// Names an API key (not the key itself).
    KeyId, "key"
);
