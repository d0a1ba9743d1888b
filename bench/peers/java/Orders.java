import java.io.BufferedInputStream;
import java.io.BufferedReader;
import java.io.DataInputStream;
import java.io.EOFException;
import java.io.FileInputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.locks.LockSupport;

/**
 * What the Java clients share: one order a line on standard input (fields name=value, separated by tabs), one answer a
 * line of JSON on standard output. A client lives through all rounds, so its code is compiled when it counts.
 */
final class Orders {
    /** Carries out one order. */
    interface Handler {
        void handle(Order order, Answer answer) throws Exception;
    }

    /** The fields of an order. */
    static final class Order {
        private final Map<String, String> fields = new HashMap<>();

        Order(String line) {
            for (String field : line.split("\t")) {
                int cut = field.indexOf('=');
                fields.put(field.substring(0, cut), field.substring(cut + 1));
            }
        }

        String get(String name) {
            String value = fields.get(name);
            if (value == null) {
                throw new IllegalArgumentException("the order has no field " + name);
            }
            return value;
        }

        String get(String name, String otherwise) {
            return fields.getOrDefault(name, otherwise);
        }

        int number(String name) {
            return Integer.parseInt(get(name));
        }

        /** A field of the form key=value;key=value. */
        Properties properties(String name) {
            Properties properties = new Properties();
            for (String pair : get(name, "").split(";")) {
                int cut = pair.indexOf('=');
                if (cut > 0) {
                    properties.setProperty(pair.substring(0, cut), pair.substring(cut + 1));
                }
            }
            return properties;
        }
    }

    /** What an order came to. */
    static final class Answer {
        double seconds;
        long rows;
        long messages;
        long failed;
        long misses;
        long sum; // of what was read, so that reading cannot be left out
        String firstFailure = "";
        long[] times = new long[0]; // ns

        String json(String error) {
            StringBuilder text = new StringBuilder("{");
            text.append("\"seconds\":").append(seconds).append(",\"rows\":").append(rows);
            text.append(",\"messages\":").append(messages).append(",\"failed\":").append(failed);
            text.append(",\"misses\":").append(misses).append(",\"times\":[");
            for (int i = 0; i < times.length; i++) {
                text.append(i == 0 ? "" : ",").append(times[i]);
            }
            return text.append("],\"error\":\"").append(escape(error)).append("\"}").toString();
        }

        private static String escape(String text) {
            StringBuilder out = new StringBuilder();
            for (char c : text.toCharArray()) {
                out.append(c == '"' || c == '\\' ? "\\" + c : c < ' ' ? " " : String.valueOf(c));
            }
            return out.toString();
        }
    }

    /** Times of the requests of one order. */
    static final class Times {
        private long[] values = new long[1024];
        private int count;

        synchronized void add(long ns) {
            if (count == values.length) {
                values = java.util.Arrays.copyOf(values, 2 * count);
            }
            values[count++] = ns;
        }

        synchronized int count() {
            return count;
        }

        synchronized long[] all() {
            return java.util.Arrays.copyOf(values, count);
        }
    }

    /** Reads orders until there are no more. */
    static void serve(Handler handler) throws Exception {
        PrintStream answers = System.out;
        System.setOut(System.err); // whatever a library prints is no answer
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line; (line = in.readLine()) != null; ) {
            Answer answer = new Answer();
            String error = "";
            try {
                handler.handle(new Order(line), answer);
                if (answer.failed > 0) {
                    error = answer.failed + " requests failed, the first with: " + answer.firstFailure;
                }
            } catch (Throwable t) {
                t.printStackTrace();
                error = t.toString();
            }
            answers.println(answer.json(error));
            answers.flush();
        }
        System.exit(0); // threads of the libraries must not keep it alive
    }

    private static final Map<String, byte[][]> files = new LinkedHashMap<>();

    /** The records of a file: each a length of four bytes, then as many bytes. */
    static byte[][] records(String path) throws Exception {
        byte[][] known = files.get(path);
        if (known != null) {
            return known;
        }
        List<byte[]> records = new ArrayList<>();
        try (DataInputStream in = new DataInputStream(new BufferedInputStream(new FileInputStream(path), 1 << 20))) {
            for (;;) {
                byte[] record;
                try {
                    record = new byte[in.readInt()];
                } catch (EOFException end) {
                    break;
                }
                in.readFully(record);
                records.add(record);
            }
        }
        byte[][] all = records.toArray(new byte[0][]);
        files.put(path, all);
        return all;
    }

    static void forget(String path) {
        files.remove(path);
    }

    static double since(long began) {
        return (System.nanoTime() - began) / 1e9;
    }

    /** Waits until a time of System.nanoTime. */
    static void until(long due) {
        for (long left; (left = due - System.nanoTime()) > 0; ) {
            LockSupport.parkNanos(left);
        }
    }

    private Orders() {}
}
