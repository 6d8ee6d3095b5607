//! JSON headers that are not of the form that real clients write, but that RocketMQ's own reader accepts.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::frame::{Ext, Head};
use super::frame_json::language;

/// Reads `text` with everything that RocketMQ's reader lets pass: numbers, booleans and nulls as ext values, numbers as
/// text, names in another case or with underscores.
pub(super) fn read(text: &str) -> Result<Head<'static>, String> {
    let Value::Object(object) = serde_json::from_str(text).map_err(|e| e.to_string())? else {
        return Err("it is no JSON object".into());
    };
    let code = field(&object, "code").ok_or("it has no code")?;
    Ok(Head {
        code: integer(code)?,
        language: field(&object, "language").map_or(0, |v| language(&scalar(v))),
        version: field(&object, "version").map_or(Ok(0), integer)?,
        opaque: field(&object, "opaque").map_or(Ok(0), integer)?,
        flag: field(&object, "flag").map_or(Ok(0), integer)?,
        remark: field(&object, "remark").map(|v| Cow::Owned(scalar(v))),
        ext: Ext::Pairs(match field(&object, "extFields") {
            Some(Value::Object(ext)) => ext.iter().filter(|(_, v)| !v.is_null()).map(pair).collect(),
            Some(_) => return Err("its extFields are no JSON object".into()),
            None => Vec::new(),
        }),
    })
}

fn pair((name, value): (&String, &Value)) -> (Cow<'static, str>, Cow<'static, str>) {
    (Cow::Owned(name.clone()), Cow::Owned(scalar(value)))
}

/// A field by its name, in any case and with or without underscores; null is as good as absent.
fn field<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    let same = |key: &str| key.replace('_', "").eq_ignore_ascii_case(name);
    let found = object.get(name).or_else(|| object.iter().find(|(key, _)| same(key)).map(|(_, v)| v));
    found.filter(|v| !v.is_null())
}

fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn integer(value: &Value) -> Result<i32, String> {
    let text = scalar(value);
    let number =
        text.parse::<i32>().ok().or_else(|| text.parse::<f64>().ok().filter(|n| n.fract() == 0.0).map(|n| n as i32));
    number.ok_or_else(|| format!("`{}` is no number", text.chars().take(40).collect::<String>()))
}
