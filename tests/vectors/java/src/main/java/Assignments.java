import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashSet;
import java.util.List;
import java.util.Random;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import org.apache.rocketmq.client.consumer.AllocateMessageQueueStrategy;
import org.apache.rocketmq.client.consumer.rebalance.AllocateMachineRoomNearby;
import org.apache.rocketmq.client.consumer.rebalance.AllocateMessageQueueAveragely;
import org.apache.rocketmq.client.consumer.rebalance.AllocateMessageQueueAveragelyByCircle;
import org.apache.rocketmq.client.consumer.rebalance.AllocateMessageQueueByConfig;
import org.apache.rocketmq.client.consumer.rebalance.AllocateMessageQueueByMachineRoom;
import org.apache.rocketmq.client.consumer.rebalance.AllocateMessageQueueConsistentHash;
import org.apache.rocketmq.common.message.MessageQueue;

/** Random groups, and how RocketMQ's own classes share their queues out. */
final class Assignments {
    private static final int CASES = 600;
    private static final String[] ROOMS = {"r1", "r2", "room-3", "", "r.4"};
    private static final String OWNERS = "0123456789abcdefghijklmnopqrstuvwxyz";
    private final Random random = new Random(20260131);
    private final List<String> lines = new ArrayList<>();

    static void write(Path directory) throws Exception {
        Assignments all = new Assignments();
        for (int n = 0; n < CASES; n++) {
            all.line("AVG", "", new AllocateMessageQueueAveragely(), all.brokers(), all.members());
            all.line("AVG_BY_CIRCLE", "", new AllocateMessageQueueAveragelyByCircle(), all.brokers(), all.members());
            int nodes = n % 4 == 0 ? 1 + all.random.nextInt(40) : 10;
            all.line("CONSISTENT_HASH", "" + nodes, new AllocateMessageQueueConsistentHash(nodes), all.brokers(), all.members());
            all.byConfig();
            all.byMachineRoom();
            all.nearby(n % 3);
        }
        Out.write(directory, "assignments.txt", Arrays.asList(
            "How RocketMQ 5.5.0 shares queues out, case by case: strategy, its parameter, queues of each broker, members,",
            "the owner of each queue in sorted order (a digit 0-9a-z: the member's index, . for nobody), a client, and",
            "that client's share in the order in which it came, as indexes of the sorted queues.",
            "The topic is T. Parameters: virtual nodes; indexes of the fixed queues; rooms; the inner strategy, where the",
            "room of a broker or client is what stands before its first @."), all.lines);
    }

    private TreeMap<String, Integer> brokers() {
        TreeMap<String, Integer> brokers = new TreeMap<>();
        int count = 1 + random.nextInt(4);
        while (brokers.size() < count) {
            brokers.put(name("broker-"), 1 + random.nextInt(random.nextInt(8) == 0 ? 40 : 9));
        }
        return brokers;
    }

    private TreeMap<String, Integer> brokersInRooms() {
        TreeMap<String, Integer> brokers = new TreeMap<>();
        int count = 1 + random.nextInt(6);
        while (brokers.size() < count) {
            String tail = new String[] {"", "", "", "@", "@x", "@@"}[random.nextInt(6)];
            brokers.put(ROOMS[random.nextInt(ROOMS.length)] + "@" + name("b") + tail, 1 + random.nextInt(6));
        }
        return brokers;
    }

    private String name(String start) {
        String letters = "abzAZ019_-";
        return start + letters.charAt(random.nextInt(letters.length())) + random.nextInt(30);
    }

    private List<String> members() {
        TreeSet<String> members = new TreeSet<>();
        int count = 1 + random.nextInt(random.nextInt(10) == 0 ? 36 : 8);
        while (members.size() < count) {
            members.add("10.0." + random.nextInt(3) + "." + random.nextInt(256) + "@" + random.nextInt(100000));
        }
        return new ArrayList<>(members);
    }

    private List<String> membersInRooms() {
        TreeSet<String> members = new TreeSet<>();
        int count = 1 + random.nextInt(7);
        while (members.size() < count) {
            members.add(new String[] {"r1", "r2", "room-3", "far"}[random.nextInt(4)] + "@" + random.nextInt(1000));
        }
        return new ArrayList<>(members);
    }

    private static List<MessageQueue> queues(TreeMap<String, Integer> brokers) {
        List<MessageQueue> queues = new ArrayList<>();
        brokers.forEach((broker, count) -> {
            for (int queue = 0; queue < count; queue++) {
                queues.add(new MessageQueue("T", broker, queue));
            }
        });
        Collections.sort(queues);
        return queues;
    }

    private void byConfig() {
        TreeMap<String, Integer> brokers = brokers();
        List<MessageQueue> fixed = new ArrayList<>();
        List<String> indexes = new ArrayList<>();
        List<MessageQueue> all = queues(brokers);
        for (int n = random.nextInt(6); n > 0; n--) {
            int at = random.nextInt(all.size());
            fixed.add(all.get(at));
            indexes.add("" + at);
        }
        AllocateMessageQueueByConfig strategy = new AllocateMessageQueueByConfig();
        strategy.setMessageQueueList(fixed);
        line("CONFIG", String.join(",", indexes), strategy, brokers, members());
    }

    private void byMachineRoom() {
        Set<String> rooms = new HashSet<>();
        for (int n = 1 + random.nextInt(3); n > 0; n--) {
            rooms.add(ROOMS[random.nextInt(ROOMS.length)]);
        }
        AllocateMessageQueueByMachineRoom strategy = new AllocateMessageQueueByMachineRoom();
        strategy.setConsumeridcs(rooms);
        line("MACHINE_ROOM", String.join(",", new TreeSet<>(rooms)), strategy, brokersInRooms(), members());
    }

    private void nearby(int kind) {
        AllocateMessageQueueStrategy inner = kind == 0 ? new AllocateMessageQueueAveragely()
            : kind == 1 ? new AllocateMessageQueueAveragelyByCircle() : new AllocateMessageQueueConsistentHash();
        TreeMap<String, Integer> brokers = new TreeMap<>();
        brokersInRooms().forEach((broker, count) -> brokers.put(broker.startsWith("@") ? "r1" + broker : broker, count));
        AllocateMachineRoomNearby.MachineRoomResolver rooms = new AllocateMachineRoomNearby.MachineRoomResolver() {
            @Override public String brokerDeployIn(MessageQueue queue) {
                return queue.getBrokerName().substring(0, queue.getBrokerName().indexOf('@'));
            }

            @Override public String consumerDeployIn(String client) {
                return client.substring(0, client.indexOf('@'));
            }
        };
        line("MACHINE_ROOM_NEARBY", inner.getName(), new AllocateMachineRoomNearby(inner, rooms), brokers, membersInRooms());
    }

    private void line(String name, String parameter, AllocateMessageQueueStrategy strategy,
        TreeMap<String, Integer> brokers, List<String> members) {
        List<MessageQueue> queues = queues(brokers);
        char[] owners = new char[queues.size()];
        Arrays.fill(owners, '.');
        for (int member = 0; member < members.size() && !name.equals("CONFIG"); member++) {
            for (MessageQueue queue : strategy.allocate("g", members.get(member), queues, members)) {
                int at = queues.indexOf(queue);
                if (owners[at] != '.') {
                    throw new IllegalStateException("two owners: " + name + " " + brokers + " " + members);
                }
                owners[at] = OWNERS.charAt(member);
            }
        }
        boolean stranger = random.nextInt(20) == 0;
        String me = stranger ? "r2@stranger" : members.get(random.nextInt(members.size()));
        List<String> share = new ArrayList<>();
        for (MessageQueue queue : strategy.allocate("g", me, queues, members)) {
            share.add("" + queues.indexOf(queue));
        }
        List<String> each = new ArrayList<>();
        brokers.forEach((broker, count) -> each.add(broker + ":" + count));
        lines.add(String.join("\t", name, parameter, String.join(",", each), String.join(",", members),
            new String(owners), me, String.join(",", share)));
    }
}
