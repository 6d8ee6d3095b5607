//! How far consumer groups have come.
//!
//! Owns: the offset of every group in every queue, resets that consumers were not told yet, `config/consumerOffset.json`.
//! Hears: [`Commits`], [`QueryProgress`], [`ViewOffsets`], [`EncodeOffsets`], [`ResetOffsets`], [`ResetTold`],
//! [`CloneOffsets`], [`Lower`], [`ForgetTopic`], [`ForgetGroup`], `Stop`.
//! Tells: nobody.
//! Publishes: [`Resets`].
//!
//! Invariants: a question that is asked after a commit sees it; while a reset is pending no commit moves its queue; the
//! file follows within the flush interval.

mod file;
mod messages;
#[cfg(test)]
mod tests;
mod view;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use actix::prelude::*;
use arc_swap::ArcSwap;
use dashmap::DashMap;

pub use self::messages::{
    CloneOffsets, Commit, CommitKind, Commits, EncodeOffsets, ForgetGroup, ForgetTopic, Lower, QueryProgress,
    ResetOffsets, ResetTold, ViewOffsets,
};
pub use self::view::{OffsetsView, Progress, Queues};
use super::CatalogError;
use super::data_version;
use super::snapshot::{self, Encode, Persistent, Snapshot};
use crate::actors::Stop;
use crate::config::BrokerConfig;
use crate::protocol::body::version::DataVersion;
use crate::protocol::body::{Body, ConfigFile};
use crate::protocol::names::{Group, QueueId, QueueKey, QueueOffset, Topic};
use crate::store::table::TableFile;

/// Most offsets of one broker, one for each group and queue.
pub const OFFSETS_MAX: usize = 2_000_000;
/// The first write of the file does not begin before.
const FIRST_SAVE: Duration = Duration::from_secs(10);
/// Commits after which the table counts as another version, as RocketMQ counts.
const COMMITS_PER_VERSION: u64 = 500;

/// Offsets that an administrator set and that the queues' next pulls have to be told. Only the owner writes.
#[derive(Debug, Default)]
pub struct Resets {
    pending: DashMap<(Group, QueueKey), QueueOffset>,
    count: AtomicUsize,
}

impl Resets {
    /// Cheap: no pull has to look.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }

    #[must_use]
    pub fn pending(&self, group: &Group, queue: &QueueKey) -> Option<QueueOffset> {
        self.pending.get(&(group.clone(), queue.clone())).map(|offset| *offset)
    }

    fn keep_if(&self, keep: impl Fn(&Group, &QueueKey, QueueOffset) -> bool) {
        self.pending.retain(|(group, queue), offset| keep(group, queue, *offset));
        self.count.store(self.pending.len(), Ordering::Release);
    }

    fn insert(&self, group: Group, queue: QueueKey, offset: QueueOffset) {
        self.pending.insert((group, queue), offset);
        self.count.store(self.pending.len(), Ordering::Release);
    }
}

/// The owner.
pub struct Offsets {
    config: Arc<ArcSwap<BrokerConfig>>,
    view: OffsetsView,
    /// Queues in `view`, all pairs together.
    count: usize,
    foreign: file::Foreign,
    resets: Arc<Resets>,
    version: DataVersion,
    commits: u64,
    snapshot: Snapshot,
}

impl Offsets {
    /// Reads `config/consumerOffset.json` below the data directory.
    ///
    /// # Errors
    /// When the file cannot be read, or holds more than a broker can have.
    pub fn open(config: Arc<ArcSwap<BrokerConfig>>, resets: Arc<Resets>) -> Result<Self, CatalogError> {
        let settings = config.load_full();
        let path = settings.store.data_dir.join("config").join("consumerOffset.json");
        let file = TableFile::new(&path);
        let stored = file.load(file::decode)?.unwrap_or_default();
        let count = stored.view.queues.values().map(|queues| queues.len()).sum();
        if count > OFFSETS_MAX {
            let reason = format!("{count} offsets, at most {OFFSETS_MAX} are allowed");
            return Err(CatalogError::TooMuch { path, reason });
        }
        let interval = Duration::from_millis(settings.clients.flush_offsets_interval_ms.into());
        Ok(Self {
            config,
            view: stored.view,
            count,
            foreign: stored.foreign,
            resets,
            version: stored.version,
            commits: 0,
            snapshot: Snapshot::new(file, interval, FIRST_SAVE),
        })
    }

    /// Whether the file has to follow.
    fn commit(&mut self, commit: Commit) -> bool {
        let consumed = commit.kind == CommitKind::Consumed;
        if consumed && !self.resets.is_empty() && self.config.load().clients.server_side_reset {
            let queue = QueueKey { topic: commit.topic.clone(), queue: commit.queue };
            if self.resets.pending(&commit.group, &queue).is_some() {
                return false;
            }
        }
        let Some(progress) = self.progress_mut(commit.group, commit.topic, commit.queue) else {
            return false;
        };
        let place = if consumed { &mut progress.committed } else { &mut progress.pulled };
        let changed = *place != Some(commit.offset);
        *place = Some(commit.offset);
        if consumed {
            self.count_commit();
        }
        consumed && changed
    }

    fn count_commit(&mut self) {
        self.commits += 1;
        if self.commits.is_multiple_of(COMMITS_PER_VERSION) {
            self.version = data_version::next(self.version);
        }
    }

    /// The place of one queue, made if need be; `None` when there is no room for another.
    fn progress_mut(&mut self, group: Group, topic: Topic, queue: QueueId) -> Option<&mut Progress> {
        let room = self.count < OFFSETS_MAX;
        let pair = (group, topic);
        let known = self.view.queues.get(&pair).is_some_and(|queues| queues.contains_key(&queue));
        if !known && !room {
            if self.commits.is_multiple_of(COMMITS_PER_VERSION) {
                tracing::warn!(group = %pair.0, topic = %pair.1, queue, "no room for another consumer offset");
            }
            return None;
        }
        self.count += usize::from(!known);
        Some(Arc::make_mut(self.view.queues.entry(pair).or_default()).entry(queue).or_default())
    }

    fn reset(&mut self, reset: ResetOffsets) {
        for (queue, offset) in reset.offsets {
            let Some(progress) = self.progress_mut(reset.group.clone(), reset.topic.clone(), queue) else {
                return;
            };
            progress.committed = Some(offset);
            self.count_commit();
            let queue = QueueKey { topic: reset.topic.clone(), queue };
            self.resets.insert(reset.group.clone(), queue, offset);
        }
        tracing::info!(group = %reset.group, topic = %reset.topic, "reset consumer offsets");
    }

    fn clone_offsets(&mut self, wish: &CloneOffsets) {
        for topic in &wish.topics {
            let Some(source) = self.view.queues.get(&(wish.from.clone(), topic.clone())).cloned() else {
                continue;
            };
            let committed = source.iter().filter_map(|(queue, progress)| Some((*queue, progress.committed?)));
            for (queue, offset) in committed {
                if let Some(progress) = self.progress_mut(wish.to.clone(), topic.clone(), queue) {
                    progress.committed = Some(offset);
                }
            }
        }
        self.version = data_version::next(self.version);
    }

    fn lower(&mut self, ends: &HashMap<QueueKey, QueueOffset>) -> usize {
        let mut lowered = 0;
        for ((group, topic), queues) in &mut self.view.queues {
            let beyond: Vec<_> = queues
                .iter()
                .filter_map(|(queue, progress)| {
                    let end = *ends.get(&QueueKey { topic: topic.clone(), queue: *queue })?;
                    progress.committed.filter(|offset| *offset > end).map(|offset| (*queue, offset, end))
                })
                .collect();
            for (queue, offset, end) in beyond {
                tracing::warn!(%group, %topic, queue, offset, end, "lowered a consumer offset to its queue's end");
                if let Some(progress) = Arc::make_mut(queues).get_mut(&queue) {
                    progress.committed = Some(end);
                    lowered += 1;
                }
            }
        }
        if lowered > 0 {
            self.version = data_version::next(self.version);
        }
        lowered
    }

    fn keep_if(&mut self, keep: impl Fn(&Group, &Topic) -> bool) -> bool {
        let before = self.view.queues.len();
        self.view.queues.retain(|(group, topic), _| keep(group, topic));
        self.resets.keep_if(|group, queue, _| keep(group, &queue.topic));
        self.count = self.view.queues.values().map(|queues| queues.len()).sum();
        self.view.queues.len() != before
    }

    fn select(&self, wish: &ViewOffsets) -> OffsetsView {
        let of = |part: &Option<_>, name: &_| part.as_ref().is_none_or(|wanted| wanted == name);
        let chosen = self.view.queues.iter().filter(|((group, topic), _)| {
            wish.group.as_ref().is_none_or(|wanted| wanted == group) && of(&wish.topic, topic)
        });
        OffsetsView { queues: chosen.map(|(pair, queues)| (pair.clone(), Arc::clone(queues))).collect() }
    }
}

impl Actor for Offsets {
    type Context = Context<Self>;
}

impl Persistent for Offsets {
    fn snapshot(&mut self) -> &mut Snapshot {
        &mut self.snapshot
    }

    fn encode(&self) -> Encode {
        let (version, view, foreign) = (self.version, self.view.clone(), self.foreign.clone());
        Box::new(move || file::body(version, &view, foreign).encode_file())
    }
}

impl Handler<Commits> for Offsets {
    type Result = ();

    fn handle(&mut self, commits: Commits, context: &mut Context<Self>) {
        let mut dirty = false;
        for commit in commits.0 {
            dirty |= self.commit(commit);
        }
        if dirty {
            snapshot::changed(self, context);
        }
    }
}

impl Handler<QueryProgress> for Offsets {
    type Result = MessageResult<QueryProgress>;

    fn handle(&mut self, query: QueryProgress, _: &mut Context<Self>) -> Self::Result {
        let mut progress = self.view.progress(&query.group, &query.topic, query.queue);
        if !self.resets.is_empty() && self.config.load().clients.server_side_reset {
            let queue = QueueKey { topic: query.topic, queue: query.queue };
            progress.committed = self.resets.pending(&query.group, &queue).or(progress.committed);
        }
        MessageResult(progress)
    }
}

impl Handler<ViewOffsets> for Offsets {
    type Result = MessageResult<ViewOffsets>;

    fn handle(&mut self, wish: ViewOffsets, _: &mut Context<Self>) -> Self::Result {
        MessageResult(self.select(&wish))
    }
}

impl Handler<EncodeOffsets> for Offsets {
    type Result = ResponseFuture<Vec<u8>>;

    fn handle(&mut self, _: EncodeOffsets, _: &mut Context<Self>) -> Self::Result {
        let (version, view, foreign) = (self.version, self.view.clone(), self.foreign.clone());
        let encode = move || file::body(version, &view, foreign).encode();
        Box::pin(async move {
            let encoded = tokio::task::spawn_blocking(encode).await;
            encoded.unwrap_or_default()
        })
    }
}

impl Handler<ResetOffsets> for Offsets {
    type Result = ();

    fn handle(&mut self, reset: ResetOffsets, context: &mut Context<Self>) {
        self.reset(reset);
        snapshot::changed(self, context);
    }
}

impl Handler<ResetTold> for Offsets {
    type Result = ();

    fn handle(&mut self, told: ResetTold, _: &mut Context<Self>) {
        let same = |group: &Group, queue: &QueueKey, offset| {
            *group == told.group && *queue == told.queue && offset == told.offset
        };
        self.resets.keep_if(|group, queue, offset| !same(group, queue, offset));
    }
}

impl Handler<CloneOffsets> for Offsets {
    type Result = ();

    fn handle(&mut self, wish: CloneOffsets, context: &mut Context<Self>) {
        self.clone_offsets(&wish);
        snapshot::changed(self, context);
    }
}

impl Handler<Lower> for Offsets {
    type Result = ResponseFuture<Result<usize, CatalogError>>;

    fn handle(&mut self, wish: Lower, _: &mut Context<Self>) -> Self::Result {
        let lowered = self.lower(&wish.ends);
        if lowered == 0 {
            return Box::pin(async { Ok(0) });
        }
        let saved = snapshot::save_now(self);
        Box::pin(async move {
            saved.await?;
            Ok(lowered)
        })
    }
}

impl Handler<ForgetTopic> for Offsets {
    type Result = ();

    fn handle(&mut self, gone: ForgetTopic, context: &mut Context<Self>) {
        if self.keep_if(|_, topic| *topic != gone.topic) {
            self.version = data_version::next(self.version);
            snapshot::changed(self, context);
        }
    }
}

impl Handler<ForgetGroup> for Offsets {
    type Result = ();

    fn handle(&mut self, gone: ForgetGroup, context: &mut Context<Self>) {
        if self.keep_if(|group, _| *group != gone.group) {
            self.version = data_version::next(self.version);
            snapshot::changed(self, context);
        }
    }
}

impl Handler<Stop> for Offsets {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Stop, _: &mut Context<Self>) -> Self::Result {
        snapshot::finish(self)
    }
}
