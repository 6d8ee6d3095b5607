//! `--print-config`: each effective value and where it came from, as TOML that `-c` reads back.

use super::binding::Keyed;
use super::keys::{self, Kind};
use super::load::Settings;

/// Column where origins begin.
const ORIGIN_COLUMN: usize = 56;

impl Settings {
    /// Every value with its origin, a line each: the process's, then each role's under its own heading. It is a TOML file
    /// that means the same settings.
    #[must_use]
    pub fn describe(&self) -> String {
        let mut out = String::new();
        section(&mut out, &self.process);
        for (name, text, origin) in &self.without_meaning {
            let kind = keys::find(name).map_or(Kind::Text, |key| key.kind);
            value_line(&mut out, name, &kind.toml(text), &format!("{origin}; without meaning here"));
        }
        if let Some(namesrv) = &self.namesrv {
            out.push_str("\n[namesrv]\n");
            section(&mut out, namesrv);
        }
        if let Some(broker) = &self.broker {
            out.push_str("\n[broker]\n");
            section(&mut out, broker);
        }
        out
    }
}

fn section<C: Keyed>(out: &mut String, config: &C) {
    for binding in C::bindings() {
        let origin = config.provenance().origin(binding.key);
        let Some(key) = keys::find(binding.key) else {
            continue;
        };
        match (binding.show)(config) {
            Some(text) => value_line(out, &key.toml_name(), &key.kind.toml(&text), origin),
            None if config.provenance().entries.contains_key(key.name) => {
                out.push_str(&format!("# {} is set ({origin}) and not shown\n", key.toml_name()));
            }
            None => out.push_str(&format!("# {} is not set\n", key.toml_name())),
        }
    }
}

fn value_line(out: &mut String, key: &str, value: &str, origin: &str) {
    let setting = format!("{key} = {value}");
    out.push_str(&format!("{setting:<ORIGIN_COLUMN$} # {origin}\n"));
}
