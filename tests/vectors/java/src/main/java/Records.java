import com.alibaba.fastjson2.JSON;
import java.io.File;
import java.net.Inet6Address;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import java.util.stream.Stream;
import org.apache.rocketmq.common.BrokerConfig;
import org.apache.rocketmq.common.TopicConfig;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageAccessor;
import org.apache.rocketmq.common.message.MessageDecoder;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageExtBrokerInner;
import org.apache.rocketmq.common.message.MessageVersion;
import org.apache.rocketmq.common.sysflag.MessageSysFlag;
import org.apache.rocketmq.store.DefaultMessageStore;
import org.apache.rocketmq.store.PutMessageResult;
import org.apache.rocketmq.store.SelectMappedBufferResult;
import org.apache.rocketmq.store.config.MessageStoreConfig;
import org.apache.rocketmq.store.stats.BrokerStatsManager;

/** Writes records, batch bodies and properties. */
final class Records {
    private final List<String> lines = new ArrayList<>();

    static void write(Path directory) throws Exception {
        Records records = new Records();
        records.encoded();
        records.stored(directory);
        Out.write(directory, "records.txt", Arrays.asList(
            "Records, one a line, fields parted by tabs: name, how it was made, JSON of what RocketMQ 5.5.0's own",
            "decoder reads in it (body in hex), the record in hex. Store times are those of the run.",
            "`encode`: MessageDecoder.encode. `store`: cut out of a CommitLog that RocketMQ's store wrote; these are",
            "consecutive from offset 0. `store_crc`: the same with enabledAppendPropCRC."),
            records.lines);
        batches(directory);
        properties(directory);
    }

    private static InetSocketAddress host(String address, int port) throws Exception {
        return new InetSocketAddress(InetAddress.getByName(address), port);
    }

    private void encoded() throws Exception {
        for (String address : new String[] {"10.1.2.3", "2001:db8::7"}) {
            MessageExt message = new MessageExt();
            message.setTopic("TopicTest");
            message.setBody("hello ü".getBytes(StandardCharsets.UTF_8));
            message.setQueueId(3);
            message.setFlag(7);
            message.setQueueOffset(42);
            message.setCommitLogOffset(123456789012L);
            message.setBornTimestamp(Bodies.TIME);
            message.setStoreTimestamp(Bodies.TIME + 5);
            message.setBornHost(host(address, 40000));
            message.setStoreHost(host(address, 10911));
            if (address.indexOf(':') >= 0) {
                message.setBornHostV6Flag();
                message.setStoreHostAddressV6Flag();
            }
            message.setReconsumeTimes(2);
            message.setPreparedTransactionOffset(99);
            message.setBodyCRC(org.apache.rocketmq.common.UtilAll.crc32(message.getBody()));
            message.setTags("TagA");
            message.setKeys("k1 k2");
            byte[] bytes = MessageDecoder.encode(message, false);
            add("encode_" + (address.indexOf(':') >= 0 ? "v6" : "v4"), "encode", bytes);
        }
    }

    private void add(String name, String how, byte[] bytes) {
        MessageExt message = MessageDecoder.decode(ByteBuffer.wrap(bytes), true, false);
        Map<String, Object> fields = new LinkedHashMap<>();
        ByteBuffer raw = ByteBuffer.wrap(bytes);
        fields.put("size", message.getStoreSize());
        fields.put("magic", raw.getInt(4));
        fields.put("bodyCrc", message.getBodyCRC());
        fields.put("queueId", message.getQueueId());
        fields.put("flag", message.getFlag());
        fields.put("queueOffset", message.getQueueOffset());
        fields.put("logOffset", message.getCommitLogOffset());
        fields.put("sysFlag", message.getSysFlag());
        fields.put("bornTimestamp", message.getBornTimestamp());
        fields.put("bornHost", text(message.getBornHost()));
        fields.put("storeTimestamp", message.getStoreTimestamp());
        fields.put("storeHost", text(message.getStoreHost()));
        fields.put("reconsumeTimes", message.getReconsumeTimes());
        fields.put("preparedTransactionOffset", message.getPreparedTransactionOffset());
        fields.put("topic", message.getTopic());
        fields.put("body", Out.hex(message.getBody()));
        fields.put("properties", new TreeMap<>(message.getProperties()));
        fields.put("msgId", message instanceof org.apache.rocketmq.common.message.MessageClientExt
            ? ((org.apache.rocketmq.common.message.MessageClientExt) message).getOffsetMsgId() : message.getMsgId());
        lines.add(String.join("\t", name, how, JSON.toJSONString(fields), Out.hex(bytes)));
    }

    private static String text(java.net.SocketAddress address) {
        InetSocketAddress host = (InetSocketAddress) address;
        String ip = host.getAddress().getHostAddress();
        return (host.getAddress() instanceof Inet6Address ? "[" + ip + "]" : ip) + ":" + host.getPort();
    }

    private static MessageExtBrokerInner inner(String topic, String address, byte[] body) throws Exception {
        MessageExtBrokerInner message = new MessageExtBrokerInner();
        message.setTopic(topic);
        message.setBody(body);
        message.setQueueId(1);
        message.setFlag(9);
        message.setBornTimestamp(Bodies.TIME);
        message.setBornHost(host(address, 40000));
        message.setStoreHost(host(address, 10911));
        if (address.indexOf(':') >= 0) {
            message.setBornHostV6Flag();
            message.setStoreHostAddressV6Flag();
        }
        message.setTags("TagA");
        message.setKeys("k1 k2");
        message.setWaitStoreMsgOK(true);
        MessageAccessor.putProperty(message, "UNIQ_KEY", "0A0102030001000000010000000A0001");
        message.setPropertiesString(MessageDecoder.messageProperties2String(message.getProperties()));
        message.setTagsCode(MessageExtBrokerInner.tagsString2tagsCode(null, message.getTags()));
        message.setBodyCRC(org.apache.rocketmq.common.UtilAll.crc32(body));
        return message;
    }

    private void stored(Path directory) throws Exception {
        for (boolean crc : new boolean[] {false, true}) {
            Path root = Files.createTempDirectory("vectors");
            MessageStoreConfig config = new MessageStoreConfig();
            config.setStorePathRootDir(root.toString());
            config.setStorePathCommitLog(root.resolve("commitlog").toString());
            config.setMappedFileSizeCommitLog(1 << 20);
            config.setMappedFileSizeConsumeQueue(20 * 100);
            config.setAutoMessageVersionOnTopicLen(true);
            config.setEnabledAppendPropCRC(crc);
            config.setHaListenPort(0);
            ConcurrentHashMap<String, TopicConfig> topics = new ConcurrentHashMap<>();
            BrokerConfig broker = new BrokerConfig();
            DefaultMessageStore store = new DefaultMessageStore(config, new BrokerStatsManager(broker), null, broker, topics);
            store.load();
            store.start();
            char[] name = new char[150];
            Arrays.fill(name, 't');
            String longTopic = new String(name);
            MessageExtBrokerInner[] messages = {
                inner("TopicTest", "10.1.2.3", "hello".getBytes(StandardCharsets.UTF_8)),
                inner("TopicTest", "10.1.2.3", "hello again".getBytes(StandardCharsets.UTF_8)),
                inner("TopicTest", "2001:db8::7", new byte[0]),
                inner(longTopic, "10.1.2.3", new byte[] {1, 2, 3}),
            };
            messages[2].setReconsumeTimes(3);
            messages[2].setSysFlag(messages[2].getSysFlag() | MessageSysFlag.TRANSACTION_COMMIT_TYPE);
            messages[2].setPreparedTransactionOffset(5);
            messages[3].setVersion(MessageVersion.MESSAGE_VERSION_V2);
            topics.put("TopicTest", new TopicConfig("TopicTest"));
            topics.put(longTopic, new TopicConfig(longTopic));
            int number = 0;
            for (MessageExtBrokerInner message : messages) {
                PutMessageResult result = store.putMessage(message);
                if (!result.isOk()) {
                    System.err.println("not stored: " + number + " " + result);
                    continue;
                }
                long offset = result.getAppendMessageResult().getWroteOffset();
                SelectMappedBufferResult cut = store.getCommitLog().getMessage(offset,
                    result.getAppendMessageResult().getWroteBytes());
                byte[] bytes = new byte[cut.getSize()];
                cut.getByteBuffer().get(bytes);
                cut.release();
                add("store_" + number++, crc ? "store_crc" : "store", bytes);
            }
            store.shutdown();
            if (!crc) {
                Out.write(directory, "consume_queue.txt", Arrays.asList(
                    "ConsumeQueue of TopicTest, queue 1, for the `store` records of records.txt: entries in hex, 20 bytes",
                    "each: int64 position in the CommitLog, int32 size, int64 tag code."),
                    entries(root.resolve("consumequeue/TopicTest/1/00000000000000000000"), 3));
            }
            try (Stream<Path> files = Files.walk(root)) {
                files.sorted(Comparator.reverseOrder()).map(Path::toFile).forEach(File::delete);
            }
        }
    }

    private static List<String> entries(Path file, int count) throws Exception {
        byte[] bytes = Files.readAllBytes(file);
        List<String> lines = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            lines.add(Out.hex(Arrays.copyOfRange(bytes, i * 20, i * 20 + 20)));
        }
        return lines;
    }

    private static void batches(Path directory) throws Exception {
        List<Message> messages = new ArrayList<>();
        for (int i = 0; i < 3; i++) {
            Message message = new Message("TopicTest", "TagA", "k" + i, ("body " + i).getBytes(StandardCharsets.UTF_8));
            message.setFlag(i);
            MessageAccessor.putProperty(message, "UNIQ_KEY", "0A010203000100000001000000AA000" + i);
            messages.add(message);
        }
        List<String> lines = new ArrayList<>();
        for (int count = 1; count <= 3; count += 2) {
            List<Message> part = messages.subList(0, count);
            List<Object> expected = new ArrayList<>();
            for (Message message : part) {
                Map<String, Object> fields = new LinkedHashMap<>();
                fields.put("flag", message.getFlag());
                fields.put("body", Out.hex(message.getBody()));
                fields.put("properties", new TreeMap<>(message.getProperties()));
                expected.add(fields);
            }
            lines.add(count + "\t" + JSON.toJSONString(expected) + "\t" + Out.hex(MessageDecoder.encodeMessages(part)));
        }
        Out.write(directory, "batches.txt", Arrays.asList(
            "Bodies of SEND_BATCH_MESSAGE (320) by MessageDecoder.encodeMessages: number of messages, a tab, JSON of",
            "flag, body in hex and properties of each, a tab, hex."), lines);
    }

    private static void properties(Path directory) throws Exception {
        List<Map<String, String>> samples = new ArrayList<>();
        samples.add(new LinkedHashMap<>());
        Map<String, String> one = new LinkedHashMap<>();
        one.put("TAGS", "TagA");
        samples.add(one);
        Map<String, String> several = new LinkedHashMap<>();
        several.put("KEYS", "k1 k2");
        several.put("schlüssel", "😀 = wert");
        several.put("WAIT", "true");
        samples.add(several);
        List<String> lines = new ArrayList<>();
        for (Map<String, String> sample : samples) {
            String text = MessageDecoder.messageProperties2String(sample);
            lines.add(JSON.toJSONString(sample) + "\t" + JSON.toJSONString(
                new TreeMap<>(MessageDecoder.string2messageProperties(text))) + "\t" + Out.hex(text));
        }
        // Texts that no writer makes, but readers meet.
        for (String text : new String[] {"a\u0001b", "a\u0001b\u0002c\u0001d", "a\u0001\u0002c\u0001d\u0002", "\u0001b\u0002",
            "ab\u0002c\u0001d\u0002", "a\u0001b\u0001c\u0002", "\u0002\u0002a\u0001b\u0002\u0002", "a\u0001b\u0002a\u0001c\u0002"}) {
            lines.add("\t" + JSON.toJSONString(new TreeMap<>(MessageDecoder.string2messageProperties(text))) + "\t"
                + Out.hex(text));
        }
        Out.write(directory, "properties.txt", Arrays.asList(
            "Properties text: what was written as JSON (empty: not made by a writer), a tab, what the reader makes of it",
            "as JSON with sorted names, a tab, the text in hex."), lines);
    }
}
