//! What can end a measurement early, and the exit code that says so.

use std::io;

/// Why a measurement could not be made.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// No connection came about within the connect timeout.
    #[error("cannot connect to {address}: {source}; is the broker running there?")]
    Connect { address: String, source: io::Error },
    /// The broker ended a connection, or the socket failed.
    #[error("connection to {address} lost: {reason}; look into the broker's log")]
    Lost { address: String, reason: String },
    /// Requests were under way and nothing came back.
    #[error("no answer from {address} for {seconds} s while {waited_for}; is it overloaded or stopped?")]
    Silent { address: String, seconds: u64, waited_for: String },
    /// The broker answered a request that has to succeed with an error.
    #[error("broker refused to {action}: code {code}{remark}")]
    Refused {
        action: &'static str,
        code: i32,
        /// Empty, or the broker's text with `: ` in front.
        remark: String,
    },
    /// Flags that contradict each other or this machine.
    #[error("{0}")]
    WrongCall(String),
    /// The process given by `--pid` cannot be read.
    #[error("cannot read process {pid} under /proc: {source}; give the pid of a running broker of this user")]
    Process { pid: String, source: io::Error },
    /// The operating system refused something the generator needs.
    #[error("cannot {action}: {source}")]
    System { action: &'static str, source: io::Error },
}

impl BenchError {
    /// 1: the broker refused; 2: wrong call; 3: nobody answers or time ran out.
    pub fn exit_code(&self) -> u8 {
        match self {
            BenchError::Refused { .. } => 1,
            BenchError::WrongCall(_) | BenchError::Process { .. } => 2,
            BenchError::Connect { .. }
            | BenchError::Lost { .. }
            | BenchError::Silent { .. }
            | BenchError::System { .. } => 3,
        }
    }
}
