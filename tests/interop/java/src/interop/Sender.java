package interop;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import org.apache.rocketmq.client.producer.LocalTransactionState;
import org.apache.rocketmq.client.producer.TransactionListener;
import org.apache.rocketmq.client.producer.TransactionMQProducer;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;

/**
 * A producer that another program leads by lines: {@code plain BODY} sends a message, {@code half BODY} sends one in a transaction whose end
 * it does not know, and {@code stop}. It prints {@code sent} for each, and {@code asked BODY} when it is asked about a transaction, which it
 * commits where the body ends with {@code yes}, and else rolls back.
 *
 * <p>Arguments: name server, group, topic, instance.
 */
public final class Sender {
    private Sender() {
    }

    public static void main(String[] arguments) throws Exception {
        PrintStream out = System.out;
        // The client's own library may print.
        System.setOut(System.err);
        TransactionMQProducer producer = new TransactionMQProducer(arguments[1]);
        producer.setNamesrvAddr(arguments[0]);
        producer.setInstanceName(arguments[3]);
        producer.setSendMsgTimeout(10_000);
        producer.setVipChannelEnabled(false);
        producer.setTransactionListener(new TransactionListener() {
            @Override
            public LocalTransactionState executeLocalTransaction(Message message, Object argument) {
                return LocalTransactionState.UNKNOW;
            }

            @Override
            public LocalTransactionState checkLocalTransaction(MessageExt message) {
                String body = Texts.text(message.getBody());
                out.println("asked " + body);
                return body.endsWith("yes") ? LocalTransactionState.COMMIT_MESSAGE : LocalTransactionState.ROLLBACK_MESSAGE;
            }
        });
        producer.start();
        out.println("ready");
        BufferedReader orders = new BufferedReader(new InputStreamReader(System.in));
        for (String order = orders.readLine(); order != null && !order.equals("stop"); order = orders.readLine()) {
            String[] words = order.split(" ", 2);
            Message message = new Message(arguments[2], Texts.bytes(words[1]));
            if (words[0].equals("half")) {
                producer.sendMessageInTransaction(message, null);
            } else {
                producer.send(message);
            }
            out.println("sent");
        }
        producer.shutdown();
        out.println("ended");
        // Its threads may outlive the shutdown.
        System.exit(0);
    }
}
