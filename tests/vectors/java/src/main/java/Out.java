import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/** Vector files: `#` lines say what is in the file, then one vector a line. */
final class Out {
    static void write(Path directory, String name, List<String> about, List<String> lines) throws Exception {
        StringBuilder text = new StringBuilder();
        for (String line : about) {
            text.append("# ").append(line).append('\n');
        }
        for (String line : lines) {
            if (line.indexOf('\n') >= 0) {
                throw new IllegalStateException("a line break in " + name + ": " + line);
            }
            text.append(line).append('\n');
        }
        Files.write(directory.resolve(name), text.toString().getBytes(StandardCharsets.UTF_8));
    }

    static String hex(byte[] bytes) {
        if (bytes == null) {
            return "";
        }
        StringBuilder text = new StringBuilder(bytes.length * 2);
        for (byte b : bytes) {
            text.append(Character.forDigit((b >> 4) & 15, 16)).append(Character.forDigit(b & 15, 16));
        }
        return text.toString();
    }

    static String hex(String text) {
        return hex(text.getBytes(StandardCharsets.UTF_8));
    }
}
