use tempfile::TempDir;

use super::*;
use crate::actors::catalog::testing::{file as text_of, settings, write_file};
use crate::protocol::body::offsets::ConsumerOffsets;

struct Broker {
    directory: TempDir,
    resets: Arc<Resets>,
    offsets: Addr<Offsets>,
}

impl Broker {
    fn open(directory: TempDir) -> Self {
        let resets = Arc::new(Resets::default());
        let offsets = Offsets::open(settings(&directory), Arc::clone(&resets)).unwrap().start();
        Self { directory, resets, offsets }
    }

    fn fresh() -> Self {
        Self::open(tempfile::tempdir().unwrap())
    }

    async fn reopened(self) -> Self {
        self.offsets.send(Stop).await.unwrap();
        Self::open(self.directory)
    }

    async fn commit(&self, kind: CommitKind, commits: &[(&str, &str, u32, u64)]) {
        let commit = |(group, topic, queue, offset): &(&str, &str, u32, u64)| Commit {
            group: group_of(group),
            topic: topic_of(topic),
            queue: *queue,
            offset: *offset,
            kind,
        };
        self.offsets.do_send(Commits(commits.iter().map(commit).collect()));
    }

    async fn consumed(&self, commits: &[(&str, &str, u32, u64)]) {
        self.commit(CommitKind::Consumed, commits).await;
    }

    async fn at(&self, group: &str, topic: &str, queue: u32) -> Option<u64> {
        let query = QueryProgress { group: group_of(group), topic: topic_of(topic), queue };
        self.offsets.send(query).await.unwrap().committed
    }

    async fn view(&self) -> OffsetsView {
        self.offsets.send(ViewOffsets::default()).await.unwrap()
    }
}

fn group_of(name: &str) -> Group {
    Group::new(name).unwrap()
}

fn topic_of(name: &str) -> Topic {
    Topic::new(name).unwrap()
}

fn queue(topic: &str, queue: u32) -> QueueKey {
    QueueKey { topic: topic_of(topic), queue }
}

#[actix::test]
async fn a_question_after_a_commit_sees_it() {
    let broker = Broker::fresh();
    broker.consumed(&[("g", "T", 0, 5), ("g", "T", 1, 7), ("g", "T", 0, 6)]).await;
    assert_eq!(broker.at("g", "T", 0).await, Some(6));
    assert_eq!(broker.at("g", "T", 1).await, Some(7));
    assert_eq!(broker.at("g", "T", 2).await, None);
    assert_eq!(broker.at("h", "T", 0).await, None);
    broker.consumed(&[("g", "T", 0, 2)]).await;
    assert_eq!(broker.at("g", "T", 0).await, Some(2));
}

#[actix::test]
async fn where_pulls_began_is_kept_apart_from_what_is_consumed() {
    let broker = Broker::fresh();
    broker.commit(CommitKind::Pulled, &[("g", "T", 0, 9)]).await;
    assert_eq!(broker.at("g", "T", 0).await, None);
    let view = broker.view().await;
    assert_eq!(view.progress(&group_of("g"), &topic_of("T"), 0), Progress { committed: None, pulled: Some(9) });
    assert!(view.topics_of(&group_of("g")).is_empty() && view.groups_of(&topic_of("T")).is_empty());
    broker.consumed(&[("g", "T", 0, 3), ("g", "U", 0, 3)]).await;
    assert_eq!(broker.view().await.topics_of(&group_of("g")).len(), 2);
    let of_one = broker.offsets.send(ViewOffsets { topic: Some(topic_of("U")), group: None }).await.unwrap();
    assert!(of_one.of(&group_of("g"), &topic_of("T")).is_none());
    assert_eq!(of_one.queue_keys(), [queue("U", 0)].into());
}

#[actix::test]
async fn offsets_come_back_after_a_stop() {
    let broker = Broker::fresh();
    broker.consumed(&[("g", "T", 0, 12), ("g", "T", 1, 7), ("h", "T", 0, 1)]).await;
    let broker = broker.reopened().await;
    assert_eq!(broker.at("g", "T", 1).await, Some(7));
    assert_eq!(broker.at("h", "T", 0).await, Some(1));
    let flat: String = text_of(&broker.directory, "consumerOffset.json").split_whitespace().collect();
    assert!(flat.contains(r#""groupTopicMap":{"g":["T"],"h":["T"]}"#), "{flat}");
    assert!(flat.contains(r#""offsetTable":{"T@g":{0:12,1:7},"T@h":{0:1}}"#), "{flat}");
}

#[actix::test]
async fn the_file_follows_ten_seconds_after_the_start_and_then_each_interval() {
    let broker = Broker::fresh();
    tokio::time::pause();
    broker.consumed(&[("g", "T", 0, 1)]).await;
    assert_eq!(broker.at("g", "T", 0).await, Some(1));
    tokio::time::sleep(Duration::from_millis(9_900)).await;
    assert_eq!(text_of(&broker.directory, "consumerOffset.json"), "");
    tokio::time::sleep(Duration::from_millis(200)).await;
    tokio::time::resume();
    written(&broker, "{0:1}").await;
    broker.consumed(&[("g", "T", 0, 2)]).await;
    broker.offsets.send(Stop).await.unwrap();
    written(&broker, "{0:2}").await;
}

/// Waits until the file says so.
async fn written(broker: &Broker, wanted: &str) {
    loop {
        let flat: String = text_of(&broker.directory, "consumerOffset.json").split_whitespace().collect();
        if flat.contains(wanted) {
            return;
        }
        tokio::task::yield_now().await;
    }
}

#[actix::test]
async fn a_reset_goes_before_commits_until_a_pull_was_told() {
    let broker = Broker::fresh();
    broker.consumed(&[("g", "T", 0, 100)]).await;
    let (group, topic) = (group_of("g"), topic_of("T"));
    let reset = ResetOffsets { group: group.clone(), topic, offsets: vec![(0, 10), (1, 20)] };
    broker.offsets.send(reset).await.unwrap();
    assert_eq!(broker.resets.pending(&group, &queue("T", 0)), Some(10));
    broker.consumed(&[("g", "T", 0, 101)]).await;
    assert_eq!(broker.at("g", "T", 0).await, Some(10));
    let told = |offset| ResetTold { group: group.clone(), queue: queue("T", 0), offset };
    broker.offsets.send(told(9)).await.unwrap();
    assert!(broker.resets.pending(&group, &queue("T", 0)).is_some());
    broker.offsets.send(told(10)).await.unwrap();
    assert!(broker.resets.pending(&group, &queue("T", 0)).is_none() && !broker.resets.is_empty());
    broker.consumed(&[("g", "T", 0, 11)]).await;
    assert_eq!(broker.at("g", "T", 0).await, Some(11));
}

#[actix::test]
async fn offsets_beyond_a_queues_end_are_lowered_on_disk() {
    let broker = Broker::fresh();
    broker.consumed(&[("g", "T", 0, 100), ("g", "T", 1, 5), ("h", "T", 0, 50), ("g", "U", 0, 9)]).await;
    let ends = HashMap::from([(queue("T", 0), 60), (queue("T", 1), 5), (queue("V", 0), 0)]);
    assert_eq!(broker.offsets.send(Lower { ends }).await.unwrap().unwrap(), 1);
    let flat: String = text_of(&broker.directory, "consumerOffset.json").split_whitespace().collect();
    assert!(flat.contains(r#""T@g":{0:60,1:5},"T@h":{0:50},"U@g":{0:9}"#), "{flat}");
    assert_eq!(broker.offsets.send(Lower { ends: HashMap::new() }).await.unwrap().unwrap(), 0);
}

#[actix::test]
async fn offsets_go_with_their_topic_and_with_their_group() {
    let broker = Broker::fresh();
    broker.consumed(&[("g", "T", 0, 1), ("g", "U", 0, 2), ("h", "U", 0, 3)]).await;
    broker.offsets.send(ForgetTopic { topic: topic_of("T") }).await.unwrap();
    assert_eq!(broker.at("g", "T", 0).await, None);
    broker.offsets.send(ForgetGroup { group: group_of("g") }).await.unwrap();
    assert_eq!(broker.at("g", "U", 0).await, None);
    assert_eq!(broker.at("h", "U", 0).await, Some(3));
    let broker = broker.reopened().await;
    assert_eq!(broker.view().await.queue_keys(), [queue("U", 0)].into());
}

#[actix::test]
async fn a_group_goes_on_where_another_is() {
    let broker = Broker::fresh();
    broker.consumed(&[("g", "T", 0, 1), ("g", "T", 1, 2), ("g", "U", 0, 9), ("h", "T", 0, 7)]).await;
    let clone = CloneOffsets { from: group_of("g"), to: group_of("h"), topics: vec![topic_of("T"), topic_of("X")] };
    broker.offsets.send(clone).await.unwrap();
    assert_eq!((broker.at("h", "T", 0).await, broker.at("h", "T", 1).await), (Some(1), Some(2)));
    assert_eq!(broker.at("h", "U", 0).await, None);
}

#[actix::test]
async fn what_apache_wrote_is_kept_even_where_it_means_nothing_here() {
    let directory = tempfile::tempdir().unwrap();
    let text = r#"{"offsetTable":{"T@g":{0:12,1:-1,"2":3},"T@g@broadcast":{0:5},"no topic":{7:1}}}"#;
    write_file(&directory, "consumerOffset.json", text);
    let broker = Broker::open(directory);
    assert_eq!(broker.at("g", "T", 0).await, Some(12));
    assert_eq!(broker.at("g", "T", 1).await, None);
    assert_eq!(broker.at("g", "T", 2).await, Some(3));
    let listed = broker.offsets.send(EncodeOffsets).await.unwrap();
    let body = ConsumerOffsets::decode(&listed).unwrap();
    assert_eq!(body.offset_table.get("T@g@broadcast").unwrap().get(&0), Some(&5));
    assert_eq!(body.offset_table.get("no topic").unwrap().get(&7), Some(&1));
}

#[test]
fn files_that_apache_wrote_come_back_as_they_were() {
    let new = include_str!("../../../../tests/vectors/config/consumerOffset.new.json");
    let stored = file::decode(new).unwrap();
    let written = file::body(stored.version, &stored.view, stored.foreign).encode_file();
    assert_eq!(String::from_utf8(written).unwrap(), new);
    let old = file::decode(include_str!("../../../../tests/vectors/config/consumerOffset.old.json")).unwrap();
    assert_eq!(old.view.committed(&group_of("cg"), &topic_of("TopicTest"), 0), Some(12));
}

proptest::proptest! {
    #[test]
    fn any_text_is_a_table_or_an_error(text in r#"[\[\]{}:,"0-9a-zA-Z.@\-\\ ]{0,200}"#, bytes: Vec<u8>) {
        let _ = file::decode(&text);
        let _ = file::decode(&String::from_utf8_lossy(&bytes));
        let _ = file::decode(&format!("{{\"offsetTable\":{{\"T@g\":{{{text}}}}}}}"));
    }

    #[test]
    fn offsets_come_back_as_they_were_written(
        offsets in proptest::collection::btree_map((0..4_u8, 0..4_u8, 0..9_u32), 0..u64::MAX / 2, 0..30),
    ) {
        let mut view = OffsetsView::default();
        for ((group, topic, queue), offset) in &offsets {
            let pair = (group_of(&format!("g{group}")), topic_of(&format!("T{topic}")));
            let progress = Progress { committed: Some(*offset), pulled: offset.is_multiple_of(2).then_some(offset / 2) };
            Arc::make_mut(view.queues.entry(pair).or_default()).insert(*queue, progress);
        }
        let text = file::body(DataVersion::default(), &view, file::Foreign::new()).encode_file();
        let read = file::decode(std::str::from_utf8(&text).unwrap()).unwrap();
        proptest::prop_assert_eq!(read.view.queues, view.queues);
    }
}
