use proptest::{prop_assert_eq, proptest};

use super::*;

fn queues(brokers: &[&str], each: u32) -> Vec<MessageQueue> {
    let mut all: Vec<_> = brokers.iter().flat_map(|b| (0..each).map(|n| MessageQueue::new("T", b, n))).collect();
    all.sort();
    all
}

fn members(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("c{n:03}")).collect()
}

fn numbers(share: &[MessageQueue]) -> Vec<u32> {
    share.iter().map(|queue| queue.queue).collect()
}

#[test]
fn averagely_gives_neighbours_and_the_first_get_more() {
    let (all, four) = (queues(&["b"], 10), members(4));
    let share = |me: &str| numbers(&Strategy::Averagely.share(me, &all, &four).unwrap());
    assert_eq!(share("c000"), [0, 1, 2]);
    assert_eq!(share("c001"), [3, 4, 5]);
    assert_eq!(share("c002"), [6, 7]);
    assert_eq!(share("c003"), [8, 9]);
    assert_eq!(share("stranger"), [0; 0]);
    let many = members(12);
    assert_eq!(numbers(&Strategy::Averagely.share("c009", &all, &many).unwrap()), [9]);
    assert_eq!(numbers(&Strategy::Averagely.share("c011", &all, &many).unwrap()), [0; 0]);
}

#[test]
fn by_circle_deals_one_by_one() {
    let share = Strategy::AveragelyByCircle.share("c001", &queues(&["b"], 7), &members(3)).unwrap();
    assert_eq!(numbers(&share), [1, 4]);
}

#[test]
fn hashes_are_those_of_java() {
    // MD5 of "a" begins 0cc175b9, of "" d41d8cd9.
    assert_eq!(ring_hash("a"), 0x0cc1_75b9);
    assert_eq!(ring_hash(""), 0xd41d_8cd9);
    assert_eq!(MessageQueue::new("T", "b", 3).to_string(), "MessageQueue [topic=T, brokerName=b, queueId=3]");
}

#[test]
fn machine_room_reads_rooms_off_broker_names() {
    let rooms = BTreeSet::from(["r1".to_owned()]);
    let strategy = Strategy::MachineRoom { rooms };
    let all = queues(&["r1@a", "r2@b", "plain", "r1@x@y"], 5);
    let share = |me: &str| strategy.share(me, &all, &members(2)).unwrap();
    assert!(share("c000").iter().chain(&share("c001")).all(|queue| &*queue.broker == "r1@a"));
    assert_eq!(numbers(&share("c000")), [0, 1, 4]);
    assert_eq!(numbers(&share("c001")), [2, 3]);
    assert_eq!(room_in_name("r@b@"), Some("r"));
    assert_eq!(room_in_name("r@"), None);
}

#[derive(Debug)]
struct Prefix;

impl Rooms for Prefix {
    fn of_queue(&self, queue: &MessageQueue) -> Option<String> {
        queue.broker.split_once('-').map(|(room, _)| room.to_owned())
    }

    fn of_client(&self, client_id: &str) -> Option<String> {
        client_id.split_once('-').map(|(room, _)| room.to_owned())
    }
}

#[test]
fn nearby_prefers_the_own_room_and_shares_orphaned_ones() {
    let strategy = Strategy::MachineRoomNearby { inner: Box::default(), rooms: Arc::new(Prefix) };
    assert_eq!(strategy.name(), "MACHINE_ROOM_NEARBY-AVG");
    let all = queues(&["r1-a", "r2-a", "r3-a"], 4);
    let clients = ["r1-x", "r1-y", "r2-x"].map(str::to_owned);
    let share = |me: &str| {
        let share = strategy.share(me, &all, &clients).unwrap();
        share.iter().map(|queue| format!("{}{}", queue.broker, queue.queue)).collect::<Vec<_>>()
    };
    assert_eq!(share("r1-x"), ["r1-a0", "r1-a1", "r3-a0", "r3-a1"]);
    assert_eq!(share("r1-y"), ["r1-a2", "r1-a3", "r3-a2"]);
    assert_eq!(share("r2-x"), ["r2-a0", "r2-a1", "r2-a2", "r2-a3", "r3-a3"]);
    let unknown = strategy.share("r1-x", &queues(&["plain"], 1), &clients);
    assert_eq!(unknown, Err(AssignmentError::QueueRoom("plain".into())));
}

#[test]
fn config_is_always_the_same() {
    let fixed = queues(&["b"], 2);
    assert_eq!(Strategy::Config(fixed.clone()).share("anyone", &[], &[]).unwrap(), fixed);
}

proptest! {
    #[test]
    fn every_queue_has_one_owner(per_broker in 0u32..40, brokers in 1usize..4, clients in 1usize..20) {
        let names: Vec<_> = (0..brokers).map(|n| format!("b{n}")).collect();
        let all = queues(&names.iter().map(String::as_str).collect::<Vec<_>>(), per_broker);
        let who = members(clients);
        let strategies = [
            Strategy::Averagely,
            Strategy::AveragelyByCircle,
            Strategy::ConsistentHash { virtual_nodes: VIRTUAL_NODES },
        ];
        for strategy in strategies {
            let mut given: Vec<_> = who.iter().flat_map(|me| strategy.share(me, &all, &who).unwrap()).collect();
            given.sort();
            prop_assert_eq!(&given, &all);
        }
    }
}
