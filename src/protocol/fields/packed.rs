//! Headers in MessagePack that are read so often that a general reader would be what the reading costs most.
//!
//! Only what such a header is usually made of is understood; for everything else there is [`decode_packed`](super::decode_packed).
//!
//! Source: the MessagePack specification, "Formats".

/// A value of a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packed<'a> {
    Text(&'a [u8]),
    Number(i64),
    Flag(bool),
    Nil,
}

/// Values that follow one another.
#[derive(Debug)]
pub struct PackedValues<'a> {
    rest: &'a [u8],
}

impl<'a> PackedValues<'a> {
    #[must_use]
    pub fn of(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What was not read yet.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// How many values the array has that begins here; `None` when something else does, or one of more than 15.
    pub fn array(&mut self) -> Option<u8> {
        let [first] = self.take()?;
        (first & 0xF0 == 0x90).then_some(first & 0x0F)
    }

    /// The same of a map, in pairs.
    fn map_of(&mut self) -> Option<usize> {
        match self.take()? {
            [first @ 0x80..=0x8F] => Some(usize::from(first & 0x0F)),
            [0xDE] => Some(usize::from(u16::from_be_bytes(self.take()?))),
            _ => None,
        }
    }

    #[inline]
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(*taken)
    }

    #[inline]
    fn text(&mut self, length: usize) -> Option<Packed<'a>> {
        let (text, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(Packed::Text(text))
    }
}

/// `None` at the end, and where something of another kind begins.
impl<'a> Iterator for PackedValues<'a> {
    type Item = Packed<'a>;

    #[inline]
    fn next(&mut self) -> Option<Packed<'a>> {
        let [first] = self.take()?;
        Some(match first {
            0x00..=0x7F | 0xE0..=0xFF => Packed::Number(i64::from(first as i8)),
            0xA0..=0xBF => return self.text(usize::from(first & 0x1F)),
            0xC0 => Packed::Nil,
            0xC2 => Packed::Flag(false),
            0xC3 => Packed::Flag(true),
            0xCC => Packed::Number(u8::from_be_bytes(self.take()?).into()),
            0xCD => Packed::Number(u16::from_be_bytes(self.take()?).into()),
            0xCE => Packed::Number(u32::from_be_bytes(self.take()?).into()),
            0xCF => Packed::Number(u64::from_be_bytes(self.take()?).try_into().ok()?),
            0xD0 => Packed::Number(i8::from_be_bytes(self.take()?).into()),
            0xD1 => Packed::Number(i16::from_be_bytes(self.take()?).into()),
            0xD2 => Packed::Number(i32::from_be_bytes(self.take()?).into()),
            0xD3 => Packed::Number(i64::from_be_bytes(self.take()?)),
            0xD9 => {
                let [length] = self.take()?;
                return self.text(length.into());
            }
            0xDA => {
                let length = u16::from_be_bytes(self.take()?);
                return self.text(length.into());
            }
            0xDB => {
                let length = u32::from_be_bytes(self.take()?);
                return self.text(length as usize);
            }
            _ => return None,
        })
    }
}

/// The names and values of a map; `None` where something in it is of another kind.
#[derive(Debug)]
pub struct PackedMap<'a> {
    values: PackedValues<'a>,
    left: usize,
}

impl<'a> PackedMap<'a> {
    #[must_use]
    pub fn of(bytes: &'a [u8]) -> Option<Self> {
        let mut values = PackedValues::of(bytes);
        let left = values.map_of()?;
        Some(Self { values, left })
    }

    #[inline]
    fn pair(&mut self) -> Option<(&'a [u8], Packed<'a>)> {
        let Packed::Text(name) = self.values.next()? else { return None };
        Some((name, self.values.next()?))
    }
}

impl<'a> Iterator for PackedMap<'a> {
    type Item = Option<(&'a [u8], Packed<'a>)>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        Some(self.pair())
    }
}

impl<'a> Packed<'a> {
    /// The text, if it is one.
    #[must_use]
    #[inline]
    pub fn as_text(self) -> Option<&'a str> {
        match self {
            Packed::Text(text) => std::str::from_utf8(text).ok(),
            _ => None,
        }
    }

    /// Yes or no, if it says so.
    #[must_use]
    #[inline]
    pub fn as_flag(self) -> Option<bool> {
        match self {
            Packed::Flag(flag) => Some(flag),
            _ => None,
        }
    }

    /// The number, if it is one of that size.
    #[must_use]
    #[inline]
    pub fn as_number<T: TryFrom<i64>>(self) -> Option<T> {
        match self {
            Packed::Number(number) => number.try_into().ok(),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_torn_or_of_another_kind_is_nothing() {
        assert!(PackedMap::of(b"").is_none() && PackedMap::of(&[0x90]).is_none());
        for torn in [&[0x81][..], &[0x81, 0xA2, b'a'], &[0x81, 0xA1, b'a'], &[0x81, 0xA1, b'a', 0xCB], &[0x81, 1, 1]] {
            assert_eq!(PackedMap::of(torn).unwrap().collect::<Vec<_>>(), [None], "{torn:?}");
        }
    }

    proptest! {
        #[test]
        fn bytes_of_any_kind_do_no_harm(bytes: Vec<u8>) {
            for pair in PackedMap::of(&bytes).into_iter().flatten().take(100) {
                let _ = pair;
            }
        }

        #[test]
        fn what_was_written_comes_back(texts: std::collections::BTreeMap<String, String>, numbers: std::collections::BTreeMap<String, i64>) {
            let bytes = rmp_serde::to_vec_named(&texts).unwrap();
            let read: Option<Vec<_>> = PackedMap::of(&bytes).unwrap().collect();
            let read: Vec<_> = read.unwrap().into_iter().map(|(name, value)| (name, value.as_text().unwrap())).collect();
            prop_assert!(read.iter().copied().eq(texts.iter().map(|(name, text)| (name.as_bytes(), text.as_str()))));
            let bytes = rmp_serde::to_vec_named(&numbers).unwrap();
            let read: Option<Vec<_>> = PackedMap::of(&bytes).unwrap().collect();
            let read: Vec<_> = read.unwrap().into_iter().map(|(name, value)| (name, value.as_number().unwrap())).collect();
            prop_assert!(read.iter().copied().eq(numbers.iter().map(|(name, number)| (name.as_bytes(), *number))));
        }
    }
}
