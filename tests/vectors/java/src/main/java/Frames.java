import com.alibaba.fastjson2.JSON;
import java.io.File;
import java.lang.reflect.Field;
import java.lang.reflect.Modifier;
import java.net.JarURLConnection;
import java.net.URL;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.jar.JarEntry;
import java.util.jar.JarFile;
import org.apache.rocketmq.remoting.CommandCustomHeader;
import org.apache.rocketmq.remoting.protocol.LanguageCode;
import org.apache.rocketmq.remoting.protocol.RemotingCommand;
import org.apache.rocketmq.remoting.protocol.SerializeType;

/** Writes a frame in both codecs for every header class of RocketMQ, each own field filled by its type. */
final class Frames {
    private static final String PACKAGE = "org/apache/rocketmq/remoting/protocol/header/";
    private final List<String> lines = new ArrayList<>();

    static void write(Path directory) throws Exception {
        Frames frames = new Frames();
        frames.plain();
        for (String name : classes()) {
            frames.header(Class.forName(name));
        }
        Out.write(directory, "frames.txt", Arrays.asList(
            "Frames as RocketMQ 5.5.0 encodes them, one a line, fields parted by tabs: header class, codec (JSON or",
            "ROCKETMQ), code, language ordinal, version, opaque, flag, remark in hex (empty: none), ext fields as JSON with",
            "sorted names, body in hex, whole frame in hex."),
            frames.lines);
    }

    private static TreeSet<String> classes() throws Exception {
        TreeSet<String> names = new TreeSet<>();
        URL url = CommandCustomHeader.class.getClassLoader().getResource(PACKAGE);
        try (JarFile jar = ((JarURLConnection) url.openConnection()).getJarFile()) {
            for (JarEntry entry : Collections.list(jar.entries())) {
                String name = entry.getName();
                if (name.startsWith(PACKAGE) && name.endsWith("Header.class") || name.startsWith(PACKAGE)
                    && name.endsWith("HeaderV2.class")) {
                    names.add(name.replace(".class", "").replace('/', '.'));
                }
            }
        }
        return names;
    }

    private void plain() throws Exception {
        RemotingCommand bare = RemotingCommand.createResponseCommand(0, null);
        add("none", bare, 0, LanguageCode.JAVA);
        RemotingCommand remark = RemotingCommand.createResponseCommand(17, "kein Thema: \"größe\" \\ \n\t\u0001 😀");
        remark.setBody(new byte[] {1, 2, 3});
        add("none", remark, 0, LanguageCode.GO);
        RemotingCommand oneway = RemotingCommand.createRequestCommand(35, null);
        oneway.markOnewayRPC();
        oneway.addExtField("clé", "😀");
        oneway.addExtField("a", "\u0001\u0002 \"b\"");
        add("none", oneway, -5, LanguageCode.OTHER);
    }

    private void header(Class<?> type) throws Exception {
        if (!CommandCustomHeader.class.isAssignableFrom(type) || Modifier.isAbstract(type.getModifiers())) {
            return;
        }
        CommandCustomHeader header;
        try {
            header = (CommandCustomHeader) type.getDeclaredConstructor().newInstance();
        } catch (NoSuchMethodException e) {
            return;
        }
        int count = 0;
        for (Field field : type.getDeclaredFields()) {
            if (!Modifier.isStatic(field.getModifiers()) && !Modifier.isTransient(field.getModifiers())) {
                field.setAccessible(true);
                Object value = sample(field.getType(), field.getName(), ++count);
                if (value != null) {
                    field.set(header, value);
                }
            }
        }
        boolean request = !type.getSimpleName().contains("Response");
        RemotingCommand command = request ? RemotingCommand.createRequestCommand(10, header)
            : RemotingCommand.createResponseCommandWithHeader(0, header);
        if (!request) {
            command.setRemark(null);
        }
        add(type.getSimpleName(), command, 4711, LanguageCode.JAVA);
    }

    private static Object sample(Class<?> type, String name, int number) {
        if (type == String.class) {
            return name.equals("topicFilterType") ? "SINGLE_TAG" : "text-" + name;
        }
        if (type == int.class || type == Integer.class) {
            return -number;
        }
        if (type == long.class || type == Long.class) {
            return 1700000000000L + number;
        }
        if (type == boolean.class || type == Boolean.class) {
            return Boolean.TRUE;
        }
        if (type.isEnum()) {
            return type.getEnumConstants()[0];
        }
        return null;
    }

    private void add(String name, RemotingCommand command, int opaque, LanguageCode language) throws Exception {
        for (SerializeType codec : SerializeType.values()) {
            command.setSerializeTypeCurrentRPC(codec);
            command.setOpaque(opaque);
            command.setLanguage(language);
            command.setVersion(513);
            ByteBuffer frame = command.encode();
            byte[] bytes = new byte[frame.remaining()];
            frame.get(bytes);
            RemotingCommand back = RemotingCommand.decode(ByteBuffer.wrap(bytes, 4, bytes.length - 4).slice());
            TreeMap<String, String> fields = new TreeMap<>();
            if (back.getExtFields() != null) {
                fields.putAll(back.getExtFields());
            }
            String remark = command.getRemark() == null ? "" : Out.hex(command.getRemark());
            byte[] body = command.getBody() == null ? new byte[0] : command.getBody();
            lines.add(String.join("\t", name, codec.name(), "" + command.getCode(), "" + language.getCode(), "513",
                "" + opaque, "" + command.getFlag(), remark, JSON.toJSONString(fields), Out.hex(body), Out.hex(bytes)));
        }
    }
}
