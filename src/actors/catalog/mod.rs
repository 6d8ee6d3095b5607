//! Read-mostly facts of a broker, each with one owner: topics, groups, members, consumer offsets.

pub mod data_version;
pub mod topics;
