//! Serde values to [`Json`].

use std::fmt::Display;

use serde::ser::{self, Impossible, Serialize, SerializeMap, SerializeSeq, SerializeStruct, Serializer};

use super::{Json, JsonError, Key};

impl ser::Error for JsonError {
    fn custom<T: Display>(message: T) -> Self {
        JsonError::Shape(message.to_string())
    }
}

/// Builds a [`Json`] from a serde value.
pub(super) struct Build;

fn unsupported<T>(what: &str) -> Result<T, JsonError> {
    Err(JsonError::Shape(format!("{what} cannot be written as RocketMQ's JSON")))
}

impl Serializer for Build {
    type Ok = Json;
    type Error = JsonError;
    type SerializeSeq = Entries;
    type SerializeTuple = Impossible<Json, JsonError>;
    type SerializeTupleStruct = Impossible<Json, JsonError>;
    type SerializeTupleVariant = Impossible<Json, JsonError>;
    type SerializeMap = Members;
    type SerializeStruct = Members;
    type SerializeStructVariant = Impossible<Json, JsonError>;

    fn serialize_bool(self, value: bool) -> Result<Json, JsonError> {
        Ok(Json::Bool(value))
    }
    fn serialize_i8(self, value: i8) -> Result<Json, JsonError> {
        Ok(Json::Int(value.into()))
    }
    fn serialize_i16(self, value: i16) -> Result<Json, JsonError> {
        Ok(Json::Int(value.into()))
    }
    fn serialize_i32(self, value: i32) -> Result<Json, JsonError> {
        Ok(Json::Int(value.into()))
    }
    fn serialize_i64(self, value: i64) -> Result<Json, JsonError> {
        Ok(Json::Int(value))
    }
    fn serialize_u8(self, value: u8) -> Result<Json, JsonError> {
        Ok(Json::Int(value.into()))
    }
    fn serialize_u16(self, value: u16) -> Result<Json, JsonError> {
        Ok(Json::Int(value.into()))
    }
    fn serialize_u32(self, value: u32) -> Result<Json, JsonError> {
        Ok(Json::Int(value.into()))
    }
    fn serialize_u64(self, value: u64) -> Result<Json, JsonError> {
        i64::try_from(value).map_or_else(|_| unsupported("a number beyond 2^63"), |number| Ok(Json::Int(number)))
    }
    fn serialize_f32(self, value: f32) -> Result<Json, JsonError> {
        Ok(Json::Float(value.into()))
    }
    fn serialize_f64(self, value: f64) -> Result<Json, JsonError> {
        Ok(Json::Float(value))
    }
    fn serialize_char(self, value: char) -> Result<Json, JsonError> {
        Ok(Json::String(value.into()))
    }
    fn serialize_str(self, value: &str) -> Result<Json, JsonError> {
        Ok(Json::String(value.to_owned()))
    }
    fn serialize_bytes(self, _: &[u8]) -> Result<Json, JsonError> {
        unsupported("bytes")
    }
    fn serialize_none(self) -> Result<Json, JsonError> {
        Ok(Json::Null)
    }
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Json, JsonError> {
        value.serialize(self)
    }
    fn serialize_unit(self) -> Result<Json, JsonError> {
        Ok(Json::Object(Vec::new()))
    }
    fn serialize_unit_struct(self, _: &'static str) -> Result<Json, JsonError> {
        Ok(Json::Object(Vec::new()))
    }
    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<Json, JsonError> {
        Ok(Json::String(variant.to_owned()))
    }
    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<Json, JsonError> {
        value.serialize(self)
    }
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<Json, JsonError> {
        unsupported("a variant with a value")
    }
    fn serialize_seq(self, length: Option<usize>) -> Result<Entries, JsonError> {
        Ok(Entries(Vec::with_capacity(length.unwrap_or(0))))
    }
    fn serialize_tuple(self, _: usize) -> Result<Self::SerializeTuple, JsonError> {
        unsupported("a tuple")
    }
    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self::SerializeTupleStruct, JsonError> {
        unsupported("a tuple struct")
    }
    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, JsonError> {
        unsupported("a variant with values")
    }
    fn serialize_map(self, length: Option<usize>) -> Result<Members, JsonError> {
        Ok(Members { members: Vec::with_capacity(length.unwrap_or(0)), key: None })
    }
    fn serialize_struct(self, _: &'static str, length: usize) -> Result<Members, JsonError> {
        self.serialize_map(Some(length))
    }
    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, JsonError> {
        unsupported("a variant with fields")
    }
}

pub(super) struct Entries(Vec<Json>);

impl SerializeSeq for Entries {
    type Ok = Json;
    type Error = JsonError;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), JsonError> {
        self.0.push(value.serialize(Build)?);
        Ok(())
    }

    fn end(self) -> Result<Json, JsonError> {
        Ok(Json::Array(self.0))
    }
}

/// Members of a map in the map's order, or of a struct, which `end` brings into alphabetical order. Null members are
/// left out.
pub(super) struct Members {
    members: Vec<(Key, Json)>,
    key: Option<Key>,
}

impl Members {
    fn add(&mut self, key: Key, value: Json) {
        if value != Json::Null {
            self.members.push((key, value));
        }
    }
}

impl SerializeMap for Members {
    type Ok = Json;
    type Error = JsonError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), JsonError> {
        self.key = Some(match key.serialize(Build)? {
            Json::String(name) => Key::Name(name),
            Json::Int(number) => Key::Int(number),
            object @ Json::Object(_) => Key::Object(Box::new(object)),
            _ => return unsupported("such a map key"),
        });
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), JsonError> {
        let Some(key) = self.key.take() else {
            return unsupported("a value without a key");
        };
        let value = value.serialize(Build)?;
        self.add(key, value);
        Ok(())
    }

    fn end(self) -> Result<Json, JsonError> {
        Ok(Json::Object(self.members))
    }
}

impl SerializeStruct for Members {
    type Ok = Json;
    type Error = JsonError;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), JsonError> {
        let value = value.serialize(Build)?;
        self.add(Key::Name(name.to_owned()), value);
        Ok(())
    }

    fn end(mut self) -> Result<Json, JsonError> {
        self.members.sort_by(|(left, _), (right, _)| match (left, right) {
            (Key::Name(left), Key::Name(right)) => left.cmp(right),
            _ => std::cmp::Ordering::Equal,
        });
        Ok(Json::Object(self.members))
    }
}
