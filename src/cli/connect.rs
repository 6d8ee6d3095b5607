//! What commands that talk to servers share: which servers, a runtime, and how they end.

use std::future::Future;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use crate::client::admin::{Admin, Place};
use crate::client::{Client, ClientError, ClientOptions, NAME_SERVER, TlsOptions};

/// Status when a server said no.
const REFUSED: u8 = 1;
/// Status when the call itself was wrong.
const WRONG_CALL: u8 = 2;
/// Status when nobody answered or time ran out.
const NO_ANSWER: u8 = 3;

/// Which servers.
#[derive(Debug, Args)]
pub struct ServerAddresses {
    /// Name servers
    #[arg(short = 'n', long = "namesrv", env = "NAMESRV_ADDR", value_name = "ADDR;ADDR…", default_value = NAME_SERVER)]
    name_servers: String,
    /// Speak TLS; servers' certificates must be from a public authority
    #[arg(long)]
    tls: bool,
    /// Speak TLS; servers' certificates must be from an authority in this PEM file, or be in it themselves
    #[arg(long, value_name = "FILE")]
    tls_ca: Option<PathBuf>,
    /// Speak TLS, and take any certificate: whoever sits between can read and change everything
    #[arg(long, conflicts_with = "tls_ca")]
    tls_insecure: bool,
}

impl ServerAddresses {
    /// A client of these servers.
    ///
    /// # Errors
    /// When an address is not of the form `host:port`, or the file of authorities cannot be used.
    pub async fn connect(&self) -> Result<Client, Failure> {
        let mut options = ClientOptions::new(&self.name_servers);
        options.tls = self.tls();
        Ok(Client::connect(options).await?)
    }

    fn tls(&self) -> Option<TlsOptions> {
        match &self.tls_ca {
            Some(path) => Some(TlsOptions::with_ca_file(path)),
            None if self.tls_insecure => Some(TlsOptions::accepting_any_certificate()),
            None => self.tls.then(TlsOptions::default),
        }
    }
}

/// On which brokers.
#[derive(Debug, Args)]
pub struct PlaceArgs {
    /// Only on this broker, by name or address [default: every master]
    #[arg(long, value_name = "NAME")]
    broker: Option<String>,
    /// Only on the brokers of this cluster
    #[arg(long, value_name = "NAME", conflicts_with = "broker")]
    cluster: Option<String>,
}

impl PlaceArgs {
    #[must_use]
    pub fn place(&self) -> Place {
        match (&self.broker, &self.cluster) {
            (Some(broker), _) => Place::Broker(broker.clone()),
            (None, Some(cluster)) => Place::Cluster(cluster.clone()),
            (None, None) => Place::Everywhere,
        }
    }

    /// Whether anything was said.
    #[must_use]
    pub fn is_given(&self) -> bool {
        self.broker.is_some() || self.cluster.is_some()
    }
}

/// `NAME=VALUE` taken apart.
///
/// # Errors
/// What is wanted, when there is no `=`.
pub fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("it has no `=`: NAME=VALUE is wanted")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Gives `work` an administrator's view of the servers, and ends the client whatever comes of it.
///
/// # Errors
/// When an address is not of the form `host:port`, and whatever fails in `work`.
pub async fn with_admin<T>(
    servers: &ServerAddresses,
    work: impl AsyncFnOnce(&Admin) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let client = servers.connect().await?;
    let done = work(&client.admin()).await;
    client.shutdown().await;
    done
}

/// Why a command did not do what it was told.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error("{0}")]
    WrongCall(String),
    #[error("{0}")]
    Refused(String),
    #[error("{0}")]
    NoAnswer(String),
    #[error(transparent)]
    Client(#[from] ClientError),
    /// Whoever read our output has read enough.
    #[error("standard output is closed")]
    Closed,
    #[error("cannot write to standard output: {0}")]
    Output(io::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe { Self::Closed } else { Self::Output(error) }
    }
}

impl Failure {
    fn status(&self) -> u8 {
        match self {
            Self::Closed => 0,
            Self::WrongCall(_) => WRONG_CALL,
            Self::NoAnswer(_) => NO_ANSWER,
            Self::Refused(_) | Self::Output(_) => REFUSED,
            Self::Client(error) if error.is_unreachable() => NO_ANSWER,
            Self::Client(
                ClientError::Option { .. }
                | ClientError::Name { .. }
                | ClientError::Message(_)
                | ClientError::MessageId { .. },
            ) => WRONG_CALL,
            Self::Client(_) => REFUSED,
        }
    }

    /// What to do about it, where the error itself does not say.
    fn advice(&self) -> Option<&'static str> {
        /// RocketMQ's code for a group that is not there.
        const NO_GROUP: i32 = 26;
        /// RocketMQ's code for what a client may not do.
        const NO_PERMISSION: i32 = 16;
        match self {
            Self::Client(ClientError::Channel(_) | ClientError::Timeout { .. }) => {
                Some("is the broker running, and reachable from here? `actormq cluster` shows which are registered")
            }
            Self::Client(ClientError::Refused { code: NO_GROUP, .. }) => {
                Some("make the group with `actormq group create NAME`")
            }
            Self::Client(ClientError::Refused { code: NO_PERMISSION, .. }) => {
                Some("see what the topic allows with `actormq topic show NAME`")
            }
            _ => None,
        }
    }

    /// Says on standard error what went wrong.
    fn say(&self) {
        let mut err = io::stderr().lock();
        let colour = err.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let name = if colour { "\x1b[1;31mactormq:\x1b[0m" } else { "actormq:" };
        // Nobody is left to hear of a closed standard error.
        let _ = match (self, self.advice()) {
            // The library cannot name the commands that help.
            (Self::Client(ClientError::TopicNotFound { topic }), _) => {
                let advice = format!("make it with `actormq topic create {topic}`, or see `actormq topic list`");
                writeln!(err, "{name} topic {topic} does not exist: {advice}")
            }
            (_, Some(advice)) => writeln!(err, "{name} {self}; {advice}"),
            (_, None) => writeln!(err, "{name} {self}"),
        };
    }
}

/// Ends when somebody tells this process to stop: at the keyboard, or as keepers of services do.
pub async fn told_to_stop() {
    let Ok(mut terminated) = signal(SignalKind::terminate()) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminated.recv() => {}
    }
}

/// Runs a command to its end and says what went wrong on standard error.
pub fn run(command: impl Future<Output = Result<(), Failure>>) -> ExitCode {
    let done = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(command),
        Err(error) => Err(Failure::Refused(format!("cannot start: {error}"))),
    };
    finish(done)
}

/// The status of a command that is over; what went wrong goes to standard error.
pub fn finish(done: Result<(), Failure>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !matches!(failure, Failure::Closed) {
                failure.say();
            }
            ExitCode::from(failure.status())
        }
    }
}
