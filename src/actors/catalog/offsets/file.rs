//! `config/consumerOffset.json`: `{"dataVersion":{…},"groupTopicMap":{"G":["T"]},"offsetTable":{"T@G":{0:12}}}`.
//! The body of GET_ALL_CONSUMER_OFFSET (43) is the same without line breaks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::view::{OffsetsView, Progress, Queues};
use crate::actors::catalog::data_version::DataVersion;
use crate::protocol::json::{self, JsonError, Limits, Style};
use crate::protocol::names::{Group, QueueId, Topic};

/// Keys that are not of the form `topic@group`, with their offsets as they were read: kept for whoever wrote them.
pub(super) type Foreign = BTreeMap<String, BTreeMap<i64, i64>>;

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct File {
    data_version: DataVersion,
    /// Derived from the table; not read.
    #[serde(skip_deserializing)]
    group_topic_map: BTreeMap<Group, BTreeSet<Topic>>,
    offset_table: BTreeMap<String, BTreeMap<i64, i64>>,
}

/// What the file holds.
#[derive(Debug, Default)]
pub(super) struct Stored {
    pub(super) version: DataVersion,
    pub(super) view: OffsetsView,
    pub(super) foreign: Foreign,
}

pub(super) fn decode(text: &str) -> Result<Stored, String> {
    let file: File = json::decode_within(text.as_bytes(), Limits::FILE).map_err(|error| error.to_string())?;
    let mut stored = Stored { version: file.data_version, ..Stored::default() };
    for (key, offsets) in file.offset_table {
        match read(&key, &offsets) {
            Some((pair, queues)) => {
                stored.view.queues.insert(pair, Arc::new(queues));
            }
            None => {
                stored.foreign.insert(key, offsets);
            }
        }
    }
    Ok(stored)
}

fn read(key: &str, offsets: &BTreeMap<i64, i64>) -> Option<((Group, Topic), Queues)> {
    let (topic, group) = key.split_once('@')?;
    let pair = (Group::new(group).ok()?, Topic::new(topic).ok()?);
    let queue = |(queue, offset): (&i64, &i64)| {
        let progress = Progress { committed: Some(u64::try_from(*offset).ok()?), pulled: None };
        Some((QueueId::try_from(*queue).ok()?, progress))
    };
    Some((pair, offsets.iter().filter_map(queue).collect()))
}

pub(super) fn encode(
    version: DataVersion,
    view: &OffsetsView,
    foreign: &Foreign,
    style: Style,
) -> Result<Vec<u8>, JsonError> {
    let mut file = File { data_version: version, offset_table: foreign.clone(), ..File::default() };
    for ((group, topic), queues) in view.with_commits() {
        let committed = queues.iter().filter_map(|(queue, progress)| {
            let offset = i64::try_from(progress.committed?).ok()?;
            Some((i64::from(*queue), offset))
        });
        file.offset_table.insert(format!("{topic}@{group}"), committed.collect());
        file.group_topic_map.entry(group.clone()).or_default().insert(topic.clone());
    }
    json::encode(&file, style)
}
