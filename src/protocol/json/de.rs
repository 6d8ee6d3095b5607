//! [`Json`] to serde values, as forgiving as RocketMQ's own reader.

use std::fmt::Display;

use serde::de::{
    self, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess, SeqAccess, VariantAccess, Visitor,
    value::StrDeserializer,
};
use serde::forward_to_deserialize_any;

use super::{Json, JsonError, Key, Style};

impl de::Error for JsonError {
    fn custom<T: Display>(message: T) -> Self {
        JsonError::Shape(message.to_string())
    }

    fn missing_field(field: &'static str) -> Self {
        JsonError::Shape(format!("the field {field} is missing"))
    }
}

/// A value to be read as whatever type asks for it.
pub(super) struct Tree(pub(super) Json);

fn misfit<T>(value: &Json, wanted: &str) -> Result<T, JsonError> {
    let found = match value {
        Json::Null => "null",
        Json::Bool(_) => "a boolean",
        Json::Int(_) | Json::Float(_) => "a number",
        Json::String(_) => "a string",
        Json::Array(_) => "an array",
        Json::Object(_) => "an object",
    };
    Err(JsonError::Shape(format!("{wanted} wanted, {found} found")))
}

fn integer(value: &Json) -> Result<i64, JsonError> {
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    let whole = |number: f64| (number.fract() == 0.0 && number.abs() <= EXACT_MAX).then_some(number as i64);
    let number = match value {
        Json::Int(number) => Some(*number),
        Json::Float(number) => whole(*number),
        Json::Bool(flag) => Some(i64::from(*flag)),
        Json::String(text) => {
            let text = text.trim();
            text.parse().ok().or_else(|| text.parse().ok().and_then(whole))
        }
        _ => None,
    };
    number.map_or_else(|| misfit(value, "an integer"), Ok)
}

fn float(value: &Json) -> Result<f64, JsonError> {
    let number = match value {
        Json::Int(number) => Some(*number as f64),
        Json::Float(number) => Some(*number),
        Json::String(text) => text.trim().parse().ok().filter(|number: &f64| number.is_finite()),
        _ => None,
    };
    number.map_or_else(|| misfit(value, "a number"), Ok)
}

fn boolean(value: &Json) -> Result<bool, JsonError> {
    match value {
        Json::Bool(flag) => Ok(*flag),
        Json::Int(number) => Ok(*number != 0),
        Json::String(text) => Ok(text.eq_ignore_ascii_case("true") || text == "1"),
        _ => misfit(value, "a boolean"),
    }
}

fn text(value: Json) -> String {
    match value {
        Json::String(text) => text,
        other => other.to_text(Style::Compact),
    }
}

/// Takes the place of a second mention of an object. What it points to cannot be had, so it counts as absent.
fn is_reference(value: &Json) -> bool {
    matches!(value, Json::Object(members)
        if matches!(members.as_slice(), [(Key::Name(name), _)] if name == "$ref"))
}

fn is_absent(value: &Json) -> bool {
    *value == Json::Null || is_reference(value)
}

macro_rules! integers {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
            visitor.visit_i64(integer(&self.0)?)
        }
    )*};
}

impl<'de> Deserializer<'de> for Tree {
    type Error = JsonError;

    integers! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        match self.0 {
            Json::Null => visitor.visit_none(),
            Json::Bool(flag) => visitor.visit_bool(flag),
            Json::Int(number) => visitor.visit_i64(number),
            Json::Float(number) => visitor.visit_f64(number),
            Json::String(text) => visitor.visit_string(text),
            Json::Array(entries) => visitor.visit_seq(Entries(entries.into_iter())),
            Json::Object(members) => visitor.visit_map(Members::of_map(members)),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        visitor.visit_bool(boolean(&self.0)?)
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        visitor.visit_f64(float(&self.0)?)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        visitor.visit_f64(float(&self.0)?)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        visitor.visit_string(text(self.0))
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        visitor.visit_string(text(self.0))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        if is_absent(&self.0) { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        visitor.visit_unit()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, v: V) -> Result<V::Value, JsonError> {
        v.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        match self.0 {
            Json::Array(entries) => visitor.visit_seq(Entries(entries.into_iter())),
            other => misfit(&other, "an array"),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        match self.0 {
            Json::Object(members) => visitor.visit_map(Members::of_map(members)),
            other => misfit(&other, "an object"),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, JsonError> {
        match self.0 {
            Json::Object(members) => visitor.visit_map(Members::of_struct(members, fields)),
            // Text in place of an object holds the object's JSON: map keys that other libraries had to quote.
            Json::String(text) if text.trim_start().starts_with('{') => {
                Tree(Json::read(text.as_bytes())?).deserialize_map(visitor)
            }
            other => misfit(&other, "an object"),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, JsonError> {
        let by_name = |text: &str| variants.iter().find(|name| name.eq_ignore_ascii_case(text));
        let variant = match &self.0 {
            Json::String(text) => by_name(text),
            Json::Int(ordinal) => usize::try_from(*ordinal).ok().and_then(|index| variants.get(index)),
            _ => None,
        };
        match variant {
            Some(name) => visitor.visit_enum(Variant(name)),
            None => Err(JsonError::Shape(format!("one of {} wanted", variants.join(", ")))),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! { char i128 u128 bytes byte_buf unit_struct tuple tuple_struct identifier }
}

struct Entries(std::vec::IntoIter<Json>);

impl<'de> SeqAccess<'de> for Entries {
    type Error = JsonError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, JsonError> {
        let present = self.0.find(|entry| !is_absent(entry));
        present.map(|entry| seed.deserialize(Tree(entry))).transpose()
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.0.len())
    }
}

struct Members {
    members: std::vec::IntoIter<(Key, Json)>,
    value: Option<Json>,
}

impl Members {
    fn of_map(members: Vec<(Key, Json)>) -> Self {
        Members { members: members.into_iter(), value: None }
    }

    /// Keeps what `fields` names, under its right name, the last of several.
    fn of_struct(members: Vec<(Key, Json)>, fields: &'static [&'static str]) -> Self {
        let mut known: Vec<(Key, Json)> = Vec::with_capacity(fields.len().min(members.len()));
        let mut place = vec![None::<usize>; fields.len()];
        for (key, value) in members {
            let Some(index) = field_index(&key, fields).filter(|_| !is_absent(&value)) else {
                continue;
            };
            match (place.get(index).copied().flatten().and_then(|at| known.get_mut(at)), fields.get(index)) {
                (Some(earlier), _) => earlier.1 = value,
                (None, Some(name)) => {
                    if let Some(slot) = place.get_mut(index) {
                        *slot = Some(known.len());
                    }
                    known.push((Key::Name((*name).to_owned()), value));
                }
                (None, None) => {}
            }
        }
        Members::of_map(known)
    }
}

/// The field that a key means: the same name, or the same but for case, underscores and hyphens.
fn field_index(key: &Key, fields: &[&str]) -> Option<usize> {
    let Key::Name(name) = key else {
        return None;
    };
    let plain =
        |text: &str| text.bytes().filter(|b| !matches!(b, b'_' | b'-')).map(|b| b.to_ascii_lowercase()).collect();
    fields.iter().position(|field| field == name).or_else(|| {
        let wanted: Vec<u8> = plain(name);
        fields.iter().position(|field| plain(field) == wanted)
    })
}

impl<'de> MapAccess<'de> for Members {
    type Error = JsonError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, JsonError> {
        let is_present = |(key, value): &(Key, Json)| {
            !is_absent(value) && !matches!(key, Key::Object(object) if is_reference(object))
        };
        let Some((key, value)) = self.members.find(is_present) else {
            return Ok(None);
        };
        self.value = Some(value);
        let key = match key {
            Key::Name(name) => Json::String(name),
            Key::Int(number) => Json::Int(number),
            Key::Object(object) => *object,
        };
        seed.deserialize(MapKey(key)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, JsonError> {
        let value = self.value.take().ok_or_else(|| JsonError::Shape("a value without a key".into()))?;
        seed.deserialize(Tree(value))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.members.len())
    }
}

/// A key: like a value, but its text may name a field.
struct MapKey(Json);

impl<'de> Deserializer<'de> for MapKey {
    type Error = JsonError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        Tree(self.0).deserialize_any(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        visitor.visit_string(text(self.0))
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        Tree(self.0).deserialize_i64(visitor)
    }

    fn deserialize_i32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        Tree(self.0).deserialize_i64(visitor)
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        Tree(self.0).deserialize_i64(visitor)
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        Tree(self.0).deserialize_i64(visitor)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        visitor.visit_string(text(self.0))
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        visitor.visit_string(text(self.0))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, JsonError> {
        Tree(self.0).deserialize_struct(name, fields, visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, v: V) -> Result<V::Value, JsonError> {
        v.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i128 u8 u16 u128 f32 f64 char bytes byte_buf option unit unit_struct seq tuple tuple_struct map
        enum ignored_any
    }
}

struct Variant(&'static str);

impl<'de> EnumAccess<'de> for Variant {
    type Error = JsonError;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), JsonError> {
        let name: StrDeserializer<'_, JsonError> = self.0.into_deserializer();
        Ok((seed.deserialize(name)?, self))
    }
}

impl<'de> VariantAccess<'de> for Variant {
    type Error = JsonError;

    fn unit_variant(self) -> Result<(), JsonError> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, _: T) -> Result<T::Value, JsonError> {
        misfit(&Json::String(String::new()), "a variant with a value")
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, JsonError> {
        misfit(&Json::String(String::new()), "a variant with values")
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], _: V) -> Result<V::Value, JsonError> {
        misfit(&Json::String(String::new()), "a variant with fields")
    }
}
