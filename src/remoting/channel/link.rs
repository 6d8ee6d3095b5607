//! The task behind a channel: owns the socket, gathers what leaves, cuts what comes.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_rustls::client::TlsStream;

use super::options::ChannelOptions;
use super::outbound::Task;
use super::plain::Plain;
use super::shared::{PeerRequest, Reply, Shared};
use crate::protocol::frame::{self, Frame, FrameError};
use crate::remoting::error::ChannelError;

/// Free bytes that each read finds in the inbound buffer.
const READ_BYTES: usize = 64 * 1024;
/// A shorter body is copied out, so that it does not keep a whole read alive; a longer one is a slice of it.
const BODY_SLICE_BYTES_MIN: usize = READ_BYTES / 4;

/// What frames travel over.
pub(super) enum Socket {
    Plain(OwnedReadHalf, Arc<OwnedWriteHalf>),
    Tls(Box<TlsStream<TcpStream>>),
}

/// The task: owns the socket.
pub(super) struct Link {
    socket: Socket,
    ways: Ways,
}

/// What the task does over whatever socket.
struct Ways {
    end: End,
    inbound: Option<mpsc::Sender<PeerRequest>>,
    idle_after: Duration,
}

/// Tells all who wait when the task ends, also when its runtime goes away under it.
struct End(Arc<Shared>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.end(ChannelError::Closed { address: self.0.address.clone() });
    }
}

impl Link {
    pub(super) fn new(socket: Socket, shared: Arc<Shared>, options: ChannelOptions) -> Self {
        let ways = Ways { end: End(shared), inbound: options.inbound, idle_after: options.idle_after };
        Self { socket, ways }
    }

    pub(super) async fn run(self) {
        match self.socket {
            Socket::Plain(reader, writer) => self.ways.run(reader, Plain(writer)).await,
            Socket::Tls(stream) => {
                let (reader, writer) = tokio::io::split(*stream);
                self.ways.run(reader, writer).await;
            }
        }
    }
}

impl Ways {
    async fn run(self, reader: impl AsyncRead + Unpin, writer: impl AsyncWrite + Unpin) {
        let Ways { end, inbound, idle_after } = self;
        let shared = &end.0;
        let reason = tokio::select! {
            reason = read(shared, reader, inbound) => reason,
            reason = write(shared, writer) => reason,
            never = keep_time(shared) => never,
            never = shared.watch() => never,
            () = idle(shared, idle_after) => {
                ChannelError::Idle { address: shared.address.clone(), after: idle_after }
            }
            () = shared.wait_until_ended() => return,
        };
        tracing::debug!(peer = shared.address, %reason, "connection ended");
        shared.end(reason);
    }
}

fn lost(shared: &Shared, reason: impl ToString) -> ChannelError {
    ChannelError::Lost { address: shared.address.clone(), reason: reason.to_string() }
}

/// Sends away those whose time ran out; never done.
async fn keep_time(shared: &Shared) -> ! {
    loop {
        let next = shared.send_away();
        tokio::select! {
            () = shared.sooner.notified() => {}
            () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {}
        }
    }
}

/// Done when there was no traffic for `after`.
async fn idle(shared: &Shared, after: Duration) {
    loop {
        let due = shared.last_traffic() + after;
        if due <= Instant::now() {
            return;
        }
        sleep_until(due).await;
    }
}

async fn write(shared: &Shared, mut socket: impl AsyncWrite + Unpin) -> ChannelError {
    let mut leaving = Vec::new();
    loop {
        match shared.next_task(&mut leaving) {
            Task::Write => {
                if let Err(error) = socket.write_all(&leaving).await {
                    return lost(shared, error);
                }
                // TLS may hold back what the socket did not take.
                if let Err(error) = socket.flush().await {
                    return lost(shared, error);
                }
                shared.task_wrote(&mut leaving);
            }
            Task::Wait => shared.work.notified().await,
            Task::Close => {
                // The peer may be gone already; then there is nobody left to tell.
                let _ = socket.shutdown().await;
                return ChannelError::Closed { address: shared.address.clone() };
            }
        }
    }
}

async fn read(
    shared: &Arc<Shared>,
    mut socket: impl AsyncRead + Unpin,
    inbound: Option<mpsc::Sender<PeerRequest>>,
) -> ChannelError {
    let (mut buffer, mut replies) = (BytesMut::new(), Vec::new());
    loop {
        // Grows with what has really come, never on the word of a length field.
        buffer.reserve(READ_BYTES);
        match socket.read_buf(&mut buffer).await {
            Ok(0) => return lost(shared, "the peer closed it"),
            Ok(_) => shared.note_traffic(),
            Err(error) => return lost(shared, error),
        }
        let cut = take_all(shared, &mut buffer, &mut replies, inbound.as_ref());
        shared.settle(&mut replies);
        if let Err(reason) = cut {
            return ChannelError::Broken { address: shared.address.clone(), reason };
        }
    }
}

/// Takes all whole frames off the buffer: requests go to whom they are for, answers to `replies`.
fn take_all(
    shared: &Arc<Shared>,
    buffer: &mut BytesMut,
    replies: &mut Vec<(i32, Reply)>,
    inbound: Option<&mpsc::Sender<PeerRequest>>,
) -> Result<(), FrameError> {
    while let Some(length) = frame::length(buffer)?.filter(|length| *length <= buffer.len()) {
        replies.extend(take(shared, buffer, length, inbound)?);
    }
    Ok(())
}

/// Takes one frame of `length` bytes off the buffer: the answer that it is, with its opaque, or nothing once the peer's
/// request was handed to whom it is for.
fn take(
    shared: &Arc<Shared>,
    buffer: &mut BytesMut,
    length: usize,
    inbound: Option<&mpsc::Sender<PeerRequest>>,
) -> Result<Option<(i32, Reply)>, FrameError> {
    let whole = buffer.get(..length).unwrap_or_default();
    let frame = Frame::cut(whole)?;
    let head = frame.head()?;
    let (codec, body_length) = (frame.codec, frame.body.len());
    let (code, version, opaque) = (head.code, head.version, head.opaque);
    let (is_answer, oneway) = (head.is_response(), head.is_oneway());
    let remark = head.remark.map(|text| text.into_owned());
    let ext = head.ext.into_owned();
    let body = if body_length >= BODY_SLICE_BYTES_MIN {
        let mut whole = buffer.split_to(length).freeze();
        whole.advance(length - body_length);
        whole
    } else {
        let body = Bytes::copy_from_slice(frame.body);
        buffer.advance(length);
        body
    };
    if is_answer {
        return Ok(Some((opaque, Reply { code, version, remark, ext, body })));
    }
    let request = PeerRequest { code, ext, body, opaque, oneway, codec, link: Arc::downgrade(shared) };
    let taken = inbound.is_some_and(|inbound| inbound.try_send(request).is_ok());
    if !taken {
        tracing::debug!(peer = shared.address, code, "a request of the peer was dropped: nobody takes it");
    }
    Ok(None)
}
