//! Typed headers to MessagePack maps, and the head before them. Each message has one on its way in and one on its way out, and
//! a general writer would be what the writing costs most.
//!
//! Writes, byte for byte, what `rmp_serde` writes with names; what is neither a struct nor a scalar is left to it.
//!
//! Source: the MessagePack specification, "Formats".

use std::fmt;

use serde::ser::{self, Impossible, Serialize, SerializeStruct, Serializer};

use super::FieldError;

/// Entries of the longest map whose length fits into its first byte.
const SHORT_MAP_MAX: usize = 15;
const LONG_MAP_MIN: usize = SHORT_MAP_MAX + 1;
/// Bytes of the longest text whose length fits into its first byte.
const SHORT_TEXT_MAX: usize = 31;
const LONG_TEXT_MIN: usize = SHORT_TEXT_MAX + 1;

/// Appends `header` as a map.
///
/// # Errors
/// [`FieldError`] when `header` is nothing that has a MessagePack form: a programmer's error.
pub fn write<T: Serialize + ?Sized>(out: &mut Vec<u8>, header: &T) -> Result<(), FieldError> {
    let start = out.len();
    if header.serialize(Packing { out }).is_ok() {
        return Ok(());
    }
    out.truncate(start);
    rmp_serde::encode::write_named(out, header).map_err(|error| FieldError(error.to_string()))
}

/// Appends the first byte of an array of so many values.
pub fn push_array(out: &mut Vec<u8>, values: u8) {
    debug_assert!(values < 16, "a longer array has another first byte");
    out.push(0x90 | values);
}

/// Appends what says that there is nothing.
pub fn push_nil(out: &mut Vec<u8>) {
    out.push(0xC0);
}

/// Appends a number in as few bytes as it fits into.
#[inline]
pub fn push_number(out: &mut Vec<u8>, number: i64) {
    match number {
        i64::MIN..-0x8000_0000 => push_wide(out, 0xD3, number.to_be_bytes()),
        -0x8000_0000..-0x8000 => push_wide(out, 0xD2, (number as i32).to_be_bytes()),
        -0x8000..-0x80 => push_wide(out, 0xD1, (number as i16).to_be_bytes()),
        -0x80..-0x20 => push_wide(out, 0xD0, [number as u8]),
        -0x20..0x80 => out.push(number as u8),
        0x80..0x100 => push_wide(out, 0xCC, [number as u8]),
        0x100..0x1_0000 => push_wide(out, 0xCD, (number as u16).to_be_bytes()),
        0x1_0000..0x1_0000_0000 => push_wide(out, 0xCE, (number as u32).to_be_bytes()),
        _ => push_wide(out, 0xCF, number.to_be_bytes()),
    }
}

/// Appends a text.
#[inline]
pub fn push_text(out: &mut Vec<u8>, text: &str) {
    let bytes = text.len();
    out.reserve(5 + bytes);
    match bytes {
        0..=SHORT_TEXT_MAX => out.push(0xA0 | bytes as u8),
        LONG_TEXT_MIN..0x100 => push_wide(out, 0xD9, [bytes as u8]),
        0x100..0x1_0000 => push_wide(out, 0xDA, (bytes as u16).to_be_bytes()),
        _ => push_wide(out, 0xDB, (bytes as u32).to_be_bytes()),
    }
    out.extend_from_slice(text.as_bytes());
}

#[inline]
fn push_wide<const N: usize>(out: &mut Vec<u8>, kind: u8, bytes: [u8; N]) {
    out.push(kind);
    out.extend_from_slice(&bytes);
}

/// It is not written here, but by the general writer.
#[derive(Debug)]
struct Unusual;

impl fmt::Display for Unusual {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("neither a struct nor a scalar")
    }
}

impl std::error::Error for Unusual {}

impl ser::Error for Unusual {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Unusual
    }
}

struct Packing<'a> {
    out: &'a mut Vec<u8>,
}

impl SerializeStruct for Packing<'_> {
    type Ok = ();
    type Error = Unusual;

    #[inline]
    fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), Unusual> {
        push_text(self.out, name);
        value.serialize(Packing { out: self.out })
    }

    fn end(self) -> Result<(), Unusual> {
        Ok(())
    }
}

macro_rules! numbers {
    ($($method:ident $type:ty),*) => {$(
        #[inline]
        fn $method(self, value: $type) -> Result<(), Unusual> {
            push_number(self.out, value.into());
            Ok(())
        }
    )*};
}

macro_rules! unusual {
    ($($method:ident($($type:ty),*) $result:ty),* $(,)?) => {$(
        fn $method(self, $(_: $type),*) -> Result<$result, Unusual> {
            Err(Unusual)
        }
    )*};
}

impl Serializer for Packing<'_> {
    type Ok = ();
    type Error = Unusual;
    type SerializeSeq = Impossible<(), Unusual>;
    type SerializeTuple = Impossible<(), Unusual>;
    type SerializeTupleStruct = Impossible<(), Unusual>;
    type SerializeTupleVariant = Impossible<(), Unusual>;
    type SerializeMap = Impossible<(), Unusual>;
    type SerializeStruct = Self;
    type SerializeStructVariant = Impossible<(), Unusual>;

    numbers!(
        serialize_i8 i8, serialize_i16 i16, serialize_i32 i32, serialize_i64 i64, serialize_u8 u8, serialize_u16 u16,
        serialize_u32 u32
    );

    #[inline]
    fn serialize_u64(self, value: u64) -> Result<(), Unusual> {
        match i64::try_from(value) {
            Ok(number) => push_number(self.out, number),
            Err(_) => push_wide(self.out, 0xCF, value.to_be_bytes()),
        }
        Ok(())
    }

    #[inline]
    fn serialize_bool(self, value: bool) -> Result<(), Unusual> {
        self.out.push(if value { 0xC3 } else { 0xC2 });
        Ok(())
    }

    #[inline]
    fn serialize_str(self, value: &str) -> Result<(), Unusual> {
        push_text(self.out, value);
        Ok(())
    }

    fn serialize_none(self) -> Result<(), Unusual> {
        push_nil(self.out);
        Ok(())
    }

    #[inline]
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Unusual> {
        value.serialize(self)
    }

    #[inline]
    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<(), Unusual> {
        value.serialize(self)
    }

    #[inline]
    fn serialize_struct(self, _: &'static str, fields: usize) -> Result<Self, Unusual> {
        match fields {
            0..=SHORT_MAP_MAX => self.out.push(0x80 | fields as u8),
            LONG_MAP_MIN..0x1_0000 => push_wide(self.out, 0xDE, (fields as u16).to_be_bytes()),
            _ => return Err(Unusual),
        }
        Ok(self)
    }

    unusual!(
        serialize_f32(f32) (),
        serialize_f64(f64) (),
        serialize_char(char) (),
        serialize_bytes(&[u8]) (),
        serialize_unit() (),
        serialize_unit_struct(&'static str) (),
        serialize_unit_variant(&'static str, u32, &'static str) (),
        serialize_seq(Option<usize>) Self::SerializeSeq,
        serialize_tuple(usize) Self::SerializeTuple,
        serialize_tuple_struct(&'static str, usize) Self::SerializeTupleStruct,
        serialize_tuple_variant(&'static str, u32, &'static str, usize) Self::SerializeTupleVariant,
        serialize_map(Option<usize>) Self::SerializeMap,
        serialize_struct_variant(&'static str, u32, &'static str, usize) Self::SerializeStructVariant,
    );

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<(), Unusual> {
        Err(Unusual)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde::Serialize;

    use super::*;

    fn check<T: Serialize + ?Sized>(header: &T) {
        let mut ours = vec![7];
        write(&mut ours, header).unwrap();
        let general = rmp_serde::to_vec_named(header).unwrap();
        assert_eq!((ours[0], &ours[1..]), (7, &general[..]));
    }

    #[derive(Serialize)]
    struct Header<'a> {
        text: &'a str,
        number: i64,
        small: i8,
        large: u64,
        flag: bool,
        there: Option<i32>,
        #[serde(skip_serializing_if = "Option::is_none")]
        absent: Option<&'a str>,
    }

    #[derive(Serialize)]
    struct WithList<'a> {
        text: &'a str,
        list: Vec<u32>,
        share: f64,
    }

    #[test]
    fn what_is_no_flat_struct_is_left_to_the_general_writer() {
        check(&());
        check(&BTreeMap::from([("a", "b")]));
        check(&WithList { text: "t", list: vec![1, 2], share: 0.5 });
    }

    proptest! {
        #[test]
        fn headers_are_written_as_the_general_writer_does(
            text in ".{0,300}", number: i64, small: i8, large: u64, flag: bool, there: Option<i32>, absent: Option<String>,
        ) {
            let absent = absent.as_deref();
            check(&Header { text: &text, number, small, large, flag, there, absent });
            check(&Header { text: "", number: small.into(), small, large: small.unsigned_abs().into(), flag, there, absent });
        }

        #[test]
        fn numbers_take_as_little_room_as_they_can(shift in 0..64, number: i64) {
            check(&Header { text: "", number: number >> shift, small: 0, large: number as u64 >> shift, flag: true, there: None, absent: None });
        }
    }
}
