//! Words and their bytes: names, frames, headers, records. Pure: no files, no sockets, no clocks, no actors.

pub mod batch;
pub mod body;
pub mod code;
pub mod compression;
pub mod fields;
pub mod frame;
pub mod frame_json;
mod frame_packed;
mod frame_sloppy;
pub mod hash;
pub mod header;
pub mod json;
pub mod names;
pub mod properties;
pub mod record;
pub mod trace;
pub mod uniq_key;
