//! A compiled expression as a tree.

use std::collections::HashSet;

/// Number of a property name within its expression.
pub type Slot = u16;

/// How two values are ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

impl Order {
    pub fn holds(self, ordering: i32) -> bool {
        match self {
            Order::Greater => ordering > 0,
            Order::GreaterOrEqual => ordering >= 0,
            Order::Less => ordering < 0,
            Order::LessOrEqual => ordering <= 0,
        }
    }
}

/// Where a text is looked for in another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Anywhere,
    Start,
    End,
}

/// A value that stands in the expression.
#[derive(Debug, Clone, PartialEq)]
pub enum Constant {
    Null,
    Truth(bool),
    Int(i32),
    Long(i64),
    Double(f64),
    Text(Box<str>),
}

impl Constant {
    pub fn is_number(&self) -> bool {
        matches!(self, Constant::Int(_) | Constant::Long(_) | Constant::Double(_))
    }
}

/// The texts of an IN.
#[derive(Debug, PartialEq)]
pub enum Texts {
    Few(Box<[Box<str>]>),
    Many(HashSet<Box<str>>),
}

impl Texts {
    const FEW: usize = 8;

    pub fn new(texts: Vec<Box<str>>) -> Self {
        if texts.len() <= Self::FEW { Texts::Few(texts.into()) } else { Texts::Many(texts.into_iter().collect()) }
    }

    pub fn contains(&self, text: &str) -> bool {
        match self {
            Texts::Few(texts) => texts.iter().any(|known| **known == *text),
            Texts::Many(texts) => texts.contains(text),
        }
    }
}

/// One part of an expression.
#[derive(Debug, PartialEq)]
pub enum Node {
    Constant(Constant),
    Property(Slot),
    Negate(Box<Node>),
    Not(Box<Node>),
    /// A property that stands where a truth is wanted. It is a text, so never true.
    Cast(Slot),
    All(Vec<Node>),
    Any(Vec<Node>),
    Equal(Box<(Node, Node)>),
    Ordered(Order, Box<(Node, Node)>),
    Holds {
        of: Box<Node>,
        place: Place,
        search: Box<str>,
        not: bool,
    },
    In {
        property: Slot,
        texts: Texts,
        not: bool,
    },
}

impl Node {
    /// Whether it may stand where a truth is wanted, without a cast.
    pub fn is_truth(&self) -> bool {
        match self {
            Node::Constant(constant) => matches!(constant, Constant::Null | Constant::Truth(_)),
            Node::Property(_) | Node::Negate(_) => false,
            _ => true,
        }
    }
}
