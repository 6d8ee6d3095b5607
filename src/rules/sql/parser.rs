//! From words to a tree. The grammar is RocketMQ's, down to what it passes over: what follows a whole expression is ignored,
//! but for one word, which must be one.

use super::error::SqlError;
use super::evaluate::compare_doubles;
use super::lexer::{Keyword, Lexer, Word};
use super::names::Names;
use super::node::{Constant, Node, Order, Place, Texts};
use super::{DEPTH_MAX, Expression, TERMS_MAX, TEXT_BYTES_MAX};

const VALUES: &str = "a property, a number, a string, TRUE, FALSE, NULL, NOT, `+`, `-` or `(`";
const ORDERED: &str = "only a property or a number can be ordered";
const NOT_FIRST: &str = "NOT goes with the next word only: write NOT ( … ) around a comparison";

pub(super) fn compile(text: &str) -> Result<Expression, SqlError> {
    if text.len() > TEXT_BYTES_MAX {
        let reason = format!("the expression has {} bytes, {TEXT_BYTES_MAX} are allowed", text.len());
        return Err(SqlError::new(text, TEXT_BYTES_MAX, reason));
    }
    let mut lexer = Lexer::new(text);
    let (word, at) = lexer.next()?;
    let mut parser = Parser { text, lexer, word, at, depth: 0, terms: 0, names: Names::default() };
    let (root, start) = (parser.any()?, 0);
    let root = parser.truth(root, start)?;
    Ok(Expression { root: root.node, names: parser.names })
}

/// What a quoted string means.
pub(super) fn unquoted(text: &str) -> Box<str> {
    text.replace("''", "'").into()
}

/// A part, and how deep it is.
struct Part {
    node: Node,
    depth: usize,
}

struct Parser<'a> {
    text: &'a str,
    lexer: Lexer<'a>,
    word: Word<'a>,
    at: usize,
    depth: usize,
    terms: usize,
    names: Names,
}

impl<'a> Parser<'a> {
    fn error(&self, at: usize, reason: impl Into<String>) -> SqlError {
        SqlError::new(self.text, at, reason)
    }

    fn unexpected(&self, allowed: &str) -> SqlError {
        self.error(self.at, format!("found {}, allowed here: {allowed}", self.word))
    }

    fn advance(&mut self) -> Result<(), SqlError> {
        (self.word, self.at) = self.lexer.next()?;
        Ok(())
    }

    fn take(&mut self, word: Word<'_>) -> Result<bool, SqlError> {
        let there = self.word == word;
        if there {
            self.advance()?;
        }
        Ok(there)
    }

    fn expect(&mut self, word: Word<'_>, allowed: &str) -> Result<(), SqlError> {
        if self.take(word)? { Ok(()) } else { Err(self.unexpected(allowed)) }
    }

    /// Counts a part and measures its depth.
    fn part(&mut self, node: Node, below: usize, at: usize) -> Result<Part, SqlError> {
        self.terms += 1;
        if self.terms > TERMS_MAX {
            return Err(self.error(at, format!("the expression has more than {TERMS_MAX} terms")));
        }
        if below + 1 > DEPTH_MAX {
            return Err(self.error(at, format!("the expression is nested deeper than {DEPTH_MAX}")));
        }
        Ok(Part { node, depth: below + 1 })
    }

    /// `part` where true or false is wanted.
    fn truth(&self, part: Part, at: usize) -> Result<Part, SqlError> {
        match part.node {
            Node::Property(slot) => Ok(Part { node: Node::Cast(slot), depth: part.depth }),
            node if node.is_truth() => Ok(Part { node, depth: part.depth }),
            _ => Err(self.error(at, "this is a value, allowed here: a comparison, which is true or false")),
        }
    }

    fn any(&mut self) -> Result<Part, SqlError> {
        self.joined(Keyword::Or, Self::all, Node::Any)
    }

    fn all(&mut self) -> Result<Part, SqlError> {
        self.joined(Keyword::And, Self::equality, Node::All)
    }

    fn joined(
        &mut self,
        keyword: Keyword,
        inner: fn(&mut Self) -> Result<Part, SqlError>,
        join: fn(Vec<Node>) -> Node,
    ) -> Result<Part, SqlError> {
        let start = self.at;
        let first = inner(self)?;
        if self.word != Word::Keyword(keyword) {
            return Ok(first);
        }
        let first = self.truth(first, start)?;
        let (mut nodes, mut depth) = (vec![first.node], first.depth);
        while self.take(Word::Keyword(keyword))? {
            let at = self.at;
            let next = inner(self)?;
            let next = self.truth(next, at)?;
            depth = depth.max(next.depth);
            nodes.push(next.node);
        }
        self.part(join(nodes), depth, start)
    }

    fn equality(&mut self) -> Result<Part, SqlError> {
        let start = self.at;
        let mut left = self.comparison()?;
        loop {
            let at = self.at;
            match self.word {
                Word::Sign(sign @ ("=" | "<>")) => {
                    self.advance()?;
                    let right_at = self.at;
                    let right = self.comparison()?;
                    self.check_equal(&left.node, &right.node, (start, right_at))?;
                    left = self.equal(left, right, sign == "<>", at)?;
                }
                Word::Keyword(Keyword::Is) => {
                    self.advance()?;
                    let not = self.take(Word::Keyword(Keyword::Not))?;
                    self.expect(Word::Keyword(Keyword::Null), if not { "NULL" } else { "NULL or NOT NULL" })?;
                    left = self.equal(left, Part { node: Node::Constant(Constant::Null), depth: 1 }, not, at)?;
                }
                _ => return Ok(left),
            }
        }
    }

    fn equal(&mut self, left: Part, right: Part, not: bool, at: usize) -> Result<Part, SqlError> {
        let depth = left.depth.max(right.depth);
        let equal = self.part(Node::Equal(Box::new((left.node, right.node))), depth, at)?;
        if not { self.part(Node::Not(Box::new(equal.node)), equal.depth, at) } else { Ok(equal) }
    }

    fn check_equal(&self, left: &Node, right: &Node, (left_at, right_at): (usize, usize)) -> Result<(), SqlError> {
        for (node, at) in [(left, left_at), (right, right_at)] {
            if *node == Node::Constant(Constant::Null) {
                return Err(self.error(at, "NULL cannot be compared, allowed: IS NULL and IS NOT NULL"));
            }
        }
        if let (Node::Constant(Constant::Truth(_)), Node::Constant(right)) = (left, right)
            && !matches!(right, Constant::Truth(_))
        {
            return Err(self.error(right_at, "TRUE and FALSE can be compared with each other or with a property"));
        }
        Ok(())
    }

    fn comparison(&mut self) -> Result<Part, SqlError> {
        let start = self.at;
        let mut left = self.unary()?;
        loop {
            let at = self.at;
            let order = match self.word {
                Word::Sign(">") => Some(Order::Greater),
                Word::Sign(">=") => Some(Order::GreaterOrEqual),
                Word::Sign("<") => Some(Order::Less),
                Word::Sign("<=") => Some(Order::LessOrEqual),
                _ => None,
            };
            if let Some(order) = order {
                self.advance()?;
                let right_at = self.at;
                let right = self.unary()?;
                self.check_ordered(&left.node, start)?;
                self.check_ordered(&right.node, right_at)?;
                let depth = left.depth.max(right.depth);
                left = self.part(Node::Ordered(order, Box::new((left.node, right.node))), depth, at)?;
                continue;
            }
            let not = self.take(Word::Keyword(Keyword::Not))?;
            let Word::Keyword(keyword) = self.word else {
                return if not { Err(self.unexpected(AFTER_NOT)) } else { Ok(left) };
            };
            left = match keyword {
                Keyword::Contains => self.holds(left, Place::Anywhere, not, at)?,
                Keyword::StartsWith => self.holds(left, Place::Start, not, at)?,
                Keyword::EndsWith => self.holds(left, Place::End, not, at)?,
                Keyword::Between => self.between(left, not, (start, at))?,
                Keyword::In => self.one_of(&left, not, (start, at))?,
                _ if not => return Err(self.unexpected(AFTER_NOT)),
                _ => return Ok(left),
            };
        }
    }

    fn check_ordered(&self, node: &Node, at: usize) -> Result<(), SqlError> {
        let wrong = match node {
            Node::Constant(constant) => !constant.is_number(),
            node => node.is_truth(),
        };
        let reason = if matches!(node, Node::Not(_)) { NOT_FIRST } else { ORDERED };
        if wrong { Err(self.error(at, reason)) } else { Ok(()) }
    }

    fn string(&mut self) -> Result<&'a str, SqlError> {
        let Word::Text(text) = self.word else { return Err(self.unexpected("a string in single quotes")) };
        self.advance()?;
        Ok(text)
    }

    fn holds(&mut self, of: Part, place: Place, not: bool, at: usize) -> Result<Part, SqlError> {
        self.advance()?;
        let search = unquoted(self.string()?);
        self.part(Node::Holds { of: Box::new(of.node), place, search, not }, of.depth, at)
    }

    /// `a BETWEEN 1 AND 5` is `a >= 1 AND a <= 5`, its opposite `a < 1 OR a > 5`: the value stands in the tree twice.
    fn between(&mut self, value: Part, not: bool, (start, at): (usize, usize)) -> Result<Part, SqlError> {
        self.advance()?;
        let low_at = self.at;
        let low = self.unary()?;
        self.expect(Word::Keyword(Keyword::And), "AND and the upper end")?;
        let high_at = self.at;
        let high = self.unary()?;
        for (node, at) in [(&value.node, start), (&low.node, low_at), (&high.node, high_at)] {
            self.check_ordered(node, at)?;
        }
        if !not
            && let (Node::Constant(low), Node::Constant(high)) = (&low.node, &high.node)
            && is_below(high, low)
        {
            return Err(self.error(high_at, "the upper end of BETWEEN is below the lower one"));
        }
        let depth = value.depth.max(low.depth).max(high.depth) + 1;
        let again = repeated(&value.node);
        let (first, second) =
            if not { (Order::Less, Order::Greater) } else { (Order::GreaterOrEqual, Order::LessOrEqual) };
        let nodes = vec![
            Node::Ordered(first, Box::new((value.node, low.node))),
            Node::Ordered(second, Box::new((again, high.node))),
        ];
        self.terms += 2;
        self.part(if not { Node::Any(nodes) } else { Node::All(nodes) }, depth, at)
    }

    fn one_of(&mut self, of: &Part, not: bool, (start, at): (usize, usize)) -> Result<Part, SqlError> {
        let Node::Property(property) = of.node else {
            return Err(self.error(start, "only a property can be looked for with IN"));
        };
        self.advance()?;
        self.expect(Word::Sign("("), "`(` and strings")?;
        let mut texts = vec![unquoted(self.string()?)];
        while self.take(Word::Sign(","))? {
            texts.push(unquoted(self.string()?));
        }
        self.expect(Word::Sign(")"), "`,` or `)`")?;
        self.part(Node::In { property, texts: Texts::new(texts), not }, of.depth, at)
    }

    fn unary(&mut self) -> Result<Part, SqlError> {
        let at = self.at;
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.error(at, format!("the expression is nested deeper than {DEPTH_MAX}")));
        }
        let part = if self.take(Word::Sign("+"))? {
            self.unary()
        } else if self.take(Word::Sign("-"))? {
            let inner = self.unary()?;
            self.part(Node::Negate(Box::new(inner.node)), inner.depth, at)
        } else if self.take(Word::Keyword(Keyword::Not))? {
            let inner_at = self.at;
            let inner = self.unary()?;
            let inner = self.truth(inner, inner_at)?;
            self.part(Node::Not(Box::new(inner.node)), inner.depth, at)
        } else {
            self.primary()
        };
        self.depth -= 1;
        part
    }

    fn primary(&mut self) -> Result<Part, SqlError> {
        let at = self.at;
        let node = match self.word {
            Word::Sign("(") => {
                self.advance()?;
                let inner = self.any()?;
                self.expect(Word::Sign(")"), "an operator, AND, OR or `)`")?;
                return Ok(inner);
            }
            Word::Name(name) => Node::Property(self.names.slot(name)),
            Word::Text(text) => Node::Constant(Constant::Text(unquoted(text))),
            Word::Whole(digits) => Node::Constant(self.whole(digits)?),
            Word::Fraction(digits) => Node::Constant(self.fraction(digits)?),
            Word::Keyword(Keyword::True) => Node::Constant(Constant::Truth(true)),
            Word::Keyword(Keyword::False) => Node::Constant(Constant::Truth(false)),
            Word::Keyword(Keyword::Null) => Node::Constant(Constant::Null),
            _ => return Err(self.unexpected(VALUES)),
        };
        self.advance()?;
        self.part(node, 0, at)
    }

    fn whole(&self, digits: &str) -> Result<Constant, SqlError> {
        let value = digits.trim_end_matches(['l', 'L']).parse::<i64>();
        let value = value.map_err(|_| self.error(self.at, format!("the largest whole number is {}", i64::MAX)))?;
        Ok(i32::try_from(value).map_or(Constant::Long(value), Constant::Int))
    }

    fn fraction(&self, digits: &str) -> Result<Constant, SqlError> {
        let value = digits.parse::<f64>().unwrap_or(f64::INFINITY);
        if value == 0.0 || value.is_infinite() {
            let reason = "a decimal lies between 4.9E-324 and 1.7976931348623157E308; for zero write 0";
            return Err(self.error(self.at, reason));
        }
        Ok(Constant::Double(value))
    }
}

const AFTER_NOT: &str = "CONTAINS, STARTSWITH, ENDSWITH, BETWEEN or IN";

fn is_below(left: &Constant, right: &Constant) -> bool {
    let long = |constant: &Constant| match constant {
        Constant::Int(value) => Some(i64::from(*value)),
        Constant::Long(value) => Some(*value),
        _ => None,
    };
    let double = |constant: &Constant| match constant {
        Constant::Double(value) => *value,
        other => long(other).unwrap_or_default() as f64,
    };
    match (long(left), long(right)) {
        (Some(left), Some(right)) => left < right,
        _ => compare_doubles(double(left), double(right)) < 0,
    }
}

/// The value of a BETWEEN once more. What may be ordered is a property, a number, or one of these negated.
fn repeated(node: &Node) -> Node {
    match node {
        Node::Constant(constant) => Node::Constant(constant.clone()),
        Node::Property(slot) => Node::Property(*slot),
        Node::Negate(inner) => Node::Negate(Box::new(repeated(inner))),
        // Where a minus stands before what is true or false there is no number, whatever it says.
        _ => Node::Constant(Constant::Null),
    }
}
