//! The tolerant reader.

use super::{BYTES_PER_ELEMENT_MIN, DEPTH_MAX, ELEMENTS_MIN, Json, JsonError, Key, Limits};

/// Reads one value and nothing after it. Bytes that are not UTF-8 become U+FFFD, as in Java.
pub(super) fn read(bytes: &[u8], limits: Limits) -> Result<Json, JsonError> {
    if bytes.len() > limits.bytes_max {
        return Err(JsonError::TooLong { bytes: bytes.len(), max: limits.bytes_max });
    }
    let text = String::from_utf8_lossy(bytes);
    let by_length = ELEMENTS_MIN + text.len() / BYTES_PER_ELEMENT_MIN;
    let elements_max = by_length.min(limits.elements_max);
    let mut reader = Reader { text: &text, at: 0, elements: 0, elements_max };
    if text.starts_with('\u{feff}') {
        reader.at = '\u{feff}'.len_utf8();
    }
    let value = reader.value(0)?;
    reader.blanks();
    match reader.peek() {
        None => Ok(value),
        Some(_) => Err(reader.wanted("the end of the text")),
    }
}

struct Reader<'a> {
    text: &'a str,
    /// Always on a character's first byte.
    at: usize,
    elements: usize,
    elements_max: usize,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn wanted(&self, wanted: &'static str) -> JsonError {
        JsonError::Syntax { at: self.at, wanted }
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)) {
            self.at += 1;
        }
    }

    /// Takes `byte`, an ASCII character, if it is next after blanks.
    fn take(&mut self, byte: u8) -> bool {
        self.blanks();
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn count_element(&mut self) -> Result<(), JsonError> {
        self.elements += 1;
        if self.elements > self.elements_max {
            return Err(JsonError::TooManyElements { at: self.at, max: self.elements_max });
        }
        Ok(())
    }

    fn value(&mut self, depth: usize) -> Result<Json, JsonError> {
        if depth >= DEPTH_MAX {
            return Err(JsonError::TooDeep { at: self.at });
        }
        self.count_element()?;
        self.blanks();
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(quote @ (b'"' | b'\'')) => Ok(Json::String(self.string(quote)?)),
            Some(b'-' | b'+' | b'.' | b'0'..=b'9') => self.number(),
            Some(_) => self.word(),
            None => Err(self.wanted("a value")),
        }
    }

    fn array(&mut self, depth: usize) -> Result<Json, JsonError> {
        self.at += 1;
        let mut entries = Vec::new();
        loop {
            if self.take(b']') {
                return Ok(Json::Array(entries));
            }
            entries.push(self.value(depth + 1)?);
            if !self.take(b',') && self.peek() != Some(b']') {
                return Err(self.wanted("a comma or ]"));
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Json, JsonError> {
        self.at += 1;
        let mut members = Vec::new();
        loop {
            if self.take(b'}') {
                return Ok(Json::Object(members));
            }
            let key = self.key(depth)?;
            if !self.take(b':') {
                return Err(self.wanted("a colon"));
            }
            members.push((key, self.value(depth + 1)?));
            if !self.take(b',') && self.peek() != Some(b'}') {
                return Err(self.wanted("a comma or }"));
            }
        }
    }

    fn key(&mut self, depth: usize) -> Result<Key, JsonError> {
        match self.peek() {
            Some(quote @ (b'"' | b'\'')) => Ok(Key::Name(self.string(quote)?)),
            Some(b'{') => Ok(Key::Object(Box::new(self.value(depth + 1)?))),
            Some(_) => {
                let name = self.bare();
                if name.is_empty() {
                    return Err(self.wanted("a key"));
                }
                let number = name.parse().ok().filter(|_| !name.starts_with('+'));
                Ok(number.map_or_else(|| Key::Name(name.to_owned()), Key::Int))
            }
            None => Err(self.wanted("a key or }")),
        }
    }

    /// Letters, digits and the signs that names and numbers are made of.
    fn bare(&mut self) -> &'a str {
        let rest = self.rest();
        let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$' | '-' | '+' | '.' | '@' | '%');
        let length = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
        self.at += length;
        rest.get(..length).unwrap_or_default()
    }

    fn number(&mut self) -> Result<Json, JsonError> {
        let start = self.at;
        let text = self.bare();
        if let Ok(integer) = text.parse::<i64>() {
            return Ok(Json::Int(integer));
        }
        // Rust's parser also takes words such as `inf`, but a number starts with a sign, a point or a digit.
        let float = text.parse::<f64>().ok().filter(|number| number.is_finite());
        float.map(Json::Float).ok_or(JsonError::Syntax { at: start, wanted: "a number" })
    }

    fn word(&mut self) -> Result<Json, JsonError> {
        let start = self.at;
        match self.bare() {
            "true" => Ok(Json::Bool(true)),
            "false" => Ok(Json::Bool(false)),
            "null" | "undefined" | "NaN" => Ok(Json::Null),
            _ => Err(JsonError::Syntax { at: start, wanted: "a value" }),
        }
    }

    fn string(&mut self, quote: u8) -> Result<String, JsonError> {
        self.at += 1;
        let mut text = String::new();
        loop {
            let rest = self.rest();
            let plain = memchr::memchr2(quote, b'\\', rest.as_bytes()).ok_or_else(|| self.wanted("a closing quote"))?;
            text.push_str(rest.get(..plain).unwrap_or_default());
            self.at += plain + 1;
            if rest.as_bytes().get(plain) == Some(&quote) {
                return Ok(text);
            }
            text.push(self.escape()?);
        }
    }

    /// The character of an escape whose backslash is behind us.
    fn escape(&mut self) -> Result<char, JsonError> {
        let letter = self.rest().chars().next().ok_or_else(|| self.wanted("an escape"))?;
        self.at += letter.len_utf8();
        Ok(match letter {
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'v' => '\u{b}',
            '0' => '\0',
            '"' | '\'' | '\\' | '/' => letter,
            'x' => char::from_u32(self.hex(2)?).unwrap_or(char::REPLACEMENT_CHARACTER),
            'u' => self.unicode()?,
            _ => return Err(self.wanted("a known escape")),
        })
    }

    /// `XXXX` of `\uXXXX`, with the second half when it is the first of a surrogate pair. A lone half is U+FFFD.
    fn unicode(&mut self) -> Result<char, JsonError> {
        let first = self.hex(4)?;
        if (0xd800..0xdc00).contains(&first) && self.rest().starts_with("\\u") {
            let before = self.at;
            self.at += 2;
            let second = self.hex(4)?;
            if (0xdc00..0xe000).contains(&second) {
                let scalar = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                return Ok(char::from_u32(scalar).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            self.at = before;
        }
        Ok(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    fn hex(&mut self, digits: usize) -> Result<u32, JsonError> {
        let text = self.rest().get(..digits).filter(|text| text.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let number = text.and_then(|text| u32::from_str_radix(text, 16).ok());
        let number = number.ok_or_else(|| self.wanted("hexadecimal digits"))?;
        self.at += digits;
        Ok(number)
    }
}
