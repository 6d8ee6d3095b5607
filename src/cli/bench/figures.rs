//! Figures that one case alone tells: rows of the table, and one object in the JSON.

use super::usage::Memory;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figure {
    /// Its name in the JSON.
    pub name: &'static str,
    /// What the table calls it, with its unit.
    pub label: &'static str,
    pub value: f64,
}

/// In the order in which they are shown.
#[derive(Clone, Debug, Default)]
pub struct Figures(pub Vec<Figure>);

impl Figure {
    pub fn text(&self) -> String {
        match self.value.fract() == 0.0 || self.value.abs() >= 1_000.0 {
            true => format!("{:.0}", self.value),
            false => format!("{:.3}", self.value),
        }
    }
}

impl Figures {
    pub fn add(&mut self, name: &'static str, label: &'static str, value: f64) {
        self.0.push(Figure { name, label, value });
    }

    /// The value under `name`.
    pub fn value(&self, name: &str) -> Option<f64> {
        self.0.iter().find(|figure| figure.name == name).map(|figure| figure.value)
    }

    /// What `messages` messages cost the server in memory between two looks at it; nothing where nobody looked.
    pub fn add_growth(&mut self, looks: (Option<Memory>, Option<Memory>), messages: u64) {
        if let (Some(before), Some(after)) = looks {
            let grown = after.total_kib() as f64 - before.total_kib() as f64;
            self.add("memory_growth_kib", "memory they cost, KiB", grown);
            self.add("memory_bytes_each", "memory they cost, bytes each", grown * 1024.0 / messages.max(1) as f64);
        }
    }
}

impl Serialize for Figures {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for figure in &self.0 {
            map.serialize_entry(figure.name, &figure.value)?;
        }
        map.end()
    }
}
