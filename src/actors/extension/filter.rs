//! Custom filters: actors that a user adds under a name.
//!
//! A filter may be slow, fail, panic, hang or answer nonsense. Only the pulls that use it wait for it, up to
//! [`FILTER_PATIENCE`]; then they fail with the reason. No message is passed or dropped without the filter's word.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use arc_swap::ArcSwap;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;

use super::view::Messages;

/// How long a pull waits for a filter.
pub const FILTER_PATIENCE: Duration = Duration::from_secs(5);
/// Batches that one filter has before it at most; further pulls wait for their turn, within their patience.
pub const FILTER_BATCHES_MAX: usize = 16;
/// Longest name of a filter.
pub const FILTER_NAME_BYTES_MAX: usize = 64;
/// Expression types that are RocketMQ's.
const TAKEN_NAMES: [&str; 2] = ["TAG", "SQL92"];

/// To a filter: which of these messages does a consumer want? Never empty; all of one queue, in its order.
#[derive(Message, Debug, Clone)]
#[rtype(result = "FilterAnswer")]
pub struct FilterBatch {
    /// The consumer's group.
    pub group: Arc<str>,
    /// The filter's own expression, as the consumer wrote it; may be empty.
    pub expression: Arc<str>,
    pub messages: Messages,
}

/// One bit a message, or why there is none.
pub type FilterAnswer = Result<Bits, FilterError>;

/// Why a filter does not answer. The consumer is told; it loses no message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// The expression means nothing to the filter: the consumer is to write another.
    #[error("{0}")]
    Expression(String),
    /// The filter cannot answer now: the consumer asks again.
    #[error("{0}")]
    Failed(String),
}

/// One bit for each message of a batch, in its order: true where the message is wanted. Collected from booleans.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bits {
    words: Vec<u64>,
    len: usize,
}

impl Bits {
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// False beyond the end.
    #[must_use]
    pub fn get(&self, index: usize) -> bool {
        index < self.len && self.words.get(index / 64).is_some_and(|word| word >> (index % 64) & 1 == 1)
    }

    /// The numbers of the messages that are wanted, rising.
    pub(in crate::actors) fn wanted(&self) -> impl Iterator<Item = usize> {
        self.words.iter().enumerate().flat_map(|(number, word)| {
            let mut rest = *word;
            std::iter::from_fn(move || {
                let bit = (rest != 0).then(|| rest.trailing_zeros() as usize)?;
                rest &= rest - 1;
                Some(number * 64 + bit)
            })
        })
    }
}

impl FromIterator<bool> for Bits {
    fn from_iter<I: IntoIterator<Item = bool>>(bits: I) -> Self {
        let (mut bits, mut all) = (bits.into_iter(), Bits::default());
        loop {
            let (mut word, mut count) = (0, 0);
            for bit in bits.by_ref().take(64) {
                word |= u64::from(bit) << count;
                count += 1;
            }
            if count > 0 {
                all.words.push(word);
                all.len += count;
            }
            if count < 64 {
                return all;
            }
        }
    }
}

/// The way to one filter, whichever incarnation of it lives.
pub struct CustomFilter {
    name: Arc<str>,
    actor: ArcSwap<Recipient<FilterBatch>>,
    turns: Arc<Semaphore>,
}

impl CustomFilter {
    /// A filter by this name.
    ///
    /// # Errors
    /// Where consumers could not give such a name.
    pub fn new(name: &str, actor: Recipient<FilterBatch>) -> Result<Self, String> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
        if name.is_empty() || name.len() > FILTER_NAME_BYTES_MAX || !name.bytes().all(allowed) {
            let rule = format!("1 to {FILTER_NAME_BYTES_MAX} letters, digits, `_`, `-` and `.` are allowed");
            return Err(format!("a filter cannot be called {name:?}: {rule}"));
        }
        if TAKEN_NAMES.contains(&name) {
            return Err(format!("a filter cannot be called {name}: that is one of RocketMQ's own"));
        }
        Ok(Self {
            name: name.into(),
            actor: ArcSwap::from_pointee(actor),
            turns: Arc::new(Semaphore::new(FILTER_BATCHES_MAX)),
        })
    }

    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// From now on the name leads to `actor`: its parent has rebuilt it.
    pub fn lead_to(&self, actor: Recipient<FilterBatch>) {
        self.actor.store(Arc::new(actor));
    }

    /// Asks the filter; an answer has a bit for each message.
    ///
    /// # Errors
    /// What the filter says, or that it does not answer as it should. Each names the filter.
    pub async fn ask(self: Arc<Self>, batch: FilterBatch) -> FilterAnswer {
        let count = batch.messages.len();
        let answer = timeout(FILTER_PATIENCE, self.turn(batch)).await;
        let failed = |reason: String| Err(FilterError::Failed(format!("filter {}: {reason}", self.name)));
        match answer {
            Ok(Ok(Ok(bits))) if bits.len() == count => Ok(bits),
            Ok(Ok(Ok(bits))) => failed(format!("it answered {} bits for {count} messages", bits.len())),
            Ok(Ok(Err(FilterError::Expression(reason)))) => {
                Err(FilterError::Expression(format!("filter {}: {reason}", self.name)))
            }
            Ok(Ok(Err(FilterError::Failed(reason)))) => failed(reason),
            Ok(Err(Gone)) => failed("it ended before it answered; try again".into()),
            Err(_) => failed(format!("no answer within {} s", FILTER_PATIENCE.as_secs())),
        }
    }

    /// Waits for a turn, then for the answer. The turn ends with the answer, also when nobody waits for that any more: so
    /// a filter that hangs does not gather batches.
    async fn turn(&self, batch: FilterBatch) -> Result<FilterAnswer, Gone> {
        let turn = self.turns.clone().acquire_owned().await.map_err(|_| Gone)?;
        let asked = self.actor.load().send(batch);
        let (done, is_done) = oneshot::channel();
        actix::spawn(async move {
            let answer = asked.await;
            drop(turn);
            // Whoever asked may have lost patience.
            let _ = done.send(answer);
        });
        is_done.await.map_err(|_| Gone)?.map_err(|_| Gone)
    }
}

struct Gone;

impl fmt::Debug for CustomFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CustomFilter({})", self.name)
    }
}

/// A filter as one consumer uses it.
#[derive(Debug, Clone)]
pub struct FilterUse {
    pub filter: Arc<CustomFilter>,
    pub expression: Arc<str>,
    pub group: Arc<str>,
}

/// The custom filters of a broker by name. Does not change while it runs.
#[derive(Debug, Clone, Default)]
pub struct Filters(BTreeMap<Arc<str>, Arc<CustomFilter>>);

impl Filters {
    /// # Errors
    /// Where the name is taken.
    pub fn add(&mut self, filter: Arc<CustomFilter>) -> Result<(), String> {
        if self.0.contains_key(&filter.name) {
            return Err(format!("two filters are called {}", filter.name));
        }
        self.0.insert(filter.name.clone(), filter);
        Ok(())
    }

    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<CustomFilter>> {
        self.0.get(name)
    }

    /// All names, in order, for whoever named another.
    #[must_use]
    pub fn names(&self) -> String {
        self.0.keys().map(|name| &**name).collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Late;

    impl Actor for Late {
        type Context = Context<Self>;
    }

    impl Handler<FilterBatch> for Late {
        type Result = ResponseFuture<FilterAnswer>;

        fn handle(&mut self, _: FilterBatch, _: &mut Context<Self>) -> Self::Result {
            Box::pin(std::future::pending())
        }
    }

    #[test]
    fn bits_are_what_they_were_collected_from() {
        let bits: Bits = (0..130).map(|n| n % 3 == 0).collect();
        assert_eq!((bits.len(), bits.get(129), bits.get(128), bits.get(130)), (130, true, false, false));
        assert!(bits.wanted().eq((0..130).step_by(3)));
        assert_eq!(std::iter::repeat_n(true, 128).collect::<Bits>().wanted().count(), 128);
        assert!(Bits::default().is_empty());
    }

    #[actix::test]
    async fn a_filter_that_hangs_costs_its_consumers_their_patience_only() {
        tokio::time::pause();
        let filter = Arc::new(CustomFilter::new("LATE", Late.start().recipient()).unwrap());
        let batch = || FilterBatch { group: "G".into(), expression: "".into(), messages: Messages::default() };
        let asked: Vec<_> = (0..3 * FILTER_BATCHES_MAX).map(|_| actix::spawn(filter.clone().ask(batch()))).collect();
        for answer in asked {
            let error = answer.await.unwrap().unwrap_err().to_string();
            assert!(error.contains("LATE") && error.contains("5 s"), "{error}");
        }
        assert_eq!(filter.turns.available_permits(), 0, "a batch that was not answered keeps its turn");
    }

    #[test]
    fn names_are_those_that_a_consumer_can_give() {
        let system = System::new();
        system.block_on(async {
            let actor = || Late.start().recipient();
            for wrong in ["", "TAG", "SQL92", "a b", "a'b", &"x".repeat(65)] {
                assert!(CustomFilter::new(wrong, actor()).is_err(), "{wrong}");
            }
            let mut filters = Filters::default();
            filters.add(Arc::new(CustomFilter::new("GEO-1.x_y", actor()).unwrap())).unwrap();
            assert!(filters.add(Arc::new(CustomFilter::new("GEO-1.x_y", actor()).unwrap())).is_err());
        });
    }
}
