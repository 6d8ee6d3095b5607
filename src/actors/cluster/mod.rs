//! This broker among others.

pub mod registration;
