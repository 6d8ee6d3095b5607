import java.nio.file.Path;
import java.nio.file.Paths;

/** Writes known-answer vectors into the directory named by the first argument. */
public final class Vectors {
    public static void main(String[] arguments) throws Exception {
        Path directory = Paths.get(arguments.length > 0 ? arguments[0] : "..");
        Bodies.write(directory);
        Frames.write(directory);
        Texts.write(directory);
        Records.write(directory);
        Assignments.write(directory);
        LocalOffsets.write(directory);
        Filters.write(directory);
        System.exit(0);
    }
}
