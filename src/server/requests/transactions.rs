//! Ends of transactions (37), and half messages that are taken up again after they were put aside (323).

use tokio::sync::oneshot;

use super::send::refusal_of;
use super::{Answer, Refusal, Request, Response};
use crate::actors::commitlog_writer::Batch;
use crate::actors::door::Closed;
use crate::actors::log::draft::QueueCode;
use crate::actors::log::own_appends::StoredRecord;
use crate::actors::log::wall_clock_ms;
use crate::actors::transactions::records::{self, Age};
use crate::actors::transactions::{End, EndError, EndHalves, Verdict};
use crate::config::{BrokerConfig, BrokerRole};
use crate::protocol::code::ResponseCode;
use crate::protocol::frame::Ext;
use crate::protocol::header::transactions::{EndTransactionRequest, ResumeCheckHalfMessageRequest};
use crate::protocol::names::{HALF_TOPIC, LogOffset, TRANS_CHECK_MAX_TIME_TOPIC};
use crate::protocol::properties;
use crate::protocol::record::{FLAG_COMMITTED, FLAG_ROLLBACK, NewRecord, Record};
use crate::protocol::uniq_key;
use crate::server::doors::BrokerDoors;

/// What `commitOrRollback` says of a transaction of which its producer does not know yet.
const UNKNOWN: i32 = 0;

/// What a request to end a transaction comes to before its owner hears of it.
pub enum Ending {
    /// The end is known, and the half message what the producer says.
    Known(End),
    /// The producer does not know the end yet.
    Open,
    /// The half message, if there is one, has to be read from the disk.
    Cold,
}

/// 37 as far as it goes without waiting.
///
/// # Errors
/// RocketMQ's code and remark.
pub fn ending(doors: &BrokerDoors, ext: &Ext<'_>) -> Result<Ending, Refusal> {
    let header: EndTransactionRequest<'_> = ext.decode()?;
    let config = doors.settings.current.load();
    let Some(verdict) = verdict(&header, &config)? else { return Ok(Ending::Open) };
    let timeout_ms = config.send.transactions.timeout_ms;
    let at = LogOffset::try_from(header.commit_log_offset).map_err(|_| missing())?;
    let Some((half, checked)) = doors.log.stored_here(at, |half| check(&header, half, timeout_ms)) else {
        return Ok(Ending::Cold);
    };
    checked?;
    Ok(Ending::Known(End { half, verdict }))
}

/// 37, waiting for the disk. RocketMQ leaves a request without an answer that does not know the end; its clients want none.
pub async fn end(doors: &BrokerDoors, request: &Request) -> Answer {
    let header: EndTransactionRequest<'_> = request.header()?;
    let config = doors.settings.now();
    let Some(verdict) = verdict(&header, &config)? else { return Ok(stays_open()) };
    let half = stored_at(doors, header.commit_log_offset, HALF_TOPIC).await?.ok_or_else(missing)?;
    let timeout_ms = config.send.transactions.timeout_ms;
    check(&header, &half.parts().map_err(|error| wrong(error.to_string()))?, timeout_ms)?;
    let (reply, answer) = oneshot::channel();
    doors.transactions.tell(EndHalves { ends: vec![End { half, verdict }], reply });
    answer.await.ok().and_then(|mut endings| endings.pop()).ok_or(Closed)??;
    Ok(Response::ok())
}

/// The answer where the producer does not know the end yet.
#[must_use]
pub fn stays_open() -> Response {
    Response::ok().with_remark("the transaction stays open; its producers will be asked")
}

/// How the transaction is to end; `None` where its producer does not know yet.
fn verdict(header: &EndTransactionRequest<'_>, config: &BrokerConfig) -> Result<Option<Verdict>, Refusal> {
    if config.identity.role == BrokerRole::Slave {
        let remark = "the broker is a slave: transactions end at its master";
        return Err(Refusal::new(ResponseCode::SlaveNotAvailable, remark));
    }
    match header.commit_or_rollback {
        FLAG_COMMITTED => Ok(Some(Verdict::Commit)),
        FLAG_ROLLBACK => Ok(Some(Verdict::Rollback)),
        UNKNOWN => Ok(None),
        other => Err(wrong(format!("commitOrRollback {other}: 8 commits, 12 rolls back, 0 does not know yet"))),
    }
}

fn missing() -> Refusal {
    wrong("Find prepared transaction message failed")
}

/// What RocketMQ checks of the half message that a producer named.
fn check(header: &EndTransactionRequest<'_>, half: &Record<'_>, timeout_ms: u64) -> Result<(), Refusal> {
    if half.topic != HALF_TOPIC {
        return Err(missing());
    }
    let (mut group, mut has_own_time) = (None, false);
    for (name, value) in properties::pairs(half.properties) {
        match name {
            records::PRODUCER_GROUP => group = group.or(Some(value)),
            records::IMMUNITY_SECONDS => has_own_time = true,
            _ => {}
        }
    }
    if has_own_time
        && !header.from_transaction_check
        && Age::of(half, wall_clock_ms(), timeout_ms).is_past_end(timeout_ms)
    {
        let remark = "the transaction's own time is over: its producer will be asked, and may end it then";
        return Err(Refusal::new(ResponseCode::IllegalOperation, remark));
    }
    if group != Some(header.producer_group) {
        return Err(wrong("The producer group wrong"));
    }
    if u64::try_from(header.tran_state_table_offset) != Ok(half.queue_offset) {
        return Err(wrong("The transaction state table offset wrong"));
    }
    if u64::try_from(header.commit_log_offset) != Ok(half.physical_offset) {
        return Err(wrong("The commit log offset wrong"));
    }
    Ok(())
}

/// 323: from where it was put aside the message goes back among the half messages, and is asked about anew.
pub async fn resume(doors: &BrokerDoors, request: &Request) -> Answer {
    let header: ResumeCheckHalfMessageRequest = request.header()?;
    let (_, at) = uniq_key::decode_offset_id(&header.msg_id)
        .map_err(|error| wrong(format!("the message id {} is none: {error}", header.msg_id)))?;
    let aside = match i64::try_from(at) {
        Ok(at) => stored_at(doors, at, TRANS_CHECK_MAX_TIME_TOPIC).await?,
        Err(_) => None,
    };
    let missing = || wrong(format!("there is no message {} in {TRANS_CHECK_MAX_TIME_TOPIC}", header.msg_id));
    let aside = aside.ok_or_else(missing)?;
    let parts = aside.parts().map_err(|error| wrong(error.to_string()))?;
    let entry = doors.topics.table.get(HALF_TOPIC).ok_or_else(missing)?;
    let text = records::resumed_text(&parts);
    let pieces: [&[u8]; 1] = [text.as_bytes()];
    let record = NewRecord { topic: HALF_TOPIC, queue: 0, properties: &pieces, ..parts.again() };
    let mut batch = Batch::default();
    let added = doors.log.own.add(&mut batch, &entry, (record, properties::scan(&text)), QueueCode::Tag);
    added.map_err(|error| wrong(error.to_string()))?;
    let placed = doors.log.own.append(batch).await.first().copied().unwrap_or_default();
    if placed.is_stored() {
        return Ok(Response::ok());
    }
    Err(refusal_of(placed.outcome).unwrap_or_else(|| wrong("Put message back to RMQ_SYS_TRANS_HALF_TOPIC failed.")))
}

/// The record of `topic` that begins at `at`.
async fn stored_at(doors: &BrokerDoors, at: i64, topic: &str) -> Result<Option<StoredRecord>, Refusal> {
    let Ok(at) = LogOffset::try_from(at) else { return Ok(None) };
    let found = doors.log.stored_at(at).await?;
    Ok(found.filter(|record| record.parts().is_ok_and(|parts| parts.topic == topic)))
}

fn wrong(remark: impl Into<std::borrow::Cow<'static, str>>) -> Refusal {
    Refusal::new(ResponseCode::SystemError, remark)
}

impl From<EndError> for Refusal {
    fn from(error: EndError) -> Self {
        let code = match &error {
            EndError::EndedOtherwise(_) | EndError::NoTarget => ResponseCode::SystemError,
            EndError::UnderWay | EndError::Crowded(_) => ResponseCode::ServiceNotAvailable,
            EndError::TopicGone(_) => ResponseCode::TopicNotExist,
            EndError::Draft(_) => ResponseCode::MessageIllegal,
            EndError::NotStored(outcome) => {
                let unknown = || Refusal::new(ResponseCode::SystemError, "the message was perhaps not stored");
                return refusal_of(*outcome).unwrap_or_else(unknown);
            }
        };
        Refusal::new(code, error.to_string())
    }
}
