//! Words of an expression. As in RocketMQ's lexer the longest word wins, and what is not asked for is never looked at.

use super::error::SqlError;

/// One word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word<'a> {
    Keyword(Keyword),
    /// Name of a property.
    Name(&'a str),
    /// Digits, perhaps with an `L`.
    Whole(&'a str),
    Fraction(&'a str),
    /// What stands between the quotes, with quotes still doubled.
    Text(&'a str),
    Sign(&'static str),
    End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keyword {
    Not,
    And,
    Or,
    Between,
    In,
    True,
    False,
    Null,
    Is,
    Contains,
    StartsWith,
    EndsWith,
}

const KEYWORDS: [(&str, Keyword); 12] = [
    ("NOT", Keyword::Not),
    ("AND", Keyword::And),
    ("OR", Keyword::Or),
    ("BETWEEN", Keyword::Between),
    ("IN", Keyword::In),
    ("TRUE", Keyword::True),
    ("FALSE", Keyword::False),
    ("NULL", Keyword::Null),
    ("IS", Keyword::Is),
    ("CONTAINS", Keyword::Contains),
    ("STARTSWITH", Keyword::StartsWith),
    ("ENDSWITH", Keyword::EndsWith),
];

/// Longer ones first.
const SIGNS: [&str; 11] = ["<>", "<=", ">=", "<", ">", "=", "(", ")", ",", "+", "-"];

impl std::fmt::Display for Word<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Word::Keyword(keyword) => {
                let found = KEYWORDS.iter().find(|(_, known)| known == keyword);
                f.write_str(found.map_or("", |(text, _)| text))
            }
            Word::Name(text) | Word::Whole(text) | Word::Fraction(text) => write!(f, "`{text}`"),
            Word::Text(text) => write!(f, "'{text}'"),
            Word::Sign(sign) => write!(f, "`{sign}`"),
            Word::End => f.write_str("the end"),
        }
    }
}

/// The words of `text` from `at` on.
#[derive(Debug, Clone)]
pub struct Lexer<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Lexer<'a> {
    pub fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// The next word and where it begins.
    pub fn next(&mut self) -> Result<(Word<'a>, usize), SqlError> {
        self.pass_over_blanks();
        let at = self.at;
        let rest = &self.text[at..];
        let Some(first) = rest.bytes().next() else { return Ok((Word::End, at)) };
        let (word, length) = match first {
            b'\'' => text_word(rest).ok_or_else(|| self.error(at, "the string is not closed: a `'` is missing"))?,
            b'0'..=b'9' | b'.' => {
                number_word(rest).ok_or_else(|| self.error(at, "a number is allowed here after the `.`"))?
            }
            b'a'..=b'z' | b'A'..=b'Z' | b'_' | b'$' => name_word(rest),
            _ => {
                let sign = SIGNS.into_iter().find(|sign| rest.starts_with(sign));
                let sign = sign.ok_or_else(|| self.error(at, "no word begins with this character"))?;
                (Word::Sign(sign), sign.len())
            }
        };
        self.at += length;
        Ok((word, at))
    }

    fn error(&self, at: usize, reason: &str) -> SqlError {
        SqlError::new(self.text, at, reason)
    }

    fn pass_over_blanks(&mut self) {
        loop {
            let rest = &self.text[self.at..];
            let blanks = rest.len() - rest.trim_start_matches([' ', '\t', '\n', '\r', '\x0c']).len();
            let comment = comment_bytes(&rest[blanks..]);
            self.at += blanks + comment;
            if comment == 0 {
                return;
            }
        }
    }
}

/// Length of the comment with which `rest` begins. A comment to the end of the line needs that end.
fn comment_bytes(rest: &str) -> usize {
    if let Some(line) = rest.strip_prefix("--") {
        let Some(end) = line.find(['\n', '\r']) else { return 0 };
        return 2 + end + if line[end..].starts_with("\r\n") { 2 } else { 1 };
    }
    rest.strip_prefix("/*").and_then(|inner| inner.find("*/")).map_or(0, |end| end + 4)
}

fn name_word(rest: &str) -> (Word<'_>, usize) {
    let more = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$');
    let length = rest.as_bytes().iter().take_while(|byte| more(byte)).count();
    let name = &rest[..length];
    let keyword = KEYWORDS.iter().find(|(text, _)| text.eq_ignore_ascii_case(name));
    (keyword.map_or(Word::Name(name), |(_, keyword)| Word::Keyword(*keyword)), length)
}

fn text_word(rest: &str) -> Option<(Word<'_>, usize)> {
    let bytes = rest.as_bytes();
    let mut at = 1;
    loop {
        at += bytes.get(at..)?.iter().position(|byte| *byte == b'\'')?;
        if bytes.get(at + 1) != Some(&b'\'') {
            return Some((Word::Text(&rest[1..at]), at + 1));
        }
        at += 2;
    }
}

/// The longest number: `0`, `12`, `12L`, or one with a point or an exponent. So `05` is `0`, and `5` follows.
fn number_word(rest: &str) -> Option<(Word<'_>, usize)> {
    let bytes = rest.as_bytes();
    let digits = |from: usize| bytes[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let exponent = |from: usize| {
        let sign = usize::from(matches!(bytes.get(from + 1), Some(b'+' | b'-')));
        let starts = matches!(bytes.get(from), Some(b'e' | b'E'));
        let count = if starts && from + 1 + sign <= bytes.len() { digits(from + 1 + sign) } else { 0 };
        if count == 0 { 0 } else { 1 + sign + count }
    };
    let whole = digits(0);
    if bytes.get(whole) == Some(&b'.') {
        let point = whole + 1 + digits(whole + 1);
        let length = point + exponent(point);
        return (whole > 0 || point > 1).then_some((Word::Fraction(&rest[..length]), length));
    }
    let power = exponent(whole);
    if power > 0 {
        return Some((Word::Fraction(&rest[..whole + power]), whole + power));
    }
    if bytes[0] == b'0' {
        return Some((Word::Whole(&rest[..1]), 1));
    }
    let long = usize::from(matches!(bytes.get(whole), Some(b'l' | b'L')));
    Some((Word::Whole(&rest[..whole + long]), whole + long))
}
