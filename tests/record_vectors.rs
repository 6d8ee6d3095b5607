//! Records, batches, properties and hashes against what RocketMQ's own code wrote: the vectors that the store and the send
//! path rest on.

use std::path::PathBuf;

use actormq::protocol::record::{NewRecord, Record, properties_in};
use actormq::protocol::{batch, hash, properties};
use actormq::store::consume_queue::Entry;
use actormq::store::recovery::DispatchRules;
use serde_json::Value;

fn vectors(name: &str) -> Vec<Vec<String>> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors").join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let lines = text.split('\n').filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| line.split('\t').map(str::to_owned).collect()).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).unwrap() as u8;
    text.as_bytes().chunks_exact(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

fn map(text: &str) -> Value {
    let pairs = properties::pairs(text).map(|(name, value)| (name.to_owned(), Value::from(value)));
    Value::Object(pairs.collect())
}

fn host(text: &str) -> std::net::SocketAddr {
    text.parse().unwrap_or_else(|_| panic!("{text}"))
}

#[test]
fn records_are_read_as_rocketmq_reads_them() {
    let list = vectors("records.txt");
    assert!(list.len() >= 5);
    for vector in &list {
        let (name, said, bytes) = (&vector[0], serde_json::from_str::<Value>(&vector[2]).unwrap(), unhex(&vector[3]));
        let record = Record::read(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        record.check_crc().unwrap();
        assert_eq!(said["size"], record.size, "{name}");
        assert_eq!(said["bodyCrc"], record.body_crc, "{name}");
        assert_eq!((&said["queueId"], &said["flag"]), (&record.queue.into(), &record.flag.into()), "{name}");
        assert_eq!(said["queueOffset"], record.queue_offset, "{name}");
        assert_eq!(said["logOffset"], record.physical_offset, "{name}");
        assert_eq!(said["sysFlag"], record.sys_flag, "{name}");
        assert_eq!(said["bornTimestamp"], record.born_timestamp_ms, "{name}");
        assert_eq!(said["storeTimestamp"], record.store_timestamp_ms, "{name}");
        assert_eq!(host(said["bornHost"].as_str().unwrap()), record.born_host, "{name}");
        assert_eq!(host(said["storeHost"].as_str().unwrap()), record.store_host, "{name}");
        assert_eq!(said["reconsumeTimes"], record.reconsume_times, "{name}");
        assert_eq!(said["preparedTransactionOffset"], record.prepared_transaction_offset, "{name}");
        assert_eq!(said["topic"], record.topic, "{name}");
        assert_eq!(unhex(said["body"].as_str().unwrap()), record.body, "{name}");
        assert_eq!(said["properties"], map(record.properties), "{name}");
        assert_eq!(properties_in(&bytes), Some(record.properties), "{name}");
    }
}

#[test]
fn records_are_written_as_rocketmqs_store_writes_them() {
    for vector in vectors("records.txt").iter().filter(|vector| vector[1] == "store") {
        let bytes = unhex(&vector[3]);
        let record = Record::read(&bytes).unwrap();
        let pieces = [record.properties.as_bytes()];
        let new = NewRecord {
            topic: record.topic,
            queue: record.queue,
            flag: record.flag,
            sys_flag: record.sys_flag,
            born_timestamp_ms: record.born_timestamp_ms,
            born_host: record.born_host,
            store_host: record.store_host,
            reconsume_times: record.reconsume_times,
            prepared_transaction_offset: record.prepared_transaction_offset,
            body: record.body,
            properties: &pieces,
        };
        let mut out = Vec::new();
        new.encode(&mut out);
        // Offsets and the store time are the writer's to fill in.
        let timestamp_at = actormq::protocol::record::store_timestamp_at(record.sys_flag);
        for place in [20..28, 28..36, timestamp_at..timestamp_at + 8] {
            out[place.clone()].copy_from_slice(&bytes[place]);
        }
        assert_eq!(out, bytes, "{}", vector[0]);
    }
}

#[test]
fn consume_queue_entries_are_rocketmqs() {
    let rules = DispatchRules::default();
    let records: Vec<Vec<u8>> =
        vectors("records.txt").iter().filter(|vector| vector[1] == "store").map(|vector| unhex(&vector[3])).collect();
    let ours: Vec<Entry> = records
        .iter()
        .map(|bytes| Record::read(bytes).unwrap())
        .filter(|record| record.topic == "TopicTest" && record.queue == 1)
        .filter_map(|record| rules.entry(&record))
        .collect();
    let theirs: Vec<Entry> = vectors("consume_queue.txt")
        .iter()
        .map(|vector| Entry::decode(unhex(&vector[0]).first_chunk().unwrap()))
        .collect();
    assert!(!theirs.is_empty());
    assert_eq!(ours[..theirs.len()], theirs);
}

#[test]
fn batch_bodies_are_rocketmqs() {
    for vector in vectors("batches.txt") {
        let bytes = unhex(&vector[2]);
        let entries: Vec<_> = batch::entries(&bytes).collect::<Result<_, _>>().unwrap();
        let said: Vec<Value> = serde_json::from_str(&vector[1]).unwrap();
        assert_eq!((entries.len().to_string(), entries.len()), (vector[0].clone(), said.len()));
        for (entry, said) in entries.iter().zip(&said) {
            assert_eq!(said["flag"], entry.flag);
            assert_eq!(unhex(said["body"].as_str().unwrap()), entry.body);
            assert_eq!(said["properties"], map(entry.properties));
        }
        let mut again = Vec::new();
        entries.iter().for_each(|entry| batch::push(&mut again, entry));
        assert_eq!(again, bytes);
    }
}

#[test]
fn properties_are_read_as_rocketmq_reads_them() {
    for vector in vectors("properties.txt") {
        let bytes = vector.get(2).map(|hex| unhex(hex)).unwrap_or_default();
        let Ok(text) = String::from_utf8(bytes) else { continue };
        // Where a name comes twice, RocketMQ's map keeps the last; so does this one.
        assert_eq!(serde_json::from_str::<Value>(&vector[1]).unwrap(), map(&text), "{text:?}");
    }
}

#[test]
fn hashes_are_javas() {
    for vector in vectors("hashes.txt") {
        let text = vector.get(1).map(|hex| String::from_utf8(unhex(hex)).unwrap()).unwrap_or_default();
        assert_eq!(hash::hash(&text).to_string(), vector[0], "{text:?}");
    }
}
