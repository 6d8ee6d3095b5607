package interop;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.PullStatus;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/** Delay levels, retries and dead letters. The servers are set to levels of 1 s, 2 s, 1 s, 1 s, and then RocketMQ's own. */
final class Retrying {
    private static final Duration LIMIT = Duration.ofSeconds(60);

    private Retrying() {
    }

    static void add(Cases cases) {
        cases.add("a delay level: not before its time, and with RocketMQ's properties", Retrying::delayLevel);
        cases.add("a delay level beyond the last", Retrying::beyondTheLast);
        cases.add("a delayed batch is refused", Retrying::delayedBatch);
        cases.add("a failing listener gets its message again, and then it is a dead letter", Retrying::deadLetter);
        cases.add("a listener's own delay level, and the dead letters at once", Retrying::ownLevel);
    }

    /** What a listener saw, in order. */
    private record Seen(List<MessageExt> messages) {
        Seen() {
            this(Collections.synchronizedList(new ArrayList<>()));
        }

        MessageExt await(int count) throws Exception {
            Check.await(LIMIT, count + " deliveries", () -> messages.size() >= count);
            return messages.get(count - 1);
        }
    }

    /** A consumer that pulls; {@code level} is what it asks for each message that it fails, or null to take all. */
    private static DefaultMQPushConsumer start(Cluster cluster, String group, String topic, Seen seen, Integer level) throws Exception {
        DefaultMQPushConsumer consumer = new DefaultMQPushConsumer(group);
        consumer.setNamesrvAddr(cluster.namesrv);
        consumer.setVipChannelEnabled(false);
        consumer.setInstanceName(Cluster.name("instance"));
        consumer.setMaxReconsumeTimes(2);
        // The route of the group's retry topic is asked for as often.
        consumer.setPollNameServerInterval(1000);
        if (cluster.isApache()) {
            consumer.setHeartbeatBrokerInterval(1000);
        }
        consumer.subscribe(topic, "red");
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            seen.messages.addAll(messages);
            if (level == null) {
                return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
            }
            context.setDelayLevelWhenNextConsume(level);
            return ConsumeConcurrentlyStatus.RECONSUME_LATER;
        });
        consumer.start();
        return consumer;
    }

    private static void delayLevel(Cluster cluster) throws Exception {
        String topic = cluster.newTopic("delay", 4);
        Seen seen = new Seen();
        DefaultMQPushConsumer consumer = start(cluster, Cluster.name("delay"), topic, seen, null);
        try {
            Message message = new Message(topic, "red", "key", Texts.bytes("late"));
            message.setDelayTimeLevel(2);
            MessageQueue queue = Cluster.queues(topic, 4).get(3);
            SendResult sent = cluster.producer.send(message, queue);
            Check.equal(queue, sent.getMessageQueue(), "the queue that the sender is told");
            MessageExt waiting = view(cluster, topic, sent.getOffsetMsgId());
            Check.equal("SCHEDULE_TOPIC_XXXX/1", waiting.getTopic() + "/" + waiting.getQueueId(), "where it waits");
            MessageExt came = seen.await(1);
            long waited = came.getStoreTimestamp() - waiting.getStoreTimestamp();
            Check.that(waited >= 2000 && waited < 10_000, "delivered after " + waited + " ms");
            Check.equal(topic + "/3", came.getTopic() + "/" + came.getQueueId(), "where it came");
            for (String name : List.of("REAL_TOPIC", "REAL_QID", "DELAY", "UNIQ_KEY", "KEYS", "TAGS", "WAIT", "CLUSTER", "TRACE_ON")) {
                Check.equal(waiting.getProperty(name), came.getProperty(name), "property " + name);
            }
            Check.equal(topic + " 3 2", came.getProperty("REAL_TOPIC") + " " + came.getProperty("REAL_QID") + " " + came.getProperty("DELAY"),
                "what the message says of its delay");
            Check.equal(waiting.getBornTimestamp(), came.getBornTimestamp(), "born");
            Check.equal(waiting.getBornHost(), came.getBornHost(), "born at");
            Check.equal(0, came.getReconsumeTimes(), "reconsume times");
        } finally {
            consumer.shutdown();
        }
    }

    private static MessageExt view(Cluster cluster, String topic, String id) throws Exception {
        List<MessageExt> found = new ArrayList<>();
        Check.await(LIMIT, "message " + id, () -> found.add(cluster.producer.viewMessage(topic, id)));
        return found.get(0);
    }

    private static void beyondTheLast(Cluster cluster) throws Exception {
        String topic = cluster.newTopic("last", 1);
        Message message = new Message(topic, Texts.bytes("late"));
        message.setDelayTimeLevel(99);
        MessageExt waiting = view(cluster, topic, cluster.producer.send(message).getOffsetMsgId());
        Check.equal(17, waiting.getQueueId(), "the last level's queue");
        Check.equal("18", waiting.getProperty("DELAY"), "the last level");
    }

    private static void delayedBatch(Cluster cluster) throws Exception {
        Message message = new Message(cluster.newTopic("batch", 1), Texts.bytes("late"));
        message.setDelayTimeLevel(1);
        try {
            cluster.producer.send(List.of(message, message));
        } catch (Exception expected) {
            return;
        }
        throw new AssertionError("a batch was delayed");
    }

    private static void deadLetter(Cluster cluster) throws Exception {
        String topic = cluster.newTopic("retry", 1);
        String group = Cluster.name("retry");
        Seen seen = new Seen();
        DefaultMQPushConsumer consumer = start(cluster, group, topic, seen, 0);
        try {
            SendResult sent = cluster.producer.send(new Message(topic, "red", "key", Texts.bytes("fails")));
            for (int times = 0; times <= 2; times++) {
                MessageExt came = seen.await(times + 1);
                Check.equal(times, came.getReconsumeTimes(), "reconsume times");
                Check.equal(topic, came.getTopic(), "the topic that the listener sees");
                Check.equal(sent.getMsgId(), came.getProperty("UNIQ_KEY"), "unique key");
                if (times > 0) {
                    expectRetried(came, sent, topic, group);
                    Check.equal(String.valueOf(2 + times), came.getProperty("DELAY"), "level");
                    Check.equal("%RETRY%" + group, came.getProperty("REAL_TOPIC"), "the topic that it waited for");
                }
            }
            MessageExt dead = pulled(cluster, "%DLQ%" + group);
            Check.equal(3, dead.getReconsumeTimes(), "reconsume times of the dead letter");
            Check.equal("0", dead.getProperty("DELAY"), "level of the dead letter");
            expectRetried(dead, sent, topic, group);
            Check.equal(3, seen.messages.size(), "deliveries");
        } finally {
            consumer.shutdown();
        }
    }

    private static void expectRetried(MessageExt came, SendResult sent, String topic, String group) {
        Check.equal(topic, came.getProperty("RETRY_TOPIC"), "the topic that it came from");
        Check.equal(sent.getOffsetMsgId(), came.getProperty("ORIGIN_MESSAGE_ID"), "the first message's id");
        Check.equal("false", came.getProperty("WAIT"), "wait");
        Check.equal("red", came.getTags(), "tag");
        Check.equal("fails", Texts.text(came.getBody()), "body");
    }

    private static void ownLevel(Cluster cluster) throws Exception {
        String topic = cluster.newTopic("level", 1);
        String group = Cluster.name("level");
        Seen seen = new Seen();
        DefaultMQPushConsumer consumer = start(cluster, group, topic, seen, 2);
        try {
            SendResult sent = cluster.producer.send(new Message(topic, "red", "key", Texts.bytes("fails")));
            Check.equal("2", seen.await(2).getProperty("DELAY"), "the level that the listener asked for");
            consumer.suspend();
            expectRetried(seen.messages.get(1), sent, topic, group);
        } finally {
            consumer.shutdown();
        }
        String other = Cluster.name("given-up");
        Seen once = new Seen();
        DefaultMQPushConsumer second = start(cluster, other, topic, once, -1);
        try {
            once.await(1);
            MessageExt dead = pulled(cluster, "%DLQ%" + other);
            Check.equal(1, dead.getReconsumeTimes(), "reconsume times of what was given up at once");
        } finally {
            second.shutdown();
        }
    }

    /** The first message of a topic, as soon as there is one. */
    private static MessageExt pulled(Cluster cluster, String topic) throws Exception {
        MessageQueue queue = new MessageQueue(topic, Cluster.BROKER_NAME, 0);
        List<MessageExt> found = new ArrayList<>();
        Check.await(LIMIT, "a message in " + topic, () -> {
            cluster.awaitRoute(topic);
            var result = cluster.puller.pull(queue, "*", 0, 1);
            return result.getPullStatus() == PullStatus.FOUND && found.addAll(result.getMsgFoundList());
        });
        return found.get(0);
    }
}
