//! ActorMQ: a message broker made of actors that takes the place of Apache RocketMQ.
//!
//! The rooms, from the bottom up; each imports only from those above it in this list:
//!
//! - [`protocol`]: words and their bytes: frames, headers, bodies, records. Pure.
//! - [`rules`]: decisions: values in, answer out. No I/O, no clock.
//! - [`store`]: bytes on disk: CommitLog, ConsumeQueue, key index, recovery.
//! - [`remoting`]: frames over sockets.
//! - [`actors`]: one owner of state per file; `actors/mod.rs` is the cast list.
//! - [`client`]: producers and consumers for Rust programs.
//! - [`server`]: the doors: sessions, request handlers, the supervision tree.
//! - [`embed`]: a name server and a broker inside another program.
//! - [`cli`]: one file per subcommand of the binary.
//!
//! Programs use [`client`] and [`embed`] (and of [`config`] what [`embed::ClusterOptions`] hands out); these keep what they
//! promise. The other rooms are open for the binary, for tests that look at bytes, and for whoever builds on the source: they
//! change from release to release.

pub mod actors;
pub mod cli;
pub mod client;
pub mod config;
pub mod embed;
pub mod metrics;
pub mod protocol;
pub mod remoting;
pub mod rules;
pub mod server;
pub mod store;
