import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** The Kafka client of the runs beside the peers: one partition, acks=all. */
final class KafkaClient {
    private static String address;

    public static void main(String[] args) throws Exception {
        address = args[0];
        Orders.serve(KafkaClient::handle);
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
            default -> throw new IllegalArgumentException("unknown order " + order.get("do"));
        }
    }

    private static void create(Orders.Order order) throws Exception {
        Map<String, String> properties = new java.util.HashMap<>();
        order.properties("properties").forEach((k, v) -> properties.put((String) k, (String) v));
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", address))) {
            admin.createTopics(List.of(new NewTopic(order.get("table"), 1, (short) 1).configs(properties))).all().get();
        }
        try (KafkaProducer<byte[], byte[]> producer = producer(new Properties())) {
            producer.partitionsFor(order.get("table")); // waits until the leader is known
        }
    }

    private static void drop(Orders.Order order) throws Exception {
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", address))) {
            admin.deleteTopics(List.of(order.get("table"))).all().get();
        }
    }

    private static KafkaProducer<byte[], byte[]> producer(Properties own) {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", address);
        properties.put("acks", "all");
        properties.putAll(own);
        return new KafkaProducer<>(properties, new ByteArraySerializer(), new ByteArraySerializer());
    }

    private static KafkaConsumer<byte[], byte[]> consumer(Properties own) {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", address);
        properties.put("enable.auto.commit", "false");
        properties.putAll(own);
        return new KafkaConsumer<>(properties, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    /** Sends every record of a file; the clock stops when all are acknowledged. */
    private static void append(Orders.Order order, Orders.Answer answer) throws Exception {
        byte[][] records = Orders.records(order.get("file"));
        String topic = order.get("table");
        AtomicLong failed = new AtomicLong();
        AtomicReference<String> first = new AtomicReference<>("");
        try (KafkaProducer<byte[], byte[]> producer = producer(order.properties("conf"))) {
            producer.partitionsFor(topic);
            long began = System.nanoTime();
            for (byte[] record : records) {
                producer.send(new ProducerRecord<>(topic, 0, null, record), (metadata, e) -> {
                    if (e != null) {
                        failed.incrementAndGet();
                        first.compareAndSet("", e.toString());
                    }
                });
            }
            producer.flush();
            answer.seconds = Orders.since(began);
        }
        answer.rows = records.length;
        answer.failed = failed.get();
        answer.firstFailure = first.get();
    }

    /** Sends one record, waits until it is acknowledged, sends the next, for a bounded number and time. */
    private static void one(Orders.Order order, Orders.Answer answer) throws Exception {
        byte[][] records = Orders.records(order.get("file"));
        int most = order.number("most");
        long limit = order.number("ms") * 1_000_000L;
        Orders.Times times = new Orders.Times();
        try (KafkaProducer<byte[], byte[]> producer = producer(order.properties("conf"))) {
            producer.partitionsFor(order.get("table"));
            long began = System.nanoTime();
            for (int i = 0; i < most && System.nanoTime() - began < limit; i++) {
                long sent = System.nanoTime();
                producer.send(new ProducerRecord<>(order.get("table"), 0, null, records[i % records.length])).get();
                times.add(System.nanoTime() - sent);
            }
            answer.seconds = Orders.since(began);
        }
        answer.times = times.all();
        answer.rows = times.count();
    }

    /** Reads the topic from its beginning. With "decode" it looks at so many of the columns of 8 bytes in each record. */
    private static void scan(Orders.Order order, Orders.Answer answer) throws Exception {
        TopicPartition partition = new TopicPartition(order.get("table"), 0);
        long rows = order.number("rows");
        int decode = Integer.parseInt(order.get("decode", "0"));
        try (KafkaConsumer<byte[], byte[]> consumer = consumer(order.properties("conf"))) {
            long began = System.nanoTime();
            consumer.assign(List.of(partition));
            consumer.seekToBeginning(List.of(partition));
            long idle = System.nanoTime();
            while (answer.rows < rows && System.nanoTime() - idle < 10_000_000_000L) {
                ConsumerRecords<byte[], byte[]> polled = consumer.poll(Duration.ofSeconds(1));
                for (ConsumerRecord<byte[], byte[]> record : polled) {
                    byte[] value = record.value();
                    answer.sum += value.length;
                    ByteBuffer columns = ByteBuffer.wrap(value);
                    for (int i = 0; i < decode; i++) {
                        answer.sum += columns.getLong(8 * i);
                    }
                }
                if (polled.count() > 0) {
                    answer.rows += polled.count();
                    answer.messages++;
                    idle = System.nanoTime();
                }
            }
            answer.seconds = Orders.since(began);
        }
    }

    /** Sends rows at a rate, each when it is due, and measures from then until a consumer has it. */
    private static void tail(Orders.Order order, Orders.Answer answer) throws Exception {
        String topic = order.get("table");
        int rows = order.number("rows");
        long interval = 1_000_000_000L / order.number("rate");
        Orders.Times times = new Orders.Times();
        TopicPartition partition = new TopicPartition(topic, 0);
        AtomicReference<Throwable> failure = new AtomicReference<>();
        java.util.concurrent.CountDownLatch placed = new java.util.concurrent.CountDownLatch(1);
        Thread reader = new Thread(() -> {
            try (KafkaConsumer<byte[], byte[]> consumer = consumer(order.properties("reading"))) {
                consumer.assign(List.of(partition));
                consumer.seekToBeginning(List.of(partition));
                consumer.position(partition);
                placed.countDown();
                long limit = System.nanoTime() + rows * interval + 20_000_000_000L;
                while (times.count() < rows && System.nanoTime() < limit) {
                    for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofSeconds(1))) {
                        times.add(System.nanoTime() - ByteBuffer.wrap(record.value()).getLong());
                    }
                }
            } catch (Throwable t) {
                failure.set(t);
                placed.countDown();
            }
        });
        try (KafkaProducer<byte[], byte[]> producer = producer(order.properties("conf"))) {
            producer.partitionsFor(topic);
            reader.start();
            placed.await();
            long began = System.nanoTime() + 50_000_000L; // the reader waits by then
            for (int i = 0; i < rows; i++) {
                long due = began + i * interval;
                Orders.until(due);
                byte[] value = new byte[100];
                ByteBuffer.wrap(value).putLong(due);
                producer.send(new ProducerRecord<>(topic, 0, null, value));
            }
            producer.flush();
            reader.join();
            answer.seconds = Orders.since(began);
        }
        if (failure.get() != null) {
            throw new ExecutionException(failure.get());
        }
        answer.times = times.all();
        answer.rows = times.count();
        answer.failed = rows - times.count();
        answer.firstFailure = "rows were not read";
    }

    private KafkaClient() {}
}
