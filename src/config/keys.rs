//! Every key that RocketMQ 4.9.7 and 5.5.0 know, and our own: the table `keys.tsv`, read once.

use std::collections::HashMap;
use std::sync::LazyLock;

/// The part of our own keys' names that the environment and TOML may leave out.
const OWN_PREFIX: &str = "actormq";

/// One known key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) name: &'static str,
    /// Letters of the classes that hold it; `keys.tsv` lists them.
    pub(super) classes: &'static str,
    pub(super) kind: Kind,
    /// Its default; `None` where that is null.
    pub(super) default: Option<&'static str>,
}

/// Java's type of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Int,
    Long,
    Double,
    Boolean,
    Text,
}

static TABLE: LazyLock<Vec<Key>> = LazyLock::new(|| include_str!("keys.tsv").lines().filter_map(read_line).collect());
static BY_NAME: LazyLock<HashMap<&'static str, &'static Key>> =
    LazyLock::new(|| TABLE.iter().map(|key| (key.name, key)).collect());
static BY_LETTERS: LazyLock<HashMap<String, &'static Key>> = LazyLock::new(|| {
    let own = TABLE.iter().filter_map(|key| Some((letters(key.name.strip_prefix(OWN_PREFIX)?), key)));
    // Of `tls.test.mode.enable` and the proxy's `tlsTestModeEnable` the one with meaning counts: the last.
    let (dotted, plain): (Vec<&Key>, Vec<&Key>) = TABLE.iter().partition(|key| key.name.contains('.'));
    plain
        .into_iter()
        .map(|key| (letters(key.name), key))
        .chain(own)
        .chain(dotted.into_iter().map(|key| (letters(key.name), key)))
        .collect()
});

/// All known keys, in the order of their names.
pub(super) fn all() -> &'static [Key] {
    &TABLE
}

/// The key with exactly this name.
pub(super) fn find(name: &str) -> Option<&'static Key> {
    BY_NAME.get(name).copied()
}

/// The key with these letters, whatever their case and the underscores and dots between them: `BROKER_NAME`, `broker_name`,
/// `tls_server_mode`. Our own keys also without their prefix: `LOG_LEVEL`.
pub(super) fn find_spelled(name: &str) -> Option<&'static Key> {
    find(name).or_else(|| BY_LETTERS.get(&letters(name)).copied())
}

/// The known key that is most like `name`, when one is.
pub(super) fn nearest(name: &str) -> Option<&'static str> {
    const NAME_BYTES_MAX: usize = 64;
    if name.len() > NAME_BYTES_MAX {
        return None;
    }
    let wanted = letters(name);
    let allowed = (wanted.len() / 4).clamp(1, 5);
    let near_in_length = TABLE.iter().filter(|key| key.name.len().abs_diff(wanted.len()) <= allowed);
    let distances = near_in_length.map(|key| (distance(wanted.as_bytes(), letters(key.name).as_bytes()), key.name));
    distances.min().filter(|(steps, _)| *steps <= allowed).map(|(_, name)| name)
}

impl Key {
    /// The name as TOML files have it: a dot there would mean a table.
    pub(super) fn toml_name(&self) -> String {
        self.name.replace('.', "_")
    }

    /// 5.5.0 has the key in one of these classes.
    pub(super) fn is_in(&self, classes: &str) -> bool {
        self.classes.contains(|class| classes.contains(class))
    }
}

impl Kind {
    /// What a text must be for Java to take it; `Err` says so.
    pub(super) fn check(self, text: &str) -> Result<(), String> {
        let (fits, allowed) = match self {
            Self::Int => (text.parse::<i32>().is_ok(), "a whole number of 32 bits"),
            Self::Long => (text.parse::<i64>().is_ok(), "a whole number"),
            Self::Double => (text.parse::<f64>().is_ok(), "a number"),
            Self::Boolean => (super::values::switch(text).is_ok(), "true or false"),
            Self::Text => (true, ""),
        };
        if fits { Ok(()) } else { Err(allowed.into()) }
    }

    /// The text as a TOML value.
    pub(super) fn toml(self, text: &str) -> String {
        match self {
            Self::Boolean => text.to_ascii_lowercase(),
            Self::Int | Self::Long if text.parse::<i64>().is_ok() => text.trim_start_matches('+').to_string(),
            _ => format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")),
        }
    }
}

fn read_line(line: &'static str) -> Option<Key> {
    let mut columns = line.split('\t');
    let (name, classes) = (columns.next()?, columns.next()?);
    let kind = match columns.next()? {
        "int" => Kind::Int,
        "long" => Kind::Long,
        "double" => Kind::Double,
        "boolean" => Kind::Boolean,
        _ => Kind::Text,
    };
    Some(Key { name, classes, kind, default: columns.next().filter(|text| *text != "null") })
}

fn letters(name: &str) -> String {
    name.chars().filter(|c| !matches!(c, '_' | '.')).map(|c| c.to_ascii_lowercase()).collect()
}

/// Levenshtein's distance between two short names.
fn distance(left: &[u8], right: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (above, left_byte) in left.iter().enumerate() {
        let mut diagonal = above;
        let mut before = above + 1;
        for (cell, right_byte) in row.iter_mut().skip(1).zip(right) {
            let replaced = diagonal + usize::from(left_byte != right_byte);
            diagonal = *cell;
            *cell = replaced.min(before + 1).min(diagonal + 1);
            before = *cell;
        }
        if let Some(first) = row.first_mut() {
            *first = above + 1;
        }
    }
    row.last().copied().unwrap_or(left.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_holds_what_a_5_5_0_broker_answers() {
        let answered = all().iter().filter(|key| key.is_in("BVLS") && key.default.is_some());
        assert_eq!(answered.count(), 484);
        assert_eq!(find("brokerPermission").unwrap().default, Some("6"));
        assert!(find("brokerpermission").is_none());
    }

    #[test]
    fn spellings_lead_to_one_key_each() {
        let own = all().iter().filter_map(|key| key.name.strip_prefix(OWN_PREFIX));
        let plain = all().iter().map(|key| key.name).filter(|name| *name != "tlsTestModeEnable");
        let mut spelled: Vec<String> = plain.chain(own).map(letters).collect();
        let count = spelled.len();
        spelled.sort();
        spelled.dedup();
        assert_eq!(spelled.len(), count);
        assert_eq!(find_spelled("BROKER_IP1").unwrap().name, "brokerIP1");
        assert_eq!(find_spelled("check_crc_on_recover").unwrap().name, "checkCRCOnRecover");
        assert_eq!(find_spelled("LOG_LEVEL").unwrap().name, "actormqLogLevel");
        assert_eq!(find_spelled("TLS_SERVER_MODE").unwrap().name, "tls.server.mode");
        assert_eq!(find_spelled("TLS_TEST_MODE_ENABLE").unwrap().name, "tls.test.mode.enable");
        assert_eq!(find_spelled("tlsTestModeEnable").unwrap().name, "tlsTestModeEnable");
    }

    #[test]
    fn the_nearest_key_is_found_when_there_is_one() {
        assert_eq!(nearest("brokerNmae"), Some("brokerName"));
        assert_eq!(nearest("flushDiskTyp"), Some("flushDiskType"));
        assert_eq!(nearest("broker_name"), Some("brokerName"));
        assert_eq!(nearest("somethingQuiteDifferent"), None);
        assert_eq!(nearest(&"x".repeat(1_000_000)), None);
        assert_eq!(distance(b"kitten", b"sitting"), 3);
        assert_eq!(distance(b"", b"abc"), 3);
    }
}
