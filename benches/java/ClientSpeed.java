import java.util.concurrent.Semaphore;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendCallback;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;

/** What benches/client.rs does, with RocketMQ's Java client. Prints one line of JSON. */
public class ClientSpeed {
    static final int BODY_BYTES = 128;
    static final int UNDER_WAY = 256;
    static final long WARM_UP_MS = 8000;

    public static void main(String[] arguments) throws Exception {
        String servers = arguments[1];
        String topic = arguments[2];
        long amount = Long.parseLong(arguments[3]);
        switch (arguments[0]) {
            case "sync": send(servers, topic, amount, false); break;
            case "async": send(servers, topic, amount, true); break;
            case "push": consume(servers, topic, amount); break;
            default: throw new IllegalArgumentException(arguments[0]);
        }
        System.exit(0);
    }

    static void send(String servers, String topic, long seconds, boolean manyAtOnce) throws Exception {
        DefaultMQProducer producer = new DefaultMQProducer("bench-producer");
        producer.setNamesrvAddr(servers);
        producer.start();
        byte[] body = new byte[BODY_BYTES];
        AtomicLong sent = new AtomicLong();
        Semaphore free = new Semaphore(UNDER_WAY);
        long countFrom = System.nanoTime() + WARM_UP_MS * 1_000_000;
        long end = countFrom + seconds * 1_000_000_000;
        long before = -1;
        while (System.nanoTime() < end) {
            Message message = new Message(topic, "bench", body);
            if (!manyAtOnce) {
                producer.send(message);
                sent.incrementAndGet();
            } else {
                free.acquire();
                producer.send(message, new SendCallback() {
                    @Override public void onSuccess(SendResult result) {
                        sent.incrementAndGet();
                        free.release();
                    }

                    @Override public void onException(Throwable error) {
                        error.printStackTrace();
                        System.exit(1);
                    }
                });
            }
            if (before < 0 && System.nanoTime() > countFrom) {
                before = sent.get();
                countFrom = System.nanoTime();
            }
        }
        rate(sent.get() - before, System.nanoTime() - countFrom);
    }

    static void consume(String servers, String topic, long messages) throws Exception {
        DefaultMQPushConsumer consumer = new DefaultMQPushConsumer("bench-java-" + System.nanoTime());
        consumer.setNamesrvAddr(servers);
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        consumer.setPullBatchSize(32);
        consumer.setConsumeMessageBatchMaxSize(32);
        consumer.subscribe(topic, "*");
        AtomicLong count = new AtomicLong();
        consumer.registerMessageListener((MessageListenerConcurrently) (batch, context) -> {
            count.addAndGet(batch.size());
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        // The first half warms the virtual machine up.
        while (count.get() < messages / 2) Thread.sleep(1);
        long from = count.get();
        long began = System.nanoTime();
        while (count.get() < messages) Thread.sleep(1);
        rate(count.get() - from, System.nanoTime() - began);
    }

    static void rate(long messages, long nanoseconds) {
        System.out.printf("{\"rate\":%d}%n", Math.round(messages * 1e9 / nanoseconds));
    }
}
