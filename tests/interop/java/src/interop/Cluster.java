package interop;

import java.io.IOException;
import java.io.Reader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Properties;
import java.util.UUID;
import java.util.concurrent.TimeUnit;
import org.apache.rocketmq.client.consumer.DefaultMQPullConsumer;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.TopicConfig;
import org.apache.rocketmq.common.message.MessageQueue;
import org.apache.rocketmq.tools.admin.DefaultMQAdminExt;

/** The servers under test, and the clients that all cases share. */
final class Cluster implements AutoCloseable {
    static final String NAME = "DefaultCluster";
    static final String BROKER_NAME = "broker-a";
    private static final Duration SERVER_LIMIT = Duration.ofSeconds(160);
    private static final Duration ROUTE_LIMIT = Duration.ofSeconds(40);

    final String namesrv;
    final String broker;
    final Path store;
    final DefaultMQProducer producer;
    final DefaultMQPullConsumer puller;
    final DefaultMQAdminExt admin;
    private final Path directory;
    private final Path control;
    private String flavour;

    /** @param control the program that starts and stops the servers of the directory */
    Cluster(Path directory, Path control, String flavour) throws Exception {
        Properties env = new Properties();
        try (Reader reader = Files.newBufferedReader(directory.resolve("env"))) {
            env.load(reader);
        }
        this.directory = directory;
        this.control = control;
        this.flavour = flavour;
        namesrv = env.getProperty("NAMESRV");
        broker = env.getProperty("BROKER");
        store = Path.of(env.getProperty("STORE"));
        producer = newProducer();
        producer.start();
        puller = newPuller(name("puller"));
        puller.start();
        admin = new DefaultMQAdminExt();
        admin.setNamesrvAddr(namesrv);
        admin.setInstanceName(name("admin"));
        admin.setVipChannelEnabled(false);
        admin.start();
    }

    @Override
    public void close() {
        producer.shutdown();
        puller.shutdown();
        admin.shutdown();
    }

    /** A name that no other case and no earlier run has used. */
    static String name(String stem) {
        return stem + "-" + UUID.randomUUID().toString().substring(0, 8);
    }

    DefaultMQProducer newProducer() {
        DefaultMQProducer made = new DefaultMQProducer(name("producer"));
        made.setNamesrvAddr(namesrv);
        made.setInstanceName(name("instance"));
        made.setSendMsgTimeout(10_000);
        made.setVipChannelEnabled(false);
        return made;
    }

    DefaultMQPullConsumer newPuller(String group) {
        DefaultMQPullConsumer made = new DefaultMQPullConsumer(group);
        made.setNamesrvAddr(namesrv);
        made.setInstanceName(name("instance"));
        made.setVipChannelEnabled(false);
        return made;
    }

    /** Makes a topic at the broker; the name server tells its route by then. */
    String newTopic(String stem, int queues) throws Exception {
        String topic = name(stem);
        makeTopic(topic, queues, 6);
        return topic;
    }

    void makeTopic(String topic, int queues, int permission) throws Exception {
        admin.createAndUpdateTopicConfig(broker, new TopicConfig(topic, queues, queues, permission));
        var data = admin.examineTopicRouteInfo(topic).getQueueDatas().get(0);
        Check.equal(queues, data.getWriteQueueNums(), "queues in the route at once");
        Check.equal(permission, data.getPerm(), "permission in the route at once");
    }

    /** After a restart the broker registers by and by. */
    void awaitRoute(String topic) throws Exception {
        Check.await(ROUTE_LIMIT, "a route to " + topic,
            () -> !admin.examineTopicRouteInfo(topic).getQueueDatas().isEmpty());
    }

    /** The queues of a topic in order of their numbers. */
    static List<MessageQueue> queues(String topic, int count) {
        List<MessageQueue> queues = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            queues.add(new MessageQueue(topic, BROKER_NAME, i));
        }
        queues.sort(Comparator.comparingInt(MessageQueue::getQueueId));
        return queues;
    }

    /** Waits until the queues of a topic end after so many messages in all: a queue may follow the log by a moment. */
    void awaitEnd(List<MessageQueue> queues, long messages) throws Exception {
        Check.await(ROUTE_LIMIT, messages + " messages in " + queues, () -> {
            long sum = 0;
            for (MessageQueue queue : queues) {
                sum += admin.maxOffset(queue);
            }
            return sum == messages;
        });
    }

    /** Stops a role in order, as SIGTERM does. */
    void stop(String role) throws Exception {
        control("stop", role);
    }

    /** Ends a role as kill -9 does. */
    void kill(String role) throws Exception {
        control("kill", role);
    }

    void start(String role) throws Exception {
        control("start", role, flavour);
    }

    /** Whether Apache's servers run now: a few of their flaws must be stepped around. */
    boolean isApache() {
        return flavour.equals("apache");
    }

    /** From the next start on, servers of this flavour. */
    void become(String next) {
        flavour = next;
    }

    /** Runs the server program with the given words after the directory. */
    private void control(String... words) throws IOException, InterruptedException {
        List<String> command = new ArrayList<>(List.of(control.toString(), directory.toString()));
        command.addAll(List.of(words));
        Process process = new ProcessBuilder(command).redirectErrorStream(true)
            .redirectOutput(directory.resolve("logs/control.log").toFile()).start();
        if (!process.waitFor(SERVER_LIMIT.toSeconds(), TimeUnit.SECONDS)) {
            process.destroyForcibly();
            throw new AssertionError(String.join(" ", words) + " took over " + SERVER_LIMIT.toSeconds() + " s");
        }
        Check.that(process.exitValue() == 0,
            String.join(" ", words) + ": " + Files.readString(directory.resolve("logs/control.log")));
    }
}
