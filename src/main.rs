use actormq::cli::bench;
use clap::Parser;
use std::process::ExitCode;

#[derive(Parser)]
#[command(name = "actormq", version)]
enum Command {
    /// Measure a broker over the remoting protocol
    Bench(bench::BenchArgs),
}

fn main() -> ExitCode {
    match Command::parse() {
        Command::Bench(args) => bench::run(args),
    }
}
