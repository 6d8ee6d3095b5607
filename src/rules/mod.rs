//! Decisions: values in, answer out. No I/O, no clock.

pub mod assignment;
pub mod sql;
