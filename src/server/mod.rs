//! The doors: sessions, request handlers, and the tree that starts and stops everything.

pub mod doors;
pub mod requests;
