//! Whatever a peer sends, it gets RocketMQ's error code with a remark, or loses its connection; another connection goes
//! on working throughout.

mod support;

use std::time::{Duration, Instant};

use actormq::protocol::frame::{self, Codec, NewHead};
use actormq::protocol::header::pull::PullMessageRequest;
use actormq::protocol::header::send::SendMessageRequestV2;
use support::{
    Answered, Client, PATIENCE, Server, batch_body, fields, long_send, patient_pull, pull, short_send, topic_fields,
};
use tokio::io::AsyncWriteExt;

/// A client that has nothing to do with the bad ones.
struct Bystander {
    client: Client,
    sent: i64,
}

impl Bystander {
    async fn new(server: &Server) -> Self {
        let mut client = server.client().await;
        client.make_topic("Calm", "1").await;
        Self { client, sent: 0 }
    }

    /// Its messages go in and come out as ever.
    async fn works(&mut self) {
        assert_eq!(self.client.send("Calm", 0, "", "calm").await, self.sent);
        let answer = self.client.ask(11, &pull("Calm", 0, self.sent), b"").await;
        assert_eq!((answer.code, answer.bodies()), (0, vec!["calm".to_owned()]));
        self.sent += 1;
    }
}

/// A frame whose lengths are right, whatever its header is.
fn raw(codec: u8, header: &[u8], body: &[u8]) -> Vec<u8> {
    let mut bytes = ((4 + header.len() + body.len()) as u32).to_be_bytes().to_vec();
    bytes.extend((u32::from(codec) << 24 | header.len() as u32).to_be_bytes());
    bytes.extend(header);
    bytes.extend(body);
    bytes
}

/// Sends bytes after which the connection must end. The server may end it before it took all of them.
async fn ends(server: &Server, bytes: &[u8]) {
    let mut client = server.client().await;
    let _ = client.socket.write_all(bytes).await;
    client.is_hung_up().await;
}

/// The answer to a JSON header whose request number is 1.
async fn answer(client: &mut Client, header: &str, body: &[u8]) -> Answered {
    client.socket.write_all(&raw(0, header.as_bytes(), body)).await.unwrap();
    client.answer(1).await
}

#[actix::test]
async fn frames_that_lie_about_their_length_end_the_connection() {
    let server = Server::start().await;
    let mut bystander = Bystander::new(&server).await;
    let lies: [&[u8]; 8] = [
        &[0, 0, 0, 0],
        &[0, 0, 0, 3, 0, 0, 0],
        &[0xFF, 0xFF, 0xFF, 0xFF],
        &[0x80, 0, 0, 0, 0, 0, 0, 0],
        // Longer than any frame may be, by one.
        &(frame::FRAME_BYTES_MAX as u32 - 3).to_be_bytes(),
        // The header is longer than the frame.
        &[0, 0, 0, 8, 0, 0, 0, 5, b'{', b'}', b'{', b'}'],
        &[0, 0, 0, 4, 0, 0xFF, 0xFF, 0xFF],
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ];
    for lie in lies {
        ends(&server, lie).await;
        bystander.works().await;
    }
    server.stop().await;
}

#[actix::test]
async fn unknown_codecs_and_broken_headers_end_the_connection() {
    let server = Server::start().await;
    let mut bystander = Bystander::new(&server).await;
    for codec in [3, 4, 127, 255] {
        ends(&server, &raw(codec, b"{\"code\":10}", b"")).await;
    }
    let json: [&[u8]; 9] = [
        b"",
        b"{",
        b"[]",
        b"null",
        b"{\"code\":10",
        b"{\"code\":\"ten\"}",
        b"{\"code\":10,\"extFields\":[1]}",
        b"{\"code\":10,\"extFields\":{\"a\":}}",
        &[b'{', b'"', 0xFF, 0xFE, b'"', b':', b'1', b'}'],
    ];
    for header in json {
        ends(&server, &raw(0, header, b"")).await;
    }
    let mut whole = Vec::new();
    let head = NewHead { code: 105, language: 0, version: 513, opaque: 1, flag: 0, remark: Some("remark") };
    frame::encode(&mut whole, Codec::Binary, &head, &fields(&[("topic", "T")]), 0).unwrap();
    let binary = &whole[8..];
    for length in 0..binary.len() {
        ends(&server, &raw(1, &binary[..length], b"")).await;
    }
    // Lengths of the remark, of all ext fields, of a name and of a value, each beyond what there is and negative.
    for (at, lie) in [13, 23, 27, 34].into_iter().flat_map(|at| [(at, 0x7F), (at, 0xFF)]) {
        let mut header = binary.to_vec();
        header[at] = lie;
        ends(&server, &raw(1, &header, b"")).await;
    }
    bystander.works().await;
    let message_pack: [&[u8]; 6] = [
        b"",
        &[0xC0],
        &[0x96, 10],
        &[0x92, 10, 0],
        // A remark and an array that claim four gibibytes.
        &[0x96, 10, 0, 0, 1, 0, 0xDB, 0xFF, 0xFF, 0xFF, 0xFF, b'x'],
        &[0xDD, 0xFF, 0xFF, 0xFF, 0xFF],
    ];
    for header in message_pack {
        ends(&server, &raw(2, header, b"")).await;
    }
    bystander.works().await;
    server.stop().await;
}

#[actix::test]
async fn json_bombs_are_refused() {
    let server = Server::start().await;
    let mut bystander = Bystander::new(&server).await;
    let deep = |open: &str, close: &str| open.repeat(200_000) + &close.repeat(200_000);
    for bomb in [deep("[", "]"), deep("{\"a\":", "}"), "[".repeat(500_000)] {
        ends(&server, &raw(0, format!("{{\"code\":105,\"extFields\":{{\"a\":{bomb}}}}}").as_bytes(), b"")).await;
        let mut client = server.client().await;
        for code in [34, 18, 103] {
            let refused = client.ask(code, &fields(&[]), bomb.as_bytes()).await;
            assert!(refused.code != 0 && !refused.remark().is_empty(), "{code}: {:?}", refused.code);
            assert!(refused.remark().len() < 4096, "{} bytes of remark", refused.remark().len());
        }
        bystander.works().await;
    }
    // Many small elements, which take far more room in memory than on the wire.
    let wide = format!("[{}0]", "0,".repeat(5_000_000));
    let many = format!("{{\"clientID\":\"c\",\"producerDataSet\":{wide}}}");
    let refused = server.client().await.ask(34, &fields(&[]), many.as_bytes()).await;
    assert!(refused.code != 0, "{refused:?}");
    bystander.works().await;
    let mut packed = vec![0x96, 105, 0, 0, 1, 0, 0xC0, 0x81, 0xA5, b't', b'o', b'p', b'i', b'c'];
    packed.extend(std::iter::repeat_n(0x91, 100_000));
    let mut client = server.client().await;
    for code in [11, 30, 105] {
        packed[1] = code;
        client.socket.write_all(&raw(2, &packed, b"")).await.unwrap();
        let refused = client.answer(1).await;
        assert!(refused.code != 0, "{refused:?}");
    }
    bystander.works().await;
    server.stop().await;
}

#[actix::test]
async fn missing_and_absurd_fields_are_named() {
    let server = Server::start().await;
    let mut bystander = Bystander::new(&server).await;
    for codec in [Codec::Json, Codec::Binary] {
        let mut client = server.client().await.with_codec(codec);
        // Code, a field that is needed, fields that are there.
        let missing = [
            (310, "a", fields(&[("b", "Calm"), ("e", "0")])),
            (10, "topic", fields(&[("producerGroup", "p"), ("queueId", "0")])),
            (11, "topic", fields(&[("consumerGroup", "g"), ("queueId", "0")])),
            (30, "queueId", fields(&[("topic", "Calm")])),
            (14, "consumerGroup", fields(&[("topic", "Calm"), ("queueId", "0")])),
            (12, "key", fields(&[("topic", "Calm")])),
        ];
        for (code, name, header) in missing {
            let refused = client.ask(code, &header, b"x").await;
            assert_eq!(refused.code, 1, "{code}: {refused:?}");
            assert!(refused.remark().contains(name), "{code}: {refused:?}");
        }
        for absurd in ["", "x", "1e400", "99999999999999999999", "-", "0x10", "NaN"] {
            let header = fields(&[("topic", "Calm"), ("queueId", absurd)]);
            let refused = client.ask(30, &header, b"").await;
            assert!(refused.code == 1 && refused.remark().contains("queueId"), "{absurd}: {refused:?}");
        }
        let far = PullMessageRequest { max_msg_nums: i32::MIN, commit_offset: i64::MIN, ..pull("Calm", 0, i64::MIN) };
        client.ask(11, &far, b"").await;
        let far = PullMessageRequest { max_msg_nums: i32::MAX, sys_flag: 7, ..pull("Calm", 0, i64::MAX) };
        assert_eq!(client.ask(11, &far, b"").await.code, 21);
        for code in [-1, 0, 9_999, i32::from(i16::MAX)] {
            let unknown = client.ask(code, &fields(&[("topic", "Calm")]), b"").await;
            assert_eq!(unknown.code, 3, "{unknown:?}");
            assert!(unknown.remark().contains("not supported"), "{unknown:?}");
        }
        bystander.works().await;
    }
    server.stop().await;
}

#[actix::test]
async fn names_with_path_parts_reach_no_file() {
    let server = Server::start().await;
    let mut bystander = Bystander::new(&server).await;
    let mut client = server.client().await;
    let long = "x".repeat(128);
    let huge = "x".repeat(100_000);
    for name in ["../../outside", "..", "/etc/passwd", "a/b", "a\\b", "a\0b", "a b", "é", &long, &huge] {
        for code in [310, 10] {
            let sent = match code {
                310 => client.ask(code, &short_send(name, 0, ""), b"x").await,
                _ => client.ask(code, &long_send(name, 0, ""), b"x").await,
            };
            assert!(sent.code == 29 && !sent.remark().is_empty(), "{name:.20}: {sent:?}");
        }
        assert_eq!(client.ask(17, &topic_fields(name, "1"), b"").await.code, 29);
        assert_eq!(client.ask(215, &fields(&[("topic", name)]), b"").await.code, 29);
        let pulled = client.ask(11, &pull(name, 0, 0), b"").await;
        assert_eq!(pulled.code, 17, "{pulled:?}");
        let other = PullMessageRequest { consumer_group: name.into(), ..pull("Calm", 0, 0) };
        let pulled = client.ask(11, &other, b"").await;
        assert!(pulled.code == 26 || name.len() == 128, "{name:.20}: {pulled:?}");
        let group = [("consumerGroup", name), ("topic", "Calm"), ("queueId", "0"), ("commitOffset", "1")];
        assert!(client.ask(15, &fields(&group), b"").await.code != 0 || name.len() == 128);
    }
    bystander.works().await;
    let root = server.directory.path().to_owned();
    assert_eq!(std::fs::read_dir(&root).unwrap().count(), 1);
    server.stop().await;
}

#[actix::test]
async fn broken_bodies_of_sends_are_refused_whole() {
    let server = Server::start().await;
    let mut bystander = Bystander::new(&server).await;
    let mut client = server.client().await;
    client.make_topic("T", "1").await;
    let good = support::batch_body(&[("one", ""), ("two", "TAGS\u{1}a\u{2}")]);
    let mut lying = good.clone();
    lying[0] = 0x7F;
    let mut long_body = good.clone();
    long_body[16] = 0x7F;
    for body in [&good[..good.len() - 1], &good[..30], &good[..3], b"", &lying, &long_body, &[0xFF; 64]] {
        let refused = client.ask(320, &short_send("T", 0, ""), body).await;
        assert!(refused.code == 13 && !refused.remark().is_empty(), "{refused:?}");
    }
    let properties = format!("long\u{1}{}\u{2}", "x".repeat(40_000));
    let refused = client.ask(310, &short_send("T", 0, &properties), b"x").await;
    assert_eq!(refused.code, 13, "{refused:?}");
    // Half pairs are stored as they are, as RocketMQ does.
    assert_eq!(client.send("T", 0, "no end", "x").await, 0);
    assert_eq!(client.send("T", 0, "\u{1}\u{2}\u{1}\u{1}\u{2}\u{2}", "x").await, 1);
    assert_eq!(client.max_offset("T", "0").await, 2);
    bystander.works().await;
    server.stop().await;
}

#[actix::test]
async fn half_a_frame_is_waited_for_and_given_up_in_the_end() {
    let server = Server::start_with(|config| config.network.idle_seconds_max = 1).await;
    let mut slow = server.client().await;
    let (number, bytes) = slow.request((30, 0), &fields(&[("topic", "TBW102"), ("queueId", "0")]), b"");
    for byte in bytes {
        slow.socket.write_all(&[byte]).await.unwrap();
    }
    assert_eq!(slow.answer(number).await.code, 0);
    // Two that say nothing more: one in the middle of its length, one in the middle of its body.
    let mut silent = server.client().await;
    silent.socket.write_all(&[0, 0]).await.unwrap();
    let mut halted = server.client().await;
    halted.socket.write_all(&raw(0, b"{\"code\":10}", &[0; 5000])[..3000]).await.unwrap();
    let mut bystander = Bystander::new(&server).await;
    let began = Instant::now();
    for client in [&mut silent, &mut halted] {
        client.is_hung_up().await;
        bystander = Bystander { client: server.client().await, ..bystander };
        bystander.works().await;
    }
    assert!(began.elapsed() < PATIENCE);
    server.stop().await;
}

#[actix::test]
async fn a_peer_that_never_reads_is_given_up() {
    let server = Server::start_with(|config| config.network.idle_seconds_max = 2).await;
    let mut bystander = Bystander::new(&server).await;
    bystander.client.make_topic("Large", "1").await;
    let large = "x".repeat(1024 * 1024);
    assert_eq!(bystander.client.send("Large", 0, "", &large).await, 0);
    let mut deaf = server.client().await;
    let asked = pull("Large", 0, 0);
    let (_, one) = deaf.request((11, 0), &asked, b"");
    let began = Instant::now();
    // It asks until nobody takes its questions any more: what waits for it is bounded.
    let asking = async {
        let mut sent = 0_u64;
        while deaf.socket.write_all(&one).await.is_ok() {
            sent += 1;
            assert!(sent < 10_000_000, "questions are taken for ever");
        }
    };
    let others = async {
        while began.elapsed() < Duration::from_secs(1) {
            bystander.works().await;
        }
    };
    let (ended, ()) = tokio::join!(tokio::time::timeout(PATIENCE, asking), others);
    ended.expect("the connection of a peer that does not read stays open");
    bystander = Bystander { client: server.client().await, ..bystander };
    bystander.works().await;
    server.stop().await;
}

#[actix::test]
async fn waiting_pulls_of_a_peer_that_never_reads_are_bounded() {
    let server = Server::start().await;
    let mut bystander = Bystander::new(&server).await;
    bystander.client.make_topic("Large", "1").await;
    let mut deaf = server.client().await;
    let asked = patient_pull("Large", 0, 0, 600_000);
    for _ in 0..200 {
        deaf.submit(11, &asked, b"").await;
    }
    assert_eq!(deaf.max_offset("Large", "0").await, 0);
    // All of them wake at once, and none of the answers is read.
    let large = "x".repeat(1024 * 1024);
    assert_eq!(bystander.client.send("Large", 0, "", &large).await, 0);
    bystander.works().await;
    let mut answers = 0;
    while let Some(frame) = deaf.frame().await {
        assert_eq!(frame.code, 0);
        answers += 1;
    }
    assert!(answers < 100, "{answers} answers of a mebibyte were kept");
    bystander.works().await;
    server.stop().await;
}

#[actix::test]
async fn a_giant_frame_is_refused_and_the_largest_is_taken() {
    let server = Server::start().await;
    let mut bystander = Bystander::new(&server).await;
    let mut client = server.client().await.with_codec(Codec::Binary);
    let body = vec![0; 15 * 1024 * 1024];
    assert_eq!(client.ask(310, &short_send("Calm", 0, ""), &body).await.code, 13);
    bystander.works().await;
    let over = vec![0; frame::FRAME_BYTES_MAX];
    ends(&server, &raw(0, b"{\"code\":310}", &over)).await;
    bystander.works().await;
    server.stop().await;
}

#[actix::test]
async fn the_longest_frame_is_as_long_as_the_settings_say() {
    let small = Server::start_with(|config| config.network.frame_bytes_max = 65_536).await;
    let mut client = small.client().await.with_codec(Codec::Binary);
    client.make_topic("T", "1").await;
    assert_eq!(client.ask(310, &short_send("T", 0, ""), &vec![0; 65_000]).await.code, 0);
    ends(&small, &raw(0, b"{\"code\":310}", &vec![0; 65_536])).await;
    small.stop().await;
    let large = Server::start_with(|config| {
        config.network.frame_bytes_max = 32 * 1024 * 1024;
        config.send.max_body_bytes = 20 * 1024 * 1024;
        config.store.commit_log_segment_bytes = 64 * 1024 * 1024;
    })
    .await;
    let mut client = large.client().await.with_codec(Codec::Binary);
    client.make_topic("T", "1").await;
    assert_eq!(client.ask(310, &short_send("T", 0, ""), &vec![0; 17 * 1024 * 1024]).await.code, 0);
    assert_eq!(client.max_offset("T", "0").await, 1);
    large.stop().await;
}

#[actix::test]
async fn a_transaction_s_type_without_a_transaction_is_never_stored_as_a_plain_message() {
    let server = Server::start().await;
    let mut client = server.client().await;
    client.make_topic("T", "1").await;
    for (kind, code) in [(4, 13), (12, 13), (8, 0)] {
        let send = SendMessageRequestV2 { sys_flag: kind, ..short_send("T", 0, "") };
        assert_eq!(client.ask(310, &send, b"x").await.code, code, "type {kind}");
        let batch = SendMessageRequestV2 { batch: Some(true), ..send };
        assert_eq!(client.ask(310, &batch, &batch_body(&[("x", "")])).await.code, 13, "a batch of type {kind}");
    }
    let half = SendMessageRequestV2 { sys_flag: 4, ..short_send("T", 0, "TRAN_MSG\u{1}true\u{2}") };
    assert_eq!(client.ask(310, &half, b"half").await.code, 0);
    let answer = client.ask(11, &pull("T", 0, 0), b"").await;
    let flags: Vec<i32> = answer.records().iter().map(|record| record.sys_flag).collect();
    assert_eq!(flags, [8], "as it was sent, and not the half message");
    server.stop().await;
}

#[actix::test]
async fn sloppy_headers_of_real_clients_are_accepted() {
    let server = Server::start().await;
    let mut client = server.client().await;
    client.make_topic("T", "1").await;
    let ext = "\"extFields\":{\"topic\":\"T\",\"queueId\":\"0\"}";
    let accepted = [
        // As Java writes it, and without serializeTypeCurrentRPC.
        format!(
            "{{\"code\":30,{ext},\"flag\":0,\"language\":\"JAVA\",\"opaque\":1,\"serializeTypeCurrentRPC\":\"JSON\",\"version\":401}}"
        ),
        format!("{{\"code\":30,{ext},\"flag\":0,\"language\":\"JAVA\",\"opaque\":1,\"version\":401}}"),
        // Old versions, none at all, and one from the future.
        format!("{{\"code\":30,{ext},\"opaque\":1,\"version\":0}}"),
        format!("{{\"code\":30,{ext},\"opaque\":1}}"),
        format!("{{\"code\":30,{ext},\"opaque\":1,\"version\":99999}}"),
        // Languages that nobody knows.
        format!("{{\"code\":30,{ext},\"opaque\":1,\"language\":\"COBOL\"}}"),
        format!("{{\"code\":30,{ext},\"opaque\":1,\"language\":12}}"),
        format!("{{\"code\":30,{ext},\"opaque\":1,\"language\":null}}"),
        // Unknown fields, blanks, text for numbers, nulls.
        format!("{{\"code\":30,{ext},\"opaque\":1,\"own\":{{\"a\":[1,2]}},\"traceId\":\"x\"}}"),
        format!(" {{ \"code\" : 30 , {ext} , \"opaque\" : 1 }} "),
        format!("{{\"code\":\"30\",{ext},\"opaque\":\"1\",\"flag\":\"0\",\"remark\":null}}"),
        // Numbers, booleans and nulls inside extFields.
        "{\"code\":30,\"extFields\":{\"topic\":\"T\",\"queueId\":0},\"opaque\":1}".into(),
        "{\"code\":30,\"extFields\":{\"topic\":\"T\",\"queueId\":0,\"lo\":false,\"n\":null,\"x\":1.5},\"opaque\":1}"
            .into(),
    ];
    for header in accepted {
        let found = answer(&mut client, &header, b"").await;
        assert_eq!((found.code, found.field("offset").as_str()), (0, "0"), "{header}: {found:?}");
    }
    let sent = "{\"code\":310,\"extFields\":{\"a\":\"p\",\"b\":\"T\",\"c\":\"TBW102\",\"d\":4,\"e\":0,\"f\":0,\
                \"g\":1700000000000,\"h\":0,\"i\":null,\"j\":0,\"k\":false,\"m\":false,\"zz\":\"\"},\"opaque\":1}";
    assert_eq!(answer(&mut client, sent, b"sloppy").await.field("queueOffset"), "0");
    assert_eq!(client.read_all("T", 0).await, [(0, "sloppy".to_owned())]);
    // An answer to a question that nobody asked is passed over.
    client.socket.write_all(&raw(0, b"{\"code\":0,\"flag\":1,\"opaque\":77}", b"")).await.unwrap();
    assert_eq!(client.max_offset("T", "0").await, 1);
    server.stop().await;
}
