use tokio::sync::mpsc;

use super::*;

/// Answers surveys with what a test put there, and notes what was assigned.
struct World {
    members: Vec<String>,
    surveys: u32,
    told: mpsc::UnboundedSender<Assigned>,
}

impl Actor for World {
    type Context = Context<Self>;
}

impl Handler<Survey> for World {
    type Result = Vec<View>;

    fn handle(&mut self, survey: Survey, _: &mut Context<Self>) -> Vec<View> {
        self.surveys += 1;
        let view = |topic: &Arc<str>| View {
            topic: Arc::clone(topic),
            queues: (0..4).rev().map(|n| MessageQueue::new(topic, "b", n)).collect(),
            members: self.members.clone(),
        };
        survey.topics.iter().filter(|topic| &***topic != "unknown").map(view).collect()
    }
}

impl Handler<Assigned> for World {
    type Result = ();

    fn handle(&mut self, assigned: Assigned, _: &mut Context<Self>) {
        self.told.send(Assigned { members: 0, ..assigned }).unwrap();
    }
}

#[derive(Message)]
#[rtype(result = "u32")]
struct Set(Vec<&'static str>);

impl Handler<Set> for World {
    type Result = u32;

    fn handle(&mut self, set: Set, _: &mut Context<Self>) -> u32 {
        self.members = set.0.into_iter().map(str::to_owned).collect();
        self.surveys
    }
}

fn start(members: Vec<&str>, interval: Duration) -> (Addr<World>, Addr<Rebalance>, mpsc::UnboundedReceiver<Assigned>) {
    let (told, heard) = mpsc::unbounded_channel();
    let world = World { members: members.into_iter().map(str::to_owned).collect(), surveys: 0, told }.start();
    let rebalance = Rebalance::new(Sharing {
        me: "me".into(),
        strategy: Strategy::Averagely,
        interval,
        survey: world.clone().recipient(),
        consumer: world.clone().recipient(),
    });
    (world, rebalance.start(), heard)
}

fn assigned(topic: &str, queues: std::ops::Range<u32>) -> Assigned {
    Assigned { topic: topic.into(), queues: queues.map(|n| MessageQueue::new(topic, "b", n)).collect(), members: 0 }
}

#[actix::test]
async fn a_share_is_told_when_it_changes() {
    let (world, rebalance, mut heard) = start(vec!["me", "other"], INTERVAL);
    rebalance.send(Subscribe { topic: "T".into() }).await.unwrap();
    assert_eq!(heard.recv().await.unwrap(), assigned("T", 0..2));
    rebalance.send(MembersChanged).await.unwrap();
    world.send(Set(vec!["me"])).await.unwrap();
    rebalance.send(MembersChanged).await.unwrap();
    assert_eq!(heard.recv().await.unwrap(), assigned("T", 0..4), "the same share was not told again");
    rebalance.send(Unsubscribe { topic: "T".into() }).await.unwrap();
    assert_eq!(heard.recv().await.unwrap(), assigned("T", 0..0));
    rebalance.send(Retire).await.unwrap();
    assert!(!rebalance.connected());
}

#[actix::test]
async fn the_clock_shares_too() {
    let (world, rebalance, mut heard) = start(vec!["me"], Duration::from_millis(20));
    rebalance.send(Subscribe { topic: "T".into() }).await.unwrap();
    assert_eq!(heard.recv().await.unwrap(), assigned("T", 0..4));
    world.send(Set(vec!["a", "me"])).await.unwrap();
    assert_eq!(heard.recv().await.unwrap(), assigned("T", 2..4));
}

#[actix::test]
async fn who_is_not_a_member_gets_nothing_and_asks_again_soon() {
    let (world, rebalance, mut heard) = start(vec!["other"], INTERVAL);
    rebalance.send(Subscribe { topic: "T".into() }).await.unwrap();
    assert_eq!(heard.recv().await.unwrap(), assigned("T", 0..0));
    world.send(Set(vec!["me", "other"])).await.unwrap();
    assert_eq!(heard.recv().await.unwrap(), assigned("T", 0..2), "without a notice, before the interval");
}

#[actix::test]
async fn a_topic_that_cannot_be_surveyed_does_not_hold_up_others() {
    let (_world, rebalance, mut heard) = start(vec!["me"], INTERVAL);
    rebalance.send(Subscribe { topic: "unknown".into() }).await.unwrap();
    rebalance.send(Subscribe { topic: "T".into() }).await.unwrap();
    assert_eq!(heard.recv().await.unwrap(), assigned("T", 0..4));
}

#[actix::test]
async fn notices_during_a_survey_make_one_more() {
    let (world, rebalance, mut heard) = start(vec!["me"], INTERVAL);
    rebalance.do_send(Subscribe { topic: "T".into() });
    for _ in 0..100 {
        rebalance.do_send(MembersChanged);
    }
    heard.recv().await.unwrap();
    rebalance.send(MembersChanged).await.unwrap();
    let surveys = world.send(Set(vec!["me"])).await.unwrap();
    assert!(surveys <= 4, "{surveys} surveys");
}
