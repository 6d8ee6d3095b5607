package interop;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.stream.Collectors;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/**
 * One data directory, served by one broker after another: each checks all that the ones before it wrote, and writes more.
 *
 * <p>Everything that a client can see of a record is compared, down to its place in the log.
 */
final class Exchange {
    private static final Duration LIMIT = Duration.ofSeconds(60);
    private static final int QUEUES = 3;

    private final boolean killed;
    private final List<Written> written = new ArrayList<>();
    /** All that is in the topic that every round appends to. */
    private final String shared = Cluster.name("shared");
    private Map<Integer, List<String>> sharedRecords = Map.of();

    /**
     * What a round left behind: a topic's records by queue, a group's offsets and settings, a topic that must be gone, one whose
     * messages were delayed.
     */
    private record Written(String flavour, String topic, Map<Integer, List<String>> records, String group, String automatic,
        String deleted, String late) {
    }

    private Exchange(boolean killed) {
        this.killed = killed;
    }

    /** @param order how a broker ends (clean or kill) and then the flavours in order, for example kill:apache:ours:apache */
    static void add(Cases cases, String order) {
        List<String> words = Arrays.asList(order.split(":"));
        Exchange exchange = new Exchange(words.get(0).equals("kill"));
        List<String> flavours = words.subList(1, words.size());
        for (int i = 0; i < flavours.size(); i++) {
            String flavour = flavours.get(i);
            String round = (i + 1) + " (" + flavour + ")";
            cases.addAlone("round " + round + " starts", cluster -> exchange.open(cluster, flavour));
            for (int before = 0; before < i; before++) {
                int number = before;
                String what = " of round " + (number + 1) + " (" + flavours.get(number) + ") in round " + round;
                cases.addAlone("records" + what, cluster -> exchange.records(cluster, number));
                cases.addAlone("keys and ids" + what, cluster -> exchange.keys(cluster, number));
                cases.addAlone("delayed messages" + what, cluster -> exchange.delayed(cluster, number));
                cases.addAlone("topics, groups and offsets" + what, cluster -> exchange.settings(cluster, number));
            }
            cases.addAlone("appends in round " + round, cluster -> exchange.append(cluster));
            cases.addAlone("round " + round + " writes and ends", cluster -> exchange.write(cluster, flavour));
        }
    }

    private void open(Cluster cluster, String flavour) throws Exception {
        cluster.become(flavour);
        cluster.start("broker");
        if (!written.isEmpty()) {
            cluster.awaitRoute(shared);
        }
    }

    /** Everything that a client sees of the records in a topic. */
    private static Map<Integer, List<String>> read(Cluster cluster, String topic) throws Exception {
        Map<Integer, List<String>> records = new TreeMap<>();
        for (MessageQueue queue : Cluster.queues(topic, QUEUES)) {
            records.put(queue.getQueueId(), Pulling.drain(cluster, queue).stream().map(Exchange::describe).collect(Collectors.toList()));
        }
        return records;
    }

    private static String describe(MessageExt message) {
        Map<String, String> properties = new TreeMap<>(message.getProperties());
        // The client adds these two from the answer to its pull.
        properties.remove("MIN_OFFSET");
        properties.remove("MAX_OFFSET");
        return String.join(" ", message.getTopic(), "queue " + message.getQueueId(), "offset " + message.getQueueOffset(),
            "place " + message.getCommitLogOffset(), "size " + message.getStoreSize(), "id " + message.getMsgId(),
            "body " + message.getBody().length + "/" + Arrays.hashCode(message.getBody()), "crc " + message.getBodyCRC(),
            "flag " + message.getFlag(), "system flag " + message.getSysFlag(), "born " + message.getBornTimestamp(),
            "by " + message.getBornHost(), "stored " + message.getStoreTimestamp(), "at " + message.getStoreHost(),
            "reconsumed " + message.getReconsumeTimes(), "prepared " + message.getPreparedTransactionOffset(), properties.toString());
    }

    private void records(Cluster cluster, int number) throws Exception {
        Written round = written.get(number);
        Check.equal(count(round.records), count(read(cluster, round.topic)), "number of messages");
        Map<Integer, List<String>> seen = read(cluster, round.topic);
        for (int queue = 0; queue < QUEUES; queue++) {
            for (int i = 0; i < round.records.get(queue).size(); i++) {
                Check.equal(round.records.get(queue).get(i), seen.get(queue).get(i), "record");
            }
        }
        Check.equal(sharedRecords, read(cluster, shared), "records of the topic that all append to");
        for (MessageQueue queue : Cluster.queues(round.topic, QUEUES)) {
            for (MessageExt message : Pulling.drain(cluster, queue)) {
                long found = cluster.admin.searchOffset(queue, message.getStoreTimestamp());
                Check.that(found <= message.getQueueOffset(), "offset by time " + found + " for " + message.getQueueOffset());
            }
        }
    }

    private static int count(Map<Integer, List<String>> records) {
        return records.values().stream().mapToInt(List::size).sum();
    }

    private void keys(Cluster cluster, int number) throws Exception {
        Written round = written.get(number);
        for (int i = 0; i < 30; i += 7) {
            String body = "m-" + i;
            String key = "key-" + i;
            Check.await(LIMIT, "the message with " + key, () -> Querying.find(cluster, round.topic, key).equals(Set.of(body)));
        }
        for (MessageQueue queue : Cluster.queues(round.topic, QUEUES)) {
            MessageExt first = Pulling.drain(cluster, queue).get(0);
            String offsetId = cluster.admin.viewMessage(round.topic, first.getMsgId()).getMsgId();
            Check.equal(first.getMsgId(), offsetId, "message by its unique id");
        }
    }

    /** One came before the broker ended, three were to come then or later, from whoever serves. */
    private void delayed(Cluster cluster, int number) throws Exception {
        MessageQueue queue = Cluster.queues(written.get(number).late, 1).get(0);
        Set<String> expected = Set.of("soon", "late-0", "late-1", "late-2");
        Check.await(LIMIT, "the delayed messages of " + queue,
            () -> Pulling.drain(cluster, queue).stream().map(each -> Texts.text(each.getBody())).collect(Collectors.toSet()).equals(expected));
        if (!killed) {
            Check.equal(4, Pulling.drain(cluster, queue).size(), "messages that came, after stops in order");
        }
    }

    private void settings(Cluster cluster, int number) throws Exception {
        Written round = written.get(number);
        Check.equal(QUEUES, cluster.admin.examineTopicConfig(cluster.broker, round.topic).getWriteQueueNums(), "queues");
        Check.equal(4, cluster.admin.examineTopicConfig(cluster.broker, round.automatic).getReadQueueNums(),
            "queues of a topic made by a send");
        Check.equal(4, cluster.admin.examineTopicConfig(cluster.broker, round.topic + "-readonly").getPerm(), "permission");
        Check.equal(5, cluster.admin.examineSubscriptionGroupConfig(cluster.broker, round.group).getRetryMaxTimes(),
            "retries of the group");
        for (MessageQueue queue : Cluster.queues(round.topic, QUEUES)) {
            Check.equal(3L + queue.getQueueId(), Pulling.committed(cluster, round.group, queue), "offset of the group in " + queue);
        }
        Check.that(!cluster.admin.fetchAllTopicList().getTopicList().contains(round.deleted), "the deleted topic is gone");
    }

    private void append(Cluster cluster) throws Exception {
        if (written.isEmpty()) {
            cluster.makeTopic(shared, QUEUES, 6);
        }
        int before = count(sharedRecords);
        for (MessageQueue queue : Cluster.queues(shared, QUEUES)) {
            for (int i = 0; i < 4; i++) {
                long expected = sharedRecords.getOrDefault(queue.getQueueId(), List.of()).size() + i;
                long offset = cluster.producer.send(new Message(shared, "tag", "shared", Texts.bytes("s-" + i)), queue).getQueueOffset();
                Check.equal(expected, offset, "the next offset of " + queue);
            }
        }
        cluster.awaitEnd(Cluster.queues(shared, QUEUES), before + 4 * QUEUES);
        Map<Integer, List<String>> now = read(cluster, shared);
        for (int queue = 0; queue < QUEUES; queue++) {
            List<String> old = sharedRecords.getOrDefault(queue, List.of());
            Check.equal(old, now.get(queue).subList(0, old.size()), "the older records of queue " + queue);
        }
        sharedRecords = now;
    }

    private static void sendDelayed(Cluster cluster, String topic, String body, int level) throws Exception {
        Message message = new Message(topic, Texts.bytes(body));
        message.setDelayTimeLevel(level);
        cluster.producer.send(message);
    }

    private void write(Cluster cluster, String flavour) throws Exception {
        String topic = cluster.newTopic("exchange", QUEUES);
        List<MessageQueue> queues = Cluster.queues(topic, QUEUES);
        for (int i = 0; i < 30; i++) {
            Message message = new Message(topic, i % 2 == 0 ? "even" : "odd", "key-" + i + " all", Texts.bytes("m-" + i));
            message.setFlag(i);
            message.putUserProperty("number", String.valueOf(i));
            cluster.producer.send(message, queues.get(i % QUEUES));
        }
        cluster.producer.send(Texts.numbered(topic, 8), queues.get(1));
        cluster.producer.send(new Message(topic, Texts.repetition(50_000)), queues.get(2));
        DefaultMQProducer plain = cluster.newProducer();
        plain.setCompressMsgBodyOverHowmuch(Integer.MAX_VALUE);
        plain.start();
        plain.send(new Message(topic, Texts.noise(1024 * 1024)), queues.get(0));
        plain.shutdown();
        cluster.awaitEnd(queues, 40);

        String automatic = Cluster.name("automatic");
        cluster.producer.send(new Message(automatic, Texts.bytes("m")));
        cluster.makeTopic(topic + "-readonly", 1, 4);
        String deleted = cluster.newTopic("deleted", 1);
        cluster.producer.send(new Message(deleted, Texts.bytes("m")));
        MqAdmin.mqadmin(cluster, "deleteTopic", "-c", Cluster.NAME, "-t", deleted);
        String group = Cluster.name("exchange");
        MqAdmin.mqadmin(cluster, "updateSubGroup", "-b", cluster.broker, "-g", group, "-r", "5");
        for (MessageQueue queue : queues) {
            Pulling.commit(cluster, group, queue, 3 + queue.getQueueId());
        }
        Restarts.awaitStored(cluster, topic, group, 3 + QUEUES - 1);
        String late = cluster.newTopic("late", 1);
        sendDelayed(cluster, late, "soon", 1);
        cluster.awaitEnd(Cluster.queues(late, 1), 1);
        for (int i = 0; i < 3; i++) {
            sendDelayed(cluster, late, "late-" + i, 2);
        }
        written.add(new Written(flavour, topic, read(cluster, topic), group, automatic, deleted, late));
        if (killed) {
            cluster.kill("broker");
        } else {
            cluster.stop("broker");
        }
    }
}
