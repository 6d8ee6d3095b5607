//! The binary's subcommands. A wrong call or wrong settings end with status 2, a start that failed with 1; each with one
//! line on standard error.

pub mod args;
pub mod bench;
pub mod connect;
pub mod consume;
pub mod logging;
pub mod send;
pub mod serve;

use std::io::Write as _;
use std::process::ExitCode;

use args::{Cli, Command, ServerArgs};

use crate::config::{self, ConfigError};
use crate::server::broker::StartError;

/// Status of a call whose flags or settings are wrong.
const WRONG_CALL: u8 = 2;
/// Status of a start that failed.
const FAILED_START: u8 = 1;

/// Why a command ended badly.
#[derive(Debug, thiserror::Error)]
enum CommandError {
    #[error("{0}")]
    Settings(#[from] ConfigError),
    #[error("{0}")]
    Logging(#[from] logging::LogError),
    #[error("{0}")]
    Start(#[from] StartError),
}

impl CommandError {
    fn status(&self) -> u8 {
        match self {
            Self::Settings(_) => WRONG_CALL,
            Self::Logging(_) | Self::Start(_) => FAILED_START,
        }
    }
}

/// Does what the command line says.
#[must_use]
pub fn run(cli: Cli) -> ExitCode {
    let done = match cli.command {
        Command::Namesrv(args) => run_server(&args),
        Command::Broker(args) => run_server(&args),
        Command::Standalone(args) => run_server(&args),
        Command::Bench(args) => return bench::run(args),
        Command::Send(args) => return send::run(&args),
        Command::Consume(args) => return consume::run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to hear of a closed standard error.
            let _ = writeln!(std::io::stderr(), "actormq: {error}");
            ExitCode::from(error.status())
        }
    }
}

fn run_server(args: &impl ServerArgs) -> Result<(), CommandError> {
    let settings = config::load(&args.sources(environment())?)?;
    if args.common().print_config {
        // Whoever reads it may have read enough and closed it.
        let _ = std::io::stdout().write_all(settings.describe().as_bytes());
        return Ok(());
    }
    let _log = logging::set_up(&settings.process.log)?;
    for notice in &settings.notices {
        if notice.is_warning() {
            tracing::warn!("{notice}");
        } else {
            tracing::info!("{notice}");
        }
    }
    Ok(serve::run(settings)?)
}

/// The variables of the environment, as far as they are text.
fn environment() -> Vec<(String, String)> {
    let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.into_string().ok()?, value.to_string_lossy().into_owned()))
    };
    std::env::vars_os().filter_map(text).collect()
}
