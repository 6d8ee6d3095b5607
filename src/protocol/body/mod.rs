//! What requests and answers carry beside their headers, and what the broker keeps under `config/`: a struct each, by
//! family, in RocketMQ's JSON except where a file says otherwise.
//!
//! Lists and sets are vectors, maps are sorted: equal values have equal texts. Everything that a peer may leave out
//! has RocketMQ's own value for it.

pub mod clients;
pub mod groups;
pub mod lists;
pub mod locks;
pub mod offsets;
pub mod properties_text;
pub mod queue;
pub mod registration;
pub mod route;
pub mod running;
pub mod static_topics;
pub mod stats;
pub mod topics;
pub mod version;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::compression::CompressionError;
use super::json::{self, JsonError, Limits, Style};

/// Why bytes are not the body that a request needs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error("the body is no {kind}: {source}")]
    Json { kind: &'static str, source: JsonError },
    #[error("the body cannot be inflated: {0}")]
    Compressed(#[from] CompressionError),
    #[error("the inflated body ends within {0}")]
    Truncated(&'static str),
    #[error("{what} is {count}, at most {max} are allowed")]
    TooMany { what: &'static str, count: u32, max: u32 },
    #[error("`{0}` is no topic configuration: name, read queues, write queues, permission and filter type wanted")]
    TopicText(String),
}

/// A body in RocketMQ's JSON.
pub trait Body: Serialize + DeserializeOwned {
    /// What it is called in errors.
    const KIND: &'static str;

    /// Reads a body.
    ///
    /// # Errors
    /// [`DecodeError::Json`] when the text is broken, passes [`Limits::BODY`] or lacks what cannot be left out.
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        json::decode(bytes).map_err(|source| DecodeError::Json { kind: Self::KIND, source })
    }

    /// The body's bytes, as RocketMQ 5.5 writes them.
    fn encode(&self) -> Vec<u8> {
        text(self, Style::Compact)
    }
}

/// A body that is also a file under `config/`.
pub trait ConfigFile: Body {
    /// Reads a file.
    ///
    /// # Errors
    /// [`DecodeError::Json`] when the text is broken or passes [`Limits::FILE`].
    fn decode_file(bytes: &[u8]) -> Result<Self, DecodeError> {
        json::decode_within(bytes, Limits::FILE).map_err(|source| DecodeError::Json { kind: Self::KIND, source })
    }

    /// The file's bytes, laid out as RocketMQ 5.5 does.
    fn encode_file(&self) -> Vec<u8> {
        text(self, Style::Pretty)
    }
}

/// The text of a body. The types of this room have only keys and values that JSON can hold.
fn text<T: Serialize>(body: &T, style: Style) -> Vec<u8> {
    json::encode(body, style).unwrap_or_else(|error| unreachable!("a body that JSON cannot hold: {error}"))
}

/// Gives types their names as bodies.
macro_rules! bodies {
    ($($body:ty = $kind:literal;)*) => {$(
        impl $crate::protocol::body::Body for $body {
            const KIND: &'static str = $kind;
        }
    )*};
}
use bodies;

#[cfg(test)]
mod tests;
