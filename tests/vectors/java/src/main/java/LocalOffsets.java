import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.rocketmq.client.consumer.store.OffsetSerializeWrapper;
import org.apache.rocketmq.common.message.MessageQueue;

/** The file in which a broadcasting consumer keeps its offsets. */
final class LocalOffsets {
    static void write(Path directory) throws Exception {
        OffsetSerializeWrapper offsets = new OffsetSerializeWrapper();
        for (int queue = 0; queue < 2; queue++) {
            offsets.getOffsetTable().put(new MessageQueue("T", "broker-a", queue), new AtomicLong(7 + queue));
        }
        offsets.getOffsetTable().put(new MessageQueue("U", "broker-a", 0), new AtomicLong(0));
        Files.write(directory.resolve("config/offsets.json"), offsets.toJson(true).getBytes(StandardCharsets.UTF_8));
    }
}
