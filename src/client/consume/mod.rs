//! Receiving: pull and push consumers and what they share.

pub(in crate::client) mod backlog;
pub(in crate::client) mod beginning;
pub(in crate::client) mod checking;
pub(in crate::client) mod desk;
pub(in crate::client) mod handing_back;
pub(in crate::client) mod local_offsets;
pub(in crate::client) mod offsets;
pub(in crate::client) mod pull;
pub(in crate::client) mod pull_consumer;
pub(in crate::client) mod pull_options;
pub(in crate::client) mod pulling;
pub(in crate::client) mod push_consumer;
pub(in crate::client) mod push_options;
pub(in crate::client) mod queue_locks;
pub(in crate::client) mod queue_reader;
pub(in crate::client) mod received;
pub(in crate::client) mod sharer;
pub(in crate::client) mod shares;
pub(in crate::client) mod subscription;
pub(in crate::client) mod survey;
