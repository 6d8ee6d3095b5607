//! Ends of transactions, encoded once: a commit then costs a copy and a few patched bytes.

use super::frame::{Codec, Draft, write_digits, write_opaque};
use super::template::{PRODUCER_GROUP, digits};
use super::unique_key::KEY_LENGTH;

const END_TRANSACTION: u16 = 37;
const COMMIT: &str = "8";
const OFFSET_DIGITS_MAX: usize = 19;
/// Places of the fields whose values change.
const QUEUE_OFFSET: usize = 2;
const LOG_OFFSET: usize = 3;
const KEYS: [usize; 2] = [6, 7];

/// Commits as a Java producer writes them, but with an answer asked for.
#[derive(Debug)]
pub struct CommitTemplate {
    codec: Codec,
    topic: String,
    broker_name: String,
    /// By digits of both offsets; made when first needed.
    shapes: Vec<Option<Draft>>,
}

/// A half message as its producer knows it.
#[derive(Clone, Copy, Debug)]
pub struct Half {
    pub queue_offset: u64,
    pub log_offset: u64,
    pub key: [u8; KEY_LENGTH],
}

impl CommitTemplate {
    pub fn new(codec: Codec, topic: &str, broker_name: &str) -> CommitTemplate {
        CommitTemplate {
            codec,
            topic: topic.to_owned(),
            broker_name: broker_name.to_owned(),
            shapes: vec![None; OFFSET_DIGITS_MAX * OFFSET_DIGITS_MAX],
        }
    }

    /// Appends the commit of `half` to `out`. Offsets are below 10^19.
    pub fn append(&mut self, out: &mut Vec<u8>, opaque: u32, half: Half) {
        let lengths = (digits(half.queue_offset), digits(half.log_offset));
        let CommitTemplate { codec, topic, broker_name, shapes } = self;
        let shape = &mut shapes[(lengths.0 - 1) * OFFSET_DIGITS_MAX + lengths.1 - 1];
        let draft = shape.get_or_insert_with(|| draft(*codec, topic, broker_name, lengths));
        let start = out.len();
        out.extend_from_slice(&draft.bytes);
        let frame = &mut out[start..];
        write_opaque(*codec, frame, draft.opaque_at, opaque);
        write_digits(&mut frame[draft.values_at[QUEUE_OFFSET].clone()], half.queue_offset);
        write_digits(&mut frame[draft.values_at[LOG_OFFSET].clone()], half.log_offset);
        for field in KEYS {
            frame[draft.values_at[field].clone()].copy_from_slice(&half.key);
        }
    }
}

fn draft(codec: Codec, topic: &str, broker_name: &str, lengths: (usize, usize)) -> Draft {
    let (queue_offset, log_offset) = ("0".repeat(lengths.0), "0".repeat(lengths.1));
    let key = "0".repeat(KEY_LENGTH);
    let fields = [
        ("topic", topic),
        ("producerGroup", PRODUCER_GROUP),
        ("tranStateTableOffset", queue_offset.as_str()),
        ("commitLogOffset", log_offset.as_str()),
        ("commitOrRollback", COMMIT),
        ("fromTransactionCheck", "false"),
        ("msgId", key.as_str()),
        ("transactionId", key.as_str()),
        ("bname", broker_name),
    ];
    Draft::new(codec, END_TRANSACTION, &fields, &[])
}

/// Where in the log a message lies, from the id that a broker gave it: address, port and offset in hex.
pub fn log_offset(id: &str) -> Option<u64> {
    let digits = id.get(id.len().checked_sub(16)?..)?;
    u64::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_names_the_half_message() {
        for codec in [Codec::Binary, Codec::Json] {
            let mut template = CommitTemplate::new(codec, "Orders", "broker-a");
            let mut out = Vec::new();
            let half = Half { queue_offset: 70, log_offset: 123_456, key: [b'A'; KEY_LENGTH] };
            template.append(&mut out, 1_000_000_009, half);
            let length = u32::from_be_bytes(out[..4].try_into().unwrap());
            assert_eq!(length as usize + 4, out.len());
            let text = String::from_utf8_lossy(&out);
            for part in ["Orders", "123456", "70", PRODUCER_GROUP, &"A".repeat(32)] {
                assert!(text.contains(part), "{part} in {text}");
            }
        }
    }

    #[test]
    fn ids_end_in_the_offset() {
        assert_eq!(log_offset("7F00000100002A9F00000000000004D2"), Some(1_234));
        assert_eq!(log_offset("short"), None);
        assert_eq!(log_offset("7F00000100002A9Fzzzzzzzzzzzzzzzz"), None);
    }
}
