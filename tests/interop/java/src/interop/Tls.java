package interop;

import java.nio.charset.StandardCharsets;
import java.util.List;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendStatus;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageQueue;

/** TLS and plain text at the same ports. All other clients of such a run speak TLS, by the property tls.enable. */
final class Tls {
    private Tls() {
    }

    static void add(Cases cases) {
        boolean onlyTls = "enforcing".equals(System.getenv("SERVER_TLS"));
        if (onlyTls) {
            cases.add("plain text is refused", Tls::plainTextIsRefused);
        } else {
            cases.add("TLS and plain text share a topic", Tls::sideBySide);
        }
    }

    private static void sideBySide(Cluster cluster) throws Exception {
        String topic = cluster.newTopic("tls", 1);
        List<MessageQueue> queues = Cluster.queues(topic, 1);
        for (boolean useTls : new boolean[] {true, false, true, false}) {
            DefaultMQProducer producer = cluster.newProducer();
            producer.setUseTLS(useTls);
            producer.start();
            try {
                Message message = new Message(topic, ("tls " + useTls).getBytes(StandardCharsets.UTF_8));
                Check.equal(SendStatus.SEND_OK, producer.send(message).getSendStatus(), "status with TLS " + useTls);
            } finally {
                producer.shutdown();
            }
        }
        cluster.awaitEnd(queues, 4);
    }

    private static void plainTextIsRefused(Cluster cluster) throws Exception {
        String topic = cluster.newTopic("tls", 1);
        DefaultMQProducer producer = cluster.newProducer();
        producer.setUseTLS(false);
        producer.start();
        try {
            Check.fails(Exception.class, "a send in plain text", () -> producer.send(new Message(topic, new byte[8])));
        } finally {
            producer.shutdown();
        }
    }
}
