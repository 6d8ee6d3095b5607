package interop;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendCallback;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.client.producer.SendStatus;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/** Ways to send. */
final class Sending {
    private static final Duration LIMIT = Duration.ofSeconds(20);

    private Sending() {
    }

    static void add(Cases cases) {
        cases.add("send sync", Sending::sync);
        cases.add("send async", Sending::async);
        cases.add("send oneway", Sending::oneway);
        cases.add("send batch", Sending::batch);
        cases.add("send batch to a queue", Sending::batchToQueue);
        cases.add("send to a queue", Sending::toQueue);
        cases.add("send by selector", Sending::bySelector);
        cases.add("send through the fast port", Sending::fastPort);
        cases.add("stored properties are the client's and three more", Sending::properties);
        cases.add("topic made by the first send", Sending::autoCreation);
        cases.add("topic made by the admin client", Sending::topicByAdmin);
    }

    private static void sync(Cluster cluster) throws Exception {
        String topic = cluster.newTopic("sync", 4);
        Map<Integer, Long> next = new HashMap<>();
        Set<String> ids = new HashSet<>();
        for (Message message : Texts.numbered(topic, 20)) {
            SendResult result = cluster.producer.send(message);
            Check.equal(SendStatus.SEND_OK, result.getSendStatus(), "status");
            Check.equal(Cluster.BROKER_NAME, result.getMessageQueue().getBrokerName(), "broker name");
            Check.equal("DefaultRegion", result.getRegionId(), "region");
            long expected = next.merge(result.getMessageQueue().getQueueId(), 1L, Long::sum) - 1;
            Check.equal(expected, result.getQueueOffset(), "queue offset");
            Check.that(ids.add(result.getMsgId()), "id is new");
            Check.that(ids.add(result.getOffsetMsgId()), "offset id is new");
        }
        Check.equal(4, next.size(), "queues used");
        expectBodies(cluster, topic, 4, 20);
    }

    private static void async(Cluster cluster) throws Exception {
        String topic = cluster.newTopic("async", 4);
        CountDownLatch done = new CountDownLatch(100);
        List<Throwable> failures = Collections.synchronizedList(new ArrayList<>());
        for (Message message : Texts.numbered(topic, 100)) {
            cluster.producer.send(message, new SendCallback() {
                @Override
                public void onSuccess(SendResult result) {
                    if (result.getSendStatus() != SendStatus.SEND_OK) {
                        failures.add(new AssertionError(result.toString()));
                    }
                    done.countDown();
                }

                @Override
                public void onException(Throwable e) {
                    failures.add(e);
                    done.countDown();
                }
            });
        }
        Check.that(done.await(LIMIT.toSeconds(), TimeUnit.SECONDS), "all answers within the limit");
        Check.equal(List.of(), failures, "failures");
        expectBodies(cluster, topic, 4, 100);
    }

    private static void oneway(Cluster cluster) throws Exception {
        String topic = cluster.newTopic("oneway", 4);
        for (Message message : Texts.numbered(topic, 100)) {
            cluster.producer.sendOneway(message);
        }
        expectBodies(cluster, topic, 4, 100);
    }

    private static void batch(Cluster cluster) throws Exception {
        String topic = cluster.newTopic("batch", 4);
        List<Message> messages = Texts.numbered(topic, 32);
        SendResult result = cluster.producer.send(messages);
        Check.equal(SendStatus.SEND_OK, result.getSendStatus(), "status");
        Check.equal(0L, result.getQueueOffset(), "offset of the first");
        String[] ids = result.getMsgId().split(",");
        String[] offsetIds = result.getOffsetMsgId().split(",");
        Check.equal(32, ids.length, "ids");
        Check.equal(32, offsetIds.length, "offset ids");
        for (int i = 0; i < 32; i++) {
            MessageExt seen = cluster.producer.viewMessage(topic, offsetIds[i]);
            Check.equal("m-" + i, Texts.text(seen.getBody()), "body by offset id");
            Check.equal((long) i, seen.getQueueOffset(), "queue offset");
            Check.equal(ids[i], seen.getProperty("UNIQ_KEY"), "unique key");
        }
        expectBodies(cluster, topic, 4, 32);
    }

    private static void batchToQueue(Cluster cluster) throws Exception {
        String topic = cluster.newTopic("batch-queue", 4);
        MessageQueue queue = Cluster.queues(topic, 4).get(2);
        cluster.producer.send(Texts.numbered(topic, 5), queue);
        SendResult second = cluster.producer.send(Texts.numbered(topic, 7), queue);
        Check.equal(queue, second.getMessageQueue(), "queue");
        Check.equal(5L, second.getQueueOffset(), "first offset of the second batch");
        cluster.awaitEnd(List.of(queue), 12);
    }

    private static void toQueue(Cluster cluster) throws Exception {
        String topic = cluster.newTopic("queue", 4);
        MessageQueue queue = Cluster.queues(topic, 4).get(3);
        for (int i = 0; i < 10; i++) {
            SendResult result = cluster.producer.send(new Message(topic, Texts.bytes("m-" + i)), queue);
            Check.equal(queue, result.getMessageQueue(), "queue");
            Check.equal((long) i, result.getQueueOffset(), "queue offset");
        }
        cluster.awaitEnd(List.of(queue), 10);
        List<MessageExt> seen = Pulling.drain(cluster, queue);
        Check.equal(10, seen.size(), "messages in the queue");
        Check.equal("m-9", Texts.text(seen.get(9).getBody()), "last body");
    }

    private static void bySelector(Cluster cluster) throws Exception {
        String topic = cluster.newTopic("selector", 4);
        for (int order = 0; order < 12; order++) {
            SendResult result = cluster.producer.send(new Message(topic, Texts.bytes("m-" + order)),
                (queues, message, key) -> queues.get((Integer) key % queues.size()), order);
            Check.equal(order % 4, result.getMessageQueue().getQueueId(), "queue of order " + order);
        }
        for (MessageQueue queue : Cluster.queues(topic, 4)) {
            cluster.awaitEnd(List.of(queue), 3);
        }
    }

    private static void fastPort(Cluster cluster) throws Exception {
        String topic = cluster.newTopic("fast", 4);
        DefaultMQProducer producer = cluster.newProducer();
        producer.setVipChannelEnabled(true);
        producer.start();
        try {
            for (Message message : Texts.numbered(topic, 10)) {
                Check.equal(SendStatus.SEND_OK, producer.send(message).getSendStatus(), "status");
            }
        } finally {
            producer.shutdown();
        }
        expectBodies(cluster, topic, 4, 10);
    }

    private static void properties(Cluster cluster) throws Exception {
        String topic = cluster.newTopic("properties", 1);
        Message message = new Message(topic, "tag", "key1 key2", Texts.bytes("body"));
        message.setFlag(7);
        message.putUserProperty("colour", "grün");
        long before = System.currentTimeMillis();
        SendResult result = cluster.producer.send(message);
        MessageExt seen = cluster.producer.viewMessage(topic, result.getOffsetMsgId());
        Set<String> names = new TreeSet<>(seen.getProperties().keySet());
        Check.equal(new TreeSet<>(Arrays.asList("UNIQ_KEY", "WAIT", "TAGS", "KEYS", "colour", "MSG_REGION", "TRACE_ON", "CLUSTER")),
            names, "names of the properties");
        Check.equal(Cluster.NAME, seen.getProperty("CLUSTER"), "cluster");
        Check.equal("grün", seen.getUserProperty("colour"), "own property");
        Check.equal("tag", seen.getTags(), "tag");
        Check.equal("key1 key2", seen.getKeys(), "keys");
        Check.equal(7, seen.getFlag(), "flag");
        Check.equal(0, seen.getReconsumeTimes(), "reconsume times");
        Check.that(Math.abs(seen.getStoreTimestamp() - before) < 60_000, "store time is now");
        Check.that(Math.abs(seen.getBornTimestamp() - before) < 60_000, "birth time is now");
        Check.equal(cluster.broker, seen.getStoreHost().toString().replaceFirst("^[^/]*/", ""), "store host");
    }

    private static void autoCreation(Cluster cluster) throws Exception {
        String topic = Cluster.name("auto");
        Check.equal(SendStatus.SEND_OK, cluster.producer.send(Texts.numbered(topic, 1).get(0)).getSendStatus(), "status");
        var data = cluster.admin.examineTopicRouteInfo(topic).getQueueDatas().get(0);
        Check.equal(4, data.getWriteQueueNums(), "write queues, the producer's default");
        Check.equal(4, data.getReadQueueNums(), "read queues");
        Check.equal(6, data.getPerm(), "permission");
        for (Message message : Texts.numbered(topic, 10).subList(1, 10)) {
            cluster.producer.send(message);
        }
        expectBodies(cluster, topic, 4, 10);
    }

    private static void topicByAdmin(Cluster cluster) throws Exception {
        String topic = cluster.newTopic("admin", 3);
        var config = cluster.admin.examineTopicConfig(cluster.broker, topic);
        Check.equal(3, config.getReadQueueNums(), "read queues at the broker");
        Check.equal(3, config.getWriteQueueNums(), "write queues at the broker");
        Check.equal(3, cluster.admin.examineTopicStats(topic).getOffsetTable().size(), "queues in the statistics of an empty topic");
        cluster.makeTopic(topic, 5, 6);
        Check.that(cluster.admin.fetchAllTopicList().getTopicList().contains(topic), "topic is listed");
        SendResult result = cluster.producer.send(new Message(topic, Texts.bytes("m-0")), Cluster.queues(topic, 5).get(4));
        Check.equal(0L, result.getQueueOffset(), "offset in the new queue");
    }

    /** The topic holds the bodies m-0 ... once each. */
    private static void expectBodies(Cluster cluster, String topic, int queues, int count) throws Exception {
        Set<String> seen = new HashSet<>();
        cluster.awaitEnd(Cluster.queues(topic, queues), count);
        for (MessageQueue queue : Cluster.queues(topic, queues)) {
            long next = 0;
            for (MessageExt message : Pulling.drain(cluster, queue)) {
                Check.equal(next++, message.getQueueOffset(), "dense queue offsets");
                Check.that(seen.add(Texts.text(message.getBody())), "body is there once");
            }
        }
        Check.equal(count, seen.size(), "messages in " + topic);
        for (int i = 0; i < count; i++) {
            Check.that(seen.contains("m-" + i), "body m-" + i);
        }
    }
}
