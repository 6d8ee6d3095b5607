//! What commands that talk to servers share: which servers, a runtime, and how they end.

use std::future::Future;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

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
            Self::Client(ClientError::Option { .. } | ClientError::Name { .. } | ClientError::Message(_)) => WRONG_CALL,
            Self::Client(_) => REFUSED,
        }
    }
}

/// Runs a command to its end and says what went wrong on standard error.
pub fn run(command: impl Future<Output = Result<(), Failure>>) -> ExitCode {
    let done = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(command),
        Err(error) => Err(Failure::Refused(format!("cannot start: {error}"))),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !matches!(failure, Failure::Closed) {
                // Nobody is left to hear of a closed standard error.
                let _ = writeln!(io::stderr(), "actormq: {failure}");
            }
            ExitCode::from(failure.status())
        }
    }
}
