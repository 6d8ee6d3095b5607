//! `actormq bench`: a load generator for any broker that speaks RocketMQ's remoting protocol.
//!
//! Every server is driven with the same bytes: what a Java producer or push consumer of RocketMQ 5.5.0 sends. Requests
//! are encoded once (`template`); after that a send costs a copy and a few patched bytes, answers are matched by their
//! opaque (`lane`) without allocation, and many frames share a system call (`wire`), so that the generator takes
//! little from the cores it shares with the server. A fixed rate is timed from when each message was due.

mod args;
mod backlog;
mod both_ways;
mod call;
mod cases;
mod delay;
mod ending;
mod engine;
mod error;
mod figures;
mod frame;
mod key_sample;
mod lane;
mod locks;
mod parking;
mod plain;
mod pulling;
mod read_through;
mod record;
mod report;
mod sending;
mod setup;
mod tally;
mod template;
mod timeline;
mod timing;
mod transactions;
mod unique_key;
mod until;
mod usage;
mod wire;

pub use args::{BenchArgs, Case};
pub use error::BenchError;
pub use figures::{Figure, Figures};
pub use report::Report;
use std::process::ExitCode;

/// Something was refused, or never answered, though the run went to its end.
const REFUSED: u8 = 1;
const UNANSWERED: u8 = 3;

/// Runs the measurement that `args` describe.
///
/// # Errors
/// When the flags contradict each other, nobody answers, or the broker refuses what has to succeed.
pub fn measure(args: &BenchArgs) -> Result<Report, BenchError> {
    match &args.case {
        Case::Send(args) => cases::send(args),
        Case::Pull(args) => cases::pull(args),
        Case::E2e(args) => cases::e2e(args),
        Case::Delay(args) => delay::delay(args),
        Case::Transactions(args) => transactions::transactions(args),
        Case::Locks(args) => locks::locks(args),
        Case::Backlog(args) => backlog::backlog(args),
    }
}

/// Measures and prints the report on standard output, complaints on standard error. Exit code 0: done; 1: the broker
/// refused requests; 2: wrong call; 3: nobody answered, or not everything was answered.
pub fn run(args: BenchArgs) -> ExitCode {
    let report = match measure(&args) {
        Ok(report) => report,
        Err(error) => {
            eprintln!("actormq bench: {error}");
            return ExitCode::from(error.exit_code());
        }
    };
    if args.wants_json() {
        match serde_json::to_string(&report) {
            Ok(text) => println!("{text}"),
            Err(error) => eprintln!("actormq bench: cannot write the report: {error}"),
        }
    } else {
        println!("{}", report.table());
    }
    let Some(complaint) = report.complaint() else {
        return ExitCode::SUCCESS;
    };
    eprintln!("actormq bench: {complaint}");
    match report.outcome.first_refusal {
        Some(_) => ExitCode::from(REFUSED),
        None => ExitCode::from(UNANSWERED),
    }
}
