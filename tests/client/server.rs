//! The binary as a server: name server and broker in a process of their own, on free ports and a directory of their own.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

pub struct Server {
    process: Child,
    pub name_server: String,
    broker: String,
    data: PathBuf,
    flags: Vec<String>,
}

impl Server {
    pub fn start(data: &Path) -> Self {
        Self::start_with(data, &[])
    }

    pub fn start_with(data: &Path, flags: &[&str]) -> Self {
        let flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
        Self::listen(data, "127.0.0.1:0", "127.0.0.1:0", flags)
    }

    fn listen(data: &Path, name_server: &str, broker: &str, flags: Vec<String>) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_actormq"));
        command
            .args(["standalone", "--namesrv-listen", name_server, "--listen", broker, "--data"])
            .arg(data)
            .args(&flags);
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut address = |role: &str| {
            let line = lines.find(|line| line.as_ref().unwrap().starts_with(role)).expect("the server starts").unwrap();
            line.split_whitespace().find(|word| word.starts_with("127.0.0.1:")).unwrap().to_owned()
        };
        let (name_server, broker) = (address("name server"), address("broker"));
        Self { process, name_server, broker, data: data.to_owned(), flags }
    }

    /// As a crash does: SIGKILL, then the same again on the same ports.
    pub fn crash_and_restart(mut self) -> Self {
        self.end();
        Self::listen(&self.data, &self.name_server, &self.broker, std::mem::take(&mut self.flags))
    }

    fn end(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Ended already when a crash was asked for.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
