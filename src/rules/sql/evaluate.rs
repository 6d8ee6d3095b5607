//! What a compiled expression says of one message.

use super::names::Names;
use super::node::{Constant, Node, Place, Slot};
use super::{STEPS_MAX, Undecided, number};
use crate::protocol::properties::{NAME_END, PAIR_END};

/// Room for the properties that an expression asks for, used again for each message.
#[derive(Debug, Default)]
pub struct Scratch {
    /// Where each slot's value begins and ends in the properties; `0..0` where there is none.
    found: Vec<(u32, u32)>,
    steps: usize,
}

impl Scratch {
    /// Bytes looked at since the last time somebody asked.
    pub fn take_steps(&mut self) -> usize {
        std::mem::take(&mut self.steps)
    }
}

#[derive(Clone, Copy)]
enum Value<'a> {
    Null,
    Truth(bool),
    Int(i32),
    Long(i64),
    Double(f64),
    Text(&'a str),
}

pub(super) struct Evaluation<'a> {
    properties: &'a str,
    scratch: &'a mut Scratch,
    steps_left: usize,
}

impl<'a> Evaluation<'a> {
    /// Looks for all properties at once.
    pub(super) fn new(names: &Names, properties: &'a str, scratch: &'a mut Scratch) -> Self {
        scratch.found.clear();
        scratch.found.resize(names.len(), (0, 0));
        scratch.steps += properties.len();
        let bytes = properties.as_bytes();
        let mut start = 0;
        while start < bytes.len() {
            let mut separator = 0;
            let mut end = start;
            while end < bytes.len() && bytes[end] != PAIR_END {
                if bytes[end] == NAME_END && separator == 0 {
                    separator = end;
                }
                end += 1;
            }
            // Of two with one name the last counts, as in RocketMQ's map.
            if separator > start
                && separator + 1 < end
                && let Some(slot) = names.find(&properties[start..separator])
            {
                scratch.found[slot] = (separator as u32 + 1, end as u32);
            }
            start = end + 1;
        }
        Self { properties, scratch, steps_left: STEPS_MAX }
    }

    /// What the expression says; a value that is no truth was refused when it was compiled.
    pub(super) fn truth(&mut self, node: &Node) -> Result<Option<bool>, Undecided> {
        match self.value(node)? {
            Value::Null => Ok(None),
            Value::Truth(truth) => Ok(Some(truth)),
            _ => Err(Undecided),
        }
    }

    fn property(&self, slot: Slot) -> Value<'a> {
        match self.scratch.found.get(usize::from(slot)) {
            None | Some((0, 0)) => Value::Null,
            Some((from, to)) => Value::Text(&self.properties[*from as usize..*to as usize]),
        }
    }

    fn charge(&mut self, bytes: usize) -> Result<(), Undecided> {
        self.scratch.steps += bytes;
        self.steps_left = self.steps_left.checked_sub(bytes).ok_or(Undecided)?;
        Ok(())
    }

    fn value<'n>(&mut self, node: &'n Node) -> Result<Value<'n>, Undecided>
    where
        'a: 'n,
    {
        Ok(match node {
            Node::Constant(constant) => constant_value(constant),
            Node::Property(slot) => self.property(*slot),
            Node::Cast(slot) => match self.property(*slot) {
                Value::Null => Value::Null,
                _ => Value::Truth(false),
            },
            Node::Negate(inner) => match self.value(inner)? {
                Value::Int(value) => Value::Int(value.wrapping_neg()),
                Value::Long(value) => Value::Long(value.wrapping_neg()),
                Value::Double(value) => Value::Double(-value),
                _ => Value::Null,
            },
            Node::Not(inner) => truth_value(self.truth(inner)?.map(|truth| !truth)),
            Node::All(nodes) => truth_value(self.joined(nodes, false)?),
            Node::Any(nodes) => truth_value(self.joined(nodes, true)?),
            Node::Equal(sides) => self.equal(&sides.0, &sides.1)?,
            Node::Ordered(order, sides) => {
                let ordering = self.ordering(&sides.0, &sides.1)?;
                truth_value(ordering.map(|ordering| order.holds(ordering)))
            }
            Node::Holds { of, place, search, not } => Value::Truth(self.holds(of, *place, search)? == Some(!not)),
            Node::In { property, texts, not } => match self.property(*property) {
                Value::Text(text) => {
                    self.charge(text.len())?;
                    Value::Truth(texts.contains(text) != *not)
                }
                _ => Value::Null,
            },
        })
    }

    /// AND, which `false` decides, and OR, which `true` decides; the first that decides ends it.
    fn joined(&mut self, nodes: &[Node], decides: bool) -> Result<Option<bool>, Undecided> {
        let mut joined = Some(!decides);
        for node in nodes {
            match self.truth(node)? {
                Some(truth) if truth == decides => return Ok(Some(decides)),
                Some(_) => {}
                None => joined = None,
            }
        }
        Ok(joined)
    }

    /// `a = 'x'` is unknown without `a`; `'x' = a` is false; two that are both missing are equal.
    fn equal<'n>(&mut self, left: &'n Node, right: &'n Node) -> Result<Value<'n>, Undecided>
    where
        'a: 'n,
    {
        Ok(match (self.value(left)?, self.value(right)?) {
            (Value::Null, Value::Null) => Value::Truth(true),
            (Value::Null, _) => Value::Null,
            (_, Value::Null) => Value::Truth(false),
            (left, right) => Value::Truth(self.compare(left, right)? == 0),
        })
    }

    /// Negative, 0 or positive; `None` where a side is missing. Two texts are ordered as numbers.
    fn ordering(&mut self, left: &Node, right: &Node) -> Result<Option<i32>, Undecided> {
        let left = self.value(left)?;
        if let Value::Null = left {
            return Ok(None);
        }
        let right = self.value(right)?;
        Ok(match (left, right) {
            (_, Value::Null) => None,
            (Value::Text(left), Value::Text(right)) => {
                self.charge(left.len() + right.len())?;
                Some(compare_doubles(number::double(left)?, number::double(right)?))
            }
            _ => Some(self.compare(left, right)?),
        })
    }

    /// Java's `compareTo`, after the side of the narrower type was widened and a text was read as what stands against it.
    fn compare(&mut self, left: Value<'_>, right: Value<'_>) -> Result<i32, Undecided> {
        for side in [left, right] {
            if let Value::Text(text) = side {
                self.charge(text.len())?;
            }
        }
        Ok(match (left, right) {
            (Value::Text(left), Value::Text(right)) => left.cmp(right) as i32,
            (Value::Truth(left), Value::Truth(right)) => left.cmp(&right) as i32,
            // RocketMQ reads the wrong side as a text there, and throws.
            (Value::Truth(_), Value::Text(_)) => return Err(Undecided),
            (Value::Text(left), Value::Truth(right)) => left.eq_ignore_ascii_case("true").cmp(&right) as i32,
            (Value::Int(left), Value::Text(right)) => left.cmp(&number::int(right)?) as i32,
            (Value::Text(left), Value::Int(right)) => number::int(left)?.cmp(&right) as i32,
            (Value::Long(left), Value::Text(right)) => left.cmp(&number::long(right)?) as i32,
            (Value::Text(left), Value::Long(right)) => number::long(left)?.cmp(&right) as i32,
            (Value::Double(left), Value::Text(right)) => compare_doubles(left, number::double(right)?),
            (Value::Text(left), Value::Double(right)) => compare_doubles(number::double(left)?, right),
            _ => match (as_long(left), as_long(right), as_double(left), as_double(right)) {
                (Some(left), Some(right), ..) => left.cmp(&right) as i32,
                (_, _, Some(left), Some(right)) => compare_doubles(left, right),
                // Types that have nothing in common.
                _ => -1,
            },
        })
    }

    /// Whether the text is there; `None` where the question has no sense, and then NOT does not help either.
    fn holds(&mut self, of: &Node, place: Place, search: &str) -> Result<Option<bool>, Undecided> {
        if search.is_empty() {
            return Ok(None);
        }
        let Value::Text(text) = self.value(of)? else { return Ok(None) };
        Ok(Some(match place {
            Place::Anywhere => {
                self.charge(text.len())?;
                text.contains(search)
            }
            Place::Start => text.starts_with(search),
            Place::End => text.ends_with(search),
        }))
    }
}

fn truth_value(truth: Option<bool>) -> Value<'static> {
    truth.map_or(Value::Null, Value::Truth)
}

fn constant_value(constant: &Constant) -> Value<'_> {
    match constant {
        Constant::Null => Value::Null,
        Constant::Truth(truth) => Value::Truth(*truth),
        Constant::Int(value) => Value::Int(*value),
        Constant::Long(value) => Value::Long(*value),
        Constant::Double(value) => Value::Double(*value),
        Constant::Text(text) => Value::Text(text),
    }
}

fn as_long(value: Value<'_>) -> Option<i64> {
    match value {
        Value::Int(value) => Some(i64::from(value)),
        Value::Long(value) => Some(value),
        _ => None,
    }
}

fn as_double(value: Value<'_>) -> Option<f64> {
    match value {
        Value::Int(value) => Some(f64::from(value)),
        Value::Long(value) => Some(value as f64),
        Value::Double(value) => Some(value),
        _ => None,
    }
}

/// Java's order of doubles: -0.0 below 0.0, NaN above all and equal to itself.
pub(super) fn compare_doubles(left: f64, right: f64) -> i32 {
    match (left.is_nan(), right.is_nan()) {
        (true, true) => 0,
        (true, false) => 1,
        (false, true) => -1,
        (false, false) => left.total_cmp(&right) as i32,
    }
}
