//! What commands print: tables for people, JSON for programs.

use std::io::{self, IsTerminal as _, Write as _};

use clap::Args;
use comfy_table::presets::NOTHING;
use comfy_table::{Attribute, Cell, CellAlignment, ContentArrangement, Table};
use serde::Serialize;

/// How a command tells what it found.
#[derive(Debug, Clone, Copy, Args)]
pub struct OutputArgs {
    /// One JSON object a line, for scripts
    #[arg(long)]
    pub json: bool,
}

impl OutputArgs {
    /// Tells of each row: an object a line, or one table. Without rows, people read `nothing` on standard error.
    ///
    /// # Errors
    /// When standard output cannot be written to.
    pub fn rows<R: Serialize>(
        self,
        rows: &[R],
        columns: &[&str],
        cells: impl Fn(&R) -> Vec<String>,
        nothing: &str,
    ) -> io::Result<()> {
        if self.json {
            return rows.iter().try_for_each(json);
        }
        if rows.is_empty() {
            // Nobody is left to hear of a closed standard error.
            let _ = writeln!(io::stderr(), "{nothing}");
            return Ok(());
        }
        say(&table(columns, rows.iter().map(cells).collect()))
    }

    /// Says in one line what was done: `done` to programs, `text` to people.
    ///
    /// # Errors
    /// When standard output cannot be written to.
    pub fn done(self, done: &impl Serialize, text: &str) -> io::Result<()> {
        if self.json { json(done) } else { say(text) }
    }
}

/// One object, one line.
///
/// # Errors
/// When standard output cannot be written to.
pub fn json(value: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    io::stdout().lock().write_all(&line)
}

/// A line, or several.
///
/// # Errors
/// When standard output cannot be written to.
pub fn say(text: &str) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{text}")
}

/// Columns side by side, numbers to the right. Bold heads on a terminal only.
#[must_use]
pub fn table(columns: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING);
    if has_colour() {
        table.set_content_arrangement(ContentArrangement::Dynamic);
    } else {
        table.force_no_tty();
    }
    table.set_header(columns.iter().map(|name| Cell::new(name).add_attribute(Attribute::Bold)));
    let is_number = |text: &String| text == "-" || text.trim_end_matches(['%', '/', 's']).parse::<f64>().is_ok();
    for at in 0..columns.len() {
        let numbers = rows.iter().filter_map(|row| row.get(at)).all(is_number);
        if let Some(column) = table.column_mut(at) {
            column.set_padding((0, 2));
            if numbers && !rows.is_empty() {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
    }
    table.add_rows(rows);
    let text = table.to_string();
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    lines.join("\n")
}

/// Whether colours and bold letters are wanted: by a person at a terminal who did not say no.
#[must_use]
pub fn has_colour() -> bool {
    io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Bits of a permission as letters.
#[must_use]
pub fn permission(bits: i32) -> &'static str {
    match (bits & 4 != 0, bits & 2 != 0) {
        (true, true) => "rw",
        (true, false) => "r",
        (false, true) => "w",
        (false, false) => "none",
    }
}

/// A rate a second.
#[must_use]
pub fn rate(per_second: f64) -> String {
    if per_second >= 100.0 || per_second == 0.0 { format!("{per_second:.0}") } else { format!("{per_second:.1}") }
}

/// Names joined, or a dash.
#[must_use]
pub fn list<S: AsRef<str>>(names: impl IntoIterator<Item = S>) -> String {
    let mut text = String::new();
    for name in names {
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(name.as_ref());
    }
    if text.is_empty() { "-".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_to_the_right() {
        let rows = vec![vec!["a".into(), "5".into()], vec!["long".into(), "1000".into()]];
        assert_eq!(table(&["name", "lag"], rows), "name   lag\na        5\nlong  1000");
    }

    #[test]
    fn permissions_are_letters() {
        assert_eq!([6, 4, 2, 0].map(permission), ["rw", "r", "w", "none"]);
    }
}
