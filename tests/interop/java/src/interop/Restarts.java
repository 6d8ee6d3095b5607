package interop;

import java.nio.file.Files;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.locks.LockSupport;
import java.util.regex.Pattern;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.client.producer.SendStatus;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/** The broker stops or is killed and comes back: nothing acknowledged is lost, and consumers go on where they were. */
final class Restarts {
    private static final Duration LIMIT = Duration.ofSeconds(60);

    private Restarts() {
    }

    static void add(Cases cases) {
        cases.addAlone("restart after a clean stop", cluster -> around(cluster, cluster::stop));
        cases.addAlone("restart after kill -9", cluster -> around(cluster, cluster::kill));
        cases.addAlone("restart after kill -9 under load", Restarts::underLoad);
    }

    private interface Ending {
        void end(String role) throws Exception;
    }

    private static void around(Cluster cluster, Ending ending) throws Exception {
        String topic = cluster.newTopic("restart", 3);
        String group = Cluster.name("restart");
        Map<String, SendResult> sent = new HashMap<>();
        for (int i = 0; i < 60; i++) {
            String body = "m-" + i;
            sent.put(body, cluster.producer.send(new Message(topic, "tag", "key-" + i, Texts.bytes(body))));
        }
        Inbox before = new Inbox();
        DefaultMQPushConsumer consumer = before.start(cluster, group, topic, "*");
        Check.await(LIMIT, "60 messages received", () -> before.size() == 60);
        consumer.shutdown();
        MessageQueue queue = Cluster.queues(topic, 3).get(1);
        String other = Cluster.name("other");
        Pulling.commit(cluster, other, queue, 7);
        // All groups are written at once, so the push consumer's commits are there as well.
        awaitStored(cluster, topic, other, 7);
        ending.end("broker");
        cluster.start("broker");
        cluster.awaitRoute(topic);

        Check.equal(3, cluster.admin.examineTopicConfig(cluster.broker, topic).getWriteQueueNums(), "queues of the topic");
        cluster.awaitEnd(Cluster.queues(topic, 3), sent.size());
        expectAll(cluster, topic, sent);
        Check.equal(7L, Pulling.committed(cluster, other, queue), "committed offset");
        Inbox after = new Inbox();
        DefaultMQPushConsumer second = after.startOwning(cluster, group, topic, "*", 3);
        try {
            SendResult next = cluster.producer.send(new Message(topic, Texts.bytes("after")), queue);
            Check.equal(20L, next.getQueueOffset(), "the next offset of the queue");
            Check.await(LIMIT, "the message sent after the restart", () -> after.has("after"));
            Check.equal(Set.of("after"), after.bodies(), "what the group gets after the restart");
        } finally {
            second.shutdown();
        }
    }

    /** Waits until the broker has written a group's offset down: it does so now and then, not at each commit. */
    static void awaitStored(Cluster cluster, String topic, String group, long offset) throws Exception {
        var file = cluster.store.resolve("config/consumerOffset.json");
        var entry = Pattern.compile(
            "\"" + topic + "@" + group + "\"\\s*:\\s*\\{[^}]*\\d+\"?\\s*:\\s*" + offset + "\\s*[,}]");
        Check.await(LIMIT, "offset " + offset + " of " + group + " in " + file,
            () -> entry.matcher(Files.readString(file)).find());
    }

    /** Each message is where its send said, once, and found by its ids and its key. */
    private static void expectAll(Cluster cluster, String topic, Map<String, SendResult> sent) throws Exception {
        Map<String, MessageExt> seen = new HashMap<>();
        for (MessageQueue queue : Cluster.queues(topic, 3)) {
            for (MessageExt message : Pulling.drain(cluster, queue)) {
                Check.that(seen.put(Texts.text(message.getBody()), message) == null, "each message once");
            }
        }
        Check.equal(sent.keySet(), seen.keySet(), "bodies in the topic");
        for (Map.Entry<String, SendResult> each : sent.entrySet()) {
            MessageExt message = seen.get(each.getKey());
            Check.equal(each.getValue().getQueueOffset(), message.getQueueOffset(), "queue offset");
            Check.equal(each.getValue().getMessageQueue().getQueueId(), message.getQueueId(), "queue");
            Check.equal(each.getKey(), Texts.text(cluster.producer.viewMessage(topic, each.getValue().getOffsetMsgId()).getBody()),
                "body by offset id");
            String key = message.getKeys();
            Check.await(LIMIT, "the message by its key", () -> Querying.find(cluster, topic, key).equals(Set.of(each.getKey())));
        }
    }

    private static void underLoad(Cluster cluster) throws Exception {
        String topic = cluster.newTopic("kill", 4);
        String group = Cluster.name("kill");
        Inbox inbox = new Inbox();
        DefaultMQPushConsumer consumer = inbox.startOwning(cluster, group, topic, "*", 4);
        ConcurrentLinkedQueue<SendResult> acknowledged = new ConcurrentLinkedQueue<>();
        Map<String, String> bodies = new ConcurrentHashMap<>();
        AtomicBoolean over = new AtomicBoolean();
        List<Thread> senders = new ArrayList<>();
        DefaultMQProducer producer = cluster.newProducer();
        producer.setRetryTimesWhenSendFailed(0);
        producer.setSendMsgTimeout(3000);
        producer.start();
        for (int thread = 0; thread < 4; thread++) {
            int number = thread;
            senders.add(new Thread(() -> sendUntil(over, producer, topic, number, acknowledged, bodies)));
        }
        try {
            senders.forEach(Thread::start);
            Check.await(LIMIT, "1000 messages under load", () -> acknowledged.size() >= 1000 && inbox.size() > 100);
            cluster.kill("broker");
            int atTheKill = acknowledged.size();
            cluster.start("broker");
            Check.await(LIMIT, "200 messages after the kill", () -> acknowledged.size() > atTheKill + 200);
            over.set(true);
            for (Thread sender : senders) {
                sender.join(LIMIT.toMillis());
            }
            expectAcknowledged(cluster, topic, acknowledged);
            Check.await(LIMIT, "all " + bodies.size() + " acknowledged messages received",
                () -> inbox.bodies().containsAll(bodies.keySet()));
        } finally {
            over.set(true);
            consumer.shutdown();
            producer.shutdown();
        }
    }

    private static void sendUntil(AtomicBoolean over, DefaultMQProducer producer, String topic, int thread,
        ConcurrentLinkedQueue<SendResult> acknowledged, Map<String, String> bodies) {
        for (int i = 0; !over.get(); i++) {
            String body = thread + "-" + i;
            try {
                SendResult result = producer.send(new Message(topic, "tag", "key-" + body, Texts.bytes(body)));
                if (result.getSendStatus() == SendStatus.SEND_OK) {
                    acknowledged.add(result);
                    bodies.put(body, result.getMsgId());
                }
            } catch (Exception e) {
                // Not acknowledged: it may be there or not. Sends fail at once while the broker is down.
                LockSupport.parkNanos(20_000_000);
            }
        }
    }

    private static void expectAcknowledged(Cluster cluster, String topic, Iterable<SendResult> acknowledged) throws Exception {
        Map<Integer, Map<Long, String>> seen = new HashMap<>();
        Set<String> ids = new HashSet<>();
        for (MessageQueue queue : Cluster.queues(topic, 4)) {
            Map<Long, String> keys = seen.computeIfAbsent(queue.getQueueId(), id -> new HashMap<>());
            long next = 0;
            for (MessageExt message : Pulling.drain(cluster, queue)) {
                Check.equal(next++, message.getQueueOffset(), "dense offsets in " + queue);
                keys.put(message.getQueueOffset(), message.getProperty("UNIQ_KEY"));
                Check.that(ids.add(message.getProperty("UNIQ_KEY")), "each message once");
            }
        }
        for (SendResult each : acknowledged) {
            Check.equal(each.getMsgId(), seen.get(each.getMessageQueue().getQueueId()).get(each.getQueueOffset()),
                "message at " + each.getMessageQueue() + " offset " + each.getQueueOffset());
        }
    }
}
