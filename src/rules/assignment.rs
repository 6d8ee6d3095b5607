//! Which queues of a topic a member of a consumer group reads. Every member computes its own share from the same two
//! lists, so all of them must decide exactly as RocketMQ's clients do (`AllocateMessageQueue…` there): one that differs
//! leaves queues without a reader, or with two.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

/// Points of each member on the ring of [`Strategy::ConsistentHash`] where nothing else is said.
pub const VIRTUAL_NODES: u32 = 10;

/// One queue of a topic on one broker. Ordered by topic, broker and number, as shares are dealt out.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageQueue {
    pub topic: Arc<str>,
    pub broker: Arc<str>,
    /// Number within the topic on that broker, from 0.
    pub queue: u32,
}

impl MessageQueue {
    #[must_use]
    pub fn new(topic: &str, broker: &str, queue: u32) -> Self {
        Self { topic: topic.into(), broker: broker.into(), queue }
    }
}

/// RocketMQ's text of a queue; [`Strategy::ConsistentHash`] hashes it.
impl fmt::Display for MessageQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MessageQueue [topic={}, brokerName={}, queueId={}]", self.topic, self.broker, self.queue)
    }
}

/// Tells where queues and clients live, for [`Strategy::MachineRoomNearby`].
pub trait Rooms: Send + Sync + fmt::Debug {
    /// The room of the queue's broker; never empty.
    fn of_queue(&self, queue: &MessageQueue) -> Option<String>;
    /// The room of a client; never empty.
    fn of_client(&self, client_id: &str) -> Option<String>;
}

/// How queues are shared out. All members of a group must use the same.
#[derive(Debug, Clone, Default)]
pub enum Strategy {
    /// Neighbouring queues go to one member; the first members get one more.
    #[default]
    Averagely,
    /// Queues are dealt out one by one.
    AveragelyByCircle,
    /// By a hash ring: few queues move when members come and go.
    ConsistentHash { virtual_nodes: u32 },
    /// Only queues whose broker is called `room@name` for one of these rooms.
    MachineRoom { rooms: BTreeSet<String> },
    /// Queues go to members in their broker's room; those of rooms without members to all, each time by `inner`.
    MachineRoomNearby { inner: Box<Strategy>, rooms: Arc<dyn Rooms> },
    /// Always these, whoever else is there.
    Config(Vec<MessageQueue>),
}

/// Why there is no share.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AssignmentError {
    #[error("the machine room of broker {0} is not known: let Rooms::of_queue name it")]
    QueueRoom(Arc<str>),
    #[error("the machine room of client {0} is not known: let Rooms::of_client name it")]
    ClientRoom(String),
}

impl Strategy {
    /// RocketMQ's name of the strategy.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Averagely => "AVG".into(),
            Self::AveragelyByCircle => "AVG_BY_CIRCLE".into(),
            Self::ConsistentHash { .. } => "CONSISTENT_HASH".into(),
            Self::MachineRoom { .. } => "MACHINE_ROOM".into(),
            Self::MachineRoomNearby { inner, .. } => format!("MACHINE_ROOM_NEARBY-{}", inner.name()),
            Self::Config(_) => "CONFIG".into(),
        }
    }

    /// The share of `me`. `queues` and `members` are sorted; who is not among the members gets nothing.
    ///
    /// # Errors
    /// [`AssignmentError`] when a machine room is asked for and not known.
    pub fn share(
        &self,
        me: &str,
        queues: &[MessageQueue],
        members: &[String],
    ) -> Result<Vec<MessageQueue>, AssignmentError> {
        if let Self::Config(fixed) = self {
            return Ok(fixed.clone());
        }
        let Some(index) = members.iter().position(|member| member == me) else {
            return Ok(Vec::new());
        };
        Ok(match self {
            Self::Averagely => averagely(queues, members.len(), index),
            Self::AveragelyByCircle => queues.iter().skip(index).step_by(members.len()).cloned().collect(),
            Self::ConsistentHash { virtual_nodes } => Ring::new(members, *virtual_nodes).queues_of(index, queues),
            Self::MachineRoom { rooms } => machine_room(queues, rooms, members.len(), index),
            Self::MachineRoomNearby { inner, rooms } => nearby(inner, rooms.as_ref(), me, (queues, members))?,
            Self::Config(fixed) => fixed.clone(),
        })
    }
}

fn averagely(queues: &[MessageQueue], members: usize, index: usize) -> Vec<MessageQueue> {
    let (each, more) = (queues.len() / members, queues.len() % members);
    let size = match queues.len() <= members {
        true => 1,
        false => each + usize::from(index < more),
    };
    let start = if index < more { index * size } else { index * size + more };
    queues.iter().skip(start).take(size).cloned().collect()
}

fn machine_room(queues: &[MessageQueue], rooms: &BTreeSet<String>, members: usize, index: usize) -> Vec<MessageQueue> {
    let inside: Vec<_> =
        queues.iter().filter(|queue| room_in_name(&queue.broker).is_some_and(|r| rooms.contains(r))).collect();
    let (each, more) = (inside.len() / members, inside.len() % members);
    let last = (index < more).then_some(index + each * members);
    inside
        .iter()
        .skip(each * index)
        .take(each)
        .chain(last.and_then(|at| inside.get(at)))
        .map(|q| (*q).clone())
        .collect()
}

/// The room in a broker's name `room@name`. Empty parts at the end do not count, as Java's split drops them.
fn room_in_name(broker: &str) -> Option<&str> {
    let (room, rest) = broker.trim_end_matches('@').split_once('@')?;
    (!rest.contains('@')).then_some(room)
}

fn nearby(
    inner: &Strategy,
    rooms: &dyn Rooms,
    me: &str,
    (queues, members): (&[MessageQueue], &[String]),
) -> Result<Vec<MessageQueue>, AssignmentError> {
    let mut queues_of: BTreeMap<String, Vec<MessageQueue>> = BTreeMap::new();
    for queue in queues {
        let room = rooms.of_queue(queue).filter(|room| !room.is_empty());
        let room = room.ok_or_else(|| AssignmentError::QueueRoom(Arc::clone(&queue.broker)))?;
        queues_of.entry(room).or_default().push(queue.clone());
    }
    let mut members_of: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for member in members {
        let room = rooms.of_client(member).filter(|room| !room.is_empty());
        let room = room.ok_or_else(|| AssignmentError::ClientRoom(member.clone()))?;
        members_of.entry(room).or_default().push(member.clone());
    }
    let here = rooms.of_client(me).ok_or_else(|| AssignmentError::ClientRoom(me.to_owned()))?;
    let mut share = match (queues_of.remove(&here), members_of.get(&here)) {
        (Some(queues), Some(members)) => inner.share(me, &queues, members)?,
        _ => Vec::new(),
    };
    for (room, queues) in &queues_of {
        if !members_of.contains_key(room) {
            share.extend(inner.share(me, queues, members)?);
        }
    }
    Ok(share)
}

/// Points of the members on a circle of 32-bit hashes.
struct Ring(BTreeMap<u32, usize>);

impl Ring {
    fn new(members: &[String], virtual_nodes: u32) -> Self {
        let mut points = BTreeMap::new();
        for (index, member) in members.iter().enumerate() {
            for node in 0..virtual_nodes {
                points.insert(ring_hash(&format!("{member}-{node}")), index);
            }
        }
        Self(points)
    }

    fn queues_of(&self, member: usize, queues: &[MessageQueue]) -> Vec<MessageQueue> {
        let owner = |queue: &MessageQueue| {
            let at = ring_hash(&queue.to_string());
            self.0.range(at..).chain(&self.0).next().map(|(_, member)| *member)
        };
        queues.iter().filter(|queue| owner(queue) == Some(member)).cloned().collect()
    }
}

/// The first four bytes of MD5, as RocketMQ's ring takes them.
fn ring_hash(text: &str) -> u32 {
    let [a, b, c, d, ..] = md5::compute(text).0;
    u32::from_be_bytes([a, b, c, d])
}

#[cfg(test)]
mod tests;
