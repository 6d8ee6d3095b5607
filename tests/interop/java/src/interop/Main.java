package interop;

import java.io.PrintStream;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.List;
import java.util.Queue;

/**
 * Runs groups of cases against the servers of a cluster directory.
 *
 * <p>Arguments: suite, cluster directory, server program, flavour, a part of the names of the cases wanted (may be empty), groups.
 */
public final class Main {
    /** The real standard output: the clients' own libraries may print, and some cases catch what they print. */
    static final PrintStream OUT = System.out;

    private Main() {
    }

    public static void main(String[] arguments) throws Exception {
        Queue<String> words = new ArrayDeque<>(List.of(arguments));
        String suite = words.remove();
        Path directory = Path.of(words.remove());
        Path control = Path.of(words.remove());
        String flavour = words.remove();
        Cases cases = new Cases(suite, words.remove());
        for (String group : words) {
            addGroup(group, cases, flavour);
        }
        System.setOut(System.err);
        boolean passed;
        try (Cluster cluster = new Cluster(directory, control, flavour)) {
            passed = cases.run(cluster);
        }
        // Clients of cases that failed may have left threads behind.
        System.exit(passed ? 0 : 1);
    }

    private static void addGroup(String group, Cases cases, String flavour) {
        if (group.startsWith("exchange:")) {
            Exchange.add(cases, group.substring("exchange:".length()));
            return;
        }
        switch (group) {
            case "sending" -> Sending.add(cases);
            case "bodies" -> Bodies.add(cases);
            case "refusals" -> Refusals.add(cases);
            case "pushing" -> Pushing.add(cases);
            case "pulling" -> Pulling.add(cases);
            case "querying" -> Querying.add(cases);
            case "ordering" -> Ordering.add(cases);
            case "transactions" -> Transactions.add(cases);
            case "requesting" -> Requesting.add(cases);
            case "retrying" -> Retrying.add(cases);
            case "filtering" -> Filtering.add(cases);
            case "custom-filters" -> Filtering.addCustom(cases);
            case "restarts" -> Restarts.add(cases);
            case "mqadmin" -> MqAdmin.add(cases);
            case "tls" -> Tls.add(cases);
            case "recreation" -> Recreation.add(cases, flavour);
            default -> throw new IllegalArgumentException("unknown group '" + group + "'");
        }
    }
}
