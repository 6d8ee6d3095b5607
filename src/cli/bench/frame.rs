//! Request frames written once, and answers read with as little work as possible.
//!
//! Layout of a frame: length (4 bytes, not counting itself), codec (1 byte) and header length (3 bytes), header, body.
//! Both header codecs are RocketMQ's: JSON (0) and binary (1). A server may answer in another codec than it was asked in.

use clap::ValueEnum;
use std::borrow::Cow;
use std::ops::Range;

/// Header codec of the requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Codec {
    /// RocketMQ's binary header
    Binary,
    /// RocketMQ's JSON header
    Json,
}

/// Opaques lie in `OPAQUE_FIRST..OPAQUE_FIRST + 2^30`: ten decimal digits each, so that JSON frames keep their length.
pub const OPAQUE_FIRST: u32 = 1_000_000_000;
/// Decimal digits of an opaque.
const OPAQUE_DIGITS: usize = 10;
/// Longest frame that RocketMQ's peers accept, its length field included.
pub const FRAME_LENGTH_MAX: usize = 16 * 1024 * 1024;
/// Version number that a Java client 5.5.0 sends.
const CLIENT_VERSION: u16 = 513;
/// Bytes before the header.
const PREFIX: usize = 8;

/// A request as it goes out, with the places that change from one to the next.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    pub bytes: Vec<u8>,
    /// Where the opaque is written.
    pub opaque_at: usize,
    /// Where the value of each field lies, in the order of the fields given.
    pub values_at: Vec<Range<usize>>,
    /// Where the body begins.
    pub body_at: usize,
}

impl Draft {
    /// Writes a request with the opaque [`OPAQUE_FIRST`].
    pub fn new(codec: Codec, code: u16, fields: &[(&str, &str)], body: &[u8]) -> Draft {
        let mut draft = Draft { bytes: vec![0; PREFIX], ..Draft::default() };
        let codec_id = match codec {
            Codec::Binary => {
                draft.binary_header(code, fields);
                1
            }
            Codec::Json => {
                draft.json_header(code, fields);
                0
            }
        };
        let header_length = draft.bytes.len() - PREFIX;
        draft.body_at = draft.bytes.len();
        draft.bytes.extend_from_slice(body);
        let length = (draft.bytes.len() - 4) as u32;
        draft.bytes[..4].copy_from_slice(&length.to_be_bytes());
        draft.bytes[4..8].copy_from_slice(&(codec_id << 24 | header_length as u32).to_be_bytes());
        write_opaque(codec, &mut draft.bytes, draft.opaque_at, OPAQUE_FIRST);
        draft
    }

    fn binary_header(&mut self, code: u16, fields: &[(&str, &str)]) {
        let out = &mut self.bytes;
        out.extend_from_slice(&code.to_be_bytes());
        out.push(0);
        out.extend_from_slice(&CLIENT_VERSION.to_be_bytes());
        self.opaque_at = out.len();
        // Opaque, flag and an empty remark.
        out.extend_from_slice(&[0; 12]);
        let map_at = out.len();
        out.extend_from_slice(&[0; 4]);
        for (name, value) in fields {
            out.extend_from_slice(&(name.len() as u16).to_be_bytes());
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(&(value.len() as u32).to_be_bytes());
            self.values_at.push(out.len()..out.len() + value.len());
            out.extend_from_slice(value.as_bytes());
        }
        let map_length = (out.len() - map_at - 4) as u32;
        out[map_at..map_at + 4].copy_from_slice(&map_length.to_be_bytes());
    }

    fn json_header(&mut self, code: u16, fields: &[(&str, &str)]) {
        let out = &mut self.bytes;
        out.extend_from_slice(format!("{{\"code\":{code},").as_bytes());
        if !fields.is_empty() {
            out.extend_from_slice(b"\"extFields\":{");
            for (position, (name, value)) in fields.iter().enumerate() {
                let comma = if position == 0 { "" } else { "," };
                out.extend_from_slice(format!("{comma}\"{name}\":").as_bytes());
                let quoted = serde_json::Value::from(*value).to_string();
                self.values_at.push(out.len() + 1..out.len() + quoted.len() - 1);
                out.extend_from_slice(quoted.as_bytes());
            }
            out.extend_from_slice(b"},");
        }
        out.extend_from_slice(b"\"flag\":0,\"language\":\"JAVA\",\"opaque\":");
        self.opaque_at = out.len();
        out.extend_from_slice(&[b'0'; OPAQUE_DIGITS]);
        out.extend_from_slice(b",\"serializeTypeCurrentRPC\":\"JSON\",\"version\":");
        out.extend_from_slice(format!("{CLIENT_VERSION}}}").as_bytes());
    }
}

/// Puts `opaque` at its place in a frame made by [`Draft::new`].
#[inline]
pub fn write_opaque(codec: Codec, frame: &mut [u8], at: usize, opaque: u32) {
    match codec {
        Codec::Binary => frame[at..at + 4].copy_from_slice(&opaque.to_be_bytes()),
        Codec::Json => write_digits(&mut frame[at..at + OPAQUE_DIGITS], u64::from(opaque)),
    }
}

/// Writes `value` in decimal, filling the whole of `place`, with zeros in front where it is shorter.
#[inline]
pub fn write_digits(place: &mut [u8], mut value: u64) {
    for digit in place.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

/// One frame that came in, cut but hardly looked at.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    pub code: i32,
    pub opaque: u32,
    /// False for a request that the server sends by itself.
    pub is_response: bool,
    pub body: &'a [u8],
    header: &'a [u8],
    is_json: bool,
}

/// Cuts frames out of a stream of bytes. It remembers where the last JSON header had its fields, since one server's
/// answers look alike.
#[derive(Debug, Default)]
pub struct Scanner {
    code: JsonField,
    opaque: JsonField,
    flag: JsonField,
}

/// A frame that breaks the layout; nothing after it can be understood.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    #[error("a frame of {0} bytes; at most {FRAME_LENGTH_MAX} are allowed")]
    Length(usize),
    #[error("an answer whose header cannot be read")]
    Header,
}

impl Scanner {
    /// The first frame of `bytes` and its length, or nothing when it has not wholly arrived.
    ///
    /// # Errors
    /// When the frame breaks the layout.
    #[inline]
    pub fn next<'a>(&mut self, bytes: &'a [u8]) -> Result<Option<(Answer<'a>, usize)>, FrameError> {
        let Some(length) = word(bytes, 0) else {
            return Ok(None);
        };
        let total = length as usize + 4;
        if !(PREFIX..=FRAME_LENGTH_MAX).contains(&total) {
            return Err(FrameError::Length(total));
        }
        let Some(frame) = bytes.get(..total) else {
            return Ok(None);
        };
        let mark = word(frame, 4).ok_or(FrameError::Header)?;
        let body_at = PREFIX + (mark & 0x00FF_FFFF) as usize;
        let header = frame.get(PREFIX..body_at).ok_or(FrameError::Header)?;
        let body = &frame[body_at..];
        let answer = match mark >> 24 {
            0 => self.json(header, body),
            1 => binary(header, body),
            _ => None,
        };
        Ok(Some((answer.ok_or(FrameError::Header)?, total)))
    }

    fn json<'a>(&mut self, header: &'a [u8], body: &'a [u8]) -> Option<Answer<'a>> {
        Some(Answer {
            code: self.code.read(header, b"\"code\":")? as i32,
            opaque: self.opaque.read(header, b"\"opaque\":")? as u32,
            is_response: self.flag.read(header, b"\"flag\":")? & 1 == 1,
            body,
            header,
            is_json: true,
        })
    }
}

#[inline]
fn binary<'a>(header: &'a [u8], body: &'a [u8]) -> Option<Answer<'a>> {
    let code = i16::from_be_bytes(header.get(..2)?.try_into().ok()?);
    Some(Answer {
        code: i32::from(code),
        opaque: word(header, 5)?,
        is_response: word(header, 9)? & 1 == 1,
        body,
        header,
        is_json: false,
    })
}

/// Big-endian word at `at`.
#[inline]
pub fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let field = bytes.get(at..at + 4)?;
    Some(u32::from_be_bytes(field.try_into().ok()?))
}

/// Where a field of a JSON header was last, counted from the header's start and from its end.
#[derive(Debug, Default)]
struct JsonField {
    from_start: usize,
    from_end: usize,
}

impl JsonField {
    /// Value of the first `name` that a whole number follows. A text value cannot hold `name` by itself: its quotes
    /// would be escaped.
    #[inline]
    fn read(&mut self, header: &[u8], name: &[u8]) -> Option<i64> {
        let guesses = [self.from_start, header.len().saturating_sub(self.from_end)];
        for at in guesses {
            if let Some(value) = number_after(header, at, name) {
                return Some(value);
            }
        }
        (0..header.len()).find_map(|at| {
            let value = number_after(header, at, name)?;
            self.from_start = at;
            self.from_end = header.len() - at;
            Some(value)
        })
    }
}

fn number_after(header: &[u8], at: usize, name: &[u8]) -> Option<i64> {
    let digits = header.get(at..)?.strip_prefix(name)?;
    let (sign, digits) = match digits.strip_prefix(b"-") {
        Some(rest) => (-1, rest),
        None => (1, digits),
    };
    let length = digits.iter().take_while(|digit| digit.is_ascii_digit()).count();
    if !(1..=18).contains(&length) {
        return None;
    }
    let value = digits[..length].iter().fold(0i64, |value, digit| value * 10 + i64::from(digit - b'0'));
    Some(sign * value)
}

impl Answer<'_> {
    /// The server's text; empty where there is none. Slow, for errors only.
    pub fn remark(&self) -> String {
        if self.is_json {
            let header: serde_json::Value = serde_json::from_slice(self.header).unwrap_or_default();
            return header["remark"].as_str().unwrap_or_default().to_owned();
        }
        let length = word(self.header, 13).unwrap_or(0) as usize;
        let text = self.header.get(17..17 + length).unwrap_or_default();
        String::from_utf8_lossy(text).into_owned()
    }

    /// Value of an ext field as a number. Slow with JSON headers.
    pub fn number(&self, name: &str) -> Option<u64> {
        self.text(name)?.parse().ok()
    }

    /// Value of an ext field. Slow with JSON headers.
    pub fn text(&self, name: &str) -> Option<Cow<'_, str>> {
        if self.is_json {
            let header: serde_json::Value = serde_json::from_slice(self.header).ok()?;
            let value = header.get("extFields")?.get(name)?;
            return Some(value.as_str().map_or_else(|| value.to_string(), str::to_owned).into());
        }
        let mut at = 21 + word(self.header, 13)? as usize;
        loop {
            let length = self.header.get(at..at + 2)?;
            let name_end = at + 2 + usize::from(u16::from_be_bytes(length.try_into().ok()?));
            let found = self.header.get(at + 2..name_end)?;
            let value_end = name_end + 4 + word(self.header, name_end)? as usize;
            let value = self.header.get(name_end + 4..value_end)?;
            if found == name.as_bytes() {
                return std::str::from_utf8(value).ok().map(Cow::Borrowed);
            }
            at = value_end;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json_answer(header: &str, body: &[u8]) -> Vec<u8> {
        let mut frame = ((4 + header.len() + body.len()) as u32).to_be_bytes().to_vec();
        frame.extend((header.len() as u32).to_be_bytes());
        frame.extend(header.as_bytes());
        frame.extend(body);
        frame
    }

    #[test]
    fn answers_of_both_codecs_are_read() {
        let fields = [("offset", "17"), ("queueId", "3")];
        let mut bytes = Draft::new(Codec::Binary, 19, &fields, b"body").bytes;
        bytes[20] = 1;
        let first = bytes.len();
        bytes.extend(json_answer(
            r#"{"code":2,"extFields":{"offset":"18"},"flag":1,"language":"JAVA","opaque":1000000007,"remark":"busy \"opaque\":5","version":513}"#,
            b"",
        ));
        let mut scanner = Scanner::default();
        let (answer, length) = scanner.next(&bytes).unwrap().unwrap();
        assert_eq!(length, first);
        assert_eq!((answer.code, answer.opaque, answer.body), (19, OPAQUE_FIRST, b"body".as_slice()));
        assert!(answer.is_response);
        assert_eq!((answer.number("offset"), answer.number("none")), (Some(17), None));
        let (answer, length) = scanner.next(&bytes[first..]).unwrap().unwrap();
        assert_eq!(first + length, bytes.len());
        assert_eq!((answer.code, answer.opaque), (2, 1_000_000_007));
        assert_eq!(answer.remark(), "busy \"opaque\":5");
        assert_eq!(answer.number("offset"), Some(18));
    }

    #[test]
    fn json_fields_may_move_from_answer_to_answer() {
        let mut scanner = Scanner::default();
        let headers = [
            r#"{"code":0,"flag":1,"opaque":1000000001}"#,
            r#"{"code":0,"extFields":{"code":"x","msgId":"0123456789"},"flag":1,"opaque":1000000001}"#,
            r#"{"opaque":1000000001,"flag":1,"remark":"code","code":0}"#,
            r#"{"flag":1,"language":"RUST","opaque":1000000001,"code":0,"version":513}"#,
        ];
        for header in headers.iter().chain(&headers) {
            let bytes = json_answer(header, b"");
            let (answer, _) = scanner.next(&bytes).unwrap().unwrap();
            assert_eq!((answer.code, answer.opaque, answer.is_response), (0, 1_000_000_001, true));
        }
    }

    #[test]
    fn a_frame_that_has_not_arrived_is_waited_for() {
        let bytes = Draft::new(Codec::Json, 0, &[], b"body").bytes;
        for end in 0..bytes.len() {
            assert!(Scanner::default().next(&bytes[..end]).unwrap().is_none());
        }
    }

    #[test]
    fn broken_frames_are_errors() {
        let mut scanner = Scanner::default();
        let mut next = |bytes: &[u8]| scanner.next(bytes).map(|_| ()).unwrap_err();
        assert_eq!(next(&[0xFF; 8]), FrameError::Length(0xFFFF_FFFF + 4));
        assert_eq!(next(&[0, 0, 0, 0, 0]), FrameError::Length(4));
        // A header longer than its frame, an unknown codec, a header without an opaque.
        assert_eq!(next(&[0, 0, 0, 4, 1, 0, 0, 9]), FrameError::Header);
        assert_eq!(next(&[0, 0, 0, 5, 7, 0, 0, 1, 0]), FrameError::Header);
        assert_eq!(next(&json_answer(r#"{"code":0,"flag":1}"#, b"")), FrameError::Header);
    }
}
