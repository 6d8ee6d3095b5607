package interop;

import java.time.Duration;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Consumer;
import java.util.stream.Collectors;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.MessageSelector;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/** What the push consumers of a group have received: how often each body came, and who got how many. */
final class Inbox {
    private static final Duration OWNING_LIMIT = Duration.ofSeconds(30);

    private final Map<String, Integer> bodies = new ConcurrentHashMap<>();
    private final Map<String, Integer> perInstance = new ConcurrentHashMap<>();
    private final Map<String, Long> arrivals = new ConcurrentHashMap<>();

    /** Starts an instance of the group that puts what it gets into this inbox. */
    DefaultMQPushConsumer start(Cluster cluster, String group, String topic, String tags) throws Exception {
        return start(cluster, group, topic, MessageSelector.byTag(tags));
    }

    /** The same of messages that the selector chooses. */
    DefaultMQPushConsumer start(Cluster cluster, String group, String topic, MessageSelector selector) throws Exception {
        DefaultMQPushConsumer consumer = new DefaultMQPushConsumer(group);
        consumer.setNamesrvAddr(cluster.namesrv);
        consumer.setVipChannelEnabled(false);
        String instance = Cluster.name("instance");
        consumer.setInstanceName(instance);
        consumer.setConsumeThreadMin(2);
        consumer.setConsumeThreadMax(2);
        if (cluster.isApache()) {
            // A rebalance makes the subscription newer, and Apache refuses pulls with 25 until a heartbeat has told it: up to 30 s.
            consumer.setHeartbeatBrokerInterval(1000);
        }
        consumer.subscribe(topic, selector);
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            for (MessageExt message : messages) {
                receive(instance, Texts.text(message.getBody()));
            }
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        return consumer;
    }

    /** Starts an instance that gets everything, whoever else is in the group, and goes on where its file of offsets says. */
    DefaultMQPushConsumer startBroadcasting(Cluster cluster, String group, String topic, String instance) throws Exception {
        DefaultMQPushConsumer consumer = new DefaultMQPushConsumer(group);
        consumer.setNamesrvAddr(cluster.namesrv);
        consumer.setVipChannelEnabled(false);
        consumer.setInstanceName(instance);
        if (cluster.isApache()) {
            consumer.setHeartbeatBrokerInterval(1000);
        }
        return broadcast(consumer, topic, body -> receive(instance, body));
    }

    /** Starts a consumer that broadcasts, from the first message on. */
    static DefaultMQPushConsumer broadcast(DefaultMQPushConsumer consumer, String topic, Consumer<String> ear) throws Exception {
        // The class of the model moved between the generations.
        consumer.setMessageModel(Enum.valueOf(consumer.getMessageModel().getDeclaringClass(), "BROADCASTING"));
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        consumer.subscribe(topic, "*");
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            messages.forEach(message -> ear.accept(Texts.text(message.getBody())));
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        return consumer;
    }

    /** Starts an instance and waits until it pulls from all of the queues: what is sent from then on it cannot miss. */
    DefaultMQPushConsumer startOwning(Cluster cluster, String group, String topic, String tags, int queues) throws Exception {
        DefaultMQPushConsumer consumer = start(cluster, group, topic, tags);
        Check.await(OWNING_LIMIT, queues + " queues for the only instance", () -> owned(consumer, topic).size() == queues);
        return consumer;
    }

    private void receive(String instance, String body) {
        arrivals.put(body, System.nanoTime());
        perInstance.merge(instance, 1, Integer::sum);
        bodies.merge(body, 1, Integer::sum);
    }

    int size() {
        return bodies.size();
    }

    /** How often the body came. */
    int times(String body) {
        return bodies.getOrDefault(body, 0);
    }

    boolean has(String body) {
        return bodies.containsKey(body);
    }

    Set<String> bodies() {
        return bodies.keySet();
    }

    int of(DefaultMQPushConsumer consumer) {
        return perInstance.getOrDefault(consumer.getInstanceName(), 0);
    }

    /** When the body came last, in System.nanoTime. */
    long arrival(String body) {
        return arrivals.get(body);
    }

    void expectOnceEach() {
        Map<String, Integer> repeated = bodies.entrySet().stream().filter(each -> each.getValue() > 1)
            .collect(Collectors.toMap(Map.Entry::getKey, Map.Entry::getValue));
        Check.equal(Map.of(), repeated, "bodies received more than once");
    }

    /** The queues of the topic that an instance pulls from now. */
    static Set<Integer> owned(DefaultMQPushConsumer consumer, String topic) {
        return consumer.getDefaultMQPushConsumerImpl().getRebalanceImpl().getProcessQueueTable().keySet().stream()
            .filter(queue -> queue.getTopic().equals(topic)).map(MessageQueue::getQueueId).collect(Collectors.toSet());
    }
}
