import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.apache.rocketmq.common.compression.CompressionType;
import org.apache.rocketmq.common.compression.CompressorFactory;
import org.apache.rocketmq.common.message.MessageClientIDSetter;
import org.apache.rocketmq.common.message.MessageDecoder;
import org.apache.rocketmq.remoting.protocol.LanguageCode;
import org.apache.rocketmq.remoting.protocol.RequestCode;
import org.apache.rocketmq.remoting.protocol.ResponseCode;

/** Writes ids, hashes, compressed bodies and codes. */
final class Texts {
    static void write(Path directory) throws Exception {
        ids(directory);
        hashes(directory);
        compressed(directory);
        codes(directory);
    }

    private static void ids(Path directory) throws Exception {
        List<String> lines = new ArrayList<>();
        for (String address : new String[] {"127.0.0.1", "255.0.1.254", "2001:db8::7", "::1"}) {
            for (long offset : new long[] {0, 1, 4294967296123L, Long.MAX_VALUE}) {
                InetSocketAddress host = new InetSocketAddress(InetAddress.getByName(address), 10911);
                lines.add("offset\t" + address + "\t" + host.getPort() + "\t" + offset + "\t"
                    + MessageDecoder.createMessageId(host, offset));
            }
        }
        for (String id : new String[] {"7F0000010C2B1B6D3586AABBCCDD0007",
            "20010DB8000000000000000000000007FFFE1B6D3586AABBCCDD8001"}) {
            lines.add("unique\t" + MessageClientIDSetter.getIPStrFromID(id) + "\t" + MessageClientIDSetter.getPidFromID(id)
                + "\t" + id);
        }
        Out.write(directory, "ids.txt", Arrays.asList(
            "Message ids, fields parted by tabs: `offset`, address, port, position in the CommitLog, id; or `unique`,",
            "address, process id, id."), lines);
    }

    private static void hashes(Path directory) throws Exception {
        List<String> lines = new ArrayList<>();
        char[] many = new char[40];
        Arrays.fill(many, 'z');
        for (String text : new String[] {"", "a", "TagA", "TagB", "Aa", "BB", "größe", "😀", "TopicTest#key-1",
            "polygenelubricants", new String(many)}) {
            lines.add(text.hashCode() + "\t" + Out.hex(text));
        }
        Out.write(directory, "hashes.txt", Arrays.asList("Java's String.hashCode: hash, a tab, the text's UTF-8 in hex."),
            lines);
    }

    private static void compressed(Path directory) throws Exception {
        byte[] body = String.join("", java.util.Collections.nCopies(40, "hello actor größe 😀 "))
            .getBytes(StandardCharsets.UTF_8);
        List<String> lines = new ArrayList<>();
        for (CompressionType type : CompressionType.values()) {
            for (byte[] plain : new byte[][] {body, new byte[] {42}}) {
                byte[] packed = CompressorFactory.getCompressor(type).compress(plain, 5);
                lines.add(type.name() + "\t" + (type.getCompressionFlag() | 1) + "\t" + Out.hex(plain) + "\t"
                    + Out.hex(packed));
            }
        }
        Out.write(directory, "compressed.txt", Arrays.asList(
            "Compressed bodies, fields parted by tabs: type, sysFlag, plain body in hex, compressed body in hex."), lines);
    }

    private static void codes(Path directory) throws Exception {
        List<String> lines = new ArrayList<>();
        for (Class<?> type : new Class<?>[] {RequestCode.class, ResponseCode.class}) {
            for (java.lang.reflect.Field field : type.getFields()) {
                lines.add((type == RequestCode.class ? "request" : "response") + "\t" + field.getName() + "\t"
                    + field.getInt(null));
            }
        }
        for (LanguageCode language : LanguageCode.values()) {
            lines.add("language\t" + language.name() + "\t" + language.getCode());
        }
        Out.write(directory, "codes.txt", Arrays.asList(
            "Numbers of RocketMQ 5.5.0: `request`, `response` or `language`, a tab, name, a tab, number."), lines);
    }
}
