//! Headers in MessagePack, which our own processes speak: an array of code, language, version, opaque, flag and remark, then the
//! typed header as a map.

use std::borrow::Cow;

use serde::Serialize;

use super::fields::packed::{Packed, PackedValues};
use super::fields::{FieldError, packing};
use super::frame::{Ext, Head, NewHead};

/// Values of the array that a MessagePack header begins with.
const HEAD_PARTS: u8 = 6;

pub(super) fn read(header: &[u8]) -> Result<Head<'_>, String> {
    let mut values = PackedValues::of(header);
    values.array().filter(|parts| *parts == HEAD_PARTS).ok_or("it does not begin with an array of six")?;
    let mut number = |what: &'static str| {
        let number = values.next().and_then(|value| value.as_number::<i64>());
        number.ok_or_else(|| format!("its {what} is no number"))
    };
    let (code, language, version) = (number("code")?, number("language")?, number("version")?);
    let (opaque, flag) = (number("opaque")?, number("flag")?);
    let remark = match values.next() {
        Some(Packed::Nil) => None,
        Some(value) => Some(Cow::Borrowed(value.as_text().ok_or("its remark is no text")?)),
        None => return Err("its remark is missing".into()),
    };
    let narrow = |number: i64, what: &str| i32::try_from(number).map_err(|_| format!("its {what} is {number}"));
    Ok(Head {
        code: narrow(code, "code")?,
        language: u8::try_from(language).map_err(|_| format!("its language is {language}"))?,
        version: narrow(version, "version")?,
        opaque: narrow(opaque, "opaque")?,
        flag: narrow(flag, "flag")?,
        remark,
        ext: Ext::MessagePack(Cow::Borrowed(values.rest())),
    })
}

/// # Errors
/// [`FieldError`] when `header` has no MessagePack form.
pub(super) fn write<T: Serialize + ?Sized>(
    out: &mut Vec<u8>,
    head: &NewHead<'_>,
    header: &T,
) -> Result<(), FieldError> {
    packing::push_array(out, HEAD_PARTS);
    for number in [head.code, head.language.into(), head.version, head.opaque, head.flag] {
        packing::push_number(out, number.into());
    }
    match head.remark {
        Some(remark) => packing::push_text(out, remark),
        None => packing::push_nil(out),
    }
    packing::write(out, header)
}
