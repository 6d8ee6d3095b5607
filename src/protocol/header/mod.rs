//! The typed fields of requests and answers, a struct each, by family.
//!
//! Names are those of the wire in camel case. A field without a default makes the header unreadable when it is
//! missing; fields that a server can do without are options or have a default. Unknown fields are passed over.

pub mod admin;
pub mod clients;
pub mod groups;
pub mod namesrv;
pub mod offsets;
pub mod pull;
pub mod query;
pub mod send;
pub mod topics;
pub mod transactions;
