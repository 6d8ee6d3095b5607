package interop;

import java.time.Duration;
import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/** Looking messages and offsets up. */
final class Querying {
    private static final Duration LIMIT = Duration.ofSeconds(10);

    private Querying() {
    }

    static void add(Cases cases) {
        cases.add("query by key", Querying::byKey);
        cases.add("query by key gives the newest", Querying::newest);
        cases.add("query by key within a time", Querying::withinTime);
        cases.add("query by a key that is not there is 208", Querying::absentKey);
        cases.add("query by unique id", Querying::byUniqueId);
        cases.add("view by offset id", Querying::byOffsetId);
        cases.add("offsets of a queue", Querying::offsets);
        cases.add("offset by time", Querying::offsetByTime);
    }

    /** Bodies found by a key in all time; the index may follow the log by a moment. */
    static Set<String> find(Cluster cluster, String topic, String key) throws Exception {
        return cluster.admin.queryMessage(topic, key, 64, 0, System.currentTimeMillis() + 60_000).getMessageList().stream()
            .map(message -> Texts.text(message.getBody())).collect(Collectors.toSet());
    }

    private static void byKey(Cluster cluster) throws Exception {
        String topic = cluster.newTopic("key", 4);
        cluster.producer.send(new Message(topic, "tag", "apple pear", Texts.bytes("both")));
        cluster.producer.send(new Message(topic, "tag", "apple", Texts.bytes("one")));
        cluster.producer.send(new Message(topic, "tag", "other", Texts.bytes("none")));
        Check.await(LIMIT, "two messages with apple", () -> find(cluster, topic, "apple").equals(Set.of("both", "one")));
        Check.await(LIMIT, "one message with pear", () -> find(cluster, topic, "pear").equals(Set.of("both")));
    }

    private static void newest(Cluster cluster) throws Exception {
        String topic = cluster.newTopic("newest", 1);
        for (int i = 0; i < 10; i++) {
            cluster.producer.send(new Message(topic, "tag", "same", Texts.bytes("m-" + i)));
        }
        Check.await(LIMIT, "ten messages with the key", () -> find(cluster, topic, "same").size() == 10);
        Set<String> three = cluster.admin.queryMessage(topic, "same", 3, 0, System.currentTimeMillis() + 60_000).getMessageList()
            .stream().map(message -> Texts.text(message.getBody())).collect(Collectors.toSet());
        Check.equal(Set.of("m-7", "m-8", "m-9"), three, "three of ten");
    }

    private static void withinTime(Cluster cluster) throws Exception {
        String topic = cluster.newTopic("within", 1);
        cluster.producer.send(new Message(topic, "tag", "when", Texts.bytes("now")));
        Check.await(LIMIT, "the message with the key", () -> find(cluster, topic, "when").size() == 1);
        long now = System.currentTimeMillis();
        Check.fails(MQClientException.class, "the key two hours ago",
            () -> cluster.admin.queryMessage(topic, "when", 64, now - 7_200_000, now - 3_600_000));
        Check.equal(1, cluster.admin.queryMessage(topic, "when", 64, now - 60_000, now + 60_000).getMessageList().size(),
            "messages within a minute");
    }

    private static void absentKey(Cluster cluster) throws Exception {
        String topic = cluster.newTopic("absent", 1);
        MQClientException e = Check.fails(MQClientException.class, "a key that no message has", () -> find(cluster, topic, "absent"));
        Check.equal(208, e.getResponseCode(), "code");
    }

    private static void byUniqueId(Cluster cluster) throws Exception {
        String topic = cluster.newTopic("unique", 4);
        SendResult sent = cluster.producer.send(new Message(topic, Texts.bytes("here")));
        Check.await(LIMIT, "the message by its unique id",
            () -> Texts.text(cluster.producer.viewMessage(topic, sent.getMsgId()).getBody()).equals("here"));
        MessageExt seen = cluster.admin.viewMessage(topic, sent.getMsgId());
        Check.equal(sent.getQueueOffset(), seen.getQueueOffset(), "queue offset");
        Check.equal(sent.getMessageQueue().getQueueId(), seen.getQueueId(), "queue");
    }

    private static void byOffsetId(Cluster cluster) throws Exception {
        String topic = cluster.newTopic("view", 4);
        SendResult sent = cluster.producer.send(new Message(topic, "tag", Texts.bytes("here")));
        MessageExt seen = cluster.producer.viewMessage(topic, sent.getOffsetMsgId());
        Check.equal("here", Texts.text(seen.getBody()), "body");
        Check.equal(topic, seen.getTopic(), "topic");
        Check.equal("tag", seen.getTags(), "tag");
        Check.equal(sent.getMsgId(), seen.getProperty("UNIQ_KEY"), "unique key");
    }

    private static void offsets(Cluster cluster) throws Exception {
        MessageQueue queue = new MessageQueue(cluster.newTopic("offsets", 1), Cluster.BROKER_NAME, 0);
        long before = System.currentTimeMillis();
        cluster.producer.send(Texts.numbered(queue.getTopic(), 8), queue);
        cluster.awaitEnd(List.of(queue), 8);
        Check.equal(0L, cluster.producer.minOffset(queue), "minimum");
        Check.equal(8L, cluster.producer.maxOffset(queue), "maximum");
        long earliest = cluster.producer.earliestMsgStoreTime(queue);
        Check.that(earliest >= before - 1000 && earliest <= System.currentTimeMillis() + 1000, "earliest store time is now: " + earliest);
        var statistics = cluster.admin.examineTopicStats(queue.getTopic()).getOffsetTable().get(queue);
        Check.equal(0L, statistics.getMinOffset(), "minimum by the statistics");
        Check.equal(8L, statistics.getMaxOffset(), "maximum by the statistics");
        Check.that(statistics.getLastUpdateTimestamp() >= earliest, "last update by the statistics");
    }

    private static void offsetByTime(Cluster cluster) throws Exception {
        MessageQueue queue = new MessageQueue(cluster.newTopic("time", 1), Cluster.BROKER_NAME, 0);
        long last = 0;
        for (Message message : Texts.numbered(queue.getTopic(), 5)) {
            // Each message in a millisecond of its own, by the broker's clock, which is this machine's.
            while (System.currentTimeMillis() <= last + 2) {
                Thread.onSpinWait();
            }
            cluster.producer.send(message, queue);
            last = System.currentTimeMillis();
        }
        cluster.awaitEnd(List.of(queue), 5);
        List<MessageExt> stored = Pulling.drain(cluster, queue);
        for (MessageExt message : stored) {
            Check.equal(message.getQueueOffset(), cluster.producer.searchOffset(queue, message.getStoreTimestamp()),
                "offset at the store time of " + message.getQueueOffset());
        }
        Check.equal(3L, cluster.producer.searchOffset(queue, stored.get(2).getStoreTimestamp() + 1), "offset just after the third");
        Check.equal(0L, cluster.producer.searchOffset(queue, 0), "offset before all");
        Check.equal(5L, cluster.producer.searchOffset(queue, last + 60_000), "offset after all");
    }
}
