//! An administrator's calls.

use std::collections::BTreeMap;
use std::sync::Arc;

use actormq::client::ClientError;
use actormq::client::admin::{AttributeChange, GroupConfig, KeyQuery, Place, Reset, ResetTo, TopicConfig, TopicKind};
use actormq::client::{Message, MessageQueue, PullOptions, PushOptions, StartFrom};

use crate::cases::Cases;
use crate::ledger::{Ledger, listen};
use crate::{World, name, numbered, text, until};

pub fn add(cases: &mut Cases) {
    cases.add("admin: a topic is made, shown, changed, deleted", topics);
    cases.add("admin: a group is made, shown, changed, deleted", groups);
    cases.add("admin: offsets are shown, reset, cloned", offsets);
    cases.add("admin: messages are found by ids, key and offset", messages);
    cases.add("admin: the cluster, its settings and its state", cluster);
    cases.add("admin: who is connected", connections);
}

async fn topics(world: Arc<World>) {
    let topic = name("made");
    let config = TopicConfig {
        topic_name: topic.clone(),
        perm: 6,
        read_queue_nums: 3,
        write_queue_nums: 2,
        ..TopicConfig::default()
    };
    let fifo = AttributeChange::Set { name: "message.type".into(), value: "FIFO".into() };
    let made_on = world.admin.put_topic(&config, &[fifo], &Place::Cluster("DefaultCluster".into())).await.unwrap();
    assert_eq!(made_on.len(), 1);
    until("the route is there", async || world.admin.topic_route(&topic).await.is_ok()).await;
    let route = world.admin.topic_route(&topic).await.unwrap();
    assert_eq!((route[0].read_queues, route[0].write_queues, route[0].perm), (3, 2, 6));
    let shown = world.admin.topic(&topic).await.unwrap();
    assert_eq!(shown[0].config.attributes.get("message.type").map(String::as_str), Some("FIFO"));
    let broker = Place::Broker(shown[0].broker.clone());
    world.admin.put_topic(&TopicConfig { write_queue_nums: 3, ..config.clone() }, &[], &broker).await.unwrap();
    until("the change is there", async || world.admin.topic(&topic).await.unwrap()[0].config.write_queue_nums == 3)
        .await;
    assert!(world.admin.topics().await.unwrap().contains(&topic));
    assert_eq!((TopicKind::of(&topic), TopicKind::of("TBW102")), (TopicKind::Normal, TopicKind::System));

    world.send(&topic, numbered(0..9)).await;
    until("messages are counted", async || world.admin.topic_status(&topic).await.unwrap().messages() == 9).await;
    let status = world.admin.topic_status(&topic).await.unwrap();
    assert_eq!(status.queues.len(), 3);
    assert!(status.queues.iter().all(|queue| queue.min_offset == 0 && queue.last_stored_ms.is_some()), "{status:?}");
    world.admin.delete_topic(&topic).await.unwrap();
    until("the topic is gone", async || {
        matches!(world.admin.topic_route(&topic).await, Err(ClientError::TopicNotFound { .. }))
    })
    .await;
    assert!(matches!(world.admin.delete_topic(&topic).await, Err(ClientError::TopicNotFound { .. })));
}

async fn groups(world: Arc<World>) {
    let group = name("made");
    let config = GroupConfig { group_name: group.clone(), retry_max_times: 3, ..GroupConfig::default() };
    world.admin.put_group(&config, &Place::Everywhere).await.unwrap();
    assert!(world.admin.groups().await.unwrap().contains(&group));
    assert_eq!(world.admin.group(&group).await.unwrap()[0].config.retry_max_times, 3);
    let changed = GroupConfig { consume_enable: false, ..config };
    world.admin.put_group(&changed, &Place::Everywhere).await.unwrap();
    let shown = world.admin.group(&group).await.unwrap();
    assert!(!shown[0].config.consume_enable && shown[0].config.retry_max_times == 3);
    assert!(world.admin.all_groups().await.unwrap().iter().any(|placed| placed.config.group_name == group));
    world.admin.delete_group(&group, false).await.unwrap();
    // Either gone, or made anew where groups make themselves.
    assert!(world.admin.group(&group).await.unwrap().iter().all(|placed| placed.config.consume_enable));
    assert!(world.admin.group(&name("nobody")).await.unwrap().is_empty());
}

async fn offsets(world: Arc<World>) {
    let topic = world.topic("offsets", 2).await;
    let group = name("offsets");
    world.send(&topic, numbered(0..20)).await;
    let options = PullOptions { start_from: StartFrom::First, ..PullOptions::new(&group) };
    let mut consumer = world.client.pull_consumer_with(options).await.unwrap();
    consumer.assign(&world.client.queues(&topic).await.unwrap(), "*".into()).await.unwrap();
    let mut count = 0;
    while count < 20 {
        count += consumer.poll(std::time::Duration::from_secs(5)).await.unwrap().len();
    }
    consumer.commit().await.unwrap();
    consumer.shutdown().await.unwrap();
    let at = async |group: &str| {
        let progress = world.admin.progress(group, Some(&topic)).await.unwrap();
        progress.iter().map(|queue| (queue.committed_offset, queue.max_offset, queue.lag)).collect::<Vec<_>>()
    };
    until("all is committed", async || at(&group).await == [(10, 10, 0), (10, 10, 0)]).await;
    until("the topic knows its group", async || world.admin.groups_of_topic(&topic).await.unwrap().contains(&group))
        .await;

    let reset = |to, queue| Reset { group: group.clone(), topic: topic.clone(), to, broker: None, queue };
    let done = world.admin.reset(&reset(ResetTo::First, None)).await.unwrap();
    assert_eq!(done.iter().map(|queue| queue.offset).collect::<Vec<_>>(), [0, 0]);
    let done = world.admin.reset(&reset(ResetTo::Offset(4), Some(1))).await.unwrap();
    assert_eq!((done.len(), done[0].queue, done[0].offset), (1, 1, 4));
    let options = PullOptions { start_from: StartFrom::First, ..PullOptions::new(&group) };
    let mut consumer = world.client.pull_consumer_with(options).await.unwrap();
    consumer.assign(&world.client.queues(&topic).await.unwrap(), "*".into()).await.unwrap();
    let mut bodies = Vec::new();
    while bodies.len() < 16 {
        bodies.extend(consumer.poll(std::time::Duration::from_secs(5)).await.unwrap());
    }
    assert_eq!(bodies.len(), 16, "ten of the first queue, six of the second");
    consumer.shutdown().await.unwrap();
    until("all is committed again", async || at(&group).await == [(10, 10, 0), (10, 10, 0)]).await;
    let heir = name("heir");
    world.admin.clone_offsets(&group, &heir, Some(&topic)).await.unwrap();
    until("the heir goes on there", async || at(&heir).await == [(10, 10, 0), (10, 10, 0)]).await;
}

async fn messages(world: Arc<World>) {
    let topic = world.topic("found", 1).await;
    world.send(&topic, numbered(0..3)).await;
    let key = name("key");
    let receipt = world.producer.send(Message::new(&topic, "wanted").key(&key)).await.unwrap();
    let found = world.admin.message_by_offset_id(&receipt.offset_message_id).await.unwrap();
    assert_eq!((text(&found).as_str(), found.queue_offset), ("wanted", 3));
    let queue = MessageQueue::clone(&receipt.queue);
    until("the queue has it", async || world.admin.message_at(&queue, 3).await.unwrap().is_some()).await;
    assert_eq!(text(&world.admin.message_at(&queue, 3).await.unwrap().unwrap()), "wanted");
    assert!(world.admin.message_at(&queue, 9).await.unwrap().is_none());
    let query = KeyQuery::new(&topic, &key);
    // The index is a moment behind.
    until("the key is known", async || world.admin.messages_by_key(&query).await.is_ok_and(|all| all.len() == 1)).await;
    let by_id = world.admin.messages_by_unique_key(&topic, &receipt.message_id).await.unwrap();
    assert_eq!((by_id.len(), by_id[0].message_id()), (1, receipt.message_id.to_string()));
    assert!(world.admin.message_by_offset_id("nonsense").await.is_err());
}

async fn cluster(world: Arc<World>) {
    let cluster = world.admin.cluster().await.unwrap();
    assert_eq!(cluster.brokers.len(), 1);
    let broker = &cluster.brokers[0];
    assert_eq!((broker.cluster.as_str(), broker.broker.as_str(), broker.broker_id), ("DefaultCluster", "broker-a", 0));
    assert_eq!(cluster.masters(), cluster.brokers);
    let settings = world.admin.broker_settings(&broker.address).await.unwrap();
    assert_eq!(settings.get("brokerName").map(String::as_str), Some("broker-a"));
    let wanted = BTreeMap::from([("shortPollingTimeMills".to_owned(), "901".to_owned())]);
    world.admin.update_broker_settings(&broker.address, &wanted).await.unwrap();
    let settings = world.admin.broker_settings(&broker.address).await.unwrap();
    assert_eq!(settings.get("shortPollingTimeMills").map(String::as_str), Some("901"));
    // Apache's broker refuses in the first seconds after its start.
    until("the broker tells its state", async || world.admin.broker_status(&broker.address).await.is_ok()).await;
    let status = world.admin.broker_status(&broker.address).await.unwrap();
    assert!(status.version.contains("5_5_0") && status.started_ms.is_some(), "{status:?}");
}

async fn connections(world: Arc<World>) {
    let topic = world.topic("connected", 1).await;
    let group = name("connected");
    let client = world.another().await;
    let (ledger, producers) = (Arc::<Ledger>::default(), name("producers"));
    let consumer = listen(&client, PushOptions::new(&group), &topic, "a", &ledger).await;
    let producer = client.producer(&producers).await.unwrap();
    producer.send(Message::new(&topic, "x")).await.unwrap();
    until("the consumer is known", async || world.admin.consumers(&group).await.unwrap().is_some()).await;
    let shown = world.admin.consumers(&group).await.unwrap().unwrap();
    assert_eq!((shown.clients(), shown.members[0].client_id.as_str()), (1, client.id()));
    assert!(shown.subscriptions.iter().any(|wanted| wanted.topic == topic && wanted.expression == "*"), "{shown:?}");
    assert!(world.admin.all_consumers().await.unwrap().iter().any(|other| other.group == group));
    let known = async || {
        let all = world.admin.producers().await.unwrap();
        all.iter().any(|of| of.group == producers && of.member.client_id == client.id())
    };
    until("the producer is known", known).await;
    consumer.shutdown().await.unwrap();
    until("the consumer has left", async || world.admin.consumers(&group).await.unwrap().is_none()).await;
    producer.shutdown().await.unwrap();
    client.shutdown().await;
}
