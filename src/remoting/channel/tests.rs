//! A hand-made peer at the other end of a real socket.

use bytes::BytesMut;
use futures_util::future::join_all;
use futures_util::poll;
use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::*;
use crate::protocol::frame::{self, FLAG_RESPONSE, Frame, FrameError, NewHead};

const LONG: Duration = Duration::from_secs(20);

#[derive(Serialize, Deserialize, Debug, PartialEq)]
struct Probe {
    topic: String,
}

fn probe(topic: &str) -> Probe {
    Probe { topic: topic.into() }
}

/// What the peer saw of one request.
#[derive(Debug)]
struct Seen {
    code: i32,
    opaque: i32,
    oneway: bool,
    codec: Codec,
    topic: String,
    body: Vec<u8>,
}

struct Peer {
    socket: TcpStream,
    buffer: BytesMut,
}

impl Peer {
    async fn next(&mut self) -> Option<Seen> {
        loop {
            if let Some(length) = frame::length(&self.buffer).unwrap()
                && length <= self.buffer.len()
            {
                let bytes = self.buffer.split_to(length);
                let frame = Frame::cut(&bytes).unwrap();
                let head = frame.head().unwrap();
                return Some(Seen {
                    code: head.code,
                    opaque: head.opaque,
                    oneway: head.is_oneway(),
                    codec: frame.codec,
                    topic: head.ext.field("topic").unwrap_or_default().into_owned(),
                    body: frame.body.to_vec(),
                });
            }
            if self.socket.read_buf(&mut self.buffer).await.unwrap() == 0 {
                return None;
            }
        }
    }

    async fn send(&mut self, code: i32, opaque: i32, flag: i32, body: &[u8]) {
        self.socket.write_all(&framed((code, opaque, flag), body)).await.unwrap();
    }

    async fn answer(&mut self, seen: &Seen) {
        self.send(0, seen.opaque, FLAG_RESPONSE, &seen.body).await;
    }
}

fn framed((code, opaque, flag): (i32, i32, i32), body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let head = NewHead { code, language: 0, version: 513, opaque, flag, remark: Some("so") };
    frame::encode(&mut out, Codec::Json, &head, &probe("T"), body.len()).unwrap();
    out.extend_from_slice(body);
    out
}

/// Lets many answers come in one read; from then on the next request leads.
async fn answer_many_together(channel: &Channel, peer: &mut Peer) {
    let asking = join_all((0..8).map(|_| channel.request(10, &(), b"", LONG)));
    let (replies, ()) = tokio::join!(asking, async {
        let mut together = Vec::new();
        for _ in 0..8 {
            together.extend(framed((0, peer.next().await.unwrap().opaque, FLAG_RESPONSE), b""));
        }
        peer.socket.write_all(&together).await.unwrap();
    });
    assert!(replies.iter().all(Result::is_ok));
}

/// Bytes that wait for whoever leads.
fn waiting_bytes(channel: &Channel) -> usize {
    channel.owner.0.state().outbound.bytes()
}

async fn pair_with(options: ChannelOptions) -> (Channel, Peer) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (channel, accepted) = tokio::join!(Channel::connect(&address, options), listener.accept());
    (channel.unwrap(), Peer { socket: accepted.unwrap().0, buffer: BytesMut::new() })
}

async fn pair() -> (Channel, Peer) {
    pair_with(ChannelOptions::default()).await
}

#[tokio::test]
async fn answers_out_of_order_find_their_askers() {
    let (channel, mut peer) = pair().await;
    let asking = async {
        let ask = |n: u8| {
            let channel = channel.clone();
            async move { channel.request(105, &probe("T"), &[n], LONG).await }
        };
        let (a, b, c) = tokio::join!(ask(1), ask(2), ask(3));
        [a, b, c].map(|reply| reply.unwrap())
    };
    let answering = async {
        let mut seen = Vec::new();
        for _ in 0..3 {
            seen.push(peer.next().await.unwrap());
        }
        for one in seen.iter().rev() {
            peer.answer(one).await;
        }
        seen
    };
    let (replies, seen) = tokio::join!(asking, answering);
    assert!(seen.iter().all(|s| s.code == 105 && s.topic == "T" && s.codec == Codec::Binary && !s.oneway));
    for (reply, n) in replies.iter().zip(1u8..) {
        assert_eq!((reply.code, &reply.body[..], reply.version), (0, &[n][..], 513));
        assert_eq!(reply.remark.as_deref(), Some("so"));
        assert_eq!(reply.header::<Probe>().unwrap(), probe("T"));
    }
}

#[tokio::test]
async fn a_late_answer_hurts_nobody() {
    let (channel, mut peer) = pair().await;
    let error = channel.request(10, &(), b"", Duration::from_millis(20)).await.unwrap_err();
    assert!(matches!(error, ChannelError::Timeout { code: 10, .. }), "{error}");
    assert!(error.may_have_arrived());
    let late = peer.next().await.unwrap();
    let (reply, ()) = tokio::join!(channel.request(11, &(), b"second", LONG), async {
        let second = peer.next().await.unwrap();
        peer.answer(&late).await;
        peer.answer(&second).await;
    });
    assert_eq!(&reply.unwrap().body[..], b"second");
}

#[tokio::test]
async fn large_bodies_pass_both_ways() {
    let (channel, mut peer) = pair().await;
    let body = (0..3_000_000u32).map(|n| n as u8).collect::<Vec<_>>();
    let (reply, ()) = tokio::join!(channel.request(10, &(), &body, LONG), async {
        let seen = peer.next().await.unwrap();
        peer.answer(&seen).await;
    });
    assert!(reply.unwrap().body == body);
    let error = channel.request(10, &(), &vec![0; frame::FRAME_BYTES_MAX], LONG).await.unwrap_err();
    assert!(matches!(error, ChannelError::TooLong { .. }));
    assert_eq!(channel.ended(), None);
}

#[tokio::test]
async fn a_malformed_or_oversized_answer_ends_the_channel_for_all_who_wait() {
    let broken = [&[0, 0, 0, 4, 9, 0, 0, 0][..], &[0xff; 8], &[0, 0, 0, 1], &[0, 0, 0, 8, 1, 0, 0, 200, 0, 0, 0, 0]];
    for bytes in broken {
        let (channel, mut peer) = pair().await;
        let (one, two, ()) =
            tokio::join!(channel.request(10, &(), b"", LONG), channel.request(10, &(), b"", LONG), async {
                peer.next().await.unwrap();
                peer.socket.write_all(bytes).await.unwrap();
                // The channel closes the socket by itself.
                while peer.next().await.is_some() {}
            });
        assert!(matches!(one, Err(ChannelError::Broken { .. })), "{one:?}");
        assert_eq!(one, two);
        assert_eq!(channel.ended(), one.err());
    }
    assert!(matches!(frame::length(&[0xff; 8]), Err(FrameError::TooLong { .. })));
}

#[tokio::test]
async fn a_peer_that_goes_away_fails_what_waits_and_what_comes() {
    let (channel, mut peer) = pair().await;
    let (reply, ()) = tokio::join!(channel.request(10, &(), b"", LONG), async move {
        peer.next().await.unwrap();
    });
    assert!(matches!(reply, Err(ChannelError::Lost { .. })), "{reply:?}");
    channel.wait_until_ended().await;
    assert_eq!(channel.request(10, &(), b"", LONG).await, reply);
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
    let refused = Channel::connect(&free, ChannelOptions::default()).await.unwrap_err();
    assert!(matches!(refused, ChannelError::Connect { .. }) && !refused.may_have_arrived(), "{refused}");
}

#[tokio::test]
async fn a_dropped_request_forgets_its_opaque_and_frees_its_turn() {
    let (channel, mut peer) = pair_with(ChannelOptions { requests_max: 1, ..ChannelOptions::default() }).await;
    {
        let first = channel.request(1, &(), b"", LONG);
        tokio::pin!(first);
        tokio::select! {
            _ = &mut first => panic!("nobody answered"),
            seen = peer.next() => assert_eq!(seen.unwrap().code, 1),
        }
        let second = channel.request(2, &(), b"", Duration::from_millis(20)).await;
        assert!(matches!(second, Err(ChannelError::Timeout { code: 2, .. })), "it waits for its turn");
    }
    let (third, ()) = tokio::join!(channel.request(3, &(), b"", LONG), async {
        let seen = peer.next().await.unwrap();
        assert_eq!(seen.code, 3, "the second never left");
        peer.answer(&seen).await;
    });
    assert_eq!(third.unwrap().code, 0);
}

#[tokio::test]
async fn a_peer_that_does_not_read_is_waited_for_within_bounds() {
    let (channel, mut peer) = pair_with(ChannelOptions { outbound_bytes_max: 1000, ..Default::default() }).await;
    let body = vec![7; 1024 * 1024];
    let mut queued = 0;
    let error = loop {
        match channel.oneway(15, &(), &body, Duration::from_millis(50)).await {
            Ok(()) => queued += 1,
            Err(error) => break error,
        }
        assert!(queued < 64, "the outbound buffer has no bound");
    };
    assert!(matches!(error, ChannelError::Timeout { code: 15, .. }), "{error}");
    for _ in 0..queued {
        assert!(peer.next().await.unwrap().oneway);
    }
    channel.oneway(15, &(), &body, LONG).await.unwrap();
}

#[tokio::test]
async fn what_the_peer_asks_is_delivered_and_answered() {
    let (inbound, mut asked) = mpsc::channel(1);
    let (channel, mut peer) = pair_with(ChannelOptions { inbound: Some(inbound), ..Default::default() }).await;
    peer.send(307, 91, 0, b"who").await;
    let request = asked.recv().await.unwrap();
    assert_eq!((request.code, &request.body[..]), (307, &b"who"[..]));
    assert_eq!(request.ext.field("topic").as_deref(), Some("T"));
    request.answer(0, None, &probe("me"), b"I").unwrap();
    let answer = peer.next().await.unwrap();
    assert_eq!((answer.code, answer.opaque, answer.codec), (0, 91, Codec::Json));
    assert_eq!((answer.topic.as_str(), &answer.body[..]), ("me", &b"I"[..]));
    // A full queue drops, and the connection goes on.
    for opaque in 0..3 {
        peer.send(40, opaque, frame::FLAG_ONEWAY, b"").await;
    }
    let (reply, ()) = tokio::join!(channel.request(1, &(), b"", LONG), async {
        let seen = peer.next().await.unwrap();
        peer.answer(&seen).await;
    });
    assert!(reply.is_ok());
    assert_eq!(asked.recv().await.unwrap().code, 40);
    assert!(asked.try_recv().is_err());
}

#[tokio::test]
async fn codes_beyond_the_binary_codec_go_as_json() {
    let (channel, mut peer) = pair().await;
    channel.oneway(200_050, &probe("T"), b"", LONG).await.unwrap();
    channel.speak(Codec::MessagePack);
    channel.oneway(200_050, &probe("T"), b"", LONG).await.unwrap();
    let (json, packed) = (peer.next().await.unwrap(), peer.next().await.unwrap());
    assert_eq!((json.code, json.codec), (200_050, Codec::Json));
    assert_eq!((packed.code, packed.codec, packed.topic.as_str()), (200_050, Codec::MessagePack, "T"));
}

#[tokio::test]
async fn closing_lets_what_is_queued_leave() {
    let (channel, mut peer) = pair().await;
    let body = vec![1; 500_000];
    channel.oneway(15, &(), &body, LONG).await.unwrap();
    let ((), seen) = tokio::join!(channel.close(), async {
        let seen = peer.next().await.unwrap();
        assert!(peer.next().await.is_none());
        seen
    });
    assert_eq!(seen.body.len(), 500_000);
    assert!(matches!(channel.request(1, &(), b"", LONG).await, Err(ChannelError::Closed { .. })));
}

#[tokio::test]
async fn the_last_handle_ends_the_connection() {
    let (channel, mut peer) = pair().await;
    let clone = channel.clone();
    drop(channel);
    clone.oneway(15, &(), b"", LONG).await.unwrap();
    assert_eq!(peer.next().await.unwrap().code, 15);
    drop(clone);
    assert!(peer.next().await.is_none());
}

#[tokio::test]
async fn a_channel_without_traffic_ends() {
    let idle_after = Duration::from_millis(40);
    let (channel, _peer) = pair_with(ChannelOptions { idle_after, ..Default::default() }).await;
    let started = tokio::time::Instant::now();
    channel.wait_until_ended().await;
    assert!(matches!(channel.ended(), Some(ChannelError::Idle { .. })));
    assert!(started.elapsed() >= idle_after / 2);
}

#[test]
fn a_runtime_that_goes_away_fails_what_waits_elsewhere() {
    let build = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (driver, other) = (build(), build());
    let (channel, mut peer) = driver.block_on(pair());
    let waiting = channel.clone();
    let asker = std::thread::spawn(move || other.block_on(waiting.request(1, &(), b"", LONG)));
    assert_eq!(driver.block_on(peer.next()).unwrap().code, 1);
    drop(driver);
    assert!(matches!(asker.join().unwrap(), Err(ChannelError::Closed { .. })));
    drop(peer);
}

#[tokio::test]
async fn a_leader_that_nobody_polls_holds_nobody_back() {
    let (channel, mut peer) = pair().await;
    answer_many_together(&channel, &mut peer).await;
    let leader = channel.begin(10, &(), b"leader", Patience::of(LONG)).unwrap().unwrap();
    assert!(waiting_bytes(&channel) > 0, "it leads");
    let (follower, ()) = tokio::join!(channel.request(10, &(), b"follower", LONG), async {
        for _ in 0..2 {
            let seen = peer.next().await.unwrap();
            peer.answer(&seen).await;
        }
    });
    assert_eq!(&follower.unwrap().body[..], b"follower");
    assert_eq!(&leader.await.unwrap().body[..], b"leader");
}

#[tokio::test]
async fn a_leader_that_is_dropped_writes_for_all() {
    let (channel, mut peer) = pair().await;
    answer_many_together(&channel, &mut peer).await;
    let leader = channel.begin(10, &(), b"leader", Patience::of(LONG)).unwrap().unwrap();
    let follower = channel.begin(10, &(), b"follower", Patience::of(LONG)).unwrap().unwrap();
    assert!(waiting_bytes(&channel) > 0, "it leads");
    drop(leader);
    assert_eq!(waiting_bytes(&channel), 0);
    for body in [b"leader".as_slice(), b"follower"] {
        let seen = peer.next().await.unwrap();
        assert_eq!(seen.body, body);
        peer.answer(&seen).await;
    }
    assert_eq!(&follower.await.unwrap().body[..], b"follower");
}

#[tokio::test]
async fn an_answer_that_came_before_the_end_is_heard_after_it() {
    let (channel, mut peer) = pair().await;
    let mut under_way = channel.begin(10, &(), b"x", Patience::of(LONG)).unwrap().unwrap();
    let other = channel.begin(10, &(), b"y", Patience::of(LONG)).unwrap().unwrap();
    assert!(poll!(&mut under_way).is_pending());
    let seen = peer.next().await.unwrap();
    peer.answer(&seen).await;
    drop(peer);
    channel.wait_until_ended().await;
    assert_eq!(under_way.await.unwrap().body, "x");
    assert!(matches!(other.await, Err(ChannelError::Lost { .. })));
}

#[tokio::test]
async fn a_leader_waits_as_long_as_others_join() {
    let (channel, mut peer) = pair().await;
    answer_many_together(&channel, &mut peer).await;
    let begin = |body| channel.begin(10, &(), body, Patience::of(LONG)).unwrap().unwrap();
    let mut leader = begin(b"leader");
    assert!(poll!(&mut leader).is_pending());
    let first = begin(b"first");
    assert!(poll!(&mut leader).is_pending() && waiting_bytes(&channel) > 0, "one has joined");
    assert!(poll!(&mut leader).is_pending() && waiting_bytes(&channel) == 0, "nobody has joined since");
    let mut next = begin(b"next");
    assert!(poll!(&mut leader).is_pending() && waiting_bytes(&channel) > 0, "those are not its own");
    assert!(poll!(&mut next).is_pending() && poll!(&mut next).is_pending() && waiting_bytes(&channel) == 0);
    let answering = async {
        for _ in 0..3 {
            let seen = peer.next().await.unwrap();
            peer.answer(&seen).await;
        }
    };
    let (replies, ()) = tokio::join!(join_all([leader, first, next]), answering);
    assert!(replies.iter().zip(["leader", "first", "next"]).all(|(reply, body)| reply.as_ref().unwrap().body == body));
}

#[tokio::test]
async fn half_of_those_under_way_leave_before_the_rest() {
    let (channel, mut peer) = pair().await;
    answer_many_together(&channel, &mut peer).await;
    let begin = || channel.begin(10, &(), b"x", Patience::of(LONG)).unwrap().unwrap();
    let mut under_way: Vec<_> = (0..31).map(|_| begin()).collect();
    assert!(waiting_bytes(&channel) > 0, "too few for two halves");
    under_way.push(begin());
    assert_eq!(waiting_bytes(&channel), 0);
    under_way.extend((0..31).map(|_| begin()));
    assert!(waiting_bytes(&channel) > 0, "less than half of all");
    under_way.push(begin());
    assert_eq!(waiting_bytes(&channel), 0);
    let answering = async {
        for _ in 0..64 {
            let seen = peer.next().await.unwrap();
            peer.answer(&seen).await;
        }
    };
    let (replies, ()) = tokio::join!(join_all(under_way), answering);
    assert!(replies.iter().all(Result::is_ok));
}

#[tokio::test]
async fn who_leaves_word_hears_once_of_an_answer_of_silence_and_of_the_end() {
    let (channel, mut peer) = pair().await;
    let (tell, mut told) = mpsc::unbounded_channel();
    let ask = |wait| {
        let tell = tell.clone();
        let word = move |reply: Result<Reply, ChannelError>| tell.send(reply.map(|reply| reply.body)).unwrap();
        assert!(channel.begin_and_tell(10, &(), b"x", Patience::of(wait), word).unwrap());
    };
    ask(LONG);
    let seen = peer.next().await.unwrap();
    peer.answer(&seen).await;
    assert_eq!(told.recv().await.unwrap().unwrap(), "x");
    ask(Duration::from_millis(20));
    assert!(matches!(told.recv().await.unwrap(), Err(ChannelError::Timeout { code: 10, .. })));
    ask(LONG);
    drop(peer);
    assert!(matches!(told.recv().await.unwrap(), Err(ChannelError::Lost { .. })));
    assert!(channel.begin_and_tell(10, &(), b"x", Patience::of(LONG), |_| panic!("it never left")).is_err());
    assert!(told.try_recv().is_err());
}

#[tokio::test]
async fn who_leaves_word_takes_a_turn_and_gives_it_back() {
    let (channel, mut peer) = pair_with(ChannelOptions { requests_max: 1, ..Default::default() }).await;
    for _ in 0..3 {
        let (tell, told) = tokio::sync::oneshot::channel();
        let word = move |reply: Result<Reply, ChannelError>| tell.send(reply.is_ok()).unwrap();
        assert!(channel.begin_and_tell(10, &(), b"x", Patience::of(LONG), word).unwrap());
        assert!(!channel.begin_and_tell(10, &(), b"x", Patience::of(LONG), |_| panic!("no turn")).unwrap());
        let seen = peer.next().await.unwrap();
        peer.answer(&seen).await;
        assert!(told.await.unwrap());
    }
}

#[tokio::test]
async fn a_request_waits_for_its_like_as_long_as_answers_wait_to_be_fetched() {
    let (channel, mut peer) = pair().await;
    let mut asking = join_all((0..8).map(|_| channel.request(10, &(), b"", LONG)));
    assert!(poll!(&mut asking).is_pending());
    let mut opaques = Vec::new();
    for _ in 0..8 {
        opaques.push(peer.next().await.unwrap().opaque);
    }
    let unfetched = || channel.owner.0.state().askers.unfetched();
    // The last comes in a read of its own.
    for (opaques, heard) in [(&opaques[..7], 7), (&opaques[7..], 8)] {
        let together: Vec<_> = opaques.iter().flat_map(|opaque| framed((0, *opaque, FLAG_RESPONSE), b"")).collect();
        peer.socket.write_all(&together).await.unwrap();
        while unfetched() < heard {
            tokio::task::yield_now().await;
        }
    }
    let leader = channel.begin(10, &(), b"leader", Patience::of(LONG)).unwrap().unwrap();
    assert!(waiting_bytes(&channel) > 0, "it leads");
    assert!(asking.await.iter().all(Result::is_ok));
    drop(leader);
}

#[tokio::test]
async fn whoever_leaves_word_in_a_leaders_place_has_the_next_leader_watched() {
    let (channel, mut peer) = pair().await;
    answer_many_together(&channel, &mut peer).await;
    let (tell, told) = tokio::sync::oneshot::channel();
    let word = move |reply: Result<Reply, ChannelError>| tell.send(reply.is_ok()).unwrap();
    assert!(channel.begin_and_tell(10, &(), b"word", Patience::of(LONG), word).unwrap());
    assert_eq!(waiting_bytes(&channel), 0, "nobody is left who could yield");
    let leader = channel.begin(10, &(), b"leader", Patience::of(LONG)).unwrap().unwrap();
    assert!(waiting_bytes(&channel) > 0, "it leads");
    let (follower, ()) = tokio::join!(channel.request(10, &(), b"follower", LONG), async {
        for _ in 0..3 {
            let seen = peer.next().await.unwrap();
            peer.answer(&seen).await;
        }
    });
    assert_eq!(&follower.unwrap().body[..], b"follower");
    assert!(told.await.unwrap());
    assert_eq!(&leader.await.unwrap().body[..], b"leader");
}

#[tokio::test]
async fn what_threads_queue_at_once_all_leaves_and_all_is_answered() {
    let (channel, mut peer) = pair().await;
    let threads: Vec<_> = (0..4u8)
        .map(|thread| {
            let channel = channel.clone();
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
                runtime.block_on(async {
                    for round in 0..50u8 {
                        let asked = (0..16u8).map(|n| [thread, round, n]);
                        let ask = async |body: [u8; 3]| (body, channel.request(10, &(), &body, LONG).await.unwrap());
                        for (body, reply) in join_all(asked.map(ask)).await {
                            assert_eq!(reply.body[..], body);
                        }
                    }
                });
            })
        })
        .collect();
    for _ in 0..4 * 50 * 16 {
        let seen = peer.next().await.unwrap();
        peer.answer(&seen).await;
    }
    let joined = tokio::task::spawn_blocking(|| threads.into_iter().try_for_each(std::thread::JoinHandle::join));
    joined.await.unwrap().unwrap();
}
