//! Frames over sockets, with and without TLS, and where name servers are.

pub mod channel;
pub mod error;
pub mod lead;
pub mod lookup;
pub mod tls;
