//! `actormq completion`: a script that lets a shell complete our commands and flags.

use std::io::Write as _;
use std::process::ExitCode;

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use super::args::Cli;

/// Flags of `actormq completion`.
#[derive(Debug, Args)]
#[command(after_help = "Bash:  source <(actormq completion bash)\n\
                        Zsh:   actormq completion zsh > \"${fpath[1]}/_actormq\"\n\
                        Fish:  actormq completion fish > ~/.config/fish/completions/actormq.fish")]
pub struct CompletionArgs {
    /// Which shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Prints the script.
#[must_use]
pub fn run(args: &CompletionArgs) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "actormq", &mut script);
    // Whoever reads it may have read enough and closed it.
    let _ = std::io::stdout().write_all(&script);
    ExitCode::SUCCESS
}
