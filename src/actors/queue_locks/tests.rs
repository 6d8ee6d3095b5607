use super::*;
use crate::actors::crash::Crash;
use crate::actors::supervision;

const NONE: [i32; 0] = [];

fn queues(numbers: std::ops::Range<i32>) -> Vec<MessageQueue> {
    numbers.map(|queue_id| MessageQueue { topic: "T".into(), broker_name: "b".into(), queue_id }).collect()
}

fn group(name: &str) -> Group {
    Group::new(name).unwrap()
}

struct Story {
    table: Arc<LockTable>,
    locks: Addr<QueueLocks>,
}

impl Story {
    fn begin() -> Self {
        let table = Arc::<LockTable>::default();
        let locks = supervision::start_here(QueueLocks::new(table.clone()), |_| {});
        Self { table, locks }
    }

    async fn lock(&self, name: &str, client: &str, numbers: std::ops::Range<i32>) -> Vec<i32> {
        let wish = Lock { group: group(name), client_id: client.into(), queues: queues(numbers) };
        let mut granted: Vec<_> = self.locks.send(wish).await.unwrap().iter().map(|queue| queue.queue_id).collect();
        granted.sort_unstable();
        granted
    }

    async fn unlock(&self, name: &str, client: &str, numbers: std::ops::Range<i32>) {
        let wish = Unlock { group: group(name), client_id: client.into(), queues: queues(numbers) };
        self.locks.send(wish).await.unwrap();
    }
}

async fn pass(time: Duration) {
    tokio::time::advance(time).await;
}

#[actix::test]
async fn a_queue_has_one_holder_within_a_group() {
    let story = Story::begin();
    assert_eq!(story.lock("g", "a", 0..3).await, [0, 1, 2]);
    assert_eq!(story.lock("g", "b", 1..5).await, [3, 4], "what another holds is not given");
    assert_eq!(story.lock("g", "a", 0..3).await, [0, 1, 2], "the holder gets its own again");
    assert_eq!(story.lock("other", "b", 0..3).await, [0, 1, 2], "groups are independent");
    story.unlock("g", "b", 0..3).await;
    assert_eq!(story.lock("g", "b", 0..3).await, NONE, "a stranger's unlock changes nothing");
    story.unlock("g", "a", 0..2).await;
    assert_eq!(story.lock("g", "b", 0..3).await, [0, 1]);
}

#[actix::test]
async fn a_lock_lives_sixty_seconds_after_its_last_renewal() {
    tokio::time::pause();
    let story = Story::begin();
    story.lock("g", "a", 0..2).await;
    pass(Duration::from_secs(40)).await;
    story.lock("g", "a", 0..1).await;
    pass(Duration::from_millis(20_001)).await;
    assert_eq!(story.lock("g", "b", 0..2).await, [1], "one was renewed, the other not");
    assert!(story.table.holds_any("g"));
    pass(LOCK_LIFE - Duration::from_millis(1)).await;
    assert!(story.table.holds_any("g"), "b still holds one");
    pass(Duration::from_millis(2)).await;
    assert!(!story.table.holds_any("g"));
    assert_eq!(story.lock("g", "c", 0..2).await, [0, 1]);
}

#[actix::test]
async fn whether_a_group_holds_any_queue_is_published() {
    let story = Story::begin();
    assert!(!story.table.holds_any("g"));
    story.lock("g", "a", 0..2).await;
    assert!(story.table.holds_any("g") && !story.table.holds_any("other"));
    story.unlock("g", "a", 0..1).await;
    assert!(story.table.holds_any("g"));
    story.unlock("g", "a", 0..2).await;
    assert!(!story.table.holds_any("g"));
}

#[actix::test]
async fn what_nobody_renews_is_forgotten() {
    tokio::time::pause();
    let story = Story::begin();
    for number in 0..50 {
        story.lock(&format!("g-{number}"), "a", 0..10).await;
    }
    assert_eq!(story.table.groups.len(), 50);
    tokio::time::sleep(LOCK_LIFE + EXPIRY_SCAN_INTERVAL).await;
    story.lock("last", "a", 0..1).await;
    assert_eq!(story.table.groups.len(), 1);
}

#[actix::test]
async fn locks_outlive_the_end_of_their_owner() {
    let story = Story::begin();
    story.lock("g", "a", 0..2).await;
    let (told, ended) = tokio::sync::oneshot::channel();
    let mut told = Some(told);
    let second = supervision::start_here(QueueLocks::new(story.table.clone()), move |_| {
        let _ = told.take().unwrap().send(());
    });
    second.do_send(Crash);
    ended.await.unwrap();
    let third = supervision::start_here(QueueLocks::new(story.table.clone()), |_| {});
    let story = Story { table: story.table, locks: third };
    assert_eq!(story.lock("g", "b", 0..3).await, [2]);
    assert_eq!(story.lock("g", "a", 0..3).await, [0, 1]);
}

#[test]
fn what_peers_make_it_hold_is_bounded() {
    let mut locks = QueueLocks::new(Arc::default());
    locks.bytes_max = 3 * (LOCK_BYTES + 8);
    let now = Instant::now();
    let wish = |client: &str, numbers| Lock { group: group("g"), client_id: client.into(), queues: queues(numbers) };
    assert_eq!(locks.lock(wish("a", 0..100), now).len(), 3);
    assert_eq!(locks.lock(wish("b", 3..100), now).len(), 0);
    assert_eq!(locks.lock(wish("a", 0..100), now).len(), 3, "what is held is renewed all the same");
    locks.unlock(&Unlock { group: group("g"), client_id: "a".into(), queues: queues(0..1) });
    assert_eq!(locks.lock(wish("b", 3..100), now).len(), 1);
    locks.expire(now + LOCK_LIFE + Duration::from_secs(1));
    assert_eq!(locks.bytes, 0);
    let long = MessageQueue { topic: "t".repeat(256), ..MessageQueue::default() };
    assert_eq!(locks.lock(Lock { group: group("g"), client_id: "a".into(), queues: vec![long] }, now).len(), 0);
    assert_eq!(locks.table.groups.len(), 0, "a group without locks is not kept");
}

/// A thousand consumers with ten queues each say within twenty seconds that they keep them.
#[test]
fn renewals_are_cheap() {
    use crate::protocol::body::Body;
    use crate::protocol::body::locks::{LockBatchRequest, LockBatchResponse};
    const CONSUMERS: i32 = 1_000;
    const QUEUES_EACH: i32 = 10;
    /// A twentieth of a core for the time between two renewals.
    const BUDGET: Duration = Duration::from_secs(1);
    let mut locks = QueueLocks::new(Arc::default());
    let body = |consumer: i32| LockBatchRequest {
        client_id: format!("10.0.0.1@{consumer}#1234567890"),
        consumer_group: "orderly-consumers".into(),
        mq_set: queues(consumer * QUEUES_EACH..(consumer + 1) * QUEUES_EACH),
        only_this_broker: false,
    };
    let bodies: Vec<_> = (0..CONSUMERS).map(|consumer| body(consumer).encode()).collect();
    let mut round = || {
        let began = cpu_time();
        for body in &bodies {
            let body = LockBatchRequest::decode(body).unwrap();
            let wish =
                Lock { group: group(&body.consumer_group), client_id: body.client_id.into(), queues: body.mq_set };
            let locked = locks.lock(wish, Instant::now());
            assert_eq!(locked.len(), QUEUES_EACH as usize);
            assert!(!LockBatchResponse { locked }.encode().is_empty());
        }
        cpu_time() - began
    };
    let _first = round();
    let renewed = round();
    assert!(renewed < BUDGET, "a round of renewals took {renewed:?} of this thread");
}

/// What the calling thread has used of a core.
fn cpu_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` outlives the call, which writes nothing else.
    assert_eq!(unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) }, 0);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
