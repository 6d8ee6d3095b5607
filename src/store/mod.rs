//! Bytes on disk.

pub mod table;
