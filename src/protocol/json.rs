//! RocketMQ's JSON dialect: what its JSON library writes and what it lets pass when reading.
//!
//! Bodies and configuration files hold maps whose keys are integers (`{0:"a"}`) or whole objects
//! (`{{"queueId":0}:5}`), which no JSON library reads. [`Json`] can hold both; [`decode`] and [`encode`] go straight
//! between text and serde types:
//!
//! - a struct's fields are written in alphabetical order, `None` is left out;
//! - a map's key may be a string, an integer or a struct;
//! - reading passes over unknown fields and nulls, takes numbers in quotes, names in another case or with
//!   underscores, enum names in any case, and strings that hold the JSON of an object key.

mod de;
mod number;
mod read;
mod ser;
mod write;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use number::JavaDouble;
pub use write::Style;

/// Deepest nesting of arrays, objects and object keys.
pub const DEPTH_MAX: usize = 32;
/// Elements that a text may have however short it is.
const ELEMENTS_MIN: usize = 64;
/// Beyond those, one element for so many bytes; the tersest real bodies take four (`0:5,`).
const BYTES_PER_ELEMENT_MIN: usize = 4;

/// A value of the dialect. Members keep the order of the text.
#[derive(Debug, Clone, PartialEq)]
pub enum Json {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    String(String),
    Array(Vec<Json>),
    Object(Vec<(Key, Json)>),
}

/// What stands before a colon.
#[derive(Debug, Clone, PartialEq)]
pub enum Key {
    Name(String),
    Int(i64),
    /// Always a [`Json::Object`] when it was read.
    Object(Box<Json>),
}

/// How much a text may take. Depth is always bounded by [`DEPTH_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest text, in bytes.
    pub bytes_max: usize,
    /// Most values, object members and array entries alike.
    pub elements_max: usize,
}

impl Limits {
    /// For bodies: no frame is longer than 16 MiB.
    pub const BODY: Limits = Limits { bytes_max: 16 * 1024 * 1024, elements_max: 2_000_000 };
    /// For the broker's own files, which hold all topics, groups and offsets.
    pub const FILE: Limits = Limits { bytes_max: 256 * 1024 * 1024, elements_max: 32_000_000 };
}

/// Why a text is not the JSON that was wanted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    #[error("a text of {bytes} bytes, at most {max} are allowed")]
    TooLong { bytes: usize, max: usize },
    #[error("nested deeper than {DEPTH_MAX} levels at byte {at}")]
    TooDeep { at: usize },
    #[error("more than {max} elements at byte {at}")]
    TooManyElements { at: usize, max: usize },
    #[error("{wanted} wanted at byte {at}")]
    Syntax { at: usize, wanted: &'static str },
    /// The JSON is well formed but does not fit the type.
    #[error("{0}")]
    Shape(String),
}

impl Json {
    /// Reads a body.
    ///
    /// # Errors
    /// [`JsonError`] with the place of the first fault, or the limit of [`Limits::BODY`] that was passed.
    pub fn read(text: &[u8]) -> Result<Json, JsonError> {
        Json::read_within(text, Limits::BODY)
    }

    /// Reads a text within `limits`.
    ///
    /// # Errors
    /// [`JsonError`] with the place of the first fault, or the limit that was passed.
    pub fn read_within(text: &[u8], limits: Limits) -> Result<Json, JsonError> {
        read::read(text, limits)
    }

    /// The text of the value.
    #[must_use]
    pub fn to_text(&self, style: Style) -> String {
        let mut text = String::new();
        write::write(&mut text, self, style);
        text
    }

    /// The member of that name; of several, the last. `None` for what is no object.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<&Json> {
        let Json::Object(members) = self else {
            return None;
        };
        members.iter().rev().find(|(key, _)| matches!(key, Key::Name(text) if text == name)).map(|(_, value)| value)
    }
}

/// Reads a body into `T`.
///
/// # Errors
/// [`JsonError`] when the text is broken, passes [`Limits::BODY`] or does not fit `T`.
pub fn decode<T: DeserializeOwned>(text: &[u8]) -> Result<T, JsonError> {
    decode_within(text, Limits::BODY)
}

/// Reads a text within `limits` into `T`.
///
/// # Errors
/// [`JsonError`] when the text is broken, passes a limit or does not fit `T`.
pub fn decode_within<T: DeserializeOwned>(text: &[u8], limits: Limits) -> Result<T, JsonError> {
    from_json(Json::read_within(text, limits)?)
}

/// Makes a `T` of a value.
///
/// # Errors
/// [`JsonError::Shape`] when the value does not fit `T`.
pub fn from_json<T: DeserializeOwned>(value: Json) -> Result<T, JsonError> {
    T::deserialize(de::Tree(value))
}

/// The value of a `T`.
///
/// # Errors
/// [`JsonError::Shape`] when `T` has a map key that is neither text, integer nor struct: a programmer's error.
pub fn to_json<T: Serialize + ?Sized>(value: &T) -> Result<Json, JsonError> {
    value.serialize(ser::Build)
}

/// The text of a `T`.
///
/// # Errors
/// As [`to_json`].
pub fn encode<T: Serialize + ?Sized>(value: &T, style: Style) -> Result<Vec<u8>, JsonError> {
    Ok(to_json(value)?.to_text(style).into_bytes())
}

#[cfg(test)]
mod tests;
