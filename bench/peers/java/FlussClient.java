import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Semaphore;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.BiConsumer;
import org.apache.fluss.client.Connection;
import org.apache.fluss.client.ConnectionFactory;
import org.apache.fluss.client.admin.Admin;
import org.apache.fluss.client.lookup.Lookuper;
import org.apache.fluss.client.table.Table;
import org.apache.fluss.client.table.scanner.ScanRecord;
import org.apache.fluss.client.table.scanner.log.LogScanner;
import org.apache.fluss.client.table.writer.AppendWriter;
import org.apache.fluss.client.table.writer.UpsertWriter;
import org.apache.fluss.config.Configuration;
import org.apache.fluss.metadata.Schema;
import org.apache.fluss.metadata.TableDescriptor;
import org.apache.fluss.metadata.TablePath;
import org.apache.fluss.row.BinaryString;
import org.apache.fluss.row.GenericRow;
import org.apache.fluss.row.InternalRow;
import org.apache.fluss.row.TimestampNtz;
import org.apache.fluss.types.DataType;
import org.apache.fluss.types.DataTypes;

/** The Java client of Fluss of the runs beside the peers: one bucket, acks=all. */
final class FlussClient {
    private static final String DATABASE = "fluss";
    private static String address;
    private static final Map<Properties, Connection> connections = new HashMap<>();

    public static void main(String[] args) throws Exception {
        address = args[0];
        Orders.serve(FlussClient::handle);
    }

    private static void handle(Orders.Order order, Orders.Answer answer) throws Exception {
        switch (order.get("do")) {
            case "load" -> Orders.records(order.get("file"));
            case "forget" -> Orders.forget(order.get("file"));
            case "create" -> create(order);
            case "drop" -> drop(order);
            case "append" -> append(order, answer);
            case "one" -> one(order, answer);
            case "scan" -> scan(order, answer);
            case "tail" -> tail(order, answer);
            case "upsert" -> upsert(order, answer);
            case "lookup" -> lookup(order, answer);
            default -> throw new IllegalArgumentException("unknown order " + order.get("do"));
        }
    }

    /** A connection with its options; it lives as long as the program. */
    private static Connection connect(Properties options) {
        return connections.computeIfAbsent(options, o -> {
            Configuration configuration = new Configuration();
            configuration.setString("bootstrap.servers", address);
            o.forEach((k, v) -> configuration.setString((String) k, (String) v));
            return ConnectionFactory.createConnection(configuration);
        });
    }

    private static Table table(Orders.Order order, String options) {
        return connect(order.properties(options)).getTable(path(order));
    }

    private static TablePath path(Orders.Order order) {
        return TablePath.of(DATABASE, order.get("table"));
    }

    // Columns are written as name:type,name:type; the types are those of the records' encoding.

    private static DataType typeOf(String word) {
        return switch (word) {
            case "int64" -> DataTypes.BIGINT();
            case "int32" -> DataTypes.INT();
            case "float64" -> DataTypes.DOUBLE();
            case "utf8" -> DataTypes.STRING();
            case "ms" -> DataTypes.TIMESTAMP(3);
            case "us" -> DataTypes.TIMESTAMP(6);
            default -> throw new IllegalArgumentException("unknown type " + word);
        };
    }

    private static String[] types(Orders.Order order) {
        return Arrays.stream(order.get("columns").split(",")).map(c -> c.substring(c.indexOf(':') + 1)).toArray(String[]::new);
    }

    private static void create(Orders.Order order) throws Exception {
        Schema.Builder schema = Schema.newBuilder();
        for (String column : order.get("columns").split(",")) {
            int cut = column.indexOf(':');
            schema.column(column.substring(0, cut), typeOf(column.substring(cut + 1)));
        }
        String key = order.get("key", "");
        TableDescriptor.Builder descriptor = TableDescriptor.builder();
        if (key.isEmpty()) {
            descriptor.distributedBy(1);
        } else {
            schema.primaryKey(key);
            descriptor.distributedBy(1, key);
        }
        descriptor.schema(schema.build());
        order.properties("properties").forEach((k, v) -> descriptor.property((String) k, (String) v));
        Admin admin = connect(new Properties()).getAdmin();
        admin.createTable(path(order), descriptor.build(), false).get();
        awaitLeader(order);
    }

    /** Waits until the table's bucket can be read, so that the first request of a measured phase need not. */
    private static void awaitLeader(Orders.Order order) throws Exception {
        Admin admin = connect(new Properties()).getAdmin();
        long limit = System.nanoTime() + 90_000_000_000L;
        for (;;) {
            try {
                admin.listOffsets(path(order), java.util.List.of(0), new org.apache.fluss.client.admin.OffsetSpec.LatestSpec()).all().get();
                return;
            } catch (Exception e) {
                if (System.nanoTime() > limit) {
                    throw e;
                }
                Thread.sleep(20);
            }
        }
    }

    private static void drop(Orders.Order order) throws Exception {
        connect(new Properties()).getAdmin().dropTable(path(order), true).get();
    }

    /** Makes a row of a record. */
    private static GenericRow decode(byte[] record, String[] types) {
        ByteBuffer in = ByteBuffer.wrap(record);
        GenericRow row = new GenericRow(types.length);
        for (int i = 0; i < types.length; i++) {
            row.setField(i, switch (types[i]) {
                case "int64" -> (Object) in.getLong();
                case "int32" -> (Object) in.getInt();
                case "float64" -> (Object) in.getDouble();
                case "ms" -> TimestampNtz.fromMillis(in.getLong());
                case "us" -> TimestampNtz.fromMicros(in.getLong());
                default -> {
                    int size = in.getInt();
                    int at = in.position();
                    in.position(at + size);
                    yield BinaryString.fromBytes(record, at, size);
                }
            });
        }
        return row;
    }

    /** Counts failures of requests. */
    private static final class Failures {
        private final AtomicLong count = new AtomicLong();
        private final AtomicReference<String> first = new AtomicReference<>("");

        <T> BiConsumer<T, Throwable> see() {
            return (result, e) -> {
                if (e != null) {
                    count.incrementAndGet();
                    first.compareAndSet("", e.toString());
                }
            };
        }

        void tell(Orders.Answer answer) {
            answer.failed = count.get();
            answer.firstFailure = first.get();
        }
    }

    /** Appends every row of a file; the clock stops when all are acknowledged. */
    private static void append(Orders.Order order, Orders.Answer answer) throws Exception {
        byte[][] records = Orders.records(order.get("file"));
        String[] types = types(order);
        Failures failures = new Failures();
        AppendWriter writer = table(order, "conf").newAppend().createWriter();
        long began = System.nanoTime();
        for (byte[] record : records) {
            writer.append(decode(record, types)).whenComplete(failures.see());
        }
        writer.flush();
        answer.seconds = Orders.since(began);
        answer.rows = records.length;
        failures.tell(answer);
    }

    /** Appends one row, waits until it is acknowledged, appends the next, for a bounded number and time. */
    private static void one(Orders.Order order, Orders.Answer answer) throws Exception {
        byte[][] records = Orders.records(order.get("file"));
        String[] types = types(order);
        int most = order.number("most");
        long limit = order.number("ms") * 1_000_000L;
        Orders.Times times = new Orders.Times();
        AppendWriter writer = table(order, "conf").newAppend().createWriter();
        long began = System.nanoTime();
        for (int i = 0; i < most && System.nanoTime() - began < limit; i++) {
            long sent = System.nanoTime();
            writer.append(decode(records[i % records.length], types)).get();
            times.add(System.nanoTime() - sent);
        }
        answer.seconds = Orders.since(began);
        answer.times = times.all();
        answer.rows = times.count();
    }

    /** Reads a table from its beginning, row by row. */
    private static void scan(Orders.Order order, Orders.Answer answer) throws Exception {
        long rows = order.number("rows");
        Table table = table(order, "conf");
        long began = System.nanoTime();
        try (LogScanner scanner = table.newScan().createLogScanner()) {
            scanner.subscribeFromBeginning(0);
            long idle = System.nanoTime();
            while (answer.rows < rows && System.nanoTime() - idle < 10_000_000_000L) {
                long before = answer.rows;
                for (ScanRecord record : scanner.poll(Duration.ofSeconds(1))) {
                    answer.sum += record.getRow().getLong(0);
                    answer.rows++;
                }
                if (answer.rows > before) {
                    answer.messages++;
                    idle = System.nanoTime();
                }
            }
        }
        answer.seconds = Orders.since(began);
    }

    /** Appends rows at a rate, each when it is due, and measures from then until a scanner has it. */
    private static void tail(Orders.Order order, Orders.Answer answer) throws Exception {
        int rows = order.number("rows");
        long interval = 1_000_000_000L / order.number("rate");
        BinaryString text = BinaryString.fromString("x".repeat(92));
        Orders.Times times = new Orders.Times();
        Failures failures = new Failures();
        AtomicReference<Throwable> failure = new AtomicReference<>();
        CountDownLatch placed = new CountDownLatch(1);
        Table readTable = table(order, "reading");
        Thread reader = new Thread(() -> {
            try (LogScanner scanner = readTable.newScan().createLogScanner()) {
                scanner.subscribeFromBeginning(0);
                scanner.poll(Duration.ofMillis(20));
                placed.countDown();
                long limit = System.nanoTime() + rows * interval + 20_000_000_000L;
                while (times.count() < rows && System.nanoTime() < limit) {
                    for (ScanRecord record : scanner.poll(Duration.ofSeconds(1))) {
                        times.add(System.nanoTime() - record.getRow().getLong(0));
                    }
                }
            } catch (Throwable t) {
                failure.set(t);
                placed.countDown();
            }
        });
        AppendWriter writer = table(order, "conf").newAppend().createWriter();
        reader.start();
        placed.await();
        long began = System.nanoTime() + 50_000_000L; // the reader waits by then
        for (int i = 0; i < rows; i++) {
            long due = began + i * interval;
            Orders.until(due);
            writer.append(GenericRow.of(due, text)).whenComplete(failures.see());
        }
        writer.flush();
        reader.join();
        answer.seconds = Orders.since(began);
        if (failure.get() != null) {
            throw new ExecutionException(failure.get());
        }
        answer.times = times.all();
        answer.rows = times.count();
        failures.tell(answer);
        if (answer.rows < rows) {
            answer.failed += rows - answer.rows;
            answer.firstFailure += " rows were not read";
        }
    }

    /** Upserts every row of a file; the clock stops when all are acknowledged. */
    private static void upsert(Orders.Order order, Orders.Answer answer) throws Exception {
        byte[][] records = Orders.records(order.get("file"));
        String[] types = types(order);
        Failures failures = new Failures();
        UpsertWriter writer = table(order, "conf").newUpsert().createWriter();
        long began = System.nanoTime();
        for (byte[] record : records) {
            writer.upsert(decode(record, types)).whenComplete(failures.see());
        }
        writer.flush();
        answer.seconds = Orders.since(began);
        answer.rows = records.length;
        failures.tell(answer);
    }

    /** Looks up random keys below "keys", so many at a time, for a bounded number and time. */
    private static void lookup(Orders.Order order, Orders.Answer answer) throws Exception {
        int flight = order.number("flight");
        long most = order.number("most");
        long limit = order.number("ms") * 1_000_000L;
        long keys = order.number("keys");
        Lookuper lookuper = table(order, "conf").newLookup().createLookuper();
        Orders.Times times = new Orders.Times();
        Failures failures = new Failures();
        AtomicLong misses = new AtomicLong();
        Semaphore room = new Semaphore(flight);
        long began = System.nanoTime();
        for (long i = 0; i < most && System.nanoTime() - began < limit; i++) {
            if (!room.tryAcquire(30, TimeUnit.SECONDS)) {
                throw new IllegalStateException("a lookup without an answer after 30 s");
            }
            long sent = System.nanoTime();
            lookuper.lookup(GenericRow.of(ThreadLocalRandom.current().nextLong(keys))).whenComplete((result, e) -> {
                times.add(System.nanoTime() - sent);
                failures.see().accept(result, e);
                if (e == null) {
                    InternalRow row = result.getSingletonRow();
                    if (row == null) {
                        misses.incrementAndGet();
                    } else {
                        row.getLong(1);
                    }
                }
                room.release();
            });
        }
        if (!room.tryAcquire(flight, 30, TimeUnit.SECONDS)) {
            throw new IllegalStateException("lookups without an answer after 30 s");
        }
        answer.seconds = Orders.since(began);
        answer.times = times.all();
        answer.rows = times.count();
        answer.misses = misses.get();
        failures.tell(answer);
    }

    private FlussClient() {}
}
