package interop;

import java.time.Duration;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Function;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.exception.MQBrokerException;
import org.apache.rocketmq.client.producer.LocalTransactionState;
import org.apache.rocketmq.client.producer.SendStatus;
import org.apache.rocketmq.client.producer.TransactionListener;
import org.apache.rocketmq.client.producer.TransactionMQProducer;
import org.apache.rocketmq.client.producer.TransactionSendResult;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;

/** The transactional producer: commits, rollbacks, and questions about what it did not know. */
final class Transactions {
    /** A broker asks every half minute about what is older than six seconds. */
    private static final Duration LIMIT = Duration.ofSeconds(100);

    private Transactions() {
    }

    static void add(Cases cases) {
        cases.add("a transaction commits or rolls back at once", Transactions::atOnce);
        cases.add("a transaction that its producer did not know is asked about", Transactions::askedAbout);
        cases.add("another producer of the group is asked when the first is gone", Transactions::producerRestarted);
        cases.addAlone("transactions outlive a restart of the broker", cluster -> brokerRestarted(cluster, cluster::stop));
        cases.addAlone("transactions outlive a kill -9 of the broker", cluster -> brokerRestarted(cluster, cluster::kill));
        cases.addAlone("transactions are refused where they are switched off", Transactions::switchedOff);
    }

    private interface Ending {
        void end(String role) throws Exception;
    }

    /** Does what the bodies say: the part before the first dash at once, the part after the colon when it is asked. */
    private static final class Listener implements TransactionListener {
        final Map<String, Integer> checks = new ConcurrentHashMap<>();
        private final Function<String, LocalTransactionState> answer;

        Listener(Function<String, LocalTransactionState> answer) {
            this.answer = answer;
        }

        @Override
        public LocalTransactionState executeLocalTransaction(Message message, Object argument) {
            return switch (Texts.text(message.getBody()).split("-")[0]) {
                case "commit" -> LocalTransactionState.COMMIT_MESSAGE;
                case "rollback" -> LocalTransactionState.ROLLBACK_MESSAGE;
                default -> LocalTransactionState.UNKNOW;
            };
        }

        @Override
        public LocalTransactionState checkLocalTransaction(MessageExt message) {
            String body = Texts.text(message.getBody());
            checks.merge(body, 1, Integer::sum);
            return answer.apply(body);
        }
    }

    private static TransactionMQProducer start(Cluster cluster, String group, Listener listener) throws Exception {
        TransactionMQProducer producer = new TransactionMQProducer(group);
        producer.setNamesrvAddr(cluster.namesrv);
        producer.setInstanceName(Cluster.name("instance"));
        producer.setSendMsgTimeout(10_000);
        producer.setVipChannelEnabled(false);
        producer.setTransactionListener(listener);
        producer.start();
        return producer;
    }

    private static TransactionSendResult send(TransactionMQProducer producer, String topic, String body) throws Exception {
        Message message = new Message(topic, "tag", "key-" + body, Texts.bytes(body));
        TransactionSendResult result = producer.sendMessageInTransaction(message, null);
        Check.equal(SendStatus.SEND_OK, result.getSendStatus(), "status of " + body);
        Check.equal(result.getMsgId(), result.getTransactionId(), "id of the transaction");
        return result;
    }

    private static void atOnce(Cluster cluster) throws Exception {
        String topic = cluster.newTopic("transactions", 4);
        Inbox inbox = new Inbox();
        DefaultMQPushConsumer consumer = inbox.startOwning(cluster, Cluster.name("transactions"), topic, "tag", 4);
        Listener listener = new Listener(body -> LocalTransactionState.COMMIT_MESSAGE);
        TransactionMQProducer producer = start(cluster, Cluster.name("transactional"), listener);
        try {
            for (int i = 0; i < 10; i++) {
                send(producer, topic, "rollback-" + i);
                send(producer, topic, "commit-" + i);
            }
            Check.await(LIMIT, "10 committed messages", () -> inbox.size() >= 10);
            Check.that(inbox.bodies().stream().allMatch(body -> body.startsWith("commit")), "nothing that was rolled back");
            inbox.expectOnceEach();
            int stored = 0;
            for (var queue : Cluster.queues(topic, 4)) {
                for (MessageExt message : Pulling.drain(cluster, queue)) {
                    stored++;
                    Check.equal(8, message.getSysFlag() & 12, "transaction bits of a committed message");
                    Check.that(message.getPreparedTransactionOffset() > 0, "where its half message lies");
                    Check.equal("true", message.getProperty("TRAN_MSG"), "TRAN_MSG of a committed message");
                    Check.equal(null, message.getProperty("REAL_TOPIC"), "REAL_TOPIC of a committed message");
                    Check.equal(null, message.getProperty("REAL_QID"), "REAL_QID of a committed message");
                }
            }
            Check.equal(10, stored, "messages in the topic");
            Check.equal(Map.of(), listener.checks, "questions");
        } finally {
            producer.shutdown();
            consumer.shutdown();
        }
    }

    private static LocalTransactionState byName(String body) {
        return body.endsWith("yes") ? LocalTransactionState.COMMIT_MESSAGE : LocalTransactionState.ROLLBACK_MESSAGE;
    }

    private static void awaitAsked(Listener listener, Set<String> bodies) throws Exception {
        Check.await(LIMIT, "questions about " + bodies, () -> listener.checks.keySet().containsAll(bodies));
    }

    private static void askedAbout(Cluster cluster) throws Exception {
        String topic = cluster.newTopic("asked", 2);
        Inbox inbox = new Inbox();
        DefaultMQPushConsumer consumer = inbox.startOwning(cluster, Cluster.name("asked"), topic, "*", 2);
        Listener listener = new Listener(Transactions::byName);
        TransactionMQProducer producer = start(cluster, Cluster.name("transactional"), listener);
        try {
            send(producer, topic, "unknown-yes");
            send(producer, topic, "unknown-no");
            awaitAsked(listener, Set.of("unknown-yes", "unknown-no"));
            Check.await(LIMIT, "the message that was committed late", () -> inbox.has("unknown-yes"));
            Check.equal(Set.of("unknown-yes"), inbox.bodies(), "messages received");
            inbox.expectOnceEach();
        } finally {
            producer.shutdown();
            consumer.shutdown();
        }
    }

    private static void producerRestarted(Cluster cluster) throws Exception {
        String topic = cluster.newTopic("successor", 2);
        String group = Cluster.name("transactional");
        Inbox inbox = new Inbox();
        DefaultMQPushConsumer consumer = inbox.startOwning(cluster, Cluster.name("successor"), topic, "*", 2);
        Listener never = new Listener(body -> LocalTransactionState.UNKNOW);
        TransactionMQProducer first = start(cluster, group, never);
        send(first, topic, "unknown-yes");
        first.shutdown();
        Listener listener = new Listener(Transactions::byName);
        TransactionMQProducer second = start(cluster, group, listener);
        try {
            // A client tells brokers of a producer once it knows one from a route.
            send(second, topic, "commit-first");
            awaitAsked(listener, Set.of("unknown-yes"));
            Check.await(LIMIT, "both messages", () -> inbox.bodies().equals(Set.of("unknown-yes", "commit-first")));
            Check.equal(Map.of(), never.checks, "questions to a producer that is gone");
        } finally {
            second.shutdown();
            consumer.shutdown();
        }
    }

    private static void brokerRestarted(Cluster cluster, Ending ending) throws Exception {
        String topic = cluster.newTopic("durable", 1);
        Listener listener = new Listener(Transactions::byName);
        TransactionMQProducer producer = start(cluster, Cluster.name("transactional"), listener);
        Inbox inbox = new Inbox();
        DefaultMQPushConsumer consumer = inbox.startOwning(cluster, Cluster.name("durable"), topic, "*", 1);
        try {
            send(producer, topic, "commit-before");
            send(producer, topic, "rollback-before");
            send(producer, topic, "unknown-yes");
            send(producer, topic, "unknown-no");
            ending.end("broker");
            cluster.start("broker");
            cluster.awaitRoute(topic);
            awaitAsked(listener, Set.of("unknown-yes", "unknown-no"));
            Check.await(LIMIT, "both messages", () -> inbox.bodies().equals(Set.of("commit-before", "unknown-yes")));
        } finally {
            producer.shutdown();
            consumer.shutdown();
        }
    }

    private static void switchedOff(Cluster cluster) throws Exception {
        String topic = cluster.newTopic("off", 1);
        TransactionMQProducer producer = start(cluster, Cluster.name("transactional"), new Listener(Transactions::byName));
        try {
            set(cluster, "true");
            Exception refused = Check.fails(Exception.class, "a half message where none is taken", () -> send(producer, topic, "commit-1"));
            Throwable cause = refused;
            while (cause != null && !(cause instanceof MQBrokerException)) {
                cause = cause.getCause();
            }
            Check.that(cause instanceof MQBrokerException, "a broker's refusal, not " + refused);
            Check.equal(16, ((MQBrokerException) cause).getResponseCode(), "code of the refusal");
        } finally {
            set(cluster, "false");
            producer.shutdown();
        }
    }

    private static void set(Cluster cluster, String value) throws Exception {
        var settings = new java.util.Properties();
        settings.setProperty("rejectTransactionMessage", value);
        cluster.admin.updateBrokerConfig(cluster.broker, settings);
    }
}
