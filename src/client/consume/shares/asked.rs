//! What administrators want of a consumer's queues: to know how each stands, and to go on elsewhere.

use std::sync::Arc;

use actix::prelude::*;
use futures_util::future::join_all;

use super::Shares;
use crate::client::consume::queue_reader::{Figures, Look, Seek};
use crate::protocol::body::running::ProcessQueueInfo;
use crate::rules::assignment::MessageQueue;

/// How does each queue stand?
#[derive(Message)]
#[rtype(result = "Vec<Standing>")]
pub(in crate::client) struct Standings;

/// How a queue stands.
#[derive(Debug)]
pub(in crate::client) struct Standing {
    pub(in crate::client) queue: MessageQueue,
    pub(in crate::client) info: ProcessQueueInfo,
    pub(in crate::client) figures: Figures,
}

/// Go on at these offsets. Queues that are not read here are passed over.
#[derive(Message)]
#[rtype(result = "()")]
pub(in crate::client) struct ResetTo(pub(in crate::client) Vec<(MessageQueue, i64)>);

impl Handler<Standings> for Shares {
    type Result = ResponseFuture<Vec<Standing>>;

    fn handle(&mut self, _: Standings, _: &mut Context<Self>) -> Self::Result {
        let looks = self.held.iter().map(|(queue, held)| {
            let (queue, look) = (queue.clone(), held.reader.as_ref().map(|reader| reader.send(Look)));
            let progress = Arc::clone(&held.progress);
            async move {
                let (mut info, figures) = match look {
                    // A reader that ended meanwhile has nothing to tell any more.
                    Some(look) => look.await.unwrap_or_default(),
                    None => Default::default(),
                };
                info.commit_offset = progress.committable().unwrap_or(-1);
                Standing { queue, info, figures }
            }
        });
        Box::pin(join_all(looks.collect::<Vec<_>>()))
    }
}

impl Handler<ResetTo> for Shares {
    type Result = ();

    fn handle(&mut self, ResetTo(offsets): ResetTo, ctx: &mut Context<Self>) {
        for (queue, offset) in offsets {
            let Some(held) = self.held.get(&queue) else { continue };
            if let Some(reader) = &held.reader {
                tracing::info!(%queue, offset, "an administrator has the group go on elsewhere");
                held.progress.set(offset);
                reader.do_send(Seek(offset));
            }
        }
        self.commit(ctx);
    }
}
