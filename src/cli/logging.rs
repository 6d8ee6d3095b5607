//! Where log lines go: standard error, or a file that a new one follows each day; as text or as JSON.

use std::io;
use std::path::PathBuf;

use tracing_appender::non_blocking::WorkerGuard;
use tracing_appender::rolling::{InitError, RollingFileAppender, Rotation};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{LogConfig, LogFormat};

/// Days whose files are kept.
const FILES_MAX: usize = 31;

/// While this lives, lines reach their file; dropped, what is still under way is written.
#[derive(Debug)]
#[must_use = "lines that are under way are lost without it"]
pub struct LogGuard {
    _writer: Option<WorkerGuard>,
}

/// Why nothing can be logged.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("actormqLogLevel {level:?} is no filter: {source}")]
    Level { level: String, source: tracing_subscriber::filter::ParseError },
    #[error("no log file can be made in {}: {source}; choose another --log-file", dir.display())]
    File { dir: PathBuf, source: InitError },
    #[error("logging was set up before: {0}")]
    SetUpBefore(#[from] tracing_subscriber::util::TryInitError),
}

/// Sets up logging for the whole process, once.
///
/// # Errors
/// A level that is no filter, a directory in which no file can be made, or logging that was set up before.
pub fn set_up(config: &LogConfig) -> Result<LogGuard, LogError> {
    let level = &config.level;
    let filter = EnvFilter::try_new(level).map_err(|source| LogError::Level { level: level.clone(), source })?;
    let Some(dir) = &config.dir else {
        subscribe(filter, config.format, io::stderr)?;
        return Ok(LogGuard { _writer: None });
    };
    let file = RollingFileAppender::builder()
        .rotation(Rotation::DAILY)
        .filename_prefix("actormq")
        .filename_suffix("log")
        .max_log_files(FILES_MAX)
        .build(dir)
        .map_err(|source| LogError::File { dir: dir.clone(), source })?;
    let (writer, guard) = tracing_appender::non_blocking(file);
    subscribe(filter, config.format, writer)?;
    Ok(LogGuard { _writer: Some(guard) })
}

fn subscribe<W>(filter: EnvFilter, format: LogFormat, writer: W) -> Result<(), LogError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer).with_ansi(false);
    match format {
        LogFormat::Text => builder.finish().try_init()?,
        LogFormat::Json => builder.json().flatten_event(true).finish().try_init()?,
    }
    Ok(())
}
