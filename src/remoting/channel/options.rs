//! How a channel behaves.

use std::time::Duration;

use tokio::sync::mpsc;

use super::shared::PeerRequest;
use crate::protocol::frame::Codec;
use crate::remoting::tls::Dialer;

/// How long a connection may take to be made.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// After this time without a byte in either direction RocketMQ's ends close a connection.
pub const IDLE_AFTER: Duration = Duration::from_secs(120);
/// How a channel behaves.
#[derive(Debug, Clone)]
pub struct ChannelOptions {
    /// For name resolution, connecting and TLS's handshake together.
    pub connect_timeout: Duration,
    /// The channel closes itself after this time without traffic.
    pub idle_after: Duration,
    /// Of requests; answers are understood in any codec. Codes that the binary codec cannot carry go as JSON.
    pub codec: Codec,
    /// Requests that wait for an answer at once; more wait for their turn within their own timeouts.
    pub requests_max: usize,
    /// Bytes that wait for the socket at once; a request that finds more waits. One frame may exceed it.
    pub outbound_bytes_max: usize,
    /// Takes what the peer asks of us. When it is full or absent the peer's request is dropped.
    pub inbound: Option<mpsc::Sender<PeerRequest>>,
    /// Speaks TLS; `None`: plain text.
    pub tls: Option<Dialer>,
}

impl Default for ChannelOptions {
    fn default() -> Self {
        Self {
            connect_timeout: CONNECT_TIMEOUT,
            idle_after: IDLE_AFTER,
            codec: Codec::Binary,
            requests_max: 16_384,
            outbound_bytes_max: 8 * 1024 * 1024,
            inbound: None,
            tls: None,
        }
    }
}
