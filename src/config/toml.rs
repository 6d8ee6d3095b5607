//! TOML files: read by the `config` crate, with the lines of their keys found again for messages; and rewritten line by line.

use std::path::Path;

use config::{FileFormat, Source, Value, ValueKind};

use super::keys;
use super::layer::{Given, Scope, shortened};
use super::notice::{ConfigError, at};

/// Tables of a TOML file, with the role they speak to and what their keys begin with.
const TABLES: [(&str, Scope, &str); 4] = [
    ("broker", Scope::Broker, ""),
    ("namesrv", Scope::Namesrv, ""),
    ("log", Scope::Any, "actormq_log_"),
    ("tls", Scope::Any, "tls_"),
];

/// What the file says, in its order.
pub(super) fn given(text: &str, path: &Path) -> Result<Vec<Given>, ConfigError> {
    let tree = config::File::from_str(text, FileFormat::Toml).collect().map_err(|error| error_at(&error, path))?;
    let lines = lines_of(text);
    let line = |table: &str, key: &str| {
        lines.iter().find(|line| line.table == table && line.key == key).map(|line| line.number)
    };
    let mut found = Vec::new();
    for (key, value) in tree {
        match value.kind {
            ValueKind::Table(members) => {
                let Some((_, scope, prefix)) = TABLES.iter().find(|(table, ..)| *table == key) else {
                    let origin = at(path, line(&key, ""));
                    let what =
                        format!("unknown table [{}]; known are [broker], [namesrv], [log] and [tls]", shortened(&key));
                    return Err(ConfigError::Syntax { origin, what });
                };
                for (member, value) in
                    members.into_iter().flat_map(|(member, value)| leaves(member, value, *prefix == "tls_"))
                {
                    let number = line(&key, &member).or_else(|| line(&key, "")).or_else(|| line("", &key));
                    let place = (*scope, format!("{prefix}{member}"));
                    found.push((number, scalar(place, value, at(path, number))?));
                }
            }
            kind => {
                let number = line("", &key);
                let value = Value::new(None, kind);
                found.push((number, scalar((Scope::Any, key), value, at(path, number))?));
            }
        }
    }
    found.sort_by(|left, right| left.0.cmp(&right.0).then_with(|| left.1.key.cmp(&right.1.key)));
    Ok(found.into_iter().map(|(_, given)| given).collect())
}

/// RocketMQ's names of the TLS keys have dots, which TOML takes for tables within tables.
fn leaves(name: String, value: Value, is_nested: bool) -> Vec<(String, Value)> {
    match value.kind {
        ValueKind::Table(members) if is_nested => {
            let named = members.into_iter().map(|(member, value)| (format!("{name}.{member}"), value));
            named.flat_map(|(name, value)| leaves(name, value, true)).collect()
        }
        kind => vec![(name, Value::new(None, kind))],
    }
}

fn scalar((scope, key): (Scope, String), value: Value, origin: String) -> Result<Given, ConfigError> {
    let text = match value.kind {
        ValueKind::Array(items) => {
            let texts: Result<Vec<String>, _> = items.into_iter().map(Value::into_string).collect();
            texts.map(|texts| texts.join(";"))
        }
        _ => value.into_string(),
    };
    match text {
        Ok(text) => Ok(Given { scope, key, text, origin }),
        Err(_) => {
            let what = format!("{} must be a text, a number, a boolean or a list of these", shortened(&key));
            Err(ConfigError::Syntax { origin, what })
        }
    }
}

/// The parser's message on one line, with the line of the file that it names.
fn error_at(error: &config::ConfigError, path: &Path) -> ConfigError {
    let message = error.to_string();
    let number = message.split_once("at line ").and_then(|(_, rest)| {
        rest.split(|c: char| !c.is_ascii_digit()).next().and_then(|digits| digits.parse::<usize>().ok())
    });
    let what = message.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or_default();
    ConfigError::Syntax { origin: at(path, number), what: format!("is no TOML: {what}") }
}

/// One line of a TOML file that begins a table (its key is empty) or sets a key.
#[derive(Clone, Debug, PartialEq, Eq)]
struct KeyLine {
    table: String,
    key: String,
    number: usize,
}

/// Where tables and keys stand. The parser has already said that the text is TOML; a line inside a text of several lines
/// may be taken for a key, which can only name a wrong line in a message.
fn lines_of(text: &str) -> Vec<KeyLine> {
    let unquoted = |part: &str| part.trim().trim_matches(['"', '\'']).to_string();
    let mut table = String::new();
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim_start();
        let number = index + 1;
        if let Some(header) = line.strip_prefix('[') {
            let Some((name, _)) = header.split_once(']') else {
                continue;
            };
            table = unquoted(name);
            found.push(KeyLine { table: table.clone(), key: String::new(), number });
        } else if let Some((key, _)) = line.split_once('=').filter(|_| !line.starts_with('#')) {
            let line = match key.split_once('.').filter(|_| table.is_empty()) {
                Some((outer, inner)) => KeyLine { table: unquoted(outer), key: unquoted(inner), number },
                None => KeyLine { table: table.clone(), key: unquoted(key), number },
            };
            found.push(line);
        }
    }
    found
}

/// The text with these keys set for `scope`: a line that sets one is replaced, others are added below the scope's table, or
/// at the top where it has none.
///
/// # Errors
/// Why it cannot be done, when the text is written in a way that replacing a line does not change the setting.
pub(super) fn rewrite(text: &str, changes: &[(&str, &str)], scope: Scope) -> Result<String, String> {
    let table = TABLES.iter().find(|(_, of, _)| *of == scope).map_or("", |(table, ..)| *table);
    let mut lines: Vec<String> = text.lines().map(String::from).collect();
    let places = lines_of(text);
    let mut added = Vec::new();
    for (key, value) in changes {
        let Some(known) = keys::find(key) else {
            continue;
        };
        let setting = format!("{} = {}", known.toml_name(), known.kind.toml(value));
        let is_key = |line: &&KeyLine| keys::find_spelled(&line.key).is_some_and(|found| found.name == *key);
        let in_table = places.iter().filter(|line| line.table == table).find(is_key);
        let place = in_table.or_else(|| places.iter().filter(|line| line.table.is_empty()).find(is_key));
        match place.and_then(|line| lines.get_mut(line.number - 1)) {
            Some(line) => *line = setting,
            None => added.push(setting),
        }
    }
    let header = places.iter().find(|line| line.table == table && line.key.is_empty() && !table.is_empty());
    let at = header.map_or(0, |line| line.number.min(lines.len()));
    lines.splice(at..at, added);
    let rewritten = lines.join("\n") + "\n";
    verify(&rewritten, changes, scope)?;
    Ok(rewritten)
}

fn verify(text: &str, changes: &[(&str, &str)], scope: Scope) -> Result<(), String> {
    let found = given(text, Path::new("")).map_err(|_| "a key has a value of several lines".to_string())?;
    for (key, value) in changes {
        let is_key = |given: &&Given| keys::find_spelled(&given.key).is_some_and(|found| found.name == *key);
        let own = found.iter().filter(|given| given.scope == scope).find(is_key);
        let read = own.or_else(|| found.iter().filter(|given| given.scope == Scope::Any).find(is_key));
        if !read.is_some_and(|given| given.text.eq_ignore_ascii_case(value)) {
            return Err(format!("{key} does not stand on a line of its own"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_toml(text: &str) -> Result<Vec<(Scope, String, String, String)>, String> {
        let found = given(text, Path::new("a.toml")).map_err(|error| error.to_string())?;
        Ok(found.into_iter().map(|given| (given.scope, given.key, given.text, given.origin)).collect())
    }

    #[test]
    fn toml_values_keep_their_lines() {
        let text = "# top\nbrokerId = 1\n\"trace_on\" = true\nnamesrvAddr = [\"a:1\", \"b:2\"]\nbroker.listenPort=7\n\
                    log = { level = \"debug\" }\n[namesrv]\nlistenPort = 9\n";
        let owned = |scope, key: &str, text: &str, origin: &str| (scope, key.into(), text.into(), origin.into());
        let expected = [
            owned(Scope::Any, "brokerId", "1", "a.toml:2"),
            owned(Scope::Any, "trace_on", "true", "a.toml:3"),
            owned(Scope::Any, "namesrvAddr", "a:1;b:2", "a.toml:4"),
            owned(Scope::Broker, "listenPort", "7", "a.toml:5"),
            owned(Scope::Any, "actormq_log_level", "debug", "a.toml:6"),
            owned(Scope::Namesrv, "listenPort", "9", "a.toml:8"),
        ];
        assert_eq!(read_toml(text).unwrap(), expected);
    }

    #[test]
    fn broken_toml_is_refused_on_one_line() {
        let error = read_toml("a = 1\nb = = 2\n").unwrap_err();
        assert!(error.starts_with("a.toml:2: is no TOML: "), "{error}");
        assert!(!error.contains('\n'), "{error}");
        let error = read_toml("a = 1\n[brocker]\nb = 2\n").unwrap_err();
        assert_eq!(error, "a.toml:2: unknown table [brocker]; known are [broker], [namesrv], [log] and [tls]");
        let error = read_toml("[broker]\nlistenPort = {a = 1}\n").unwrap_err();
        assert_eq!(error, "a.toml:2: listenPort must be a text, a number, a boolean or a list of these");
    }

    #[test]
    fn rewriting_sets_keys_where_they_stand_or_in_the_role_s_table() {
        let changes = [("traceOn", "FALSE"), ("brokerPermission", "4"), ("regionId", "a \"b\"")];
        let text = "# mine\ntrace_on = true # now\n[broker]\nbrokerPermission = 6\n[log]\nlevel = \"info\"";
        let expected = "# mine\ntraceOn = false\n[broker]\nregionId = \"a \\\"b\\\"\"\nbrokerPermission = 4\n\
                        [log]\nlevel = \"info\"\n";
        assert_eq!(rewrite(text, &changes, Scope::Broker).unwrap(), expected);
        let text = "[log]\nlevel = \"info\"";
        let expected = "traceOn = false\n[log]\nlevel = \"info\"\n";
        assert_eq!(rewrite(text, &changes[..1], Scope::Broker).unwrap(), expected);
        assert_eq!(rewrite("", &changes[..1], Scope::Namesrv).unwrap(), "traceOn = false\n");
    }

    #[test]
    fn what_cannot_be_rewritten_is_refused() {
        let several = "namesrvAddr = [\n\"a:1\",\n]\n";
        assert!(rewrite(several, &[("namesrvAddr", "b:2")], Scope::Broker).is_err());
        let inline = "broker = { traceOn = true }\n";
        assert!(rewrite(inline, &[("traceOn", "false")], Scope::Broker).is_err());
    }
}
