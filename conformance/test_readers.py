"""Readers that are slow, silent or gone, and clients that never read their answers: they hurt nobody."""

import json
import pathlib
import threading

import pyarrow as pa
import pyarrow.flight as fl

from conftest import path, put, read, ticket

MIB = 1 << 20


def wide(rows, start=0):
    return pa.table({"n": pa.array(range(start, start + rows), pa.int64()), "text": pa.array(["x" * 1000] * rows)})


def resident(server):
    """VmRSS of the server in bytes."""
    status = pathlib.Path(f"/proc/{server.process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) * 1024


def test_twenty_silent_readers_hurt_nobody(new_server):
    """Each holds no more than its window: about a message or two, however much there is to read."""
    server = new_server()
    with server.client() as client:
        for i in range(10):
            put(client, "events", wide(10_000, 10_000 * i))
        assert read(client, "events").num_rows == 100_000
        before = resident(server)
        silent = [server.client() for _ in range(20)]
        readers = [c.do_get(ticket("events")) for c in silent]
        for reader in readers:
            assert reader.read_chunk().data.num_rows > 0
        for i in range(10, 20):
            put(client, "events", wide(1000, 10_000 * i))
        assert read(client, "events", columns=["n"]).num_rows == 110_000
        assert resident(server) - before < 20 * 16 * MIB
        for reader, c in zip(readers, silent):
            reader.cancel()
            c.close()
        assert read(client, "events", columns=["n"]).num_rows == 110_000


def test_a_follower_that_does_not_read_misses_nothing(new_server):
    server = new_server()
    with server.client() as client, server.client() as other:
        put(client, "events", wide(1))
        follower = other.do_get(ticket("events", follow=True, columns=["n"]))
        assert follower.read_chunk().data.num_rows == 1
        for i in range(50):
            put(client, "events", wide(1000, 1 + 1000 * i))
        seen = [0]
        while len(seen) < 50_001:
            seen += follower.read_chunk().data["n"].to_pylist()
        follower.cancel()
        assert seen == list(range(50_001))


def test_answers_that_nobody_reads(new_server):
    """Tens of thousands of batches, each of which may be answered, and not one answer is read before close()."""
    server = new_server()
    with server.client() as client:
        schema = pa.schema([("n", pa.int64())])
        writer, _ = client.do_put(path("events"), schema)
        batches = 60_000
        for i in range(batches):
            writer.write_batch(pa.record_batch([pa.array([i], pa.int64())], schema=schema))
        writer.close()
        assert read(client, "events")["n"].to_pylist() == list(range(batches))


def test_flush_from_one_thread(client, table):
    """Answers are cumulative and coalesced; each flush is answered exactly once, when everything before it is durable."""
    data = wide(100)
    writer, answers = client.do_put(path(table), data.schema)
    asked = [1, "two", {"three": [3]}, None]
    for number, ask in enumerate(asked):
        writer.write_table(data)
        writer.write_metadata(json.dumps({"flush": ask}).encode())
        writer.write_metadata(json.dumps({"flush": f"again {number}"}).encode())
        heard = []
        while len(heard) < 2:
            answer = json.loads(answers.read().to_pybytes())
            assert answer["batches"] <= number + 1
            if answer["batches"] == number + 1 and (answer["flush"] is not None or ask is None):
                heard.append(answer["flush"])
                assert answer["rows"] == 100 * (number + 1)
        assert heard[-1] == f"again {number}" or ask is None
    writer.close()


def test_a_hundred_producers_keep_their_order(new_server):
    server = new_server()
    schema = pa.schema([("producer", pa.int32()), ("n", pa.int32())])
    producers, batches, rows = 100, 20, 3
    faults = []

    def produce(number):
        try:
            with server.client() as client:
                writer, _ = client.do_put(path("events"), schema)
                with writer:
                    for b in range(batches):
                        writer.write_batch(pa.record_batch([
                            pa.array([number] * rows, pa.int32()),
                            pa.array(range(b * rows, (b + 1) * rows), pa.int32())], schema=schema))
        except Exception as fault:  # noqa: BLE001: the main thread tells
            faults.append(fault)

    with server.client() as client:
        put(client, "events", pa.table({"producer": [-1], "n": [0]}, schema=schema))
        threads = [threading.Thread(target=produce, args=(number,)) for number in range(producers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert faults == []
        got = read(client, "events").to_pydict()
    due = [0] * producers
    for producer, n in zip(got["producer"][1:], got["n"][1:]):
        assert n == due[producer]
        due[producer] += 1
    assert due == [batches * rows] * producers


def test_large_and_tiny_batches(new_server):
    """A batch of 200 MB is stored in pieces below what arrow-go's client takes; one-row batches come back in few."""
    server = new_server()
    with server.client() as client:
        large = pa.table({"n": pa.array(range(25_000_000), pa.int64())})
        put(client, "large", large)
        total, biggest = 0, 0
        for chunk in client.do_get(ticket("large")):
            assert chunk.data["n"][0].as_py() == total
            total += chunk.data.num_rows
            biggest = max(biggest, chunk.data.nbytes)
        assert total == 25_000_000 and biggest <= 3 * MIB
        schema = pa.schema([("n", pa.int64())])
        writer, _ = client.do_put(path("tiny"), schema)
        with writer:
            for i in range(5000):
                writer.write_batch(pa.record_batch([pa.array([i], pa.int64())], schema=schema))
        chunks = [chunk.data for chunk in client.do_get(ticket("tiny"))]
        assert len(chunks) == 1 and chunks[0]["n"].to_pylist() == list(range(5000))


def test_too_large_a_batch(new_server):
    server = new_server("data", "--max-message", str(4 * MIB))
    with server.client() as client:
        data = pa.table({"n": pa.array(range(1_000_000), pa.int64())})
        try:
            writer, _ = client.do_put(path("events"), data.schema)
            with writer:
                writer.write_table(data)
            raise AssertionError("it was taken")
        except (pa.ArrowInvalid, fl.FlightError) as error:
            assert "BATCH_TOO_LARGE: " in str(error) and "max_chunksize=65536" in str(error)
        writer, _ = client.do_put(path("events"), data.schema)
        with writer:
            writer.write_table(data, max_chunksize=65536)
        assert read(client, "events").num_rows == 1_000_000
