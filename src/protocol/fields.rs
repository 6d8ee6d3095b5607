//! Typed headers from and to ext fields: serde over `name → text` pairs, as the JSON and binary header codecs carry
//! them. Numbers and booleans are their Java text (`String.valueOf`); a boolean is true only for "true" in any case.

use std::collections::BTreeMap;
use std::fmt::Display;

use serde::de::{self, DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, Visitor};
use serde::forward_to_deserialize_any;
use serde::ser::{self, Impossible, Serialize, Serializer};

/// Why ext fields are not the header that the request needs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FieldError(pub String);

impl de::Error for FieldError {
    fn custom<T: Display>(message: T) -> Self {
        FieldError(message.to_string())
    }

    fn missing_field(field: &'static str) -> Self {
        FieldError(format!("the header field {field} is missing"))
    }
}

impl ser::Error for FieldError {
    fn custom<T: Display>(message: T) -> Self {
        FieldError(message.to_string())
    }
}

/// Reads `T` from the pairs of one header. Unknown names are passed over.
///
/// # Errors
/// [`FieldError`] when a field that `T` needs is missing or its text is not of the field's type.
pub fn decode<'de, T, I>(pairs: I) -> Result<T, FieldError>
where
    T: de::Deserialize<'de>,
    I: Iterator<Item = (&'de str, &'de str)>,
{
    T::deserialize(Pairs { pairs, current: None })
}

/// Reads `T` from a MessagePack map, whose values may also all be text: so is what a broker asks of its clients.
///
/// # Errors
/// As [`decode`].
pub fn decode_packed<'de, T: de::Deserialize<'de>>(bytes: &'de [u8]) -> Result<T, FieldError> {
    rmp_serde::from_slice(bytes).or_else(|error| {
        let texts: BTreeMap<&str, &str> = rmp_serde::from_slice(bytes).map_err(|_| FieldError(error.to_string()))?;
        decode(texts.into_iter())
    })
}

struct Pairs<'de, I> {
    pairs: I,
    current: Option<(&'de str, &'de str)>,
}

impl<'de, I: Iterator<Item = (&'de str, &'de str)>> Deserializer<'de> for Pairs<'de, I> {
    type Error = FieldError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FieldError> {
        visitor.visit_map(self)
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FieldError> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

impl<'de, I: Iterator<Item = (&'de str, &'de str)>> MapAccess<'de> for Pairs<'de, I> {
    type Error = FieldError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, FieldError> {
        let Some((name, value)) = self.pairs.next() else {
            return Ok(None);
        };
        let key = seed.deserialize(Text(name))?;
        self.current = Some((name, value));
        Ok(Some(key))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, FieldError> {
        let (name, value) = self.current.take().ok_or_else(|| FieldError("a value without a name".into()))?;
        seed.deserialize(Text(value)).map_err(|e| FieldError(format!("the header field {name}: {e}")))
    }
}

/// The text of one field, read as whatever type the header wants.
struct Text<'de>(&'de str);

macro_rules! numbers {
    ($($method:ident $visit:ident $type:ty),*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FieldError> {
            let number: $type = self.0.parse().map_err(|_| {
                FieldError(format!("`{}` is not a number of type {}", shortened(self.0), stringify!($type)))
            })?;
            visitor.$visit(number)
        }
    )*};
}

fn shortened(text: &str) -> &str {
    let end = text.char_indices().nth(40).map_or(text.len(), |(at, _)| at);
    &text[..end]
}

impl<'de> Deserializer<'de> for Text<'de> {
    type Error = FieldError;

    numbers!(
        deserialize_i8 visit_i8 i8, deserialize_i16 visit_i16 i16, deserialize_i32 visit_i32 i32,
        deserialize_i64 visit_i64 i64, deserialize_u8 visit_u8 u8, deserialize_u16 visit_u16 u16,
        deserialize_u32 visit_u32 u32, deserialize_u64 visit_u64 u64, deserialize_f32 visit_f32 f32,
        deserialize_f64 visit_f64 f64
    );

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FieldError> {
        visitor.visit_borrowed_str(self.0)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FieldError> {
        visitor.visit_bool(self.0.eq_ignore_ascii_case("true"))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FieldError> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, FieldError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, FieldError> {
        visitor.visit_enum(self.0.into_deserializer())
    }

    forward_to_deserialize_any! {
        i128 u128 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct identifier
        ignored_any
    }
}

/// Where the pairs of a header go when it is written.
pub trait FieldSink {
    /// Takes one field; its text is whatever `write` appends.
    fn field(&mut self, name: &str, write: impl FnOnce(&mut Vec<u8>));
}

/// Writes the fields of `header` into `sink`; absent optional ones are left out.
///
/// # Errors
/// [`FieldError`] when `header` is no flat struct or map of texts, numbers and booleans: a programmer's error.
pub fn encode<T: Serialize + ?Sized>(header: &T, sink: &mut impl FieldSink) -> Result<(), FieldError> {
    header.serialize(Writer { sink })
}

struct Writer<'a, S> {
    sink: &'a mut S,
}

const FLAT: &str = "a header is a flat struct of texts, numbers and booleans";

fn not_flat<T>() -> Result<T, FieldError> {
    Err(FieldError(FLAT.into()))
}

macro_rules! refuse {
    ($($method:ident $type:ty),*) => {$(
        fn $method(self, _value: $type) -> Result<(), FieldError> {
            not_flat()
        }
    )*};
}

impl<'a, S: FieldSink> Serializer for Writer<'a, S> {
    type Ok = ();
    type Error = FieldError;
    type SerializeSeq = Impossible<(), FieldError>;
    type SerializeTuple = Impossible<(), FieldError>;
    type SerializeTupleStruct = Impossible<(), FieldError>;
    type SerializeTupleVariant = Impossible<(), FieldError>;
    type SerializeMap = MapWriter<'a, S>;
    type SerializeStruct = MapWriter<'a, S>;
    type SerializeStructVariant = Impossible<(), FieldError>;

    refuse!(
        serialize_bool bool, serialize_i8 i8, serialize_i16 i16, serialize_i32 i32, serialize_i64 i64,
        serialize_u8 u8, serialize_u16 u16, serialize_u32 u32, serialize_u64 u64, serialize_f32 f32,
        serialize_f64 f64, serialize_char char, serialize_str &str, serialize_bytes &[u8]
    );

    fn serialize_none(self) -> Result<(), FieldError> {
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), FieldError> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), FieldError> {
        Ok(())
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result<(), FieldError> {
        Ok(())
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, _: &'static str) -> Result<(), FieldError> {
        not_flat()
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<(), FieldError> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<(), FieldError> {
        not_flat()
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Self::SerializeSeq, FieldError> {
        not_flat()
    }

    fn serialize_tuple(self, _: usize) -> Result<Self::SerializeTuple, FieldError> {
        not_flat()
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self::SerializeTupleStruct, FieldError> {
        not_flat()
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, FieldError> {
        not_flat()
    }

    fn serialize_map(self, _: Option<usize>) -> Result<MapWriter<'a, S>, FieldError> {
        Ok(MapWriter { sink: self.sink, name: Vec::new() })
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<MapWriter<'a, S>, FieldError> {
        Ok(MapWriter { sink: self.sink, name: Vec::new() })
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, FieldError> {
        not_flat()
    }
}

struct MapWriter<'a, S> {
    sink: &'a mut S,
    name: Vec<u8>,
}

impl<S: FieldSink> MapWriter<'_, S> {
    fn put<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> Result<(), FieldError> {
        let mut failed = None;
        if value.serialize(Absent).is_ok() {
            return Ok(());
        }
        self.sink.field(name, |out| failed = value.serialize(ValueWriter { out }).err());
        failed.map_or(Ok(()), Err)
    }
}

impl<S: FieldSink> ser::SerializeStruct for MapWriter<'_, S> {
    type Ok = ();
    type Error = FieldError;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), FieldError> {
        self.put(name, value)
    }

    fn end(self) -> Result<(), FieldError> {
        Ok(())
    }
}

impl<S: FieldSink> ser::SerializeMap for MapWriter<'_, S> {
    type Ok = ();
    type Error = FieldError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), FieldError> {
        self.name.clear();
        key.serialize(ValueWriter { out: &mut self.name })
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), FieldError> {
        let name = std::mem::take(&mut self.name);
        let name = std::str::from_utf8(&name).map_err(|_| FieldError(FLAT.into()))?;
        self.put(name, value)
    }

    fn end(self) -> Result<(), FieldError> {
        Ok(())
    }
}

pub mod packed;
pub mod packing;
mod value;
use value::{Absent, ValueWriter};

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;
    use serde::{Deserialize, Serialize};

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Header<'a> {
        #[serde(borrow)]
        topic: Cow<'a, str>,
        queue_id: i32,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        committed: Option<bool>,
        #[serde(default)]
        offset: Option<i64>,
    }

    fn pairs<'a>(list: &'a [(&'a str, &'a str)]) -> impl Iterator<Item = (&'a str, &'a str)> {
        list.iter().copied()
    }

    struct List(Vec<(String, String)>);

    impl FieldSink for List {
        fn field(&mut self, name: &str, write: impl FnOnce(&mut Vec<u8>)) {
            let mut text = Vec::new();
            write(&mut text);
            self.0.push((name.into(), String::from_utf8(text).unwrap()));
        }
    }

    #[test]
    fn text_becomes_the_type_that_the_header_wants() {
        let header: Header =
            decode(pairs(&[("topic", "T"), ("queueId", "-1"), ("new", "x"), ("committed", "TRUE")])).unwrap();
        assert_eq!(header, Header { topic: "T".into(), queue_id: -1, committed: Some(true), offset: None });
    }

    #[test]
    fn errors_name_the_field() {
        let missing = decode::<Header, _>(pairs(&[("queueId", "1")])).unwrap_err();
        assert_eq!(missing.0, "the header field topic is missing");
        let bad = decode::<Header, _>(pairs(&[("topic", "T"), ("queueId", "x1")])).unwrap_err();
        assert_eq!(bad.0, "the header field queueId: `x1` is not a number of type i32");
    }

    #[test]
    fn absent_fields_are_left_out_when_written() {
        let mut list = List(Vec::new());
        encode(&Header { topic: "T".into(), queue_id: 3, committed: Some(false), offset: None }, &mut list).unwrap();
        let text: Vec<_> = list.0.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(text, [("topic", "T"), ("queueId", "3"), ("committed", "false")]);
    }
}
