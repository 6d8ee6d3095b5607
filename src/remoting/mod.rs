//! Frames over sockets.

pub mod channel;
pub mod error;
