//! One request, one answer: everything around the load itself.

use super::args::TargetArgs;
use super::error::BenchError;
use super::frame::{Codec, Draft, Scanner};
use super::wire::Link;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
const READ_BYTES: usize = 64 * 1024;

const QUERY_MESSAGE: u16 = 12;
const UPDATE_AND_CREATE_TOPIC: u16 = 17;
const MAX_OFFSET: u16 = 30;
const MIN_OFFSET: u16 = 31;
const BROKER_CONFIG: u16 = 26;
const HEARTBEAT: u16 = 34;
/// A client wants queues for itself, or to keep them.
pub const LOCK_BATCH: u16 = 41;
/// RocketMQ's delays, for a broker that does not tell its own.
const DELAY_LEVELS: &str = "1s 5s 10s 30s 1m 2m 3m 4m 5m 6m 7m 8m 9m 10m 20m 30m 1h 2h";

const SUCCESS: i32 = 0;
/// The server does not know the request.
const NOT_SUPPORTED: i32 = 3;

/// A connection that waits for each answer.
pub struct Caller {
    stream: TcpStream,
    address: String,
    codec: Codec,
    scanner: Scanner,
    unread: Vec<u8>,
}

/// The answer to a [`Caller::call`].
#[derive(Debug)]
pub struct Reply {
    pub code: i32,
    pub remark: String,
    /// Ext field `offset`, where there is one.
    pub offset: Option<u64>,
    pub body: Vec<u8>,
}

/// Whether a key was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyQuery {
    Found,
    NotFound,
    /// The server has no key query.
    NotSupported,
}

impl Caller {
    /// # Errors
    /// When the address cannot be resolved or nobody listens there.
    pub fn connect(address: &str, codec: Codec) -> Result<Caller, BenchError> {
        let failed = |source| BenchError::Connect { address: address.to_owned(), source };
        let mut last = std::io::Error::from(ErrorKind::NotFound);
        for candidate in address.to_socket_addrs().map_err(failed)? {
            match TcpStream::connect_timeout(&candidate, CONNECT_TIMEOUT) {
                Ok(stream) => {
                    stream.set_nodelay(true).map_err(failed)?;
                    stream.set_read_timeout(Some(ANSWER_TIMEOUT)).map_err(failed)?;
                    return Ok(Caller {
                        stream,
                        address: address.to_owned(),
                        codec,
                        scanner: Scanner::default(),
                        unread: Vec::new(),
                    });
                }
                Err(error) => last = error,
            }
        }
        Err(failed(last))
    }

    /// Sends a request and waits for its answer.
    ///
    /// # Errors
    /// When the connection ends or 10 s pass.
    pub fn call(&mut self, code: u16, fields: &[(&str, &str)], body: &[u8]) -> Result<Reply, BenchError> {
        let draft = Draft::new(self.codec, code, fields, body);
        self.stream.write_all(&draft.bytes).map_err(|error| self.lost(error.to_string()))?;
        loop {
            let next =
                self.scanner.next(&self.unread).map_err(|error| lost(&self.address, format!("it brought {error}")))?;
            let Some((answer, length)) = next else {
                self.read_more(code)?;
                continue;
            };
            // No other request is under way here; what is no response is the server's own request.
            let reply = answer.is_response.then(|| Reply {
                code: answer.code,
                remark: answer.remark(),
                offset: answer.number("offset"),
                body: answer.body.to_vec(),
            });
            self.unread.drain(..length);
            if let Some(reply) = reply {
                return Ok(reply);
            }
        }
    }

    fn read_more(&mut self, code: u16) -> Result<(), BenchError> {
        let mut chunk = [0; READ_BYTES];
        match self.stream.read(&mut chunk) {
            Ok(0) => Err(self.lost("the broker closed it".into())),
            Ok(count) => {
                self.unread.extend_from_slice(&chunk[..count]);
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Err(BenchError::Silent {
                address: self.address.clone(),
                seconds: ANSWER_TIMEOUT.as_secs(),
                waited_for: format!("it was asked request {code}"),
            }),
            Err(error) => Err(self.lost(error.to_string())),
        }
    }

    fn lost(&self, reason: String) -> BenchError {
        lost(&self.address, reason)
    }

    /// Makes the topic of `target` under the name `topic`. A server without topics is fine.
    pub fn create_topic(&mut self, topic: &str, queues: u32) -> Result<(), BenchError> {
        let queues = queues.to_string();
        let fields = [
            ("topic", topic),
            ("defaultTopic", "TBW102"),
            ("readQueueNums", queues.as_str()),
            ("writeQueueNums", queues.as_str()),
            ("perm", "6"),
            ("topicFilterType", "SINGLE_TAG"),
            ("topicSysFlag", "0"),
            ("order", "false"),
        ];
        let reply = self.call(UPDATE_AND_CREATE_TOPIC, &fields, &[])?;
        reply.expect_success("make the topic")
    }

    /// How long a delay level delays, in milliseconds, as the broker's settings say.
    pub fn delay_ms(&mut self, level: u32) -> Result<u64, BenchError> {
        let settings = self.call(BROKER_CONFIG, &[], &[])?.body;
        let settings = String::from_utf8_lossy(&settings);
        let levels = settings.lines().find_map(|line| line.strip_prefix("messageDelayLevel=")).unwrap_or(DELAY_LEVELS);
        let delays: Vec<&str> = levels.split_whitespace().collect();
        let text = delays.get(level as usize - 1).copied().unwrap_or_default();
        let (number, unit) = text.split_at(text.len().saturating_sub(1));
        let unit_ms = match unit {
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => 0,
        };
        match number.parse::<u64>().map(|number| number * unit_ms) {
            Ok(delay_ms @ 1..) => Ok(delay_ms),
            _ => Err(BenchError::WrongCall(format!("--level {level}: the broker's levels are {levels}"))),
        }
    }

    /// Announces a consumer of `topic`, named `client`, as a push consumer does.
    pub fn heartbeat(&mut self, client: &str, group: &str, topic: &str) -> Result<(), BenchError> {
        let body = serde_json::json!({
            "clientID": client,
            "consumerDataSet": [{
                "consumeFromWhere": "CONSUME_FROM_FIRST_OFFSET",
                "consumeType": "CONSUME_PASSIVELY",
                "groupName": group,
                "messageModel": "CLUSTERING",
                "subscriptionDataSet": [{
                    "classFilterMode": false,
                    "codeSet": [],
                    "expressionType": "TAG",
                    "subString": "*",
                    "subVersion": 1,
                    "tagsSet": [],
                    "topic": topic,
                }],
                "unitMode": false,
            }],
            "heartbeatFingerprint": 0,
            "producerDataSet": [],
            "withoutSub": false,
        });
        let reply = self.call(HEARTBEAT, &[], body.to_string().as_bytes())?;
        reply.expect_success("take a heartbeat")
    }

    /// First offset of a queue and the one after its last.
    pub fn offsets(&mut self, topic: &str, queue: u32) -> Result<(u64, u64), BenchError> {
        let queue = queue.to_string();
        let fields = [("topic", topic), ("queueId", queue.as_str())];
        let mut ends = [0; 2];
        for (end, code) in ends.iter_mut().zip([MIN_OFFSET, MAX_OFFSET]) {
            let reply = self.call(code, &fields, &[])?;
            *end = reply.offset.unwrap_or(0);
            if reply.code != SUCCESS {
                return Err(reply.refused("tell a queue's offsets"));
            }
        }
        Ok((ends[0], ends[1]))
    }

    /// Asks for the message with this unique key, whenever it was stored.
    pub fn query_key(&mut self, topic: &str, key: &str) -> Result<KeyQuery, BenchError> {
        let end = i64::MAX.to_string();
        let fields = [
            ("topic", topic),
            ("key", key),
            ("maxNum", "32"),
            ("beginTimestamp", "0"),
            ("endTimestamp", end.as_str()),
            ("_UNIQUE_KEY_QUERY", "true"),
        ];
        let reply = self.call(QUERY_MESSAGE, &fields, &[])?;
        let wanted = key.as_bytes();
        Ok(match reply.code {
            SUCCESS if reply.body.windows(wanted.len()).any(|part| part == wanted) => KeyQuery::Found,
            NOT_SUPPORTED => KeyQuery::NotSupported,
            _ => KeyQuery::NotFound,
        })
    }

    /// Gives the connection to an event loop.
    pub fn into_link(self) -> Link {
        Link::new(self.stream, self.unread)
    }
}

impl Reply {
    fn expect_success(self, action: &'static str) -> Result<(), BenchError> {
        match self.code {
            SUCCESS | NOT_SUPPORTED => Ok(()),
            _ => Err(self.refused(action)),
        }
    }

    fn refused(self, action: &'static str) -> BenchError {
        let remark = match self.remark.is_empty() {
            true => String::new(),
            false => format!(": {}", self.remark),
        };
        BenchError::Refused { action, code: self.code, remark }
    }
}

fn lost(address: &str, reason: String) -> BenchError {
    BenchError::Lost { address: address.to_owned(), reason }
}

/// `count` connections to the broker of `target`.
pub fn links(target: &TargetArgs, count: u32) -> Result<Vec<Link>, BenchError> {
    (0..count).map(|_| Caller::connect(&target.broker, target.codec).map(Caller::into_link)).collect()
}
