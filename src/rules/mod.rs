//! Decisions: values in, answer out. No I/O, no clock.

pub mod assignment;
pub mod delay_level;
pub mod retry;
pub mod sql;
