//! Java properties text: settings as requests 25, 26, 318 and 319 and RocketMQ's own configuration files carry them.
//!
//! Written as `name=value` lines without any escapes, read by the rules of `java.util.Properties`: comments from `#`
//! or `!`, a name ends at `=`, `:` or a blank, a backslash at a line's end joins the next line, `\t \n \r \f \uXXXX`.
//! Unlike Java, which takes the bytes for ISO-8859-1, the text is UTF-8, which is what tools send.

/// One setting, and the line it begins on, from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Property {
    pub line: usize,
    pub name: String,
    pub value: String,
}

/// Reads settings in the order of the text, repeated names included: for RocketMQ the last one counts.
#[must_use]
pub fn decode(bytes: &[u8]) -> Vec<Property> {
    let text = String::from_utf8_lossy(bytes);
    logical_lines(&text).into_iter().map(|(line, text)| property(line, &text)).collect()
}

/// The text of settings, a line each.
#[must_use]
pub fn encode<'a>(settings: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<u8> {
    let mut text = String::new();
    for (name, value) in settings {
        text.push_str(name);
        text.push('=');
        text.push_str(value);
        text.push('\n');
    }
    text.into_bytes()
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\u{c}')
}

/// Lines with their continuations, without comments and empty lines, still escaped.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    let mut continues = false;
    let unified = text.replace("\r\n", "\n").replace('\r', "\n");
    for (index, line) in unified.split('\n').enumerate() {
        let line = line.trim_start_matches(is_blank);
        if !continues && (line.is_empty() || line.starts_with(['#', '!'])) {
            continue;
        }
        let backslashes = line.bytes().rev().take_while(|&byte| byte == b'\\').count();
        let goes_on = backslashes % 2 == 1;
        let part = if goes_on { line.get(..line.len() - 1).unwrap_or_default() } else { line };
        match lines.last_mut() {
            Some((_, text)) if continues => text.push_str(part),
            _ => lines.push((index + 1, part.to_owned())),
        }
        continues = goes_on;
    }
    lines
}

fn property(line: usize, text: &str) -> Property {
    let mut escaped = false;
    let name_end = text.find(|c| {
        let ends = !escaped && (is_blank(c) || c == '=' || c == ':');
        escaped = c == '\\' && !escaped;
        ends
    });
    let (name, rest) = text.split_at(name_end.unwrap_or(text.len()));
    let rest = rest.trim_start_matches(is_blank);
    let value = rest.strip_prefix(['=', ':']).unwrap_or(rest).trim_start_matches(is_blank);
    Property { line, name: unescape(name), value: unescape(value) }
}

fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut units: Vec<u16> = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        rest = rest.get(c.len_utf8()..).unwrap_or_default();
        if c != '\\' {
            flush(&mut out, &mut units);
            out.push(c);
            continue;
        }
        let Some(escape) = rest.chars().next() else {
            break;
        };
        rest = rest.get(escape.len_utf8()..).unwrap_or_default();
        let unit = rest.get(..4).filter(|_| escape == 'u').and_then(|hex| u16::from_str_radix(hex, 16).ok());
        if let Some(unit) = unit {
            units.push(unit);
            rest = rest.get(4..).unwrap_or_default();
            continue;
        }
        flush(&mut out, &mut units);
        out.push(match escape {
            't' => '\t',
            'n' => '\n',
            'r' => '\r',
            'f' => '\u{c}',
            other => other,
        });
    }
    flush(&mut out, &mut units);
    out
}

/// Appends UTF-16 units gathered from `\uXXXX` escapes; pairs make one character.
fn flush(out: &mut String, units: &mut Vec<u16>) {
    out.extend(char::decode_utf16(units.drain(..)).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pairs(text: &str) -> Vec<(usize, String, String)> {
        decode(text.as_bytes()).into_iter().map(|p| (p.line, p.name, p.value)).collect()
    }

    #[test]
    fn javas_rules_hold() {
        let text = "# comment\n! another\n\n a = b c \nx:y\r\nlong=one,\\\n   two\nk\\=ey\\ x=\\u00e4\\uD83D\\uDE00\\t\\q\nbare\nempty=\nspace value\nend=\\\\\nurl=http://h:1/";
        let expected = [
            (4, "a", "b c "),
            (5, "x", "y"),
            (6, "long", "one,two"),
            (8, "k=ey x", "ä😀\tq"),
            (9, "bare", ""),
            (10, "empty", ""),
            (11, "space", "value"),
            (12, "end", "\\"),
            (13, "url", "http://h:1/"),
        ];
        let expected: Vec<_> = expected.map(|(line, name, value)| (line, name.to_owned(), value.to_owned())).into();
        assert_eq!(pairs(text), expected);
    }

    #[test]
    fn settings_are_written_a_line_each() {
        assert_eq!(encode([("a", "1"), ("b", "x y")]), b"a=1\nb=x y\n");
    }

    proptest! {
        #[test]
        fn plain_settings_come_back(settings in prop::collection::vec(("[a-zA-Z.]{1,8}", "[a-z0-9;:/=,.][a-z0-9 ;:/=,.]{0,8}"), 0..6)) {
            let text = encode(settings.iter().map(|(name, value)| (name.as_str(), value.as_str())));
            let read: Vec<_> = decode(&text).into_iter().map(|p| (p.name, p.value)).collect();
            prop_assert_eq!(read.len(), settings.len());
            for (found, set) in read.iter().zip(&settings) {
                prop_assert_eq!(&found.0, &set.0);
                prop_assert_eq!(&found.1, &set.1);
            }
        }

        #[test]
        fn any_bytes_are_settings(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
            let _ = decode(&bytes);
        }

        #[test]
        fn any_escapes_are_settings(text in r"[\\u0-9a-f=: \n#]{0,60}") {
            let _ = decode(text.as_bytes());
        }
    }
}
