package interop;

import java.time.Duration;
import java.util.Objects;

/** Assertions: each throws with what was expected and what was seen. */
final class Check {
    /** A condition or an action that may fail like a client call. */
    interface Condition {
        boolean holds() throws Exception;
    }

    interface Action {
        void run() throws Exception;
    }

    private Check() {
    }

    static void that(boolean holds, String what) {
        if (!holds) {
            throw new AssertionError(what);
        }
    }

    static void equal(Object expected, Object seen, String what) {
        if (!Objects.equals(expected, seen)) {
            throw new AssertionError(what + ": expected " + brief(expected) + ", saw " + brief(seen));
        }
    }

    static void contains(String text, String part, String what) {
        if (text == null || !text.contains(part)) {
            throw new AssertionError(what + ": '" + part + "' is not in:\n" + text);
        }
    }

    static void lacks(String text, String part, String what) {
        if (text.contains(part)) {
            throw new AssertionError(what + ": '" + part + "' should not be in:\n" + text);
        }
    }

    /** Waits for a condition; a condition that throws counts as not yet. */
    static void await(Duration limit, String what, Condition condition) throws Exception {
        long deadline = System.nanoTime() + limit.toNanos();
        Exception last = null;
        while (true) {
            try {
                if (condition.holds()) {
                    return;
                }
                last = null;
            } catch (Exception e) {
                last = e;
            }
            if (System.nanoTime() > deadline) {
                throw new AssertionError("not within " + limit.toMillis() + " ms: " + what, last);
            }
            Thread.sleep(20);
        }
    }

    /** Waits until a condition has held for a second on end: for what may still go to and fro. */
    static void settles(Duration limit, String what, Condition condition) throws Exception {
        long[] since = {System.nanoTime()};
        await(limit, what, () -> {
            if (!condition.holds()) {
                since[0] = System.nanoTime();
            }
            return System.nanoTime() - since[0] > 1_000_000_000L;
        });
    }

    /** Runs an action that must fail with an exception of the type, and returns it. */
    static <E extends Exception> E fails(Class<E> type, String what, Action action) {
        try {
            action.run();
        } catch (Exception e) {
            if (type.isInstance(e)) {
                return type.cast(e);
            }
            throw new AssertionError(what + ": expected " + type.getSimpleName() + ", saw " + e, e);
        }
        throw new AssertionError(what + ": expected " + type.getSimpleName() + ", but it succeeded");
    }

    private static String brief(Object value) {
        String text = String.valueOf(value);
        return text.length() <= 400 ? text : text.substring(0, 400) + "… (" + text.length() + " characters)";
    }
}
