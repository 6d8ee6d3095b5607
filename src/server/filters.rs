//! From what a consumer says it wants to what its queue can check: compiled expressions, and custom filters by name.

use std::sync::Arc;

use dashmap::DashMap;

use crate::actors::catalog::groups::{FILTER_ATTRIBUTE, FILTER_EXPRESSION_ATTRIBUTE, GroupConfig};
use crate::actors::catalog::members::TAG_EXPRESSION;
use crate::actors::extension::{FilterUse, Filters};
use crate::rules::sql::{self, SqlError};

/// The expression type of SQL92.
pub const SQL_EXPRESSION: &str = "SQL92";
/// Compiled expressions that are kept; past them all are compiled anew as they are used.
const COMPILED_MAX: usize = 4_096;

/// Why a filter cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// `enablePropertyFilter` is off, and the type is no custom filter's name. RocketMQ's remark.
    #[error("The broker does not support consumer to filter message by {0}")]
    NotAllowed(String),
    #[error("the SQL92 expression is wrong {0}")]
    Expression(SqlError),
    #[error("no filter {name} is registered at this broker{known}")]
    NoSuchFilter { name: String, known: String },
}

/// What an expression comes to.
#[derive(Debug, Clone)]
pub enum Resolved {
    Sql(Arc<sql::Expression>),
    Custom(FilterUse),
}

type Compiled = DashMap<Box<str>, Result<Arc<sql::Expression>, SqlError>>;

/// The filters of a broker. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct FilterDoor {
    custom: Arc<Filters>,
    /// Every expression is compiled once, however often it comes.
    compiled: Arc<Compiled>,
}

impl FilterDoor {
    #[must_use]
    pub fn new(custom: Filters) -> Self {
        Self { custom: Arc::new(custom), compiled: Arc::default() }
    }

    /// What `expression` of this type, which is not TAG, comes to for a consumer of `group`. `sql_allowed` is
    /// `enablePropertyFilter`, which custom filters do not need.
    ///
    /// # Errors
    /// [`Unusable`]; the remark says what would do.
    pub fn resolve(&self, kind: &str, expression: &str, group: &str, sql_allowed: bool) -> Result<Resolved, Unusable> {
        if kind != SQL_EXPRESSION {
            return match self.custom.get(kind) {
                None if !sql_allowed => Err(Unusable::NotAllowed(kind.to_owned())),
                _ => self.named(kind, expression, group).map(Resolved::Custom),
            };
        }
        match sql::filter_call(expression).map_err(Unusable::Expression)? {
            Some(call) => self.named(&call.name, &call.expression, group).map(Resolved::Custom),
            None if !sql_allowed => Err(Unusable::NotAllowed(kind.to_owned())),
            None => self.compiled(expression).map(Resolved::Sql).map_err(Unusable::Expression),
        }
    }

    /// The filter that the group's own configuration names, if it does.
    ///
    /// # Errors
    /// Where there is no such filter.
    pub fn of_group(&self, config: &GroupConfig) -> Result<Option<FilterUse>, Unusable> {
        let Some(name) = config.attributes.get(FILTER_ATTRIBUTE) else { return Ok(None) };
        let expression = config.attributes.get(FILTER_EXPRESSION_ATTRIBUTE).map_or("", String::as_str);
        self.named(name, expression, &config.group_name).map(Some)
    }

    fn named(&self, name: &str, expression: &str, group: &str) -> Result<FilterUse, Unusable> {
        let Some(filter) = self.custom.get(name) else {
            let known = self.custom.names();
            let known = if known.is_empty() { "; it has none".into() } else { format!("; there are: {known}") };
            return Err(Unusable::NoSuchFilter { name: name.to_owned(), known });
        };
        Ok(FilterUse { filter: filter.clone(), expression: expression.into(), group: group.into() })
    }

    fn compiled(&self, expression: &str) -> Result<Arc<sql::Expression>, SqlError> {
        if let Some(known) = self.compiled.get(expression) {
            return known.clone();
        }
        let compiled = sql::Expression::compile(expression).map(Arc::new);
        // What is longer than any good expression is not kept either.
        if expression.len() <= sql::TEXT_BYTES_MAX {
            if self.compiled.len() >= COMPILED_MAX {
                self.compiled.clear();
            }
            self.compiled.insert(expression.into(), compiled.clone());
        }
        compiled
    }
}

/// Whether messages are filtered by tags alone.
#[must_use]
pub fn is_by_tag(kind: &str) -> bool {
    kind.is_empty() || kind == TAG_EXPRESSION
}
