//! The writer.

use std::fmt::Write;

use super::{JavaDouble, Json, Key};

/// How values are laid out as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// No blanks; integer and object keys stand as they are. The form of nearly all bodies.
    Compact,
    /// No blanks; integer keys in quotes, object keys as the text of their JSON in quotes, so that any JSON reader
    /// can read it.
    Standard,
    /// One member a line, indented by tabs, keys as in `Compact`. The form of the files under `config/`.
    Pretty,
}

pub(super) fn write(out: &mut String, value: &Json, style: Style) {
    Writer { out, style, depth: 0 }.value(value);
}

struct Writer<'a> {
    out: &'a mut String,
    style: Style,
    depth: usize,
}

impl Writer<'_> {
    fn value(&mut self, value: &Json) {
        match value {
            Json::Null => self.out.push_str("null"),
            Json::Bool(true) => self.out.push_str("true"),
            Json::Bool(false) => self.out.push_str("false"),
            Json::Int(number) => self.display(number),
            Json::Float(number) if number.is_finite() => self.display(JavaDouble(*number)),
            Json::Float(_) => self.out.push_str("null"),
            Json::String(text) => quoted(self.out, text),
            Json::Array(entries) => {
                self.list(['[', ']'], entries, |writer, entry| writer.value(entry));
            }
            Json::Object(members) => self.list(['{', '}'], members, |writer, (key, member)| {
                writer.key(key);
                writer.out.push(':');
                writer.value(member);
            }),
        }
    }

    fn display(&mut self, number: impl std::fmt::Display) {
        // Writing to a String cannot fail.
        let _ = write!(self.out, "{number}");
    }

    fn list<T>(&mut self, [open, close]: [char; 2], items: &[T], mut write_item: impl FnMut(&mut Self, &T)) {
        self.out.push(open);
        self.depth += 1;
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                self.out.push(',');
            }
            self.new_line();
            write_item(self, item);
        }
        self.depth -= 1;
        if !items.is_empty() {
            self.new_line();
        }
        self.out.push(close);
    }

    fn new_line(&mut self) {
        if self.style == Style::Pretty {
            self.out.push('\n');
            self.out.extend(std::iter::repeat_n('\t', self.depth));
        }
    }

    fn key(&mut self, key: &Key) {
        match (key, self.style) {
            (Key::Name(name), _) => quoted(self.out, name),
            (Key::Int(number), Style::Standard) => {
                self.out.push('"');
                self.display(number);
                self.out.push('"');
            }
            (Key::Int(number), _) => self.display(number),
            (Key::Object(object), Style::Standard) => quoted(self.out, &object.to_text(Style::Standard)),
            (Key::Object(object), _) => write(self.out, object, Style::Compact),
        }
    }
}

/// Appends a string in quotes; escapes only what JSON demands, as RocketMQ 5.5 does.
fn quoted(out: &mut String, text: &str) {
    out.push('"');
    let mut plain_from = 0;
    for (at, byte) in text.bytes().enumerate() {
        let escape = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0x08 => "\\b",
            0x0c => "\\f",
            0..0x20 => "",
            _ => continue,
        };
        out.push_str(text.get(plain_from..at).unwrap_or_default());
        plain_from = at + 1;
        if escape.is_empty() {
            let _ = write!(out, "\\u{byte:04x}");
        } else {
            out.push_str(escape);
        }
    }
    out.push_str(text.get(plain_from..).unwrap_or_default());
    out.push('"');
}
