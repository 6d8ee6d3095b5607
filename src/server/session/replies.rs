//! The hot requests of a session, in and out: sends and pulls. Ends of transactions have a file of their own.

use std::sync::atomic::Ordering;
use std::time::Instant;

use actix::prelude::*;
use bytes::Bytes;
use serde::Serialize;

use super::{Call, Desk, PULLS_MAX, REPLY_LANGUAGE, REPLY_VERSION, Session};
use crate::actors::catalog::offsets::Commits;
use crate::actors::commitlog_writer::{Append, Batch, Outcome, Put};
use crate::actors::log::queues::ToQueue;
use crate::actors::log::wall_clock_ms;
use crate::actors::topic_queue::{Ask, PullAsk, Pulled};
use crate::protocol::code::{RequestCode, ResponseCode};
use crate::protocol::frame::{self, FLAG_RESPONSE, Frame, Head, NewHead};
use crate::protocol::header::pull::PullMessageRequest;
use crate::protocol::names;
use crate::protocol::names::Group;
use crate::protocol::uniq_key;
use crate::server::requests::pull::{self, Missing, Pull};
use crate::server::requests::retry;
use crate::server::requests::send::{Send, refusal_of};
use crate::server::requests::{Refusal, Response};

/// Bytes of all sessions on their way to the log at most; past them sends are refused as RocketMQ does.
const BACKLOG_BYTES_MAX: usize = 48 * 1024 * 1024;
/// A batch of a session is handed over when it has this many bytes, also in the middle of a read.
pub(super) const BATCH_BYTES_MAX: usize = 512 * 1024;
/// What a batch keeps for the next read.
const BATCH_BYTES_KEPT: usize = 16 * 1024;

/// The answer to a send, with the fields that RocketMQ's clients read without looking whether they are there.
#[derive(Serialize)]
struct SendAnswer<'a> {
    #[serde(rename = "MSG_REGION")]
    region: &'a str,
    #[serde(rename = "TRACE_ON")]
    trace_on: &'a str,
    #[serde(rename = "msgId")]
    id: &'a str,
    #[serde(rename = "queueId")]
    queue: u32,
    #[serde(rename = "queueOffset")]
    queue_offset: u64,
    #[serde(rename = "transactionId")]
    transaction: &'a str,
}

impl Session {
    /// Serves the requests of which there are many; false when it is another.
    pub(super) fn take_hot(
        &mut self,
        call: Call,
        head: &Head<'_>,
        frame: &Frame<'_>,
        bytes: &[u8],
        ctx: &mut Context<Self>,
    ) -> bool {
        let refused = match RequestCode::from_number(head.code) {
            RequestCode::SendMessage | RequestCode::SendMessageV2 | RequestCode::SendBatchMessage => {
                self.take_send(call, head, frame.body, bytes, ctx)
            }
            RequestCode::PullMessage | RequestCode::LitePullMessage => self.take_pull(call, head, bytes, ctx),
            RequestCode::EndTransaction => match self.take_end(call, head, ctx) {
                Ok(false) => return false,
                taken => taken.map(|_| ()),
            },
            _ => return false,
        };
        if let Err(refusal) = refused {
            self.answer(call, &Response::from(refusal));
        }
        true
    }

    fn take_send(
        &mut self,
        call: Call,
        head: &Head<'_>,
        body: &[u8],
        bytes: &[u8],
        ctx: &mut Context<Self>,
    ) -> Result<(), Refusal> {
        let Desk::Broker(desk) = self.desk.clone() else { return Err(not_served(head.code)) };
        let mut send = Send::read(head)?;
        send.check(&desk.send_rules, wall_clock_ms)?;
        if send.topic.starts_with(names::RETRY_PREFIX)
            && let Some(group) = retry::redirect(&mut send, head.version, &desk.doors)?
        {
            self.make_group(call, group, bytes, ctx);
            return Ok(());
        }
        if self.credit.making.take(&send.topic, call, bytes) {
            return Ok(());
        }
        if self.credit.holds_sends() {
            self.credit.held.push(bytes);
            return Ok(());
        }
        if desk.backlog_bytes.load(Ordering::Relaxed) > BACKLOG_BYTES_MAX {
            let remark = "[OVERLOAD]system busy, start flow control for a while";
            return Err(Refusal::new(ResponseCode::SystemBusy.number(), remark));
        }
        match desk.doors.topics.table.get(&send.topic).filter(|entry| entry.is_listed()) {
            Some(_) if !desk.doors.extensions.interceptors.is_empty() => {
                self.credit.intercepted.gather((call, &send), body, bytes);
                Ok(())
            }
            Some(entry) => {
                send.put(body, &entry, (&desk.send_rules, self.ends.peer), call.token(), &mut self.batch)?;
                if self.batch.bytes.len() >= BATCH_BYTES_MAX {
                    self.flush_batch();
                }
                Ok(())
            }
            None => self.make_topic(call, &send, bytes, ctx),
        }
    }

    /// Hands all sends that were gathered to the writer.
    pub(super) fn flush_batch(&mut self) {
        let Desk::Broker(desk) = &self.desk else { return };
        let Some(ways) = &self.ways else { return };
        if self.batch.puts.is_empty() {
            return;
        }
        let mut batch = std::mem::take(&mut self.batch);
        batch.taken_at = Some(self.heard_at);
        self.credit.appending_bytes += batch.bytes.len();
        desk.backlog_bytes.fetch_add(batch.bytes.len(), Ordering::Relaxed);
        desk.writer.do_send(Append { batch, reply: ways.append.clone() });
    }

    /// Keeps a small batch for the next sends, so that a busy connection allocates nothing.
    pub(super) fn recycle(&mut self, mut batch: Box<Batch>) {
        self.credit.appending_bytes = self.credit.appending_bytes.saturating_sub(batch.bytes.len());
        if self.batch.puts.is_empty() && batch.bytes.capacity() <= BATCH_BYTES_KEPT {
            batch.bytes.clear();
            batch.puts.clear();
            batch.keys.clear();
            batch.durable = false;
            batch.outcome = Outcome::Pending;
            self.batch = batch;
        }
    }

    /// Answers the sends of a batch that is done.
    pub(super) fn appended(&mut self, batch: &Batch) {
        let Desk::Broker(desk) = self.desk.clone() else { return };
        let metrics = &desk.doors.metrics;
        let now = Instant::now();
        let refusal = refusal_of(batch.outcome);
        if batch.outcome == Outcome::Stored {
            metrics.messages_put.add(batch.puts.len() as u64);
            metrics.bytes_put.add(batch.bytes.len() as u64);
            let waited = batch.taken_at.map_or(0, |at| now.duration_since(at).as_micros() as u64);
            metrics.put_latency.record(waited, batch.puts.len() as u64);
            metrics.put_time_max_us.raise_to(waited);
            if !desk.doors.extensions.listeners.is_empty() {
                self.tell_appended(batch);
            }
        } else {
            metrics.puts_failed.add(batch.puts.len() as u64);
        }
        let mut out = Vec::with_capacity(batch.puts.len() * 192);
        for puts in batch.puts.chunk_by(|a, b| a.token.call == b.token.call) {
            let call = Call::from_token(puts[0].token.call);
            if !call.oneway {
                self.write_send_answer(call, puts, (batch, refusal.as_ref()), &mut out);
            }
        }
        if out.is_empty() {
            return;
        }
        if self.credit.pulls > 0 {
            // A peer that sends and consumes over one connection is woken once for both.
            self.outbox.put_for_company(out.into());
            self.check_outbox();
        } else {
            self.send(&out, &[], now);
        }
    }

    fn write_send_answer(
        &self,
        call: Call,
        puts: &[Put],
        (batch, refusal): (&Batch, Option<&Refusal>),
        out: &mut Vec<u8>,
    ) {
        let Desk::Broker(desk) = &self.desk else { return };
        let rules = &desk.send_rules;
        let first = &puts[0];
        let head = NewHead {
            code: refusal.map_or(0, |refusal| refusal.code),
            language: REPLY_LANGUAGE,
            version: REPLY_VERSION,
            opaque: call.opaque,
            flag: FLAG_RESPONSE,
            remark: refusal.map(|refusal| refusal.remark.as_ref()),
        };
        let one;
        let all: String;
        let id: &str = if puts.len() == 1 {
            one = uniq_key::encode_offset_id(rules.store_host, first.at);
            &one
        } else {
            all = uniq_key::encode_offset_ids(rules.store_host, puts.iter().map(|put| put.at));
            &all
        };
        let record = batch.bytes.get(first.start as usize..).unwrap_or_default();
        let (from, length) = first.token.part;
        let transaction = record.get(from as usize..(from + length) as usize).unwrap_or_default();
        let answer = SendAnswer {
            region: &rules.region,
            trace_on: rules.trace_on,
            id,
            queue: first.token.queue,
            queue_offset: first.queue_offset,
            transaction: std::str::from_utf8(transaction).unwrap_or_default(),
        };
        let before = out.len();
        if let Err(error) = frame::encode(out, call.codec, &head, &answer, 0) {
            out.truncate(before);
            tracing::error!(%error, "the answer to a send has no wire form");
        }
    }

    fn take_pull(&mut self, call: Call, head: &Head<'_>, bytes: &[u8], ctx: &mut Context<Self>) -> Result<(), Refusal> {
        let Desk::Broker(desk) = self.desk.clone() else { return Err(not_served(head.code)) };
        let Some(ways) = &self.ways else { return Ok(()) };
        if self.credit.pulls >= PULLS_MAX {
            let remark = format!("{PULLS_MAX} pulls of this connection wait already");
            return Err(Refusal::new(ResponseCode::SystemBusy.number(), remark));
        }
        let header: PullMessageRequest<'_> = head.ext.decode()?;
        let pull = match Pull::check(head.code, &header, &desk.doors) {
            Ok(pull) => pull,
            Err(Missing::Refused(refusal)) => return Err(refusal),
            Err(Missing::Group(group)) => {
                self.make_group(call, group, bytes, ctx);
                return Ok(());
            }
        };
        let key = pull.key();
        if let Some(next) = pull.pending_reset(&key, &desk.doors) {
            self.answer_reset(call, next);
            return Ok(());
        }
        let Some(slot) = pull.entry.slot(pull.queue) else { return Ok(()) };
        if !pull.commits.is_empty() {
            desk.doors.offsets.owner.tell(Commits(pull.commits));
        }
        self.credit.pulls += 1;
        if !desk.doors.extensions.listeners.is_empty()
            && let Ok(group) = Group::new(&header.consumer_group)
        {
            self.credit.deliveries.insert(call.token(), (group, key.clone()));
        }
        let ask = Ask::Pull(PullAsk {
            from: pull.from,
            count: pull.count,
            wish: pull.wish,
            hold: pull.hold,
            token: call.token(),
            reply: ways.pulled.clone(),
        });
        desk.doors.log.queues_of(slot).do_send(ToQueue { slot, key, ask });
        Ok(())
    }

    /// Tells a consumer that an administrator moved its queue.
    fn answer_reset(&mut self, call: Call, next: u64) {
        let header = pull::reset_header(next);
        let response = Response { code: ResponseCode::PullOffsetMoved.number(), ..Response::header(header) };
        self.answer(call, &response.with_remark("OFFSET_RESET"));
    }

    pub(super) fn pulled(&mut self, pulled: &Pulled) {
        let Desk::Broker(desk) = self.desk.clone() else { return };
        let call = Call::from_token(pulled.token);
        if !self.credit.deliveries.is_empty() {
            self.tell_delivered(pulled);
        }
        let metrics = &desk.doors.metrics;
        let length: usize = pulled.records.iter().map(Bytes::len).sum();
        if pulled.messages > 0 {
            metrics.messages_got.add(u64::from(pulled.messages));
            metrics.bytes_got.add(length as u64);
            metrics.pulls_found.add(1);
        } else {
            metrics.pulls_missed.add(1);
        }
        let (code, remark, header) = pull::answer(pulled);
        let head = NewHead {
            code,
            language: REPLY_LANGUAGE,
            version: REPLY_VERSION,
            opaque: call.opaque,
            flag: FLAG_RESPONSE,
            remark: Some(remark),
        };
        let mut out = Vec::with_capacity(256);
        match frame::encode(&mut out, call.codec, &head, &header, length) {
            Ok(()) if self.credit.pulls > 0 => {
                // Pulls that came together are answered together: the peer reads once for all.
                self.outbox.put(std::iter::once(Bytes::from(out)).chain(pulled.records.iter().cloned()));
                self.check_outbox();
            }
            Ok(()) => self.send(&out, &pulled.records, Instant::now()),
            Err(error) => tracing::error!(%error, "the answer to a pull has no wire form"),
        }
    }
}

fn not_served(code: i32) -> Refusal {
    Refusal::new(ResponseCode::RequestCodeNotSupported.number(), format!(" request type {code} not supported"))
}
