package interop;

import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.stream.Collectors;
import org.apache.rocketmq.client.consumer.DefaultLitePullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPullConsumer;
import org.apache.rocketmq.client.consumer.PullResult;
import org.apache.rocketmq.client.consumer.PullStatus;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/** Both pull consumers. */
final class Pulling {
    private static final Duration LIMIT = Duration.ofSeconds(30);

    private Pulling() {
    }

    static void add(Cases cases) {
        cases.add("pull gives at most 32 at a time", Pulling::atMost32);
        cases.add("pull by tag skips what does not match", Pulling::byTag);
        cases.add("pull waits and is woken by a message", Pulling::woken);
        cases.add("pull consumer keeps its offset at the broker", Pulling::offsetKept);
        cases.add("lite pull consumer with a subscription", Pulling::liteSubscribed);
        cases.add("lite pull consumer with assigned queues seeks", Pulling::liteAssigned);
    }

    /** All messages of a queue, from its minimum to its maximum. */
    static List<MessageExt> drain(Cluster cluster, MessageQueue queue) throws Exception {
        List<MessageExt> messages = new ArrayList<>();
        long next = cluster.puller.minOffset(queue);
        while (true) {
            PullResult result = cluster.puller.pull(queue, "*", next, 32);
            if (result.getPullStatus() != PullStatus.FOUND) {
                Check.equal(PullStatus.NO_NEW_MSG, result.getPullStatus(), "status at the end of " + queue);
                return messages;
            }
            messages.addAll(result.getMsgFoundList());
            next = result.getNextBeginOffset();
        }
    }

    private static void atMost32(Cluster cluster) throws Exception {
        MessageQueue queue = new MessageQueue(cluster.newTopic("most", 1), Cluster.BROKER_NAME, 0);
        cluster.producer.send(Texts.numbered(queue.getTopic(), 100), queue);
        cluster.awaitEnd(List.of(queue), 100);
        PullResult result = cluster.puller.pull(queue, "*", 10, 1000);
        Check.equal(PullStatus.FOUND, result.getPullStatus(), "status");
        Check.equal(32, result.getMsgFoundList().size(), "messages");
        Check.equal(10L, result.getMsgFoundList().get(0).getQueueOffset(), "first");
        Check.equal(42L, result.getNextBeginOffset(), "next");
        Check.equal(0L, result.getMinOffset(), "minimum");
        Check.equal(100L, result.getMaxOffset(), "maximum");
        Check.equal(3, cluster.puller.pull(queue, "*", 0, 3).getMsgFoundList().size(), "messages when 3 are asked for");
    }

    private static void byTag(Cluster cluster) throws Exception {
        MessageQueue queue = new MessageQueue(cluster.newTopic("tag", 1), Cluster.BROKER_NAME, 0);
        for (int i = 0; i < 30; i++) {
            cluster.producer.send(new Message(queue.getTopic(), i % 3 == 0 ? "a" : i % 3 == 1 ? "b" : "c", Texts.bytes("m-" + i)), queue);
        }
        cluster.awaitEnd(List.of(queue), 30);
        PullResult some = cluster.puller.pull(queue, "a || c", 0, 32);
        Check.equal(20, some.getMsgFoundList().size(), "messages with a or c");
        Check.equal(30L, some.getNextBeginOffset(), "next");
        PullResult none = cluster.puller.pull(queue, "nobody", 0, 32);
        Check.equal(PullStatus.NO_MATCHED_MSG, none.getPullStatus(), "status without a match");
        Check.equal(30L, none.getNextBeginOffset(), "next without a match");
    }

    private static void woken(Cluster cluster) throws Exception {
        MessageQueue queue = new MessageQueue(cluster.newTopic("woken", 1), Cluster.BROKER_NAME, 0);
        CompletableFuture<PullResult> waiting = CompletableFuture.supplyAsync(() -> {
            try {
                return cluster.puller.pullBlockIfNotFound(queue, "*", 0, 32);
            } catch (Exception e) {
                throw new IllegalStateException(e);
            }
        });
        // Long enough for the pull to be parked: an answer in this time would be the failure.
        boolean early = true;
        try {
            waiting.get(1500, TimeUnit.MILLISECONDS);
        } catch (TimeoutException e) {
            early = false;
        }
        Check.that(!early, "the pull waits");
        long sent = System.nanoTime();
        cluster.producer.send(new Message(queue.getTopic(), Texts.bytes("m")), queue);
        PullResult result = waiting.get(LIMIT.toSeconds(), TimeUnit.SECONDS);
        long millis = (System.nanoTime() - sent) / 1_000_000;
        Check.equal(PullStatus.FOUND, result.getPullStatus(), "status");
        Check.that(millis < 1000, "woken within a second: " + millis + " ms");
    }

    private static void offsetKept(Cluster cluster) throws Exception {
        MessageQueue queue = new MessageQueue(cluster.newTopic("kept", 1), Cluster.BROKER_NAME, 0);
        cluster.producer.send(Texts.numbered(queue.getTopic(), 10), queue);
        cluster.awaitEnd(List.of(queue), 10);
        String group = Cluster.name("kept");
        commit(cluster, group, queue, 7);
        Check.equal(7L, committed(cluster, group, queue), "offset that another consumer of the group reads");
    }

    /** The offset of a group at the broker, as a new consumer of the group sees it. */
    static long committed(Cluster cluster, String group, MessageQueue queue) throws Exception {
        DefaultMQPullConsumer consumer = cluster.newPuller(group);
        consumer.start();
        try {
            return consumer.fetchConsumeOffset(queue, true);
        } finally {
            consumer.shutdown();
        }
    }

    /** Commits an offset as a pull consumer of the group does. */
    static void commit(Cluster cluster, String group, MessageQueue queue, long offset) throws Exception {
        DefaultMQPullConsumer consumer = cluster.newPuller(group);
        consumer.start();
        try {
            consumer.pull(queue, "*", 0, 1);
            consumer.updateConsumeOffset(queue, offset);
            consumer.getOffsetStore().persist(queue);
            Check.await(LIMIT, "offset " + offset + " at the broker", () -> consumer.fetchConsumeOffset(queue, true) == offset);
        } finally {
            consumer.shutdown();
        }
    }

    private static DefaultLitePullConsumer newLite(Cluster cluster, String group) {
        DefaultLitePullConsumer consumer = new DefaultLitePullConsumer(group);
        consumer.setNamesrvAddr(cluster.namesrv);
        consumer.setInstanceName(Cluster.name("lite"));
        consumer.setVipChannelEnabled(false);
        consumer.setAutoCommit(false);
        return consumer;
    }

    /** Polls until the bodies wanted are there; more than these is a failure. */
    private static Set<String> poll(DefaultLitePullConsumer consumer, int wanted) throws Exception {
        Set<String> bodies = new HashSet<>();
        long deadline = System.nanoTime() + LIMIT.toNanos();
        while (bodies.size() < wanted) {
            Check.that(System.nanoTime() < deadline, bodies.size() + " of " + wanted + " messages polled within the limit");
            for (MessageExt message : consumer.poll(500)) {
                Check.that(bodies.add(Texts.text(message.getBody())), "each message once");
            }
        }
        return bodies;
    }

    private static void liteSubscribed(Cluster cluster) throws Exception {
        String topic = cluster.newTopic("lite", 4);
        for (Message message : Texts.numbered(topic, 40)) {
            cluster.producer.send(message);
        }
        String group = Cluster.name("lite");
        DefaultLitePullConsumer first = newLite(cluster, group);
        first.subscribe(topic, "*");
        first.start();
        Map<Integer, Long> committed = new HashMap<>();
        try {
            poll(first, 40);
            first.commitSync();
            for (MessageQueue queue : first.assignment()) {
                Check.await(LIMIT, "the commit of " + queue, () -> first.committed(queue) == cluster.admin.maxOffset(queue));
                committed.put(queue.getQueueId(), first.committed(queue));
            }
        } finally {
            first.shutdown();
        }
        Check.equal(40L, committed.values().stream().mapToLong(Long::longValue).sum(), "committed in all");
        DefaultLitePullConsumer second = newLite(cluster, group);
        second.subscribe(topic, "*");
        second.start();
        try {
            cluster.producer.send(new Message(topic, Texts.bytes("later")));
            Check.equal(Set.of("later"), poll(second, 1), "what a second instance gets");
        } finally {
            second.shutdown();
        }
    }

    private static void liteAssigned(Cluster cluster) throws Exception {
        String topic = cluster.newTopic("assigned", 2);
        MessageQueue queue = Cluster.queues(topic, 2).get(1);
        List<Message> messages = Texts.numbered(topic, 20);
        for (Message message : messages) {
            cluster.producer.send(message, queue);
        }
        cluster.awaitEnd(List.of(queue), 20);
        DefaultLitePullConsumer consumer = newLite(cluster, Cluster.name("assigned"));
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        consumer.start();
        try {
            Check.equal(2, consumer.fetchMessageQueues(topic).size(), "queues told");
            consumer.assign(List.of(queue));
            // All are polled before the seek, for a seek does not stop a pull that is answered already: the client's PullTaskImpl.run
            // looks whether it was cancelled before it takes the queue's lock, and then only whether a seek is still to be made. When
            // the new pull took the seek's offset meanwhile, the old one's messages come as well. Later pulls wait at the end and bring none.
            Check.equal(20, poll(consumer, 20).size(), "bodies before the seek");
            Set<String> last = messages.subList(15, 20).stream().map(m -> Texts.text(m.getBody())).collect(Collectors.toSet());
            consumer.seek(queue, 15);
            Check.equal(last, poll(consumer, 5), "bodies after the seek");
            consumer.seekToBegin(queue);
            Check.equal(20, poll(consumer, 20).size(), "bodies from the beginning");
            Check.equal(0L, consumer.offsetForTimestamp(queue, 0L), "offset at time 0");
            Check.equal(20L, consumer.offsetForTimestamp(queue, System.currentTimeMillis() + 60_000), "offset at a time to come");
        } finally {
            consumer.shutdown();
        }
    }
}
