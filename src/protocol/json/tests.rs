use std::collections::BTreeMap;

use proptest::prelude::*;
use serde::{Deserialize, Serialize};

use super::*;

fn read(text: &str) -> Json {
    Json::read(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn same(tolerated: &str, plain: &str) {
    assert_eq!(read(tolerated), read(plain), "{tolerated}");
}

#[test]
fn what_rocketmq_lets_pass_is_read() {
    same("{a:1,b_c:2}", r#"{"a":1,"b_c":2}"#);
    same("{'a':'x'}", r#"{"a":"x"}"#);
    same(r#" { "a" : [ 1 , 2 , ] , } "#, r#"{"a":[1,2]}"#);
    same(r#"{"a":"\u00e4\uD83D\uDE00\x41\'"}"#, r#"{"a":"ä😀A'"}"#);
    same("\u{feff}{}", "{}");
    assert_eq!(read("{0:1,-5:2}"), Json::Object(vec![(Key::Int(0), Json::Int(1)), (Key::Int(-5), Json::Int(2))]));
    let key = Key::Object(Box::new(read(r#"{"q":0}"#)));
    assert_eq!(read(r#"{{"q":0}:5}"#), Json::Object(vec![(key, Json::Int(5))]));
    assert_eq!(read(r#""\ud800x""#), Json::String("\u{fffd}x".into()));
    assert_eq!(read("1.5"), Json::Float(1.5));
    assert_eq!(read("99999999999999999999"), Json::Float(1e20));
}

#[test]
fn broken_texts_are_refused_where_they_break() {
    for broken in [
        "",
        "{",
        "[1",
        "{\"a\"}",
        "{\"a\":}",
        "{} x",
        "\"a",
        "\"\\q\"",
        "\"\\u12\"",
        "tru",
        "1.2.3",
        "{:1}",
        "-",
        "1e999",
    ] {
        assert!(Json::read(broken.as_bytes()).is_err(), "{broken}");
    }
    assert_eq!(Json::read(b"[1 2]"), Err(JsonError::Syntax { at: 3, wanted: "a comma or ]" }));
}

#[test]
fn bombs_are_refused() {
    for part in ["[", "{\"a\":", "{{", "{{\"a\":"] {
        let error = Json::read(part.repeat(100_000).as_bytes()).unwrap_err();
        assert!(matches!(error, JsonError::TooDeep { .. }), "{part}: {error}");
    }
    let terse = format!("[{}1]", "1,".repeat(1_000_000));
    assert!(matches!(Json::read(terse.as_bytes()), Err(JsonError::TooManyElements { .. })));
    let long = vec![b' '; Limits::BODY.bytes_max + 1];
    assert!(matches!(Json::read(&long), Err(JsonError::TooLong { .. })));
    let deep_enough = format!("{}{}", "[".repeat(DEPTH_MAX - 1), "]".repeat(DEPTH_MAX - 1));
    assert!(Json::read(deep_enough.as_bytes()).is_ok());
}

#[test]
fn each_style_has_its_form() {
    let value = read(r#"{"a":{0:"x",{"q":1}:[]},"b":["\u0001\n\"\\/ä",1.0,{}],"c":{}}"#);
    assert_eq!(value.to_text(Style::Compact), r#"{"a":{0:"x",{"q":1}:[]},"b":["\u0001\n\"\\/ä",1.0,{}],"c":{}}"#);
    let standard = value.to_text(Style::Standard);
    assert_eq!(standard, r#"{"a":{"0":"x","{\"q\":1}":[]},"b":["\u0001\n\"\\/ä",1.0,{}],"c":{}}"#);
    assert!(serde_json::from_str::<serde_json::Value>(&standard).is_ok());
    assert_eq!(read("{0:[1,[]],a:{}}").to_text(Style::Pretty), "{\n\t0:[\n\t\t1,\n\t\t[]\n\t],\n\t\"a\":{}\n}");
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Sample {
    z_first: i32,
    name: String,
    flag: bool,
    ratio: f64,
    maybe: Option<i64>,
    kind: Option<Kind>,
    list: Vec<String>,
    by_number: BTreeMap<i64, String>,
    by_place: BTreeMap<Place, i64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum Kind {
    FirstKind,
    SecondKind,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(default)]
struct Place {
    y: i32,
    x: String,
}

fn sample(text: &str) -> Sample {
    decode(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn types_are_read_forgivingly() {
    let plain = Sample { z_first: 7, name: "5".into(), flag: true, ratio: 2.0, ..Sample::default() };
    assert_eq!(sample(r#"{"zFirst":7,"name":"5","flag":true,"ratio":2.0}"#), plain);
    assert_eq!(sample(r#"{"z_first":"7","NAME":5,"flag":"TRUE","ratio":"2","unknown":[{}],"maybe":null}"#), plain);
    assert_eq!(sample(r#"{"zFirst":1,"name":"5","flag":1,"ratio":2,"ZFIRST":7.0,"list":null}"#), plain);
    assert_eq!(sample(r#"{"kind":"second_kind"}"#).kind, Some(Kind::SecondKind));
    assert_eq!(sample(r#"{"kind":0}"#).kind, Some(Kind::FirstKind));
    assert_eq!(sample(r#"{"list":[1,null,"b"]}"#).list, ["1", "b"]);
    assert!(decode::<Sample>(br#"{"kind":"third"}"#).is_err());
    assert!(decode::<Sample>(br#"{"zFirst":"x"}"#).is_err());
    assert!(decode::<Sample>(br#"{"zFirst":99999999999}"#).is_err());
}

#[test]
fn keys_of_maps_are_read_in_every_form() {
    let numbers = BTreeMap::from([(0, "a".to_owned()), (12, "b".to_owned())]);
    assert_eq!(sample(r#"{"byNumber":{0:"a",12:"b"}}"#).by_number, numbers);
    assert_eq!(sample(r#"{"byNumber":{"0":"a","12":"b"}}"#).by_number, numbers);
    let places = BTreeMap::from([(Place { x: "t".into(), y: 3 }, 5)]);
    assert_eq!(sample(r#"{"byPlace":{{"x":"t","y":3}:5}}"#).by_place, places);
    assert_eq!(sample(r#"{"byPlace":{"{\"x\":\"t\",\"y\":3}":5}}"#).by_place, places);
    assert_eq!(sample(r#"{"byPlace":{{"x":"t","y":3}:5,{"$ref":"$.a"}:6}}"#).by_place, places);
}

#[test]
fn types_are_written_in_alphabetical_order_without_nulls() {
    let value = Sample {
        kind: Some(Kind::FirstKind),
        by_number: BTreeMap::from([(10, "b".into()), (9, "a".into())]),
        by_place: BTreeMap::from([(Place { x: "t".into(), y: 3 }, 5)]),
        ..Sample::default()
    };
    let text = String::from_utf8(encode(&value, Style::Compact).unwrap()).unwrap();
    assert_eq!(
        text,
        r#"{"byNumber":{9:"a",10:"b"},"byPlace":{{"x":"t","y":3}:5},"flag":false,"kind":"FIRST_KIND","list":[],"name":"","ratio":0.0,"zFirst":0}"#
    );
    assert_eq!(sample(&text), value);
}

fn any_json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::Bool),
        any::<i64>().prop_map(Json::Int),
        prop::num::f64::NORMAL.prop_map(Json::Float),
        ".{0,6}".prop_map(Json::String),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        let member = (inner.clone(), inner.clone());
        let object = prop::collection::vec(member.clone(), 0..4).prop_map(|members| {
            let key = |value| match value {
                Json::Int(number) => Key::Int(number),
                Json::Object(_) => Key::Object(Box::new(value)),
                other => Key::Name(other.to_text(Style::Compact)),
            };
            Json::Object(members.into_iter().map(|(name, value)| (key(name), value)).collect())
        });
        prop_oneof![prop::collection::vec(inner, 0..5).prop_map(Json::Array), object]
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(value in any_json()) {
        for style in [Style::Compact, Style::Pretty] {
            prop_assert_eq!(&Json::read(value.to_text(style).as_bytes()).unwrap(), &value);
        }
        prop_assert!(Json::read(value.to_text(Style::Standard).as_bytes()).is_ok());
    }

    #[test]
    fn any_bytes_are_a_value_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Json::read(&bytes);
    }

    #[test]
    fn any_near_json_is_a_value_or_an_error(text in r#"[\[\]{}:,"'\\a0-9.eu+\-n ]{0,60}"#) {
        if let Ok(value) = Json::read(text.as_bytes()) {
            let _ = from_json::<Sample>(value);
        }
    }
}
