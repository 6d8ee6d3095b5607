//! What can go wrong between two ends of a connection.

use std::time::Duration;

use crate::protocol::fields::FieldError;
use crate::protocol::frame::{FRAME_BYTES_MAX, FrameError};

/// Why a request over an outbound connection has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChannelError {
    /// Nobody listens there, the name does not resolve, or no answer came in time.
    #[error("cannot connect to {address}: {reason}")]
    Connect { address: String, reason: String },
    /// Somebody listens there, and TLS with him failed: he speaks none, or his certificate is not trusted.
    #[error("no TLS with {address}: {reason}")]
    Tls { address: String, reason: String },
    /// No answer within the time that the caller gave. The peer may have done what was asked.
    #[error("{address} did not answer request {code} within {after:?}")]
    Timeout { address: String, code: i32, after: Duration },
    /// The peer closed the connection, or the network did.
    #[error("the connection to {address} is gone: {reason}")]
    Lost { address: String, reason: String },
    /// The peer sent bytes that are no frame; the connection was closed, since nothing after them can be trusted.
    #[error("{address} sent a broken frame, the connection was closed: {reason}")]
    Broken { address: String, reason: FrameError },
    /// Nothing was sent or received for the idle time of the channel.
    #[error("the connection to {address} was closed after {after:?} without traffic")]
    Idle { address: String, after: Duration },
    /// This side closed the channel.
    #[error("the connection to {address} is closed")]
    Closed { address: String },
    /// The request itself is longer than any peer accepts; nothing was sent.
    #[error("a request of {bytes} bytes, at most {FRAME_BYTES_MAX} are allowed: send less at once")]
    TooLong { bytes: usize },
    /// The request's header cannot be written: a programmer's error. Nothing was sent.
    #[error("the header of request {code} cannot be written: {reason}")]
    Header { code: i32, reason: FieldError },
}

impl ChannelError {
    /// Whether the peer may have received the request and acted on it.
    #[must_use]
    pub fn may_have_arrived(&self) -> bool {
        !matches!(self, Self::Connect { .. } | Self::Tls { .. } | Self::TooLong { .. } | Self::Header { .. })
    }
}
