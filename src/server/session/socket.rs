//! The end of a connection's socket that is written to, and TLS where it lies on the socket.

use std::cell::{OnceCell, RefCell};
use std::io::{self, IoSlice, Read as _, Write};
use std::task::{Context as Wakeful, Poll};

use rustls::ServerConnection;
use tokio::net::tcp::OwnedWriteHalf;

use crate::server::tls::Guard;

/// A connection that was taken, and who decides what may be spoken over it.
pub struct Arrival {
    pub socket: std::net::TcpStream,
    pub guard: Guard,
}

/// Where bytes for the peer go. Plain until TLS is put on it.
pub(super) struct Socket {
    half: OwnedWriteHalf,
    tls: OnceCell<RefCell<Box<ServerConnection>>>,
}

/// What came out of bytes that a peer encrypted.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Opened {
    /// All bytes were taken.
    All,
    /// There may be more: there was no room for it.
    Full,
    /// The peer said that nothing follows.
    End,
}

impl Socket {
    pub(super) fn new(half: OwnedWriteHalf) -> Self {
        Self { half, tls: OnceCell::new() }
    }

    /// Puts TLS on the socket, before anything was written to it.
    pub(super) fn encrypt(&self, connection: Box<ServerConnection>) {
        // One connection begins once.
        let _ = self.tls.set(RefCell::new(connection));
    }

    /// Takes what the socket takes now.
    pub(super) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self.tls.get() {
            None => self.half.try_write(bytes),
            Some(_) => self.try_write_vectored(&[IoSlice::new(bytes)]),
        }
    }

    /// Takes what the socket takes now, of several pieces.
    pub(super) fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self.tls.get() {
            None => self.half.try_write_vectored(slices),
            Some(tls) => {
                let mut tls = tls.borrow_mut();
                self.push(&mut tls)?;
                if tls.wants_write() {
                    return Err(io::ErrorKind::WouldBlock.into());
                }
                let taken = tls.writer().write_vectored(slices)?;
                self.push(&mut tls)?;
                Ok(taken)
            }
        }
    }

    /// Whether TLS holds bytes that the socket did not take yet.
    pub(super) fn holds_back(&self) -> bool {
        self.tls.get().is_some_and(|tls| tls.borrow().wants_write())
    }

    /// Gives the socket what TLS holds, as far as it takes it.
    pub(super) fn flush(&self) -> io::Result<()> {
        self.tls.get().map_or(Ok(()), |tls| self.push(&mut tls.borrow_mut()))
    }

    pub(super) fn poll_write_ready(&self, task: &mut Wakeful<'_>) -> Poll<io::Result<()>> {
        self.half.as_ref().poll_write_ready(task)
    }

    /// Whether the peer has not proved yet that it speaks TLS.
    pub(super) fn is_shaking_hands(&self) -> bool {
        self.tls.get().is_some_and(|tls| tls.borrow().is_handshaking())
    }

    /// Opens bytes that came, from the front of `sealed` into `plain` from `filled` on.
    ///
    /// # Errors
    /// What TLS has against them. The peer is told.
    pub(super) fn open(&self, sealed: &mut &[u8], plain: &mut [u8], filled: &mut usize) -> io::Result<Opened> {
        let Some(tls) = self.tls.get() else { return Ok(Opened::End) };
        let mut tls = tls.borrow_mut();
        loop {
            match tls.reader().read(plain.get_mut(*filled..).unwrap_or_default()) {
                Ok(0) if *filled == plain.len() => return Ok(Opened::Full),
                Ok(0) => return Ok(Opened::End),
                Ok(count) => *filled += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if sealed.is_empty() {
                        self.push(&mut tls)?;
                        return Ok(Opened::All);
                    }
                    tls.read_tls(sealed)?;
                    if let Err(error) = tls.process_new_packets() {
                        // The alert that tells the peer; it may be gone already.
                        let _ = self.push(&mut tls);
                        return Err(io::Error::other(error));
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn push(&self, tls: &mut ServerConnection) -> io::Result<()> {
        while tls.wants_write() {
            match tls.write_tls(&mut Door(&self.half)) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl Drop for Socket {
    /// Tells the peer that nothing follows, if the socket takes that now: whoever does not hear it hears the socket's end.
    fn drop(&mut self) {
        if let Some(tls) = self.tls.get() {
            let mut tls = tls.borrow_mut();
            tls.send_close_notify();
            let _ = self.push(&mut tls);
        }
    }
}

/// The socket as TLS wants it.
struct Door<'a>(&'a OwnedWriteHalf);

impl Write for Door<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
