"""Exactly once, by writer_id and sequence: the rules of the contract, one by one."""

import json

import pyarrow as pa
import pytest

from conftest import action, command, put, read, reason

REFUSED = pa.ArrowInvalid


def rows(start, count):
    return pa.table({"n": pa.array(range(start, start + count), pa.int64())})


class Stream:
    """A put stream of one sequenced producer, whose answers are read when they are wanted."""

    def __init__(self, client, table, schema=None, **options):
        self.writer, self.answers = client.do_put(command(put=table, **options), schema or rows(0, 1).schema)
        self.flushes = 0

    def send(self, table, **metadata):
        batch = table.to_batches()[0]
        if metadata:
            self.writer.write_with_metadata(batch, json.dumps(metadata).encode())
        else:
            self.writer.write_batch(batch)
        return self

    def settled(self):
        """Waits by a flush and gives the answers up to its own, merged."""
        self.flushes += 1
        self.writer.write_metadata(json.dumps({"flush": self.flushes}).encode())
        merged = {"ranges": [], "duplicates": 0}
        while True:
            answer = json.loads(self.answers.read().to_pybytes())
            merged["ranges"] += answer.pop("ranges")
            merged["duplicates"] += answer.pop("duplicates")
            merged.update(answer)
            if answer["flush"] == self.flushes:
                return merged

    def close(self):
        self.writer.close()


def create(client, table, buckets=1):
    action(client, "table.create", {"table": table, "buckets": buckets, "schema": [{"name": "n", "type": "int64"}]})


def init(client, **body):
    return action(client, "writer.init", body)[0]


def numbers(client, table):
    return sorted(read(client, table)["n"].to_pylist())


def test_ids_and_epochs(client):
    first, second = init(client, name="loader-7"), init(client, name="loader-7")
    assert second == {"writer_id": first["writer_id"], "writer_epoch": first["writer_epoch"] + 1}
    assert init(client, name="loader-8")["writer_id"] != first["writer_id"]
    anonymous = init(client)
    assert anonymous["writer_epoch"] == 0
    assert init(client)["writer_id"] != anonymous["writer_id"]
    assert init(client, writer_id=anonymous["writer_id"]) == {"writer_id": anonymous["writer_id"], "writer_epoch": 1}


def test_repeats_are_acknowledged_with_their_first_offsets(client, table):
    create(client, table)
    writer = init(client)
    stream = Stream(client, table, **writer, sequence=0)
    first = stream.send(rows(0, 10)).send(rows(10, 5)).settled()
    assert (first["batches"], first["rows"], first["sequence"], first["duplicates"]) == (2, 15, 1, 0)
    stream.close()
    again = Stream(client, table, **writer, sequence=0)
    repeat = again.send(rows(0, 10)).send(rows(10, 5)).send(rows(15, 5)).settled()
    again.close()
    assert (repeat["batches"], repeat["rows"], repeat["sequence"], repeat["duplicates"]) == (3, 20, 2, 2)
    covered = sorted(offset for r in repeat["ranges"] for offset in range(r["from"], r["until"]))
    assert covered == list(range(20))
    assert numbers(client, table) == list(range(20))


def test_repeats_older_than_what_is_remembered(client, table):
    create(client, table)
    writer = init(client)
    stream = Stream(client, table, **writer, sequence=0)
    for i in range(200):
        stream.send(rows(i, 1))
    stream.settled()
    stream.close()
    again = Stream(client, table, **writer, sequence=0)
    answer = again.send(rows(0, 1)).settled()
    again.close()
    assert answer["duplicates"] == 1 and answer["ranges"] == []
    assert numbers(client, table) == list(range(200))


def test_a_gap_within_the_stream(client, table):
    create(client, table)
    stream = Stream(client, table, **init(client), sequence=0)
    stream.send(rows(0, 1)).settled()
    with pytest.raises(REFUSED) as error:
        stream.send(rows(1, 1), sequence=5)
        stream.close()
    assert reason(error.value) == "OUT_OF_ORDER_SEQUENCE"
    assert "durable: 1 batches, 1 rows, sequence 0; rest: not appended" in str(error.value)


def test_a_gap_between_streams_is_appended(client, table):
    """Per bucket, a sequence above the last one is appended."""
    create(client, table)
    writer = init(client)
    put(client, table, rows(0, 1), **writer, sequence=0)
    put(client, table, rows(1, 1), **writer, sequence=7)
    assert numbers(client, table) == [0, 1]


def test_inside_the_window_but_absent(client, table):
    create(client, table)
    writer = init(client)
    put(client, table, rows(0, 1), **writer, sequence=0)
    put(client, table, rows(1, 1), **writer, sequence=3)
    with pytest.raises(REFUSED) as error:
        put(client, table, rows(2, 1), **writer, sequence=2)
    assert reason(error.value) == "OUT_OF_ORDER_SEQUENCE"


def test_a_sequence_with_another_row_count(client, table):
    create(client, table)
    writer = init(client)
    put(client, table, rows(0, 3), **writer, sequence=0)
    with pytest.raises(REFUSED) as error:
        put(client, table, rows(0, 2), **writer, sequence=0)
    assert reason(error.value) == "SEQUENCE_REUSED"


def test_an_older_epoch_is_fenced(client, table):
    create(client, table)
    old = init(client, name=f"of {table}")
    stream = Stream(client, table, **old, sequence=0)
    stream.send(rows(0, 1)).settled()
    new = init(client, name=f"of {table}")
    with pytest.raises(REFUSED) as error:
        stream.send(rows(1, 1))
        stream.close()
    assert reason(error.value) == "FENCED_WRITER"
    assert action(client, "writer.describe", {"table": table, "writer_id": new["writer_id"]}) == [
        {"partition": None, "bucket": 0, "sequence": 0}]
    put(client, table, rows(1, 1), **new, sequence=1)
    assert numbers(client, table) == [0, 1]


def test_an_unknown_writer(client, table):
    create(client, table)
    with pytest.raises(REFUSED) as error:
        put(client, table, rows(0, 1), writer_id=123456789, writer_epoch=0, sequence=0)
    assert reason(error.value) == "UNKNOWN_WRITER"


def test_sequenced_throughout_or_not_at_all(client, table):
    create(client, table)
    stream = Stream(client, table)
    stream.send(rows(0, 1)).settled()
    with pytest.raises(REFUSED) as error:
        stream.send(rows(1, 1), sequence=1)
        stream.close()
    assert reason(error.value) == "BAD_COMMAND"


def test_zero_row_batches_take_a_sequence(client, table):
    create(client, table)
    writer = init(client)
    stream = Stream(client, table, **writer, sequence=0)
    empty = pa.RecordBatch.from_arrays([pa.array([], pa.int64())], names=["n"])
    stream.send(rows(0, 1))
    stream.writer.write_batch(empty)
    answer = stream.send(rows(1, 1)).settled()
    stream.close()
    assert (answer["batches"], answer["rows"], answer["sequence"]) == (3, 2, 2)


def test_several_buckets_go_by_writer_and_sequence(client, table):
    create(client, table, buckets=3)
    writer = init(client)
    stream = Stream(client, table, **writer, sequence=0)
    for i in range(9):
        stream.send(rows(i, 1))
    answer = stream.settled()
    stream.close()
    assert answer["sequence"] == 8
    for bucket in range(3):
        got = read(client, table, bucket=bucket)["n"].to_pylist()
        assert got == [i for i in range(9) if (writer["writer_id"] + i) % 3 == bucket]
    described = action(client, "writer.describe", {"table": table, "writer_id": writer["writer_id"]})
    assert {row["bucket"]: row["sequence"] for row in described} == {
        bucket: max(i for i in range(9) if (writer["writer_id"] + i) % 3 == bucket) for bucket in range(3)}


def test_a_pipelined_retry_after_kill(new_server):
    """A client retries from its first unacknowledged batch, in order: every row is there once."""
    server = new_server()
    with server.client() as client:
        create(client, "events", buckets=2)
        writer = init(client, name="loader")
        stream = Stream(client, "events", **writer, sequence=0)
        for i in range(50):
            stream.send(rows(10 * i, 10))
        acknowledged = stream.settled()["sequence"]
        for i in range(50, 80):
            stream.send(rows(10 * i, 10))
        server.kill()
    assert acknowledged == 49
    server.start()
    with server.client() as client:
        again = init(client, name="loader")
        assert again["writer_epoch"] == writer["writer_epoch"] + 1
        stream = Stream(client, "events", **again, sequence=acknowledged + 1)
        for i in range(acknowledged + 1, 100):
            stream.send(rows(10 * i, 10))
        assert stream.settled()["sequence"] == 99
        stream.close()
        assert numbers(client, "events") == list(range(1000))


def test_expected_offsets(client, table):
    create(client, table)
    put(client, table, rows(0, 4), expect_offset=0)
    put(client, table, rows(4, 4), expect_offset=4)
    with pytest.raises(REFUSED) as error:
        put(client, table, rows(4, 4), expect_offset=4)
    assert reason(error.value) == "EXPECTED_OFFSET_MISMATCH"
    assert numbers(client, table) == list(range(8))
