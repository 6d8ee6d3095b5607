//! Frames: four bytes of length, one of codec and three of header length, the header, the body.
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 4 | length of all that follows: 4 + header + body |
//! | 4 | 1 | codec: 0 JSON, 1 binary, 2 MessagePack |
//! | 5 | 3 | header length |
//! | 8 | … | header, then body |
//!
//! Source: RocketMQ's `RemotingCommand` and `RocketMQSerializable`; codec 2 is our own: a MessagePack array of code,
//! language, version, opaque, flag and remark, then the typed header as a MessagePack map.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::fields::{self, FieldError, FieldSink};
use super::{frame_json, frame_packed};

/// Longest frame either side accepts, in bytes, its first four included.
pub const FRAME_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Bytes before the header.
pub const PREFIX_BYTES: usize = 8;
/// Bit of `flag` that marks an answer.
pub const FLAG_RESPONSE: i32 = 1;
/// Bit of `flag` that forbids an answer.
pub const FLAG_ONEWAY: i32 = 2;
/// Bytes of a binary header without remark and ext fields.
const BINARY_FIXED_BYTES: usize = 21;

/// How the header of a frame is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    Json,
    Binary,
    MessagePack,
}

impl Codec {
    fn number(self) -> u8 {
        match self {
            Codec::Json => 0,
            Codec::Binary => 1,
            Codec::MessagePack => 2,
        }
    }
}

/// Why bytes are not a frame. Any of these ends the connection: nothing after it can be trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    #[error("a frame of {bytes} bytes, at most {max} are allowed")]
    TooLong { bytes: u64, max: usize },
    #[error("a frame length of {0}, at least 4 is needed")]
    TooShort(u32),
    #[error("a header of {header} bytes in a frame of {frame}")]
    HeaderTooLong { header: usize, frame: usize },
    #[error("unknown header codec {0}; known are 0 (JSON), 1 (binary) and 2 (MessagePack)")]
    Codec(u8),
    #[error("broken {codec:?} header: {reason}")]
    Header { codec: Codec, reason: String },
}

/// Length of the frame at the front of `bytes`, its first four bytes included; `None` until four bytes are there.
///
/// # Errors
/// When the length is one that no frame may have, or above [`FRAME_BYTES_MAX`].
#[inline]
pub fn length(bytes: &[u8]) -> Result<Option<usize>, FrameError> {
    length_within(bytes, FRAME_BYTES_MAX)
}

/// The same with another limit.
///
/// # Errors
/// As those of [`length`].
#[inline]
pub fn length_within(bytes: &[u8], max: usize) -> Result<Option<usize>, FrameError> {
    let Some(first) = bytes.first_chunk::<4>() else {
        return Ok(None);
    };
    let rest = u32::from_be_bytes(*first);
    if rest < 4 {
        return Err(FrameError::TooShort(rest));
    }
    let bytes = u64::from(rest) + 4;
    if bytes > max as u64 {
        return Err(FrameError::TooLong { bytes, max });
    }
    Ok(Some(rest as usize + 4))
}

/// One whole frame, cut but not yet understood.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    pub codec: Codec,
    pub header: &'a [u8],
    pub body: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Cuts `bytes`, which is exactly as long as [`length`] said.
    ///
    /// # Errors
    /// When the codec is unknown or the header is longer than the frame.
    #[inline]
    pub fn cut(bytes: &'a [u8]) -> Result<Frame<'a>, FrameError> {
        let Some((prefix, rest)) = bytes.split_first_chunk::<PREFIX_BYTES>() else {
            return Err(FrameError::TooShort(bytes.len() as u32));
        };
        let codec = match prefix[4] {
            0 => Codec::Json,
            1 => Codec::Binary,
            2 => Codec::MessagePack,
            other => return Err(FrameError::Codec(other)),
        };
        let length = u32::from_be_bytes([0, prefix[5], prefix[6], prefix[7]]) as usize;
        if length > rest.len() {
            return Err(FrameError::HeaderTooLong { header: length, frame: bytes.len() });
        }
        let (header, body) = rest.split_at(length);
        Ok(Frame { codec, header, body })
    }

    /// Reads the header, but for its ext fields.
    ///
    /// # Errors
    /// When the header is not of its codec's form.
    pub fn head(&self) -> Result<Head<'a>, FrameError> {
        let head = match self.codec {
            Codec::Json => frame_json::read(self.header),
            Codec::Binary => read_binary(self.header),
            Codec::MessagePack => frame_packed::read(self.header),
        };
        head.map_err(|reason| FrameError::Header { codec: self.codec, reason })
    }
}

/// The part of a header that every request and answer has.
#[derive(Debug, Clone, PartialEq)]
pub struct Head<'a> {
    pub code: i32,
    /// Ordinal of the sender's language.
    pub language: u8,
    /// Ordinal of the sender's version.
    pub version: i32,
    /// Number of the request, repeated by its answer.
    pub opaque: i32,
    pub flag: i32,
    pub remark: Option<Cow<'a, str>>,
    pub ext: Ext<'a>,
}

impl Head<'_> {
    #[must_use]
    pub fn is_response(&self) -> bool {
        self.flag & FLAG_RESPONSE != 0
    }

    #[must_use]
    pub fn is_oneway(&self) -> bool {
        self.flag & FLAG_ONEWAY != 0
    }
}

/// The fields of a request's own header, still in the codec's form.
#[derive(Debug, Clone, PartialEq)]
pub enum Ext<'a> {
    Binary(BinaryFields<'a>),
    Pairs(Vec<(Cow<'a, str>, Cow<'a, str>)>),
    MessagePack(Cow<'a, [u8]>),
}

impl Ext<'_> {
    pub const NONE: Ext<'static> = Ext::Binary(BinaryFields(Cow::Borrowed(&[])));

    /// Reads the typed header `T`.
    ///
    /// # Errors
    /// [`FieldError`] names the field that is missing or wrong.
    pub fn decode<'b, T: Deserialize<'b>>(&'b self) -> Result<T, FieldError> {
        match self {
            Ext::Binary(fields) => fields::decode(fields.pairs()),
            Ext::Pairs(pairs) => fields::decode(pairs.iter().map(|(name, value)| (name.as_ref(), value.as_ref()))),
            Ext::MessagePack(bytes) if bytes.is_empty() => fields::decode(std::iter::empty()),
            Ext::MessagePack(bytes) => fields::decode_packed(bytes),
        }
    }

    /// The text of one field.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<Cow<'_, str>> {
        match self {
            Ext::Binary(fields) => fields.pairs().find(|(k, _)| *k == name).map(|(_, v)| Cow::Borrowed(v)),
            Ext::Pairs(pairs) => pairs.iter().find(|(k, _)| k == name).map(|(_, v)| Cow::Borrowed(v.as_ref())),
            Ext::MessagePack(_) => {
                let mut all = self.decode::<std::collections::HashMap<String, Scalar>>().ok()?;
                all.remove(name).map(|value| Cow::Owned(value.0))
            }
        }
    }

    /// The same fields, free of the bytes that they were read from.
    #[must_use]
    pub fn into_owned(self) -> Ext<'static> {
        match self {
            Ext::Binary(fields) => Ext::Binary(BinaryFields(Cow::Owned(fields.0.into_owned()))),
            Ext::MessagePack(bytes) => Ext::MessagePack(Cow::Owned(bytes.into_owned())),
            Ext::Pairs(pairs) => {
                let owned = |(name, value): (Cow<'_, str>, Cow<'_, str>)| -> (Cow<'static, str>, Cow<'static, str>) {
                    (Cow::Owned(name.into_owned()), Cow::Owned(value.into_owned()))
                };
                Ext::Pairs(pairs.into_iter().map(owned).collect())
            }
        }
    }
}

/// A field of a MessagePack header as text, whatever its type.
struct Scalar(String);

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        Ok(Scalar(match value {
            serde_json::Value::String(text) => text,
            other => other.to_string(),
        }))
    }
}

/// The ext fields of a binary header: int16 name length, name, int32 value length, value; repeated.
///
/// Invariant: whoever made it has checked every length, and that names and values are UTF-8.
#[derive(Debug, Clone, PartialEq)]
pub struct BinaryFields<'a>(Cow<'a, [u8]>);

impl<'a> BinaryFields<'a> {
    fn check(bytes: &'a [u8]) -> Option<Self> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let (name, value, after) = cut_pair(rest)?;
            if !(name.is_ascii() && value.is_ascii()) {
                std::str::from_utf8(name).ok()?;
                std::str::from_utf8(value).ok()?;
            }
            rest = after;
        }
        Some(Self(Cow::Borrowed(bytes)))
    }

    /// A value of no length is null to RocketMQ: the field is not there.
    #[inline]
    fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut rest = self.0.as_ref();
        std::iter::from_fn(move || {
            loop {
                let (name, value, after) = cut_pair(rest)?;
                rest = after;
                if !value.is_empty() {
                    // SAFETY: both were checked when `self` was made, and `self` cannot be changed.
                    return Some(unsafe {
                        (std::str::from_utf8_unchecked(name), std::str::from_utf8_unchecked(value))
                    });
                }
            }
        })
    }
}

/// Name, value and what follows them.
#[inline]
fn cut_pair(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (name_length, rest) = bytes.split_first_chunk::<2>()?;
    let (name, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*name_length)))?;
    let (value_length, rest) = rest.split_first_chunk::<4>()?;
    let (value, rest) = rest.split_at_checked(u32::from_be_bytes(*value_length) as usize)?;
    Some((name, value, rest))
}

fn read_binary(header: &[u8]) -> Result<Head<'_>, String> {
    let fixed = header.first_chunk::<17>().ok_or("it is shorter than its fixed part")?;
    let int = |at: usize| i32::from_be_bytes([fixed[at], fixed[at + 1], fixed[at + 2], fixed[at + 3]]);
    let remark_length = usize::try_from(int(13)).map_err(|_| "its remark has a negative length")?;
    let rest = header.get(17..).unwrap_or_default();
    let (remark, rest) = rest.split_at_checked(remark_length).ok_or("its remark is longer than the header")?;
    let (ext_length, rest) = rest.split_first_chunk::<4>().ok_or("its ext fields are missing")?;
    let ext_length = usize::try_from(i32::from_be_bytes(*ext_length)).map_err(|_| "negative length of ext fields")?;
    let ext = rest.get(..ext_length).ok_or("its ext fields are longer than the header")?;
    let ext = BinaryFields::check(ext).ok_or("an ext field is longer than its place or not UTF-8")?;
    let remark = std::str::from_utf8(remark).map_err(|_| "its remark is not UTF-8")?;
    Ok(Head {
        code: i32::from(i16::from_be_bytes([fixed[0], fixed[1]])),
        language: fixed[2],
        version: i32::from(i16::from_be_bytes([fixed[3], fixed[4]])),
        opaque: int(5),
        flag: int(9),
        remark: (!remark.is_empty()).then_some(Cow::Borrowed(remark)),
        ext: Ext::Binary(ext),
    })
}

/// What is written before the ext fields.
#[derive(Debug, Clone, Copy)]
pub struct NewHead<'a> {
    pub code: i32,
    pub language: u8,
    pub version: i32,
    pub opaque: i32,
    pub flag: i32,
    pub remark: Option<&'a str>,
}

/// Appends a frame up to its body: `head`, the typed `header`, and the pairs of `extra` as further ext fields. The
/// caller appends `body_length` bytes.
///
/// # Errors
/// [`FieldError`] when `header` is no flat struct: a programmer's error, never a peer's.
pub fn encode<T: Serialize + ?Sized>(
    out: &mut Vec<u8>,
    codec: Codec,
    head: &NewHead<'_>,
    header: &T,
    body_length: usize,
) -> Result<(), FieldError> {
    let start = out.len();
    out.extend_from_slice(&[0; PREFIX_BYTES]);
    match codec {
        Codec::Json => frame_json::write(out, head, header)?,
        Codec::Binary => write_binary(out, head, header)?,
        Codec::MessagePack => frame_packed::write(out, head, header)?,
    }
    let header_length = out.len() - start - PREFIX_BYTES;
    let length = (4 + header_length + body_length) as u32;
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
    let codec_and_length = (u32::from(codec.number()) << 24) | header_length as u32;
    out[start + 4..start + 8].copy_from_slice(&codec_and_length.to_be_bytes());
    Ok(())
}

struct BinarySink<'a>(&'a mut Vec<u8>);

impl FieldSink for BinarySink<'_> {
    #[inline]
    fn field(&mut self, name: &str, write: impl FnOnce(&mut Vec<u8>)) {
        self.0.extend_from_slice(&(name.len() as u16).to_be_bytes());
        self.0.extend_from_slice(name.as_bytes());
        let at = self.0.len();
        self.0.extend_from_slice(&[0; 4]);
        write(self.0);
        let length = (self.0.len() - at - 4) as u32;
        self.0[at..at + 4].copy_from_slice(&length.to_be_bytes());
    }
}

fn write_binary<T: Serialize + ?Sized>(out: &mut Vec<u8>, head: &NewHead<'_>, header: &T) -> Result<(), FieldError> {
    let remark = head.remark.unwrap_or_default();
    out.reserve(BINARY_FIXED_BYTES + remark.len());
    out.extend_from_slice(&(head.code as i16).to_be_bytes());
    out.push(head.language);
    out.extend_from_slice(&(head.version as i16).to_be_bytes());
    out.extend_from_slice(&head.opaque.to_be_bytes());
    out.extend_from_slice(&head.flag.to_be_bytes());
    out.extend_from_slice(&(remark.len() as u32).to_be_bytes());
    out.extend_from_slice(remark.as_bytes());
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    fields::encode(header, &mut BinarySink(out))?;
    let length = (out.len() - at - 4) as u32;
    out[at..at + 4].copy_from_slice(&length.to_be_bytes());
    Ok(())
}

#[cfg(test)]
mod tests;
