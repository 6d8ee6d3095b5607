//! Frames over sockets, and where name servers are.

pub mod channel;
pub mod error;
pub mod lookup;
