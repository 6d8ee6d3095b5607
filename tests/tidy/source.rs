//! One source file, as far as the house rules look into it: text, not syntax.

use std::path::Path;

/// A source file.
pub struct Source {
    /// Path under the project's root, with slashes.
    pub path: String,
    pub text: String,
    /// The text with comments and literals blanked, line by line the same.
    pub code: String,
    /// Lines before the tests at the end.
    production: usize,
}

/// A function with a body.
pub struct Function {
    pub line: usize,
    pub name: String,
    /// From its `fn` to its closing brace.
    pub lines: usize,
    /// Without `self`.
    pub parameters: usize,
}

impl Source {
    pub fn read(root: &Path, path: &Path) -> Self {
        let text = std::fs::read_to_string(path).expect("a source can be read");
        let path = path.strip_prefix(root).expect("a source lies under the root");
        Self::new(path.to_str().expect("a source's path is text").replace('\\', "/"), text)
    }

    pub fn new(path: String, text: String) -> Self {
        let code = blanked(&text);
        let lines: Vec<&str> = code.lines().collect();
        let tests = lines.windows(2).position(|pair| {
            pair[0] == "#[cfg(test)]"
                && pair[1].trim_start_matches("pub ").starts_with("mod ")
                && pair[1].ends_with('{')
        });
        let production = tests.unwrap_or(lines.len());
        Self { path, text, code, production }
    }

    /// Whether it is part of the program, not of its tests.
    pub fn is_production(&self) -> bool {
        let file = self.path.rsplit('/').next().unwrap_or_default();
        self.path.starts_with("src/") && !["tests.rs", "testing.rs"].contains(&file) && !file.ends_with("_tests.rs")
    }

    pub fn production_lines(&self) -> usize {
        self.production
    }

    fn production_code(&self) -> String {
        self.code.lines().take(self.production).collect::<Vec<_>>().join("\n")
    }

    /// `a::b` for `src/a/b.rs` and `src/a/b/mod.rs`.
    pub fn module(&self) -> String {
        let path = self.path.trim_start_matches("src/").trim_end_matches(".rs").trim_end_matches("/mod");
        if path == "lib" { String::new() } else { path.replace('/', "::") }
    }

    /// Types, traits, functions, modules: line, keyword, name.
    pub fn declarations(&self) -> Vec<(usize, &'static str, String)> {
        let mut found = Vec::new();
        for keyword in ["struct", "enum", "trait", "type", "fn", "mod"] {
            let places = words(&self.code, keyword);
            found.extend(places.map(|(at, name)| (line_at(&self.code, at), keyword, name.to_owned())));
        }
        found.sort_unstable();
        found
    }

    pub fn functions(&self) -> Vec<Function> {
        let code = self.production_code();
        let mut found = Vec::new();
        for (at, name) in words(&code, "fn") {
            let Some(open) = code[at..].find('(').map(|open| at + open) else { continue };
            let Some(close) = closing(&code, open) else { continue };
            let Some(body) = code[close..].find(['{', ';']).map(|body| close + body) else { continue };
            if code[body..].starts_with('{')
                && let Some(end) = closing(&code, body)
            {
                let (line, last) = (line_at(&code, at), line_at(&code, end));
                let parameters = pieces(&code[open + 1..close]).into_iter().filter(|piece| !is_self(piece)).count();
                found.push(Function { line, name: name.to_owned(), lines: last - line + 1, parameters });
            }
        }
        found
    }

    /// Structs with named fields: line, name, number of fields.
    pub fn structs(&self) -> Vec<(usize, String, usize)> {
        let code = self.production_code();
        let mut found = Vec::new();
        for (at, name) in words(&code, "struct") {
            let Some(open) = code[at..].find(['{', ';', '(']).map(|open| at + open) else { continue };
            if code[open..].starts_with('{')
                && let Some(end) = closing(&code, open)
            {
                let fields = pieces(&code[open + 1..end]).len();
                found.push((line_at(&code, at), name.to_owned(), fields));
            }
        }
        found
    }

    /// Paths of this crate that production code names: line, path without `crate::`.
    pub fn own_paths(&self) -> Vec<(usize, String)> {
        let code = self.production_code();
        let mut found = Vec::new();
        for (at, _) in code.match_indices("crate::") {
            if !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':') {
                let mut paths = Vec::new();
                expand("", &code[at + "crate::".len()..], &mut paths);
                found.extend(paths.into_iter().map(|path| (line_at(&code, at), path)));
            }
        }
        let module = self.module();
        for (at, _) in code.match_indices("super::") {
            if code[..at].ends_with("super::") {
                continue;
            }
            let climbs = code[at..].split("::").take_while(|part| *part == "super").count();
            let parts: Vec<&str> = module.split("::").collect();
            if climbs >= parts.len() {
                let mut paths = Vec::new();
                expand("", &code[at + climbs * "super::".len()..], &mut paths);
                found.extend(paths.into_iter().map(|path| (line_at(&code, at), path)));
            }
        }
        found
    }

    /// Where production code names one of `paths`, which are not ours.
    pub fn foreign_paths<'a>(&self, paths: &[&'a str]) -> Vec<(usize, &'a str)> {
        let code = self.production_code();
        let mut found = Vec::new();
        for path in paths {
            let starts = code.match_indices(path).filter(|(at, _)| {
                let part_of_a_word = |c: char| c.is_alphanumeric() || c == '_';
                !code[..*at].ends_with(|c: char| part_of_a_word(c) || c == ':')
                    && !code[at + path.len()..].starts_with(part_of_a_word)
            });
            found.extend(starts.map(|(at, _)| (line_at(&code, at), *path)));
        }
        found
    }
}

fn is_self(parameter: &str) -> bool {
    let name = parameter.split(':').next().unwrap_or_default();
    name.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == "self")
}

fn line_at(code: &str, at: usize) -> usize {
    code[..at].matches('\n').count() + 1
}

/// Names that follow `keyword`, with where the keyword stands.
fn words<'a>(code: &'a str, keyword: &'a str) -> impl Iterator<Item = (usize, &'a str)> {
    code.match_indices(keyword).filter_map(move |(at, _)| {
        if code[..at].ends_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '#' | '\'')) {
            return None;
        }
        let rest = code[at + keyword.len()..].strip_prefix(' ')?;
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        let name = &rest[..end];
        name.starts_with(|c: char| c.is_alphabetic() || c == '_').then_some((at, name))
    })
}

/// Where the bracket at `open` is closed.
fn closing(code: &str, open: usize) -> Option<usize> {
    let mut depth = 0usize;
    for (at, c) in code[open..].char_indices() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(open + at);
                }
            }
            _ => {}
        }
    }
    None
}

/// What commas outside of brackets separate, without what is empty.
fn pieces(list: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let (mut depth, mut from, mut before) = (0i32, 0, ' ');
    for (at, c) in list.char_indices() {
        match c {
            '(' | '[' | '{' | '<' => depth += 1,
            '>' if matches!(before, '-' | '=') => {}
            ')' | ']' | '}' | '>' => depth -= 1,
            ',' if depth == 0 => {
                found.push(&list[from..at]);
                from = at + 1;
            }
            _ => {}
        }
        before = c;
    }
    found.push(&list[from..]);
    found.retain(|piece| !piece.trim().is_empty());
    found
}

/// The paths of a use tree: `a::{b, c::d}` is `a::b` and `a::c::d`.
fn expand(prefix: &str, tree: &str, found: &mut Vec<String>) {
    let tree = tree.trim_start();
    if tree.starts_with('{') {
        let end = closing(tree, 0).unwrap_or(tree.len());
        pieces(&tree[1..end]).into_iter().for_each(|piece| expand(prefix, piece, found));
        return;
    }
    let end = tree.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(tree.len());
    let (name, rest) = tree.split_at(end);
    let path = match (prefix, name) {
        (_, "self" | "") => prefix.to_owned(),
        ("", name) => name.to_owned(),
        (prefix, name) => format!("{prefix}::{name}"),
    };
    match rest.strip_prefix("::") {
        Some(rest) if rest.starts_with('{') || rest.starts_with(char::is_alphabetic) => expand(&path, rest, found),
        _ => found.push(path),
    }
}

/// The text with comments, strings and characters blanked: what is left has the same lines and the same brackets.
fn blanked(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let length = blank_length(rest, out.chars().next_back()).unwrap_or(0);
        if length == 0 {
            out.push(c);
            rest = &rest[c.len_utf8()..];
        } else {
            out.extend(rest[..length].chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
            rest = &rest[length..];
        }
    }
    out
}

/// Bytes of the comment or literal that `rest` begins with; `None` when it begins with something else.
fn blank_length(rest: &str, before: Option<char>) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return Some(rest.find("*/").map_or(rest.len(), |end| end + 2));
    }
    if rest.starts_with('"') {
        return Some(quoted_length(rest, '"'));
    }
    let in_word = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    if !in_word && (rest.starts_with('r') || rest.starts_with("br")) {
        let hashes = rest.trim_start_matches(['b', 'r']);
        let count = hashes.len() - hashes.trim_start_matches('#').len();
        if hashes[count..].starts_with('"') {
            let start = rest.len() - hashes.len() + count + 1;
            let end = format!("\"{}", "#".repeat(count));
            return Some(rest[start..].find(&end).map_or(rest.len(), |at| start + at + end.len()));
        }
        return None;
    }
    let inner = rest.strip_prefix('\'')?;
    // A character ends with a quote; a lifetime does not.
    let mut characters = inner.chars();
    match (characters.next()?, characters.next()) {
        ('\\', _) => Some(quoted_length(rest, '\'')),
        (c, Some('\'')) => Some(2 + c.len_utf8()),
        _ => None,
    }
}

fn quoted_length(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        if c == quote && !escaped {
            return at + 1;
        }
        escaped = c == '\\' && !escaped;
    }
    rest.len()
}
