use tempfile::TempDir;

use super::*;
use crate::actors::catalog::testing::{change, file, settings, write_file};

struct Broker {
    directory: TempDir,
    config: Arc<ArcSwap<BrokerConfig>>,
    table: Arc<GroupTable>,
    groups: Addr<Groups>,
}

impl Broker {
    fn open(directory: TempDir) -> Self {
        let config = settings(&directory);
        let table = Arc::new(GroupTable::default());
        let groups = Groups::open(Arc::clone(&config), Arc::clone(&table)).unwrap().start();
        Self { directory, config, table, groups }
    }

    fn fresh() -> Self {
        Self::open(tempfile::tempdir().unwrap())
    }

    async fn reopened(self) -> Self {
        self.groups.send(Stop).await.unwrap();
        Self::open(self.directory)
    }

    async fn ensure(&self, name: &str) -> Result<Arc<GroupConfig>, GroupError> {
        self.groups.send(EnsureGroup { group: group(name) }).await.unwrap()
    }
}

fn group(name: &str) -> Group {
    Group::new(name).unwrap()
}

fn topic(name: &str) -> Topic {
    Topic::new(name).unwrap()
}

#[actix::test]
async fn a_group_makes_itself_on_first_use_where_that_is_allowed() {
    let broker = Broker::fresh();
    assert!(broker.table.contains("TOOLS_CONSUMER") && !broker.table.contains("g"));
    let made = broker.ensure("g").await.unwrap();
    assert_eq!((made.group_name.as_str(), made.retry_max_times, made.retry_queue_nums), ("g", 16, 1));
    change(&broker.config, |config| config.clients.auto_create_group = false);
    assert_eq!(broker.ensure("h").await.unwrap_err(), GroupError::Unknown { group: group("h") });
    assert!(broker.ensure("g").await.is_ok());
    assert!(broker.ensure("CID_RMQ_SYS_x").await.is_ok());
}

#[actix::test]
async fn settings_of_a_group_come_back_after_a_stop() {
    let broker = Broker::fresh();
    let config = GroupConfig { retry_max_times: 3, consume_enable: false, ..GroupConfig::default() };
    broker.groups.send(UpdateGroups { groups: vec![(group("g"), config)] }).await.unwrap().unwrap();
    broker.groups.send(Forbid { group: group("g"), topic: topic("T"), readable: false }).await.unwrap().unwrap();
    let before = broker.groups.send(ListGroups).await.unwrap();
    let broker = broker.reopened().await;
    assert_eq!(broker.groups.send(ListGroups).await.unwrap(), before);
    assert_eq!(broker.table.get("g").unwrap().retry_max_times, 3);
    assert!(!broker.table.may_read(&group("g"), &topic("T")));
    assert!(broker.table.may_read(&group("g"), &topic("U")));
    let flat: String = file(&broker.directory, "subscriptionGroup.json").split_whitespace().collect();
    assert!(flat.contains(r#""forbiddenTable":{"g":{"T":4}}"#), "{flat}");
}

#[actix::test]
async fn a_deleted_group_takes_what_it_was_forbidden_along() {
    let broker = Broker::fresh();
    broker.ensure("g").await.unwrap();
    for readable in [false, false] {
        broker.groups.send(Forbid { group: group("g"), topic: topic("T"), readable }).await.unwrap().unwrap();
    }
    assert_eq!(broker.table.forbidden_pairs(), 1);
    assert!(broker.groups.send(DeleteGroup { group: group("g") }).await.unwrap());
    assert!(!broker.groups.send(DeleteGroup { group: group("g") }).await.unwrap());
    assert!(!broker.table.contains("g") && broker.table.may_read(&group("g"), &topic("T")));
    broker.groups.send(Forbid { group: group("g"), topic: topic("T"), readable: true }).await.unwrap().unwrap();
    assert_eq!(broker.table.forbidden_pairs(), 0);
}

#[actix::test]
async fn attributes_of_groups_are_refused_for_there_are_none() {
    let broker = Broker::fresh();
    let attributes = BTreeMap::from([("+colour".to_owned(), "red".to_owned())]);
    let config = GroupConfig { attributes, ..GroupConfig::default() };
    let refused = broker.groups.send(UpdateGroups { groups: vec![(group("g"), config)] }).await.unwrap();
    assert_eq!(refused.unwrap_err().to_string(), "unsupported key: colour");
    assert!(!broker.table.contains("g"));
}

#[actix::test]
async fn a_file_of_4_9_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let text = r#"{"dataVersion":{"counter":2,"timestamp":1},"subscriptionGroupTable":{"g":{"brokerId":0,
        "consumeBroadcastEnable":false,"consumeEnable":true,"consumeFromMinEnable":true,"groupName":"g",
        "notifyConsumerIdsChangedEnable":false,"retryMaxTimes":5,"retryQueueNums":2,"whichBrokerWhenConsumeSlowly":1},
        "no/group":{}}}"#;
    write_file(&directory, "subscriptionGroup.json", text);
    let broker = Broker::open(directory);
    let found = broker.table.get("g").unwrap();
    assert!(!found.consume_broadcast_enable && !found.notify_consumer_ids_changed_enable);
    assert_eq!((found.retry_max_times, found.retry_queue_nums, found.consume_timeout_minute), (5, 2, 15));
    assert!(broker.table.contains("TOOLS_CONSUMER"));
}

#[actix::test]
async fn an_owner_that_is_rebuilt_goes_on_from_what_was_published() {
    let broker = Broker::fresh();
    broker.ensure("g").await.unwrap();
    let rebuilt = Groups::open(Arc::clone(&broker.config), Arc::clone(&broker.table)).unwrap().start();
    assert!(rebuilt.send(ListGroups).await.unwrap().subscription_group_table.contains_key("g"));
}

#[actix::test]
async fn files_that_apache_wrote_come_back_as_they_were() {
    for name in ["subscriptionGroup.new.json", "subscriptionGroup.old.json"] {
        let vectors = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/config");
        let text = std::fs::read_to_string(vectors.join(name)).unwrap();
        let wanted = SubscriptionGroupTable::decode_file(text.as_bytes()).unwrap();
        let directory = tempfile::tempdir().unwrap();
        write_file(&directory, "subscriptionGroup.json", &text);
        let broker = Broker::open(directory);
        let mut listed = broker.groups.send(ListGroups).await.unwrap();
        listed.subscription_group_table.retain(|group, _| wanted.subscription_group_table.contains_key(group));
        assert_eq!(listed, wanted, "{name}");
    }
}
