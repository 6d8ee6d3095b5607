//! What a consumer wants of a topic: an expression, as brokers and clients understand it.

use std::sync::Arc;

use super::received::ReceivedMessage;
use crate::client::error::ClientError;
use crate::client::produce::parcel::now_ms;
use crate::protocol::body::clients::SubscriptionData;
use crate::protocol::hash::hash;
use crate::protocol::names::{DERIVED_TOPIC_BYTES_MAX, check_name};

/// Which messages of a topic a consumer wants.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Filter {
    #[default]
    All,
    /// Tags joined by `||`.
    Tags(String),
    /// An SQL92 expression over properties; the broker decides.
    Sql(String),
    /// A filter that somebody added to the broker under this name, and an expression that it understands.
    Custom { name: String, expression: String },
}

impl Filter {
    /// Messages of whose properties this is true: `"a > 5 AND region = 'north'"`. The broker has to allow it with
    /// `enablePropertyFilter`.
    #[must_use]
    pub fn sql(expression: impl Into<String>) -> Self {
        Self::Sql(expression.into())
    }

    /// Messages that the broker's filter of this name lets through.
    #[must_use]
    pub fn custom(name: impl Into<String>, expression: impl Into<String>) -> Self {
        Self::Custom { name: name.into(), expression: expression.into() }
    }
}

impl From<&str> for Filter {
    /// Tags; `*` or nothing stand for all.
    fn from(expression: &str) -> Self {
        match expression.trim() {
            "" | "*" => Self::All,
            tags => Self::Tags(tags.to_owned()),
        }
    }
}

/// A filter, taken apart once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::client) struct Subscription {
    pub(in crate::client) topic: Arc<str>,
    pub(in crate::client) expression: String,
    pub(in crate::client) expression_type: String,
    tags: Vec<String>,
    pub(in crate::client) version: i64,
}

impl Subscription {
    pub(in crate::client) fn new(topic: &str, filter: &Filter) -> Self {
        let (expression, expression_type) = match filter {
            Filter::All => ("*", "TAG"),
            Filter::Tags(tags) => (tags.as_str(), "TAG"),
            Filter::Sql(sql) => (sql.as_str(), "SQL92"),
            Filter::Custom { name, expression } => (expression.as_str(), name.as_str()),
        };
        let tags = match filter {
            Filter::Tags(tags) => {
                tags.split("||").map(str::trim).filter(|tag| !tag.is_empty()).map(str::to_owned).collect()
            }
            _ => Vec::new(),
        };
        let (expression, expression_type) = (expression.to_owned(), expression_type.to_owned());
        Self { topic: topic.into(), expression, expression_type, tags, version: now_ms() }
    }

    /// # Errors
    /// When no broker would take the topic's name.
    pub(in crate::client) fn checked(topic: &str, filter: &Filter) -> Result<Arc<Self>, ClientError> {
        let named = check_name(topic, DERIVED_TOPIC_BYTES_MAX);
        named.map_err(|reason| ClientError::Name { kind: "topic", name: topic.to_owned(), reason })?;
        Ok(Arc::new(Self::new(topic, filter)))
    }

    pub(in crate::client) fn is_by_tag(&self) -> bool {
        self.expression_type == "TAG"
    }

    /// Brokers filter tags by their hash; two tags may share one.
    pub(in crate::client) fn wants(&self, message: &ReceivedMessage) -> bool {
        self.tags.is_empty() || message.tags().is_some_and(|tag| self.tags.iter().any(|wanted| wanted == tag))
    }

    pub(in crate::client) fn data(&self) -> SubscriptionData {
        SubscriptionData {
            class_filter_mode: false,
            code_set: self.tags.iter().map(|tag| hash(tag)).collect(),
            expression_type: Some(self.expression_type.clone()),
            sub_string: self.expression.clone(),
            sub_version: self.version,
            tags_set: self.tags.clone(),
            topic: self.topic.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_split_as_brokers_split_them() {
        let data = Subscription::new("T", &Filter::from(" Aa || BB||")).data();
        assert_eq!(data.tags_set, ["Aa", "BB"]);
        assert_eq!(data.code_set, [2112, 2112]);
        assert_eq!(data.sub_string, "Aa || BB||");
        for all in ["", "*", " * "] {
            let data = Subscription::new("T", &Filter::from(all)).data();
            assert_eq!((data.sub_string.as_str(), data.tags_set.len()), ("*", 0));
        }
        let sql = Subscription::new("T", &Filter::Sql("a > 1".into())).data();
        assert_eq!((sql.expression_type.as_deref(), sql.code_set.len()), (Some("SQL92"), 0));
    }
}
