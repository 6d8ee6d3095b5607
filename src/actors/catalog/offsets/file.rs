//! `config/consumerOffset.json`: `{"dataVersion":{…},"groupTopicMap":{"G":["T"]},"offsetTable":{"T@G":{0:12}},
//! "pullOffsetTable":{}}`. The body of GET_ALL_CONSUMER_OFFSET (43) is the same without line breaks.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::view::{OffsetsView, Progress, Queues};
use crate::protocol::body::offsets::{ConsumerOffsets, TOPIC_GROUP_SEPARATOR};
use crate::protocol::body::version::DataVersion;
use crate::protocol::body::{ConfigFile, DecodeError};
use crate::protocol::names::{Group, QueueId, QueueOffset, Topic};

/// Keys that are not of the form `topic@group`, with their offsets as they were read: kept for whoever wrote them.
pub(super) type Foreign = BTreeMap<String, BTreeMap<i32, i64>>;

/// What the file holds.
#[derive(Debug, Default)]
pub(super) struct Stored {
    pub(super) version: DataVersion,
    pub(super) view: OffsetsView,
    pub(super) foreign: Foreign,
}

pub(super) fn decode(text: &str) -> Result<Stored, DecodeError> {
    let file = ConsumerOffsets::decode_file(text.as_bytes())?;
    let mut stored = Stored { version: file.data_version, ..Stored::default() };
    for (key, offsets) in file.offset_table {
        match names(&key) {
            Some(pair) => fill(&mut stored.view, pair, &offsets, |progress, offset| progress.committed = Some(offset)),
            None => drop(stored.foreign.insert(key, offsets)),
        }
    }
    for (key, offsets) in file.pull_offset_table {
        if let Some(pair) = names(&key) {
            fill(&mut stored.view, pair, &offsets, |progress, offset| progress.pulled = Some(offset));
        }
    }
    Ok(stored)
}

fn names(key: &str) -> Option<(Group, Topic)> {
    let (topic, group) = key.split_once(TOPIC_GROUP_SEPARATOR)?;
    Some((Group::new(group).ok()?, Topic::new(topic).ok()?))
}

/// A negative offset is none, as for RocketMQ.
fn fill(
    view: &mut OffsetsView,
    pair: (Group, Topic),
    offsets: &BTreeMap<i32, i64>,
    set: impl Fn(&mut Progress, QueueOffset),
) {
    let queues: &mut Queues = Arc::make_mut(view.queues.entry(pair).or_default());
    for (queue, offset) in offsets {
        if let (Ok(queue), Ok(offset)) = (QueueId::try_from(*queue), QueueOffset::try_from(*offset)) {
            set(queues.entry(queue).or_default(), offset);
        }
    }
}

/// What the file would hold.
pub(super) fn body(version: DataVersion, view: &OffsetsView, foreign: Foreign) -> ConsumerOffsets {
    let mut body = ConsumerOffsets { data_version: version, offset_table: foreign, ..ConsumerOffsets::default() };
    for ((group, topic), queues) in &view.queues {
        let key = || format!("{topic}{TOPIC_GROUP_SEPARATOR}{group}");
        let pick = |of: fn(&Progress) -> Option<QueueOffset>| -> BTreeMap<i32, i64> {
            let picked = queues.iter().filter_map(|(queue, progress)| {
                Some((i32::try_from(*queue).ok()?, i64::try_from(of(progress)?).ok()?))
            });
            picked.collect()
        };
        let (committed, pulled) = (pick(|progress| progress.committed), pick(|progress| progress.pulled));
        if !committed.is_empty() {
            body.offset_table.insert(key(), committed);
        }
        if !pulled.is_empty() {
            body.pull_offset_table.insert(key(), pulled);
        }
    }
    body
}
