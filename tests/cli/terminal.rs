//! What is for people at a terminal: the live views, colour, and the bar of long work.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{FromRawFd, OwnedFd};
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use super::support::PATIENCE;
use super::{Server, actormq, until};

const ROWS: u16 = 40;
const COLUMNS: u16 = 120;
const ENTERS_SCREEN: &str = "\x1b[?1049h";
const LEAVES_SCREEN: &str = "\x1b[?1049l";

/// A program at a terminal of its own.
struct Terminal {
    program: Child,
    keyboard: File,
    shown: Arc<Mutex<Vec<u8>>>,
}

impl Terminal {
    fn open(mut command: Command) -> Self {
        let (mut ours, mut theirs) = (-1, -1);
        let size = libc::winsize { ws_row: ROWS, ws_col: COLUMNS, ws_xpixel: 0, ws_ypixel: 0 };
        // SAFETY: both numbers and the size outlive the call; a name and settings may be null.
        let made = unsafe { libc::openpty(&mut ours, &mut theirs, std::ptr::null_mut(), std::ptr::null(), &size) };
        assert_eq!(made, 0, "{}", std::io::Error::last_os_error());
        // SAFETY: both were opened just now, and nobody else has them.
        let (ours, theirs) = unsafe { (File::from_raw_fd(ours), OwnedFd::from_raw_fd(theirs)) };
        command.env("TERM", "xterm-256color").env_remove("NO_COLOR");
        command.stdin(theirs.try_clone().unwrap()).stderr(theirs.try_clone().unwrap()).stdout(theirs);
        let program = command.spawn().unwrap();
        // It holds the program's side of the terminal, too, whose end is what ends the reading.
        drop(command);
        let shown = Arc::<Mutex<Vec<u8>>>::default();
        let (screen, mut reads, mut answers) =
            (Arc::clone(&shown), ours.try_clone().unwrap(), ours.try_clone().unwrap());
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = reads.read(&mut bytes) {
                screen.lock().unwrap().extend_from_slice(&bytes[..count]);
                if bytes[..count].windows(4).any(|asked| asked == b"\x1b[6n") {
                    // Where the cursor is; a program that has ended wants no answer.
                    let _ = answers.write_all(b"\x1b[1;1R");
                }
            }
        });
        Self { program, keyboard: ours, shown }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.shown.lock().unwrap()).into_owned()
    }

    #[track_caller]
    fn shows(&self, words: &[&str]) {
        let deadline = Instant::now() + PATIENCE;
        while let Some(missing) = words.iter().find(|word| !self.text().contains(**word)) {
            assert!(Instant::now() < deadline, "never: {missing} in {:?}", self.text());
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    fn types(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    fn ends(&mut self) -> ExitStatus {
        until("the program ends", || self.program.try_wait().unwrap())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended before.
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

#[test]
fn top_is_a_live_view_that_obeys_keys_and_leaves_the_terminal_as_it_was() {
    let server = Server::start();
    server.send("orders", "7");
    let mut top = Terminal::open(actormq(&["top", "--interval", "0.2", "-n", &server.name_server]));
    top.shows(&[ENTERS_SCREEN, "broker-a", "orders"]);
    server.send("invoices", "3");
    top.shows(&["invoices"]);
    top.types("s");
    top.types("q");
    assert!(top.ends().success());
    top.shows(&[LEAVES_SCREEN]);

    let mut again = Terminal::open(actormq(&["top", "-n", &server.name_server]));
    again.shows(&["orders"]);
    again.types("\x03");
    assert!(again.ends().success(), "Ctrl-C ends it too");
    again.shows(&[LEAVES_SCREEN]);

    let mut third = Terminal::open(actormq(&["top", "-n", &server.name_server]));
    third.shows(&["orders"]);
    // SAFETY: the process is a child of this one, which was not waited for yet.
    assert_eq!(unsafe { libc::kill(third.program.id() as i32, libc::SIGTERM) }, 0);
    assert!(third.ends().success());
    third.shows(&[LEAVES_SCREEN]);
}

#[test]
fn the_demo_is_a_live_view_and_ends_with_what_to_try_next() {
    let temporary = tempfile::tempdir().unwrap();
    let mut command = actormq(&["demo", "--seconds", "4"]);
    command.env("TMPDIR", temporary.path());
    let mut demo = Terminal::open(command);
    demo.shows(&["consumer-1", "consumer-2", "actormq standalone"]);
    assert!(demo.ends().success());
    assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 0, "it leaves nothing");
}

#[test]
fn errors_are_coloured_and_long_work_has_a_bar_at_a_terminal_only() {
    let server = Server::start();
    let nowhere = ["topic", "show", "nowhere", "-n", &server.name_server];
    let mut coloured = Terminal::open(actormq(&nowhere));
    coloured.shows(&["\x1b[1;31mactormq:"]);
    assert_eq!(coloured.ends().code(), Some(1));
    let mut plain = actormq(&nowhere);
    plain.env("NO_COLOR", "1");
    assert!(!String::from_utf8(plain.output().unwrap().stderr).unwrap().contains('\x1b'));

    let words = ["send", "--topic", "T", "--body", "x", "--count", "300", "--rate", "300", "-n", &server.name_server];
    let mut bar = Terminal::open(actormq(&words));
    bar.shows(&[" of 300 sent", "300 messages sent in "]);
    assert!(bar.ends().success());
}
