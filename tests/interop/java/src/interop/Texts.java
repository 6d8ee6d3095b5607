package interop;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.apache.rocketmq.common.message.Message;

/** Bodies and messages for the cases. */
final class Texts {
    private Texts() {
    }

    static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    static String text(byte[] body) {
        return new String(body, StandardCharsets.UTF_8);
    }

    /** Bytes that no codec makes smaller. */
    static byte[] noise(int length) {
        byte[] body = new byte[length];
        new Random(length).nextBytes(body);
        return body;
    }

    /** Text that every codec makes much smaller. */
    static byte[] repetition(int length) {
        return bytes("a broker made of actors ".repeat(length / 24 + 1).substring(0, length));
    }

    /** Messages with the bodies m-0, m-1, ... */
    static List<Message> numbered(String topic, int count) {
        List<Message> messages = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            messages.add(new Message(topic, bytes("m-" + i)));
        }
        return messages;
    }
}
