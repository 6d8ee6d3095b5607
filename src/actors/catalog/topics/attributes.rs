//! Attributes of a topic: which there are, what they may be, and what a list of changes makes of them.

use std::collections::{BTreeMap, BTreeSet};

const MESSAGE_TYPES: &[&str] = &["UNSPECIFIED", "NORMAL", "FIFO", "DELAY", "TRANSACTION", "MIXED", "LITE", "PRIORITY"];

/// What the value of an attribute may be.
enum Values {
    OneOf(&'static [&'static str]),
    AtLeast(i64),
}

struct Attribute {
    name: &'static str,
    /// May be changed after the topic was made.
    changeable: bool,
    values: Values,
}

const ATTRIBUTES: &[Attribute] = &[
    Attribute { name: "queue.type", changeable: false, values: Values::OneOf(&["BatchCQ", "SimpleCQ"]) },
    Attribute { name: "cleanup.policy", changeable: false, values: Values::OneOf(&["DELETE", "COMPACTION"]) },
    Attribute { name: "message.type", changeable: true, values: Values::OneOf(MESSAGE_TYPES) },
    Attribute { name: "reserve.time", changeable: true, values: Values::AtLeast(-1) },
];

/// Reads a list of changes as requests carry it: `+name=value,-name`.
///
/// # Errors
/// RocketMQ's remark about the part that is wrong.
pub fn parse_changes(text: &str) -> Result<BTreeMap<String, String>, String> {
    let mut changes = BTreeMap::new();
    for change in text.split(',').filter(|part| !part.is_empty()) {
        let (name, value) = match change.split_once('=') {
            Some((name, _)) if !name.contains('+') => {
                return Err(format!("add/alter attribute format is wrong: {name}"));
            }
            Some((name, value)) => (name, value),
            None if !change.contains('-') => return Err(format!("delete attribute format is wrong: {change}")),
            None => (change, ""),
        };
        if changes.insert(name.to_owned(), value.to_owned()).is_some() {
            return Err(format!("key duplication: {name}"));
        }
    }
    Ok(changes)
}

/// Applies `changes`, whose names begin with `+` or `-`, to `current`; `None` while the topic is being made.
///
/// # Errors
/// RocketMQ's remark about the change that is not allowed; nothing was applied then.
pub fn altered(
    current: Option<&BTreeMap<String, String>>,
    changes: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, String> {
    let mut result = current.cloned().unwrap_or_default();
    let mut seen = BTreeSet::new();
    for (signed, value) in changes {
        let (sign, name) = split_sign(signed)?;
        if !seen.insert(name) {
            return Err(format!("alter duplication key. key: {name}"));
        }
        match (sign, current) {
            ('+', None) => {
                check(name, true)?.verify(value)?;
                result.insert(name.to_owned(), value.clone());
            }
            (_, None) => return Err(format!("only add attribute is supported while creating topic. key: {name}")),
            ('+', Some(_)) => {
                check(name, false)?.verify(value)?;
                result.insert(name.to_owned(), value.clone());
            }
            ('-', Some(current)) if !current.contains_key(name) => {
                return Err(format!("attempt to delete a nonexistent key: {name}"));
            }
            ('-', Some(_)) => {
                check(name, false)?;
                result.remove(name);
            }
            (_, Some(_)) => return Err(format!("wrong format key: {name}")),
        }
    }
    Ok(result)
}

fn split_sign(signed: &str) -> Result<(char, &str), String> {
    let mut characters = signed.chars();
    let sign = characters.next();
    let name = characters.as_str();
    match sign {
        Some(sign) if !name.is_empty() && !name.contains(['+', '-']) => Ok((sign, name)),
        _ => Err("kv string format wrong.".into()),
    }
}

fn check(name: &str, making: bool) -> Result<&'static Attribute, String> {
    let attribute = ATTRIBUTES.iter().find(|attribute| attribute.name == name);
    let attribute = attribute.ok_or_else(|| format!("unsupported key: {name}"))?;
    if !making && !attribute.changeable {
        return Err(format!("attempt to update an unchangeable attribute. key: {name}"));
    }
    Ok(attribute)
}

impl Attribute {
    fn verify(&self, value: &str) -> Result<(), String> {
        match self.values {
            Values::OneOf(allowed) if allowed.contains(&value) => Ok(()),
            Values::OneOf(allowed) => Err(format!("value is not in set: [{}]", allowed.join(", "))),
            Values::AtLeast(least) => match value.parse::<i64>() {
                Ok(number) if number >= least => Ok(()),
                Ok(_) => Err(format!("value is not in range({least}, {})", i64::MAX)),
                Err(_) => Err(format!("For input string: \"{value}\"")),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
    }

    #[test]
    fn a_list_of_changes_is_read() {
        let changes = parse_changes("+message.type=FIFO,-reserve.time").unwrap();
        assert_eq!(changes, map(&[("+message.type", "FIFO"), ("-reserve.time", "")]));
        assert_eq!(parse_changes("").unwrap(), map(&[]));
        for bad in ["message.type=FIFO", "message", "+a=1,+a=2"] {
            assert!(parse_changes(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_new_topic_takes_any_known_attribute_and_only_additions() {
        let made = altered(None, &map(&[("+queue.type", "BatchCQ"), ("+message.type", "FIFO")])).unwrap();
        assert_eq!(made, map(&[("queue.type", "BatchCQ"), ("message.type", "FIFO")]));
        assert_eq!(
            altered(None, &map(&[("-message.type", "")])).unwrap_err(),
            "only add attribute is supported while creating topic. key: message.type"
        );
        assert_eq!(altered(None, &map(&[("+colour", "red")])).unwrap_err(), "unsupported key: colour");
        assert!(altered(None, &map(&[("+message.type", "SLOW")])).is_err());
        assert!(altered(None, &map(&[("+reserve.time", "-2")])).is_err());
    }

    #[test]
    fn a_topic_that_is_there_keeps_what_may_not_change() {
        let current = map(&[("queue.type", "SimpleCQ"), ("message.type", "NORMAL")]);
        let changed = altered(Some(&current), &map(&[("+message.type", "DELAY")])).unwrap();
        assert_eq!(changed, map(&[("queue.type", "SimpleCQ"), ("message.type", "DELAY")]));
        let removed = altered(Some(&current), &map(&[("-message.type", "")])).unwrap();
        assert_eq!(removed, map(&[("queue.type", "SimpleCQ")]));
        for bad in ["+queue.type", "-queue.type", "-reserve.time", "message.type", "+", "", "+a+b", "é"] {
            assert!(altered(Some(&current), &map(&[(bad, "SimpleCQ")])).is_err(), "{bad}");
        }
    }
}
