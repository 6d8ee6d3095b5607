//! The JSON header codec. Real clients write it compact, with text values; that form is read without building a tree.
//! Everything else that RocketMQ's own reader lets pass goes through the tolerant reader.

use std::borrow::Cow;

use serde::Serialize;

use super::code::Language;
use super::fields::{self, FieldError, FieldSink};
use super::frame::{Ext, Head, NewHead};

/// Reads a JSON header.
///
/// # Errors
/// A reason when the header is no JSON object that RocketMQ would accept.
pub fn read(header: &[u8]) -> Result<Head<'_>, String> {
    let text = std::str::from_utf8(header).map_err(|_| "it is not UTF-8")?;
    match (Scan { text, at: 0 }).head() {
        Some(head) => Ok(head),
        None => super::frame_sloppy::read(text),
    }
}

/// Ordinal of a language by its name in any case, or by its number.
pub(super) fn language(name: &str) -> u8 {
    Language::from_name(name).unwrap_or(Language::Other).ordinal()
}

/// Reads the strict form; `None` sends the header to the tolerant reader.
struct Scan<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scan<'a> {
    fn head(mut self) -> Option<Head<'a>> {
        let mut head = Head { code: 0, language: 0, version: 0, opaque: 0, flag: 0, remark: None, ext: Ext::NONE };
        self.expect(b'{')?;
        loop {
            let name = self.string()?;
            self.expect(b':')?;
            match name.as_ref() {
                "code" => head.code = self.integer()?,
                "flag" => head.flag = self.integer()?,
                "opaque" => head.opaque = self.integer()?,
                "version" => head.version = self.integer()?,
                "language" => head.language = language(&self.string()?),
                "remark" => head.remark = Some(self.string()?),
                "serializeTypeCurrentRPC" => drop(self.string()?),
                "extFields" => head.ext = Ext::Pairs(self.pairs()?),
                _ => return None,
            }
            match self.next()? {
                b',' => {}
                b'}' => return (self.at == self.text.len()).then_some(head),
                _ => return None,
            }
        }
    }

    fn pairs(&mut self) -> Option<Vec<(Cow<'a, str>, Cow<'a, str>)>> {
        let mut pairs = Vec::with_capacity(16);
        self.expect(b'{')?;
        if self.text.as_bytes().get(self.at) == Some(&b'}') {
            self.at += 1;
            return Some(pairs);
        }
        loop {
            let name = self.string()?;
            self.expect(b':')?;
            let value = self.string()?;
            pairs.push((name, value));
            match self.next()? {
                b',' => {}
                b'}' => return Some(pairs),
                _ => return None,
            }
        }
    }

    fn next(&mut self) -> Option<u8> {
        let byte = *self.text.as_bytes().get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    fn expect(&mut self, wanted: u8) -> Option<()> {
        (self.next()? == wanted).then_some(())
    }

    fn integer(&mut self) -> Option<i32> {
        let rest = &self.text.as_bytes()[self.at..];
        let length = rest.iter().position(|b| !b.is_ascii_digit() && *b != b'-')?;
        let number = self.text[self.at..self.at + length].parse().ok()?;
        self.at += length;
        Some(number)
    }

    fn string(&mut self) -> Option<Cow<'a, str>> {
        self.expect(b'"')?;
        let start = self.at;
        let rest = &self.text.as_bytes()[start..];
        let stop = memchr::memchr2(b'"', b'\\', rest)?;
        if rest[stop] == b'"' {
            self.at = start + stop + 1;
            return Some(Cow::Borrowed(&self.text[start..start + stop]));
        }
        self.escaped(start, stop)
    }

    /// A string with escapes: its raw extent is found here, its text by the JSON library.
    fn escaped(&mut self, start: usize, first_escape: usize) -> Option<Cow<'a, str>> {
        let bytes = self.text.as_bytes();
        let mut at = start + first_escape;
        loop {
            match *bytes.get(at)? {
                b'"' => break,
                b'\\' => at += 2,
                _ => at += 1,
            }
        }
        let text = serde_json::from_str::<String>(self.text.get(start - 1..=at)?).ok()?;
        self.at = at + 1;
        Some(Cow::Owned(text))
    }
}

/// Appends a JSON header with its keys in alphabetical order, as RocketMQ's writer leaves them.
pub(super) fn write<T: Serialize + ?Sized>(
    out: &mut Vec<u8>,
    head: &NewHead<'_>,
    header: &T,
) -> Result<(), FieldError> {
    out.extend_from_slice(b"{\"code\":");
    number(out, head.code);
    let before = out.len();
    out.extend_from_slice(b",\"extFields\":{");
    let empty = out.len();
    fields::encode(header, &mut JsonSink { out, first: true, scratch: Vec::new() })?;
    if out.len() == empty {
        out.truncate(before);
    } else {
        out.push(b'}');
    }
    out.extend_from_slice(b",\"flag\":");
    number(out, head.flag);
    out.extend_from_slice(b",\"language\":\"");
    let language = Language::from_ordinal(head.language).unwrap_or(Language::Other);
    out.extend_from_slice(language.name().as_bytes());
    out.extend_from_slice(b"\",\"opaque\":");
    number(out, head.opaque);
    if let Some(remark) = head.remark {
        out.extend_from_slice(b",\"remark\":");
        string(out, remark.as_bytes());
    }
    out.extend_from_slice(b",\"serializeTypeCurrentRPC\":\"JSON\",\"version\":");
    number(out, head.version);
    out.push(b'}');
    Ok(())
}

fn number(out: &mut Vec<u8>, value: i32) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Appends a JSON string; only what JSON demands is escaped.
fn string(out: &mut Vec<u8>, text: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push(b'"');
    for &byte in text {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0..0x20 => {
                out.extend_from_slice(b"\\u00");
                out.push(HEX[usize::from(byte >> 4)]);
                out.push(HEX[usize::from(byte & 15)]);
            }
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}

struct JsonSink<'a> {
    out: &'a mut Vec<u8>,
    first: bool,
    scratch: Vec<u8>,
}

impl FieldSink for JsonSink<'_> {
    fn field(&mut self, name: &str, write: impl FnOnce(&mut Vec<u8>)) {
        if !std::mem::take(&mut self.first) {
            self.out.push(b',');
        }
        string(self.out, name.as_bytes());
        self.out.push(b':');
        self.scratch.clear();
        write(&mut self.scratch);
        string(self.out, &self.scratch);
    }
}
