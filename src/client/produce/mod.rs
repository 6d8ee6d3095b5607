//! Sending: producers and what they are made of.

pub(in crate::client) mod delivery;
pub(in crate::client) mod faults;
pub(in crate::client) mod first_try;
pub(in crate::client) mod gathering;
pub(in crate::client) mod parcel;
pub(in crate::client) mod producer;
pub(in crate::client) mod producer_options;
pub(in crate::client) mod transaction;
