import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Random;
import java.util.Set;
import java.util.TreeMap;
import org.apache.rocketmq.broker.filter.MessageEvaluationContext;
import org.apache.rocketmq.common.message.MessageDecoder;
import org.apache.rocketmq.filter.expression.BooleanExpression;
import org.apache.rocketmq.filter.expression.MQFilterException;
import org.apache.rocketmq.filter.parser.SelectorParser;

/** Expressions in SQL92, and what RocketMQ's own evaluator says of them. */
final class Filters {
    private static final int PROPERTY_SETS = 160;
    private static final int EXPRESSIONS = 7_000;
    private static final int ANSWERS = 6;
    private static final String[] NAMES = {"a", "b", "c", "A", "_x", "$y1", "TAGS", "k9"};
    private static final String[] VALUES = {
        "0", "1", "-1", "+1", "2", "3", "10", "007", "2147483647", "2147483648", "-2147483648", "-2147483649",
        "9223372036854775807", "9223372036854775808", "-9223372036854775808", "1.0", "1.5", "-1.5", "2.", ".5", "1e3",
        "1E-400", "1e400", "NaN", "-NaN", "Infinity", "-Infinity", "inf", "nan", "0x10", "0x1p3", "0x1.8p1", "0x.8P-1d",
        "0x1p-1074", "0x1p-1075", "0x1.8p-1075", "0x1.fffffffffffff8p1023", "0x123456789abcdef01.8p0", "0xp1", "1d", "1F",
        "1ff", " 1", "1 ", "\t1.5\n", "1_0", "1,0", "+", "-", "--1", ".", "e", "1e", "true", "TRUE", "True", "tRuE", "false", "FALSE",
        "yes", "x", "y", "xy", "yx", "xyz", "it's", "'", "''", "ü", "日本", "\ud83d\ude00", "٣", "１２", "-٣", "９９", "null", "NULL",
        "0.1", "0.10", "-0", "-0.0", "0.0", "4.9E-324", "1.7976931348623157E308", "123456789012345678901234567890", "16777217",
        "9007199254740993", "a", "1L", "1l",
    };
    private static final String[] NUMBERS = {
        "0", "1", "2", "3", "10", "7", "1L", "1l", "2147483647", "2147483648", "9223372036854775807", "9223372036854775807L", "1.0",
        "1.5", "2.", ".5", "1e3", "1E3", "1.e1", "0.1", "4.9E-324", "1.7976931348623157E308", "16777217", "9007199254740993", "3.0",
        "10.0", "00.5",
    };
    private static final String[] ODD_NUMBERS = {
        "007", "05", "0L", "9223372036854775808", "0.0", "1e400", "1e-400", "2.4E-324", "5e", "5e+", "1.5.5", "0e1", "1.5L", "0x1",
    };
    private static final String[] STRINGS = {
        "'x'", "'y'", "'xy'", "''", "'it''s'", "''''", "'1'", "'1.5'", "'true'", "'TRUE'", "'ü'", "'日本'", "'\ud83d\ude00'", "'a b'",
        "'--'", "'/*'", "'null'", "'xyz'", "'\\'", "'\n'", "'0'", "'-1'", "'NaN'",
    };
    private static final String[] SCRAPS = {
        "", " ", "(", ")", ",", "=", "<>", "!=", "==", ">", ">=", "=>", "<", "<=", "NOT", "not", "AND", "OR", "IS", "NULL", "IN", "BETWEEN",
        "CONTAINS", "STARTSWITH", "ENDSWITH", "TRUE", "false", "+", "-", "--", "-- x\n", "/* x */", "/**/", "/* * ** */", "/*", "*/", "*",
        "/", "%", ".", ";", "#", "a", "1", "'x'", "\t", "\n", "\r\n", "\f", "\u000b", "\u00a0", "LIKE", "ESCAPE", "NOW", "a.b", "a-b", "ä", "K",
        "\u212a", "\u017f", "&&", "||", "\u0000", "'", "\"x\"", "'x",
    };
    private static final String[] BY_HAND = {
        "", " ", "a", "NOT a", "a AND b", "TRUE", "FALSE", "NULL", "NOT NULL", "NULL IS NULL", "NULL IS NOT NULL", "3 IS NULL", "a = NULL",
        "NULL = a", "a <> NULL", "1", "'x'", "-a", "+a", "-TRUE", "-a IS NULL", "a = b", "a <> b", "a > b", "a = -1", "a = - 1",
        "a = -2147483648", "a = -9223372036854775808", "a > -1", "a BETWEEN 1 AND 3", "a BETWEEN 3 AND 1", "a BETWEEN -1 AND -5",
        "a NOT BETWEEN 3 AND 1", "a BETWEEN 1 AND 1.0", "a BETWEEN 1.5 AND 1", "a BETWEEN 1 AND 3 AND b = 1", "a BETWEEN b AND c",
        "a BETWEEN 'x' AND 'y'", "a BETWEEN NULL AND 3", "a BETWEEN TRUE AND FALSE", "a BETWEEN '1' AND 3", "1 BETWEEN a AND 3",
        "-a BETWEEN 1 AND 3", "-(a = 1) BETWEEN 1 AND 3", "(a = 1) BETWEEN 1 AND 3", "a IN ('x')", "a NOT IN ('x', 'y')", "a IN ()",
        "a IN (1)", "'x' IN ('x')", "(a) IN ('x')", "+a IN ('x')", "-a IN ('x')", "a IN ('x') IN ('y')", "a IN ('x',)", "a IN 'x'",
        "a IN ('x','y','1','2','3','4','5','6','7','8','9','10')", "a NOT IN ('x','y','1','2','3','4','5','6','7','8','9','10')",
        "a CONTAINS 'x'", "a NOT CONTAINS 'x'", "a CONTAINS ''", "a NOT CONTAINS ''", "'xyz' CONTAINS 'y'", "1 CONTAINS '1'",
        "a CONTAINS b", "a CONTAINS 1", "a CONTAINS 'x' CONTAINS 'y'", "TRUE CONTAINS 'x'", "NULL CONTAINS 'x'", "-a CONTAINS 'x'",
        "a STARTSWITH 'x'", "a NOT STARTSWITH 'x'", "a ENDSWITH 'x'", "a NOT ENDSWITH 'x'", "a STARTSWITH ''", "a ENDSWITH ''",
        "a = 1 = TRUE", "a = 1 = 1", "2 = (a = 1)", "(a = 1) = 2", "(a = 1) = (b = 1)", "(a = 1) > 2", "a > 1 > 2", "1 > a > 2",
        "TRUE = 1", "1 = TRUE", "TRUE = TRUE", "TRUE = a", "a = TRUE", "FALSE = a", "a = FALSE", "TRUE = 'true'", "'true' = TRUE",
        "TRUE = (a = 1)", "(a = 1) = TRUE", "(a = 1) = 'true'", "'true' = (a = 1)", "a > TRUE", "a > 'x'", "'x' > a", "a > NULL",
        "1 = 1", "1 = 1.0", "1.0 = 1", "1 = 2147483648", "1 < 2", "1 < 2.5", "2.5 > 1", "2147483648 > 1", "1 = '1'", "'1' = 1", "1 > '0'",
        "'1' = '1.0'", "'x' = 'x'", "'x' <> 'y'", "a = 1 garbage", "a = 1 garbage (((", "a = 1 'x", "a = 1 b #", "a = 1 #", "a = 1)", "(a = 1",
        "((a = 1))", "a = 05", "a = 05 AND b = 1", "a = 0L", "a = 1 -- end", "a = 1 -- end\n", "a = 1 -- mid\nAND b = 2", "-- x\na = 1", "-- x\ra = 1",
        "a /* x */ = /**/ 1", "a = 1 /* open", "a = 1 /* * / ** */ AND b = 2", "a IS", "a IS NOT", "a IS 1", "a IS NOT 1", "a NOT", "a NOT NULL", "a NOT b",
        "a NOT = 1", "NOT NOT a = 1", "NOT a = 1", "NOT (a = 1)", "NOT a IS NULL", "(NOT a) = TRUE", "- - a = 1", "--a = 1", "+ + a = 1", "+(a = 1)", "-(a = 1)",
        "-(a = 1) IS NULL", "a=1 and b=2 or c=3", "a=1 or b=2 and c=3", "a between 1 and 3 or b in ('x')", "not a is not null", "a Is Null",
        "$ = 1", "_ = 1", "$a_1 = 1", "1a = 1", "a.b = 1", "ä = 1", "a = 1.5 AND a > .5", "a LIKE 'x%'", "a != 1", "a == 1", "a => 1", "a =< 1", "a < > 1",
        "a <= 1 OR a >= 10", "a IS NULL IS NULL", "a IS NULL = TRUE", "a = 1 IS NULL", "(a > 1) IS NOT NULL", "a > 1 OR TRUE", "TRUE OR a > 1",
        "a > 1 AND FALSE", "FALSE AND a > 1", "NULL AND a = 1", "NULL OR a = 1", "NOT NULL IS NULL", "FILTER('GEO','x')", "now > 1", "a = 1L OR a = 1l",
    };
    private final Random random = new Random(20260131);
    private final List<TreeMap<String, String>> sets = new ArrayList<>();

    static void write(Path directory) throws Exception {
        Filters all = new Filters();
        List<String> lines = new ArrayList<>();
        for (int n = 0; n < PROPERTY_SETS; n++) {
            TreeMap<String, String> set = all.properties(n);
            all.sets.add(set);
            lines.add("P\t" + escaped(MessageDecoder.messageProperties2String(set)));
        }
        Set<String> expressions = new LinkedHashSet<>(Arrays.asList(BY_HAND));
        while (expressions.size() < EXPRESSIONS) {
            String expression = all.or(0);
            for (int n = all.random.nextInt(3); n > 0 && all.chance(3); n--) {
                expression = all.broken(expression);
            }
            expressions.add(expression);
        }
        for (String expression : expressions) {
            lines.add("E\t" + escaped(expression) + "\t" + all.answers(expression));
        }
        Out.write(directory, "sql.txt", Arrays.asList(
            "What RocketMQ 5.5.0 says of expressions in SQL92. P: a message's properties as they are stored; E: an expression, and",
            "either X, it does not compile, or for some of the properties (counted from 0) T true, F false, N unknown, E an exception.",
            "Backslashes and what is not printable ASCII are written as \\uXXXX."), lines);
    }

    private TreeMap<String, String> properties(int n) {
        TreeMap<String, String> set = new TreeMap<>();
        if (n < VALUES.length) {
            set.put("a", VALUES[n]);
        }
        for (String name : NAMES) {
            if (!set.containsKey(name) && chance(2)) {
                set.put(name, pick(VALUES));
            }
        }
        return set;
    }

    private String answers(String expression) {
        BooleanExpression compiled;
        try {
            compiled = SelectorParser.parse(expression);
        } catch (MQFilterException refused) {
            return "X";
        }
        StringBuilder text = new StringBuilder();
        int answers = Arrays.asList(BY_HAND).contains(expression) ? sets.size() : ANSWERS;
        for (int n = 0; n < answers; n++) {
            int set = answers == sets.size() ? n : random.nextInt(sets.size());
            text.append(n == 0 ? "" : " ").append(set).append(answer(compiled, set));
        }
        return text.toString();
    }

    private char answer(BooleanExpression compiled, int set) {
        try {
            Object said = compiled.evaluate(new MessageEvaluationContext(sets.get(set)));
            return said == null ? 'N' : said instanceof Boolean ? ((Boolean) said ? 'T' : 'F') : 'E';
        } catch (Throwable thrown) {
            return 'E';
        }
    }

    private boolean chance(int of) {
        return random.nextInt(of) == 0;
    }

    private String pick(String[] list) {
        return list[random.nextInt(list.length)];
    }

    private String blank() {
        return chance(12) ? pick(new String[] {"  ", "\t", "\n", " /* c */ ", " -- c\n "}) : " ";
    }

    private String word(String word) {
        return chance(4) ? word.toLowerCase() : word;
    }

    private String or(int depth) {
        StringBuilder text = new StringBuilder(and(depth));
        while (chance(4)) {
            text.append(blank()).append(word("OR")).append(blank()).append(and(depth));
        }
        return text.toString();
    }

    private String and(int depth) {
        StringBuilder text = new StringBuilder(term(depth));
        while (chance(4)) {
            text.append(blank()).append(word("AND")).append(blank()).append(term(depth));
        }
        return text.toString();
    }

    private String term(int depth) {
        String not = chance(5) ? word("NOT") + blank() : "";
        String value = value(depth);
        switch (random.nextInt(depth > 3 ? 11 : 13)) {
            case 0:
            case 1:
                return not + value + pick(new String[] {"=", " = ", " <> ", "<>"}) + value(depth);
            case 2:
            case 3:
            case 4:
                return not + (chance(8) ? value : pick(NAMES)) + pick(new String[] {">", " > ", ">=", " >= ", "<", " < ", "<=", " <= "}) + number();
            case 5:
                return not + value + blank() + word("IS") + blank() + (chance(2) ? word("NOT") + blank() : "") + word("NULL");
            case 6:
            case 7:
                return not + (chance(6) ? value : pick(NAMES)) + blank() + maybeNot() + word("BETWEEN") + blank() + number() + blank() + word("AND") + blank() + number();
            case 8:
                return not + (chance(6) ? value : pick(NAMES)) + blank() + maybeNot() + word("IN") + blank() + "(" + list() + ")";
            case 9:
            case 10:
                return not + value + blank() + maybeNot() + word(pick(new String[] {"CONTAINS", "STARTSWITH", "ENDSWITH"})) + blank() + pick(STRINGS);
            default:
                return not + "(" + or(depth + 1) + ")";
        }
    }

    private String maybeNot() {
        return chance(3) ? word("NOT") + blank() : "";
    }

    private String list() {
        StringBuilder text = new StringBuilder(pick(STRINGS));
        for (int n = random.nextInt(chance(5) ? 14 : 4); n > 0; n--) {
            text.append(chance(2) ? ", " : ",").append(pick(STRINGS));
        }
        return text.toString();
    }

    private String number() {
        return chance(12) ? value(4) : chance(4) ? pick(NAMES) : (chance(6) ? "-" : "") + numeral();
    }

    private String numeral() {
        return pick(chance(24) ? ODD_NUMBERS : NUMBERS);
    }

    private String value(int depth) {
        String sign = chance(12) ? pick(new String[] {"-", "+", "- "}) : "";
        switch (random.nextInt(depth > 3 ? 12 : 13)) {
            case 0:
            case 1:
            case 2:
                return sign + numeral();
            case 3:
            case 4:
                return sign + pick(STRINGS);
            case 5:
                return sign + word(pick(chance(4) ? new String[] {"NULL"} : new String[] {"TRUE", "FALSE"}));
            case 12:
                return sign + "(" + or(depth + 2) + ")";
            default:
                return sign + pick(NAMES);
        }
    }

    /** The same with something put in, left out or changed. */
    private String broken(String text) {
        int at = random.nextInt(text.length() + 1);
        if (at > 0 && at < text.length() && Character.isLowSurrogate(text.charAt(at))) {
            at--;
        }
        int end = Math.min(text.length(), at + random.nextInt(4));
        if (end > at && end < text.length() && Character.isLowSurrogate(text.charAt(end))) {
            end++;
        }
        switch (random.nextInt(3)) {
            case 0:
                return text.substring(0, at) + pick(SCRAPS) + text.substring(at);
            case 1:
                return text.substring(0, at) + text.substring(end);
            default:
                return text.substring(0, at) + pick(SCRAPS) + text.substring(end);
        }
    }

    private static String escaped(String text) {
        StringBuilder escaped = new StringBuilder();
        for (char c : text.toCharArray()) {
            if (c < ' ' || c > '~' || c == '\\') {
                escaped.append(String.format("\\u%04x", (int) c));
            } else {
                escaped.append(c);
            }
        }
        return escaped.toString();
    }
}
