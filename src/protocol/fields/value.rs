//! The text of one field, and whether there is one at all.

use std::io::Write;

use serde::ser::{Impossible, Serialize, Serializer};

use super::{FieldError, not_flat};

macro_rules! shapes_refused {
    () => {
        type SerializeSeq = Impossible<(), FieldError>;
        type SerializeTuple = Impossible<(), FieldError>;
        type SerializeTupleStruct = Impossible<(), FieldError>;
        type SerializeTupleVariant = Impossible<(), FieldError>;
        type SerializeMap = Impossible<(), FieldError>;
        type SerializeStruct = Impossible<(), FieldError>;
        type SerializeStructVariant = Impossible<(), FieldError>;

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

        fn serialize_map(self, _: Option<usize>) -> Result<Self::SerializeMap, FieldError> {
            not_flat()
        }

        fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self::SerializeStruct, FieldError> {
            not_flat()
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
    };
}

/// Appends a scalar's Java text.
pub(super) struct ValueWriter<'a> {
    pub out: &'a mut Vec<u8>,
}

macro_rules! written {
    ($($method:ident $type:ty),*) => {$(
        fn $method(self, value: $type) -> Result<(), FieldError> {
            // Writing to a Vec cannot fail.
            let _ = write!(self.out, "{value}");
            Ok(())
        }
    )*};
}

macro_rules! integers {
    ($($method:ident $type:ty),*) => {$(
        #[inline]
        fn $method(self, value: $type) -> Result<(), FieldError> {
            self.out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
            Ok(())
        }
    )*};
}

impl Serializer for ValueWriter<'_> {
    type Ok = ();
    type Error = FieldError;
    shapes_refused!();

    integers!(
        serialize_i8 i8, serialize_i16 i16, serialize_i32 i32, serialize_i64 i64, serialize_u8 u8,
        serialize_u16 u16, serialize_u32 u32, serialize_u64 u64
    );
    written!(serialize_bool bool, serialize_f32 f32, serialize_f64 f64, serialize_char char);

    #[inline]
    fn serialize_str(self, value: &str) -> Result<(), FieldError> {
        self.out.extend_from_slice(value.as_bytes());
        Ok(())
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<(), FieldError> {
        self.out.extend_from_slice(value);
        Ok(())
    }

    fn serialize_none(self) -> Result<(), FieldError> {
        Ok(())
    }

    #[inline]
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), FieldError> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), FieldError> {
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), FieldError> {
        Ok(())
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<(), FieldError> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<(), FieldError> {
        value.serialize(self)
    }
}

/// Succeeds only for `None` and `()`: the fields that are not written at all.
pub(super) struct Absent;

macro_rules! present {
    ($($method:ident $type:ty),*) => {$(
        #[inline]
        fn $method(self, _value: $type) -> Result<(), FieldError> {
            there()
        }
    )*};
}

/// An error without an allocation: it only says "there is a value".
#[inline]
fn there() -> Result<(), FieldError> {
    Err(FieldError(String::new()))
}

impl Serializer for Absent {
    type Ok = ();
    type Error = FieldError;
    shapes_refused!();

    present!(
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

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), FieldError> {
        Ok(())
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, _: &'static str) -> Result<(), FieldError> {
        there()
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<(), FieldError> {
        value.serialize(self)
    }
}
