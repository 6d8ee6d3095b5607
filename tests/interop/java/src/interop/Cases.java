package interop;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;

/** The cases of a run, each printed as one line. Those that touch the servers themselves run alone, after all the others. */
final class Cases {
    private static final int SIDE_BY_SIDE = 4;
    private static final Duration LIMIT = Duration.ofSeconds(60);
    private static final Duration LIMIT_ALONE = Duration.ofSeconds(240);

    interface Body {
        void run(Cluster cluster) throws Throwable;
    }

    private record Case(String name, Body body, Duration limit) {
    }

    private final String suite;
    private final String only;
    private final List<Case> together = new ArrayList<>();
    private final List<Case> alone = new ArrayList<>();
    private boolean failed;

    /** @param only a part of a name; cases without it are left out */
    Cases(String suite, String only) {
        this.suite = suite;
        this.only = only;
    }

    /** A case that shares the cluster with others that run at the same time. */
    void add(String name, Body body) {
        if (name.contains(only)) {
            together.add(new Case(name, body, LIMIT));
        }
    }

    /** A case that stops servers, changes their settings or catches standard output. */
    void addAlone(String name, Body body) {
        if (name.contains(only)) {
            alone.add(new Case(name, body, LIMIT_ALONE));
        }
    }

    /** @return whether all passed */
    boolean run(Cluster cluster) throws InterruptedException {
        ExecutorService pool = Executors.newFixedThreadPool(SIDE_BY_SIDE);
        for (Case each : together) {
            pool.submit(() -> runOne(each, cluster));
        }
        pool.shutdown();
        pool.awaitTermination(LIMIT.toSeconds() * (together.size() + 1), TimeUnit.SECONDS);
        for (Case each : alone) {
            runOne(each, cluster);
        }
        return !failed;
    }

    private void runOne(Case each, Cluster cluster) {
        long start = System.nanoTime();
        Throwable[] outcome = new Throwable[1];
        Thread thread = new Thread(() -> {
            try {
                each.body.run(cluster);
            } catch (Throwable e) {
                outcome[0] = e;
            }
        }, each.name);
        thread.setDaemon(true);
        thread.start();
        try {
            thread.join(each.limit.toMillis());
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        if (thread.isAlive()) {
            outcome[0] = new AssertionError("still running after " + each.limit.toSeconds() + " s");
            outcome[0].setStackTrace(thread.getStackTrace());
            thread.interrupt();
        }
        report(each.name, (System.nanoTime() - start) / 1e9, outcome[0]);
    }

    private synchronized void report(String name, double seconds, Throwable failure) {
        if (failure == null) {
            Main.OUT.printf("PASS %s: %s (%.1f s)%n", suite, name, seconds);
            return;
        }
        failed = true;
        Main.OUT.printf("FAIL %s: %s (%.1f s)%n", suite, name, seconds);
        for (Throwable cause = failure; cause != null; cause = cause.getCause()) {
            Main.OUT.println("    " + String.valueOf(cause).replace("\n", "\n    "));
            for (StackTraceElement frame : cause.getStackTrace()) {
                if (frame.getClassName().startsWith("interop.") || cause.getStackTrace()[0] == frame) {
                    Main.OUT.println("      at " + frame);
                }
            }
        }
    }
}
