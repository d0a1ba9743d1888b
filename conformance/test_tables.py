"""Databases, options, partitions, alterations and cursors, as pyarrow sees them."""

import datetime

import pyarrow as pa
import pytest

from conftest import action, create, ids, put, read, refused, schema_note


def describe(client, table):
    return action(client, "table.describe", {"table": table})[0]


def alter(client, table, *changes):
    return action(client, "table.alter", {"table": table, "changes": list(changes)})[0]


# Databases.


def test_the_life_of_a_database(client, table):
    made = action(client, "database.create", {"database": table, "comment": "all", "properties": {"owner": "sales"}})[0]
    assert made == {"database": table, "comment": "all", "properties": {"owner": "sales"}, "tables": 0, "created": made["created"]}
    with refused("DATABASE_EXISTS", table):
        action(client, "database.create", {"database": table})
    again = {"database": table, "comment": "other", "if_not_exists": True}
    assert action(client, "database.create", again)[0]["comment"] == "all"
    assert {"database": table, "comment": "all"} in action(client, "database.list")
    altered = action(client, "database.alter", {"database": table, "comment": "some", "set": {"team": "x"}, "reset": ["owner"]})[0]
    assert (altered["comment"], altered["properties"]) == ("some", {"team": "x"})

    name = f"{table}.orders"
    create(client, name, {"id": "int64"})
    writer, _ = client.do_put(pa.flight.FlightDescriptor.for_path(table, "orders"), ids(5).schema)
    with writer:
        writer.write_batch(ids(5))
    assert action(client, "database.describe", {"database": table})[0]["tables"] == 1
    with refused("BAD_COMMAND", "it has tables", "cascade"):
        action(client, "database.drop", {"database": table})
    assert action(client, "database.drop", {"database": table, "cascade": True}) == [{"dropped": True}]
    with refused("DATABASE_NOT_FOUND", table):
        read(client, name)
    with refused("DATABASE_NOT_FOUND", table):
        action(client, "database.drop", {"database": table})
    assert action(client, "database.drop", {"database": table, "if_exists": True}) == [{"dropped": False}]


def test_databases_that_cannot_be(client):
    with refused("BAD_COMMAND", "always exists"):
        action(client, "database.drop", {"database": "default", "cascade": True})
    with refused("BAD_NAME", "a b"):
        action(client, "database.create", {"database": "a b"})
    with refused("DATABASE_NOT_FOUND", "defualt", "default"):
        action(client, "database.describe", {"database": "defualt"})
    with refused("BAD_COMMAND", 'unknown key "coment"', 'did you mean "comment"'):
        action(client, "database.create", {"database": "x", "coment": "y"})


# Options.


def test_all_faults_of_options_at_once(client, table):
    options = {
        "retention.tim": "7d", "segment.bytes": "1KiB", "compression": "zip", "bucket.assignment": "round-robin",
        "statistics": "id,pirce", "partition.auto": "day", "tier": "true", "retention.time": "soon",
    }
    with refused("BAD_OPTION", 'no option "retention.tim", did you mean "retention.time"', "1KiB", '"zip" is none of',
                 "the bucket key decides", 'no column "pirce", did you mean "price"', "the table is not partitioned",
                 "option tier", '"soon" is no duration'):
        create(client, table, {"id": "int64", "price": "double"}, bucket_key=["id"], options=options)
    assert not [row for row in action(client, "table.list") if row["table"] == f"default.{table}"]


def test_options_are_set_and_reset(client, table):
    create(client, table, {"id": "int64"}, options={"retention.time": "3d", "retention.bytes": "1GiB"})
    altered = alter(client, table, {"set": {"segment.age": "2h", "statistics": "id"}}, {"reset": ["retention.time"]})
    assert altered["options"] == {"retention.bytes": "1GiB", "segment.age": "2h", "statistics": "id"}
    assert altered["schema_id"] == 1
    with refused("BAD_OPTION", "merge-engine", "when the table is created", '"segment.agee"'):
        alter(client, table, {"set": {"merge-engine": "first-row", "segment.agee": "1h"}})
    assert describe(client, table)["options"] == altered["options"]


# Partitions.


def test_partitions_by_hand(client, table):
    made = create(client, table, {"id": "int64", "dt": "date32", "region": "string"}, partition_by=["dt", "region"],
                  bucket_key=["id"], buckets=2)
    assert (made["partition_by"], made["bucket_key"], made["buckets"]) == (["dt", "region"], ["id"], 2)
    assert action(client, "partition.list", {"table": table}) == []
    first = action(client, "partition.create", {"table": table, "partition": "dt=2026-11-22/region=eu"})[0]
    assert first["partition"] == "dt=2026-11-22/region=eu" and first["partition_id"] > 0
    with refused("BAD_COMMAND", "it exists", "if_not_exists"):
        action(client, "partition.create", {"table": table, "partition": "region=%65u/dt=2026-11-22"})
    again = action(client, "partition.create", {"table": table, "partition": "dt=2026-11-22/region=eu", "if_not_exists": True})
    assert again == [first]
    odd = action(client, "partition.create", {"table": table, "partition": "dt=__HIVE_DEFAULT_PARTITION__/region=süd/ost"
                                              .replace("süd/ost", "süd%2Fost")})[0]
    assert odd["partition"] == "dt=__HIVE_DEFAULT_PARTITION__/region=s%C3%BCd%2Fost"
    assert action(client, "partition.list", {"table": table}) == [first, odd]
    assert action(client, "partition.drop", {"table": table, "partition": first["partition"]}) == [{"dropped": True}]
    with refused("PARTITION_NOT_FOUND", table, first["partition"]):
        action(client, "partition.drop", {"table": table, "partition": first["partition"]})
    assert action(client, "partition.drop", {"table": table, "partition": first["partition"], "if_exists": True}) == [{"dropped": False}]
    new = action(client, "partition.create", {"table": table, "partition": first["partition"]})[0]
    assert new["partition_id"] > first["partition_id"]


def test_partitions_that_cannot_be(client, table):
    create(client, table, {"id": "int64", "dt": "date32", "region": "string"}, partition_by=["dt", "region"])
    with refused("BAD_NAME", 'column "dt": "2026-13-01"', '"regoin" is no partition column, did you mean "region"', "write it as dt="):
        action(client, "partition.create", {"table": table, "partition": "dt=2026-13-01/regoin=eu"})
    create(client, table + "_plain", {"id": "int64"})
    with refused("PARTITION_NOT_FOUND", "not partitioned"):
        action(client, "partition.create", {"table": table + "_plain", "partition": "dt=2026-11-22"})
    with refused("BAD_COMMAND", 'no column "pricee", did you mean "price"', "price", "double"):
        create(client, table + "_bad", {"id": "int64", "price": "double"}, partition_by=["price"], bucket_key=["pricee"])


def test_partitions_by_writing(client, table):
    create(client, table, {"id": "int64", "dt": "date32", "n": "int32"}, partition_by=["dt", "n"])
    days = [datetime.date(2026, 11, 22), None, datetime.date(1969, 12, 31)]
    put(client, table, pa.table({"id": pa.array(range(6)), "dt": pa.array(days * 2, pa.date32()), "n": pa.array([-1, 2] * 3, pa.int32())}))
    names = {row["partition"] for row in action(client, "partition.list", {"table": table})}
    assert names == {f"dt={dt}/n={n}" for dt in ("2026-11-22", "__HIVE_DEFAULT_PARTITION__", "1969-12-31") for n in (-1, 2)}
    assert sorted(read(client, table)["id"].to_pylist()) == list(range(6))
    assert read(client, table, partition="n=-1/dt=1969-12-31")["id"].to_pylist() == [2]


def test_partitions_by_the_clock(client, table):
    create(client, table, {"id": "int64", "dt": "date32"}, partition_by=["dt"], options={"partition.auto": "day", "partition.retain": "1"})
    today = datetime.datetime.now(datetime.timezone.utc).date()
    names = [row["partition"] for row in action(client, "partition.list", {"table": table})]
    assert len(names) == 2 and names[0] in {f"dt={today}", f"dt={today + datetime.timedelta(1)}"}
    old = today - datetime.timedelta(30)
    with refused("PARTITION_NOT_FOUND", f"dt={old}", "partition.retain"):
        put(client, table, pa.table({"id": pa.array([1]), "dt": pa.array([old], pa.date32())}))


# Alterations.


def test_columns_come_and_go(client, table):
    create(client, table, {"id": "int64", "a": "int32", "b": "string"})
    put(client, table, pa.table({"id": pa.array([1]), "a": pa.array([10], pa.int32()), "b": ["x"]}))
    altered = alter(
        client, table,
        {"add": {"name": "n", "type": "int32", "nullable": False, "default": 7, "after": "id"}},
        {"drop": "b"}, {"add": {"name": "b", "type": "string"}}, {"rename": {"from": "a", "to": "c"}},
        {"widen": {"name": "c", "type": "int64"}}, {"move": {"name": "c", "first": True}})
    assert altered["schema_id"] == 2
    assert [(c["id"], c["name"], c["type"], c["nullable"], c["default"]) for c in altered["columns"]] == [
        (2, "c", "int64", True, None), (1, "id", "int64", True, None), (4, "n", "int32", False, 7), (5, "b", "string", True, None)]
    assert describe(client, table) == altered
    put(client, table, pa.table({"id": pa.array([2]), "b": ["y"], "c": pa.array([2**40])}))
    rows = read(client, table)
    assert rows.schema.names == ["c", "id", "n", "b"]
    assert rows.to_pylist() == [{"c": 10, "id": 1, "n": 7, "b": None}, {"c": 2**40, "id": 2, "n": 7, "b": "y"}]


def test_nested_columns_change(client, table):
    point = pa.struct([("x", pa.int32()), ("y", pa.list_(pa.int8()))])
    create(client, table, pa.schema([("id", pa.int64()), ("p", point)]))
    put(client, table, pa.table({"id": pa.array([1]), "p": pa.array([{"x": 1, "y": [2, None]}], point)}))
    altered = alter(client, table, {"add": {"name": "p.z", "type": "string", "first": True}}, {"rename": {"from": "p.x", "to": "w"}},
                    {"widen": {"name": "p.y.item", "type": "int64"}})
    assert altered["columns"][1]["type"] == "struct<z: string, w: int32, y: list<item: int64>>"
    assert read(client, table)["p"].to_pylist() == [{"z": None, "w": 1, "y": [2, None]}]


def test_an_alteration_is_all_or_nothing(client, table):
    create(client, table, {"id": "int64", "a": "int32"}, bucket_key=["id"])
    before = describe(client, table)
    with refused("BAD_COMMAND", 'changes[1]: drop: column "id" is in the bucket key', 'changes[2]: rename: there is no column "b"',
                 'changes[3]: widen: column "a": int8 does not hold every value of int32', "changes[4]", "needs a default",
                 'option "segment.agee"'):
        alter(client, table, {"add": {"name": "ok", "type": "int8"}}, {"drop": "id"}, {"rename": {"from": "b", "to": "c"}},
              {"widen": {"name": "a", "type": "int8"}}, {"add": {"name": "r", "type": "int8", "nullable": False}},
              {"set": {"segment.agee": "1h"}})
    with refused("BAD_COMMAND", 'unknown key "adds" in changes[0]', 'did you mean "add"'):
        alter(client, table, {"adds": {"name": "x", "type": "int8"}})
    with refused("BAD_COMMAND", "changes"):
        alter(client, table)
    with refused("TABLE_NOT_FOUND", f"{table}x"):
        alter(client, table + "x", {"drop": "a"})
    assert describe(client, table) == before


def test_alterations_outlive_the_server(new_server):
    server = new_server()
    with server.client() as client:
        create(client, "t", {"id": "int64", "dt": "date32"}, partition_by=["dt"])
        put(client, "t", pa.table({"id": pa.array([1]), "dt": pa.array([datetime.date(2026, 11, 22)])}))
        altered = alter(client, "t", {"rename": {"from": "dt", "to": "day"}}, {"add": {"name": "x", "type": "int8", "default": 3}},
                        {"comment": "kept"})
        action(client, "cursor.commit", {"cursor": "job", "table": "t", "offsets": {"day=2026-11-22": {"0": 1}}})
        action(client, "database.create", {"database": "shop"})
        partitions = action(client, "partition.list", {"table": "t"})
        assert [p["partition"] for p in partitions] == ["day=2026-11-22"]
        cursors = action(client, "cursor.list", {"table": "t"})
    server.kill()
    server.start()
    with server.client() as client:
        assert describe(client, "t") == altered and altered["comment"] == "kept"
        assert action(client, "partition.list", {"table": "t"}) == partitions
        assert action(client, "cursor.list", {"table": "t"}) == cursors
        assert [d["database"] for d in action(client, "database.list")] == ["default", "shop"]
        assert read(client, "t").to_pylist() == [{"id": 1, "day": datetime.date(2026, 11, 22), "x": 3}]


# Cursors.


def commit(client, table, offsets, **keys):
    return action(client, "cursor.commit", {"cursor": "job", "table": table, "offsets": offsets, **keys})[0]


def test_a_cursor_remembers(client, table):
    create(client, table, {"id": "int64"})
    put(client, table, pa.Table.from_batches([ids(100)]))
    with refused("CURSOR_NOT_FOUND", "job", table):
        read(client, table, **{"from": {"cursor": "job"}})
    first = read(client, table, until={"offsets": {"0": 40}})
    row = commit(client, table, schema_note(first)["until"])
    assert row["offsets"] == {"0": 40} and row["table"] == f"default.{table}"
    rest = read(client, table, **{"from": {"cursor": "job"}})
    assert rest["id"].to_pylist() == list(range(40, 100))
    listed = action(client, "cursor.list", {"table": table})
    assert [(c["cursor"], c["offsets"], c["lag_rows"]) for c in listed] == [("job", {"0": 40}, 60)]
    assert 0 <= listed[0]["lag_seconds"] < 600
    commit(client, table, {"offsets": {"0": 100}})
    listed = action(client, "cursor.list", {"table": table, "cursor": "job"})[0]
    assert (listed["lag_rows"], listed["lag_seconds"]) == (0, 0)
    reset = action(client, "cursor.reset", {"cursor": "job", "table": table, "to": "earliest"})[0]
    assert reset["offsets"] == {"0": 0}
    assert len(read(client, table, **{"from": {"cursor": "job"}})) == 100
    action(client, "table.drop", {"table": table})
    create(client, table, {"id": "int64"})
    assert action(client, "cursor.list", {"table": table}) == []


def test_a_commit_with_an_expectation(client, table):
    create(client, table, {"id": "int64"}, buckets=2)
    put(client, table, pa.Table.from_batches([ids(10)]), bucket=0)
    put(client, table, pa.Table.from_batches([ids(10)]), bucket=1)
    commit(client, table, {"0": 4}, expect={})
    with refused("CONDITION_FAILED", "job", "bucket 0", "it stands at 4"):
        commit(client, table, {"0": 5}, expect={})
    with refused("CONDITION_FAILED", "it stands at 4, not at 3"):
        commit(client, table, {"0": 5}, expect={"0": 3})
    assert commit(client, table, {"0": 5, "1": 2}, expect={"0": 4, "1": 0})["offsets"] == {"0": 5, "1": 2}
    assert commit(client, table, {"1": 3})["offsets"] == {"0": 5, "1": 3}
    assert action(client, "cursor.list", {"table": table})[0]["lag_rows"] == 12


def test_cursors_that_cannot_be(client, table):
    create(client, table, {"id": "int64"})
    with refused("OFFSET_OUT_OF_RANGE", "offset 1 is above the latest"):
        commit(client, table, {"0": 1})
    with refused("BUCKET_NOT_FOUND", "bucket 7"):
        commit(client, table, {"7": 0})
    with refused("CURSOR_NOT_FOUND", "job"):
        action(client, "cursor.reset", {"cursor": "job", "table": table, "to": "now"})
    with refused("BAD_COMMAND", "offsets"):
        action(client, "cursor.commit", {"cursor": "job", "table": table})
    with refused("TABLE_RECREATED"):
        commit(client, table, {"0": 0}, table_id=999_999)
    assert action(client, "cursor.list", {"table": table}) == []


def test_a_cursor_over_partitions(client, table):
    create(client, table, {"id": "int64", "k": "string"}, partition_by=["k"])
    put(client, table, pa.table({"id": pa.array(range(10)), "k": ["a", "b"] * 5}))
    vector = schema_note(read(client, table))["until"]
    commit(client, table, vector)
    put(client, table, pa.table({"id": pa.array([10, 11]), "k": ["a", "c"]}))
    assert sorted(read(client, table, **{"from": {"cursor": "job"}})["id"].to_pylist()) == [10, 11]
    assert action(client, "cursor.list", {"table": table})[0]["lag_rows"] == 2
    action(client, "partition.drop", {"table": table, "partition": "k=a"})
    listed = action(client, "cursor.list", {"table": table})[0]
    assert list(listed["offsets"]) == ["k=b"] and listed["lag_rows"] == 1
    put(client, table, pa.table({"id": pa.array([12]), "k": ["a"]}))
    assert sorted(read(client, table, **{"from": {"cursor": "job"}})["id"].to_pylist()) == [11, 12]
    commit(client, table, vector)
    assert list(action(client, "cursor.list", {"table": table})[0]["offsets"]) == ["k=b"]


# Many.


@pytest.mark.parametrize("buckets", [10_000])
def test_ten_thousand_buckets(client, table, buckets):
    assert create(client, table, {"id": "int64"}, buckets=buckets, bucket_key=["id"])["buckets"] == buckets
    put(client, table, pa.Table.from_batches([ids(100)]))
    assert len(read(client, table)) == 100


def test_a_cursor_follows_a_renamed_column(client, table):
    create(client, table, {"id": "int64", "k": "string"}, partition_by=["k"])
    put(client, table, pa.table({"id": pa.array(range(10)), "k": ["a", "b"] * 5}))
    vector = schema_note(read(client, table))["until"]
    commit(client, table, vector)
    alter(client, table, {"rename": {"from": "k", "to": "key"}})
    assert len(read(client, table, **{"from": {"cursor": "job"}})) == 0
    assert len(read(client, table, **{"from": vector})) == 0
    rows = read(client, table, partition="key=a", system_columns=["__partition"])
    assert set(rows["__partition"].to_pylist()) == {"key=a"} and set(rows["key"].to_pylist()) == {"a"}
