"""Puts that fall into many buckets and partitions, what is told when one of them fails, and what retention takes."""

import json
import time

import pyarrow as pa
import pyarrow.flight as fl
import pytest

from conftest import FAULT_BINARY, Put, action, command, create, latest, put, read, reason, refused

BUCKETS = 16
ROWS = {"id": "int64", "region": "string", "n": "int64"}


def rows(start, until, regions=("eu", "us")):
    ids = range(start, until)
    return pa.record_batch({"id": pa.array(ids, pa.int64()), "region": pa.array([regions[i % len(regions)] for i in ids], pa.string()),
                            "n": pa.array([i * 10 for i in ids], pa.int64())})


def keyed(client, table, **keys):
    return create(client, table, ROWS, bucket_key=["id"], buckets=BUCKETS, **keys)


def regional(client, table, **keys):
    return create(client, table, ROWS, partition_by=["region"], **keys)


def where(client, table):
    """Rows by (partition, bucket), each bucket in its order, with their offsets checked."""
    got = read(client, table, system_columns=["__partition", "__bucket", "__offset"]).to_pylist()
    out = {}
    for row in got:
        place = out.setdefault((row["__partition"], row["__bucket"]), [])
        place.append((row["__offset"], row["id"]))
    for place, found in out.items():
        assert [offset for offset, _ in found] == list(range(found[0][0], found[0][0] + len(found))), place
    return {place: [row for _, row in found] for place, found in out.items()}


def merged(answers):
    last = dict(answers[-1])
    last["ranges"] = [r for answer in answers for r in answer["ranges"]]
    last["duplicates"] = sum(answer["duplicates"] for answer in answers)
    return last


def test_a_batch_falls_into_many_buckets(client, table):
    keyed(client, table)
    with Put(client, table, rows(0, 1).schema) as stream:
        stream.write(rows(0, 1000)).write(rows(1000, 1001)).write(rows(0, 0)).write(rows(1001, 3000))
    told = merged(stream.answers)
    assert (told["batches"], told["rows"], told["duplicates"]) == (4, 3000, 0)
    assert "sequence" not in told and "ranges_cut" not in told
    found = where(client, table)
    assert set(found) == {("", bucket) for bucket in range(BUCKETS)}
    assert sorted(id for ids in found.values() for id in ids) == list(range(3000))
    assert all(ids == sorted(ids) for ids in found.values()), "rows of one stream keep their order in each bucket"
    covered = {}
    for r in told["ranges"]:
        assert r["partition"] is None
        covered.setdefault(r["bucket"], []).append((r["from"], r["until"]))
    for bucket, ranges in covered.items():
        ranges.sort()
        assert ranges[0][0] == 0 and ranges[-1][1] == len(found["", bucket])
        assert all(a[1] == b[0] for a, b in zip(ranges, ranges[1:]))
    assert latest(client, table) == {bucket: len(found["", bucket]) for bucket in range(BUCKETS)}


def test_a_key_has_its_bucket(client, table):
    keyed(client, table)
    for _ in range(3):
        put(client, table, pa.Table.from_batches([rows(7, 8)]))
    (_, ids), = where(client, table).items()
    assert ids == [7, 7, 7]


def test_bucket_needs_a_table_without_key(client, table):
    keyed(client, table)
    with refused("BAD_COMMAND", "bucket key"):
        put(client, table, pa.Table.from_batches([rows(0, 1)]), bucket=1)
    with refused("BAD_COMMAND", "bucket key", "rest: not appended"):
        Put(client, table, rows(0, 1).schema).write(rows(0, 1), bucket=1).close()
    assert sum(latest(client, table).values()) == 0


def test_expected_offsets_need_one_bucket(client, table):
    keyed(client, table)
    put(client, table, pa.Table.from_batches([rows(7, 8)]), expect_offset=0)
    put(client, table, pa.Table.from_batches([rows(7, 8)]), expect_offset=1)
    with refused("EXPECTED_OFFSET_MISMATCH", "rest: not appended"):
        put(client, table, pa.Table.from_batches([rows(7, 8)]), expect_offset=1)
    with refused("BAD_COMMAND", "expect_offset", "rest: not appended"):
        put(client, table, pa.Table.from_batches([rows(0, 100)]), expect_offset=0)
    assert sum(latest(client, table).values()) == 2


def test_round_robin(client, table):
    create(client, table, {"id": "int64"}, buckets=4, options={"bucket.assignment": "round-robin"})
    batch = pa.record_batch({"id": pa.array(range(10), pa.int64())})
    with Put(client, table, batch.schema) as stream:
        for _ in range(8):
            stream.write(batch)
    assert latest(client, table) == dict.fromkeys(range(4), 20)


def test_partitions_are_made_by_writing(client, table):
    regional(client, table, buckets=2)
    with Put(client, table, rows(0, 1).schema) as stream:
        stream.write(rows(0, 10))
        stream.write(rows(10, 20, ["eu", "asia"]))
    told = merged(stream.answers)
    assert (told["batches"], told["rows"]) == (2, 20)
    assert {r["partition"] for r in told["ranges"]} == {"region=eu", "region=us", "region=asia"}
    partitions = [row["partition"] for row in action(client, "partition.list", {"table": table})]
    assert sorted(partitions) == ["region=asia", "region=eu", "region=us"]
    by = {}
    for (partition, _), ids in where(client, table).items():
        by.setdefault(partition, []).extend(ids)
    assert {p: sorted(ids) for p, ids in by.items()} == {
        "region=eu": [0, 2, 4, 6, 8, 10, 12, 14, 16, 18], "region=us": [1, 3, 5, 7, 9], "region=asia": [11, 13, 15, 17, 19]}


ODD = ["", " ", "a/b", "a=b", "..", "Größe", "100%", "it's", "__HIVE_DEFAULT_PARTITION__", "\u4e2d\u6587", "+", "~.-_", None]


def test_odd_partition_values(client, table):
    regional(client, table)
    put(client, table, pa.Table.from_batches([rows(0, 3 * len(ODD), ODD)]))
    found = where(client, table)
    assert len(found) == len(ODD)
    names = {partition for partition, _ in found}
    assert "region=__HIVE_DEFAULT_PARTITION__" in names and "region=" in names and "region=Gr%C3%B6%C3%9Fe" in names
    for (partition, _), ids in found.items():
        got = read(client, table, partition=partition)
        assert len(set(got["region"].to_pylist())) == 1
        assert got["region"][0].as_py() == ODD[ids[0] % len(ODD)], partition
        # A put to the partition's own path goes there, without the column.
        client_path = fl.FlightDescriptor.for_path("default", table, partition)
        writer, _ = client.do_put(client_path, pa.schema({"id": pa.int64(), "n": pa.int64()}))
        writer.write_table(pa.table({"id": pa.array([1000], pa.int64()), "n": pa.array([0], pa.int64())}))
        writer.close()
        assert read(client, table, partition=partition)["region"].to_pylist() == [ODD[ids[0] % len(ODD)]] * 4
    assert len(action(client, "partition.list", {"table": table})) == len(ODD)


def test_a_put_to_a_partition(client, table):
    regional(client, table)
    into = fl.FlightDescriptor.for_path("default", table, "region=eu")
    writer, _ = client.do_put(into, rows(0, 1).schema)
    writer.write_batch(rows(0, 5, ["eu"]))
    writer.close()
    with refused("SCHEMA_MISMATCH", "region=us", "region=eu", "rest: not appended"):
        writer, _ = client.do_put(into, rows(0, 1).schema)
        writer.write_batch(rows(0, 5))
        writer.close()
    with refused("BAD_NAME", "zone"):
        writer, _ = client.do_put(fl.FlightDescriptor.for_path("default", table, "zone=eu"), rows(0, 1).schema)
        writer.close()
    assert [row["partition"] for row in action(client, "partition.list", {"table": table})] == ["region=eu"]
    create(client, table + "_plain", ROWS)
    with refused("PARTITION_NOT_FOUND", "not partitioned"):
        writer, _ = client.do_put(fl.FlightDescriptor.for_path("default", table + "_plain", "region=eu"), rows(0, 1).schema)
        writer.close()


def test_a_put_command_to_a_partition(client, table):
    """The command's key does what a path of three parts does, and a numbered stream can have it."""
    regional(client, table)
    me = action(client, "writer.init")[0]
    command = {"put": table, "partition": "region=eu", **me, "sequence": 0}
    for _ in range(2):  # the second time all of it is a repeat
        writer, _ = client.do_put(fl.FlightDescriptor.for_command(json.dumps(command)), rows(0, 1).schema)
        writer.write_batch(rows(0, 5, ["eu"]))
        writer.close()
    assert read(client, table, partition="region=eu").num_rows == 5
    with refused("SCHEMA_MISMATCH", "region=us", "region=eu", "rest: not appended"):
        writer, _ = client.do_put(fl.FlightDescriptor.for_command(json.dumps({"put": table, "partition": "region=eu"})), rows(0, 1).schema)
        writer.write_batch(rows(0, 5, ["us"]))
        writer.close()


def test_partitions_that_writing_may_not_make(client, table):
    regional(client, table, options={"partition.create-on-write": "false"})
    action(client, "partition.create", {"table": table, "partition": "region=eu"})
    put(client, table, pa.Table.from_batches([rows(0, 5, ["eu"])]))
    with refused("PARTITION_NOT_FOUND", "region=us", "rest: not appended"):
        put(client, table, pa.Table.from_batches([rows(0, 5)]))
    assert read(client, table).num_rows == 5, "nothing of a batch is stored that has no place for one row"


def test_a_dropped_partition_is_empty_when_it_is_made_again(client, table):
    regional(client, table)
    put(client, table, pa.Table.from_batches([rows(0, 10)]))
    action(client, "partition.drop", {"table": table, "partition": "region=eu"})
    assert set(read(client, table)["region"].to_pylist()) == {"us"}
    put(client, table, pa.Table.from_batches([rows(10, 12)]))
    assert where(client, table)["region=eu", 0] == [10]


def test_many_partitions_by_one_batch(client, table):
    create(client, table, {"id": "int64"}, partition_by=["id"])
    put(client, table, pa.table({"id": pa.array(range(500), pa.int64())}))
    assert read(client, table).num_rows == 500
    assert len(action(client, "partition.list", {"table": table})) == 500


def init(client):
    return action(client, "writer.init", {})[0]["writer_id"]


def test_repeats_over_partitions_and_buckets(client, table):
    create(client, table, ROWS, partition_by=["region"], bucket_key=["id"], buckets=4)
    writer = init(client)
    batches = [rows(i * 50, i * 50 + 50, ["eu", "us", f"r{i}"]) for i in range(6)]
    for first in (0, 0, 2):  # the whole, the whole again, the end again
        with Put(client, command(put=table, writer_id=writer, sequence=first), batches[0].schema) as stream:
            for batch in batches[first:]:
                stream.write(batch)
        told = merged(stream.answers)
        assert (told["batches"], told["rows"], told["sequence"]) == (6 - first, 300 - 50 * first, 5)
    assert told["duplicates"] == 4
    found = where(client, table)
    assert sorted(id for ids in found.values() for id in ids) == list(range(300))
    described = {(row["partition"], row["bucket"]): row["sequence"]
                 for row in action(client, "writer.describe", {"table": table, "writer_id": writer})}
    assert set(described) == set(found)
    assert all(described[p, b] == max(ids) // 50 for (p, b), ids in found.items())


@pytest.fixture
def faulty(new_server):
    def start(*points):
        return new_server("faulty", binary=FAULT_BINARY, env={"QUIVER_FAULT": ",".join(points)})
    assert FAULT_BINARY.exists(), "make build-fault"
    return start


def settled(step, deadline=20):
    """Takes the step again while the server says that the same again may work."""
    end = time.monotonic() + deadline
    while True:
        try:
            return step()
        except fl.FlightUnavailableError:
            assert time.monotonic() < end


@pytest.mark.parametrize(("point", "expected"), [
    ("flight.put.before-next-bucket=error@5", "INTERNAL"),  # the fifth bucket refuses its part
    ("arrowlog.commit.before-write=error@5", "LEADER_NOT_AVAILABLE"),  # the disk fails one of the buckets
    ("arrowlog.commit.before-sync=error@5", "LEADER_NOT_AVAILABLE"),
])
@pytest.mark.parametrize("partitioned", [False, True])
def test_one_bucket_fails(faulty, point, expected, partitioned):
    """A batch of which only some buckets have their part is unknown, and a repeat gives the others what they lack."""
    server = faulty(point)
    with server.client() as client:
        keys = {"partition_by": ["region"]} if partitioned else {}
        create(client, "t", ROWS, bucket_key=["id"], buckets=BUCKETS, **keys)
        writer = init(client)
        batches = [rows(i * 200, i * 200 + 200) for i in range(4)]

        def send(first):
            stream = Put(client, command(put="t", writer_id=writer, sequence=first), batches[0].schema)
            for batch in batches[first:]:
                stream.write(batch)
            return merged(stream.close())

        with pytest.raises((pa.ArrowException, fl.FlightError)) as error:
            send(0)
        assert reason(error.value) == expected
        text = str(error.value)
        assert "rest: unknown" in text and (expected == "INTERNAL" or ", bucket " in text)
        stored = settled(lambda: sum(ends(client, "t").values()))
        assert 0 < stored <= 800
        told = settled(lambda: send(0))
        assert (told["batches"], told["rows"], told["sequence"]) == (4, 800, 3)
        found = where(client, "t")
        assert sorted(id for ids in found.values() for id in ids) == list(range(800))
        assert all(ids == sorted(ids) for ids in found.values())
        # All of it again is a repeat in every bucket.
        told = send(0)
        assert told["duplicates"] == 4 and read(client, "t").num_rows == 800


def test_killed_between_buckets(faulty):
    """The server dies with a batch half staged; the producer's retry after the restart stores each row once."""
    server = faulty("flight.put.before-next-bucket=kill@40")
    with server.client() as client:
        create(client, "t", ROWS, partition_by=["region"], bucket_key=["id"], buckets=BUCKETS)
        writer = init(client)

    def send(first):
        with server.client() as client:
            with Put(client, command(put="t", writer_id=writer, sequence=first), rows(0, 1).schema) as stream:
                for i in range(first, 5):
                    stream.write(rows(i * 100, i * 100 + 100))
            return merged(stream.answers)

    with pytest.raises((pa.ArrowException, fl.FlightError, OSError)):
        send(0)
    assert server.died(10)
    server.kill()
    server.env = {}
    server.start()
    assert settled(lambda: send(0))["sequence"] == 4
    with server.client() as client:
        assert sorted(id for ids in where(client, "t").values() for id in ids) == list(range(500))


def earliest(client, table):
    return {(row["partition"], row["bucket"]): row["offset"]
            for row in action(client, "log.offsets", {"table": table, "at": "earliest"})}


def ends(client, table):
    return {(row["partition"], row["bucket"]): row["offset"]
            for row in action(client, "log.offsets", {"table": table, "at": "latest"})}


def until(condition, deadline=30):
    end = time.monotonic() + deadline
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_quiet_tables_expire(client, table):
    create(client, table, ROWS, partition_by=["region"], bucket_key=["id"], buckets=2, options={"retention.time": "1s"})
    writer = init(client)
    put(client, table, pa.Table.from_batches([rows(0, 100)]), writer_id=writer, sequence=0)
    until(lambda: earliest(client, table) == ends(client, table))
    assert sum(ends(client, table).values()) == 100
    assert read(client, table).num_rows == 0
    # Offsets go on, and the writer is known: a repeat is one, although its rows are gone.
    put(client, table, pa.Table.from_batches([rows(0, 100)]), writer_id=writer, sequence=0)
    assert sum(ends(client, table).values()) == 100
    put(client, table, pa.Table.from_batches([rows(100, 110)]), writer_id=writer, sequence=1)
    assert sum(ends(client, table).values()) == 110


def test_retention_by_time_takes_old_rows_only(client, table):
    create(client, table, {"id": "int64"}, options={"retention.time": "2s", "segment.age": "1s"})
    one = pa.table({"id": pa.array([1], pa.int64())})
    end = time.monotonic() + 30
    n = 0
    while earliest(client, table)[None, 0] == 0:
        put(client, table, one)
        n += 1
        assert time.monotonic() < end
        time.sleep(0.05)
    got = read(client, table, system_columns=["__timestamp"])
    assert 0 < got.num_rows < n
    span = (got["__timestamp"][-1].as_py() - got["__timestamp"][0].as_py()).total_seconds()
    assert span < 5


def test_retention_by_bytes(client, table):
    create(client, table, {"id": "int64"}, options={"retention.time": "none", "retention.bytes": "256KiB", "segment.bytes": "64KiB"})
    chunk = pa.table({"id": pa.array(range(4000), pa.int64())})
    for _ in range(40):
        put(client, table, chunk)
    until(lambda: action(client, "table.stats", {"table": table})[-1]["bytes"] < 400_000)
    stats = action(client, "table.stats", {"table": table})[-1]
    assert stats["bytes"] > 250_000
    assert earliest(client, table)[None, 0] > 0 and ends(client, table)[None, 0] == 160_000


def test_retention_can_be_altered(client, table):
    create(client, table, {"id": "int64"})
    put(client, table, pa.table({"id": pa.array(range(10), pa.int64())}))
    action(client, "table.alter", {"table": table, "changes": [{"set": {"retention.time": "1s"}}]})
    until(lambda: earliest(client, table)[None, 0] == 10)


def test_buckets_that_nobody_opens_expire(new_server):
    server = new_server()
    with server.client() as client:
        create(client, "t", ROWS, bucket_key=["id"], buckets=BUCKETS, options={"retention.time": "3s"})
        put(client, "t", pa.Table.from_batches([rows(0, 1000)]))
    server.stop()
    server.start()
    logs = server.data / "log" / "1" / "0"

    def sizes():
        return [sum(file.stat().st_size for file in bucket.glob("*.arrows")) for bucket in logs.iterdir()]

    until(lambda: max(sizes()) < 1500)  # heads of empty segments, and no call has opened one
    with server.client() as client:
        assert earliest(client, "t") == ends(client, "t")
        assert sum(ends(client, "t").values()) == 1000


def test_old_producers_go_on_after_an_alter(client, table):
    """A stream that began before its table was altered goes on: by column id, and without a segment for each batch."""
    keyed(client, table)
    old = Put(client, table, rows(0, 1).schema)
    old.write(rows(0, 100)).flush(1)
    action(client, "table.alter", {"table": table, "changes": [
        {"drop": "region"}, {"add": {"name": "x", "type": "int32", "default": 5}}, {"rename": {"from": "n", "to": "m"}},
        {"widen": {"name": "x", "type": "int64"}}]})
    new = pa.record_batch({"id": pa.array(range(100, 200), pa.int64()), "m": pa.array(range(100), pa.int64()),
                           "x": pa.array(range(100), pa.int64())})
    fresh = Put(client, table, new.schema)
    for i in range(10):
        old.write(rows(200 + i * 10, 210 + i * 10)).flush(2 + i)
        fresh.write(new).flush(i)
    old.close()
    fresh.close()
    got = read(client, table).to_pandas()
    assert list(got.columns) == ["id", "m", "x"] and len(got) == 100 + 100 + 1000
    mine = got[(got.id < 100) | (got.id >= 200)]
    assert (mine.m == mine.id * 10).all() and (mine.x == 5).all()
    segments = action(client, "table.stats", {"table": table})[-1]["segments"]
    assert segments <= 2 * BUCKETS


def test_ten_thousand_buckets(client, table):
    began = time.monotonic()
    create(client, table, {"id": "int64"}, bucket_key=["id"], buckets=10_000)
    assert time.monotonic() - began < 20, "about a second on an idle machine"
    put(client, table, pa.table({"id": pa.array(range(50), pa.int64())}))
    assert read(client, table, bucket=json.loads("0")).num_rows <= 50
