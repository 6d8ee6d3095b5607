//! Pulls: 11 and 361. On the hot path: a header becomes a question to its queue.

use std::sync::Arc;
use std::time::Duration;

use crate::actors::catalog::groups::{GroupConfig, may_make_itself};
use crate::actors::catalog::members::{EVERYTHING, Subscription};
use crate::actors::catalog::offsets::{Commit, CommitKind, ResetTold};
use crate::actors::catalog::topics::{PERM_READ, TopicEntry};
use crate::actors::topic_queue::{PullStatus, Pulled, Wish};
use crate::config::BrokerConfig;
use crate::protocol::code::{RequestCode, ResponseCode};
use crate::protocol::header::pull::{PullMessageRequest, PullMessageResponse};
use crate::protocol::names::{Group, QueueId, QueueKey, QueueOffset, RETRY_PREFIX, Topic};
use crate::server::doors::BrokerDoors;
use crate::server::filters::{Resolved, Unusable, is_by_tag};
use crate::server::requests::Refusal;

const FLAG_COMMIT: i32 = 1;
const FLAG_SUSPEND: i32 = 2;
const FLAG_SUBSCRIPTION: i32 = 4;
/// Longest that a pull may wait, whatever its client asks for.
const HOLD_MAX: Duration = Duration::from_secs(600);
/// Messages that one pull may ask for at most.
const MESSAGES_MAX: i32 = 4096;

/// What a pull needs before it can be served, and does not have.
pub enum Missing {
    /// The group is to be made first.
    Group(Group),
    Refused(Refusal),
}

impl From<Refusal> for Missing {
    fn from(refusal: Refusal) -> Self {
        Missing::Refused(refusal)
    }
}

/// A pull that passed all checks.
pub struct Pull {
    pub entry: Arc<TopicEntry>,
    pub queue: QueueId,
    pub from: i64,
    pub count: u32,
    pub wish: Wish,
    pub hold: Option<Duration>,
    /// What the pull tells of the group's progress.
    pub commits: Vec<Commit>,
}

impl Pull {
    /// Checks a pull as RocketMQ does, in its order.
    ///
    /// # Errors
    /// RocketMQ's code and remark, or the group that is to be made first.
    pub fn check(code: i32, header: &PullMessageRequest<'_>, doors: &BrokerDoors) -> Result<Pull, Missing> {
        let config = doors.settings.current.load();
        if config.identity.permission & 4 == 0 {
            return Err(
                forbidden(format!("the broker[{}] pulling message is forbidden", doors.identity.address)).into()
            );
        }
        if code == RequestCode::LitePullMessage.number() && !config.pull.lite_pull {
            let broker = &config.identity.broker_name;
            return Err(forbidden(format!("the broker[{broker}] for lite pull consumer is forbidden")).into());
        }
        let group = known_group(header, doors, &config)?;
        let entry = readable_topic(header, doors)?;
        let queue = u32::try_from(header.queue_id).ok().filter(|queue| *queue < entry.config.read_queues);
        let Some(queue) = queue else {
            let remark = format!(
                "queueId[{}] is illegal, topic:[{}] topicConfig.readQueueNums:[{}] consumer:[{}]",
                header.queue_id, header.topic, entry.config.read_queues, group.group_name
            );
            return Err(Refusal::new(ResponseCode::InvalidParameter.number(), remark).into());
        };
        let wish = wish(header, &group, doors, &config)?;
        let count = header.max_msg_nums.clamp(1, MESSAGES_MAX) as u32;
        let hold = hold(header, &config);
        let commits = commits(header, &entry.config.topic, queue);
        Ok(Pull { entry, queue, from: header.queue_offset, count, wish, hold, commits })
    }

    /// Where an administrator moved the group in this queue since its last pull. Asking takes note that it was told.
    #[must_use]
    pub fn pending_reset(&self, queue: &QueueKey, doors: &BrokerDoors) -> Option<QueueOffset> {
        if doors.offsets.resets.is_empty() {
            return None;
        }
        let group = self.commits.first()?.group.clone();
        let offset = doors.offsets.resets.pending(&group, queue)?;
        doors.offsets.owner.tell(ResetTold { group, queue: queue.clone(), offset });
        Some(offset)
    }

    #[must_use]
    pub fn key(&self) -> QueueKey {
        QueueKey { topic: self.entry.config.topic.clone(), queue: self.queue }
    }
}

fn forbidden(remark: String) -> Refusal {
    Refusal::new(ResponseCode::NoPermission.number(), remark)
}

fn known_group(
    header: &PullMessageRequest<'_>,
    doors: &BrokerDoors,
    config: &BrokerConfig,
) -> Result<Arc<GroupConfig>, Missing> {
    let Some(group) = doors.groups.table.get(&header.consumer_group) else {
        let remark = format!("subscription group [{}] does not exist", header.consumer_group);
        let unknown = Refusal::new(ResponseCode::SubscriptionGroupNotExist.number(), remark);
        let name = Group::new(&header.consumer_group).map_err(|_| unknown.clone())?;
        return Err(if may_make_itself(config, &name) { Missing::Group(name) } else { unknown.into() });
    };
    if !group.consume_enable {
        let remark = format!("subscription group no permission, {}", header.consumer_group);
        return Err(forbidden(remark).into());
    }
    Ok(group)
}

fn readable_topic(header: &PullMessageRequest<'_>, doors: &BrokerDoors) -> Result<Arc<TopicEntry>, Missing> {
    let Some(entry) = doors.topics.table.get(&header.topic) else {
        let remark = format!("topic[{}] not exist, apply first please!", header.topic);
        return Err(Refusal::new(ResponseCode::TopicNotExist.number(), remark).into());
    };
    if entry.config.perm & PERM_READ == 0 {
        return Err(forbidden(format!("the topic[{}] pulling message is forbidden", header.topic)).into());
    }
    Ok(entry)
}

/// What the pull's group wants of the topic.
fn wish(
    header: &PullMessageRequest<'_>,
    group: &GroupConfig,
    doors: &BrokerDoors,
    config: &BrokerConfig,
) -> Result<Wish, Missing> {
    let own = header.sys_flag & FLAG_SUBSCRIPTION != 0;
    let mut wish = if own && is_everything(header) {
        Wish::default()
    } else if own && !is_by_tag(&header.expression_type) {
        resolved(&header.expression_type, &header.subscription, group, (doors, config)).map_err(|error| {
            let code = match error {
                Unusable::NotAllowed(_) => ResponseCode::SystemError,
                _ => ResponseCode::SubscriptionParseFailed,
            };
            Refusal::new(code.number(), error.to_string())
        })?
    } else {
        let subscription = if own { Arc::new(subscription(header)?) } else { registered(header, group, doors)? };
        subscribed(header, subscription, group, (doors, config))?
    };
    // What a group gets again was let through before.
    if !group.attributes.is_empty() && !header.topic.starts_with(RETRY_PREFIX) {
        let named = doors.extensions.filters.of_group(group);
        let named =
            named.map_err(|error| Refusal::new(ResponseCode::FilterDataNotExist.number(), error.to_string()))?;
        wish.custom = named.map(Arc::new).or(wish.custom);
    }
    Ok(wish)
}

/// What a subscription of the group's heartbeats comes to, with RocketMQ's codes where it comes to nothing.
fn subscribed(
    header: &PullMessageRequest<'_>,
    subscription: Arc<Subscription>,
    group: &GroupConfig,
    (doors, config): (&BrokerDoors, &BrokerConfig),
) -> Result<Wish, Refusal> {
    if subscription.is_by_tag() {
        let tags = (!subscription.codes().is_empty()).then_some(subscription);
        return Ok(Wish { tags, ..Wish::default() });
    }
    let wish = resolved(&subscription.expression_type, &subscription.expression, group, (doors, config));
    let wish = wish.map_err(|error| match error {
        Unusable::NotAllowed(_) => Refusal::new(ResponseCode::SystemError.number(), error.to_string()),
        error => {
            let remark = format!("The broker's consumer filter data is not exist! {error}");
            Refusal::new(ResponseCode::FilterDataNotExist.number(), remark)
        }
    })?;
    // An older expression would pass over what a newer one wants.
    let fingerprinted =
        || doors.members.subscriptions.group(&header.consumer_group).is_some_and(|group| group.fingerprinted);
    if subscription.version < header.sub_version && !fingerprinted() {
        let remark = "the consumer's consumer filter data not latest";
        return Err(Refusal::new(ResponseCode::FilterDataNotLatest.number(), remark));
    }
    Ok(wish)
}

fn resolved(
    kind: &str,
    expression: &str,
    group: &GroupConfig,
    (doors, config): (&BrokerDoors, &BrokerConfig),
) -> Result<Wish, Unusable> {
    let filters = &doors.extensions.filters;
    Ok(match filters.resolve(kind, expression, &group.group_name, config.pull.sql_filter)? {
        Resolved::Sql(expression) => Wish { sql: Some(expression), ..Wish::default() },
        Resolved::Custom(filter) => Wish { custom: Some(Arc::new(filter)), ..Wish::default() },
    })
}

fn is_everything(header: &PullMessageRequest<'_>) -> bool {
    (header.subscription.is_empty() || header.subscription == EVERYTHING) && is_by_tag(&header.expression_type)
}

/// The tags that the pull itself names.
fn subscription(header: &PullMessageRequest<'_>) -> Result<Subscription, Refusal> {
    let topic = Topic::new(&header.topic).map_err(|_| {
        Refusal::new(ResponseCode::SubscriptionParseFailed.number(), "parse the consumer's subscription failed")
    })?;
    Ok(Subscription::new(topic, None, Some(header.subscription.to_string()), std::collections::BTreeSet::new()))
}

/// The subscription that the group's heartbeats brought.
fn registered(
    header: &PullMessageRequest<'_>,
    group: &GroupConfig,
    doors: &BrokerDoors,
) -> Result<Arc<Subscription>, Refusal> {
    let missing =
        |remark: &str| Refusal::new(ResponseCode::SubscriptionNotExist.number(), format!("the consumer's {remark}"));
    let table = &doors.members.subscriptions;
    let members = table.group(&header.consumer_group).ok_or_else(|| missing("group info not exist"))?;
    if !group.consume_broadcast_enable && members.is_broadcasting() {
        return Err(forbidden(format!("the consumer group[{}] can not consume by broadcast way", group.group_name)));
    }
    if let (Ok(name), Ok(topic)) = (Group::new(&header.consumer_group), Topic::new(&header.topic))
        && !doors.groups.table.may_read(&name, &topic)
    {
        let remark = format!("the consumer group[{name}] is forbidden for topic[{topic}]");
        return Err(forbidden(remark));
    }
    // A pull with a newer version than the heartbeat's is served by what is known: the next heartbeat brings the rest.
    table.lookup(&header.consumer_group, &header.topic).ok_or_else(|| missing("subscription not exist"))
}

fn hold(header: &PullMessageRequest<'_>, config: &BrokerConfig) -> Option<Duration> {
    if header.sys_flag & FLAG_SUSPEND == 0 {
        return None;
    }
    let wished = if config.pull.long_polling {
        u64::try_from(header.suspend_timeout_millis).unwrap_or(0)
    } else {
        config.pull.short_polling_ms
    };
    Some(Duration::from_millis(wished).min(HOLD_MAX)).filter(|hold| !hold.is_zero())
}

/// The offsets that a pull carries: what was consumed, and where it begins itself.
fn commits(header: &PullMessageRequest<'_>, topic: &Topic, queue: QueueId) -> Vec<Commit> {
    let Ok(group) = Group::new(&header.consumer_group) else { return Vec::new() };
    let commit = |offset, kind| Commit { group: group.clone(), topic: topic.clone(), queue, offset, kind };
    let consumed = (header.sys_flag & FLAG_COMMIT != 0).then(|| u64::try_from(header.commit_offset).ok()).flatten();
    let pulled = u64::try_from(header.queue_offset).ok();
    let consumed = consumed.map(|offset| commit(offset, CommitKind::Consumed));
    consumed.into_iter().chain(pulled.map(|offset| commit(offset, CommitKind::Pulled))).collect()
}

/// Header of the answer to a pull whose queue an administrator moved.
#[must_use]
pub fn reset_header(next: QueueOffset) -> PullMessageResponse {
    PullMessageResponse {
        suggest_which_broker_id: 0,
        next_begin_offset: next as i64,
        min_offset: next as i64,
        max_offset: next as i64,
        offset_delta: None,
        topic_sys_flag: Some(0),
        group_sys_flag: Some(0),
        forbidden_type: None,
    }
}

/// Code, remark and header of the answer to a pull.
#[must_use]
pub fn answer(pulled: &Pulled) -> (i32, &str, PullMessageResponse) {
    let (code, remark) = match &pulled.status {
        PullStatus::Found => (ResponseCode::Success, "FOUND"),
        PullStatus::NoMatched => (ResponseCode::PullRetryImmediately, "NO_MATCHED_MESSAGE"),
        PullStatus::Empty if pulled.asked == 0 => (ResponseCode::PullNotFound, "NO_MESSAGE_IN_QUEUE"),
        PullStatus::Empty => (ResponseCode::PullOffsetMoved, "NO_MESSAGE_IN_QUEUE"),
        PullStatus::AtEnd => (ResponseCode::PullNotFound, "OFFSET_OVERFLOW_ONE"),
        PullStatus::BeyondEnd => (ResponseCode::PullOffsetMoved, "OFFSET_OVERFLOW_BADLY"),
        PullStatus::TooSmall => (ResponseCode::PullOffsetMoved, "OFFSET_TOO_SMALL"),
        PullStatus::Failed(reason) => (ResponseCode::ServiceNotAvailable, reason.as_str()),
        PullStatus::Expression(reason) => (ResponseCode::SubscriptionParseFailed, reason.as_str()),
    };
    let header = PullMessageResponse {
        min_offset: pulled.range.min as i64,
        max_offset: pulled.range.max as i64,
        ..reset_header(pulled.next)
    };
    (code.number(), remark, header)
}
