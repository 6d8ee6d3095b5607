//! The binary: arguments, then the command that they name.

use std::process::ExitCode;

use actormq::cli;
use clap::Parser as _;

fn main() -> ExitCode {
    cli::run(cli::args::Cli::parse())
}
