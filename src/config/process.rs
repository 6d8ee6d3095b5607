//! What a process is told whatever roles it has: how it logs, on how many threads it runs.

use std::path::PathBuf;

use super::binding::{Binding, Keyed, bindings};
use super::notice::{ConfigError, Notice};
use super::provenance::Provenance;
use super::values::{Read, Shown, number, one_of, optional_path};

/// Settings of the process itself.
#[derive(Clone, Debug, Default)]
pub struct ProcessConfig {
    pub log: LogConfig,
    /// Threads for connections; 0: as many as the machine's cores suggest.
    pub io_threads: u32,
    pub(super) provenance: Provenance,
}

/// What is logged, how and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// A level (error, warn, info, debug, trace, off), or `target=level` pairs separated by commas.
    pub level: String,
    pub format: LogFormat,
    /// Directory of a file that a new one follows each day; unset: standard error.
    pub dir: Option<PathBuf>,
}

/// Form of one log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { level: "info".into(), format: LogFormat::Text, dir: None }
    }
}

impl Shown for LogFormat {
    fn shown(&self) -> Option<String> {
        Some(if *self == Self::Text { "text" } else { "json" }.into())
    }
}

impl Keyed for ProcessConfig {
    const CLASSES: &'static str = "";

    fn bindings() -> &'static [Binding<Self>] {
        BINDINGS
    }

    fn provenance(&self) -> &Provenance {
        &self.provenance
    }

    fn provenance_mut(&mut self) -> &mut Provenance {
        &mut self.provenance
    }

    fn check(&mut self) -> Result<Vec<Notice>, ConfigError> {
        Ok(Vec::new())
    }
}

const BINDINGS: &[Binding<ProcessConfig>] = bindings![
    "actormqLogLevel" => NextStart, log.level, level;
    "actormqLogFormat" => NextStart, log.format, |text: &str| { one_of(text, &[LogFormat::Text, LogFormat::Json]) };
    "actormqLogDir" => NextStart, log.dir, optional_path;
    "actormqIoThreads" => NextStart, io_threads, number(" of threads", 0..=1_024);
];

fn level(text: &str) -> Read<String> {
    const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];
    let is_level = |part: &str| LEVELS.iter().any(|level| part.eq_ignore_ascii_case(level));
    let is_target =
        |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b':'));
    let fits = text.split(',').map(str::trim).all(|part| match part.split_once('=') {
        Some((target, level)) => is_target(target) && is_level(level),
        None => is_level(part),
    });
    if fits {
        Ok(text.into())
    } else {
        Err(format!("one of {}, or target=level pairs separated by commas", LEVELS.join(", ")))
    }
}
