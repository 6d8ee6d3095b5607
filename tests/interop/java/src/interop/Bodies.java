package interop;

import java.util.Arrays;
import java.util.List;
import org.apache.rocketmq.client.exception.MQBrokerException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.client.producer.SendStatus;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;
import org.apache.rocketmq.common.sysflag.MessageSysFlag;

/** Sizes of bodies and their compression. */
final class Bodies {
    private static final int LIMIT = 4 * 1024 * 1024;

    private Bodies() {
    }

    static void add(Cases cases) {
        cases.add("body of 1 MiB", cluster -> plain(cluster, 1024 * 1024));
        cases.add("body of one byte", cluster -> plain(cluster, 1));
        cases.add("body of exactly 4 MiB", cluster -> plain(cluster, LIMIT));
        cases.add("body over 4 MiB is refused with 13", Bodies::tooLong);
        cases.add("body compressed by zlib", cluster -> compressed(cluster, "ZLIB", MessageSysFlag.COMPRESSION_ZLIB_TYPE));
        cases.add("body compressed by LZ4", cluster -> compressed(cluster, "LZ4", MessageSysFlag.COMPRESSION_LZ4_TYPE));
        cases.add("body compressed by ZSTD", cluster -> compressed(cluster, "ZSTD", MessageSysFlag.COMPRESSION_ZSTD_TYPE));
    }

    /** A producer that compresses nothing and sends whatever it is told to. */
    private static DefaultMQProducer unchecked(Cluster cluster) throws Exception {
        DefaultMQProducer producer = cluster.newProducer();
        producer.setMaxMessageSize(4 * LIMIT);
        producer.setCompressMsgBodyOverHowmuch(Integer.MAX_VALUE);
        producer.start();
        return producer;
    }

    private static void plain(Cluster cluster, int length) throws Exception {
        String topic = cluster.newTopic("body", 1);
        byte[] body = Texts.noise(length);
        DefaultMQProducer producer = unchecked(cluster);
        try {
            SendResult result = producer.send(new Message(topic, body));
            Check.equal(SendStatus.SEND_OK, result.getSendStatus(), "status");
            expect(cluster, topic, result, body);
        } finally {
            producer.shutdown();
        }
    }

    private static void tooLong(Cluster cluster) throws Exception {
        String topic = cluster.newTopic("long", 1);
        DefaultMQProducer producer = unchecked(cluster);
        try {
            MQBrokerException e = Check.fails(MQBrokerException.class, "a body of 4 MiB and one byte",
                () -> producer.send(new Message(topic, new byte[LIMIT + 1])));
            Check.equal(13, e.getResponseCode(), "code");
            Check.equal(0L, producer.send(new Message(topic, Texts.bytes("next"))).getQueueOffset(), "the next send's offset");
        } finally {
            producer.shutdown();
        }
    }

    private static void compressed(Cluster cluster, String type, int flag) throws Exception {
        String topic = cluster.newTopic("compressed", 1);
        byte[] body = Texts.repetition(100_000);
        DefaultMQProducer producer;
        // The two generations set the type in different places; both read this property when a producer is made.
        synchronized (Bodies.class) {
            System.setProperty("rocketmq.message.compressType", type);
            producer = cluster.newProducer();
            System.clearProperty("rocketmq.message.compressType");
        }
        producer.start();
        try {
            SendResult result = producer.send(new Message(topic, body));
            MessageExt seen = expect(cluster, topic, result, body);
            Check.equal(flag, seen.getSysFlag() & MessageSysFlag.COMPRESSION_TYPE_COMPARATOR, "the kind of compression is kept");
            Check.that(seen.getStoreSize() < body.length / 10, "stored small: " + seen.getStoreSize());
        } finally {
            producer.shutdown();
        }
    }

    /** Reads the message by a pull and by its id. */
    private static MessageExt expect(Cluster cluster, String topic, SendResult sent, byte[] body) throws Exception {
        MessageQueue queue = new MessageQueue(topic, Cluster.BROKER_NAME, 0);
        cluster.awaitEnd(List.of(queue), 1);
        List<MessageExt> pulled = Pulling.drain(cluster, queue);
        Check.equal(1, pulled.size(), "messages");
        Check.that(Arrays.equals(body, pulled.get(0).getBody()), "the body pulled is the body sent");
        MessageExt viewed = cluster.producer.viewMessage(topic, sent.getOffsetMsgId());
        Check.that(Arrays.equals(body, viewed.getBody()), "the body viewed is the body sent");
        return pulled.get(0);
    }
}
