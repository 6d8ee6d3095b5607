//! What a failed try says: whether another is worth while, and which brokers are left out for a while because they were slow
//! or failed, by RocketMQ's table of latencies.
//!
//! Written after each try, by whoever made it; each entry is atomics, and the table is replaced only when a broker is
//! seen for the first time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use rustc_hash::FxHashMap;
use tokio::time::Instant;

use crate::client::error::ClientError;
use crate::client::message::SendReceipt;
use crate::protocol::code::ResponseCode;
use crate::remoting::error::ChannelError;

/// From this latency on, in ms, a broker is left out for so long, in ms.
const PAUSES: [(u64, u64); 7] =
    [(50, 0), (100, 0), (550, 2_000), (1_800, 5_000), (3_000, 6_000), (5_000, 10_000), (15_000, 30_000)];
/// A broker that failed counts as one that was this slow, in ms.
const FAILED_LATENCY: u64 = 10_000;

/// How a try ended, as far as the broker is to blame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::client) enum Ended {
    /// It answered, after so long.
    Answered(Duration),
    /// No answer came.
    Failed,
    /// It refused: used again only where nobody else is left, until its pause is over.
    Refused,
}

#[derive(Debug)]
struct Fault {
    /// In ms since the table's beginning.
    usable_from: AtomicU64,
    reachable: AtomicBool,
}

/// The table.
#[derive(Debug)]
pub(in crate::client) struct Faults {
    enabled: bool,
    begun: Instant,
    brokers: ArcSwap<FxHashMap<Arc<str>, Arc<Fault>>>,
}

impl Faults {
    pub(in crate::client) fn new(enabled: bool) -> Self {
        Self { enabled, begun: Instant::now(), brokers: ArcSwap::default() }
    }

    pub(in crate::client) fn enabled(&self) -> bool {
        self.enabled
    }

    pub(in crate::client) fn note(&self, broker: &Arc<str>, ended: Ended) {
        if !self.enabled {
            return;
        }
        let (latency, reachable) = match ended {
            Ended::Answered(latency) => (u64::try_from(latency.as_millis()).unwrap_or(u64::MAX), true),
            Ended::Failed => (FAILED_LATENCY, true),
            Ended::Refused => (FAILED_LATENCY, false),
        };
        let fault = self.entry(broker);
        fault.reachable.store(reachable, Ordering::Relaxed);
        let pause = pause(latency);
        if pause > 0 {
            // A long pause is not cut short by a lesser trouble.
            fault.usable_from.fetch_max(self.now() + pause, Ordering::Relaxed);
        }
    }

    /// Neither slow nor failing of late.
    pub(in crate::client) fn is_available(&self, broker: &str) -> bool {
        let brokers = self.brokers.load();
        brokers.get(broker).is_none_or(|fault| self.now() >= fault.usable_from.load(Ordering::Relaxed))
    }

    /// Slow perhaps, but it did not refuse the last time.
    pub(in crate::client) fn is_reachable(&self, broker: &str) -> bool {
        self.brokers.load().get(broker).is_none_or(|fault| fault.reachable.load(Ordering::Relaxed))
    }

    fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn entry(&self, broker: &Arc<str>) -> Arc<Fault> {
        if let Some(fault) = self.brokers.load().get(broker) {
            return Arc::clone(fault);
        }
        let new = Arc::new(Fault { usable_from: AtomicU64::new(0), reachable: AtomicBool::new(true) });
        self.brokers.rcu(|brokers| {
            let mut brokers = FxHashMap::clone(brokers);
            brokers.entry(Arc::clone(broker)).or_insert_with(|| Arc::clone(&new));
            brokers
        });
        self.brokers.load().get(broker).map_or(new, Arc::clone)
    }
}

fn pause(latency: u64) -> u64 {
    PAUSES.iter().rev().find(|(from, _)| latency >= *from).map_or(0, |(_, pause)| *pause)
}

/// How a try ended, for the table.
pub(super) fn verdict(received: &Result<SendReceipt, ClientError>, after: Duration) -> Ended {
    match received {
        Ok(_) => Ended::Answered(after),
        Err(ClientError::Refused { .. }) => Ended::Refused,
        Err(_) => Ended::Failed,
    }
}

/// RocketMQ's list of codes that another broker may not answer with, and everything that is no answer.
pub(super) fn is_worth_another_try(error: &ClientError) -> bool {
    match error {
        ClientError::Refused { code, .. } => matches!(
            ResponseCode::from_number(*code),
            ResponseCode::TopicNotExist
                | ResponseCode::ServiceNotAvailable
                | ResponseCode::SystemError
                | ResponseCode::SystemBusy
                | ResponseCode::NoPermission
                | ResponseCode::NoBuyerId
                | ResponseCode::NotInCurrentUnit
                | ResponseCode::GoAway
        ),
        ClientError::Answer { .. } => true,
        _ => is_no_answer(error),
    }
}

/// Whether nobody said what became of the message.
pub(super) fn is_no_answer(error: &ClientError) -> bool {
    match error {
        ClientError::Channel(error) => !matches!(error, ChannelError::TooLong { .. } | ChannelError::Header { .. }),
        ClientError::NoBroker { .. } => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn pauses_are_rocketmqs() {
        let pauses: Vec<_> = [0, 99, 549, 550, 1_799, 1_800, 3_000, 5_000, 14_999, 15_000].map(pause).into();
        assert_eq!(pauses, [0, 0, 0, 2_000, 2_000, 5_000, 6_000, 10_000, 10_000, 30_000]);
        let faults = Faults::new(true);
        let broker: Arc<str> = "b".into();
        faults.note(&broker, Ended::Answered(Duration::from_millis(600)));
        assert!(!faults.is_available("b") && faults.is_reachable("b") && faults.is_available("other"));
        tokio::time::advance(Duration::from_secs(1)).await;
        faults.note(&broker, Ended::Refused);
        faults.note(&broker, Ended::Answered(Duration::from_millis(700)));
        assert!(faults.is_reachable("b"), "it answered since");
        tokio::time::advance(Duration::from_millis(9_999)).await;
        assert!(!faults.is_available("b"), "the longer pause counts");
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(faults.is_available("b"));
    }

    #[tokio::test]
    async fn nothing_is_noted_unless_it_is_asked_for() {
        let faults = Faults::new(false);
        faults.note(&"b".into(), Ended::Failed);
        assert!(faults.is_available("b") && faults.brokers.load().is_empty());
    }
}
