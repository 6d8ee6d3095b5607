//! The house rules that a machine can check: which room may import which, lengths, names, words. One sweep over the
//! sources; every breach is one line that says where, what and how much is allowed.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::{Path, PathBuf};

#[path = "tidy/source.rs"]
mod source;

use source::Source;

const FILE_LINES_MAX: usize = 400;
const FUNCTION_LINES_MAX: usize = 60;
const PARAMETERS_MAX: usize = 5;
const FIELDS_MAX: usize = 12;
const FOLDER_FILES_MAX: usize = 21;
/// Lines above an `unsafe` in which its reason is looked for: a statement may be wrapped.
const SAFETY_LINES_ABOVE: usize = 4;

/// A room: its module path, what of ours it may import, what of others' it must not know.
struct Room {
    path: &'static str,
    imports: &'static [&'static str],
    never: &'static [&'static str],
}

/// From the bottom up: a room imports only from rows above its own. The longest path that fits a file is its room.
const ROOMS: &[Room] = &[
    Room { path: "protocol", imports: &[], never: &["tokio", "actix", "std::fs"] },
    Room { path: "rules", imports: &["protocol"], never: &["tokio", "actix", "std::fs", "std::time::SystemTime"] },
    Room { path: "store", imports: &["protocol"], never: &["tokio", "actix"] },
    Room { path: "remoting", imports: &["protocol"], never: &["actix"] },
    Room { path: "metrics", imports: &["protocol::names"], never: &["tokio", "actix"] },
    Room { path: "config", imports: &["protocol::names"], never: &["tokio", "actix"] },
    Room { path: "actors::rebalance", imports: &["protocol", "rules"], never: &[] },
    Room {
        path: "actors",
        imports: &["protocol", "rules", "store", "remoting", "config", "metrics", "actors::rebalance"],
        never: &[],
    },
    Room { path: "client", imports: &["protocol", "rules", "remoting", "actors::rebalance"], never: &[] },
    Room {
        path: "server",
        imports: &["protocol", "rules", "store", "remoting", "config", "metrics", "actors", "client"],
        never: &["std::fs::File"],
    },
    Room { path: "embed", imports: &["client", "server", "config"], never: &["std::fs"] },
    // The bench writes and reads frames of its own, so as not to measure the broker's code with itself.
    Room { path: "cli::bench", imports: &["protocol"], never: &["actix"] },
    Room { path: "cli", imports: &["client", "server", "config", "cli::bench"], never: &[] },
];

const BANNED_ENDS: [&str; 10] =
    ["Manager", "Service", "Processor", "Impl", "Helper", "Util", "Utils", "Wrapper", "Factory", "Facade"];
const BANNED_STARTS: [&str; 3] = ["Base", "Abstract", "Default"];
const BANNED_FILES: [&str; 10] =
    ["util", "utils", "common", "misc", "core", "model", "models", "types", "helper", "helpers"];

/// Breaches that are right as they are: the beginning of a line of the report, and why.
const ALLOWED: &[(&str, &str)] = &[
    // Wire structs mirror RocketMQ's, field by field.
    ("src/protocol/header/", "fields"),
    ("src/protocol/body/", "fields"),
    ("src/protocol/record.rs", "fields of Record"),
    // One file for each part of a measuring program that has no other room; it is no part of the broker.
    ("src/cli/bench: files", ""),
];

#[test]
fn the_house_is_tidy() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = Vec::new();
    let mut report = Report::default();
    for top in ["src", "tests", "benches", "examples"] {
        walk(&root.join(top), root, &mut paths, &mut report);
    }
    let sources: Vec<Source> = paths.iter().map(|path| Source::read(root, path)).collect();
    assert!(sources.len() > 100, "only {} sources were found", sources.len());
    let mut edges = BTreeMap::new();
    for source in &sources {
        words(source, &mut report);
        names(source, &mut report);
        reasons(source, &mut report);
        if source.is_production() {
            lengths(source, &mut report);
            imports(source, &mut edges, &mut report);
        }
    }
    cycles(&edges, &mut report);
    assert!(report.0.is_empty(), "{} breaches of the house rules:\n{}", report.0.len(), report.0.join("\n"));
}

/// What is wrong, a line each.
#[derive(Default)]
struct Report(Vec<String>);

impl Report {
    fn add(&mut self, place: impl Display, what: impl Display) {
        let line = format!("{place}: {what}");
        let fits = |(start, kind): &(&str, &str)| line.starts_with(start) && line.contains(kind);
        if !ALLOWED.iter().any(fits) {
            self.0.push(line);
        }
    }

    fn limit(&mut self, place: impl Display, what: &str, count: usize, max: usize) {
        if count > max {
            self.add(place, format!("{what}: {count}, at most {max}"));
        }
    }
}

fn walk(dir: &Path, root: &Path, found: &mut Vec<PathBuf>, report: &mut Report) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    let mut files = 0;
    for path in entries.map(|entry| entry.expect("a directory can be read").path()) {
        if path.is_dir() {
            walk(&path, root, found, report);
            continue;
        }
        files += 1;
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        if BANNED_FILES.contains(&stem) {
            report.add(path.strip_prefix(root).unwrap_or(&path).display(), "a name that says nothing");
        }
        if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    let place = dir.strip_prefix(root).unwrap_or(dir).display().to_string();
    let name = dir.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if BANNED_FILES.contains(&name) {
        report.add(&place, "a name that says nothing");
    }
    if place.starts_with("src") {
        report.limit(place, "files", files, FOLDER_FILES_MAX);
    }
}

fn lengths(source: &Source, report: &mut Report) {
    report.limit(&source.path, "production lines", source.production_lines(), FILE_LINES_MAX);
    for function in source.functions() {
        let place = format!("{}:{}", source.path, function.line);
        report.limit(&place, &format!("lines of fn {}", function.name), function.lines, FUNCTION_LINES_MAX);
        report.limit(&place, &format!("parameters of fn {}", function.name), function.parameters, PARAMETERS_MAX);
    }
    for (line, name, fields) in source.structs() {
        report.limit(format!("{}:{line}", source.path), &format!("fields of {name}"), fields, FIELDS_MAX);
    }
}

/// Words that promise work instead of doing it. Spelled so that this file does not hold them.
fn words(source: &Source, report: &mut Report) {
    let banned = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("todo", "!("),
        concat!("unimpl", "emented!("),
        concat!("static ", "mut "),
    ];
    for (number, line) in source.text.lines().enumerate() {
        for word in banned.iter().filter(|word| line.contains(**word)) {
            report.add(format!("{}:{}", source.path, number + 1), format!("{} does not belong here", word.trim()));
        }
    }
}

fn names(source: &Source, report: &mut Report) {
    for (line, keyword, name) in source.declarations() {
        let place = format!("{}:{line}", source.path);
        let ends = BANNED_ENDS.iter().find(|end| name.ends_with(**end));
        let starts = BANNED_STARTS.iter().find(|start| {
            name.strip_prefix(**start).is_some_and(|rest| rest.is_empty() || rest.starts_with(char::is_uppercase))
        });
        if let Some(part) = ends.or(starts) {
            report.add(&place, format!("{keyword} {name}: {part} names a slot in a framework, not a thing"));
        }
        if keyword == "fn" && name.starts_with("get_") {
            report.add(&place, format!("fn {name}: a getter is called by what it gives"));
        }
    }
}

fn reasons(source: &Source, report: &mut Report) {
    let lines: Vec<&str> = source.text.lines().collect();
    for (number, code) in source.code.lines().enumerate() {
        if !code.contains("unsafe {") && !code.contains("unsafe impl") {
            continue;
        }
        let above = &lines[number.saturating_sub(SAFETY_LINES_ABOVE)..=number];
        if !above.iter().any(|line| line.contains("SAFETY:")) {
            report.add(format!("{}:{}", source.path, number + 1), "unsafe without its SAFETY: reason above it");
        }
    }
}

fn room_of(module: &str) -> Option<&'static Room> {
    let fits = |room: &&Room| is_within(module, room.path);
    ROOMS.iter().filter(fits).max_by_key(|room| room.path.len())
}

fn is_within(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

type Edges = BTreeMap<&'static str, BTreeMap<&'static str, String>>;

fn imports(source: &Source, edges: &mut Edges, report: &mut Report) {
    let module = source.module();
    let Some(room) = room_of(&module) else {
        if !["", "main"].contains(&module.as_str()) {
            report.add(&source.path, "it belongs to no room of the table");
        }
        return;
    };
    for (line, path) in source.own_paths() {
        let place = format!("{}:{line}", source.path);
        let Some(target) = room_of(&path) else { continue };
        if target.path == room.path {
            continue;
        }
        if room.imports.iter().any(|allowed| is_within(&path, allowed)) {
            edges.entry(room.path).or_default().entry(target.path).or_insert(place);
        } else {
            report.add(place, format!("{} must not import crate::{path}", room.path));
        }
    }
    for (line, path) in source.foreign_paths(room.never) {
        report.add(format!("{}:{line}", source.path), format!("{} must not know {path}", room.path));
    }
}

/// Rooms that import each other, through however many others.
fn cycles(edges: &Edges, report: &mut Report) {
    for from in edges.keys().copied() {
        let mut reached = Vec::new();
        let mut next = vec![from];
        while let Some(room) = next.pop() {
            for (target, place) in edges.get(room).into_iter().flatten() {
                if *target == from {
                    report.add(place, format!("{room} imports {from}, which imports {room}: a cycle of rooms"));
                } else if !reached.contains(target) {
                    reached.push(*target);
                    next.push(*target);
                }
            }
        }
    }
}

#[test]
fn breaches_are_found() {
    let text = "use crate::{server::{self, tree::Threads}, protocol::names};\n\
                pub struct StoreManager {\n    a: u8,\n    b: Vec<u8>,\n}\n\
                fn get_x(a: u8, b: (u8, u8), c: Vec<[u8; 2]>) -> u8 {\n    unsafe { f(\"// }\", '{') }\n}\n";
    let source = Source::new("src/store/x.rs".into(), text.into());
    let (mut report, mut edges) = (Report::default(), Edges::new());
    imports(&source, &mut edges, &mut report);
    names(&source, &mut report);
    reasons(&source, &mut report);
    let expected = [
        "src/store/x.rs:1: store must not import crate::server",
        "src/store/x.rs:1: store must not import crate::server::tree::Threads",
        "src/store/x.rs:2: struct StoreManager: Manager names a slot in a framework, not a thing",
        "src/store/x.rs:6: fn get_x: a getter is called by what it gives",
        "src/store/x.rs:7: unsafe without its SAFETY: reason above it",
    ];
    assert_eq!(report.0, expected);
    let functions = source.functions();
    assert_eq!((functions[0].lines, functions[0].parameters, functions.len()), (3, 3, 1));
    assert_eq!(source.structs(), [(2, "StoreManager".to_owned(), 2)]);
    assert_eq!(edges["store"].keys().copied().collect::<Vec<_>>(), ["protocol"]);
}

#[test]
fn cycles_are_found() {
    let edge = |to: &'static str| BTreeMap::from([(to, "here".to_owned())]);
    let edges = Edges::from([("a", edge("b")), ("b", edge("c")), ("c", edge("a")), ("d", edge("a"))]);
    let mut report = Report::default();
    cycles(&edges, &mut report);
    assert_eq!(report.0.len(), 3, "{:?}", report.0);
}
