//! One outbound connection: requests go out, answers come back in any order, and each finds its asker by its opaque.
//!
//! A [`Channel`] is a cheap handle; a task of the runtime that connected it owns the socket. Many requests may be under
//! way at once; what they append while the socket is busy leaves in one write. A request that is dropped forgets its
//! opaque, so a late answer finds nobody and is thrown away. The connection ends when the last handle is dropped, when
//! [`Channel::close`] is called, when the peer ends it or sends bytes that are no frame, or when it was idle too long.

mod askers;
mod asking;
mod link;
mod options;
mod outbound;
mod plain;
mod shared;

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::net::TcpStream;
use tokio::time::timeout;

use self::asking::Question;
pub use self::asking::{Patience, UnderWay};
use self::link::{Link, Socket};
pub use self::options::{CONNECT_TIMEOUT, ChannelOptions, IDLE_AFTER};
use self::shared::{Bounds, Shared};
pub use self::shared::{PeerRequest, Reply};
use super::error::ChannelError;
use super::tls::Dialer;
use crate::protocol::frame::{Codec, FLAG_ONEWAY};

/// How long [`Channel::close`] waits for what was queued to leave.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// A handle to one connection. Clones share it.
#[derive(Clone, Debug)]
pub struct Channel {
    owner: Arc<Owner>,
}

/// Ends the connection when the last handle goes.
#[derive(Debug)]
struct Owner(Arc<Shared>);

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.start_closing();
    }
}

impl Channel {
    /// Connects to `address` (`host:port`). Call it inside a tokio runtime; that runtime drives the socket.
    ///
    /// # Errors
    /// [`ChannelError::Connect`] when nobody answers there within the connect timeout, [`ChannelError::Tls`] when TLS was
    /// asked for and whoever answers speaks none or is not trusted.
    pub async fn connect(address: &str, options: ChannelOptions) -> Result<Channel, ChannelError> {
        let failed = |reason: String| ChannelError::Connect { address: address.to_owned(), reason };
        let late = |_| failed(format!("no answer within {:?}", options.connect_timeout));
        let socket = timeout(options.connect_timeout, dial(address, options.tls.as_ref())).await.map_err(late)??;
        let bounds = Bounds { requests_max: options.requests_max, outbound_bytes_max: options.outbound_bytes_max };
        let plain = match &socket {
            Socket::Plain(_, writer) => Some(Arc::clone(writer)),
            Socket::Tls(_) => None,
        };
        let shared = Arc::new(Shared::new(address, options.codec, bounds, plain));
        let link = Link::new(socket, Arc::clone(&shared), options);
        // The task ends with the connection, whose owner is the last handle; nobody needs to join it.
        drop(tokio::spawn(link.run()));
        Ok(Channel { owner: Arc::new(Owner(shared)) })
    }

    /// Sends a request and waits for its answer, whatever the answer's code is. `wait` covers the whole call: a turn,
    /// room in the outbound buffer, the way there and back. Dropping the future forgets the request.
    ///
    /// # Errors
    /// [`ChannelError`] when no answer came.
    pub async fn request<T>(&self, code: i32, header: &T, body: &[u8], wait: Duration) -> Result<Reply, ChannelError>
    where
        T: Serialize + ?Sized,
    {
        let question = Question { code, header, body, patience: Patience::of(wait) };
        match self.owner.0.ask_at_once(&question)? {
            Some(under_way) => under_way.await,
            None => Box::pin(self.owner.0.ask_in_turn(&question)).await?.await,
        }
    }

    /// Queues a request for the socket now, so that whoever waits for the answer need not keep header and body; `None`
    /// when it would have to wait for a turn or for room, as [`Channel::request`] does.
    ///
    /// # Errors
    /// [`ChannelError`] when it cannot be queued.
    pub fn begin<T>(
        &self,
        code: i32,
        header: &T,
        body: &[u8],
        patience: Patience,
    ) -> Result<Option<UnderWay<'_>>, ChannelError>
    where
        T: Serialize + ?Sized,
    {
        self.owner.0.ask_at_once(&Question { code, header, body, patience })
    }

    /// As [`Channel::begin`], but nobody waits: whoever reads the socket hands the answer to `told`, once, which must be quick.
    /// False, and `told` is never called, when the request would have to wait for a turn or for room.
    ///
    /// # Errors
    /// [`ChannelError`] when it cannot be queued; `told` is not called then, either.
    pub fn begin_and_tell<T>(
        &self,
        code: i32,
        header: &T,
        body: &[u8],
        patience: Patience,
        told: impl FnOnce(Result<Reply, ChannelError>) + Send + 'static,
    ) -> Result<bool, ChannelError>
    where
        T: Serialize + ?Sized,
    {
        let shared = Arc::clone(&self.owner.0);
        let word = move |reply: Option<Reply>| {
            shared.turns.add_permits(1);
            told(reply.ok_or_else(|| shared.unheard(code, patience.whole)));
        };
        self.owner.0.ask_and_leave_word(&Question { code, header, body, patience }, Box::new(word))
    }

    /// Sends a request that nobody answers. Done when it is queued for the socket; `wait` bounds waiting for room.
    ///
    /// # Errors
    /// [`ChannelError`] when it could not be queued. That it was queued does not mean that it arrives.
    pub async fn oneway<T>(&self, code: i32, header: &T, body: &[u8], wait: Duration) -> Result<(), ChannelError>
    where
        T: Serialize + ?Sized,
    {
        let shared = &self.owner.0;
        let late = |_| ChannelError::Timeout { address: shared.address.clone(), code, after: wait };
        timeout(wait, shared.room()).await.map_err(late)??;
        shared.tell(code, FLAG_ONEWAY, header, body)
    }

    /// From now on requests go out in `codec`, for a peer that said that it understands it.
    pub fn speak(&self, codec: Codec) {
        self.owner.0.speak(codec);
    }

    /// The address that was given to [`Channel::connect`].
    #[must_use]
    pub fn address(&self) -> &str {
        &self.owner.0.address
    }

    /// Why the channel takes no more requests; `None` while it does.
    #[must_use]
    pub fn ended(&self) -> Option<ChannelError> {
        self.owner.0.ended()
    }

    /// Whether the channel takes requests.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !self.owner.0.is_closing()
    }

    /// Done when the connection has ended, for whatever reason.
    pub async fn wait_until_ended(&self) {
        self.owner.0.wait_until_ended().await;
    }

    /// Lets what is queued leave, then ends the connection for all handles. Requests under way fail with
    /// [`ChannelError::Closed`].
    pub async fn close(&self) {
        self.owner.0.start_closing();
        // Past the timeout the peer does not read; dropping the socket is all that is left.
        if timeout(CLOSE_TIMEOUT, self.wait_until_ended()).await.is_err() {
            self.owner.0.end(ChannelError::Closed { address: self.owner.0.address.clone() });
        }
    }
}

async fn dial(address: &str, tls: Option<&Dialer>) -> Result<Socket, ChannelError> {
    let failed =
        |error: std::io::Error| ChannelError::Connect { address: address.to_owned(), reason: error.to_string() };
    let stream = TcpStream::connect(address).await.map_err(failed)?;
    stream.set_nodelay(true).map_err(failed)?;
    let Some(tls) = tls else {
        let (reader, writer) = stream.into_split();
        return Ok(Socket::Plain(reader, Arc::new(writer)));
    };
    let shaken = tls.shake_hands(address, stream).await;
    Ok(Socket::Tls(shaken.map_err(|reason| ChannelError::Tls { address: address.to_owned(), reason })?))
}

#[cfg(test)]
mod tests;
