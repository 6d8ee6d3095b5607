//! The binary's subcommands. A wrong call or wrong settings end with status 2, a start that failed or a server that said
//! no with 1, a server that does not answer with 3; each with one line on standard error.

pub mod args;
pub mod bench;
pub mod broker;
pub mod cluster;
pub mod completion;
pub mod connect;
pub mod connections;
pub mod consume;
pub mod demo;
pub mod group;
pub mod logging;
pub mod message;
pub mod printed;
pub mod send;
pub mod serve;
pub mod shown;
pub mod times;
pub mod top;
pub mod topic;

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
        Command::Broker(args) => match &args.command {
            Some(command) => return broker::run(command),
            None => run_server(args.as_ref()),
        },
        Command::Standalone(args) => run_server(&args),
        Command::Bench(args) => return bench::run(args),
        Command::Demo(args) => return demo::run(&args),
        Command::Topic(args) => return topic::run(&args),
        Command::Group(args) => return group::run(&args),
        Command::Cluster(args) => return cluster::run(&args),
        Command::Message(args) => return message::run(&args),
        Command::Connections(args) => return connections::run(&args),
        Command::Top(args) => return top::run(&args),
        Command::Completion(args) => return completion::run(&args),
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
        for notice in settings.notices.iter().filter(|notice| notice.is_warning()) {
            let _ = writeln!(std::io::stderr(), "actormq: {notice}");
        }
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
