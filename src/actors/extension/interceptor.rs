//! Interceptors: actors that see messages before they are stored.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use bytes::Bytes;
use tokio::time::timeout;

/// How long a send waits for one interceptor.
pub const INTERCEPT_PATIENCE: Duration = Duration::from_secs(3);

/// To an interceptor: these messages are about to be stored. Never empty.
#[derive(Message, Debug, Clone)]
#[rtype(result = "InterceptAnswer")]
pub struct InterceptBatch {
    pub messages: Vec<Incoming>,
}

/// One verdict a message, in the batch's order. Fewer, or an error, refuse the whole batch.
pub type InterceptAnswer = Result<Vec<Verdict>, InterceptError>;

/// A message before it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incoming {
    pub topic: Arc<str>,
    /// As the producer wrote them; the broker adds its own later.
    pub properties: Vec<(String, String)>,
    /// As it will be stored, so perhaps compressed.
    pub body: Bytes,
}

/// What becomes of a message.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Verdict {
    #[default]
    Pass,
    /// It is stored with these properties in place of its own.
    Change { properties: Vec<(String, String)> },
    /// It is stored in this topic, which has to be there, in a queue that the broker chooses.
    Redirect { topic: Arc<str>, properties: Vec<(String, String)> },
    /// It is not stored; its producer is told why.
    Reject { reason: String },
}

/// Why an interceptor does not answer. The producer is told and tries again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InterceptError(pub String);

/// The interceptors of a broker, in the order in which they were added.
#[derive(Clone, Default)]
pub struct Interceptors(Arc<[Recipient<InterceptBatch>]>);

impl Interceptors {
    #[must_use]
    pub fn new(list: Vec<Recipient<InterceptBatch>>) -> Self {
        Self(list.into())
    }

    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Asks all, one after the other; each sees what those before it made of the messages, also of those that one of them
    /// rejected. One verdict a message.
    ///
    /// # Errors
    /// Where one does not answer as it should.
    pub async fn ask(&self, mut messages: Vec<Incoming>) -> InterceptAnswer {
        let mut outcomes = vec![Verdict::Pass; messages.len()];
        for interceptor in self.0.iter() {
            let asked = interceptor.send(InterceptBatch { messages: messages.clone() });
            let verdicts = match timeout(INTERCEPT_PATIENCE, asked).await {
                Ok(Ok(verdicts)) => verdicts?,
                Ok(Err(_)) => return Err(InterceptError("an interceptor of the broker is not there".into())),
                Err(_) => {
                    let seconds = INTERCEPT_PATIENCE.as_secs();
                    return Err(InterceptError(format!(
                        "an interceptor of the broker did not answer within {seconds} s"
                    )));
                }
            };
            let (count, wanted) = (verdicts.len(), messages.len());
            if count != wanted {
                let reason = format!("an interceptor of the broker gave {count} verdicts for {wanted} messages");
                return Err(InterceptError(reason));
            }
            for ((message, outcome), verdict) in messages.iter_mut().zip(&mut outcomes).zip(verdicts) {
                join(message, outcome, verdict);
            }
        }
        Ok(outcomes)
    }
}

/// What becomes of a message after one more verdict.
fn join(message: &mut Incoming, outcome: &mut Verdict, verdict: Verdict) {
    let redirected = matches!(*outcome, Verdict::Redirect { .. }) || matches!(verdict, Verdict::Redirect { .. });
    match (&*outcome, verdict) {
        (Verdict::Reject { .. }, _) | (_, Verdict::Pass) => return,
        (_, Verdict::Reject { reason }) => {
            *outcome = Verdict::Reject { reason };
            return;
        }
        (_, Verdict::Change { properties }) => message.properties = properties,
        (_, Verdict::Redirect { topic, properties }) => {
            message.topic = topic;
            message.properties = properties;
        }
    }
    let properties = message.properties.clone();
    *outcome = if redirected {
        Verdict::Redirect { topic: message.topic.clone(), properties }
    } else {
        Verdict::Change { properties }
    };
}

impl fmt::Debug for Interceptors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Interceptors({})", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives every message this verdict, and so many verdicts too few.
    struct Always(Verdict, usize);

    impl Actor for Always {
        type Context = Context<Self>;
    }

    impl Handler<InterceptBatch> for Always {
        type Result = InterceptAnswer;

        fn handle(&mut self, batch: InterceptBatch, _: &mut Context<Self>) -> InterceptAnswer {
            Ok(vec![self.0.clone(); batch.messages.len() - self.1])
        }
    }

    async fn asked(list: Vec<(Verdict, usize)>) -> InterceptAnswer {
        let list = list.into_iter().map(|(verdict, few)| Always(verdict, few).start().recipient());
        let message = Incoming { topic: "T".into(), properties: Vec::new(), body: Bytes::new() };
        Interceptors::new(list.collect()).ask(vec![message.clone(), message]).await
    }

    fn pair(name: &str) -> Vec<(String, String)> {
        vec![(name.to_owned(), "1".to_owned())]
    }

    #[actix::test]
    async fn verdicts_of_several_are_joined_in_order() {
        let change = |name| (Verdict::Change { properties: pair(name) }, 0);
        let redirect = |name| Verdict::Redirect { topic: "U".into(), properties: pair(name) };
        let reject = Verdict::Reject { reason: "no".into() };
        assert_eq!(asked(vec![(Verdict::Pass, 0)]).await.unwrap(), [Verdict::Pass, Verdict::Pass]);
        let changed = asked(vec![change("a"), (Verdict::Pass, 0), change("b")]).await.unwrap();
        assert_eq!(changed[0], Verdict::Change { properties: pair("b") });
        // Where one sent it, it goes, whoever changes it then.
        assert_eq!(asked(vec![(redirect("a"), 0), change("b")]).await.unwrap()[1], redirect("b"));
        assert_eq!(asked(vec![(reject.clone(), 0), change("b")]).await.unwrap()[0], reject);
        assert_eq!(asked(vec![change("b"), (reject.clone(), 0)]).await.unwrap()[0], reject);
    }

    #[actix::test]
    async fn too_few_verdicts_are_none() {
        let error = asked(vec![(Verdict::Pass, 1)]).await.unwrap_err();
        assert!(error.to_string().contains("1 verdicts for 2 messages"), "{error}");
    }
}
