package interop;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeOrderlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerOrderly;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;

/** Orderly listeners: within a queue nothing overtakes, whoever comes and goes. */
final class Ordering {
    private static final Duration LIMIT = Duration.ofSeconds(100);
    private static final int QUEUES = 4;

    private Ordering() {
    }

    static void add(Cases cases) {
        cases.add("order is kept while members come and go", Ordering::rebalance);
        cases.add("a suspended queue gives the same message again, and nothing overtakes", Ordering::suspended);
        cases.addAlone("order is kept through a restart of the broker", Ordering::restart);
    }

    /** What a group has consumed, queue by queue, in the order in which its listeners were called. */
    private static final class Ledger {
        final Map<Integer, List<Integer>> queues = new ConcurrentHashMap<>();

        int size() {
            return queues.values().stream().mapToInt(List::size).sum();
        }

        synchronized void note(int queue, int number) {
            queues.computeIfAbsent(queue, id -> new ArrayList<>()).add(number);
        }

        int seen() {
            return queues.values().stream().mapToInt(numbers -> Set.copyOf(numbers).size()).sum();
        }

        /** A member that takes a queue over may begin a little before its last owner's end, but never goes past a message. */
        synchronized void expectOrder() {
            queues.forEach((queue, numbers) -> {
                int next = 0;
                for (int number : numbers) {
                    Check.that(number <= next, "queue " + queue + ": " + number + " came before " + next + " in " + numbers);
                    next = Math.max(next, number + 1);
                }
            });
        }
    }

    private static DefaultMQPushConsumer start(Cluster cluster, String group, String topic, MessageListenerOrderly listener)
        throws Exception {
        DefaultMQPushConsumer consumer = new DefaultMQPushConsumer(group);
        consumer.setNamesrvAddr(cluster.namesrv);
        consumer.setVipChannelEnabled(false);
        consumer.setInstanceName(Cluster.name("instance"));
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        if (cluster.isApache()) {
            // A rebalance makes the subscription newer, and Apache refuses pulls with 25 until a heartbeat has told it: up to 30 s.
            consumer.setHeartbeatBrokerInterval(1000);
        }
        consumer.subscribe(topic, "*");
        consumer.registerMessageListener(listener);
        consumer.start();
        return consumer;
    }

    private static DefaultMQPushConsumer start(Cluster cluster, String group, String topic, Ledger ledger) throws Exception {
        return start(cluster, group, topic, (messages, context) -> {
            for (MessageExt message : messages) {
                ledger.note(message.getQueueId(), Integer.parseInt(Texts.text(message.getBody())));
            }
            return ConsumeOrderlyStatus.SUCCESS;
        });
    }

    /** Sends numbers to each queue, in order, from where the last call ended. */
    private static void send(Cluster cluster, String topic, int from, int to) throws Exception {
        for (int i = from; i < to; i++) {
            for (var queue : Cluster.queues(topic, QUEUES)) {
                cluster.producer.send(new Message(topic, Texts.bytes(String.valueOf(i))), queue);
            }
        }
    }

    private static void rebalance(Cluster cluster) throws Exception {
        String topic = cluster.newTopic("orderly", QUEUES);
        String group = Cluster.name("orderly");
        Ledger ledger = new Ledger();
        DefaultMQPushConsumer stays = start(cluster, group, topic, ledger);
        AtomicBoolean over = new AtomicBoolean();
        AtomicInteger sent = new AtomicInteger();
        Thread sender = new Thread(() -> {
            try {
                while (!over.get()) {
                    send(cluster, topic, sent.get(), sent.get() + 1);
                    sent.incrementAndGet();
                    Thread.sleep(10);
                }
            } catch (Exception e) {
                over.set(true);
            }
        });
        sender.start();
        try {
            Check.await(LIMIT, "100 messages", () -> ledger.size() >= 100);
            DefaultMQPushConsumer comes = start(cluster, group, topic, ledger);
            Check.settles(LIMIT, "two queues for each",
                () -> Inbox.owned(stays, topic).size() == 2 && Inbox.owned(comes, topic).size() == 2);
            int before = ledger.size();
            Check.await(LIMIT, "messages for both", () -> ledger.size() >= before + 200);
            comes.shutdown();
            Check.settles(LIMIT, "all queues for the one that stays", () -> Inbox.owned(stays, topic).size() == QUEUES);
            over.set(true);
            sender.join(LIMIT.toMillis());
            Check.await(LIMIT, "everything that was sent", () -> ledger.seen() == QUEUES * sent.get());
            ledger.expectOrder();
        } finally {
            over.set(true);
            stays.shutdown();
        }
    }

    private static void suspended(Cluster cluster) throws Exception {
        String topic = cluster.newTopic("suspended", 1);
        List<String> seen = new ArrayList<>();
        DefaultMQPushConsumer consumer = start(cluster, Cluster.name("suspended"), topic, (messages, context) -> {
            for (MessageExt message : messages) {
                String body = Texts.text(message.getBody());
                synchronized (seen) {
                    seen.add(body + "/" + message.getReconsumeTimes());
                }
                if (body.equals("1") && message.getReconsumeTimes() < 2) {
                    context.setSuspendCurrentQueueTimeMillis(100);
                    return ConsumeOrderlyStatus.SUSPEND_CURRENT_QUEUE_A_MOMENT;
                }
            }
            return ConsumeOrderlyStatus.SUCCESS;
        });
        try {
            for (int i = 0; i < 3; i++) {
                cluster.producer.send(new Message(topic, Texts.bytes(String.valueOf(i))), Cluster.queues(topic, 1).get(0));
            }
            Check.await(LIMIT, "the last message", () -> {
                synchronized (seen) {
                    return seen.contains("2/0");
                }
            });
            Check.equal(List.of("0/0", "1/0", "1/1", "1/2", "2/0"), List.copyOf(seen), "calls of the listener");
        } finally {
            consumer.shutdown();
        }
    }

    private static void restart(Cluster cluster) throws Exception {
        String topic = cluster.newTopic("reordered", QUEUES);
        String group = Cluster.name("reordered");
        Ledger ledger = new Ledger();
        DefaultMQPushConsumer consumer = start(cluster, group, topic, ledger);
        try {
            send(cluster, topic, 0, 25);
            Check.await(LIMIT, "100 messages", () -> ledger.seen() == 25 * QUEUES);
            cluster.stop("broker");
            cluster.start("broker");
            cluster.awaitRoute(topic);
            send(cluster, topic, 25, 50);
            Check.await(LIMIT, "all 200 messages", () -> ledger.seen() == 50 * QUEUES);
            ledger.expectOrder();
        } finally {
            consumer.shutdown();
        }
    }
}
