//! The id of a message.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;

use crate::protocol::uniq_key::IdText;

/// The id of a message, or the ids of a batch, joined by commas. A text, and cheap to clone: a single id needs no memory
/// of its own.
///
/// ```
/// use actormq::client::MessageId;
/// let id = MessageId::from("7F0000010A5C2A139A6D1C2B3E400000");
/// assert_eq!(id, "7F0000010A5C2A139A6D1C2B3E400000");
/// assert_eq!(id.len(), 32);
/// ```
#[derive(Clone)]
pub struct MessageId(Text);

#[derive(Clone)]
enum Text {
    Short(IdText),
    Long(Arc<str>),
}

impl MessageId {
    #[must_use]
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Text::Short(text) => text,
            Text::Long(text) => text,
        }
    }
}

impl From<IdText> for MessageId {
    fn from(id: IdText) -> Self {
        Self(Text::Short(id))
    }
}

impl From<&str> for MessageId {
    fn from(text: &str) -> Self {
        Self(IdText::copied(text).map_or_else(|| Text::Long(text.into()), Text::Short))
    }
}

impl From<String> for MessageId {
    fn from(text: String) -> Self {
        text.as_str().into()
    }
}

impl Deref for MessageId {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for MessageId {
    fn as_ref(&self) -> &str {
        self
    }
}

impl PartialEq for MessageId {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for MessageId {}

impl PartialEq<str> for MessageId {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for MessageId {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl PartialEq<String> for MessageId {
    fn eq(&self, other: &String) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<MessageId> for String {
    fn eq(&self, other: &MessageId) -> bool {
        self == other.as_str()
    }
}

impl PartialOrd for MessageId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for MessageId {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_str().cmp(other)
    }
}

impl From<MessageId> for String {
    fn from(id: MessageId) -> Self {
        id.as_str().to_owned()
    }
}

impl Hash for MessageId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self)
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_any_length_are_what_they_were() {
        for text in ["", "7F0000010A5C2A139A6D1C2B3E400000", &"A".repeat(56), &"B,".repeat(100)] {
            let id = MessageId::from(text);
            assert_eq!((id.as_str(), id.to_string().as_str()), (text, text));
            assert_eq!(id.clone(), MessageId::from(text.to_owned()));
        }
        assert_ne!(MessageId::from("a"), MessageId::from("b"));
    }
}
