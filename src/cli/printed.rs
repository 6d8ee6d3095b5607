//! Received messages as commands print them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use super::times;
use crate::client::ReceivedMessage;

/// Bytes in one line of a hex dump.
const HEX_WIDTH: usize = 16;

/// A message as one JSON object.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Line<'a> {
    topic: &'a str,
    broker_name: &'a str,
    queue_id: u32,
    queue_offset: i64,
    msg_id: String,
    offset_msg_id: String,
    born_timestamp: i64,
    store_timestamp: i64,
    reconsume_times: i32,
    tags: Option<&'a str>,
    keys: Option<&'a str>,
    #[serde(flatten)]
    content: Content<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Content<'a> {
    properties: BTreeMap<&'a str, &'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body_base64: Option<String>,
}

impl<'a> Line<'a> {
    #[must_use]
    pub fn of(message: &'a ReceivedMessage) -> Self {
        let body = std::str::from_utf8(&message.body).ok();
        Self {
            topic: message.topic(),
            broker_name: &message.queue.broker,
            queue_id: message.queue.queue,
            queue_offset: message.queue_offset,
            msg_id: message.message_id(),
            offset_msg_id: message.offset_message_id(),
            born_timestamp: message.born_timestamp_ms,
            store_timestamp: message.store_timestamp_ms,
            reconsume_times: message.reconsume_times,
            tags: message.tags(),
            keys: message.keys(),
            content: Content {
                properties: message.properties().collect(),
                body,
                body_base64: body.is_none().then(|| STANDARD.encode(&message.body)),
            },
        }
    }
}

/// A message as one line; its body as the bytes in hexadecimal below it where `hex` is wanted.
#[must_use]
pub fn readable(message: &ReceivedMessage, hex: bool) -> String {
    let (broker, queue, offset) = (&message.queue.broker, message.queue.queue, message.queue_offset);
    let mut text = format!("{}  {broker}/{queue} offset {offset}", times::shown(message.store_timestamp_ms));
    for (name, value) in [("tag", message.tags()), ("keys", message.keys())] {
        if let Some(value) = value {
            text.push_str(&format!("  {name} {value}"));
        }
    }
    text.push_str("  ");
    match std::str::from_utf8(&message.body) {
        _ if hex => text.push_str(&format!("{} bytes\n{}", message.body.len(), hex_dump(&message.body))),
        Ok(body) => text.push_str(&escaped(body)),
        Err(_) => text.push_str(&format!("({} bytes; --hex shows them)", message.body.len())),
    }
    text
}

/// All that is known of a message, a line each.
#[must_use]
pub fn full(message: &ReceivedMessage, hex: bool) -> String {
    let mut text = String::new();
    let mut put = |name: &str, value: &str| {
        // Writing into a string cannot fail.
        let _ = writeln!(text, "{name:<14}{value}");
    };
    put("topic", message.topic());
    let (queue, offset) = (&message.queue, message.queue_offset);
    put("queue", &format!("{}/{} offset {offset}", queue.broker, queue.queue));
    put("id", &message.message_id());
    put("offset id", &message.offset_message_id());
    put("born", &format!("{} at {}", times::shown(message.born_timestamp_ms), message.born_host));
    put("stored", &format!("{} at {}", times::shown(message.store_timestamp_ms), message.store_host));
    put("given back", &format!("{} times", message.reconsume_times));
    for (name, value) in message.properties() {
        put("property", &format!("{name} = {value}"));
    }
    match std::str::from_utf8(&message.body) {
        Ok(body) if !hex => put("body", &escaped(body)),
        _ => put("body", &format!("{} bytes\n{}", message.body.len(), hex_dump(&message.body))),
    }
    text.trim_end().to_owned()
}

/// Control characters must not reach the terminal.
fn escaped(body: &str) -> String {
    body.escape_debug().to_string().replace("\\\"", "\"").replace("\\'", "'")
}

/// Offset, bytes and what of them is ASCII, 16 a line.
fn hex_dump(bytes: &[u8]) -> String {
    let line = |(at, bytes): (usize, &[u8])| {
        let digits: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let shown = |byte: &u8| if byte.is_ascii_graphic() || *byte == b' ' { char::from(*byte) } else { '.' };
        let text: String = bytes.iter().map(shown).collect();
        format!("  {:08x}  {:<47}  {text}", at * HEX_WIDTH, digits.join(" "))
    };
    let lines: Vec<String> = bytes.chunks(HEX_WIDTH).enumerate().map(line).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_dumped_sixteen_a_line() {
        let dump = hex_dump(b"0123456789abcdef\n\xff");
        let expected = "  00000000  30 31 32 33 34 35 36 37 38 39 61 62 63 64 65 66  0123456789abcdef\n  \
                        00000010  0a ff                                            ..";
        assert_eq!(dump, expected);
        assert_eq!(hex_dump(b""), "");
    }

    #[test]
    fn a_body_cannot_drive_the_terminal() {
        assert_eq!(escaped("a\u{1b}[31m \"b\"\n"), "a\\u{1b}[31m \"b\"\\n");
    }
}
