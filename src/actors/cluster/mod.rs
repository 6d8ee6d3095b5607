//! This broker among others.
