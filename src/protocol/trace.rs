//! Message traces: what clients write of each message into `RMQ_SYS_TRACE_TOPIC`, as text.
//!
//! A body is a row of records, each ended by 0x02; its fields have 0x01 between them. Source: RocketMQ's
//! `TraceDataEncoder`.

use serde::Serialize;

const FIELD_END: char = '\u{1}';
const RECORD_END: char = '\u{2}';
/// What Java writes where it has nothing.
const NOTHING: &str = "null";

/// One step in the life of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "step")]
pub enum Step {
    /// A producer sent it.
    Sent(Sent),
    /// A consumer begins with it.
    Consuming(Consuming),
    /// A consumer is done with it, one way or the other.
    Consumed(Consumed),
    /// Its transaction ended.
    #[serde(rename_all = "camelCase")]
    TransactionEnded { time_ms: i64, group: String, topic: String, message_id: String, state: String, asked: bool },
}

/// See [`Step::Sent`]. Times are in ms since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Sent {
    pub time_ms: i64,
    pub group: String,
    pub topic: String,
    pub message_id: String,
    pub tags: Option<String>,
    pub keys: Option<String>,
    #[serde(flatten)]
    pub stored: Stored,
    pub body_bytes: i64,
    pub cost_ms: i64,
    /// 0 plain, 1 half, 2 commit, 3 delayed, 4 ordered.
    pub kind: i32,
    pub success: bool,
}

/// Where a message was sent to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Default)]
#[serde(rename_all = "camelCase")]
pub struct Stored {
    pub region: String,
    /// `ip:port` of the broker.
    pub store_host: String,
    pub offset_message_id: String,
}

/// See [`Step::Consuming`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Consuming {
    pub time_ms: i64,
    pub region: String,
    pub group: String,
    /// The same for what was consumed together.
    pub request_id: String,
    pub message_id: String,
    pub retries: i32,
    pub keys: Option<String>,
}

/// See [`Step::Consumed`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Consumed {
    pub request_id: String,
    pub message_id: String,
    pub cost_ms: i64,
    pub success: bool,
    pub keys: Option<String>,
    /// 0 success, 1 time-out, 2 exception, 3 nothing returned, 4 failed.
    pub outcome: i32,
    /// 0 from clients that do not say.
    pub time_ms: i64,
    pub group: Option<String>,
}

impl Step {
    #[must_use]
    pub fn message_id(&self) -> &str {
        match self {
            Self::Sent(step) => &step.message_id,
            Self::Consuming(step) => &step.message_id,
            Self::Consumed(step) => &step.message_id,
            Self::TransactionEnded { message_id, .. } => message_id,
        }
    }

    /// The keys that the message was sent with.
    #[must_use]
    pub fn keys(&self) -> Option<&str> {
        match self {
            Self::Sent(step) => step.keys.as_deref(),
            Self::Consuming(step) => step.keys.as_deref(),
            Self::Consumed(step) => step.keys.as_deref(),
            Self::TransactionEnded { .. } => None,
        }
    }

    #[must_use]
    pub fn time_ms(&self) -> i64 {
        match self {
            Self::Sent(step) => step.time_ms,
            Self::Consuming(step) => step.time_ms,
            Self::Consumed(step) => step.time_ms,
            Self::TransactionEnded { time_ms, .. } => *time_ms,
        }
    }

    /// Appends the record of what a client of ours writes; ends of transactions are only read.
    pub fn write(&self, out: &mut String) {
        let or_null = |text: &Option<String>| text.clone().unwrap_or_else(|| NOTHING.to_owned());
        let fields: Vec<String> = match self {
            Self::Sent(step) => vec![
                "Pub".into(),
                step.time_ms.to_string(),
                step.stored.region.clone(),
                step.group.clone(),
                step.topic.clone(),
                step.message_id.clone(),
                or_null(&step.tags),
                or_null(&step.keys),
                step.stored.store_host.clone(),
                step.body_bytes.to_string(),
                step.cost_ms.to_string(),
                step.kind.to_string(),
                step.stored.offset_message_id.clone(),
                step.success.to_string(),
            ],
            Self::Consuming(step) => vec![
                "SubBefore".into(),
                step.time_ms.to_string(),
                step.region.clone(),
                step.group.clone(),
                step.request_id.clone(),
                step.message_id.clone(),
                step.retries.to_string(),
                or_null(&step.keys),
            ],
            Self::Consumed(step) => vec![
                "SubAfter".into(),
                step.request_id.clone(),
                step.message_id.clone(),
                step.cost_ms.to_string(),
                step.success.to_string(),
                or_null(&step.keys),
                step.outcome.to_string(),
                step.time_ms.to_string(),
                or_null(&step.group),
            ],
            Self::TransactionEnded { .. } => return,
        };
        out.push_str(&fields.join(FIELD_END.encode_utf8(&mut [0; 4])));
        out.push(RECORD_END);
    }
}

/// The steps in the body of a trace message. What is of no known form is passed over.
pub fn read(body: &str) -> impl Iterator<Item = Step> {
    body.split(RECORD_END).filter_map(|record| {
        let fields: Vec<&str> = record.split(FIELD_END).collect();
        step(&fields)
    })
}

fn step(fields: &[&str]) -> Option<Step> {
    let text = |at: usize| fields.get(at).map(|text| (*text).to_owned());
    let some = |at: usize| fields.get(at).filter(|text| !text.is_empty() && **text != NOTHING).map(|t| (*t).to_owned());
    let number = |at: usize| fields.get(at)?.parse::<i64>().ok();
    let small = |at: usize| fields.get(at)?.parse::<i32>().ok();
    let truth = |at: usize| Some(fields.get(at)?.eq_ignore_ascii_case("true"));
    match *fields.first()? {
        "Pub" => {
            // Releases before 4.3 say no offset id.
            let (offset_message_id, success) =
                if fields.len() > 13 { (text(12)?, truth(13)?) } else { (String::new(), truth(12)?) };
            Some(Step::Sent(Sent {
                time_ms: number(1)?,
                group: text(3)?,
                topic: text(4)?,
                message_id: text(5)?,
                tags: some(6),
                keys: some(7),
                stored: Stored { region: text(2)?, store_host: text(8)?, offset_message_id },
                body_bytes: number(9)?,
                cost_ms: number(10)?,
                kind: small(11)?,
                success,
            }))
        }
        "SubBefore" => Some(Step::Consuming(Consuming {
            time_ms: number(1)?,
            region: text(2)?,
            group: text(3)?,
            request_id: text(4)?,
            message_id: text(5)?,
            retries: small(6)?,
            keys: some(7),
        })),
        "SubAfter" => Some(Step::Consumed(Consumed {
            request_id: text(1)?,
            message_id: text(2)?,
            cost_ms: number(3)?,
            success: truth(4)?,
            keys: some(5),
            outcome: small(6).unwrap_or(0),
            time_ms: number(7).unwrap_or(0),
            group: some(8),
        })),
        "EndTransaction" => Some(Step::TransactionEnded {
            time_ms: number(1)?,
            group: text(3)?,
            topic: text(4)?,
            message_id: text(5)?,
            state: text(11)?,
            asked: truth(12)?,
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_as_java_writes_them() {
        let sent = "Pub\u{1}17\u{1}DefaultRegion\u{1}p\u{1}T\u{1}ID\u{1}null\u{1}k1 k2\u{1}127.0.0.1:10911\u{1}5\u{1}3\u{1}0\u{1}OFF\u{1}true\u{2}";
        let before = "SubBefore\u{1}18\u{1}DefaultRegion\u{1}g\u{1}R\u{1}ID\u{1}2\u{1}k1 k2\u{2}";
        let after = "SubAfter\u{1}R\u{1}ID\u{1}4\u{1}false\u{1}k1 k2\u{1}4\u{1}19\u{1}g\u{2}";
        let body = [sent, before, after].concat();
        let steps: Vec<_> = read(&body).collect();
        assert_eq!(steps.len(), 3);
        let mut again = String::new();
        steps.iter().for_each(|step| step.write(&mut again));
        assert_eq!(again, body);
        assert!(steps.iter().all(|step| step.message_id() == "ID" && step.keys() == Some("k1 k2")));
        assert_eq!(steps.iter().map(Step::time_ms).collect::<Vec<_>>(), [17, 18, 19]);
    }

    #[test]
    fn older_and_broken_records() {
        let end = "EndTransaction\u{1}1\u{1}r\u{1}p\u{1}T\u{1}ID\u{1}\u{1}\u{1}h\u{1}2\u{1}X\u{1}COMMIT_MESSAGE\u{1}true\u{2}";
        assert!(matches!(read(end).next(), Some(Step::TransactionEnded { asked: true, .. })));
        let old = "SubAfter\u{1}R\u{1}ID\u{1}4\u{1}true\u{1}\u{2}";
        assert!(matches!(read(old).next(), Some(Step::Consumed(step)) if step.success && step.keys.is_none()));
        for broken in ["", "\u{2}\u{2}", "Pub", "Pub\u{1}x\u{2}", "SubBefore\u{1}1\u{2}", "Else\u{1}1"] {
            assert_eq!(read(broken).count(), 0, "{broken:?}");
        }
    }
}
