//! Read-mostly facts of a broker, each with one owner: settings, topics, groups, members, consumer offsets.

use std::path::PathBuf;

use crate::store::table::TableError;

pub mod data_version;
pub mod groups;
pub mod members;
pub mod offsets;
pub mod settings;
pub(in crate::actors) mod snapshot;
pub mod statistics;
#[cfg(test)]
pub(crate) mod testing;
pub mod topics;

/// Why a part of the catalog cannot be opened or saved.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    #[error(transparent)]
    Table(#[from] TableError),
    #[error("{path} holds {reason}")]
    TooMuch { path: PathBuf, reason: String },
}
