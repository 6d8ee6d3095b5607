package interop;

import java.time.Duration;
import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/**
 * A topic is deleted and made again, and the broker ends in between or after: nothing old comes back, nothing new is lost.
 *
 * <p>The old records are still in the log, below the new ones, so a rebuild of the queues must tell them apart.
 */
final class Recreation {
    private static final Duration LIMIT = Duration.ofSeconds(60);
    private static final int QUEUES = 3;

    private interface Ending {
        void end(Cluster cluster) throws Exception;
    }

    private Recreation() {
    }

    static void add(Cases cases, String flavour) {
        cases.addAlone("topic made again, no restart", cluster -> around(cluster, running -> { }));
        cases.addAlone("topic made again, clean restart", cluster -> around(cluster, running -> {
            running.stop("broker");
            running.start("broker");
        }));
        cases.addAlone("topic made again, kill -9", cluster -> around(cluster, Recreation::killAndStart));
        cases.addAlone("topic made again, kill -9 twice", cluster -> around(cluster, running -> {
            killAndStart(running);
            killAndStart(running);
        }));
        if (flavour.equals("apache")) {
            // Apache rebuilds the queues of a deleted topic from the log after a kill: what follows it does not keep.
            return;
        }
        cases.addAlone("topic made again after a kill -9", Recreation::killBetween);
        cases.addAlone("topic deleted for good, kill -9", Recreation::staysDeleted);
    }

    private static void killAndStart(Cluster cluster) throws Exception {
        cluster.kill("broker");
        cluster.start("broker");
    }

    /** Sends bodies with this beginning over all queues. */
    private static void send(Cluster cluster, String topic, String beginning, int count) throws Exception {
        List<MessageQueue> queues = Cluster.queues(topic, QUEUES);
        for (int i = 0; i < count; i++) {
            cluster.producer.send(new Message(topic, "tag", beginning + "-key", Texts.bytes(beginning + "-" + i)), queues.get(i % QUEUES));
        }
    }

    /** A topic with messages that a group has consumed in part, and then without the topic. */
    private static String makeAndDelete(Cluster cluster, String group) throws Exception {
        String topic = cluster.newTopic("again", QUEUES);
        send(cluster, topic, "old", 60);
        cluster.awaitEnd(Cluster.queues(topic, QUEUES), 60);
        Pulling.commit(cluster, group, Cluster.queues(topic, QUEUES).get(0), 15);
        delete(cluster, topic);
        return topic;
    }

    private static void delete(Cluster cluster, String topic) throws Exception {
        Check.contains(MqAdmin.mqadmin(cluster, "deleteTopic", "-c", Cluster.NAME, "-t", topic), "from NameServer success", "answer");
    }

    /** The topic holds exactly the bodies with this beginning, its queues begin at 0 and go on where they end. */
    private static void expectOnly(Cluster cluster, String topic, String beginning, int count) throws Exception {
        List<MessageQueue> queues = Cluster.queues(topic, QUEUES);
        cluster.awaitEnd(queues, count);
        int seen = 0;
        for (MessageQueue queue : queues) {
            Check.equal(0L, cluster.admin.minOffset(queue), "beginning of " + queue);
            long next = 0;
            for (MessageExt message : Pulling.drain(cluster, queue)) {
                Check.equal(next, message.getQueueOffset(), "dense offsets");
                Check.equal(beginning + "-" + (next++ * QUEUES + queue.getQueueId()), Texts.text(message.getBody()), "body");
                seen++;
            }
        }
        Check.equal(count, seen, "messages in " + topic);
        Set<String> keyed = IntStream.range(0, count).mapToObj(i -> beginning + "-" + i).collect(Collectors.toSet());
        Check.await(LIMIT, "all messages by their key", () -> Querying.find(cluster, topic, beginning + "-key").equals(keyed));
    }

    private static void around(Cluster cluster, Ending ending) throws Exception {
        String group = Cluster.name("again");
        String topic = makeAndDelete(cluster, group);
        cluster.makeTopic(topic, QUEUES, 6);
        send(cluster, topic, "new", 30);
        expectOnly(cluster, topic, "new", 30);
        ending.end(cluster);
        cluster.awaitRoute(topic);
        expectOnly(cluster, topic, "new", 30);
        Inbox inbox = new Inbox();
        DefaultMQPushConsumer consumer = inbox.startOwning(cluster, group, topic, "*", QUEUES);
        try {
            Check.await(LIMIT, "30 new messages received by the old group", () -> inbox.size() >= 30);
            inbox.expectOnceEach();
            Check.equal(Set.of("new"), inbox.bodies().stream().map(body -> body.substring(0, 3)).collect(Collectors.toSet()), "bodies");
        } finally {
            consumer.shutdown();
        }
        cluster.producer.send(new Message(topic, "tag", "new-key", Texts.bytes("new-30")), Cluster.queues(topic, QUEUES).get(0));
        expectOnly(cluster, topic, "new", 31);
    }

    private static void killBetween(Cluster cluster) throws Exception {
        String topic = makeAndDelete(cluster, Cluster.name("again"));
        killAndStart(cluster);
        cluster.makeTopic(topic, QUEUES, 6);
        Check.equal(0L, cluster.admin.maxOffset(Cluster.queues(topic, QUEUES).get(1)), "end of a queue of the topic made again");
        send(cluster, topic, "new", 30);
        expectOnly(cluster, topic, "new", 30);
        killAndStart(cluster);
        cluster.awaitRoute(topic);
        expectOnly(cluster, topic, "new", 30);
    }

    private static void staysDeleted(Cluster cluster) throws Exception {
        String topic = makeAndDelete(cluster, Cluster.name("again"));
        killAndStart(cluster);
        Check.that(!cluster.admin.fetchAllTopicList().getTopicList().contains(topic), "topic is not listed");
        for (MessageQueue queue : Cluster.queues(topic, QUEUES)) {
            Check.equal(0L, cluster.admin.maxOffset(queue), "end of " + queue);
        }
    }
}
