//! How queues are shared out, against what RocketMQ's own classes did with the same queues and members.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use actormq::client::{MessageQueue, Rooms, Strategy};

const VECTORS: &str = include_str!("../vectors/assignments.txt");

/// What stands before the first `@`.
#[derive(Debug)]
struct BeforeAt;

fn room(name: &str) -> Option<String> {
    name.split_once('@').map(|(room, _)| room.to_owned())
}

impl Rooms for BeforeAt {
    fn of_queue(&self, queue: &MessageQueue) -> Option<String> {
        room(&queue.broker)
    }

    fn of_client(&self, client_id: &str) -> Option<String> {
        room(client_id)
    }
}

fn list(text: &str) -> Vec<String> {
    text.split(',').filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

fn strategy(name: &str, parameter: &str, queues: &[MessageQueue]) -> Strategy {
    match name {
        "AVG" => Strategy::Averagely,
        "AVG_BY_CIRCLE" => Strategy::AveragelyByCircle,
        "CONSISTENT_HASH" => Strategy::ConsistentHash {
            virtual_nodes: if parameter.is_empty() { 10 } else { parameter.parse().unwrap() },
        },
        "CONFIG" => {
            let fixed = list(parameter).iter().map(|at| queues[at.parse::<usize>().unwrap()].clone()).collect();
            Strategy::Config(fixed)
        }
        "MACHINE_ROOM" => Strategy::MachineRoom { rooms: parameter.split(',').map(str::to_owned).collect() },
        "MACHINE_ROOM_NEARBY" => {
            let inner = Box::new(strategy(parameter, "", queues));
            Strategy::MachineRoomNearby { inner, rooms: Arc::new(BeforeAt) }
        }
        other => panic!("no strategy is called {other}"),
    }
}

#[test]
fn every_strategy_shares_as_rocketmqs_classes_do() {
    let mut cases = BTreeMap::<&str, usize>::new();
    for line in VECTORS.lines().filter(|line| !line.starts_with('#')) {
        let parts: Vec<_> = line.split('\t').collect();
        let [name, parameter, brokers, members, owners, me, share] = parts[..] else { panic!("{line}") };
        let mut queues = Vec::new();
        for broker in brokers.split(',') {
            let (broker, count) = broker.rsplit_once(':').unwrap();
            queues.extend((0..count.parse().unwrap()).map(|queue| MessageQueue::new("T", broker, queue)));
        }
        queues.sort();
        let members = list(members);
        let strategy = strategy(name, parameter, &queues);
        let at = |queue: &MessageQueue| queues.binary_search(queue).unwrap();
        let mine: Vec<_> = strategy.share(me, &queues, &members).unwrap().iter().map(at).collect();
        let expected: Vec<usize> = list(share).iter().map(|index| index.parse().unwrap()).collect();
        assert_eq!(mine, expected, "{line}");
        if name != "CONFIG" {
            for (index, member) in members.iter().enumerate() {
                let digit = char::from_digit(index as u32, 36).unwrap();
                let theirs: BTreeSet<_> =
                    owners.char_indices().filter(|(_, o)| *o == digit).map(|(at, _)| at).collect();
                let ours: BTreeSet<_> = strategy.share(member, &queues, &members).unwrap().iter().map(at).collect();
                assert_eq!(ours, theirs, "{member}: {line}");
            }
        }
        *cases.entry(name).or_default() += 1;
    }
    assert!(cases.len() == 6 && cases.values().all(|count| *count == 600), "{cases:?}");
}
