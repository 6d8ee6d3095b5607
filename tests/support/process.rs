//! The real binary.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use super::{Client, PATIENCE};

/// `actormq` with these arguments, and with small files where it serves.
pub fn actormq(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_actormq"));
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.env_remove("NAMESRV_ADDR");
    command
}

/// The arguments of a broker on a free port, with its data in `dir`.
pub fn broker_arguments(dir: &Path) -> Vec<String> {
    let settings =
        ["mappedFileSizeCommitLog=1048576", "maxHashSlotNum=1000", "maxIndexNum=4000", "brokerName=broker-a"];
    let mut arguments: Vec<String> = ["broker", "--listen", "127.0.0.1:0", "--data"].map(String::from).into();
    arguments.push(dir.to_str().unwrap().into());
    for setting in settings {
        arguments.extend(["--set".into(), setting.into()]);
    }
    arguments
}

/// A process that serves. It ends with this value.
pub struct Process {
    child: Child,
    pub lines: Vec<String>,
    stderr: Option<std::thread::JoinHandle<String>>,
}

impl Process {
    /// Starts a broker in `dir` and waits until it serves.
    pub fn broker(dir: &Path) -> Self {
        let arguments = broker_arguments(dir);
        Self::start(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// Starts a server and waits until it has said what runs where.
    pub fn start(arguments: &[&str]) -> Self {
        let mut child = actormq(arguments).spawn().unwrap();
        let stderr = std::thread::spawn({
            let mut stderr = child.stderr.take().unwrap();
            move || {
                let mut text = String::new();
                let _ = stderr.read_to_string(&mut text);
                text
            }
        });
        let said = hear(child.stdout.take().unwrap());
        let mut process = Self { child, lines: Vec::new(), stderr: Some(stderr) };
        let deadline = Instant::now() + PATIENCE;
        loop {
            match said.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    let is_last = line.starts_with("stop");
                    process.lines.push(line);
                    if is_last {
                        return process;
                    }
                }
                Err(_) => {
                    let (status, stderr) = process.kill();
                    panic!("it does not serve: {status}, {stderr}");
                }
            }
        }
    }

    /// The address in the line that begins with `role`.
    pub fn address(&self, role: &str) -> SocketAddr {
        let line = self.lines.iter().find(|line| line.starts_with(role)).unwrap();
        let word = line[role.len()..].split_whitespace().next().unwrap();
        word.trim_end_matches(',').parse().unwrap_or_else(|_| panic!("no address in {line:?}"))
    }

    pub async fn client(&self) -> Client {
        Client::connect(self.address("broker")).await
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// `kill -9`, and what it said on standard error.
    pub fn kill(mut self) -> (ExitStatus, String) {
        self.child.kill().unwrap();
        self.ended()
    }

    /// Asks the process to stop, as a service keeper does.
    pub fn terminate(self) -> (ExitStatus, String) {
        self.signal(libc::SIGTERM);
        self.ended()
    }

    pub fn signal(&self, signal: i32) {
        // SAFETY: the process is this value's own child, which was not waited for yet.
        assert_eq!(unsafe { libc::kill(self.child.id() as i32, signal) }, 0);
    }

    /// Waits for the end of the process.
    pub fn ended(mut self) -> (ExitStatus, String) {
        let status = wait(&mut self.child);
        let stderr = self.stderr.take().map(|thread| thread.join().unwrap()).unwrap_or_default();
        (status, stderr)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended before.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs the binary to its end: status, standard output and standard error.
pub fn run(arguments: &[&str]) -> (ExitStatus, String, String) {
    let mut child = actormq(arguments).spawn().unwrap();
    let (mut stdout, mut stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let status = wait(&mut child);
    let (mut out, mut err) = (String::new(), String::new());
    stdout.read_to_string(&mut out).unwrap();
    stderr.read_to_string(&mut err).unwrap();
    (status, out, err)
}

fn wait(child: &mut Child) -> ExitStatus {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if Instant::now() > deadline {
            let _ = child.kill();
            panic!("the process does not end");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn hear(stdout: impl Read + Send + 'static) -> Receiver<String> {
    let (heard, hears) = channel();
    std::thread::spawn(move || {
        // Reads on when nobody listens any more: the process must not be held up by a full pipe.
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            let _ = heard.send(line);
        }
    });
    hears
}
