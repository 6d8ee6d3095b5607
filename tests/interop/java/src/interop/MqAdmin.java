package interop;

import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.tools.command.MQAdminStartup;

/** RocketMQ's own command line tool: what it prints about the servers. */
final class MqAdmin {
    private static final Duration LIMIT = Duration.ofSeconds(30);

    private MqAdmin() {
    }

    static void add(Cases cases) {
        cases.addAlone("clusterList as a program of its own", MqAdmin::ownProcess);
        cases.addAlone("clusterList, brokerStatus", MqAdmin::cluster);
        cases.addAlone("updateTopic, topicList, topicRoute, topicStatus, topicClusterList", MqAdmin::topics);
        cases.addAlone("updateTopicPerm", MqAdmin::topicPermission);
        cases.addAlone("deleteTopic", MqAdmin::deleteTopic);
        cases.addAlone("updateSubGroup, deleteSubGroup", MqAdmin::groups);
        cases.addAlone("consumerProgress, consumerConnection, statsAll, brokerConsumeStats", MqAdmin::consumers);
        cases.addAlone("producerConnection", MqAdmin::producers);
        cases.addAlone("getBrokerConfig, updateBrokerConfig", MqAdmin::brokerConfig);
        cases.addAlone("getNamesrvConfig, updateNamesrvConfig", MqAdmin::namesrvConfig);
        cases.addAlone("updateKvConfig, deleteKvConfig", MqAdmin::keyValues);
        cases.addAlone("wipeWritePerm, addWritePerm", MqAdmin::writePermission);
        cases.addAlone("consumerStatus, where a consumer is, queryMsgById with a consumer", MqAdmin::askedConsumers);
        cases.addAlone("resetOffsetByTime, skipAccumulatedMessage, cloneGroupOffset of a group that is not there", MqAdmin::absentOffsets);
        cases.addAlone("resetOffsetByTime of a group that is there, by the broker", cluster -> liveReset(cluster, true));
        cases.addAlone("resetOffsetByTime of a group that is there, by its consumers", cluster -> liveReset(cluster, false));
        cases.addAlone("resetOffsetByTime, skipAccumulatedMessage of a group whose consumer is busy", MqAdmin::skipped);
        cases.addAlone("queryMsgTraceById of what clients wrote", MqAdmin::traces);
        cases.addAlone("sendMessage, queryMsgById, queryMsgByKey, queryMsgByUniqueKey, queryMsgByOffset", MqAdmin::messages);
    }

    /** What a command prints, each run of blanks as one; only for cases that run alone, as standard output is caught. */
    static String mqadmin(Cluster cluster, String... words) {
        return mqadmin(cluster.namesrv, List.of(words));
    }

    /** The same of the cluster with this name server. */
    static String mqadmin(String namesrv, List<String> words) {
        List<String> arguments = new ArrayList<>(words);
        arguments.addAll(List.of("-n", namesrv));
        PrintStream out = System.out;
        PrintStream err = System.err;
        ByteArrayOutputStream caught = new ByteArrayOutputStream();
        try (PrintStream both = new PrintStream(caught, true, StandardCharsets.UTF_8)) {
            System.setOut(both);
            System.setErr(both);
            MQAdminStartup.main0(arguments.toArray(new String[0]), null);
        } finally {
            System.setOut(out);
            System.setErr(err);
        }
        return squeeze(caught.toString(StandardCharsets.UTF_8));
    }

    private static String squeeze(String text) {
        return text.replaceAll("[ \t]+", " ").replaceAll(" ?\r?\n ?", "\n");
    }

    /** The line that begins with these words; fails where there is none. */
    private static String line(String text, String beginning) {
        return text.lines().filter(line -> line.startsWith(beginning)).findFirst()
            .orElseThrow(() -> new AssertionError("no line begins with '" + beginning + "' in:\n" + text));
    }

    private static void ownProcess(Cluster cluster) throws Exception {
        Process process = new ProcessBuilder("java", "-XX:TieredStopAtLevel=1", "-Duser.home=" + System.getProperty("user.home"),
            "-Drocketmq.home.dir=" + System.getProperty("rocketmq.home.dir"), "-cp", System.getProperty("java.class.path"),
            MQAdminStartup.class.getName(), "clusterList", "-n", cluster.namesrv).redirectErrorStream(true).start();
        Check.that(process.waitFor(LIMIT.toSeconds(), TimeUnit.SECONDS), "the program ends");
        String text = squeeze(new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8));
        Check.contains(text, Cluster.NAME + " " + Cluster.BROKER_NAME + " 0 " + cluster.broker + " V5_5_0", "the broker's line");
        Check.equal(0, process.exitValue(), "status");
    }

    private static void cluster(Cluster cluster) throws Exception {
        String list = mqadmin(cluster, "clusterList");
        line(list, "#Cluster Name #Broker Name #BID #Addr #Version");
        line(list, Cluster.NAME + " " + Cluster.BROKER_NAME + " 0 " + cluster.broker + " V5_5_0 ");
        cluster.producer.send(new Message(cluster.newTopic("status", 1), Texts.bytes("m")));
        String status = mqadmin(cluster, "brokerStatus", "-b", cluster.broker);
        Check.contains(line(status, "brokerVersionDesc"), ": V5_5_0", "version");
        long boot = Long.parseLong(line(status, "bootTimestamp").replaceFirst(".*: ", ""));
        long age = System.currentTimeMillis() - boot;
        Check.that(age >= 0 && age < 3_600_000, "started a while ago: " + age + " ms");
        Check.that(Long.parseLong(line(status, "commitLogMaxOffset").replaceFirst(".*: ", "")) > 0, "the log's end");
        Check.equal("commitLogMinOffset : 0", line(status, "commitLogMinOffset"), "the log's beginning");
        for (String key : List.of("putTps", "getTransferredTps", "msgPutTotalTodayNow", "msgGetTotalTodayNow", "runtime",
            "putMessageTimesTotal", "dispatchBehindBytes", "earliestMessageTimeStamp", "commitLogDiskRatio")) {
            line(status, key);
        }
        Check.contains(mqadmin(cluster, "brokerStatus", "-c", Cluster.NAME), cluster.broker, "status by cluster");
    }

    private static void topics(Cluster cluster) throws Exception {
        String topic = Cluster.name("admin");
        String made = mqadmin(cluster, "updateTopic", "-b", cluster.broker, "-t", topic, "-r", "3", "-w", "3");
        Check.contains(made, "create topic to " + cluster.broker + " success.", "answer");
        Check.contains(made, "readQueueNums=3, writeQueueNums=3, perm=RW-", "the topic made");
        String second = Cluster.name("admin");
        Check.contains(mqadmin(cluster, "updateTopic", "-c", Cluster.NAME, "-t", second), "success", "answer by cluster");
        Check.that(mqadmin(cluster, "topicList").lines().toList().containsAll(
            List.of(topic, second, "TBW102", Cluster.NAME, Cluster.BROKER_NAME, "SCHEDULE_TOPIC_XXXX", "RMQ_SYS_TRANS_HALF_TOPIC")),
            "topics listed");
        line(mqadmin(cluster, "topicList", "-c"), Cluster.NAME + " " + topic);
        Check.equal(Cluster.NAME, mqadmin(cluster, "topicClusterList", "-t", topic).strip(), "cluster of the topic");
        String route = mqadmin(cluster, "topicRoute", "-t", topic);
        for (String part : List.of("\"cluster\":\"DefaultCluster\"", "0:\"" + cluster.broker + "\"", "\"brokerName\":\"broker-a\"",
            "\"perm\":6", "\"readQueueNums\":3", "\"writeQueueNums\":3")) {
            Check.contains(route, part, "route");
        }
        cluster.producer.send(Texts.numbered(topic, 5), Cluster.queues(topic, 3).get(1));
        cluster.awaitEnd(Cluster.queues(topic, 3), 5);
        String status = mqadmin(cluster, "topicStatus", "-t", topic);
        line(status, "broker-a 0 0 0");
        line(status, "broker-a 1 0 5 20");
        line(status, "broker-a 2 0 0");
    }

    private static void topicPermission(Cluster cluster) throws Exception {
        String topic = cluster.newTopic("permission", 2);
        Check.contains(mqadmin(cluster, "updateTopicPerm", "-b", cluster.broker, "-t", topic, "-p", "4"),
            "update topic perm from 6 to 4 in " + cluster.broker + " success", "answer");
        Check.contains(mqadmin(cluster, "topicRoute", "-t", topic), "\"perm\":4", "the route");
    }

    private static void deleteTopic(Cluster cluster) throws Exception {
        String topic = cluster.newTopic("delete", 2);
        cluster.producer.send(Texts.numbered(topic, 3), Cluster.queues(topic, 2).get(0));
        cluster.awaitEnd(Cluster.queues(topic, 2), 3);
        String answer = mqadmin(cluster, "deleteTopic", "-c", Cluster.NAME, "-t", topic);
        Check.contains(answer, "delete topic [" + topic + "] from cluster [DefaultCluster] success.", "answer");
        Check.contains(answer, "delete topic [" + topic + "] from NameServer success.", "answer");
        Check.that(!mqadmin(cluster, "topicList").lines().toList().contains(topic), "topic is not listed any more");
        Check.contains(mqadmin(cluster, "topicRoute", "-t", topic), "CODE: 17", "route");
        Check.equal(0L, cluster.admin.maxOffset(Cluster.queues(topic, 2).get(0)), "end of a queue of a deleted topic");
    }

    private static void groups(Cluster cluster) throws Exception {
        String group = Cluster.name("group");
        String made = mqadmin(cluster, "updateSubGroup", "-b", cluster.broker, "-g", group, "-r", "5");
        Check.contains(made, "create subscription group to " + cluster.broker + " success.", "answer");
        Check.equal(5, cluster.admin.examineSubscriptionGroupConfig(cluster.broker, group).getRetryMaxTimes(), "retries at the broker");
        Check.contains(mqadmin(cluster, "deleteSubGroup", "-b", cluster.broker, "-g", group),
            "delete subscription group [" + group + "] from broker [" + cluster.broker + "] success.", "answer");
        // Groups are made when they are asked for, so a deleted one is back at once, with the defaults.
        Check.equal(16, cluster.admin.examineSubscriptionGroupConfig(cluster.broker, group).getRetryMaxTimes(),
            "retries after the deletion");
    }

    private static void consumers(Cluster cluster) throws Exception {
        String topic = cluster.newTopic("progress", 2);
        String group = Cluster.name("progress");
        Inbox inbox = new Inbox();
        DefaultMQPushConsumer consumer = inbox.startOwning(cluster, group, topic, "red || blue", 2);
        try {
            for (int i = 0; i < 10; i++) {
                cluster.producer.send(new Message(topic, "red", Texts.bytes("m-" + i)));
            }
            Check.await(LIMIT, "10 messages received", () -> inbox.size() == 10);
            consumer.getDefaultMQPushConsumerImpl().persistConsumerOffset();
            Check.await(LIMIT, "no backlog in the progress of the group",
                () -> mqadmin(cluster, "consumerProgress", "-g", group).contains("Consume Diff Total: 0"));
            String progress = mqadmin(cluster, "consumerProgress", "-g", group);
            line(progress, topic + " broker-a 0 5 5 ");
            line(progress, topic + " broker-a 1 5 5 ");
            line(mqadmin(cluster, "consumerProgress"), group + " 1 V5_5_0 PUSH CLUSTERING ");
            String connection = mqadmin(cluster, "consumerConnection", "-g", group);
            Check.contains(line(connection, consumer.buildMQClientId() + " 127.0.0.1:"), "JAVA V5_5_0", "language and version");
            line(connection, topic + " red || blue");
            line(connection, "%RETRY%" + group + " *");
            Check.contains(connection, "ConsumeType: CONSUME_PASSIVELY", "type");
            Check.contains(connection, "MessageModel: CLUSTERING", "model");
            line(mqadmin(cluster, "statsAll", "-t", topic), topic + " " + group + " 0 ");
            line(mqadmin(cluster, "brokerConsumeStats", "-b", cluster.broker), topic + " " + group + " broker-a 0 5 5 0 ");
        } finally {
            consumer.shutdown();
        }
    }

    private static void producers(Cluster cluster) throws Exception {
        String topic = cluster.newTopic("producers", 1);
        cluster.producer.send(new Message(topic, Texts.bytes("m")));
        cluster.producer.getDefaultMQProducerImpl().getmQClientFactory().sendHeartbeatToAllBrokerWithLock();
        String connection = mqadmin(cluster, "producerConnection", "-g", cluster.producer.getProducerGroup(), "-t", topic);
        Check.contains(connection, "1 " + cluster.producer.buildMQClientId() + " 127.0.0.1:", "the producer's line");
        Check.contains(connection, "JAVA V5_5_0", "language and version");
    }

    private static void brokerConfig(Cluster cluster) {
        String before = mqadmin(cluster, "getBrokerConfig", "-b", cluster.broker);
        line(before, "============" + cluster.broker + "============");
        line(before, "brokerName = broker-a");
        line(before, "brokerClusterName = DefaultCluster");
        line(before, "brokerIP1 = 127.0.0.1");
        line(before, "listenPort = " + cluster.broker.replaceFirst(".*:", ""));
        line(before, "mappedFileSizeCommitLog = 1073741824");
        line(before, "defaultTopicQueueNums = 8");
        Check.contains(mqadmin(cluster, "updateBrokerConfig", "-b", cluster.broker, "-k", "defaultTopicQueueNums", "-v", "6"),
            "update broker config success, " + cluster.broker, "answer");
        line(mqadmin(cluster, "getBrokerConfig", "-b", cluster.broker), "defaultTopicQueueNums = 6");
        mqadmin(cluster, "updateBrokerConfig", "-b", cluster.broker, "-k", "defaultTopicQueueNums", "-v", "8");
    }

    private static void namesrvConfig(Cluster cluster) {
        String before = mqadmin(cluster, "getNamesrvConfig");
        line(before, "============" + cluster.namesrv + "============");
        line(before, "deleteTopicWithBrokerRegistration = false");
        mqadmin(cluster, "updateNamesrvConfig", "-k", "deleteTopicWithBrokerRegistration", "-v", "true");
        line(mqadmin(cluster, "getNamesrvConfig"), "deleteTopicWithBrokerRegistration = true");
        mqadmin(cluster, "updateNamesrvConfig", "-k", "deleteTopicWithBrokerRegistration", "-v", "false");
    }

    private static void keyValues(Cluster cluster) throws Exception {
        String space = Cluster.name("space");
        Check.contains(mqadmin(cluster, "updateKvConfig", "-s", space, "-k", "colour", "-v", "green"),
            "create or update kv config to namespace success.", "answer");
        Check.equal("green", cluster.admin.getKVConfig(space, "colour"), "value");
        Check.contains(mqadmin(cluster, "deleteKvConfig", "-s", space, "-k", "colour"),
            "delete kv config from namespace success.", "answer");
        MQClientException e = Check.fails(MQClientException.class, "a value deleted", () -> cluster.admin.getKVConfig(space, "colour"));
        Check.equal(22, e.getResponseCode(), "code");
    }

    private static void writePermission(Cluster cluster) throws Exception {
        String topic = cluster.newTopic("wipe", 1);
        Check.contains(mqadmin(cluster, "wipeWritePerm", "-b", "broker-a"),
            "wipe write perm of broker[broker-a] in name server[" + cluster.namesrv + "] OK, ", "answer");
        Check.contains(mqadmin(cluster, "topicRoute", "-t", topic), "\"perm\":4", "route without write permission");
        Check.contains(mqadmin(cluster, "addWritePerm", "-b", "broker-a"),
            "add write perm of broker[broker-a] in name server[" + cluster.namesrv + "] OK, ", "answer");
        Check.contains(mqadmin(cluster, "topicRoute", "-t", topic), "\"perm\":6", "route with write permission");
    }

    private static void askedConsumers(Cluster cluster) throws Exception {
        String topic = cluster.newTopic("asked", 1);
        String group = Cluster.name("asked");
        Inbox inbox = new Inbox();
        DefaultMQPushConsumer consumer = inbox.startOwning(cluster, group, topic, "*", 1);
        try {
            SendResult sent = cluster.producer.send(new Message(topic, Texts.bytes("again")));
            Check.await(LIMIT, "the message", () -> inbox.size() == 1);
            consumer.getDefaultMQPushConsumerImpl().persistConsumerOffset();
            String id = consumer.buildMQClientId();
            // Without -i the tool writes files into the working directory.
            String one = mqadmin(cluster, "consumerStatus", "-g", group, "-i", id);
            Check.contains(one, "PROP_CONSUME_TYPE", "its properties");
            Check.contains(one, "Topic: " + topic, "its subscription");
            // The tool's command for it is not in its list.
            Check.equal(Map.of(id, Map.of(Cluster.queues(topic, 1).get(0), 1L)), cluster.admin.getConsumeStatus(topic, group, ""), "its offset");
            String given = mqadmin(cluster, "queryMsgById", "-t", topic, "-i", sent.getOffsetMsgId(), "-g", group, "-d", id);
            Check.contains(given, "consumeResult=CR_SUCCESS", "the result");
            Check.await(LIMIT, "the message again", () -> inbox.times("again") == 2);
            Check.contains(mqadmin(cluster, "consumerStatus", "-g", group, "-i", "nobody"), "not online", "a consumer that is not there");
        } finally {
            consumer.shutdown();
        }
    }

    private static void absentOffsets(Cluster cluster) throws Exception {
        String topic = cluster.newTopic("absent", 1);
        String group = Cluster.name("absent");
        String clone = Cluster.name("clone");
        // The tool looks for the groups' retry topics, which come into being with their first consumers.
        for (String each : List.of(group, clone)) {
            new Inbox().startOwning(cluster, each, topic, "*", 1).shutdown();
        }
        for (int i = 0; i < 3; i++) {
            cluster.producer.send(new Message(topic, Texts.bytes("m-" + i)));
        }
        cluster.awaitEnd(Cluster.queues(topic, 1), 3);
        Check.contains(mqadmin(cluster, "skipAccumulatedMessage", "-g", group, "-t", topic), "broker-a 0 3", "skipped to the end");
        Check.contains(mqadmin(cluster, "resetOffsetByTime", "-g", group, "-t", topic, "-s", "0"), "broker-a 0 0", "back to the start");
        Check.contains(mqadmin(cluster, "skipAccumulatedMessage", "-g", group, "-t", topic), "broker-a 0 3", "skipped again");
        Check.contains(mqadmin(cluster, "cloneGroupOffset", "-s", group, "-d", clone, "-t", topic, "-o", "true"),
            "clone group offset success.", "answer");
        line(mqadmin(cluster, "consumerProgress", "-g", clone), topic + " broker-a 0 3 3 ");
    }

    private static void liveReset(Cluster cluster, boolean byBroker) throws Exception {
        String topic = cluster.newTopic("live", 1);
        String group = Cluster.name("live");
        Inbox inbox = new Inbox();
        mqadmin(cluster, "updateBrokerConfig", "-b", cluster.broker, "-k", "useServerSideResetOffset", "-v", String.valueOf(byBroker));
        DefaultMQPushConsumer consumer = inbox.startOwning(cluster, group, topic, "*", 1);
        try {
            for (int i = 0; i < 3; i++) {
                cluster.producer.send(new Message(topic, Texts.bytes("m-" + i)));
            }
            Check.await(LIMIT, "3 messages", () -> inbox.size() == 3);
            consumer.getDefaultMQPushConsumerImpl().persistConsumerOffset();
            Check.contains(mqadmin(cluster, "resetOffsetByTime", "-g", group, "-t", topic, "-s", "0"), "broker-a 0 0", "answer");
            cluster.producer.send(new Message(topic, Texts.bytes("m-3")));
            // Java waits ten seconds before it reads a queue again that it was told to.
            Check.await(Duration.ofSeconds(90), "all of them again, and the new one",
                () -> inbox.times("m-0") == 2 && inbox.times("m-1") == 2 && inbox.times("m-2") == 2 && inbox.has("m-3"));
        } finally {
            consumer.shutdown();
            mqadmin(cluster, "updateBrokerConfig", "-b", cluster.broker, "-k", "useServerSideResetOffset", "-v", "true");
        }
    }

    private static void skipped(Cluster cluster) throws Exception {
        String topic = cluster.newTopic("skipped", 1);
        String group = Cluster.name("skipped");
        for (int i = 0; i < 3; i++) {
            cluster.producer.send(new Message(topic, Texts.bytes("old-" + i)));
        }
        cluster.awaitEnd(Cluster.queues(topic, 1), 3);
        Inbox inbox = new Inbox();
        DefaultMQPushConsumer consumer = inbox.startOwning(cluster, group, topic, "*", 1);
        try {
            Check.await(LIMIT, "3 messages", () -> inbox.size() == 3);
            consumer.suspend();
            // A pull that the broker holds may still bring what comes first.
            int[] sent = {0};
            Check.await(LIMIT, "nothing comes any more", () -> {
                int before = inbox.size();
                cluster.producer.send(new Message(topic, Texts.bytes("new-" + sent[0]++)));
                Thread.sleep(300);
                return inbox.size() == before;
            });
            int seen = inbox.size();
            cluster.awaitEnd(Cluster.queues(topic, 1), 3 + sent[0]);
            Check.contains(mqadmin(cluster, "skipAccumulatedMessage", "-g", group, "-t", topic), "broker-a 0 " + (3 + sent[0]), "answer");
            consumer.resume();
            cluster.producer.send(new Message(topic, Texts.bytes("last")));
            Check.await(Duration.ofSeconds(90), "what comes after", () -> inbox.has("last"));
            Check.equal(seen + 1, inbox.size(), "messages received");
        } finally {
            consumer.shutdown();
        }
    }

    private static void traces(Cluster cluster) throws Exception {
        String topic = cluster.newTopic("traced", 1);
        String group = Cluster.name("traced");
        DefaultMQProducer producer = new DefaultMQProducer(Cluster.name("tracing"), true, null);
        producer.setNamesrvAddr(cluster.namesrv);
        producer.setVipChannelEnabled(false);
        DefaultMQPushConsumer consumer = new DefaultMQPushConsumer(group, true, null);
        consumer.setNamesrvAddr(cluster.namesrv);
        consumer.setVipChannelEnabled(false);
        consumer.setInstanceName(Cluster.name("instance"));
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        consumer.subscribe(topic, "*");
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> ConsumeConcurrentlyStatus.CONSUME_SUCCESS);
        producer.start();
        consumer.start();
        try {
            SendResult sent = producer.send(new Message(topic, "tag", "key", Texts.bytes("m")));
            Check.await(LIMIT, "the whole story", () -> {
                String story = mqadmin(cluster, "queryMsgTraceById", "-i", sent.getMsgId());
                return story.contains("Pub " + producer.getProducerGroup()) && story.contains(group) && story.contains("success");
            });
        } finally {
            consumer.shutdown();
            producer.shutdown();
        }
    }

    private static void messages(Cluster cluster) throws Exception {
        String topic = cluster.newTopic("messages", 1);
        SendResult sent = cluster.producer.send(new Message(topic, "tag", "key", Texts.bytes("hello")));
        cluster.awaitEnd(Cluster.queues(topic, 1), 1);
        String byId = mqadmin(cluster, "queryMsgById", "-t", topic, "-i", sent.getOffsetMsgId());
        line(byId, "OffsetID: " + sent.getOffsetMsgId());
        line(byId, "Topic: " + topic);
        line(byId, "Tags: [tag]");
        line(byId, "Keys: [key]");
        line(byId, "Store Host: " + cluster.broker);
        Check.await(LIMIT, "the message by its key",
            () -> mqadmin(cluster, "queryMsgByKey", "-t", topic, "-k", "key").contains(sent.getMsgId()));
        line(mqadmin(cluster, "queryMsgByUniqueKey", "-t", topic, "-i", sent.getMsgId()), "Topic: " + topic);
        line(mqadmin(cluster, "queryMsgByOffset", "-t", topic, "-b", "broker-a", "-i", "0", "-o", "0"),
            "OffsetID: " + sent.getOffsetMsgId());
        String toolSent = mqadmin(cluster, "sendMessage", "-t", topic, "-p", "from the tool", "-k", "toolkey", "-c", "tag");
        Check.contains(toolSent, "broker-a 0 SEND_OK ", "answer to a send by the tool");
        cluster.awaitEnd(Cluster.queues(topic, 1), 2);
        Check.equal("from the tool", Texts.text(Pulling.drain(cluster, Cluster.queues(topic, 1).get(0)).get(1).getBody()), "body");
    }
}
