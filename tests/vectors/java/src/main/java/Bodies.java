import com.alibaba.fastjson2.JSONWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicLong;
import java.util.zip.CRC32;
import org.apache.rocketmq.broker.offset.ConsumerOffsetManager;
import org.apache.rocketmq.common.TopicConfig;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.MessageQueue;
import org.apache.rocketmq.remoting.protocol.DataVersion;
import org.apache.rocketmq.remoting.protocol.LanguageCode;
import org.apache.rocketmq.remoting.protocol.RemotingSerializable;
import org.apache.rocketmq.remoting.protocol.admin.ConsumeStats;
import org.apache.rocketmq.remoting.protocol.admin.OffsetWrapper;
import org.apache.rocketmq.remoting.protocol.admin.TopicOffset;
import org.apache.rocketmq.remoting.protocol.admin.TopicStatsTable;
import org.apache.rocketmq.remoting.protocol.body.*;
import org.apache.rocketmq.remoting.protocol.header.GetConsumerListByGroupResponseBody;
import org.apache.rocketmq.remoting.protocol.heartbeat.ConsumeType;
import org.apache.rocketmq.remoting.protocol.heartbeat.ConsumerData;
import org.apache.rocketmq.remoting.protocol.heartbeat.HeartbeatData;
import org.apache.rocketmq.remoting.protocol.heartbeat.MessageModel;
import org.apache.rocketmq.remoting.protocol.heartbeat.ProducerData;
import org.apache.rocketmq.remoting.protocol.heartbeat.SubscriptionData;
import org.apache.rocketmq.remoting.protocol.route.BrokerData;
import org.apache.rocketmq.remoting.protocol.route.QueueData;
import org.apache.rocketmq.remoting.protocol.route.TopicRouteData;
import org.apache.rocketmq.remoting.protocol.statictopic.LogicQueueMappingItem;
import org.apache.rocketmq.remoting.protocol.statictopic.TopicConfigAndQueueMapping;
import org.apache.rocketmq.remoting.protocol.statictopic.TopicQueueMappingDetail;
import org.apache.rocketmq.remoting.protocol.statictopic.TopicQueueMappingInfo;
import org.apache.rocketmq.remoting.protocol.subscription.CustomizedRetryPolicy;
import org.apache.rocketmq.remoting.protocol.subscription.ExponentialRetryPolicy;
import org.apache.rocketmq.remoting.protocol.subscription.GroupForbidden;
import org.apache.rocketmq.remoting.protocol.subscription.GroupRetryPolicy;
import org.apache.rocketmq.remoting.protocol.subscription.GroupRetryPolicyType;
import org.apache.rocketmq.remoting.protocol.subscription.SimpleSubscriptionData;
import org.apache.rocketmq.remoting.protocol.subscription.SubscriptionGroupConfig;

/** Writes every body twice: as 5.5.0 encodes it (fastjson2), and as releases up to 5.3 would (fastjson 1.2.83). */
final class Bodies {
    static final long TIME = 1700000000000L;
    private final List<String> lines = new ArrayList<>();

    static void write(Path directory) throws Exception {
        Bodies bodies = new Bodies();
        bodies.clients();
        bodies.routes();
        bodies.topics();
        bodies.groups();
        bodies.stats();
        bodies.offsets();
        Out.write(directory, "bodies.txt", Arrays.asList(
            "Bodies as RocketMQ 5.5.0 writes them, one a line: name, a tab, form, a tab, JSON text.",
            "Form `new` is 5.5.0's own (fastjson2); `old` is the same objects by fastjson 1.2.83, as up to 5.3",
            "(it writes some getters that 5.5.0 hides); `standard_new` and",
            "`standard_old` are what name servers of 5.5.0 and up to 5.3 answer clients from 4.9.4 on."),
            bodies.lines);
        registration(directory);
        files(directory);
    }

    private void add(String name, Object body) {
        lines.add(name + "\tnew\t" + RemotingSerializable.toJson(body, false));
        lines.add(name + "\told\t" + com.alibaba.fastjson.JSON.toJSONString(body));
    }

    static DataVersion version(long counter) {
        DataVersion version = new DataVersion();
        version.setTimestamp(TIME);
        version.setCounter(new AtomicLong(counter));
        version.setStateVersion(0);
        return version;
    }

    static SubscriptionData subscription() {
        SubscriptionData data = new SubscriptionData("TopicTest", "TagA || TagB");
        data.setTagsSet(new LinkedHashSet<>(Arrays.asList("TagA", "TagB")));
        data.setCodeSet(new LinkedHashSet<>(Arrays.asList("TagA".hashCode(), "TagB".hashCode())));
        data.setSubVersion(TIME);
        return data;
    }

    private void clients() {
        HeartbeatData heartbeat = new HeartbeatData();
        heartbeat.setClientID("127.0.0.1@DEFAULT");
        ProducerData producer = new ProducerData();
        producer.setGroupName("pg");
        heartbeat.setProducerDataSet(new HashSet<>(Collections.singleton(producer)));
        ConsumerData consumer = new ConsumerData();
        consumer.setGroupName("cg");
        consumer.setConsumeType(ConsumeType.CONSUME_PASSIVELY);
        consumer.setMessageModel(MessageModel.CLUSTERING);
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_LAST_OFFSET);
        consumer.setSubscriptionDataSet(new HashSet<>(Collections.singleton(subscription())));
        heartbeat.setConsumerDataSet(new HashSet<>(Collections.singleton(consumer)));
        add("heartbeat", heartbeat);
        HeartbeatData light = new HeartbeatData();
        light.setClientID("127.0.0.1@DEFAULT");
        light.setHeartbeatFingerprint(heartbeat.computeHeartbeatFingerprint());
        light.setWithoutSub(true);
        add("heartbeat_v2", light);

        GetConsumerListByGroupResponseBody list = new GetConsumerListByGroupResponseBody();
        list.setConsumerIdList(Arrays.asList("c1", "c2"));
        add("consumer_list", list);

        Connection connection = new Connection();
        connection.setClientId("c1");
        connection.setClientAddr("127.0.0.1:5000");
        connection.setLanguage(LanguageCode.GO);
        connection.setVersion(317);
        ConsumerConnection consumers = new ConsumerConnection();
        consumers.setConnectionSet(new HashSet<>(Collections.singleton(connection)));
        consumers.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        consumers.setConsumeType(ConsumeType.CONSUME_ACTIVELY);
        consumers.setMessageModel(MessageModel.BROADCASTING);
        consumers.setSubscriptionTable(new ConcurrentHashMap<>(Collections.singletonMap("TopicTest", subscription())));
        add("consumer_connection", consumers);
        ProducerConnection producers = new ProducerConnection();
        producers.setConnectionSet(new HashSet<>(Collections.singleton(connection)));
        add("producer_connection", producers);
        add("producer_table", new ProducerTableInfo(new HashMap<>(Collections.singletonMap("pg",
            new ArrayList<>(Collections.singleton(new ProducerInfo("c1", "127.0.0.1:5000", LanguageCode.JAVA, 513, TIME)))))));
        QuerySubscriptionResponseBody query = new QuerySubscriptionResponseBody();
        query.setGroup("cg");
        query.setTopic("TopicTest");
        query.setSubscriptionData(subscription());
        add("query_subscription", query);
        CheckClientRequestBody check = new CheckClientRequestBody();
        check.setClientId("c1");
        check.setGroup("cg");
        check.setNamespace("");
        check.setSubscriptionData(subscription());
        add("check_client", check);
    }

    static HashMap<Long, String> addresses() {
        HashMap<Long, String> addresses = new HashMap<>();
        addresses.put(0L, "127.0.0.1:10911");
        addresses.put(1L, "[::1]:10921");
        return addresses;
    }

    private void routes() {
        TopicRouteData route = new TopicRouteData();
        route.setOrderTopicConf("broker-a:4;größe😀<b>(c)'/\u007f\u0001:2");
        QueueData queues = new QueueData();
        queues.setBrokerName("broker-a");
        queues.setPerm(6);
        queues.setReadQueueNums(4);
        queues.setWriteQueueNums(8);
        queues.setTopicSysFlag(1);
        route.setQueueDatas(new ArrayList<>(Collections.singleton(queues)));
        BrokerData broker = new BrokerData("DefaultCluster", "broker-a", addresses(), true);
        route.setBrokerDatas(new ArrayList<>(Collections.singleton(broker)));
        route.setFilterServerTable(new HashMap<>());
        add("route", route);
        // The form that the name server answers new clients with.
        lines.add("route\tstandard_new\t" + new String(route.encode(JSONWriter.Feature.BrowserCompatible,
            JSONWriter.Feature.MapSortField), StandardCharsets.UTF_8));
        lines.add("route\tstandard_old\t" + com.alibaba.fastjson.JSON.toJSONString(route,
            com.alibaba.fastjson.serializer.SerializerFeature.BrowserCompatible,
            com.alibaba.fastjson.serializer.SerializerFeature.QuoteFieldNames,
            com.alibaba.fastjson.serializer.SerializerFeature.SkipTransientField,
            com.alibaba.fastjson.serializer.SerializerFeature.MapSortField));

        ClusterInfo cluster = new ClusterInfo();
        cluster.setBrokerAddrTable(new HashMap<>(Collections.singletonMap("broker-a", broker)));
        cluster.setClusterAddrTable(new HashMap<>(Collections.singletonMap("DefaultCluster",
            new HashSet<>(Collections.singleton("broker-a")))));
        add("cluster", cluster);
        BrokerMemberGroup members = new BrokerMemberGroup("DefaultCluster", "broker-a");
        members.setBrokerAddrs(addresses());
        GetBrokerMemberGroupResponseBody group = new GetBrokerMemberGroupResponseBody();
        group.setBrokerMemberGroup(members);
        add("member_group", group);
        TopicList topics = new TopicList();
        topics.setTopicList(new LinkedHashSet<>(Arrays.asList("T1", "T2")));
        add("topic_list", topics);
        TopicList addressed = new TopicList();
        addressed.setBrokerAddr("127.0.0.1:10911");
        addressed.setTopicList(new LinkedHashSet<>(Collections.singleton("T1")));
        add("topic_list_address", addressed);
        KVTable table = new KVTable();
        table.setTable(new HashMap<>(Collections.singletonMap("key \"1\"", "wert=ü\n\t\\/ 😀")));
        add("kv_table", table);
        add("data_version", version(3));
    }

    static TopicConfig topic() {
        TopicConfig config = new TopicConfig("TopicTest", 4, 8, 6);
        config.setOrder(true);
        config.setTopicSysFlag(2);
        config.setAttributes(new HashMap<>(Collections.singletonMap("message.type", "NORMAL")));
        return config;
    }

    static TopicConfigAndMappingSerializeWrapper topicTable() {
        TopicConfigAndMappingSerializeWrapper table = new TopicConfigAndMappingSerializeWrapper();
        table.setDataVersion(version(1));
        table.setMappingDataVersion(version(2));
        table.setTopicConfigTable(new ConcurrentHashMap<>(Collections.singletonMap("TopicTest", topic())));
        return table;
    }

    static TopicQueueMappingDetail mapping() {
        TopicQueueMappingDetail detail = new TopicQueueMappingDetail("static", 2, "broker-a", 7);
        LogicQueueMappingItem item = new LogicQueueMappingItem(0, 1, "broker-a", 0, 0, -1, TIME, -1);
        TopicQueueMappingDetail.putMappingInfo(detail, 0, new ArrayList<>(Collections.singleton(item)));
        detail.setCurrIdMap(new java.util.concurrent.ConcurrentHashMap<>(Collections.singletonMap(0, 1)));
        return detail;
    }

    private void topics() {
        add("topic_config", topic());
        TopicConfigSerializeWrapper plain = new TopicConfigSerializeWrapper();
        plain.setDataVersion(version(1));
        plain.setTopicConfigTable(new ConcurrentHashMap<>(Collections.singletonMap("TopicTest", topic())));
        add("topic_table", plain);
        add("topic_table_mapping", topicTable());
        TopicConfigAndMappingSerializeWrapper mapped = topicTable();
        mapped.setTopicQueueMappingInfoMap(new ConcurrentHashMap<>(Collections.singletonMap("static",
            TopicQueueMappingDetail.cloneAsMappingInfo(mapping()))));
        mapped.setTopicQueueMappingDetailMap(new ConcurrentHashMap<>(Collections.singletonMap("static", mapping())));
        add("topic_table_static", mapped);
        add("topic_config_mapping", new TopicConfigAndQueueMapping(topic(), null));
        add("topic_config_mapping_static", new TopicConfigAndQueueMapping(topic(), mapping()));
        add("create_topic_list", new CreateTopicListRequestBody(new ArrayList<>(Collections.singleton(topic()))));
        RegisterBrokerBody register = new RegisterBrokerBody();
        register.setTopicConfigSerializeWrapper(topicTable());
        register.setFilterServerList(new ArrayList<>());
        add("register_broker", register);
        lines.add("topic_config_text\tnew\t" + topic().encode());
        lines.add("topic_config_text_plain\tnew\t" + new TopicConfig("T", 4, 4, 6).encode());
    }

    static SubscriptionGroupConfig group(String name) {
        SubscriptionGroupConfig config = new SubscriptionGroupConfig();
        config.setGroupName(name);
        return config;
    }

    private void groups() {
        SubscriptionGroupConfig config = group("cg");
        add("group_config", config);
        SubscriptionGroupConfig full = group("cg2");
        GroupRetryPolicy policy = new GroupRetryPolicy();
        policy.setType(GroupRetryPolicyType.EXPONENTIAL);
        policy.setExponentialRetryPolicy(new ExponentialRetryPolicy(1000, 60000, 2));
        full.setGroupRetryPolicy(policy);
        full.setSubscriptionDataSet(new HashSet<>(Collections.singleton(
            new SimpleSubscriptionData("TopicTest", "TAG", "*", 1))));
        full.setAttributes(new HashMap<>(Collections.singletonMap("a", "b")));
        full.setConsumeMessageOrderly(true);
        add("group_config_full", full);
        SubscriptionGroupConfig customized = group("cg3");
        GroupRetryPolicy steps = new GroupRetryPolicy();
        steps.setCustomizedRetryPolicy(new CustomizedRetryPolicy(new long[] {1000, 5000}));
        customized.setGroupRetryPolicy(steps);
        add("group_config_customized", customized);
        SubscriptionGroupWrapper table = new SubscriptionGroupWrapper();
        table.setDataVersion(version(4));
        table.setSubscriptionGroupTable(new ConcurrentHashMap<>(Collections.singletonMap("cg", config)));
        table.setForbiddenTable(new ConcurrentHashMap<>(Collections.singletonMap("cg",
            new ConcurrentHashMap<>(Collections.singletonMap("TopicTest", 4)))));
        add("group_table", table);
        add("group_config_list", new SubscriptionGroupList(new ArrayList<>(Collections.singleton(config))));
        GroupList groups = new GroupList();
        groups.setGroupList(new HashSet<>(Collections.singleton("cg")));
        add("group_list", groups);
        GroupForbidden forbidden = new GroupForbidden();
        forbidden.setGroup("cg");
        forbidden.setTopic("TopicTest");
        forbidden.setReadable(false);
        add("group_forbidden", forbidden);
    }

    static MessageQueue queue(int id) {
        return new MessageQueue("TopicTest", "broker-a", id);
    }

    private void stats() {
        ConsumeStats consume = new ConsumeStats();
        OffsetWrapper offsets = new OffsetWrapper();
        offsets.setBrokerOffset(10);
        offsets.setConsumerOffset(7);
        offsets.setPullOffset(8);
        offsets.setLastTimestamp(TIME);
        consume.setOffsetTable(new ConcurrentHashMap<>(Collections.singletonMap(queue(3), offsets)));
        consume.setConsumeTps(1.5);
        add("consume_stats", consume);
        ConsumeStats empty = new ConsumeStats();
        add("consume_stats_empty", empty);
        ConsumeStatsList list = new ConsumeStatsList();
        list.setBrokerAddr("127.0.0.1:10911");
        list.setConsumeStatsList(new ArrayList<>(Collections.singleton(Collections.singletonMap("cg",
            new ArrayList<>(Collections.singleton(consume))))));
        list.setTotalDiff(3);
        list.setTotalInflightDiff(1);
        add("consume_stats_list", list);
        TopicStatsTable topic = new TopicStatsTable();
        TopicOffset offset = new TopicOffset();
        offset.setMinOffset(1);
        offset.setMaxOffset(9);
        offset.setLastUpdateTimestamp(TIME);
        topic.setOffsetTable(new ConcurrentHashMap<>(Collections.singletonMap(queue(3), offset)));
        topic.setTopicPutTps(0.25);
        add("topic_stats", topic);
        BrokerStatsData broker = new BrokerStatsData();
        BrokerStatsItem item = new BrokerStatsItem();
        item.setSum(100);
        item.setTps(1.6667);
        item.setAvgpt(2.0);
        broker.setStatsMinute(item);
        broker.setStatsHour(new BrokerStatsItem());
        broker.setStatsDay(new BrokerStatsItem());
        add("broker_stats", broker);
        QueueTimeSpan span = new QueueTimeSpan();
        span.setMessageQueue(queue(3));
        span.setMinTimeStamp(1);
        span.setMaxTimeStamp(2);
        span.setConsumeTimeStamp(3);
        span.setDelayTime(4);
        QueryConsumeTimeSpanBody spans = new QueryConsumeTimeSpanBody();
        spans.setConsumeTimeSpanSet(new ArrayList<>(Collections.singleton(span)));
        add("consume_time_span", spans);
        ConsumeQueueData data = new ConsumeQueueData();
        data.setPhysicOffset(1024);
        data.setPhysicSize(200);
        data.setTagsCode(-7);
        data.setEval(true);
        data.setExtendDataJson("ext");
        data.setBitMap("bits");
        data.setMsg("why");
        QueryConsumeQueueResponseBody queues = new QueryConsumeQueueResponseBody();
        queues.setQueueData(new ArrayList<>(Arrays.asList(data, new ConsumeQueueData())));
        queues.setMinQueueIndex(1);
        queues.setMaxQueueIndex(9);
        queues.setFilterData("filter");
        queues.setSubscriptionData(subscription());
        add("consume_queue", queues);
    }

    private void offsets() {
        ResetOffsetBody reset = new ResetOffsetBody();
        reset.setOffsetTable(new HashMap<>(Collections.singletonMap(queue(3), 5L)));
        add("reset_offset", reset);
        GetConsumerStatusBody status = new GetConsumerStatusBody();
        status.setMessageQueueTable(new HashMap<>(Collections.singletonMap(queue(3), 5L)));
        Map<MessageQueue, Long> perClient = new HashMap<>(Collections.singletonMap(queue(3), 1L));
        status.setConsumerTable(new HashMap<>(Collections.singletonMap("c1", perClient)));
        add("consumer_status", status);
        QueryCorrectionOffsetBody correction = new QueryCorrectionOffsetBody();
        Map<Integer, Long> corrected = new LinkedHashMap<>();
        corrected.put(0, 5L);
        corrected.put(1, -1L);
        correction.setCorrectionOffsets(corrected);
        add("correction_offset", correction);
        ConsumerOffsetSerializeWrapper wrapper = new ConsumerOffsetSerializeWrapper();
        wrapper.setDataVersion(version(9));
        ConcurrentHashMap<Integer, Long> queues = new ConcurrentHashMap<>();
        queues.put(0, 12L);
        queues.put(1, 7L);
        wrapper.setOffsetTable(new ConcurrentHashMap<>(Collections.singletonMap("TopicTest@cg", queues)));
        add("consumer_offsets", wrapper);
        ConsumerOffsetManager manager = new ConsumerOffsetManager();
        manager.getOffsetTable().put("TopicTest@cg", queues);
        manager.setDataVersion(version(9));
        add("consumer_offsets_all", manager);
    }

    /** The compressed body of a registration, for a broker of 5.x and for one before it. */
    private static void registration(Path directory) throws Exception {
        RegisterBrokerBody body = new RegisterBrokerBody();
        TopicConfigAndMappingSerializeWrapper table = topicTable();
        table.setTopicQueueMappingInfoMap(new ConcurrentHashMap<>(Collections.singletonMap("static",
            TopicQueueMappingDetail.cloneAsMappingInfo(mapping()))));
        body.setTopicConfigSerializeWrapper(table);
        body.setFilterServerList(new ArrayList<>(Collections.singleton("127.0.0.1:9999")));
        List<String> lines = new ArrayList<>();
        for (boolean compressed : new boolean[] {false, true}) {
            byte[] bytes = body.encode(compressed);
            lines.add((compressed ? "compressed" : "plain") + "\t"
                + org.apache.rocketmq.common.UtilAll.crc32(bytes) + "\t" + Out.hex(bytes));
        }
        Out.write(directory, "registration.txt", Arrays.asList(
            "REGISTER_BROKER (103) bodies: form, a tab, the header's bodyCrc32, a tab, hex.",
            "One topic TopicTest, one mapping named static, one filter server."), lines);
    }

    /** Files as the broker leaves them under config/. */
    private static void files(Path directory) throws Exception {
        Path config = directory.resolve("config");
        Files.createDirectories(config);
        TopicConfigSerializeWrapper topics = new TopicConfigSerializeWrapper();
        topics.setDataVersion(version(1));
        topics.setTopicConfigTable(new ConcurrentHashMap<>(Collections.singletonMap("TopicTest", topic())));
        file(config, "topics", topics);
        SubscriptionGroupWrapper groups = new SubscriptionGroupWrapper();
        groups.setDataVersion(version(4));
        SubscriptionGroupConfig subscribed = group("cg");
        subscribed.setSubscriptionDataSet(new HashSet<>(Collections.singleton(
            new SimpleSubscriptionData("TopicTest", "TAG", "*", 1))));
        groups.setSubscriptionGroupTable(new ConcurrentHashMap<>(Collections.singletonMap("cg", subscribed)));
        groups.setForbiddenTable(new ConcurrentHashMap<>(Collections.singletonMap("cg",
            new ConcurrentHashMap<>(Collections.singletonMap("TopicTest", 4)))));
        file(config, "subscriptionGroup", groups);
        ConsumerOffsetManager offsets = new ConsumerOffsetManager();
        ConcurrentHashMap<Integer, Long> queues = new ConcurrentHashMap<>();
        queues.put(0, 12L);
        queues.put(1, 7L);
        offsets.getOffsetTable().put("TopicTest@cg", queues);
        offsets.setDataVersion(version(9));
        file(config, "consumerOffset", offsets);
        org.apache.rocketmq.broker.schedule.DelayOffsetSerializeWrapper delay =
            new org.apache.rocketmq.broker.schedule.DelayOffsetSerializeWrapper();
        delay.setDataVersion(version(9));
        ConcurrentHashMap<Integer, Long> levels = new ConcurrentHashMap<>();
        levels.put(1, 100L);
        levels.put(2, 0L);
        delay.setOffsetTable(levels);
        file(config, "delayOffset", delay);
        org.apache.rocketmq.namesrv.kvconfig.KVConfigSerializeWrapper kv =
            new org.apache.rocketmq.namesrv.kvconfig.KVConfigSerializeWrapper();
        kv.setConfigTable(new HashMap<>(Collections.singletonMap("ORDER_TOPIC_CONFIG",
            new HashMap<>(Collections.singletonMap("T", "broker-a:4;broker-b:4")))));
        file(config, "kvConfig", kv);
    }

    private static void file(Path directory, String name, Object content) throws Exception {
        Files.write(directory.resolve(name + ".new.json"),
            RemotingSerializable.toJson(content, true).getBytes(StandardCharsets.UTF_8));
        Files.write(directory.resolve(name + ".old.json"),
            com.alibaba.fastjson.JSON.toJSONString(content, true).getBytes(StandardCharsets.UTF_8));
    }
}
