package interop;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.apache.rocketmq.client.consumer.DefaultLitePullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.MessageSelector;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;

/** SQL92 over properties, and custom filters by their SQL92 form. */
final class Filtering {
    private static final Duration LIMIT = Duration.ofSeconds(60);

    private Filtering() {
    }

    static void add(Cases cases) {
        cases.add("push by sql", Filtering::push);
        cases.add("push by sql wakes up", Filtering::wakeUp);
        cases.add("pull by sql", Filtering::pull);
        cases.add("a bad expression keeps a consumer from starting", Filtering::refused);
    }

    /** For a broker that has the filter GEO of examples/geo_filter.rs. */
    static void addCustom(Cases cases) {
        cases.add("push by a custom filter", Filtering::custom);
        cases.add("a custom filter that is not there", Filtering::absent);
    }

    private static void send(Cluster cluster, String topic, int from, int to) throws Exception {
        for (int n = from; n < to; n++) {
            Message message = new Message(topic, n % 2 == 0 ? "even" : "odd", Texts.bytes("m-" + n));
            message.putUserProperty("n", "" + n);
            message.putUserProperty("region", n % 3 == 0 ? "north" : "it's south");
            cluster.producer.send(message);
        }
    }

    private static Set<String> bodies(int... numbers) {
        return IntStream.of(numbers).mapToObj(n -> "m-" + n).collect(Collectors.toSet());
    }

    private static void push(Cluster cluster) throws Exception {
        String topic = cluster.newTopic("sql", 4);
        send(cluster, topic, 0, 30);
        String[] expressions = {
            "n BETWEEN 3 AND 5 OR n > 28", "region = 'it''s south' AND TAGS = 'even' AND n < 9", "n IN ('1', '2') AND absent IS NULL",
            "region STARTSWITH 'nor' AND NOT (n > 7)",
        };
        int[][] expected = {{3, 4, 5, 29}, {2, 4, 8}, {1, 2}, {0, 3, 6}};
        for (int i = 0; i < expressions.length; i++) {
            Inbox inbox = new Inbox();
            DefaultMQPushConsumer consumer = inbox.start(cluster, Cluster.name("sql"), topic, MessageSelector.bySql(expressions[i]));
            try {
                Set<String> wanted = bodies(expected[i]);
                Check.await(LIMIT, "messages of " + expressions[i], () -> inbox.bodies().containsAll(wanted));
                Check.equal(wanted, new HashSet<>(inbox.bodies()), expressions[i]);
            } finally {
                consumer.shutdown();
            }
        }
    }

    private static void wakeUp(Cluster cluster) throws Exception {
        String topic = cluster.newTopic("sqlwake", 1);
        Inbox inbox = new Inbox();
        DefaultMQPushConsumer consumer = inbox.start(cluster, Cluster.name("sqlwake"), topic, MessageSelector.bySql("n >= 6"));
        try {
            Check.await(LIMIT, "the queue", () -> Inbox.owned(consumer, topic).size() == 1);
            send(cluster, topic, 0, 7);
            Check.await(LIMIT, "the message that is wanted", () -> inbox.has("m-6"));
            Check.equal(bodies(6), new HashSet<>(inbox.bodies()), "bodies");
        } finally {
            consumer.shutdown();
        }
    }

    private static void pull(Cluster cluster) throws Exception {
        String topic = cluster.newTopic("sqlpull", 4);
        send(cluster, topic, 0, 12);
        DefaultLitePullConsumer consumer = new DefaultLitePullConsumer(Cluster.name("sqlpull"));
        consumer.setNamesrvAddr(cluster.namesrv);
        consumer.setVipChannelEnabled(false);
        consumer.setInstanceName(Cluster.name("instance"));
        consumer.setHeartbeatBrokerInterval(1000);
        consumer.subscribe(topic, MessageSelector.bySql("n > 7"));
        consumer.start();
        try {
            List<String> got = new ArrayList<>();
            Check.await(LIMIT, "4 messages", () -> {
                for (MessageExt message : consumer.poll(500)) {
                    got.add(Texts.text(message.getBody()));
                }
                return got.size() >= 4;
            });
            Collections.sort(got);
            Check.equal(Arrays.asList("m-10", "m-11", "m-8", "m-9"), got, "bodies");
        } finally {
            consumer.shutdown();
        }
    }

    private static void refused(Cluster cluster) throws Exception {
        String topic = cluster.newTopic("sqlbad", 1);
        refused(cluster, topic, "n > AND");
        refused(cluster, topic, "n BETWEEN 5 AND 3");
        refused(cluster, topic, "NOT n > 7");
    }

    private static void refused(Cluster cluster, String topic, String expression) throws Exception {
        DefaultMQPushConsumer consumer = null;
        try {
            consumer = new Inbox().start(cluster, Cluster.name("sqlbad"), topic, MessageSelector.bySql(expression));
        } catch (MQClientException refused) {
            Check.equal(23, refused.getResponseCode(), "code of the refusal: " + refused);
            return;
        } finally {
            if (consumer != null) {
                consumer.shutdown();
            }
        }
        throw new IllegalStateException("a consumer started with " + expression);
    }

    private static void custom(Cluster cluster) throws Exception {
        String topic = cluster.newTopic("geo", 2);
        String[][] places = {{"Alexanderplatz", "52.522", "13.413"}, {"Potsdam", "52.391", "13.065"}, {"Hamburg", "53.551", "9.994"}};
        for (String[] place : places) {
            Message message = new Message(topic, Texts.bytes(place[0]));
            message.putUserProperty("lat", place[1]);
            message.putUserProperty("lon", place[2]);
            cluster.producer.send(message);
        }
        Inbox inbox = new Inbox();
        MessageSelector near = MessageSelector.bySql("FILTER('GEO', '52.52 13.40 50')");
        DefaultMQPushConsumer consumer = inbox.start(cluster, Cluster.name("geo"), topic, near);
        try {
            Set<String> wanted = new HashSet<>(Arrays.asList("Alexanderplatz", "Potsdam"));
            Check.await(LIMIT, "two places", () -> inbox.bodies().containsAll(wanted));
            Check.equal(wanted, new HashSet<>(inbox.bodies()), "places");
        } finally {
            consumer.shutdown();
        }
    }

    private static void absent(Cluster cluster) throws Exception {
        refused(cluster, cluster.newTopic("geo", 1), "FILTER('NOBODY', 'x')");
    }
}
