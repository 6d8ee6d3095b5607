//! The event loop of one generator thread: many connections, few system calls.
//!
//! All answers that one read brings are handled before anything is written, and all requests that they give rise to
//! leave in one write. A lone connection with one request under way needs no poll: it reads and writes in turn.

use super::error::BenchError;
use super::frame::{Answer, Scanner};
use super::timing::{Clock, Ticker};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::time::Duration;

/// Read at once from a socket.
const READ_BYTES: usize = 256 * 1024;
/// How long a turn waits when nothing comes.
const TURN: Duration = Duration::from_millis(100);
const TICKER: Token = Token(usize::MAX);

/// One connection to the broker.
#[derive(Debug)]
pub struct Link {
    stream: TcpStream,
    /// Requests not yet written.
    pub out: Vec<u8>,
    /// How much of `out` the socket has taken.
    written: usize,
    /// The beginning of a frame that has not wholly arrived.
    rest: Vec<u8>,
}

/// What is done with answers.
pub trait Work {
    /// Requests may go out on any link: called once at the start, and on every turn of a paced run.
    fn pump(&mut self, links: &mut [Link], now: u64) -> std::io::Result<()>;

    /// `link` brought an answer; new requests for it are appended to `out`.
    fn answered(&mut self, link: usize, answer: &Answer<'_>, now: u64, out: &mut Vec<u8>);

    /// Makes no more requests.
    fn close(&mut self);

    /// Requests that wait for an answer; parked pulls do not count.
    fn under_way(&self) -> usize;

    /// True when all is done, or going on has no sense.
    fn is_over(&self) -> bool {
        false
    }
}

impl Link {
    /// Takes over a connected socket, with `rest` already read from it.
    pub fn new(stream: TcpStream, rest: Vec<u8>) -> Link {
        Link { stream, out: Vec::new(), written: 0, rest }
    }

    /// Writes as much of `out` as the socket takes.
    #[inline]
    pub fn flush(&mut self) -> std::io::Result<()> {
        while self.written < self.out.len() {
            match self.stream.write(&self.out[self.written..]) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => self.written += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.out.clear();
        self.written = 0;
        Ok(())
    }
}

/// The connections of one thread and what wakes it.
pub struct Wire {
    pub links: Vec<Link>,
    pub clock: Clock,
    address: String,
    poll: Poll,
    events: Events,
    ticker: Option<Ticker>,
    /// One link that is read without asking the poll first.
    blocking: bool,
    scanner: Scanner,
    scratch: Vec<u8>,
}

/// How a [`Wire`] waits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Waiting {
    /// For answers only.
    Answers,
    /// For answers, with a lone connection that has never more than one request under way.
    OneAnswer,
    /// For answers, and for due times so many times a second.
    Ticks(f64),
}

impl Wire {
    /// # Errors
    /// When the kernel gives no poll or timer.
    pub fn new(address: &str, mut links: Vec<Link>, clock: Clock, waiting: Waiting) -> Result<Wire, BenchError> {
        let poll = Poll::new().map_err(poll_error)?;
        let blocking = waiting == Waiting::OneAnswer && links.len() == 1;
        let ticker = match waiting {
            Waiting::Ticks(per_second) => Some(Ticker::new(per_second)?),
            _ => None,
        };
        if let Some(ticker) = &ticker {
            poll.registry().register(&mut SourceFd(&ticker.fd()), TICKER, Interest::READABLE).map_err(poll_error)?;
        }
        for (index, link) in links.iter_mut().enumerate() {
            if blocking {
                link.stream.set_nonblocking(false).map_err(poll_error)?;
                link.stream.set_read_timeout(Some(TURN)).map_err(poll_error)?;
                continue;
            }
            link.stream.set_nonblocking(true).map_err(poll_error)?;
            let fd = link.stream.as_raw_fd();
            poll.registry()
                .register(&mut SourceFd(&fd), Token(index), Interest::READABLE | Interest::WRITABLE)
                .map_err(poll_error)?;
        }
        Ok(Wire {
            links,
            clock,
            address: address.to_owned(),
            poll,
            events: Events::with_capacity(1024),
            ticker,
            blocking,
            scanner: Scanner::default(),
            scratch: vec![0; READ_BYTES],
        })
    }

    pub fn is_paced(&self) -> bool {
        self.ticker.is_some()
    }

    pub fn address(&self) -> &str {
        &self.address
    }

    /// Waits a little for answers and hands them to `work`; returns how many came.
    ///
    /// # Errors
    /// When a connection ends or brings what is no frame.
    pub fn turn(&mut self, work: &mut impl Work) -> Result<u64, BenchError> {
        if self.blocking {
            return self.read(0, work);
        }
        match self.poll.poll(&mut self.events, Some(TURN)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(0),
            other => other.map_err(poll_error)?,
        }
        let mut answers = 0;
        let events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        for event in &events {
            if event.token() != TICKER {
                answers += self.read(event.token().0, work)?;
            } else if let Some(ticker) = &self.ticker {
                ticker.take();
            }
        }
        self.events = events;
        Ok(answers)
    }

    /// Sends what is due on any link.
    pub fn pump(&mut self, work: &mut impl Work) -> Result<(), BenchError> {
        let now = self.clock.now();
        work.pump(&mut self.links, now).map_err(|error| self.lost(error.to_string()))
    }

    /// Reads until the socket is empty, answers, writes.
    fn read(&mut self, index: usize, work: &mut impl Work) -> Result<u64, BenchError> {
        let mut answers = 0;
        loop {
            let link = &mut self.links[index];
            let held = link.rest.len();
            if self.scratch.len() < held + READ_BYTES {
                self.scratch.resize(held + READ_BYTES, 0);
            }
            self.scratch[..held].copy_from_slice(&link.rest);
            let room = self.scratch.len() - held;
            let count = match link.stream.read(&mut self.scratch[held..]) {
                Ok(0) => return Err(self.lost("the broker closed it".into())),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    link.flush().map_err(|error| self.lost(error.to_string()))?;
                    return Ok(answers);
                }
                Err(error) => return Err(self.lost(error.to_string())),
            };
            answers += self.answer(index, held + count, work)?;
            let link = &mut self.links[index];
            link.flush().map_err(|error| self.lost(error.to_string()))?;
            // Edge-triggered: after a read that left room, the next bytes raise a new event.
            if count < room || self.blocking {
                return Ok(answers);
            }
        }
    }

    /// Hands the frames in the first `filled` bytes of the scratch to `work` and keeps what is left over.
    fn answer(&mut self, index: usize, filled: usize, work: &mut impl Work) -> Result<u64, BenchError> {
        let now = self.clock.now();
        let link = &mut self.links[index];
        let mut bytes = &self.scratch[..filled];
        let mut answers = 0;
        loop {
            match self.scanner.next(bytes) {
                Ok(Some((answer, length))) => {
                    if answer.is_response {
                        work.answered(index, &answer, now, &mut link.out);
                        answers += 1;
                    }
                    bytes = &bytes[length..];
                }
                Ok(None) => break,
                Err(error) => return Err(self.lost(format!("it brought {error}"))),
            }
        }
        link.rest.clear();
        link.rest.extend_from_slice(bytes);
        Ok(answers)
    }

    fn lost(&self, reason: String) -> BenchError {
        BenchError::Lost { address: self.address.clone(), reason }
    }
}

fn poll_error(source: std::io::Error) -> BenchError {
    BenchError::System { action: "watch sockets", source }
}
