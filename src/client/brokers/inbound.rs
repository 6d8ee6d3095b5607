//! What brokers ask of this client, and replies of other clients that come by way of them.

use actix::prelude::*;
use rustc_hash::FxHashMap;
use tokio::sync::oneshot;

use super::Brokers;
use crate::client::consume::push_consumer::inquiries::Inquiry;
use crate::client::consume::received::ReceivedMessage;
use crate::protocol::code::{RequestCode, ResponseCode};
use crate::protocol::header::clients::NotifyConsumerIdsChangedRequest;
use crate::protocol::header::send::ReplyMessageRequest;
use crate::protocol::properties::CORRELATION_ID;
use crate::remoting::channel::PeerRequest;

/// From the connections: a broker asks us something.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Asked(pub(super) PeerRequest);

/// From a consumer that joined: it answers for its group.
#[derive(Message)]
#[rtype(result = "()")]
pub(in crate::client) struct Serve {
    pub(in crate::client) group: String,
    pub(in crate::client) inquiries: Recipient<Inquiry>,
}

/// From a producer that is about to ask another client: whoever replies to this waits here.
#[derive(Message)]
#[rtype(result = "()")]
pub(in crate::client) struct AwaitReply {
    pub(in crate::client) correlation: String,
    pub(in crate::client) reply: oneshot::Sender<ReceivedMessage>,
}

/// From a producer that has its reply, or waits no longer.
#[derive(Message)]
#[rtype(result = "()")]
pub(in crate::client) struct ForgetReply(pub(in crate::client) String);

/// Requests to other clients that wait for a reply, by what tells them apart.
pub(super) type Questions = FxHashMap<String, oneshot::Sender<ReceivedMessage>>;

impl Brokers {
    fn asked(&mut self, request: PeerRequest) {
        match RequestCode::from_number(request.code) {
            RequestCode::NotifyConsumerIdsChanged => {
                let Ok(notice) = request.ext.decode::<NotifyConsumerIdsChangedRequest>() else {
                    return;
                };
                self.membership.notice(&notice.consumer_group);
            }
            RequestCode::ResetConsumerClientOffset | RequestCode::GetConsumerStatusFromClient => {
                self.inquire("group", request);
            }
            RequestCode::GetConsumerRunningInfo | RequestCode::ConsumeMessageDirectly => {
                self.inquire("consumerGroup", request);
            }
            RequestCode::CheckTransactionState => self.membership.question(request),
            RequestCode::PushReplyMessageToClient => self.replied(&request),
            other => {
                let remark = format!("this client does not serve {other}");
                refuse(&request, ResponseCode::RequestCodeNotSupported, &remark);
            }
        }
    }

    /// Passes a question on to the consumer of the group that a field of it names.
    fn inquire(&self, field: &str, request: PeerRequest) {
        let group = request.ext.field(field).unwrap_or_default().into_owned();
        match self.membership.inquiries(&group) {
            Some(inquiries) => inquiries.do_send(Inquiry(request)),
            None => {
                let remark = format!("The Consumer Group <{group}> not exist in this consumer");
                refuse(&request, ResponseCode::SystemError, &remark);
            }
        }
    }

    fn replied(&mut self, request: &PeerRequest) {
        let header = match request.ext.decode::<ReplyMessageRequest>() {
            Ok(header) => header,
            Err(error) => return refuse(request, ResponseCode::SystemError, &error.to_string()),
        };
        let message = ReceivedMessage::reply(&header, &request.body);
        let waiting = message.property(CORRELATION_ID).and_then(|of| self.questions.remove(of));
        match waiting {
            // Who asked may have given up.
            Some(reply) => drop(reply.send(message)),
            None => {
                tracing::debug!(from = %message.born_host, "a reply to nothing that was asked, or one that came late")
            }
        }
        // RocketMQ's clients too take replies that nobody waits for.
        drop(request.answer(ResponseCode::Success.number(), None, &(), b""));
    }
}

fn refuse(request: &PeerRequest, code: ResponseCode, remark: &str) {
    // When the answer cannot be sent the broker's own time-out tells it.
    drop(request.answer(code.number(), Some(remark), &(), b""));
}

impl Handler<Asked> for Brokers {
    type Result = ();

    fn handle(&mut self, Asked(request): Asked, _: &mut Context<Self>) {
        self.asked(request);
    }
}

impl Handler<Serve> for Brokers {
    type Result = ();

    fn handle(&mut self, serve: Serve, _: &mut Context<Self>) {
        self.membership.serve(&serve.group, serve.inquiries);
    }
}

impl Handler<AwaitReply> for Brokers {
    type Result = ();

    fn handle(&mut self, wait: AwaitReply, _: &mut Context<Self>) {
        self.questions.insert(wait.correlation, wait.reply);
    }
}

impl Handler<ForgetReply> for Brokers {
    type Result = ();

    fn handle(&mut self, ForgetReply(correlation): ForgetReply, _: &mut Context<Self>) {
        self.questions.remove(&correlation);
    }
}
