//! One search for half messages that nobody ended: both queues are read from where the last one came to, and whoever may
//! know is asked.
//!
//! A half message that is asked about, or is not to be asked about yet, is stored again behind the others, so the search
//! goes over each place once, and its progress, an offset in each of the two queues, is all that is kept. That progress
//! is a consumer offset of `CID_RMQ_SYS_TRANS`, as Apache's broker keeps it, and is written after the copies.

use std::time::Duration;

use actix::prelude::*;
use bytes::Bytes;
use tokio::time::Instant;

use super::ended::Ended;
use super::messages::{Move, Moved};
use super::records::{self, Age};
use super::{Transactions, Ways};
use crate::actors::Push;
use crate::actors::catalog::members::AskProducer;
use crate::actors::catalog::offsets::{Commit, CommitKind, Commits, QueryProgress};
use crate::actors::catalog::topics::{EnsureTopic, TopicConfig, TopicEntry};
use crate::actors::commitlog_writer::Batch;
use crate::actors::log::doors::{QueueEntry, QueueError};
use crate::actors::log::draft::QueueCode;
use crate::actors::log::own_appends::{Placed, StoredRecord};
use crate::actors::log::wall_clock_ms;
use crate::protocol::code::RequestCode;
use crate::protocol::names::{
    Group, HALF_TOPIC, OP_HALF_TOPIC, QueueId, QueueKey, QueueOffset, TRANS_CHECK_MAX_TIME_TOPIC, TRANSACTION_GROUP,
    Topic,
};
use crate::protocol::properties;
use crate::protocol::record::{NewRecord, Record};
use crate::protocol::uniq_key;

/// How long one queue is searched at a time.
const SEARCH_MAX: Duration = Duration::from_secs(60);
/// Entries that are read at once.
const ENTRIES: usize = 256;
/// Half messages that are copied and asked about at once.
const ASKED_AT_ONCE: usize = 64;
/// Bytes of their copies after which no more are added.
const COPIES_BYTES_MAX: usize = 1024 * 1024;

/// What is to be done with a half message that no op message ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It is too young, and so is what comes behind it.
    Wait,
    /// Its producer wants not to be asked yet.
    Immune,
    Ask,
    /// Asked too often, or too old: put aside.
    Discard,
}

/// A half message that is to be moved.
struct Candidate {
    offset: QueueOffset,
    half: StoredRecord,
    fate: Fate,
}

/// Why a search ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reached {
    /// Everything that is old enough was seen.
    Young,
    /// Everything was seen, and all of it has ended.
    End,
    /// There is more, for the next search.
    Limit,
}

/// One search through all queues.
pub(super) struct Check {
    ways: Ways,
    owner: Addr<Transactions>,
    group: Option<Group>,
}

/// One search through one queue.
struct Walk<'a> {
    check: &'a Check,
    group: &'a Group,
    half: QueueKey,
    op: QueueKey,
    began_ms: i64,
    deadline: Instant,
    ended: Ended,
    /// The half message that comes next.
    next: QueueOffset,
}

impl Check {
    pub(super) fn new(ways: Ways, owner: Addr<Transactions>) -> Self {
        Self { ways, owner, group: Group::new(TRANSACTION_GROUP).ok() }
    }

    /// Searches all queues, one after the other; true when no half message is left open. What fails is tried again by
    /// the next search.
    pub(super) async fn run(self) -> bool {
        let (Some(entry), Some(group)) = (self.ways.log.topics.get(HALF_TOPIC), &self.group) else { return false };
        let mut all_ended = true;
        for queue in 0..entry.config.read_queues {
            let reached = self.queue(group, queue).await;
            all_ended &= reached == Ok(Reached::End);
            if let Err(error) = reached {
                tracing::warn!(queue, %error, "the check of transactions could not go on");
            }
        }
        all_ended
    }

    async fn queue(&self, group: &Group, queue: QueueId) -> Result<Reached, QueueError> {
        let (Ok(half), Ok(op)) = (Topic::new(HALF_TOPIC), Topic::new(OP_HALF_TOPIC)) else {
            return Ok(Reached::End);
        };
        let (half, op) = (QueueKey { topic: half, queue }, QueueKey { topic: op, queue });
        let half_from = self.progress(group, &half).await?;
        let op_from = self.progress(group, &op).await?;
        let mut walk = Walk {
            check: self,
            group,
            half,
            op,
            began_ms: wall_clock_ms(),
            deadline: Instant::now() + SEARCH_MAX,
            ended: Ended::new(half_from, op_from),
            next: half_from,
        };
        let reached = walk.search().await;
        walk.keep_progress(half_from, op_from, matches!(reached, Ok(Reached::Young | Reached::End)));
        reached
    }

    /// Where the last search came to, or the queue begins.
    async fn progress(&self, group: &Group, queue: &QueueKey) -> Result<QueueOffset, QueueError> {
        let asked = QueryProgress { group: group.clone(), topic: queue.topic.clone(), queue: queue.queue };
        let kept = self.ways.offsets.ask(asked).await.map_err(|_| QueueError::Unavailable)?.committed;
        let range = self.ways.log.range(queue).await?;
        Ok(kept.unwrap_or(0).clamp(range.min, range.max))
    }

    /// The record of an entry; `None` when it is gone.
    async fn read(&self, entry: &QueueEntry) -> Result<Option<StoredRecord>, QueueError> {
        self.ways.log.stored_at(entry.at).await
    }

    async fn put_aside(&self) -> Option<std::sync::Arc<TopicEntry>> {
        let topic = Topic::new(TRANS_CHECK_MAX_TIME_TOPIC).ok()?;
        let made = self.ways.topics.ask(EnsureTopic { config: TopicConfig::new(topic, 1) }).await;
        made.ok()?.inspect_err(|error| tracing::error!(%error, "half messages cannot be put aside")).ok()
    }
}

impl Walk<'_> {
    async fn search(&mut self) -> Result<Reached, QueueError> {
        loop {
            self.read_ops().await?;
            let (candidates, after, mut reached) = self.candidates().await?;
            let stopped = if candidates.is_empty() { None } else { self.move_all(candidates).await? };
            let after = stopped.unwrap_or(after);
            let before = std::mem::replace(&mut self.next, after);
            self.commit(&self.half, before, after);
            reached = stopped.map_or(reached, |_| Some(Reached::Limit));
            match reached {
                Some(reached) => return Ok(reached),
                None if Instant::now() >= self.deadline => return Ok(Reached::Limit),
                None => {}
            }
        }
    }

    /// Reads all op messages that there are now.
    async fn read_ops(&mut self) -> Result<(), QueueError> {
        let log = &self.check.ways.log;
        loop {
            let entries = log.entries(&self.op, self.ended.next_op(), ENTRIES).await?;
            if entries.is_empty() {
                return Ok(());
            }
            for entry in &entries {
                // One that is gone ends nothing any more.
                while self.ended.next_op() < entry.offset {
                    self.ended.note(None);
                }
                let record = self.check.read(entry).await?;
                let parts = record.as_ref().and_then(|record| record.parts().ok());
                let tells = parts.filter(|op| properties::value(op.properties, properties::TAGS) == Some("d"));
                self.ended.note(tells.map(|op| op.body));
            }
        }
    }

    /// The next half messages that have to be moved, the offset behind what was looked at, and why no more are looked at
    /// if so.
    async fn candidates(&mut self) -> Result<(Vec<Candidate>, QueueOffset, Option<Reached>), QueueError> {
        let (mut found, mut bytes, mut after) = (Vec::new(), 0, self.next);
        let entries = self.check.ways.log.entries(&self.half, self.next, ENTRIES).await?;
        if entries.is_empty() {
            return Ok((found, after, Some(Reached::End)));
        }
        for entry in entries {
            if !self.ended.contains(entry.offset)
                && let Some(half) = self.check.read(&entry).await?
            {
                let fate = half.parts().map_or(Some(Fate::Discard), |parts| self.fate(&parts));
                match fate {
                    Some(Fate::Wait) => return Ok((found, after, Some(Reached::Young))),
                    Some(fate) => found.push(Candidate { offset: entry.offset, half, fate }),
                    None => {}
                }
                bytes += entry.size as usize;
            }
            after = entry.offset + 1;
            if found.len() >= ASKED_AT_ONCE || bytes >= COPIES_BYTES_MAX {
                break;
            }
        }
        Ok((found, after, None))
    }

    /// `None` when it ended under an older offset.
    fn fate(&self, half: &Record<'_>) -> Option<Fate> {
        let config = self.check.ways.config.load();
        let rules = &config.send.transactions;
        let age = Age::of(half, wall_clock_ms(), rules.timeout_ms);
        let kept_ms = i64::from(config.retention.reserved_hours) * 3_600_000;
        if records::checks(half).is_some_and(|checks| checks >= i64::from(rules.checks_max))
            || age.since_birth_ms > kept_ms
        {
            return Some(Fate::Discard);
        }
        if half.store_timestamp_ms >= self.began_ms {
            return Some(Fate::Wait);
        }
        if age.since_birth_ms > age.immunity_ms {
            return Some(Fate::Ask);
        }
        if age.chosen {
            let before = records::prepared_offset(half);
            return (!before.is_some_and(|before| self.ended.contains(before))).then_some(Fate::Immune);
        }
        // Born after now by its producer's clock: there is no telling how old it is.
        Some(if age.since_birth_ms < 0 { Fate::Ask } else { Fate::Wait })
    }

    /// Stores copies of these half messages and asks; the first with which that cannot be done now.
    async fn move_all(&mut self, mut candidates: Vec<Candidate>) -> Result<Option<QueueOffset>, QueueError> {
        // Some may have ended since the op messages were read.
        self.read_ops().await?;
        candidates.retain(|candidate| !self.ended.contains(candidate.offset));
        let offsets = candidates.iter().map(|candidate| candidate.offset).collect();
        let movable = self.check.owner.send(Move { queue: self.half.queue, offsets }).await;
        let movable = movable.map_err(|_| QueueError::Unavailable)?;
        candidates.retain(|candidate| movable.free.contains(&candidate.offset));
        let placed = self.store(&candidates).await;
        let (mut stopped, mut places) = (movable.until, Vec::with_capacity(candidates.len()));
        for (number, candidate) in candidates.iter().enumerate() {
            let placed = match placed.get(number) {
                Some(Some(placed)) => *placed,
                // It can be stored nowhere, now or later.
                Some(None) => {
                    places.push((candidate.offset, None));
                    continue;
                }
                None => Placed::default(),
            };
            let copied = placed.is_stored() && candidate.fate != Fate::Discard;
            places.push((candidate.offset, copied.then_some(placed.queue_offset)));
            if !placed.is_stored() {
                stopped = Some(stopped.map_or(candidate.offset, |first| first.min(candidate.offset)));
            } else if candidate.fate == Fate::Ask {
                self.ask(candidate, placed);
            }
        }
        self.check.owner.do_send(Moved { queue: self.half.queue, places });
        Ok(stopped)
    }

    /// Stores a copy of each; `None` for one that cannot be stored at all. Nothing when there is no place for them now.
    async fn store(&self, candidates: &[Candidate]) -> Vec<Option<Placed>> {
        let log = &self.check.ways.log;
        let nothing = Vec::new();
        let aside = match candidates.iter().any(|candidate| candidate.fate == Fate::Discard) {
            true => self.check.put_aside().await,
            false => None,
        };
        let Some(halves) = log.topics.get(HALF_TOPIC) else { return nothing };
        let mut batch = Batch::default();
        let mut added = Vec::with_capacity(candidates.len());
        for candidate in candidates {
            let entry = match (candidate.fate, &aside) {
                (Fate::Discard, Some(aside)) => aside,
                (Fate::Discard, None) => return nothing,
                _ => &halves,
            };
            let put = self.put(&mut batch, entry, candidate);
            if let Err(error) = &put {
                tracing::error!(
                    error,
                    offset = candidate.offset,
                    "a half message cannot be stored again; it is given up"
                );
            }
            added.push(put.is_ok());
        }
        let mut placed = log.own.append(batch).await.into_iter();
        added.into_iter().map(|added| added.then(|| placed.next().unwrap_or_default())).collect()
    }

    fn put(&self, batch: &mut Batch, entry: &TopicEntry, candidate: &Candidate) -> Result<(), String> {
        let half = candidate.half.parts().map_err(|error| error.to_string())?;
        let (text, queue) = match candidate.fate {
            Fate::Ask => (records::asked_text(&half), half.queue),
            Fate::Immune | Fate::Wait => (records::immune_text(&half), half.queue),
            Fate::Discard => (half.properties.to_owned(), 0),
        };
        let pieces: [&[u8]; 1] = [text.as_bytes()];
        let record = NewRecord { topic: &entry.config.topic, queue, properties: &pieces, ..half.again() };
        let what = (record, properties::scan(&text));
        self.check.ways.log.own.add(batch, entry, what, QueueCode::Tag).map_err(|error| error.to_string())
    }

    /// Asks any producer of the message's group. Nobody may be there: then the next search asks again.
    fn ask(&self, candidate: &Candidate, placed: Placed) {
        let Ok(half) = candidate.half.parts() else { return };
        let Some(target) = records::target(&half) else { return };
        let Some(group) = properties::value(half.properties, records::PRODUCER_GROUP) else { return };
        let unique_key = properties::value(half.properties, properties::UNIQ_KEY).unwrap_or_default();
        let ways = &self.check.ways;
        let text = records::asked_text(&half);
        let body = records::question(&half, &target, &text, (placed.queue_offset, placed.at));
        let fields = vec![
            ("topic", HALF_TOPIC.to_owned()),
            ("tranStateTableOffset", placed.queue_offset.to_string()),
            ("commitLogOffset", placed.at.to_string()),
            ("msgId", unique_key.to_owned()),
            ("transactionId", unique_key.to_owned()),
            ("offsetMsgId", uniq_key::encode_offset_id(ways.log.own.store_host, placed.at).to_string()),
            ("bname", ways.config.load().identity.broker_name.clone()),
        ];
        let code = RequestCode::CheckTransactionState.number();
        let push = Push { code, fields, body: Bytes::from(body), reply: None };
        ways.members.tell(AskProducer { group: group.into(), push });
    }

    fn keep_progress(&self, half_from: QueueOffset, op_from: QueueOffset, whole: bool) {
        let ops = self.ended.done_ops(self.next, whole);
        self.commit(&self.op, op_from, ops);
        if self.next != half_from || ops != op_from {
            tracing::debug!(queue = self.half.queue, half = self.next, op = ops, whole, "half messages were checked");
        }
    }

    fn commit(&self, queue: &QueueKey, before: QueueOffset, offset: QueueOffset) {
        if offset == before {
            return;
        }
        self.check.ways.offsets.tell(Commits(vec![Commit {
            group: self.group.clone(),
            topic: queue.topic.clone(),
            queue: queue.queue,
            offset,
            kind: CommitKind::Consumed,
        }]));
    }
}
