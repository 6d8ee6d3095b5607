//! Sends and pulls encoded once; each request then costs a copy and a few patched bytes.

use super::frame::{Codec, Draft, write_digits, write_opaque};
use super::unique_key::{KEY_LENGTH, UniqueKeys};
use std::ops::Range;

const SEND_MESSAGE_V2: u16 = 310;
const SEND_BATCH_MESSAGE: u16 = 320;
const PULL_MESSAGE: u16 = 11;
/// Stands where a key will be written.
const KEY_BLANK: [u8; KEY_LENGTH] = *b"00000000000000000000000000000000";
/// Stands where the born timestamp will be written.
const BORN_BLANK: &str = "0000000000000";
/// Bytes of the mark at the start of a timed body: run and due time.
pub const TIMING_LENGTH: usize = 16;
const FILL: u8 = b'a';
const QUEUE_DIGITS_MAX: usize = 5;
const OFFSET_DIGITS_MAX: usize = 19;

/// What all sends of a run have in common.
#[derive(Clone, Debug)]
pub struct SendSpec {
    pub codec: Codec,
    pub topic: String,
    pub broker_name: String,
    pub body_length: usize,
    /// Messages in a request; above 1 it is a batch.
    pub batch: usize,
    /// Further properties of each message, `NAME\u{1}VALUE\u{2}` and so on.
    pub properties: String,
    /// 0, or [`HALF_MESSAGE`].
    pub sys_flag: u32,
}

/// System flag of a message whose transaction is open.
pub const HALF_MESSAGE: u32 = 4;
/// Group that all producers of the generator are in.
pub const PRODUCER_GROUP: &str = "actormq_bench";

/// Sends as a Java producer writes them.
#[derive(Debug)]
pub struct SendTemplate {
    codec: Codec,
    /// One for each number of digits that a queue id can have.
    shapes: Vec<SendShape>,
}

#[derive(Debug)]
struct SendShape {
    draft: Draft,
    queue_at: Range<usize>,
    born_at: Range<usize>,
    /// Where the keys begin; for a batch, the batch's own first, then one for each message.
    keys_at: Vec<usize>,
}

/// What distinguishes one send from the next.
#[derive(Clone, Copy, Debug)]
pub struct SendStamp {
    pub opaque: u32,
    pub queue: u32,
    /// Run and due time to put into the body, if it is timed.
    pub timing: Option<(u64, u64)>,
}

impl SendTemplate {
    pub fn new(spec: &SendSpec) -> SendTemplate {
        let shapes = (1..=QUEUE_DIGITS_MAX).map(|digits| SendShape::new(spec, digits)).collect();
        SendTemplate { codec: spec.codec, shapes }
    }

    /// Appends a send to `out` and returns where in `out` its last key begins. A timed body needs at least
    /// [`TIMING_LENGTH`] bytes.
    #[inline]
    pub fn append(&self, out: &mut Vec<u8>, stamp: SendStamp, keys: &mut UniqueKeys) -> usize {
        let shape = &self.shapes[digits(u64::from(stamp.queue)) - 1];
        let start = out.len();
        out.extend_from_slice(&shape.draft.bytes);
        let frame = &mut out[start..];
        write_opaque(self.codec, frame, shape.draft.opaque_at, stamp.opaque);
        write_digits(&mut frame[shape.queue_at.clone()], u64::from(stamp.queue));
        frame[shape.born_at.clone()].copy_from_slice(keys.born());
        let mut last = 0;
        for &at in &shape.keys_at {
            keys.write_next(&mut frame[at..at + KEY_LENGTH]);
            last = at;
        }
        if let Some((run, due)) = stamp.timing {
            let at = shape.draft.body_at;
            frame[at..at + 8].copy_from_slice(&run.to_be_bytes());
            frame[at + 8..at + TIMING_LENGTH].copy_from_slice(&due.to_be_bytes());
        }
        start + last
    }
}

impl SendShape {
    fn new(spec: &SendSpec, queue_digits: usize) -> SendShape {
        let single = spec.batch == 1;
        let queue = "0".repeat(queue_digits);
        let properties = if single { message_properties(&spec.properties) } else { batch_properties() };
        let sys_flag = spec.sys_flag.to_string();
        let fields = [
            ("a", PRODUCER_GROUP),
            ("b", spec.topic.as_str()),
            ("c", "TBW102"),
            ("d", "4"),
            ("e", queue.as_str()),
            ("f", sys_flag.as_str()),
            ("g", BORN_BLANK),
            ("h", "0"),
            ("i", properties.as_str()),
            ("j", "0"),
            ("k", "false"),
            ("m", if single { "false" } else { "true" }),
            ("n", spec.broker_name.as_str()),
        ];
        let body = vec![FILL; spec.body_length];
        let (code, body) = match single {
            true => (SEND_MESSAGE_V2, body),
            false => (SEND_BATCH_MESSAGE, batch_entry(&body, &spec.properties).repeat(spec.batch)),
        };
        let draft = Draft::new(spec.codec, code, &fields, &body);
        let mut keys_at = vec![find_key(&draft.bytes, draft.values_at[8].start)];
        if !single {
            let entry_length = (draft.bytes.len() - draft.body_at) / spec.batch;
            keys_at.extend((0..spec.batch).map(|entry| {
                let properties_at = draft.body_at + entry * entry_length + 22 + spec.body_length;
                find_key(&draft.bytes, properties_at)
            }));
        }
        SendShape { queue_at: draft.values_at[4].clone(), born_at: draft.values_at[6].clone(), keys_at, draft }
    }
}

/// Properties of a message in the order of Java's hash map.
fn message_properties(further: &str) -> String {
    format!("{}TAGS\u{1}TagA\u{2}{further}", batch_properties())
}

/// Properties that a Java producer gives a batch as a whole.
fn batch_properties() -> String {
    let key = String::from_utf8_lossy(&KEY_BLANK);
    format!("UNIQ_KEY\u{1}{key}\u{2}WAIT\u{1}true\u{2}")
}

/// One message of a batch: total length, magic, CRC, flag, body length, body, properties length, properties.
fn batch_entry(body: &[u8], further: &str) -> Vec<u8> {
    let properties = message_properties(further);
    let total = 22 + body.len() + properties.len();
    let mut entry = Vec::with_capacity(total);
    entry.extend_from_slice(&(total as u32).to_be_bytes());
    entry.extend_from_slice(&[0; 12]);
    entry.extend_from_slice(&(body.len() as u32).to_be_bytes());
    entry.extend_from_slice(body);
    entry.extend_from_slice(&(properties.len() as u16).to_be_bytes());
    entry.extend_from_slice(properties.as_bytes());
    entry
}

/// Where the first blank key from `from` on begins. Properties written here always hold one.
fn find_key(frame: &[u8], from: usize) -> usize {
    let found = frame[from..].windows(KEY_LENGTH).position(|window| window == KEY_BLANK);
    from + found.expect("the properties were written with a blank key")
}

/// What all pulls of a run have in common.
#[derive(Clone, Debug)]
pub struct PullSpec {
    pub codec: Codec,
    pub topic: String,
    pub broker_name: String,
    pub group: String,
    pub max_num: u32,
    /// How long the broker may hold a pull that finds nothing; none: it answers at once.
    pub suspend_ms: Option<u64>,
}

/// Pulls as a Java push consumer writes them, with the subscription in the request and the offset to commit.
#[derive(Debug)]
pub struct PullTemplate {
    spec: PullSpec,
    /// By digits of the queue id and of the offset; made when first needed.
    shapes: Vec<Option<Draft>>,
}

/// What distinguishes one pull from the next.
#[derive(Clone, Copy, Debug)]
pub struct PullStamp {
    pub opaque: u32,
    pub queue: u32,
    pub offset: u64,
}

impl PullTemplate {
    pub fn new(spec: PullSpec) -> PullTemplate {
        PullTemplate { spec, shapes: vec![None; QUEUE_DIGITS_MAX * OFFSET_DIGITS_MAX] }
    }

    /// Appends a pull to `out`. It commits its own offset: what came before it has been consumed.
    pub fn append(&mut self, out: &mut Vec<u8>, stamp: PullStamp) {
        let (queue_digits, offset_digits) = (digits(u64::from(stamp.queue)), digits(stamp.offset));
        let shape = &mut self.shapes[(queue_digits - 1) * OFFSET_DIGITS_MAX + offset_digits - 1];
        let spec = &self.spec;
        let draft = shape.get_or_insert_with(|| pull_draft(spec, queue_digits, offset_digits));
        let start = out.len();
        out.extend_from_slice(&draft.bytes);
        let frame = &mut out[start..];
        write_opaque(spec.codec, frame, draft.opaque_at, stamp.opaque);
        write_digits(&mut frame[draft.values_at[2].clone()], u64::from(stamp.queue));
        write_digits(&mut frame[draft.values_at[3].clone()], stamp.offset);
        write_digits(&mut frame[draft.values_at[6].clone()], stamp.offset);
    }
}

fn pull_draft(spec: &PullSpec, queue_digits: usize, offset_digits: usize) -> Draft {
    const COMMIT_OFFSET: u32 = 1;
    const MAY_SUSPEND: u32 = 2;
    const HAS_SUBSCRIPTION: u32 = 4;
    let suspend = if spec.suspend_ms.is_some() { MAY_SUSPEND } else { 0 };
    let flags = (COMMIT_OFFSET | HAS_SUBSCRIPTION | suspend).to_string();
    let queue = "0".repeat(queue_digits);
    let offset = "0".repeat(offset_digits);
    let max_num = spec.max_num.to_string();
    let suspend_ms = spec.suspend_ms.unwrap_or(0).to_string();
    let fields = [
        ("consumerGroup", spec.group.as_str()),
        ("topic", spec.topic.as_str()),
        ("queueId", queue.as_str()),
        ("queueOffset", offset.as_str()),
        ("maxMsgNums", max_num.as_str()),
        ("sysFlag", flags.as_str()),
        ("commitOffset", offset.as_str()),
        ("suspendTimeoutMillis", suspend_ms.as_str()),
        ("subscription", "*"),
        ("subVersion", "1"),
        ("expressionType", "TAG"),
        ("maxMsgBytes", "262144"),
        ("bname", spec.broker_name.as_str()),
    ];
    Draft::new(spec.codec, PULL_MESSAGE, &fields, &[])
}

/// Decimal digits of `value`.
#[inline]
pub fn digits(value: u64) -> usize {
    value.checked_ilog10().unwrap_or(0) as usize + 1
}

#[cfg(test)]
#[path = "template_tests.rs"]
mod tests;
