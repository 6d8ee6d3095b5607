package interop;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.List;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.tools.admin.DefaultMQAdminExt;

/**
 * Whatever else another program wants of RocketMQ's client: it obeys one line after the other, and answers each with one. Bodies and
 * what the admin tool prints are in Base64; {@code got BODY} is printed for each message that its consumers get.
 *
 * <p>Arguments: name server, instance, and perhaps the interval of its heartbeats in ms.
 */
public final class Partner {
    private final PrintStream out = System.out;
    private final String namesrv;
    private final String instance;
    private final int heartbeatMs;
    private final DefaultMQProducer producer;
    private final DefaultMQAdminExt admin = new DefaultMQAdminExt();
    private final List<DefaultMQPushConsumer> consumers = new ArrayList<>();

    private Partner(String[] arguments) throws Exception {
        // The client's own library may print.
        System.setOut(System.err);
        namesrv = arguments[0];
        instance = arguments[1];
        heartbeatMs = arguments.length > 2 ? Integer.parseInt(arguments[2]) : 30_000;
        producer = new DefaultMQProducer(instance, true, null);
        producer.setNamesrvAddr(namesrv);
        producer.setInstanceName(instance);
        producer.setVipChannelEnabled(false);
        producer.setSendMsgTimeout(10_000);
        producer.start();
        admin.setNamesrvAddr(namesrv);
        admin.setInstanceName(Cluster.name("admin"));
        admin.setVipChannelEnabled(false);
        admin.start();
    }

    public static void main(String[] arguments) throws Exception {
        Partner partner = new Partner(arguments);
        partner.out.println("ready");
        BufferedReader orders = new BufferedReader(new InputStreamReader(System.in));
        for (String order = orders.readLine(); order != null && !order.equals("stop"); order = orders.readLine()) {
            String answer;
            try {
                answer = partner.obey(order.split(" "));
            } catch (Exception e) {
                e.printStackTrace();
                answer = "failed " + e.getClass().getSimpleName();
            }
            partner.out.println(answer);
        }
        partner.leave();
        partner.producer.shutdown();
        partner.admin.shutdown();
        partner.out.println("ended");
        // Its threads may outlive the shutdown.
        System.exit(0);
    }

    private static String encode(byte[] bytes) {
        return Base64.getEncoder().encodeToString(bytes);
    }

    private static byte[] decode(String text) {
        return Base64.getDecoder().decode(text);
    }

    private String obey(String[] words) throws Exception {
        switch (words[0]) {
            case "ask":
                return "reply " + encode(producer.request(new Message(words[1], decode(words[2])), Long.parseLong(words[3])).getBody());
            case "echo":
                consumers.add(Requesting.echo(consumer(words[1], instance), producer, words[2]));
                return "echoes";
            case "send":
                SendResult sent = producer.send(new Message(words[1], "tag", "key", decode(words[2])));
                return "sent " + sent.getMsgId() + " " + sent.getOffsetMsgId();
            case "consume":
                return consume(words[1], words[2]);
            case "broadcast":
                // The instance is part of the path of the file.
                consumers.add(Inbox.broadcast(consumer(words[1], words[3]), words[2], body -> got(Texts.bytes(body))));
                return "consumes " + consumers.get(consumers.size() - 1).buildMQClientId();
            case "leave":
                leave();
                return "left";
            case "where":
                return "said " + encode(Texts.bytes(admin.getConsumeStatus(words[2], words[1], "").toString()));
            case "mqadmin":
                return "said " + encode(Texts.bytes(MqAdmin.mqadmin(namesrv, Arrays.asList(words).subList(1, words.length))));
            default:
                throw new IllegalArgumentException("unknown order '" + words[0] + "'");
        }
    }

    private String consume(String group, String topic) throws Exception {
        DefaultMQPushConsumer consumer = consumer(group, instance);
        consumer.subscribe(topic, "*");
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            messages.forEach(message -> got(message.getBody()));
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        consumers.add(consumer);
        return "consumes " + consumer.buildMQClientId();
    }

    /** One that writes traces, and begins at the first message. */
    private DefaultMQPushConsumer consumer(String group, String itsInstance) {
        DefaultMQPushConsumer consumer = new DefaultMQPushConsumer(group, true, null);
        consumer.setNamesrvAddr(namesrv);
        consumer.setInstanceName(itsInstance);
        consumer.setVipChannelEnabled(false);
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        consumer.setHeartbeatBrokerInterval(heartbeatMs);
        return consumer;
    }

    private void got(byte[] body) {
        out.println("got " + encode(body));
    }

    private void leave() {
        consumers.forEach(DefaultMQPushConsumer::shutdown);
        consumers.clear();
    }
}
