"""Partitions as a reader meets them: plans, positions, followers that see them come and go."""

import json

import pyarrow as pa
import pyarrow.flight as fl
import pytest

from conftest import action, chunks, command, create, notes, path, put, read, refused, schema_note, ticket

COLUMNS = {"dt": "date32", "region": "string", "n": "int64"}


def rows(*triples):
    """Rows of (day of November 2026, region, n)."""
    return pa.table({
        "dt": pa.array([None if d is None else 20757 + d for d, _, _ in triples], pa.int32()).cast(pa.date32()),
        "region": pa.array([r for _, r, _ in triples], pa.string()),
        "n": pa.array([n for _, _, n in triples], pa.int64())})


def name(day, region):
    return f"dt=2026-11-{day:02}/region={region}"


@pytest.fixture
def events(client, table):
    """A table by day and region, of two buckets each, with four rows in three partitions."""
    create(client, table, COLUMNS, partition_by=["dt", "region"], buckets=2)
    put(client, table, rows((1, "eu", 1), (2, "eu", 2), (1, "us", 3), (1, "eu", 4)))
    return table


def partitions(client, table):
    return {row["partition"]: row["partition_id"] for row in action(client, "partition.list", {"table": table})}


def by_partition(data):
    return sorted(zip(data["__partition"].to_pylist(), data["n"].to_pylist()))


EVERYTHING = [(name(1, "eu"), 1), (name(1, "eu"), 4), (name(1, "us"), 3), (name(2, "eu"), 2)]


def test_rows_lie_in_the_partition_of_their_columns(client, events):
    assert by_partition(read(client, events, system_columns=["__partition"])) == EVERYTHING
    told = notes(client, events)
    assert {note["partition"] for _, note in told} == set(partitions(client, events)) == {p for p, _ in EVERYTHING}
    assert sum(count for count, _ in told) == 4


def test_one_partition(client, events):
    by_key = read(client, events, partition=name(1, "eu"))
    by_path = client.do_get(client.get_flight_info(
        fl.FlightDescriptor.for_path("default", events, name(1, "eu"))).endpoints[0].ticket).read_all()
    assert sorted(by_key["n"].to_pylist()) == [1, 4]
    assert set(by_path["n"].to_pylist()) <= {1, 4}
    # Names are compared decoded, and the columns may stand in any order.
    assert sorted(read(client, events, partition="region=%65u/dt=2026-11-01")["n"].to_pylist()) == [1, 4]
    with refused("PARTITION_NOT_FOUND", "dt=2026-11-03/region=eu", events):
        read(client, events, partition=name(3, "eu"))
    with refused("BAD_NAME", "region"):
        read(client, events, partition="dt=2026-11-01")


def test_partitions_of_a_table_without(client, table):
    create(client, table, {"n": "int64"})
    for keys in ({"partition": "dt=2026-11-01"}, {"from": {"offsets": {"dt=2026-11-01": {"0": 1}}}},
                 {"until": {"offsets": {"dt=2026-11-01": {"id": 3, "0": 1}}}}):
        with refused("PARTITION_NOT_FOUND", "not partitioned", table):
            read(client, table, **keys)
    assert read(client, table, columns=["__partition"]).num_rows == 0
    put(client, table, pa.table({"n": [1]}))
    assert read(client, table, columns=["__partition"])["__partition"].to_pylist() == [""]


def test_a_plan_has_an_endpoint_for_each_bucket_of_each_partition(client, events):
    info = client.get_flight_info(path(events))
    assert info.total_records == 4 and len(info.endpoints) == 6
    ids = partitions(client, events)
    seen = []
    for endpoint in info.endpoints:
        planned = json.loads(endpoint.ticket.ticket)
        (partition, offsets), = planned["from"]["offsets"].items()
        assert planned["partition"] == partition and offsets["id"] == ids[partition]
        (r,) = json.loads(endpoint.app_metadata)["ranges"]
        assert (r["partition"], r["bucket"]) == (partition, planned["bucket"])
        data = client.do_get(endpoint.ticket).read_all()
        assert data.num_rows == r["until"] - r["from"]
        seen += data["n"].to_pylist()
    assert sorted(seen) == [1, 2, 3, 4]
    assert len(client.get_flight_info(command(table=events, limit=1)).endpoints) == 1
    one = client.get_flight_info(command(table=events, partition=name(1, "eu"), bucket=0))
    assert len(one.endpoints) == 1 and one.ordered
    # What is put later is not in a plan that was made before.
    put(client, events, rows((1, "eu", 5), (3, "eu", 6)))
    assert sorted(n for e in info.endpoints for n in client.do_get(e.ticket).read_all()["n"].to_pylist()) == [1, 2, 3, 4]


def test_the_next_run_begins_where_the_last_one_ended(client, events):
    note = schema_note(read(client, events))
    ids = partitions(client, events)
    assert {p: o["id"] for p, o in note["until"]["offsets"].items()} == ids
    assert all(set(o) == {"id", "0", "1"} for o in note["until"]["offsets"].values())
    put(client, events, rows((1, "us", 5), (9, "eu", 6)))
    # A partition that the vector does not name is read from its first row.
    assert sorted(read(client, events, **{"from": note["until"]})["n"].to_pylist()) == [5, 6]
    assert read(client, events, **{"from": note["until"]}, until=note["until"]).num_rows == 0


def test_vectors_of_partitions_that_are_gone_or_came_back(client, events):
    until = schema_note(read(client, events))["until"]
    action(client, "partition.drop", {"table": events, "partition": name(1, "eu")})
    action(client, "partition.drop", {"table": events, "partition": name(2, "eu")})
    assert read(client, events, **{"from": until}).num_rows == 0
    put(client, events, rows((1, "eu", 7)))
    # It bears the name of one that was dropped, and is another one: it is read from its first row.
    assert read(client, events, **{"from": until})["n"].to_pylist() == [7]
    assert read(client, events, until=until)["n"].to_pylist() == [3]
    # By name alone whichever bears it is meant; one that nobody bears is a mistake.
    by_name = {"offsets": {name(1, "eu"): {k: 0 for k in "01"}}}
    assert sorted(read(client, events, **{"from": by_name})["n"].to_pylist()) == [3, 7]
    with refused("PARTITION_NOT_FOUND", name(2, "eu")):
        read(client, events, **{"from": {"offsets": {name(2, "eu"): {"0": 0}}}})
    with refused("BAD_COMMAND", "within their partition"):
        read(client, events, **{"from": {"offsets": {"0": 1}}})
    with refused("BUCKET_NOT_FOUND", "2"):
        read(client, events, **{"from": {"offsets": {name(1, "us"): {"2": 0}}}})


def follow(client, table, **keys):
    return chunks(client.do_get(ticket(table, follow=True, **keys)))


def some(stream, count):
    """The next rows of a follower as (partition, n), so many of them."""
    out = []
    while len(out) < count:
        data, note = next(stream)
        out += [(note["partition"], n) for n in data["n"].to_pylist()]
    return sorted(out)


def test_new_partitions_join_a_follower(client, server, events):
    with server.client() as other:
        stream = follow(other, events, **{"from": "now"})
        data, note = next(stream)  # it lives, and has begun
        assert data.num_rows == 0 and note["idle"]
        put(client, events, rows((5, "eu", 10)))
        put(client, events, rows((5, "eu", 11), (1, "eu", 12)))
        assert some(stream, 3) == [(name(1, "eu"), 12), (name(5, "eu"), 10), (name(5, "eu"), 11)]
        put(client, events, rows((6, None, 13)))
        assert some(stream, 1) == [("dt=2026-11-06/region=__HIVE_DEFAULT_PARTITION__", 13)]


def test_a_follower_of_a_table_without_partitions(client, server, table):
    create(client, table, COLUMNS, partition_by=["dt", "region"])
    with server.client() as other:
        stream = follow(other, table)
        data, note = next(stream)
        assert data.num_rows == 0 and note["idle"] and note["bucket"] is None and note["partition"] is None
        put(client, table, rows((1, "eu", 1)))
        assert some(stream, 1) == [(name(1, "eu"), 1)]


def test_dropped_partitions_leave_a_follower(client, server, events):
    with server.client() as other:
        stream = follow(other, events)
        assert some(stream, 4) == EVERYTHING
        action(client, "partition.drop", {"table": events, "partition": name(1, "eu")})
        put(client, events, rows((2, "eu", 20)))
        assert some(stream, 1) == [(name(2, "eu"), 20)]
        put(client, events, rows((1, "eu", 21)))  # the name is back, on another partition
        assert some(stream, 1) == [(name(1, "eu"), 21)]


def test_a_follower_of_one_partition_ends_with_it(client, server, events):
    with server.client() as other:
        stream = follow(other, events, partition=name(1, "eu"))
        assert some(stream, 2) == [(name(1, "eu"), 1), (name(1, "eu"), 4)]
        action(client, "partition.drop", {"table": events, "partition": name(1, "eu")})
        with refused("PARTITION_NOT_FOUND", name(1, "eu")):
            for _ in stream:
                pass


def test_a_follower_with_an_end_ends_without_newcomers(client, server, events):
    until = schema_note(read(client, events))["until"]
    with server.client() as other:
        assert sorted(n for data, _ in follow(other, events, until=until) for n in data["n"].to_pylist()) == [1, 2, 3, 4]
        stream = follow(other, events, limit=5)
        assert some(stream, 4) == EVERYTHING
        put(client, events, rows((7, "eu", 30)))
        assert some(stream, 1) == [(name(7, "eu"), 30)]
        assert list(stream) == []


def test_actions_on_logs(client, events):
    rows_of = action(client, "log.offsets", {"table": events, "at": "latest"})
    assert [(r["partition"], r["bucket"]) for r in rows_of] == [(p, b) for p in sorted(partitions(client, events)) for b in (0, 1)]
    assert sum(r["offset"] for r in rows_of) == 4
    stats = action(client, "table.stats", {"table": events})
    assert stats[-1]["total"] and stats[-1]["rows"] == 4 and len(stats) == 7
    assert {(r["partition"], r["rows"]) for r in stats[:-1] if r["rows"]} == {(name(1, "eu"), 2), (name(1, "us"), 1), (name(2, "eu"), 1)}
    until = schema_note(read(client, events))["until"]
    assert action(client, "log.wait", {"table": events, "offsets": until, "timeout_ms": 1}) == []
    put(client, events, rows((8, "eu", 40)))
    (news,) = action(client, "log.wait", {"table": events, "offsets": until})
    assert (news["partition"], news["from"], news["until"]) == (name(8, "eu"), 0, 1)
    gone = {r["partition"]: r for r in rows_of if r["offset"]}[name(1, "eu")]
    answer = action(client, "log.delete-before", {"table": events, "offsets": {
        gone["partition"]: {str(gone["bucket"]): gone["offset"]}}})
    assert {(r["partition"], r["bucket"]): r["offset"] for r in answer}[gone["partition"], gone["bucket"]] == gone["offset"]
    assert sorted(read(client, events)["n"].to_pylist()) == [2, 3, 40] or gone["offset"] == 1


def test_a_filter_reads_only_the_partitions_that_may_match(client, server, events):
    before = counters(server)
    assert sorted(read(client, events, filter="dt = '2026-11-01' and region = 'eu'")["n"].to_pylist()) == [1, 4]
    assert sorted(read(client, events, filter=f"__partition = '{name(1, 'us')}'")["n"].to_pylist()) == [3]
    assert read(client, events, filter="dt > '2026-12-01'").num_rows == 0
    batches = counters(server)["quiver_scan_batches_read_total"] - before["quiver_scan_batches_read_total"]
    assert batches <= 3


def counters(server):
    lines = server.get("/metrics")[1].decode().splitlines()
    return {line.split()[0]: float(line.split()[1]) for line in lines if line and line[0] != "#" and "{" not in line}


def test_a_cursor_over_partitions(client, events):
    note = schema_note(read(client, events))
    action(client, "cursor.commit", {"cursor": "job1", "table": events, "offsets": note["until"]})
    assert read(client, events, **{"from": {"cursor": "job1"}}).num_rows == 0
    put(client, events, rows((1, "eu", 50), (9, "us", 51)))
    assert sorted(read(client, events, **{"from": {"cursor": "job1"}})["n"].to_pylist()) == [50, 51]
    action(client, "partition.drop", {"table": events, "partition": name(2, "eu")})
    assert sorted(read(client, events, **{"from": {"cursor": "job1"}})["n"].to_pylist()) == [50, 51]
    with refused("CURSOR_NOT_FOUND", "job2"):
        read(client, events, **{"from": {"cursor": "job2"}})
