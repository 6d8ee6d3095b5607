package interop;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.util.Base64;
import java.util.stream.Collectors;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.MessageExt;

/**
 * A push consumer that another program leads: it prints {@code got BODY} (Base64) for each message, and obeys the lines {@code queues}
 * (it prints the numbers of those it pulls from) and {@code stop}.
 *
 * <p>Arguments: name server, group, topic, instance, and perhaps the interval of its heartbeats in ms and {@code refuse}: then it
 * gives back all that it gets.
 */
public final class Member {
    private Member() {
    }

    public static void main(String[] arguments) throws Exception {
        PrintStream out = System.out;
        // The client's own library may print.
        System.setOut(System.err);
        String topic = arguments[2];
        DefaultMQPushConsumer consumer = new DefaultMQPushConsumer(arguments[1]);
        consumer.setNamesrvAddr(arguments[0]);
        consumer.setInstanceName(arguments[3]);
        consumer.setVipChannelEnabled(false);
        consumer.setConsumeThreadMin(2);
        consumer.setConsumeThreadMax(2);
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        if (arguments.length > 4) {
            consumer.setHeartbeatBrokerInterval(Integer.parseInt(arguments[4]));
        }
        boolean refuses = arguments.length > 5 && arguments[5].equals("refuse");
        consumer.subscribe(topic, "*");
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            for (MessageExt message : messages) {
                out.println("got " + Base64.getEncoder().encodeToString(message.getBody()));
            }
            // Two seconds, however often.
            context.setDelayLevelWhenNextConsume(2);
            return refuses ? ConsumeConcurrentlyStatus.RECONSUME_LATER : ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        out.println("ready");
        BufferedReader orders = new BufferedReader(new InputStreamReader(System.in));
        for (String order = orders.readLine(); order != null && !order.equals("stop"); order = orders.readLine()) {
            out.println("queues " + Inbox.owned(consumer, topic).stream().map(String::valueOf).collect(Collectors.joining(" ")));
        }
        consumer.shutdown();
        out.println("ended");
        // Its threads may outlive the shutdown.
        System.exit(0);
    }
}
