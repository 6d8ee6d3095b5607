package interop;

import java.time.Duration;
import java.util.List;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.exception.RequestTimeoutException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.utils.MessageUtil;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;

/** Request and reply. */
final class Requesting {
    private static final long WAIT_MS = 30_000;

    private Requesting() {
    }

    static void add(Cases cases) {
        cases.add("requests get the replies of whoever consumes them", Requesting::answered);
        cases.add("a request that nobody answers times out", Requesting::unanswered);
    }

    /** Starts a consumer that replies with each body twice over, but to "silence". */
    static DefaultMQPushConsumer echo(DefaultMQPushConsumer consumer, DefaultMQProducer replies, String topic) throws Exception {
        consumer.subscribe(topic, "*");
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            for (MessageExt request : messages) {
                String body = Texts.text(request.getBody());
                try {
                    if (!body.equals("silence")) {
                        replies.send(MessageUtil.createReplyMessage(request, Texts.bytes(body + body)), 10_000);
                    }
                } catch (Exception e) {
                    e.printStackTrace();
                }
            }
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        return consumer;
    }

    private static DefaultMQPushConsumer echo(Cluster cluster, String topic) throws Exception {
        DefaultMQPushConsumer consumer = new DefaultMQPushConsumer(Cluster.name("echo"));
        consumer.setNamesrvAddr(cluster.namesrv);
        consumer.setVipChannelEnabled(false);
        consumer.setInstanceName(Cluster.name("instance"));
        if (cluster.isApache()) {
            consumer.setHeartbeatBrokerInterval(1000);
        }
        return echo(consumer, cluster.producer, topic);
    }

    private static void answered(Cluster cluster) throws Exception {
        String topic = cluster.newTopic("request", 2);
        DefaultMQProducer asker = cluster.newProducer();
        asker.start();
        DefaultMQPushConsumer consumer = echo(cluster, topic);
        try {
            String noise = Texts.text(Texts.repetition(50_000));
            for (String body : List.of("one", "two", noise)) {
                Message reply = asker.request(new Message(topic, Texts.bytes(body)), WAIT_MS);
                Check.equal(body + body, Texts.text(reply.getBody()), "reply");
                Check.equal(Cluster.NAME + "_REPLY_TOPIC", reply.getTopic(), "topic of the reply");
            }
        } finally {
            consumer.shutdown();
            asker.shutdown();
        }
    }

    private static void unanswered(Cluster cluster) throws Exception {
        String topic = cluster.newTopic("silence", 1);
        DefaultMQProducer asker = cluster.newProducer();
        asker.start();
        try {
            long begun = System.nanoTime();
            Check.fails(RequestTimeoutException.class, "a request to nobody",
                () -> asker.request(new Message(topic, Texts.bytes("silence")), 1_500));
            Check.that(Duration.ofNanos(System.nanoTime() - begun).toMillis() >= 1_500, "it waited");
        } finally {
            asker.shutdown();
        }
    }
}
