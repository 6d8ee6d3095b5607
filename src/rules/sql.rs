//! SQL92 as RocketMQ speaks it: an expression over the properties of a message, compiled once, evaluated for many.
//!
//! What it says is what RocketMQ's own evaluator says, its surprises included (`docs/filters.md` lists them);
//! `tests/vectors/sql` holds what that one answered. Text, depth, terms and work a message are bounded, since expressions
//! come from clients.

mod call;
mod error;
mod evaluate;
mod lexer;
mod names;
mod node;
mod number;
mod parser;

pub use self::call::{FilterCall, filter_call};
pub use self::error::SqlError;
use self::evaluate::Evaluation;
pub use self::evaluate::Scratch;
use self::names::Names;
use self::node::Node;

/// Longest expression, in bytes.
pub const TEXT_BYTES_MAX: usize = 16 * 1024;
/// Operators and values that one expression may have.
pub const TERMS_MAX: usize = 2_048;
/// How deep an expression may be nested.
pub const DEPTH_MAX: usize = 100;
/// Bytes of properties that one evaluation may look at, all looks together. An expression that wants more of a message is
/// not true of it.
pub const STEPS_MAX: usize = 4 * 1024 * 1024;

/// The expression could not be told true or false of this message: in RocketMQ an exception. Such a message is not
/// delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Undecided;

/// A compiled expression.
#[derive(Debug, PartialEq)]
pub struct Expression {
    root: Node,
    names: Names,
}

impl Expression {
    /// # Errors
    /// Where `text` is not SQL92 as RocketMQ has it, or passes a bound.
    pub fn compile(text: &str) -> Result<Expression, SqlError> {
        parser::compile(text)
    }

    /// What the expression says of a message with these properties, given as they are stored: `Some` of true or false, or
    /// `None` where it cannot be known. Allocates nothing once `scratch` has been used.
    ///
    /// # Errors
    /// Where RocketMQ's evaluator throws: a property that should be a number is none.
    pub fn evaluate(&self, properties: &str, scratch: &mut Scratch) -> Result<Option<bool>, Undecided> {
        Evaluation::new(&self.names, properties, scratch).truth(&self.root)
    }

    /// Whether a message with these properties is to be delivered.
    #[must_use]
    pub fn matches(&self, properties: &str, scratch: &mut Scratch) -> bool {
        self.evaluate(properties, scratch) == Ok(Some(true))
    }
}

#[cfg(test)]
mod tests;
