//! The body of a batch send: one entry a message.
//!
//! | size | field |
//! |---|---|
//! | 4 | size of the entry |
//! | 4 | magic, not used |
//! | 4 | CRC, not used |
//! | 4 | flag of the user |
//! | 4 + n | body |
//! | 2 + n | properties |
//!
//! Source: RocketMQ's `MessageDecoder.encodeMessage`.

/// Where the body of an entry begins.
const BODY_AT: usize = 20;
/// Bytes of an entry beside body and properties.
pub const ENTRY_BYTES: usize = BODY_AT + 2;

/// One message of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchEntry<'a> {
    pub flag: i32,
    pub body: &'a [u8],
    pub properties: &'a str,
}

impl BatchEntry<'_> {
    /// Bytes that it takes in a batch body.
    #[must_use]
    pub fn size(&self) -> usize {
        ENTRY_BYTES + self.body.len() + self.properties.len()
    }
}

/// Why a batch body cannot be taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the batch body is broken at byte {at}")]
pub struct BatchError {
    pub at: usize,
}

/// The entries of a batch body, in order. After an error there is nothing more.
#[derive(Debug, Clone)]
pub struct Entries<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// Reads a batch body entry by entry.
#[must_use]
pub fn entries(body: &[u8]) -> Entries<'_> {
    Entries { bytes: body, at: 0 }
}

impl<'a> Entries<'a> {
    fn entry(&mut self) -> Option<BatchEntry<'a>> {
        let rest = self.bytes.get(self.at..)?;
        let size = u32::from_be_bytes(*rest.first_chunk::<4>()?) as usize;
        let entry = rest.get(..size)?;
        let flag = i32::from_be_bytes(*entry.get(12..)?.first_chunk::<4>()?);
        let body_length = u32::from_be_bytes(*entry.get(16..)?.first_chunk::<4>()?) as usize;
        let (body, rest) = entry.get(BODY_AT..)?.split_at_checked(body_length)?;
        let (length, rest) = rest.split_first_chunk::<2>()?;
        let properties = rest.get(..usize::from(u16::from_be_bytes(*length)))?;
        if ENTRY_BYTES + body.len() + properties.len() != size {
            return None;
        }
        self.at += size;
        Some(BatchEntry { flag, body, properties: std::str::from_utf8(properties).ok()? })
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Result<BatchEntry<'a>, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.bytes.len() {
            return None;
        }
        let at = self.at;
        match self.entry() {
            Some(entry) => Some(Ok(entry)),
            None => {
                self.at = self.bytes.len();
                Some(Err(BatchError { at }))
            }
        }
    }
}

/// Appends one entry; the client's half of the batch.
pub fn push(out: &mut Vec<u8>, entry: &BatchEntry<'_>) {
    let mut head = [0; BODY_AT];
    head[0..4].copy_from_slice(&(entry.size() as u32).to_be_bytes());
    head[12..16].copy_from_slice(&entry.flag.to_be_bytes());
    head[16..20].copy_from_slice(&(entry.body.len() as u32).to_be_bytes());
    out.reserve(entry.size());
    out.extend_from_slice(&head);
    out.extend_from_slice(entry.body);
    out.extend_from_slice(&(entry.properties.len() as u16).to_be_bytes());
    out.extend_from_slice(entry.properties.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_come_back() {
        let list = [
            BatchEntry { flag: 1, body: b"one", properties: "a\u{1}b\u{2}" },
            BatchEntry { flag: -2, body: b"", properties: "" },
        ];
        let mut body = Vec::new();
        list.iter().for_each(|entry| push(&mut body, entry));
        assert_eq!(entries(&body).collect::<Result<Vec<_>, _>>().unwrap(), list);
        body.truncate(body.len() - 1);
        assert!(entries(&body).last().unwrap().is_err());
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_end(body: Vec<u8>) {
            proptest::prop_assert!(entries(&body).count() <= body.len() + 1);
        }
    }
}
