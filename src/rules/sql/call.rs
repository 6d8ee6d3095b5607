//! `FILTER('NAME', 'expression')`: the reserved form by which clients that know only TAG and SQL92 name a custom filter.

use super::error::SqlError;
use super::lexer::{Lexer, Word};
use super::parser::unquoted;

/// The word that the form begins with.
const WORD: &str = "FILTER";

/// A custom filter that an expression names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterCall {
    /// Name of the filter, as it was registered.
    pub name: Box<str>,
    /// The filter's own expression, which may be empty.
    pub expression: Box<str>,
}

/// The custom filter that `text` names; `None` where it is an ordinary expression.
///
/// # Errors
/// Where `text` begins as the form does and goes on otherwise.
pub fn filter_call(text: &str) -> Result<Option<FilterCall>, SqlError> {
    let mut words = Lexer::new(text);
    let Ok((Word::Name(word), _)) = words.next() else { return Ok(None) };
    if !word.eq_ignore_ascii_case(WORD) || !matches!(words.next(), Ok((Word::Sign("("), _))) {
        return Ok(None);
    }
    let refuse = |word: Word<'_>, at, allowed: &str| {
        let form = "the form is FILTER('NAME', 'expression')";
        Err(SqlError::new(text, at, format!("found {word}, allowed here: {allowed}; {form}")))
    };
    let (name, at) = words.next()?;
    let Word::Text(name) = name else { return refuse(name, at, "the filter's name in quotes") };
    let mut expression = "";
    let (mut next, mut at) = words.next()?;
    if next == Word::Sign(",") {
        let (word, at_word) = words.next()?;
        let Word::Text(text) = word else { return refuse(word, at_word, "the filter's expression in quotes") };
        expression = text;
        (next, at) = words.next()?;
    }
    if next != Word::Sign(")") {
        return refuse(next, at, "`)` or, once, `,` and an expression");
    }
    let (word, at) = words.next()?;
    if word != Word::End {
        return refuse(word, at, "the end");
    }
    Ok(Some(FilterCall { name: unquoted(name), expression: unquoted(expression) }))
}
