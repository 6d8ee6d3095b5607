package interop;

import java.time.Duration;
import java.util.Arrays;
import java.util.HashSet;
import java.util.Set;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.common.message.Message;

/** The push consumer, alone and in a group. */
final class Pushing {
    private static final Duration LIMIT = Duration.ofSeconds(40);
    private static final Set<Integer> ALL = Set.of(0, 1, 2, 3);

    private Pushing() {
    }

    static void add(Cases cases) {
        cases.add("push gets each message once", Pushing::once);
        cases.add("push of a new group starts at a young topic's beginning", Pushing::fromTheBeginning);
        cases.add("push by tags", Pushing::byTags);
        cases.add("push tells tags with the same hash apart", Pushing::sameHash);
        cases.add("push with two instances, one leaves", Pushing::rebalance);
        cases.add("push of two groups gets everything twice", Pushing::twoGroups);
        cases.add("push wakes up at once", Pushing::wakeUp);
        cases.add("push commits what it consumed", Pushing::commits);
        cases.add("push broadcasts to every member, each with offsets of its own", Pushing::broadcasts);
    }

    private static void send(Cluster cluster, String topic, int from, int to) throws Exception {
        for (Message message : Texts.numbered(topic, to).subList(from, to)) {
            cluster.producer.send(message);
        }
    }

    private static void awaitSize(Inbox inbox, int size) throws Exception {
        Check.await(LIMIT, size + " messages received", () -> inbox.size() >= size);
        inbox.expectOnceEach();
        Check.equal(size, inbox.size(), "messages received");
    }

    private static void once(Cluster cluster) throws Exception {
        String topic = cluster.newTopic("push", 4);
        Inbox inbox = new Inbox();
        DefaultMQPushConsumer consumer = inbox.startOwning(cluster, Cluster.name("push"), topic, "*", 4);
        try {
            send(cluster, topic, 0, 100);
            awaitSize(inbox, 100);
            Check.equal(ALL, Inbox.owned(consumer, topic), "queues of the only instance");
        } finally {
            consumer.shutdown();
        }
    }

    private static void broadcasts(Cluster cluster) throws Exception {
        String topic = cluster.newTopic("broadcast", 4);
        String group = Cluster.name("broadcast");
        String back = Cluster.name("instance");
        send(cluster, topic, 0, 20);
        Inbox first = new Inbox();
        Inbox second = new Inbox();
        DefaultMQPushConsumer leaves = first.startBroadcasting(cluster, group, topic, back);
        DefaultMQPushConsumer stays = second.startBroadcasting(cluster, group, topic, Cluster.name("instance"));
        try {
            awaitSize(first, 20);
            awaitSize(second, 20);
            leaves.shutdown();
            send(cluster, topic, 20, 30);
            Inbox since = new Inbox();
            leaves = since.startBroadcasting(cluster, group, topic, back);
            awaitSize(since, 10);
            awaitSize(second, 30);
            Check.that(since.has("m-20") && !since.has("m-19"), "it goes on where its file says");
        } finally {
            leaves.shutdown();
            stays.shutdown();
        }
    }

    private static void fromTheBeginning(Cluster cluster) throws Exception {
        String topic = cluster.newTopic("young", 4);
        send(cluster, topic, 0, 20);
        Inbox inbox = new Inbox();
        DefaultMQPushConsumer consumer = inbox.start(cluster, Cluster.name("young"), topic, "*");
        try {
            awaitSize(inbox, 20);
        } finally {
            consumer.shutdown();
        }
    }

    private static void byTags(Cluster cluster) throws Exception {
        String topic = cluster.newTopic("tags", 4);
        Inbox inbox = new Inbox();
        DefaultMQPushConsumer consumer = inbox.startOwning(cluster, Cluster.name("tags"), topic, "red || blue", 4);
        try {
            for (int i = 0; i < 60; i++) {
                String tag = Arrays.asList("red", "green", "blue", null).get(i % 4);
                cluster.producer.send(new Message(topic, tag, Texts.bytes(tag + "-" + i)));
            }
            awaitSize(inbox, 30);
            Check.that(inbox.bodies().stream().allMatch(body -> body.startsWith("red") || body.startsWith("blue")), "only red and blue");
        } finally {
            consumer.shutdown();
        }
    }

    private static void sameHash(Cluster cluster) throws Exception {
        Check.equal("Aa".hashCode(), "BB".hashCode(), "hash of the tags");
        String topic = cluster.newTopic("hash", 1);
        Inbox inbox = new Inbox();
        DefaultMQPushConsumer consumer = inbox.startOwning(cluster, Cluster.name("hash"), topic, "Aa", 1);
        try {
            for (int i = 0; i < 20; i++) {
                String tag = i % 2 == 0 ? "Aa" : "BB";
                cluster.producer.send(new Message(topic, tag, Texts.bytes(tag + "-" + i)));
            }
            cluster.producer.send(new Message(topic, "Aa", Texts.bytes("Aa-last")));
            awaitSize(inbox, 11);
            Check.that(inbox.bodies().stream().allMatch(body -> body.startsWith("Aa")), "only Aa");
        } finally {
            consumer.shutdown();
        }
    }

    private static void rebalance(Cluster cluster) throws Exception {
        String topic = cluster.newTopic("rebalance", 4);
        String group = Cluster.name("rebalance");
        Inbox inbox = new Inbox();
        DefaultMQPushConsumer stays = inbox.start(cluster, group, topic, "*");
        DefaultMQPushConsumer leaves = inbox.start(cluster, group, topic, "*");
        boolean left = false;
        try {
            Check.settles(LIMIT, "two queues for each instance", () -> {
                Set<Integer> both = new HashSet<>(Inbox.owned(stays, topic));
                both.addAll(Inbox.owned(leaves, topic));
                return Inbox.owned(stays, topic).size() == 2 && Inbox.owned(leaves, topic).size() == 2 && both.equals(ALL);
            });
            send(cluster, topic, 0, 100);
            awaitSize(inbox, 100);
            Check.equal(50, inbox.of(stays), "messages of the one");
            Check.equal(50, inbox.of(leaves), "messages of the other");
            leaves.shutdown();
            left = true;
            Check.await(Duration.ofSeconds(10), "all queues for the one that stays, well before its next 20 s rebalance",
                () -> Inbox.owned(stays, topic).equals(ALL));
            send(cluster, topic, 100, 200);
            awaitSize(inbox, 200);
            Check.equal(150, inbox.of(stays), "messages of the one that stayed");
        } finally {
            if (!left) {
                leaves.shutdown();
            }
            stays.shutdown();
        }
    }

    private static void twoGroups(Cluster cluster) throws Exception {
        String topic = cluster.newTopic("groups", 4);
        Inbox one = new Inbox();
        Inbox two = new Inbox();
        DefaultMQPushConsumer first = one.startOwning(cluster, Cluster.name("one"), topic, "*", 4);
        DefaultMQPushConsumer second = two.startOwning(cluster, Cluster.name("two"), topic, "*", 4);
        try {
            send(cluster, topic, 0, 40);
            awaitSize(one, 40);
            awaitSize(two, 40);
        } finally {
            first.shutdown();
            second.shutdown();
        }
    }

    private static void wakeUp(Cluster cluster) throws Exception {
        String topic = cluster.newTopic("wake", 1);
        Inbox inbox = new Inbox();
        DefaultMQPushConsumer consumer = inbox.startOwning(cluster, Cluster.name("wake"), topic, "*", 1);
        try {
            cluster.producer.send(new Message(topic, Texts.bytes("first")));
            Check.await(LIMIT, "the first message", () -> inbox.has("first"));
            long[] millis = new long[21];
            for (int i = 0; i < millis.length; i++) {
                String body = "m-" + i;
                long sent = System.nanoTime();
                cluster.producer.send(new Message(topic, Texts.bytes(body)));
                Check.await(LIMIT, "message " + i, () -> inbox.has(body));
                millis[i] = (inbox.arrival(body) - sent) / 1_000_000;
            }
            Arrays.sort(millis);
            Check.that(millis[10] < 200, "median of the time from send to receive: " + millis[10] + " ms");
            Check.that(millis[20] < 5000, "longest time from send to receive: " + millis[20] + " ms");
        } finally {
            consumer.shutdown();
        }
    }

    private static void commits(Cluster cluster) throws Exception {
        String topic = cluster.newTopic("commits", 4);
        String group = Cluster.name("commits");
        send(cluster, topic, 0, 40);
        Inbox inbox = new Inbox();
        DefaultMQPushConsumer consumer = inbox.start(cluster, group, topic, "*");
        awaitSize(inbox, 40);
        Check.await(LIMIT, "one connection of the group",
            () -> cluster.admin.examineConsumerConnectionInfo(group).getConnectionSet().size() == 1);
        consumer.shutdown();
        Check.await(LIMIT, "no backlog", () -> cluster.admin.examineConsumeStats(group).computeTotalDiff() == 0);
        Check.equal(40L, cluster.admin.examineConsumeStats(group).getOffsetTable().entrySet().stream()
            .filter(each -> each.getKey().getTopic().equals(topic)).mapToLong(each -> each.getValue().getConsumerOffset()).sum(),
            "consumed by the statistics");
        Inbox later = new Inbox();
        DefaultMQPushConsumer second = later.start(cluster, group, topic, "*");
        try {
            send(cluster, topic, 40, 44);
            awaitSize(later, 4);
        } finally {
            second.shutdown();
        }
    }
}
