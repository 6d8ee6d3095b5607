//! A broker as clients and administrators see it beside sends and pulls: framed requests over a real socket, framed
//! answers back.

mod support;

use std::collections::BTreeMap;

use actormq::protocol::body::Body;
use actormq::protocol::body::clients::{
    ConsumeType, ConsumerConnection, ConsumerData, ConsumerList, HeartbeatData, MessageModel, ProducerConnection,
    ProducerData, ProducerTableInfo, QuerySubscriptionResponse, SubscriptionData,
};
use actormq::protocol::body::groups::{GroupForbidden, SubscriptionGroupConfig, SubscriptionGroupTable};
use actormq::protocol::body::lists::{GroupList, KvTable, TopicList};
use actormq::protocol::body::offsets::{ConsumerOffsets, CorrectionOffsets, ResetOffsets};
use actormq::protocol::body::stats::{
    ConsumeQueueEntries, ConsumeStats, ConsumeStatsList, ConsumeTimeSpans, TopicStatsTable,
};
use actormq::protocol::body::topics::{CreateTopicList, MappedTopicConfig, MappedTopicTable, TopicConfig};
use support::{Answered, Client, Server, topic_fields};

impl Client {
    /// Asks for a topic; the answer may be a refusal.
    async fn wish_topic(&mut self, topic: &str, queues: &str) -> Answered {
        self.ask(17, &topic_fields(topic, queues), b"").await
    }

    /// Sends one message to queue 0; its place in the queue and its id.
    async fn send_with_keys(&mut self, topic: &str, keys: &str) -> (String, String) {
        let properties = format!("KEYS\u{1}{keys}\u{2}UNIQ_KEY\u{1}unique-{keys}\u{2}TAGS\u{1}a\u{2}");
        let fields = [
            ("producerGroup", "p"),
            ("topic", topic),
            ("defaultTopic", "TBW102"),
            ("defaultTopicQueueNums", "4"),
            ("queueId", "0"),
            ("sysFlag", "0"),
            ("bornTimestamp", "1700000000000"),
            ("flag", "0"),
            ("properties", &properties),
            ("reconsumeTimes", "0"),
        ];
        let answer = self.command(10, &fields, b"hello").await;
        assert_eq!(answer.code, 0, "{answer:?}");
        (answer.field("queueOffset"), answer.field("msgId"))
    }

    async fn join(&mut self, id: &str, group: &str, topic: &str) -> Answered {
        let heartbeat = HeartbeatData {
            client_id: id.into(),
            consumer_data_set: vec![consumer(group, topic)],
            producer_data_set: vec![ProducerData { group_name: "p".into() }],
            ..HeartbeatData::default()
        };
        self.command(34, &[], &heartbeat.encode()).await
    }

    async fn wish_commit(&mut self, group: &str, topic: &str, offset: &str) -> Answered {
        let fields = [("consumerGroup", group), ("topic", topic), ("queueId", "0"), ("commitOffset", offset)];
        self.command(15, &fields, b"").await
    }

    async fn offset(&mut self, group: &str, topic: &str) -> Answered {
        self.command(14, &[("consumerGroup", group), ("topic", topic), ("queueId", "0")], b"").await
    }

    async fn runtime(&mut self) -> BTreeMap<String, String> {
        self.command(28, &[], b"").await.body::<KvTable>().table
    }
}

fn consumer(group: &str, topic: &str) -> ConsumerData {
    let subscription = SubscriptionData {
        topic: topic.into(),
        sub_string: "a || b".into(),
        tags_set: vec!["a".into(), "b".into()],
        // As the Rust client has it: not Java's.
        code_set: vec![1091, 3039],
        sub_version: 1,
        ..SubscriptionData::default()
    };
    ConsumerData {
        group_name: group.into(),
        consume_type: Some(ConsumeType::ConsumePassively),
        message_model: Some(MessageModel::Clustering),
        subscription_data_set: vec![subscription],
        ..ConsumerData::default()
    }
}

#[actix::test]
async fn a_topic_from_its_making_to_its_end_and_another_of_its_name() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let made = client.wish_topic("T", "2").await;
    assert_eq!((made.code, made.remark()), (0, "not set any response code"));
    let config: MappedTopicConfig = client.command(351, &[("topic", "T")], b"").await.body();
    assert_eq!((config.read_queue_nums, config.write_queue_nums, config.perm), (2, 2, 6));
    let stats: TopicStatsTable = client.command(202, &[("topic", "T")], b"").await.body();
    assert_eq!(stats.offset_table.len(), 2);
    assert!(stats.offset_table.values().all(|ends| (ends.min_offset, ends.max_offset) == (0, 0)));
    client.wish_topic("T", "3").await;
    for wanted in ["0", "1", "2"] {
        assert_eq!(client.send_with_keys("T", "k").await.0, wanted);
    }
    let stats: TopicStatsTable = client.command(202, &[("topic", "T")], b"").await.body();
    let first = stats.offset_table.iter().find(|(queue, _)| queue.queue_id == 0).unwrap();
    assert_eq!((stats.offset_table.len(), first.1.max_offset), (3, 3));
    assert!(first.1.last_update_timestamp > 1_700_000_000_000 && first.0.broker_name == "broker-a");
    assert_eq!(client.command(215, &[("topic", "T")], b"").await.code, 0);
    assert_eq!(client.command(202, &[("topic", "T")], b"").await.code, 17);
    assert_eq!(client.command(351, &[("topic", "T")], b"").await.code, 17);
    assert_eq!(client.send_with_keys("T", "k").await.0, "0");
    let server = server.restarted().await;
    let mut client = server.client().await;
    let max = client.command(30, &[("topic", "T"), ("queueId", "0")], b"").await;
    assert_eq!(max.field("offset"), "1");
    server.broker.stop().await;
}

#[actix::test]
async fn topics_are_listed_and_bad_names_are_refused() {
    let server = Server::start().await;
    let mut client = server.client().await;
    for bad in ["../../etc/passwd", "a b", "", "TBW102", "DefaultCluster", "broker-a", "rmq_sys_x"] {
        let refused = client.wish_topic(bad, "1").await;
        assert_eq!(refused.code, 29, "{bad}: {refused:?}");
        assert_eq!(client.command(215, &[("topic", bad)], b"").await.code, 29, "{bad}");
    }
    assert_eq!(client.wish_topic("T", "-1").await.code, 29);
    assert_eq!(client.wish_topic("T", "1000000").await.code, 29);
    assert_eq!(client.wish_topic("T", "x").await.code, 1);
    let list = CreateTopicList {
        topic_config_list: ["U", "V"].map(|name| TopicConfig { topic_name: name.into(), ..Default::default() }).into(),
    };
    assert_eq!(client.command(18, &[], &list.encode()).await.code, 0);
    let listed = client.command(21, &[], b"").await;
    let all: MappedTopicTable = listed.body();
    assert_eq!(listed.field("totalTopicNum"), all.topic_config_table.len().to_string());
    assert_eq!(all.topic_config_table["U"].read_queue_nums, 16);
    let version = String::from_utf8(all.data_version.encode()).unwrap();
    let part = [("topicSeq", "1"), ("maxTopicNum", "2"), ("dataVersion", version.as_str())];
    let part: MappedTopicTable = client.command(21, &part, b"").await.body();
    let names: Vec<_> = all.topic_config_table.keys().skip(1).take(2).collect();
    assert_eq!(part.topic_config_table.keys().collect::<Vec<_>>(), names);
    let system: TopicList = client.command(305, &[], b"").await.body();
    assert!(system.topic_list.contains(&"TBW102".into()) && !system.topic_list.contains(&"U".into()));
    server.broker.stop().await;
}

#[actix::test]
async fn offsets_of_a_group_from_its_first_question_on() {
    let server = Server::start().await;
    let mut client = server.client().await;
    client.wish_topic("T", "1").await;
    assert_eq!(client.offset("g", "T").await.field("offset"), "0");
    assert_eq!(client.offset("g", "absent").await.code, 22);
    let strict = [("consumerGroup", "g"), ("topic", "T"), ("queueId", "0"), ("setZeroIfNotFound", "false")];
    assert_eq!(client.command(14, &strict, b"").await.code, 22);
    let refused = client.wish_commit("g", "T", "1").await;
    assert_eq!((refused.code, refused.remark()), (26, "Group g not exist!"));
    client.join("c1", "g", "T").await;
    assert_eq!(client.wish_commit("g", "absent", "1").await.code, 17);
    for _ in 0..5 {
        client.send_with_keys("T", "k").await;
    }
    assert_eq!(client.wish_commit("g", "T", "3").await.code, 0);
    assert_eq!(client.offset("g", "T").await.field("offset"), "3");
    let stats: ConsumeStats = client.command(208, &[("consumerGroup", "g")], b"").await.body();
    let (_, progress) = stats.offset_table.iter().next().unwrap();
    assert_eq!((progress.broker_offset, progress.consumer_offset, progress.pull_offset), (5, 3, 3));
    assert!(progress.last_timestamp > 0);
    let of_broker: ConsumeStatsList = client.command(317, &[("isOrder", "false")], b"").await.body();
    assert_eq!(of_broker.total_diff, 2);
    let spans: ConsumeTimeSpans = client.command(303, &[("topic", "T"), ("group", "g")], b"").await.body();
    assert!(spans.consume_time_span_set[0].delay_time >= 0 && spans.consume_time_span_set[0].min_time_stamp > 0);
    let all: ConsumerOffsets = client.command(43, &[], b"").await.body();
    assert_eq!(all.offset_table["T@g"][&0], 3);
    let groups: GroupList = client.command(300, &[("topic", "T")], b"").await.body();
    assert_eq!(groups.group_list, ["g"]);
    let topics: TopicList = client.command(343, &[("group", "g")], b"").await.body();
    assert_eq!(topics.topic_list, ["T"]);
    let clone = [("srcGroup", "g"), ("destGroup", "h"), ("offline", "true")];
    assert_eq!(client.command(314, &clone, b"").await.code, 0);
    assert_eq!(client.offset("h", "T").await.field("offset"), "3");
    let correction = [("topic", "T"), ("compareGroup", "h"), ("filterGroups", "g")];
    let correction: CorrectionOffsets = client.command(308, &correction, b"").await.body();
    assert_eq!(correction.correction_offsets[&0], 3);
    let server = server.restarted().await;
    let mut client = server.client().await;
    assert_eq!(client.offset("g", "T").await.field("offset"), "3");
    let delete = [("groupName", "g"), ("cleanOffset", "true")];
    assert_eq!(client.command(207, &delete, b"").await.code, 0);
    assert_eq!(client.offset("g", "T").await.field("offset"), "0");
    assert_eq!(client.offset("h", "T").await.field("offset"), "3");
    server.broker.stop().await;
}

#[actix::test]
async fn a_reset_moves_a_group_whatever_its_consumers_commit() {
    let server = Server::start().await;
    let mut client = server.client().await;
    client.wish_topic("T", "1").await;
    client.join("c1", "g", "T").await;
    for _ in 0..4 {
        client.send_with_keys("T", "k").await;
    }
    client.wish_commit("g", "T", "4").await;
    let reset = |offset: &'static str, time: &'static str| {
        [("topic", "T"), ("group", "g"), ("queueId", "0"), ("offset", offset), ("timestamp", time), ("isForce", "true")]
    };
    assert_eq!(client.command(222, &reset("9", "-1"), b"").await.code, 1);
    let told: ResetOffsets = client.command(222, &reset("1", "-1"), b"").await.body();
    assert_eq!(told.offset_table.values().collect::<Vec<_>>(), [&1]);
    let passed_over = client.wish_commit("g", "T", "4").await;
    assert_eq!((passed_over.code, passed_over.remark()), (0, "Offset has been previously reset"));
    assert_eq!(client.offset("g", "T").await.field("offset"), "1");
    let to_begin = [("topic", "T"), ("group", "g"), ("timestamp", "0"), ("isForce", "true")];
    let told: ResetOffsets = client.command(222, &to_begin, b"").await.body();
    assert_eq!(told.offset_table.values().collect::<Vec<_>>(), [&0]);
    let unknown = [("topic", "T"), ("group", "unknown"), ("timestamp", "0")];
    assert_eq!(client.command(222, &unknown, b"").await.code, 26);
    server.broker.stop().await;
}

#[actix::test]
async fn queues_tell_their_ends_and_messages_are_found() {
    let server = Server::start().await;
    let mut client = server.client().await;
    client.wish_topic("T", "1").await;
    let at = |queue: &'static str| [("topic", "T"), ("queueId", queue)];
    assert_eq!(client.command(32, &at("0"), b"").await.field("timestamp"), "-1");
    for key in ["one", "two", "three"] {
        client.send_with_keys("T", key).await;
    }
    let (_, id) = client.send_with_keys("T", "four").await;
    assert_eq!(client.command(30, &at("0"), b"").await.field("offset"), "4");
    assert_eq!(client.command(31, &at("0"), b"").await.field("offset"), "0");
    assert_eq!(client.command(30, &at("7"), b"").await.field("offset"), "0");
    let earliest = client.command(32, &at("0"), b"").await.field("timestamp");
    assert!(earliest.parse::<i64>().unwrap() > 1_700_000_000_000);
    let search = |time| [("topic", "T"), ("queueId", "0"), ("timestamp", time)];
    assert_eq!(client.command(29, &search("0"), b"").await.field("offset"), "0");
    assert_eq!(client.command(29, &search("9000000000000"), b"").await.field("offset"), "4");
    assert_eq!(client.command(29, &search(&earliest), b"").await.field("offset"), "0");
    let offset = i64::from_str_radix(&id[id.len() - 16..], 16).unwrap().to_string();
    let record = client.command(33, &[("offset", &offset)], b"").await;
    assert!(record.code == 0 && record.body.windows(5).any(|part| part == b"hello"), "{record:?}");
    let missing = client.command(33, &[("offset", "99999999")], b"").await;
    assert_eq!((missing.code, missing.remark()), (1, "can not find message by the offset, 99999999"));
    let key = |key: &'static str| {
        [("topic", "T"), ("key", key), ("maxNum", "8"), ("beginTimestamp", "0"), ("endTimestamp", "9000000000000")]
    };
    for wanted in ["two", "unique-two"] {
        // The index follows the log within moments.
        let mut found = client.command(12, &key(wanted), b"").await;
        while found.code == 22 {
            found = client.command(12, &key(wanted), b"").await;
        }
        assert_eq!(found.code, 0, "{found:?}");
        assert!(found.body.windows(10).any(|part| part == b"unique-two"), "{found:?}");
        assert!(!found.field("indexLastUpdateTimestamp").is_empty());
    }
    assert_eq!(client.command(12, &key("absent"), b"").await.code, 22);
    let entries = [("topic", "T"), ("queueId", "0"), ("index", "1"), ("count", "2"), ("consumerGroup", "g")];
    let entries: ConsumeQueueEntries = client.command(321, &entries, b"").await.body();
    assert_eq!((entries.queue_data.len(), entries.max_queue_index), (2, 4));
    assert_eq!((entries.queue_data[0].tags_code, entries.filter_data.as_deref()), (97, Some("g@T is not online!")));
    let nowhere = [("topic", "U"), ("queueId", "0"), ("index", "1"), ("count", "2")];
    assert_eq!(client.command(321, &nowhere, b"").await.code, 1);
    server.broker.stop().await;
}

#[actix::test]
async fn clients_come_are_seen_and_leave() {
    let server = Server::start().await;
    let (mut one, mut two) = (server.client().await, server.client().await);
    one.wish_topic("T", "1").await;
    let unknown = one.command(38, &[("consumerGroup", "g")], b"").await;
    assert!(unknown.code == 1 && unknown.remark().starts_with("no consumer for this group"), "{unknown:?}");
    assert_eq!(one.command(203, &[("consumerGroup", "g")], b"").await.code, 206);
    assert_eq!(one.command(204, &[("producerGroup", "p")], b"").await.code, 1);
    let beat = one.join("c1", "g", "T").await;
    assert_eq!(
        (beat.code, beat.field("IS_SUPPORT_HEART_BEAT_V2"), beat.field("IS_SUB_CHANGE")),
        (0, "true".into(), "true".into())
    );
    two.join("c2", "g", "T").await;
    let told = one.push().await;
    assert_eq!((told.code, told.field("consumerGroup")), (40, "g".into()));
    let ids: ConsumerList = one.command(38, &[("consumerGroup", "g")], b"").await.body();
    assert_eq!(ids.consumer_id_list, ["c1", "c2"]);
    let consumers: ConsumerConnection = one.command(203, &[("consumerGroup", "g")], b"").await.body();
    assert_eq!((consumers.connection_set.len(), consumers.subscription_table["T"].code_set.clone()), (2, vec![97, 98]));
    let producers: ProducerConnection = one.command(204, &[("producerGroup", "p")], b"").await.body();
    assert_eq!(producers.connection_set.len(), 2);
    let all: ProducerTableInfo = one.command(328, &[], b"").await.body();
    assert_eq!(all.data["p"].len(), 2);
    let wish: QuerySubscriptionResponse = one.command(345, &[("group", "g"), ("topic", "T")], b"").await.body();
    assert_eq!(wish.subscription_data.unwrap().sub_string, "a || b");
    assert_eq!(one.command(351, &[("topic", "%RETRY%g")], b"").await.body::<MappedTopicConfig>().read_queue_nums, 1);
    drop(two);
    while one.command(38, &[("consumerGroup", "g")], b"").await.body::<ConsumerList>().consumer_id_list != ["c1"] {}
    let farewell = [("clientID", "c1"), ("consumerGroup", "g"), ("producerGroup", "p")];
    assert_eq!(one.command(35, &farewell, b"").await.code, 0);
    assert_eq!(one.command(203, &[("consumerGroup", "g")], b"").await.code, 206);
    assert_eq!(one.command(34, &[], b"no heartbeat").await.code, 1);
    assert_eq!(one.command(34, &[], b"{}").await.code, 1);
    server.broker.stop().await;
}

#[actix::test]
async fn groups_are_made_changed_forbidden_and_deleted() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let config = SubscriptionGroupConfig { group_name: "g".into(), retry_max_times: 3, ..Default::default() };
    assert_eq!(client.command(200, &[], &config.encode()).await.code, 0);
    let bad = SubscriptionGroupConfig { group_name: "no/group".into(), ..Default::default() };
    assert_eq!(client.command(200, &[], &bad.encode()).await.code, 29);
    let found: SubscriptionGroupConfig = client.command(352, &[("group", "g")], b"").await.body();
    assert_eq!(found.retry_max_times, 3);
    let listed = client.command(201, &[], b"").await;
    let all: SubscriptionGroupTable = listed.body();
    assert_eq!(listed.field("totalGroupNum"), all.subscription_group_table.len().to_string());
    let forbid = [("group", "g"), ("topic", "T"), ("readable", "false")];
    let told: GroupForbidden = client.command(353, &forbid, b"").await.body();
    assert_eq!(told.readable, Some(false));
    let told: GroupForbidden = client.command(353, &forbid[..2], b"").await.body();
    assert_eq!(told.readable, Some(false));
    assert_eq!(client.command(207, &[("groupName", "g")], b"").await.code, 0);
    let again: SubscriptionGroupConfig = client.command(352, &[("group", "g")], b"").await.body();
    assert_eq!(again.retry_max_times, 16);
    server.broker.stop().await;
}

#[actix::test]
async fn settings_change_while_running_and_some_never() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let before: MappedTopicTable = client.command(21, &[], b"").await.body();
    assert_eq!(client.command(25, &[], b"brokerPermission=4\nautoCreateTopicEnable=false\n").await.code, 0);
    let after: MappedTopicTable = client.command(21, &[], b"").await.body();
    assert_ne!(after.data_version, before.data_version);
    let settings = client.command(26, &[], b"").await;
    let text = String::from_utf8(settings.body.to_vec()).unwrap();
    assert!(text.lines().any(|line| line == "brokerPermission=4"), "{text}");
    assert!(settings.field("version").contains("\"counter\":1"), "{}", settings.field("version"));
    for refused in ["brokerConfigPath=/x\n", "configBlackList=\n"] {
        assert_eq!(client.command(25, &[], refused.as_bytes()).await.code, 16, "{refused}");
    }
    assert_eq!(client.command(25, &[], b"brokerPermission=many\n").await.code, 1);
    server.broker.stop().await;
}

#[actix::test]
async fn runtime_information_has_every_key_that_tools_look_for() {
    let server = Server::start().await;
    let mut client = server.client().await;
    client.wish_topic("T", "1").await;
    client.send_with_keys("T", "k").await;
    let runtime = client.runtime().await;
    let wanted = "bootTimestamp runtime putMessageEntireTimeMax putMessageTimesTotal putMessageFailedTimes \
        putMessageSizeTotal putMessageDistributeTime putMessageAverageSize dispatchMaxBuffer getMessageEntireTimeMax \
        putTps getFoundTps getMissTps getTotalTps getTransferredTps putLatency99 putLatency999 commitLogDiskRatio \
        consumeQueueDiskRatio commitLogMinOffset commitLogMaxOffset brokerActive brokerVersionDesc \
        msgPutTotalYesterdayMorning msgPutTotalTodayMorning msgPutTotalTodayNow msgGetTotalYesterdayMorning \
        msgGetTotalTodayMorning msgGetTotalTodayNow dispatchBehindBytes pageCacheLockTimeMills \
        earliestMessageTimeStamp startAcceptSendRequestTimeStamp timerReadBehind timerOffsetBehind timerCongestNum \
        timerEnqueueTps timerDequeueTps remainTransientStoreBufferNumbs remainHowManyDataToCommit \
        remainHowManyDataToFlush commitLogDirCapacity sendThreadPoolQueueSize pullThreadPoolQueueSize \
        litePullThreadPoolQueueSize queryThreadPoolQueueSize ackThreadPoolQueueSize sendThreadPoolQueueCapacity \
        pullThreadPoolQueueCapacity sendThreadPoolQueueHeadWaitTimeMills pullThreadPoolQueueHeadWaitTimeMills \
        EndTransactionQueueSize EndTransactionThreadPoolQueueCapacity";
    for key in wanted.split_ascii_whitespace() {
        assert!(runtime.contains_key(key), "{key}");
    }
    assert_eq!(runtime["brokerVersionDesc"], "V5_5_0");
    assert_eq!(runtime["putTps"].split(' ').count(), 3);
    assert!(runtime["commitLogMaxOffset"].parse::<u64>().unwrap() > 0);
    assert!(runtime["earliestMessageTimeStamp"].parse::<i64>().unwrap() > 1_700_000_000_000);
    let replicas = client.command(907, &[], b"").await;
    assert!(String::from_utf8_lossy(&replicas.body).contains("\"master\":true"), "{replicas:?}");
    assert!(matches!(client.command(315, &[("statsName", "X"), ("statsKey", "T")], b"").await.code, 1));
    for nothing_to_do in [306, 316] {
        assert_eq!(client.command(nothing_to_do, &[], b"").await.code, 0);
    }
    let unknown = client.command(29_999, &[], b"").await;
    assert_eq!((unknown.code, unknown.remark()), (3, " request type 29999 not supported"));
    server.broker.stop().await;
}

#[actix::test]
async fn expressions_that_this_release_cannot_evaluate_are_refused() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let check = |kind: &str| {
        format!(
            r#"{{"clientId":"c","group":"g","subscriptionData":{{"topic":"T","subString":"a > 1","expressionType":"{kind}"}}}}"#
        )
    };
    assert_eq!(client.command(46, &[], check("TAG").as_bytes()).await.code, 0);
    let refused = client.command(46, &[], check("SQL92").as_bytes()).await;
    assert_eq!(refused.code, 1);
    assert!(refused.remark().starts_with("The broker does not support consumer to filter message by SQL92"));
    server.broker.stop().await;
}
