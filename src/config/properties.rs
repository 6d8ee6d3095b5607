//! Java's properties format, as `broker.conf`, `namesrv.conf` and the bodies of requests 25 and 318 have it: comments with
//! `#` or `!`, keys and values separated by `=`, `:` or blanks, backslash escapes, lines continued by a final backslash.

use std::ops::Range;

/// One key with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Property {
    pub key: String,
    pub value: String,
    /// Number of its first line, from 1.
    pub line: usize,
    /// Where it stands in the text, continued lines and the last line's end included.
    pub(super) span: Range<usize>,
}

/// A `\u` escape without four hexadecimal digits, the only thing that the format forbids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\\u must be followed by four hexadecimal digits")]
pub struct BadEscape {
    /// Number of the first line of the property that holds it, from 1.
    pub line: usize,
}

/// The text of a properties file: UTF-8, or Latin-1 (Java's own reading) where it is not UTF-8.
#[must_use]
pub fn decode(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.trim_start_matches('\u{feff}').to_string(),
        Err(_) => bytes.iter().map(|byte| char::from(*byte)).collect(),
    }
}

/// All properties in the order of the text; a key that stands twice is there twice, and in Java the last one counts.
///
/// # Errors
/// [`BadEscape`], with its line.
pub fn parse(text: &str) -> Result<Vec<Property>, BadEscape> {
    let mut properties = Vec::new();
    let mut lines = Lines { text, at: 0, number: 0 };
    while let Some(first) = lines.next() {
        let content = first.content.trim_start_matches(is_blank);
        if content.is_empty() || content.starts_with(['#', '!']) {
            continue;
        }
        let mut logical = content.to_string();
        let mut end = first.end;
        while is_continued(&logical) {
            logical.pop();
            let Some(next) = lines.next() else { break };
            logical.push_str(next.content.trim_start_matches(is_blank));
            end = next.end;
        }
        let (key, value) = split(&logical);
        let unescaped = |text: &str| unescape(text).ok_or(BadEscape { line: first.number });
        properties.push(Property {
            key: unescaped(key)?,
            value: unescaped(value)?,
            line: first.number,
            span: first.start..end,
        });
    }
    Ok(properties)
}

/// The keys and values of an update's body (requests 25 and 318).
///
/// # Errors
/// [`BadEscape`], with its line.
pub fn pairs(body: &[u8]) -> Result<Vec<(String, String)>, BadEscape> {
    let found = parse(&decode(body))?.into_iter();
    Ok(found.map(|property| (property.key, property.value)).collect())
}

/// One line that reads back as this key and value, without line end. Characters beyond ASCII are escaped, for Java reads
/// files as Latin-1.
#[must_use]
pub fn line(key: &str, value: &str) -> String {
    let mut out = format!("{}=", escape(key));
    if value.starts_with(' ') {
        out.push('\\');
    }
    out.push_str(&escape(value));
    out
}

/// The text with these keys set: the last line of each key is replaced, keys that are not there are added at the end, and
/// all other lines stay as they are.
///
/// # Errors
/// [`BadEscape`], when the text is no properties file.
pub fn rewrite(text: &str, changes: &[(&str, &str)]) -> Result<String, BadEscape> {
    let properties = parse(text)?;
    let mut replaced: Vec<(Range<usize>, String)> = Vec::new();
    let mut added = String::new();
    for (key, value) in changes {
        let written = line(key, value) + "\n";
        match properties.iter().rfind(|property| property.key == *key) {
            Some(property) => replaced.push((property.span.clone(), written)),
            None => added.push_str(&written),
        }
    }
    replaced.sort_by_key(|(span, _)| span.start);
    let mut out = String::with_capacity(text.len() + added.len());
    let mut at = 0;
    for (span, written) in replaced {
        out.push_str(text.get(at..span.start).unwrap_or_default());
        out.push_str(&written);
        at = span.end;
    }
    out.push_str(text.get(at..).unwrap_or_default());
    if !added.is_empty() && !out.is_empty() && !out.ends_with(['\n', '\r']) {
        out.push('\n');
    }
    out.push_str(&added);
    Ok(out)
}

struct Lines<'a> {
    text: &'a str,
    at: usize,
    number: usize,
}

struct Line<'a> {
    content: &'a str,
    start: usize,
    /// Behind the line's end.
    end: usize,
    number: usize,
}

impl<'a> Iterator for Lines<'a> {
    type Item = Line<'a>;

    fn next(&mut self) -> Option<Line<'a>> {
        let start = self.at;
        let rest = self.text.get(start..).filter(|rest| !rest.is_empty())?;
        let length = rest.find(['\n', '\r']).unwrap_or(rest.len());
        let (content, ending) = rest.split_at(length);
        let ending_bytes = if ending.starts_with("\r\n") { 2 } else { ending.len().min(1) };
        self.at = start + length + ending_bytes;
        self.number += 1;
        Some(Line { content, start, end: self.at, number: self.number })
    }
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\u{c}')
}

fn is_continued(line: &str) -> bool {
    line.bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1
}

fn split(line: &str) -> (&str, &str) {
    let mut escaped = false;
    let key_end = line
        .char_indices()
        .find(|(_, c)| {
            let ends = !escaped && (matches!(c, '=' | ':') || is_blank(*c));
            escaped = *c == '\\' && !escaped;
            ends
        })
        .map_or(line.len(), |(at, _)| at);
    let (key, rest) = line.split_at(key_end);
    let rest = rest.trim_start_matches(is_blank);
    let value = rest.strip_prefix(['=', ':']).unwrap_or(rest).trim_start_matches(is_blank);
    (key, value)
}

fn unescape(text: &str) -> Option<String> {
    let mut units: Vec<u16> = Vec::with_capacity(text.len());
    let mut chars = text.chars();
    let mut buffer = [0; 2];
    while let Some(c) = chars.next() {
        let plain = match c {
            '\\' => match chars.next() {
                Some('u') => {
                    let digits = chars.as_str().get(..4)?;
                    if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                        return None;
                    }
                    units.push(u16::from_str_radix(digits, 16).ok()?);
                    chars.nth(3);
                    continue;
                }
                Some('t') => '\t',
                Some('n') => '\n',
                Some('r') => '\r',
                Some('f') => '\u{c}',
                Some(other) => other,
                None => continue,
            },
            other => other,
        };
        units.extend_from_slice(plain.encode_utf16(&mut buffer));
    }
    Some(String::from_utf16_lossy(&units))
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut buffer = [0; 2];
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            ' '..='~' => out.push(c),
            _ => {
                for unit in c.encode_utf16(&mut buffer) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Vec<(String, String, usize)> {
        let found = parse(text).unwrap().into_iter();
        found.map(|property| (property.key, property.value, property.line)).collect()
    }

    fn pair(key: &str, value: &str, line: usize) -> (String, String, usize) {
        (key.into(), value.into(), line)
    }

    #[test]
    fn separators_comments_and_blanks_are_java_s() {
        let text = "# c\n ! c \\\na=1\n  b : 2  \nc 3\nd\n\n=e\nf=g=h\r\ni\\ j\\=k = l\rm:=n";
        let expected = [
            pair("a", "1", 3),
            pair("b", "2  ", 4),
            pair("c", "3", 5),
            pair("d", "", 6),
            pair("", "e", 8),
            pair("f", "g=h", 9),
            pair("i j=k", "l", 10),
            pair("m", "=n", 11),
        ];
        assert_eq!(read(text), expected);
    }

    #[test]
    fn a_final_backslash_continues_a_line_and_a_double_one_does_not() {
        let text = "addr=a;\\\n   # b;\\\r\n\tc\nwin=C:\\\\\nnext=\\u00e9\\t\\q\nend=x\\";
        let expected =
            [pair("addr", "a;# b;c", 1), pair("win", "C:\\", 4), pair("next", "é\tq", 5), pair("end", "x", 6)];
        assert_eq!(read(text), expected);
    }

    #[test]
    fn a_broken_escape_is_refused_with_its_line() {
        for wrong in ["a=1\nb=\\u12", "a=1\nb=\\u+123", "a=\nb=\\uééé"] {
            assert_eq!(parse(wrong), Err(BadEscape { line: 2 }), "{wrong}");
        }
    }

    #[test]
    fn bytes_are_utf_8_or_latin_1() {
        assert_eq!(decode("\u{feff}é".as_bytes()), "é");
        assert_eq!(decode(&[0xe9]), "é");
    }

    #[test]
    fn rewriting_keeps_what_it_does_not_change() {
        let text = "# mine\na = 1\nb=2 \\\n  more\n# end\na: 3";
        let changed = rewrite(text, &[("b", "x y"), ("a", "4"), ("new", "5")]).unwrap();
        assert_eq!(changed, "# mine\na = 1\nb=x y\n# end\na=4\nnew=5\n");
        assert_eq!(rewrite("", &[("a", "1")]).unwrap(), "a=1\n");
        assert_eq!(rewrite("a=1", &[("b", "2")]).unwrap(), "a=1\nb=2\n");
    }

    proptest! {
        #[test]
        fn any_text_parses_or_is_refused(text in "[\\\\=: #!a-cu0-9\\n\\r\\té]{0,80}") {
            let _ = parse(&text);
        }

        #[test]
        fn what_is_written_reads_back(key in "[a-zA-Z][a-zA-Z0-9]{0,20}", value in "\\PC{0,40}|[ \\\\=:#!\\n\\t]{0,10}") {
            let text = rewrite("# head\n", &[(&key, &value)]).unwrap();
            prop_assert_eq!(read(&text), [(key, value, 2)]);
        }
    }
}
