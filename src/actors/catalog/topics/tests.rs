use std::collections::BTreeMap;

use tempfile::TempDir;

use super::*;
use crate::actors::catalog::offsets::Resets;
use crate::actors::catalog::testing::{change, closed_log, file, settings, write_file};

#[derive(Default)]
struct Registration(Vec<TopicsChanged>);

impl Actor for Registration {
    type Context = Context<Self>;
}

impl Handler<TopicsChanged> for Registration {
    type Result = ();

    fn handle(&mut self, changed: TopicsChanged, _: &mut Context<Self>) {
        // Told at once.
        self.0.push(TopicsChanged { told: Arc::new(tokio::sync::oneshot::channel().0), ..changed });
    }
}

#[derive(Message)]
#[rtype(result = "Vec<TopicsChanged>")]
struct Heard;

impl Handler<Heard> for Registration {
    type Result = Vec<TopicsChanged>;

    fn handle(&mut self, _: Heard, _: &mut Context<Self>) -> Vec<TopicsChanged> {
        std::mem::take(&mut self.0)
    }
}

struct Broker {
    directory: TempDir,
    config: Arc<ArcSwap<BrokerConfig>>,
    table: Arc<TopicTable>,
    topics: Addr<Topics>,
    registration: Addr<Registration>,
}

impl Broker {
    async fn open(directory: TempDir) -> Self {
        let config = settings(&directory);
        let table = Arc::new(TopicTable::default());
        let topics = open(&config, &table).start();
        let registration = Registration::default().start();
        topics.send(Announce { to: registration.clone().recipient() }).await.unwrap();
        Self { directory, config, table, topics, registration }
    }

    async fn fresh() -> Self {
        Self::open(tempfile::tempdir().unwrap()).await
    }

    async fn reopened(self) -> Self {
        self.topics.send(Stop).await.unwrap();
        Self::open(self.directory).await
    }

    async fn send_to(&self, topic: &str, default_topic: &str, queues: i32) -> Result<Arc<TopicEntry>, TopicError> {
        let client = ([127, 0, 0, 1], 1).into();
        let default_topic = default_topic.into();
        self.topics.send(CreateAtSend { topic: name(topic), default_topic, queues, sys_flag: 0, client }).await.unwrap()
    }

    async fn update(&self, topics: Vec<TopicConfig>) -> Result<(), TopicError> {
        self.topics.send(UpdateTopics { topics }).await.unwrap()
    }
}

fn open(config: &Arc<ArcSwap<BrokerConfig>>, table: &Arc<TopicTable>) -> Topics {
    let offsets = Offsets::open(Arc::clone(config), Arc::<Resets>::default()).unwrap().start();
    Topics::open(Arc::clone(config), Arc::clone(table), closed_log(table), Door::new(offsets)).unwrap()
}

fn name(topic: &str) -> Topic {
    Topic::new(topic).unwrap()
}

fn with_attributes(topic: &str, attributes: &[(&str, &str)]) -> TopicConfig {
    let attributes = attributes.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    TopicConfig { attributes, ..TopicConfig::new(name(topic), 4) }
}

#[actix::test]
async fn a_send_makes_a_topic_by_the_rule_of_the_default_topic() {
    let broker = Broker::fresh().await;
    let made = broker.send_to("T", "TBW102", 4).await.unwrap();
    assert_eq!((made.config.read_queues, made.config.write_queues, made.config.perm), (4, 4, 6));
    assert_eq!(broker.send_to("Many", "TBW102", 100).await.unwrap().config.write_queues, 8);
    assert_eq!(broker.send_to("None", "TBW102", -1).await.unwrap().config.write_queues, 0);
    assert_eq!(broker.send_to("OfCluster", "DefaultCluster", 100).await.unwrap().config.write_queues, 16);
    assert_eq!(*broker.send_to("T", "TBW102", 8).await.unwrap().slots, *made.slots);
    let heard = broker.registration.send(Heard).await.unwrap();
    let changed: Vec<_> =
        heard.iter().flat_map(|one| &one.changed).map(|entry| entry.config.topic.to_string()).collect();
    assert_eq!(changed, ["T", "Many", "None", "OfCluster"]);
    assert!(heard.windows(2).all(|pair| pair[0].version.counter + 1 == pair[1].version.counter));
}

#[actix::test]
async fn a_send_makes_no_topic_where_that_is_not_allowed() {
    let broker = Broker::fresh().await;
    for default in ["Unknown", "SELF_TEST_TOPIC", ""] {
        let refused = broker.send_to("T", default, 4).await.unwrap_err();
        assert_eq!(refused, TopicError::NotInheritable { topic: name("T") }, "{default}");
    }
    change(&broker.config, |config| config.topics.auto_create = false);
    assert!(broker.send_to("T", "TBW102", 4).await.is_err());
    assert!(!broker.table.contains("T"));
}

#[actix::test]
async fn an_update_grows_a_topic_and_keeps_its_numbers() {
    let broker = Broker::fresh().await;
    broker.update(vec![TopicConfig::new(name("T"), 2)]).await.unwrap();
    let small = broker.table.get("T").unwrap();
    let before = broker.topics.send(ListTopics).await.unwrap().version;
    broker.update(vec![TopicConfig::new(name("T"), 4)]).await.unwrap();
    let large = broker.table.get("T").unwrap();
    assert_eq!(large.slots[..2], *small.slots);
    assert_eq!(large.slots.len(), 4);
    let after = broker.topics.send(ListTopics).await.unwrap().version;
    assert_eq!(after.counter, before.counter + 1);
    broker.update(vec![TopicConfig::new(name("T"), 4)]).await.unwrap();
    assert_eq!(broker.topics.send(ListTopics).await.unwrap().version, after);
}

#[actix::test]
async fn attributes_are_changes_and_a_list_is_taken_whole_or_not_at_all() {
    let broker = Broker::fresh().await;
    broker.update(vec![with_attributes("T", &[("+message.type", "FIFO")])]).await.unwrap();
    let stored = |key: &str| broker.table.get("T").unwrap().config.attributes.get(key).cloned();
    assert_eq!(stored("message.type").as_deref(), Some("FIFO"));
    broker.update(vec![with_attributes("T", &[])]).await.unwrap();
    assert_eq!(stored("message.type").as_deref(), Some("FIFO"));
    let list = vec![TopicConfig::new(name("U"), 1), with_attributes("T", &[("+queue.type", "BatchCQ")])];
    assert!(matches!(broker.update(list).await, Err(TopicError::Attribute(_))));
    assert!(!broker.table.contains("U"));
    let wide = TopicConfig { read_queues: TOPIC_QUEUES_MAX + 1, ..TopicConfig::new(name("U"), 1) };
    assert!(matches!(broker.update(vec![wide]).await, Err(TopicError::TooManyQueues { .. })));
}

#[actix::test]
async fn a_retry_topic_is_made_once_and_only_learns_order() {
    let broker = Broker::fresh().await;
    let ensure = async |order, queues| {
        let config = TopicConfig { order, ..TopicConfig::new(name("%RETRY%g"), queues) };
        broker.topics.send(EnsureTopic { config }).await.unwrap().unwrap()
    };
    assert_eq!(ensure(false, 1).await.config.write_queues, 1);
    let ordered = ensure(true, 9).await;
    assert!(ordered.config.order && ordered.config.write_queues == 1);
    assert!(ensure(false, 1).await.config.order);
    broker.topics.send(OrderTopics { topics: vec!["TBW102".into(), "absent".into()] }).await.unwrap();
    assert!(broker.table.get("TBW102").unwrap().config.order);
}

#[actix::test]
async fn a_deleted_topic_is_gone_at_once_and_comes_back_as_another() {
    let broker = Broker::fresh().await;
    let first = broker.send_to("T", "TBW102", 2).await.unwrap();
    // The log is not there in this test, so the deletion cannot be told to be complete; the topic is gone all the same.
    let told = broker.topics.send(DeleteTopic { topic: name("T") }).await.unwrap();
    assert_eq!(told, Err(QueueError::Unavailable));
    assert!(!broker.table.contains("T"));
    let second = broker.send_to("T", "TBW102", 2).await.unwrap();
    assert!(second.slots.iter().all(|slot| !first.slots.contains(slot)));
    let heard = broker.registration.send(Heard).await.unwrap();
    assert!(heard.iter().any(|one| one.deleted == [name("T")]));
}

#[actix::test]
async fn topics_come_back_after_a_stop() {
    let broker = Broker::fresh().await;
    broker.send_to("T", "TBW102", 3).await.unwrap();
    broker.update(vec![with_attributes("U", &[("+message.type", "DELAY")])]).await.unwrap();
    let before = broker.topics.send(ListTopics).await.unwrap();
    let broker = broker.reopened().await;
    let after = broker.topics.send(ListTopics).await.unwrap();
    assert_eq!(after.version, before.version);
    let configs = |list: &TopicList| list.topics.iter().map(|entry| entry.config.clone()).collect::<Vec<_>>();
    assert_eq!(configs(&after), configs(&before));
    let mut slots: Vec<u32> = after.topics.iter().flat_map(|entry| entry.slots.iter().map(|slot| slot.0)).collect();
    slots.sort_unstable();
    assert_eq!(slots, (0..broker.table.slots_given()).collect::<Vec<_>>());
}

#[actix::test]
async fn many_changes_are_few_writes() {
    let broker = Broker::fresh().await;
    for number in 0..50 {
        broker.send_to(&format!("T{number}"), "TBW102", 1).await.unwrap();
    }
    broker.topics.send(Stop).await.unwrap();
    assert!(file(&broker.directory, "topics.json").contains("\"T49\""));
}

#[actix::test]
async fn an_owner_that_is_rebuilt_goes_on_from_what_was_published() {
    let broker = Broker::fresh().await;
    let made = broker.send_to("T", "TBW102", 2).await.unwrap();
    let given = broker.table.slots_given();
    let rebuilt = open(&broker.config, &broker.table);
    assert_eq!(rebuilt.table.slots_given(), given);
    assert_eq!(*broker.table.get("T").unwrap().slots, *made.slots);
}

#[actix::test]
async fn a_file_of_4_9_is_read_and_goes_before_the_system_topics() {
    let directory = tempfile::tempdir().unwrap();
    let text = r#"{"dataVersion":{"counter":7,"timestamp":1600000000000},"topicConfigTable":{
        "Old":{"order":true,"perm":4,"readQueueNums":3,"topicFilterType":"MULTI_TAG","topicName":"Old","topicSysFlag":1,"writeQueueNums":2},
        "TBW102":{"perm":7,"readQueueNums":2,"topicName":"TBW102","writeQueueNums":2},
        "no/topic":{"perm":6},"Wide":{"readQueueNums":2000000000,"writeQueueNums":-1}}}"#;
    write_file(&directory, "topics.json", text);
    let broker = Broker::open(directory).await;
    let old = broker.table.get("Old").unwrap();
    assert!(old.config.order && old.config.filter == TopicFilter::MultiTag && old.config.sys_flag == 1);
    assert_eq!((old.config.read_queues, old.config.write_queues, old.slots.len()), (3, 2, 3));
    assert_eq!(broker.table.get("TBW102").unwrap().config.write_queues, 2);
    let wide = broker.table.get("Wide").unwrap();
    assert_eq!((wide.config.read_queues, wide.config.write_queues), (TOPIC_QUEUES_MAX, 0));
    assert_eq!(broker.topics.send(ListTopics).await.unwrap().version.counter, 7);
}

#[actix::test]
async fn a_broken_file_gives_way_to_the_one_before_and_two_stop_the_start() {
    let directory = tempfile::tempdir().unwrap();
    write_file(&directory, "topics.json", "{\"topicConfigTable\":");
    write_file(&directory, "topics.json.bak", r#"{"topicConfigTable":{"Kept":{"perm":6}}}"#);
    let broker = Broker::open(directory).await;
    assert!(broker.table.contains("Kept"));
    let directory = tempfile::tempdir().unwrap();
    write_file(&directory, "topics.json", "{");
    write_file(&directory, "topics.json.bak", "[");
    let config = settings(&directory);
    let offsets = Offsets::open(Arc::clone(&config), Arc::default()).unwrap().start();
    let table = Arc::default();
    let opened = Topics::open(config, Arc::clone(&table), closed_log(&table), Door::new(offsets));
    assert!(opened.err().unwrap().to_string().contains("topics.json cannot be read"));
}

#[test]
fn the_file_has_apaches_form() {
    let table = TopicTable::default();
    let attributes = BTreeMap::from([("message.type".to_owned(), "FIFO".to_owned())]);
    let entry = table.publish_for_tests(TopicConfig { attributes, ..TopicConfig::new(name("T"), 4) });
    let version = DataVersion { counter: 1, state_version: 0, timestamp: 5 };
    let text = String::from_utf8(file::encode(version, &[entry])).unwrap();
    let flat: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    assert_eq!(
        flat,
        r#"{"dataVersion":{"counter":1,"stateVersion":0,"timestamp":5},"topicConfigTable":{"T":{"attributes":{"message.type":"FIFO"},"order":false,"perm":6,"readQueueNums":4,"topicFilterType":"SINGLE_TAG","topicName":"T","topicSysFlag":0,"writeQueueNums":4}}}"#
    );
    assert!(text.contains("\n\t\t\"T\":{"), "{text}");
    let (read, configs) = file::decode(&text).unwrap();
    assert_eq!((read, configs), (version, vec![table.get("T").unwrap().config.clone()]));
}

#[test]
fn files_that_apache_wrote_come_back_as_they_were() {
    let new = include_str!("../../../../tests/vectors/config/topics.new.json");
    let (version, configs) = file::decode(new).unwrap();
    let table = TopicTable::default();
    let entries: Vec<_> = configs.into_iter().map(|config| table.publish_for_tests(config)).collect();
    assert_eq!(String::from_utf8(file::encode(version, &entries)).unwrap(), new);
    let (_, old) = file::decode(include_str!("../../../../tests/vectors/config/topics.old.json")).unwrap();
    assert_eq!(old.len(), entries.len());
    assert_eq!((&old[0].topic, old[0].read_queues), (&entries[0].config.topic, entries[0].config.read_queues));
}

proptest::proptest! {
    #[test]
    fn any_text_is_a_table_or_an_error(text in r#"[\[\]{}:,"0-9a-zA-Z.\-\\ ]{0,200}"#, bytes: Vec<u8>) {
        let _ = file::decode(&text);
        let _ = file::decode(&String::from_utf8_lossy(&bytes));
        let _ = file::decode(&format!("{{\"topicConfigTable\":{{\"T\":{text}}}}}"));
    }
}
