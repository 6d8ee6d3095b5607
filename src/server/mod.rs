//! The doors: sessions, request handlers, and the tree that starts and stops everything.

pub mod broker;
pub mod descriptors;
pub mod doors;
pub mod extending;
pub mod filters;
pub mod listener;
pub mod namesrv;
mod owners;
pub mod requests;
pub mod session;
pub mod tls;
pub mod tree;

pub use crate::actors::log::flusher::Fatal;
