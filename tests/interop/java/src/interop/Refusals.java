package interop;

import java.util.List;
import java.util.Properties;
import org.apache.rocketmq.client.consumer.PullResult;
import org.apache.rocketmq.client.consumer.PullStatus;
import org.apache.rocketmq.client.exception.MQBrokerException;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.common.TopicConfig;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageQueue;

/** What is refused, with which code, and what is let through although one might think otherwise. */
final class Refusals {
    private Refusals() {
    }

    static void add(Cases cases) {
        cases.add("send to a queue out of range is refused with 29", Refusals::queueOutOfRange);
        cases.addAlone("send to an unknown topic without auto-creation is refused with 17", Refusals::unknownTopic);
        cases.add("route of an unknown topic is 17", Refusals::unknownRoute);
        cases.add("topic with a system name is refused", Refusals::systemTopic);
        cases.add("read-only topic still takes a send to its queue", Refusals::readOnlyTopic);
        cases.add("pull of a write-only topic is refused with 16", Refusals::writeOnlyTopic);
        cases.add("pull beyond the end is corrected", Refusals::beyondTheEnd);
        cases.add("pull of an empty queue", Refusals::emptyQueue);
        cases.add("message beyond the log is not found", Refusals::beyondTheLog);
        cases.add("connections of an unknown group are 206", Refusals::unknownGroup);
    }

    private static void queueOutOfRange(Cluster cluster) throws Exception {
        String topic = cluster.newTopic("range", 4);
        MQBrokerException e = Check.fails(MQBrokerException.class, "a send to queue 9 of 4",
            () -> cluster.producer.send(new Message(topic, Texts.bytes("m")), new MessageQueue(topic, Cluster.BROKER_NAME, 9)));
        Check.equal(29, e.getResponseCode(), "code");
        Check.contains(e.getErrorMessage(), "queueId[9] is illegal", "remark");
    }

    private static void unknownTopic(Cluster cluster) throws Exception {
        String topic = Cluster.name("unknown");
        cluster.newTopic("known", 1);
        setAutoCreation(cluster, false);
        try {
            MQBrokerException e = Check.fails(MQBrokerException.class, "a send to a topic that is not there",
                () -> cluster.producer.send(new Message(topic, Texts.bytes("m")), new MessageQueue(topic, Cluster.BROKER_NAME, 0)));
            Check.equal(17, e.getResponseCode(), "code");
            Check.contains(e.getErrorMessage(), "topic[" + topic + "] not exist", "remark");
        } finally {
            setAutoCreation(cluster, true);
        }
    }

    private static void setAutoCreation(Cluster cluster, boolean on) throws Exception {
        Properties properties = new Properties();
        properties.setProperty("autoCreateTopicEnable", String.valueOf(on));
        cluster.admin.updateBrokerConfig(cluster.broker, properties);
        Check.equal(String.valueOf(on), cluster.admin.getBrokerConfig(cluster.broker).getProperty("autoCreateTopicEnable"),
            "the setting read back");
    }

    private static void unknownRoute(Cluster cluster) {
        MQClientException e = Check.fails(MQClientException.class, "the route of a topic that is not there",
            () -> cluster.admin.examineTopicRouteInfo("nowhere"));
        Check.equal(17, e.getResponseCode(), "code");
        Check.contains(e.getErrorMessage(), "No topic route info in name server for the topic: nowhere", "remark");
    }

    private static void systemTopic(Cluster cluster) {
        MQClientException e = Check.fails(MQClientException.class, "making SCHEDULE_TOPIC_XXXX",
            () -> cluster.admin.createAndUpdateTopicConfig(cluster.broker, new TopicConfig("SCHEDULE_TOPIC_XXXX", 4, 4, 6)));
        Check.equal(29, e.getResponseCode(), "code");
        Check.contains(e.getErrorMessage(), "SCHEDULE_TOPIC_XXXX] is conflict with system topic", "remark");
    }

    private static void readOnlyTopic(Cluster cluster) throws Exception {
        String topic = Cluster.name("readonly");
        cluster.makeTopic(topic, 1, 4);
        cluster.producer.send(new Message(topic, Texts.bytes("m")), new MessageQueue(topic, Cluster.BROKER_NAME, 0));
        Check.fails(MQClientException.class, "a send that needs a route to write",
            () -> cluster.producer.send(new Message(topic, Texts.bytes("m"))));
    }

    private static void writeOnlyTopic(Cluster cluster) throws Exception {
        String topic = Cluster.name("writeonly");
        cluster.makeTopic(topic, 1, 2);
        MQBrokerException e = Check.fails(MQBrokerException.class, "a pull of a topic that may not be read",
            () -> cluster.puller.pull(new MessageQueue(topic, Cluster.BROKER_NAME, 0), "*", 0, 32));
        Check.equal(16, e.getResponseCode(), "code");
        Check.contains(e.getErrorMessage(), "pulling message is forbidden", "remark");
    }

    private static void beyondTheEnd(Cluster cluster) throws Exception {
        String topic = cluster.newTopic("beyond", 1);
        MessageQueue queue = new MessageQueue(topic, Cluster.BROKER_NAME, 0);
        cluster.producer.send(Texts.numbered(topic, 5), queue);
        cluster.awaitEnd(List.of(queue), 5);
        PullResult result = cluster.puller.pull(queue, "*", 100, 32);
        Check.equal(PullStatus.OFFSET_ILLEGAL, result.getPullStatus(), "status");
        Check.equal(5L, result.getNextBeginOffset(), "next offset");
        PullResult atTheEnd = cluster.puller.pull(queue, "*", 5, 32);
        Check.equal(PullStatus.NO_NEW_MSG, atTheEnd.getPullStatus(), "status at the end");
        Check.equal(5L, atTheEnd.getMaxOffset(), "maximum at the end");
    }

    private static void emptyQueue(Cluster cluster) throws Exception {
        MessageQueue queue = new MessageQueue(cluster.newTopic("empty", 1), Cluster.BROKER_NAME, 0);
        PullResult beyond = cluster.puller.pull(queue, "*", 7, 32);
        Check.equal(PullStatus.OFFSET_ILLEGAL, beyond.getPullStatus(), "status at 7");
        Check.equal(0L, beyond.getNextBeginOffset(), "next offset");
        Check.equal(PullStatus.NO_NEW_MSG, cluster.puller.pull(queue, "*", 0, 32).getPullStatus(), "status at 0");
        Check.equal(0L, cluster.admin.minOffset(queue), "minimum");
        Check.equal(0L, cluster.admin.maxOffset(queue), "maximum");
        Check.equal(-1L, cluster.admin.earliestMsgStoreTime(queue), "earliest store time");
    }

    private static void beyondTheLog(Cluster cluster) throws Exception {
        String topic = cluster.newTopic("log", 1);
        String id = cluster.producer.send(new Message(topic, Texts.bytes("m"))).getOffsetMsgId();
        String beyond = id.substring(0, 16) + "00000FFFFFFFFFFF";
        MQClientException e = Check.fails(MQClientException.class, "a message beyond the log", () -> cluster.producer.viewMessage(topic, beyond));
        // The broker says 1; the client then looks for a key of that name and tells of that.
        Check.equal(208, e.getResponseCode(), "code");
    }

    private static void unknownGroup(Cluster cluster) {
        MQBrokerException e = Check.fails(MQBrokerException.class, "connections of a group that is not there",
            () -> cluster.admin.examineConsumerConnectionInfo("no-such-group", cluster.broker));
        Check.equal(206, e.getResponseCode(), "code");
    }
}
