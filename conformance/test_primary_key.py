"""Primary-key tables from pyarrow: upserts, deletes, lookups, changelogs and current rows."""

import base64
import collections
import datetime
import decimal
import json
import os
import re
import threading

import pyarrow as pa
import pyarrow.flight as fl
import pytest

from conftest import Put, action, chunks, command, create, latest, path, put, read, reason, refused, schema_note, ticket

KV = pa.schema([pa.field("k", pa.int64(), False), pa.field("v", pa.int64()), pa.field("s", pa.string())])


def rows(*values, schema=KV):
    """A table of tuples."""
    columns = list(zip(*values)) or [[]] * len(schema)
    return pa.table([pa.array(list(c), f.type) for c, f in zip(columns, schema)], schema=schema)


def keyed(client, table, schema=KV, key=("k",), **keys):
    return create(client, table, schema, primary_key=list(key), **keys)


def current(client, table, **keys):
    """All rows as they are, by key order, as tuples."""
    return [tuple(r.values()) for r in read(client, table, order="key", **keys).to_pylist()]


def log(client, table, **keys):
    """The changelog: (change type, the row's values)."""
    got = read(client, table, read="log", **keys)
    return [(r["__change_type"], *[v for n, v in r.items() if n != "__change_type"]) for r in got.to_pylist()]


def delete(client, table, *keys, name="k", type=pa.int64()):
    put(client, table, pa.table({name: pa.array(keys, type)}), op="delete")


class Lookup:
    """One DoExchange that looks keys up."""

    def __init__(self, client, table, schema, **keys):
        self.writer, self.reader = client.do_exchange(command(lookup=table, **keys))
        self.writer.begin(schema)

    def send(self, batch):
        self.writer.write_batch(batch)

    def answer(self):
        """All batches of the next answer as one table, with its request number."""
        batches = []
        while True:
            chunk = self.reader.read_chunk()
            note = json.loads(chunk.app_metadata.to_pybytes())
            batches.append(chunk.data)
            if note["last"]:
                return note["request"], pa.Table.from_batches(batches)

    def ask(self, batch):
        self.send(batch)
        return self.answer()[1]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.writer.close()


def keys(*values, name="k", type=pa.int64()):
    return pa.record_batch({name: pa.array(values, type)})


def find(client, table, batch, **options):
    """One lookup by DoExchange."""
    with Lookup(client, table, batch.schema, **options) as lookup:
        return lookup.ask(batch)


# Upserts, deletes, change types.


def test_upsert_delete_changelog(client, table):
    keyed(client, table)
    put(client, table, rows((1, 10, "a"), (2, 20, "b")))
    put(client, table, rows((2, 21, "b"), (3, 30, None)))
    delete(client, table, 1, 99)
    assert current(client, table) == [(2, 21, "b"), (3, 30, None)]
    assert log(client, table) == [
        ("+I", 1, 10, "a"), ("+I", 2, 20, "b"), ("-U", 2, 20, "b"), ("+U", 2, 21, "b"), ("+I", 3, 30, None), ("-D", 1, 10, "a")]
    got = read(client, table, read="log", system_columns=["__offset"])
    assert got.schema.names == ["k", "v", "s", "__change_type", "__offset"]
    assert got.schema.field("__change_type").type == pa.dictionary(pa.int8(), pa.string())
    assert got["__offset"].to_pylist() == list(range(6))
    assert action(client, "table.stats", {"table": table})[-1]["rows"] == 2


def test_several_rows_of_one_key(client, table):
    keyed(client, table)
    put(client, table, rows((1, 1, "a"), (1, 2, "b"), (2, 5, None), (1, 2, "b"), (1, 3, "c")))
    assert log(client, table) == [("+I", 1, 1, "a"), ("-U", 1, 1, "a"), ("+U", 1, 2, "b"), ("+I", 2, 5, None),
                                  ("-U", 1, 2, "b"), ("+U", 1, 3, "c")]
    assert current(client, table) == [(1, 3, "c"), (2, 5, None)]


@pytest.mark.parametrize("layout", [pa.string(), pa.large_string(), pa.dictionary(pa.int8(), pa.string())], ids=str)
def test_change_type_per_row(client, table, layout):
    keyed(client, table)
    words = ["+I", "+U", "-U", "+I", "-D", "-D"]
    data = rows((1, 1, "a"), (1, 2, "b"), (1, 9, "x"), (2, 1, "a"), (2, 0, "whatever"), (7, 0, None))
    put(client, table, data.append_column("__change_type", pa.array(words).cast(layout)))
    assert current(client, table) == [(1, 2, "b")]
    assert log(client, table) == [("+I", 1, 1, "a"), ("-U", 1, 1, "a"), ("+U", 1, 2, "b"), ("+I", 2, 1, "a"), ("-D", 2, 1, "a")]


def test_changelog_replayed_elsewhere(client, table):
    """A changelog as it was read is put into another table, which then has the same rows."""
    keyed(client, table, buckets=3)
    keyed(client, table + "_copy", buckets=2)
    for i in range(5):
        put(client, table, rows(*[(k, i * k % 7, str(i)) for k in range(10 * i, 10 * i + 20)]))
    delete(client, table, *range(0, 60, 3))
    changes = read(client, table, read="log")
    put(client, table + "_copy", changes)
    assert current(client, table + "_copy") == current(client, table)


def test_op_per_batch(client, table):
    keyed(client, table)
    with Put(client, command(put=table), KV) as stream:
        for op, row in (("upsert", (1, 1, "a")), ("upsert", (2, 2, "b")), ("delete", (1, None, None))):
            stream.write(rows(row).to_batches()[0], op=op)
        stream.write(rows((2, 9, "zz")).to_batches()[0], columns=["v"])
    assert current(client, table) == [(2, 9, "b")]


def test_partial_update(client, table):
    keyed(client, table)
    put(client, table, rows((1, 1, "a")))
    only = pa.schema([pa.field("k", pa.int64()), pa.field("v", pa.int64())])
    put(client, table, rows((1, 5), (2, 6), schema=only), columns=["k", "v"])
    put(client, table, rows((1, 7), schema=only), columns=["v"])
    assert current(client, table) == [(1, 7, "a"), (2, 6, None)]
    put(client, table, rows((1, None), schema=only), columns=["v"])
    assert current(client, table) == [(1, None, "a"), (2, 6, None)]
    put(client, table, rows((1, 8), schema=only))  # a whole row: what is not sent takes its default
    assert current(client, table) == [(1, 8, None), (2, 6, None)]


def test_partial_delete(client, table):
    keyed(client, table)
    put(client, table, rows((1, 1, "a"), (2, 2, "b")))
    put(client, table, rows((1, None, None), (3, None, None)), op="delete", columns=["v"])
    assert current(client, table) == [(1, None, "a"), (2, 2, "b")]
    put(client, table, rows((1, None, None)), op="delete", columns=["s"])
    assert current(client, table) == [(2, 2, "b")]
    assert log(client, table)[2:] == [("-U", 1, 1, "a"), ("+U", 1, None, "a"), ("-D", 1, None, "a")]


def test_partial_delete_by_keys(client, table):
    """A delete of some columns needs their names only, not their values."""
    keyed(client, table)
    put(client, table, rows((1, 1, "a"), (2, 2, None)))
    only = pa.table({"k": pa.array([1, 2, 3], pa.int64())})
    put(client, table, only, op="delete", columns=["v"])
    assert current(client, table) == [(1, None, "a")]  # of 2 nothing was left
    with refused("BAD_COMMAND", "columns"):
        put(client, table, only, op="delete", columns=[])
    put(client, table, only, op="delete", columns=["v", "s"])
    assert current(client, table) == []


def test_no_columns(client, table):
    """A list without columns is one: keys are inserted, and nothing changes of those that are there."""
    keyed(client, table)
    put(client, table, rows((1, 1, "a")))
    put(client, table, rows((1, 9, "z"), (2, 9, "z")), columns=[])
    assert current(client, table) == [(1, 1, "a"), (2, None, None)]


def test_deletes_by_change_type_need_keys_only(client, table):
    schema = pa.schema([pa.field("k", pa.int64(), False), pa.field("need", pa.int64(), False)])
    keyed(client, table, schema)
    put(client, table, rows((1, 1), (2, 2), schema=schema))
    gone = pa.table({"k": pa.array([1], pa.int64()), "__change_type": ["-D"]})
    put(client, table, gone, op="delete")
    assert current(client, table) == [(2, 2)]
    with refused("SCHEMA_MISMATCH", "need"):
        put(client, table, gone.set_column(1, "__change_type", pa.array(["+I"])), op="delete")
    assert current(client, table) == [(2, 2)]


def test_required_columns_stay_required(client, table):
    schema = pa.schema([pa.field("k", pa.int64(), False), pa.field("need", pa.int64(), False), pa.field("s", pa.string())])
    keyed(client, table, schema)
    put(client, table, rows((1, 1, "a"), schema=schema))
    only = pa.schema([pa.field("k", pa.int64()), pa.field("s", pa.string())])
    with refused("SCHEMA_MISMATCH", "need"):
        put(client, table, rows((2, "b"), schema=only), columns=["s"])
    with refused("SCHEMA_MISMATCH", "need"):
        put(client, table, rows((1, "b"), schema=only))
    with refused("SCHEMA_MISMATCH", "need"):  # a delete of it would leave null
        put(client, table, rows((1, 1, "a"), schema=schema), op="delete", columns=["need"])
    assert current(client, table) == [(1, 1, "a")]


# Keys and values of all types.

UTC = datetime.timezone.utc
KEYS = {
    "bool": (pa.bool_(), [False, True]),
    **{f"int{n}": (getattr(pa, f"int{n}")(), [-(2 ** (n - 1)), -1, 0, 1, 2 ** (n - 1) - 1]) for n in (8, 16, 32, 64)},
    **{f"uint{n}": (getattr(pa, f"uint{n}")(), [0, 1, 2 ** (n - 1), 2**n - 1]) for n in (8, 16, 32, 64)},
    "string": (pa.string(), ["", "\0", "\0\0", "a", "a\0", "a\0b", "aa", "ä", "€", "😀"]),
    "large_string": (pa.large_string(), ["", "a", "z" * 3000]),
    "binary": (pa.binary(), [b"", b"\0", b"\0\xff", b"\x01", b"\xff", b"\xff\xff"]),
    "decimal": (pa.decimal128(12, 2), [decimal.Decimal(x) for x in ("-9999999999.99", "-0.01", "0.00", "0.01", "12.50")]),
    "decimal256": (pa.decimal256(50, 3), [decimal.Decimal(x) for x in ("-1" + "0" * 40 + ".125", "0.000", "7.001")]),
    "date32": (pa.date32(), [datetime.date(1969, 12, 31), datetime.date(1970, 1, 1), datetime.date(2026, 11, 27)]),
    "date64": (pa.date64(), [datetime.date(1969, 12, 31), datetime.date(2026, 11, 27)]),
    "time": (pa.time64("us"), [datetime.time(0), datetime.time(23, 59, 59, 999999)]),
    "time32": (pa.time32("s"), [datetime.time(0), datetime.time(23, 59, 59)]),
    "timestamp": (pa.timestamp("us"), [datetime.datetime(1960, 1, 1), datetime.datetime(1970, 1, 1), datetime.datetime(2026, 1, 1, 1, 2, 3, 4)]),
    "zoned": (pa.timestamp("ms", "UTC"), [datetime.datetime(1960, 1, 1, tzinfo=UTC), datetime.datetime(2026, 1, 1, tzinfo=UTC)]),
}


@pytest.mark.parametrize("kind", KEYS)
def test_key_types(client, table, kind):
    """Rows sort by key as values do, whatever the type, and each is found by its key."""
    type, values = KEYS[kind]
    schema = pa.schema([pa.field("k", type, False), pa.field("v", pa.int64())])
    keyed(client, table, schema, buckets=3)
    order = values[1::2] + values[::2]
    put(client, table, rows(*[(v, i) for i, v in enumerate(order)], schema=schema))
    put(client, table, rows(*[(v, i + 100) for i, v in enumerate(order)], schema=schema))
    assert [k for k, _ in current(client, table)] == values
    got = find(client, table, keys(*values, type=type))
    assert got["__key_index"].to_pylist() == list(range(len(values)))
    assert got["k"].to_pylist() == values
    assert got["v"].to_pylist() == [order.index(v) + 100 for v in values]
    delete(client, table, values[0], type=type)
    assert [k for k, _ in current(client, table)] == values[1:]


VALUES = {
    "bool": (pa.bool_(), [True, False, None]),
    "int8": (pa.int8(), [-128, 127, None]),
    "uint64": (pa.uint64(), [0, 2**64 - 1, None]),
    "float16": (pa.float16(), [1.5, None, -0.0]),
    "float": (pa.float32(), [1.5, None, float("inf")]),
    "double": (pa.float64(), [1.1, None, -1e300]),
    "decimal128": (pa.decimal128(38, 10), [decimal.Decimal("-1.0000000001"), None]),
    "decimal256": (pa.decimal256(76, 0), [decimal.Decimal("9" * 76), decimal.Decimal("-" + "9" * 76), None]),
    "string": (pa.string(), ["", "ä", None, "x" * 5000]),
    "large_binary": (pa.large_binary(), [b"", b"\0", None]),
    "fixed": (pa.binary(3), [b"abc", None]),
    "date32": (pa.date32(), [datetime.date(1900, 1, 1), None]),
    "time64": (pa.time64("ns"), [1, None]),
    "timestamp_ns": (pa.timestamp("ns"), [1, None, -1]),
    "zoned": (pa.timestamp("us", "Europe/Berlin"), [0, None]),
    "duration": (pa.duration("s"), [7, None]),
    "interval": (pa.month_day_nano_interval(), [(1, 2, 3), None]),
    "list": (pa.list_(pa.int32()), [[1, None, 3], [], None]),
    "large_list": (pa.large_list(pa.string()), [["a", None], [], None]),
    "vector": (pa.list_(pa.float32(), 3), [[1.0, 2.0, None], None]),
    "struct": (pa.struct([("a", pa.int64()), ("b", pa.string())]), [{"a": 1, "b": None}, {"a": None, "b": "x"}, None]),
    "map": (pa.map_(pa.string(), pa.int64()), [[("a", 1), ("b", None)], [], None]),
    "deep": (pa.list_(pa.struct([("m", pa.map_(pa.string(), pa.list_(pa.decimal128(5, 2))))])),
             [[{"m": [("k", [decimal.Decimal("1.25"), None])]}, None, {"m": None}], None]),
    "null": (pa.null(), [None, None]),
}


@pytest.mark.parametrize("kind", VALUES)
def test_value_types(client, table, kind):
    type, values = VALUES[kind]
    schema = pa.schema([pa.field("k", pa.int64(), False), pa.field("x", type)])
    keyed(client, table, schema, buckets=2)
    data = pa.table([pa.array(range(len(values)), pa.int64()), pa.array(values, type)], schema=schema)
    put(client, table, data)
    for got in (read(client, table, order="key"), find(client, table, keys(*range(len(values)))).drop_columns("__key_index"),
                read(client, table, read="log").sort_by("k").drop_columns("__change_type")):
        got = got.combine_chunks()
        got.validate(full=True)
        assert got.cast(schema).equals(data)
    assert read(client, table, filter="x is null", columns=["k"]).num_rows == data["x"].null_count
    put(client, table, data)  # the same again is nothing
    assert sum(latest(client, table).values()) == len(values)
    other = pa.table([pa.array(range(len(values)), pa.int64()), pa.array(values[::-1], type)], schema=schema)
    put(client, table, other)
    assert read(client, table, order="key")["x"].to_pylist() == other["x"].to_pylist()


def test_composite_keys(client, table):
    schema = pa.schema([pa.field("v", pa.int64()), pa.field("b", pa.string(), False), pa.field("a", pa.int32(), False), pa.field("c", pa.bool_(), False)])
    keyed(client, table, schema, key=("a", "b", "c"), buckets=4)
    all = sorted((a, b, c) for a in (-1, 0, 5) for b in ("", "x", "x\0", "xy") for c in (False, True))
    put(client, table, rows(*[(i, b, a, c) for i, (a, b, c) in enumerate(all)], schema=schema))
    assert [(a, b, c) for _, b, a, c in current(client, table)] == all
    batch = pa.record_batch({"c": [True, False], "a": pa.array([5, 7], pa.int32()), "b": ["x", "x"]})
    got = find(client, table, batch, columns=["v"])
    assert got.to_pylist() == [{"__key_index": 0, "v": all.index((5, "x", True))}]
    # prefixes of the key
    got = find(client, table, pa.record_batch({"a": pa.array([0, 9, -1], pa.int32())}), prefix=True, columns=["a", "b", "c"])
    expected = [(0, *k) for k in all if k[0] == 0] + [(2, *k) for k in all if k[0] == -1]
    assert [tuple(r.values()) for r in got.to_pylist()] == expected
    got = find(client, table, pa.record_batch({"b": ["x"], "a": pa.array([5], pa.int32())}), prefix=True, columns=["c"])
    assert got["c"].to_pylist() == [False, True]
    assert current(client, table, key_range={"from": [0, "x"], "until": [5]}, columns=["a", "b"]) == [(a, b) for a, b, _ in all if a == 0 and b >= "x"]
    assert current(client, table, key_range={"from": [5, "xy", True]}, columns=["c"]) == [(True,)]
    with refused("BAD_COMMAND", "key_range"):
        read(client, table, key_range={"from": ["x"]})


def test_partitioned(client, table):
    schema = pa.schema([pa.field("day", pa.date32(), False), pa.field("k", pa.int64(), False), pa.field("v", pa.int64())])
    keyed(client, table, schema, key=("day", "k"), partition_by=["day"], buckets=2)
    days = [datetime.date(2026, 11, d) for d in (1, 2, 3)]
    put(client, table, rows(*[(d, k, k) for d in days for k in range(5)], schema=schema))
    put(client, table, rows((days[1], 3, 33), schema=schema))
    delete_rows = pa.table({"k": pa.array([4], pa.int64()), "day": pa.array([days[0]])})
    put(client, table, delete_rows, op="delete")
    expected = sorted((d, k, 33 if (d, k) == (days[1], 3) else k) for d in days for k in range(5) if (d, k) != (days[0], 4))
    assert current(client, table) == expected
    assert current(client, table, partition="day=2026-11-02") == [r for r in expected if r[0] == days[1]]
    batch = pa.record_batch({"k": pa.array([3, 3, 4, 1], pa.int64()), "day": [days[1], datetime.date(2030, 1, 1), days[0], days[2]]})
    assert find(client, table, batch, columns=["v"]).to_pylist() == [{"__key_index": 0, "v": 33}, {"__key_index": 3, "v": 1}]
    single = client.do_get(fl.Ticket(json.dumps({"lookup": table, "keys": [["2026-11-02", 3]], "columns": ["v", "__partition"]}).encode())).read_all()
    assert single.to_pylist() == [{"__key_index": 0, "v": 33, "__partition": "day=2026-11-02"}]
    snapshot = read(client, table)
    put(client, table, rows((datetime.date(2026, 12, 1), 1, 1), schema=schema))
    later = read(client, table, read="log", **{"from": {"offsets": schema_note(snapshot)["until"]["offsets"]}})
    assert [(r["__change_type"], r["day"], r["k"]) for r in later.to_pylist()] == [("+I", datetime.date(2026, 12, 1), 1)]
    got = read(client, table, read="table+log")
    assert len(got) == len(expected) + 1
    action(client, "partition.drop", {"table": table, "partition": "day=2026-11-02"})
    assert len(current(client, table)) == len([r for r in expected if r[0] != days[1]]) + 1


def test_insert_missing_makes_partitions(client, table):
    schema = pa.schema([pa.field("day", pa.string(), False), pa.field("k", pa.int64(), False), pa.field("v", pa.int64())])
    keyed(client, table, schema, key=("day", "k"), partition_by=["day"], buckets=2)
    asked = pa.record_batch({"day": ["a", "b", "a"], "k": pa.array([1, 1, 2], pa.int64())})
    assert find(client, table, asked).num_rows == 0
    assert action(client, "partition.list", {"table": table}) == []
    assert find(client, table, asked, insert_missing=True)["__key_index"].to_pylist() == [0, 1, 2]
    assert [p["partition"] for p in action(client, "partition.list", {"table": table})] == ["day=a", "day=b"]
    keyed(client, table + "_fixed", schema, key=("day", "k"), partition_by=["day"], options={"partition.create-on-write": "false"})
    with refused("PARTITION_NOT_FOUND", "day=a", "partition.create"):
        find(client, table + "_fixed", asked, insert_missing=True)


def test_insert_missing_behind_the_end_inserts_nothing(client, table):
    keyed(client, table, buckets=4)
    for bucket in range(4):
        with refused("OFFSET_OUT_OF_RANGE"):
            find(client, table, keys(*range(50)), insert_missing=True, min_offsets={str(bucket): 10**6})
    assert current(client, table) == []
    assert find(client, table, keys(*range(50)), insert_missing=True, min_offsets={"0": 0}).num_rows == 50


# Merge engines.


def test_first_row(client, table):
    keyed(client, table, options={"merge-engine": "first-row"})
    put(client, table, rows((1, 1, "a"), (1, 2, "b")))
    put(client, table, rows((1, 3, "c"), (2, 1, "a")))
    assert current(client, table) == [(1, 1, "a"), (2, 1, "a")]
    assert [c[0] for c in log(client, table)] == ["+I", "+I"]


@pytest.mark.parametrize("type", [pa.int32(), pa.uint64(), pa.timestamp("us")], ids=str)
def test_versioned(client, table, type):
    schema = pa.schema([pa.field("k", pa.int64(), False), pa.field("at", type), pa.field("s", pa.string())])
    keyed(client, table, schema, options={"merge-engine": "versioned", "merge-engine.version-column": "at"})

    def version(n):
        return pa.array([n], pa.int64()).cast(type)[0].as_py() if n is not None else None

    for n, text in ((5, "five"), (4, "four"), (5, "five again"), (None, "null"), (9, "nine"), (8, "eight")):
        put(client, table, rows((1, version(n), text), schema=schema))
    assert current(client, table) == [(1, version(9), "nine")]
    put(client, table, rows((2, None, "first"), schema=schema))
    put(client, table, rows((2, version(0), "zero"), schema=schema))
    assert current(client, table)[1] == (2, version(0), "zero")


AGGREGATES = [
    ("sum", pa.int64(), [1, None, -5, 10], 6),
    ("sum", pa.float64(), [0.5, None, 0.25], 0.75),
    ("sum", pa.decimal128(10, 2), [decimal.Decimal("1.25"), decimal.Decimal("-3.50")], decimal.Decimal("-2.25")),
    ("sum", pa.uint8(), [100, 155], 255),
    ("product", pa.int32(), [2, None, -3, 7], -42),
    ("product", pa.decimal128(10, 2), [decimal.Decimal("1.50"), decimal.Decimal("2.00")], decimal.Decimal("3.00")),
    ("max", pa.int64(), [1, 7, None, 3], 7),
    ("max", pa.string(), ["b", "a", "ä"], "ä"),
    ("min", pa.timestamp("ms"), [datetime.datetime(2026, 1, 2), datetime.datetime(2026, 1, 1), None], datetime.datetime(2026, 1, 1)),
    ("min", pa.float32(), [1.5, -2.5], -2.5),
    ("last_value", pa.string(), ["a", "b", None], None),
    ("last_value_ignore_nulls", pa.list_(pa.int64()), [[1], [2, None], None], [2, None]),
    ("first_value", pa.string(), [None, "a"], None),
    ("first_value_ignore_nulls", pa.struct([("a", pa.int64())]), [None, {"a": 1}, {"a": 2}], {"a": 1}),
    ("listagg", pa.string(), ["a", None, "b", ""], "a,b,"),
    ("bool_and", pa.bool_(), [True, None, False, True], False),
    ("bool_or", pa.bool_(), [False, None, True, False], True),
]


@pytest.mark.parametrize("one_batch", [True, False], ids=["one-batch", "many"])
@pytest.mark.parametrize("function,type,values,expected", AGGREGATES, ids=[f"{f}-{t}" for f, t, _, _ in AGGREGATES])
def test_aggregation(client, table, function, type, values, expected, one_batch):
    schema = pa.schema([pa.field("k", pa.int64(), False), pa.field("x", type), pa.field("other", pa.int64())])
    keyed(client, table, schema, options={"merge-engine": "aggregation", "aggregate.x": function})
    data = rows(*[(1, v, i or None) for i, v in enumerate(values)], schema=schema)
    for piece in [data] if one_batch else [data.slice(i, 1) for i in range(len(data))]:
        put(client, table, piece)
    assert current(client, table) == [(1, expected, len(values) - 1)]


def test_aggregation_edges(client, table):
    keyed(client, table, options={"merge-engine": "aggregation", "aggregate.v": "sum", "aggregate.s": "listagg", "aggregate.s.delimiter": " | "})
    put(client, table, rows((1, 2**63 - 2, "a"), (1, 1, "b")))
    with refused("SCHEMA_MISMATCH", "fit"):
        put(client, table, rows((2, 1, "x"), (1, 1, "c")))
    assert current(client, table) == [(1, 2**63 - 1, "a | b")]
    delete(client, table, 1)
    put(client, table, rows((1, 1, "new")))
    assert current(client, table) == [(1, 1, "new")]


def bitmap32(*values):
    """A portable roaring bitmap of small values: one array container."""
    out = (12346).to_bytes(4, "little") + (1).to_bytes(4, "little")
    out += (0).to_bytes(2, "little") + (len(values) - 1).to_bytes(2, "little") + (16).to_bytes(4, "little")
    return out + b"".join(v.to_bytes(2, "little") for v in sorted(values))


@pytest.mark.parametrize("function", ["rbm32", "rbm64"])
def test_roaring_bitmaps(client, table, function):
    schema = pa.schema([pa.field("k", pa.int64(), False), pa.field("seen", pa.binary())])
    keyed(client, table, schema, options={"merge-engine": "aggregation", "aggregate.seen": function})

    def bitmap(*values):
        inner = bitmap32(*values)
        return inner if function == "rbm32" else (1).to_bytes(8, "little") + (0).to_bytes(4, "little") + inner

    put(client, table, rows((1, bitmap(1, 5), ), (1, None), (1, bitmap(5, 9)), schema=schema))
    assert current(client, table) == [(1, bitmap(1, 5, 9))]
    for wrong in (b"", b"nonsense", bitmap(1, 2)[:-1], b"\xff" * 100):
        with refused("SCHEMA_MISMATCH", "roaring"):
            put(client, table, rows((1, wrong), schema=schema))
        with refused("SCHEMA_MISMATCH", "roaring"):
            put(client, table, rows((2, wrong), schema=schema))


# Other options.


def test_delete_behaviours(client, table):
    keyed(client, table + "_ignore", options={"delete-behavior": "ignore"})
    keyed(client, table + "_disable", options={"delete-behavior": "disable"})
    for name in ("_ignore", "_disable"):
        put(client, table + name, rows((1, 1, "a")))
    delete(client, table + "_ignore", 1)
    with refused("DELETE_DISABLED", "not appended"):
        delete(client, table + "_disable", 1)
    both = rows((2, 2, "b"), (1, 0, None)).append_column("__change_type", pa.array(["+I", "-D"]))
    with refused("DELETE_DISABLED"):
        put(client, table + "_disable", both)
    for name in ("_ignore", "_disable"):
        assert current(client, table + name) == [(1, 1, "a")]


def test_changelog_image_wal(client, table):
    keyed(client, table, options={"changelog-image": "wal"})
    put(client, table, rows((1, 1, "a"), (1, 2, "b")))
    delete(client, table, 1)
    assert log(client, table) == [("+I", 1, 1, "a"), ("+U", 1, 2, "b"), ("-D", 1, 2, "b")]


@pytest.mark.parametrize("how", ["skip", "emit"])
def test_no_op(client, table, how):
    keyed(client, table, options={"changelog.no-op": how})
    put(client, table, rows((1, 1, None)))
    before = find(client, table, keys(1), columns=["__offset"])["__offset"].to_pylist()
    put(client, table, rows((1, 1, None), (1, 1, None)))
    after = find(client, table, keys(1), columns=["__offset"])["__offset"].to_pylist()
    assert [c[0] for c in log(client, table)] == ["+I"] + (["-U", "+U"] * 2 if how == "emit" else [])
    assert (before, after) == ([0], [4] if how == "emit" else [0])


def test_auto_increment(new_server):
    """Numbers are given once, in all buckets, also after kill -9."""
    server = new_server()
    seen = {}
    schema = pa.schema([pa.field("k", pa.string(), False), pa.field("id", pa.int64())])
    only = pa.schema([pa.field("k", pa.string())])
    with server.client() as client:
        keyed(client, "t", schema, buckets=3, options={"auto-increment": "id"})
    for round in range(4):
        with server.client() as client:
            for part in range(3):
                put(client, "t", rows(*[(f"{round}-{part}-{i}",) for i in range(20)], schema=only))
            got = dict(current(client, "t"))
            assert len(set(got.values())) == len(got) == (round + 1) * 60 and None not in got.values()
            assert all(got[k] == id for k, id in seen.items())
            seen = got
            put(client, "t", rows(("0-0-0",), schema=only))  # an update keeps it
            with refused("SCHEMA_MISMATCH", "id"):
                put(client, "t", rows(("new", 7), schema=schema))
            delete(client, "t", "0-1-0", type=pa.string())
            put(client, "t", rows(("0-1-0",), schema=only))
            again = dict(current(client, "t"))
            assert again["0-1-0"] not in seen.values()
            seen = again
        server.kill()
        server.start()


# Conditions and inserts of missing keys.


def conditional(*values):
    return rows(*[v[:3] for v in values]).append_column("__expected_offset", pa.array([v[3] for v in values], pa.int64()))


def test_conditions(client, table):
    keyed(client, table)
    put(client, table, conditional((1, 1, "a", -1), (2, 1, "a", None)))
    with refused("CONDITION_FAILED", "1", "offset 0", "not appended"):
        put(client, table, conditional((9, 9, "x", -1), (1, 2, "b", -1), (2, 2, "b", 77)))
    with refused("CONDITION_FAILED", "absent"):
        put(client, table, conditional((3, 1, "a", 5)))
    assert current(client, table) == [(1, 1, "a"), (2, 1, "a")]
    put(client, table, conditional((1, 2, "b", 0), (1, 3, "c", 0), (2, 2, "b", 1)))  # judged by the state before
    assert current(client, table) == [(1, 3, "c"), (2, 2, "b")]
    gone = pa.table({"k": pa.array([2], pa.int64()), "__expected_offset": pa.array([3], pa.int64())})
    with refused("CONDITION_FAILED", "2"):
        put(client, table, gone, op="delete")
    version = find(client, table, keys(2), columns=["__offset"])["__offset"][0].as_py()
    put(client, table, gone.set_column(1, "__expected_offset", pa.array([version], pa.int64())), op="delete")
    assert current(client, table) == [(1, 3, "c")]


def test_condition_names_text_keys(client, table):
    schema = pa.schema([pa.field("a", pa.string(), False), pa.field("b", pa.date32(), False), pa.field("v", pa.int64())])
    keyed(client, table, schema, key=("a", "b"))
    put(client, table, rows(("x\0y", datetime.date(2026, 1, 2), 1), schema=schema))
    with refused("CONDITION_FAILED", "2026-01-02", "x", "offset 0"):
        put(client, table, rows(("x\0y", datetime.date(2026, 1, 2), 2), schema=schema).append_column("__expected_offset", pa.array([4], pa.int64())))


def test_insert_missing_concurrently(client, server, table):
    """Many callers insert the same keys: each key gets one number, which all of them see."""
    schema = pa.schema([pa.field("name", pa.string(), False), pa.field("id", pa.int64())])
    keyed(client, table, schema, key=("name",), buckets=2, options={"auto-increment": "id"})
    answers, failures = [], []

    def caller(number):
        try:
            with server.client() as client:
                for i in range(10):
                    names = [f"n{(number + i + j) % 30}" for j in range(12)]
                    got = find(client, table, keys(*names, name="name", type=pa.string()), insert_missing=True)
                    assert got["__key_index"].to_pylist() == list(range(12))
                    assert got["name"].to_pylist() == names
                    answers.extend(zip(names, got["id"].to_pylist()))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=caller, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    ids = collections.defaultdict(set)
    for name, id in answers:
        ids[name].add(id)
    assert all(len(v) == 1 for v in ids.values())
    assert len(set.union(*ids.values())) == len(ids) and None not in set.union(*ids.values())
    assert [c[0] for c in log(client, table)] == ["+I"] * len(ids)


# Lookups.


def test_lookup_batches(client, table):
    keyed(client, table, buckets=5)
    n = 3000
    put(client, table, rows(*[(k, k * k, f"s{k}") for k in range(n)]))
    with Lookup(client, table, keys().schema, columns=["v", "__offset", "__bucket", "k"]) as lookup:
        asked = [[5, 5, -1, 2999, 5], [], list(range(2500)), [7], [-1], list(range(n, n + 10))]
        for batch in asked:
            lookup.send(keys(*batch))
        for request, batch in enumerate(asked):
            number, got = lookup.answer()
            assert number == request
            assert got.schema.names == ["__key_index", "v", "__offset", "__bucket", "k"]
            expected = [(i, k * k, k) for i, k in enumerate(batch) if 0 <= k < n]
            assert list(zip(got["__key_index"].to_pylist(), got["v"].to_pylist(), got["k"].to_pylist())) == expected


def test_lookups_in_flight(client, table):
    """Fifty requests before the first answer is read; answers come in order."""
    keyed(client, table)
    put(client, table, rows(*[(k, k, None) for k in range(100)]))
    with Lookup(client, table, keys().schema, columns=["v"]) as lookup:
        for i in range(50):
            lookup.send(keys(i, i + 50))
        for i in range(50):
            number, got = lookup.answer()
            assert (number, got["v"].to_pylist()) == (i, [i, i + 50])


def test_lookup_large_answers(client, table):
    keyed(client, table)
    put(client, table, rows(*[(k, k, "x" * 1000) for k in range(500)]))
    with Lookup(client, table, keys().schema, max_bytes=50_000) as lookup:
        lookup.send(keys(*range(500)))
        batches, last = [], False
        while not last:
            chunk = lookup.reader.read_chunk()
            last = json.loads(chunk.app_metadata.to_pybytes())["last"]
            batches.append(chunk.data)
    assert len(batches) > 5
    assert pa.Table.from_batches(batches)["__key_index"].to_pylist() == list(range(500))


def test_lookup_by_ticket(client, table):
    keyed(client, table, buckets=2)
    put(client, table, rows((1, 10, "a"), (2, 20, "b")))

    def single(**more):
        return client.do_get(fl.Ticket(json.dumps({"lookup": table, **more}).encode())).read_all()

    assert single(keys=[[2], [9], [1], [2]]).to_pylist() == [
        {"__key_index": i, "k": k, "v": k * 10, "s": "ab"[k - 1]} for i, k in ((0, 2), (2, 1), (3, 2))]
    assert single(keys=[]).num_rows == 0
    assert single(keys=[["2"]], columns=["s"]).to_pylist() == [{"__key_index": 0, "s": "b"}]
    for wrong, words in (([[1, 2]], "2 values"), ([["x"]], "key 0"), ([[None]], "null"), ([1], "key 0"), ([[1], []], "key 1"), ([[1.5]], "key 0")):
        with refused("BAD_COMMAND", words):
            single(keys=wrong)
    with refused("BAD_COMMAND", "keys"):
        single()
    with refused("BAD_COMMAND", "column"):
        single(keys=[[1]], columns=["nope"])


def test_lookup_refusals(client, table):
    keyed(client, table)
    create(client, table + "_log", {"k": "int64"})
    for batch, options, code, words in (
            (keys(1, name="x"), {}, "SCHEMA_MISMATCH", "k"),
            (keys("a", type=pa.string()), {}, "SCHEMA_MISMATCH", "k"),
            (keys(None), {}, "SCHEMA_MISMATCH", "k"),
            (pa.record_batch({"k": [1], "v": [1]}), {}, "SCHEMA_MISMATCH", "leave it out"),
            (keys(1), {"columns": ["vv"]}, "BAD_COMMAND", "v"),
            (keys(1), {"columns": ["__timestamp"]}, "BAD_COMMAND", "__timestamp"),
            (keys(1), {"prefixx": True}, "BAD_COMMAND", "prefix"),
            (keys(1), {"min_offsets": {"0": 10**6}}, "OFFSET_OUT_OF_RANGE", "1000000"),
            (keys(1), {"min_offsets": {"7": 1}}, "BUCKET_NOT_FOUND", "7"),
            (keys(1), {"table_id": 10**6}, "TABLE_RECREATED", ""),
    ):
        with refused(code, words):
            find(client, table, batch, **options)
    with refused("BAD_COMMAND", "primary-key"):
        find(client, table + "_log", keys(1))
    with refused("TABLE_NOT_FOUND"):
        find(client, table + "_nowhere", keys(1))


def test_lookup_reads_own_writes(client, table):
    keyed(client, table, buckets=3)
    for i in range(30):
        stream = Put(client, command(put=table), KV)
        stream.write(rows((i, i, None), (i % 3, 100 + i, None)).to_batches()[0])
        least = {}
        for answer in stream.close():
            for r in answer["ranges"]:
                least[str(r["bucket"])] = max(r["until"], least.get(str(r["bucket"]), 0))
        got = find(client, table, keys(i % 3), columns=["v"], min_offsets=least)
        assert got["v"].to_pylist() == [100 + i]


# Reads of the table.


def test_read_table(client, table):
    keyed(client, table, buckets=3)
    put(client, table, rows(*[(k, k % 10, f"s{k}") for k in range(1000)]))
    delete(client, table, *range(0, 1000, 2))
    everything = current(client, table)
    assert everything == [(k, k % 10, f"s{k}") for k in range(1, 1000, 2)]
    assert current(client, table, filter="v = 3 and k < 100", columns=["k"]) == [(k,) for k in range(3, 100, 10)]
    assert current(client, table, limit=7) == everything[:7]
    assert current(client, table, limit=3, filter="v = 5", columns=["k"]) == [(5,), (15,), (25,)]
    assert current(client, table, limit=0) == []
    assert current(client, table, key_range={"from": [10], "until": [16]}, columns=["k"]) == [(11,), (13,), (15,)]
    assert current(client, table, key_range={"from": [990]}, columns=["k"]) == [(k,) for k in range(991, 1000, 2)]
    assert current(client, table, key_range={"from": [5], "until": [3]}) == []
    assert read(client, table, columns=[]).num_rows == 500
    got = read(client, table, columns=["__offset", "k"], system_columns=["__bucket", "__partition"])
    assert got.schema.names == ["__offset", "k", "__bucket", "__partition"]
    assert set(got["__bucket"].to_pylist()) == {0, 1, 2} and set(got["__partition"].to_pylist()) == {""}
    assert read(client, table, filter="__bucket = 1", columns=["__bucket"])["__bucket"].to_pylist() == [1] * read(client, table, bucket=1).num_rows
    with refused("BAD_COMMAND", "changelog"):
        read(client, table, columns=["__timestamp"])
    with refused("BAD_COMMAND", "changelog"):
        read(client, table, **{"from": "earliest"})
    with refused("BAD_COMMAND", "fron"):
        read(client, table, key_range={"fron": [1]})
    sizes = [n for n, _ in [(data.num_rows, note) for data, note in chunks(client.do_get(ticket(table, batch_rows=64)))]]
    assert max(sizes) <= 64 and sum(sizes) == 500


def test_snapshot_vector(client, server, table):
    """What a read of the table shows is the fold of the changelog before its vector, while a writer goes on."""
    keyed(client, table, buckets=3)
    stop = threading.Event()

    def writer():
        with server.client() as client:
            i = 0
            while not stop.is_set():
                put(client, table, rows(*[(k % 40, i, str(k)) for k in range(i, i + 15)]))
                delete(client, table, i % 40)
                i += 1

    thread = threading.Thread(target=writer)
    thread.start()
    try:
        for _ in range(8):
            got = read(client, table, order="key")
            vector = schema_note(got)["until"]["offsets"]
            changes = read(client, table, read="log", until={"offsets": vector})
            assert fold(changes) == {r["k"]: r for r in got.to_pylist()}
    finally:
        stop.set()
        thread.join()


def fold(changes, state=None):
    """Applies a changelog; every change has to fit the state before it."""
    state = {} if state is None else state
    before = {}
    for r in changes.to_pylist():
        what = r.pop("__change_type")
        now = state.get(r["k"])
        if what == "+I":
            assert now is None, (what, r, now)
            state[r["k"]] = r
        elif what == "-U":
            assert now == r, (what, r, now)
            before[r["k"]] = r
        elif what == "+U":
            assert now is not None and before.pop(r["k"]) == now
            state[r["k"]] = r
        else:
            assert what == "-D" and now == r, (what, r, now)
            del state[r["k"]]
    return state


def test_table_and_log(client, server, table):
    """Current rows, then the changes from exactly there: no gap and no repeat while a writer goes on."""
    keyed(client, table, buckets=3)
    put(client, table, rows(*[(k, 0, "start") for k in range(50)]))
    rounds = 60

    def writer():
        with server.client() as client:
            for i in range(1, rounds + 1):
                put(client, table, rows(*[(k % 60, i, str(i)) for k in range(i * 7, i * 7 + 9)]))
                delete(client, table, i % 60)
            put(client, table, rows((1000, 1, "end")))

    thread = threading.Thread(target=writer)
    thread.start()
    reader = client.do_get(ticket(table, read="table+log", follow=True))
    state, at, phases = {}, {}, []
    while 1000 not in state:
        chunk = reader.read_chunk()
        note = json.loads(chunk.app_metadata.to_pybytes())
        phase = note.get("phase", "changes")
        if not phases or phases[-1] != phase:
            phases.append(phase)
        if phase == "log":
            assert chunk.data.num_rows == 0
            at = {int(b): o for b, o in note["offsets"].items()}
        elif phase == "changes" and note["bucket"] is not None:
            assert note["from"] == at[note["bucket"]]
            at[note["bucket"]] = note["until"]
        if chunk.data.num_rows:
            piece = pa.Table.from_batches([chunk.data])
            assert piece.schema.names == ["k", "v", "s", "__change_type"]
            fold(piece, state)
    reader.cancel()
    thread.join()
    assert phases == ["table", "log", "changes"]
    assert sorted(tuple(r.values()) for r in state.values()) == current(client, table)


def test_changelog_filter_projection_follow(client, table):
    keyed(client, table)
    reader = client.do_get(ticket(table, read="log", follow=True, columns=["__change_type", "v"], filter="v >= 2", limit=3))
    put(client, table, rows((1, 1, "a"), (2, 2, "b")))
    put(client, table, rows((1, 3, "a"), (2, 0, "b")))
    got = [tuple(r.values()) for r in reader.read_all().to_pylist()]
    assert got == [("+I", 2), ("+U", 3), ("-U", 2)]


# Schema evolution.


def alter(client, table, *changes):
    return action(client, "table.alter", {"table": table, "changes": list(changes)})[0]


def test_evolution(client, table):
    schema = pa.schema([pa.field("k", pa.int64(), False), pa.field("v", pa.int16()), pa.field("s", pa.string()), pa.field("at", pa.timestamp("s")),
                        pa.field("n", pa.null()), pa.field("deep", pa.struct([("a", pa.int8()), ("b", pa.string())]))])
    keyed(client, table, schema, buckets=2)
    moment = datetime.datetime(2026, 1, 1)
    put(client, table, rows((1, 1, "a", moment, None, {"a": 1, "b": "x"}), (2, 2, None, None, None, None), schema=schema))
    follower = client.do_get(ticket(table, read="log", follow=True, columns=["k", "s", "__change_type"], limit=5))
    alter(client, table, {"add": {"name": "extra", "type": "int32", "default": 7}}, {"rename": {"from": "s", "to": "text"}},
          {"widen": {"name": "v", "type": "int64"}}, {"widen": {"name": "at", "type": "timestamp[ms]"}}, {"widen": {"name": "n", "type": "int64"}},
          {"widen": {"name": "deep.a", "type": "int32"}}, {"drop": "deep.b"})
    expected = [{"k": 1, "v": 1, "text": "a", "at": moment, "n": None, "deep": {"a": 1}, "extra": 7},
                {"k": 2, "v": 2, "text": None, "at": None, "n": None, "deep": None, "extra": 7}]
    assert read(client, table, order="key").to_pylist() == expected
    assert find(client, table, keys(1, 2)).drop_columns("__key_index").to_pylist() == expected
    got = read(client, table, read="log").sort_by("k")
    assert got.drop_columns("__change_type").to_pylist() == expected
    # the same row again, now under the newer schema, changes nothing
    now = pa.table({"k": pa.array([1], pa.int64()), "v": pa.array([1], pa.int64()), "text": ["a"], "at": pa.array([moment], pa.timestamp("ms")),
                    "n": pa.array([None], pa.int64()), "deep": pa.array([{"a": 1}], pa.struct([("a", pa.int32())])), "extra": pa.array([7], pa.int32())})
    put(client, table, now)
    assert sum(latest(client, table).values()) == 2
    put(client, table, now.set_column(1, "v", pa.array([2**40], pa.int64())))
    put(client, table, pa.table({"k": pa.array([2], pa.int64()), "text": ["later"]}), columns=["text"])
    assert read(client, table, order="key", columns=["v", "text", "extra"]).to_pylist() == [
        {"v": 2**40, "text": "a", "extra": 7}, {"v": 2, "text": "later", "extra": 7}]
    seen = follower.read_all().to_pylist()
    assert [(r["k"], r["s"], r["__change_type"]) for r in seen if r["k"] == 2] == [(2, None, "+I"), (2, None, "-U")] + [
        (2, "later", "+U")][:len([r for r in seen if r["k"] == 2]) - 2]
    alter(client, table, {"drop": "text"})
    assert "text" not in read(client, table).schema.names
    assert log(client, table, columns=["k", "extra", "__change_type"])[0][2] == 7
    with refused("BAD_COMMAND", "primary key"):
        alter(client, table, {"drop": "k"})
    with refused("BAD_COMMAND", "primary key"):
        alter(client, table, {"widen": {"name": "k", "type": "int64"}}, {"drop": "k"})


def test_decided_options_stay(client, table):
    """What is decided when a table is created is refused afterwards, also beside other changes, and never passed over."""
    keyed(client, table, options={"merge-engine": "first-row"})
    for change in ({"set": {"merge-engine": "versioned"}}, {"set": {"merge-engine": "last-row"}}, {"reset": ["merge-engine"]},
                   {"set": {"auto-increment": "v"}}, {"set": {"changelog-image": "wal", "auto-increment": "v"}}):
        with refused("BAD_OPTION", "decided when the table is created"):
            alter(client, table, change)
    assert alter(client, table, {"set": {"merge-engine": "first-row", "changelog-image": "wal"}})["options"] == {
        "merge-engine": "first-row", "changelog-image": "wal"}


def test_evolution_under_open_stream(client, table):
    keyed(client, table)
    with Put(client, command(put=table), KV) as stream:
        stream.write(rows((1, 1, "a")).to_batches()[0]).flush(1)
        alter(client, table, {"rename": {"from": "s", "to": "text"}}, {"add": {"name": "w", "type": "int64", "default": 5}}, {"drop": "v"})
        stream.write(rows((2, 2, "b"), (1, 3, "c")).to_batches()[0])
    assert current(client, table) == [(1, "c", 5), (2, "b", 5)]


# Refused options and input.


def test_options_have_their_tables(client, table):
    for options in ({"merge-engine": "first-row"}, {"delete-behavior": "ignore"}, {"changelog-image": "wal"}, {"auto-increment": "k"},
                    {"aggregate.v": "sum"}, {"changelog.no-op": "emit"}):
        with refused("BAD_OPTION", "primary key"):
            create(client, table, KV, options=options)
    for options, words in (({"merge-engine": "last"}, "last-row"), ({"merge-engine": "versioned"}, "version-column"),
                           ({"merge-engine": "versioned", "merge-engine.version-column": "s"}, "string"),
                           ({"merge-engine": "versioned", "merge-engine.version-column": "k"}, "primary key"),
                           ({"aggregate.v": "sum"}, "aggregation"), ({"merge-engine": "aggregation", "aggregate.v": "summ"}, "sum"),
                           ({"merge-engine": "aggregation", "aggregate.s": "sum"}, "string"),
                           ({"merge-engine": "aggregation", "aggregate.w": "sum"}, "no column"),
                           ({"merge-engine": "aggregation", "aggregate.v": "sum", "aggregate.v.delimiter": ","}, "listagg"),
                           ({"auto-increment": "s"}, "int64"), ({"auto-increment": "k"}, "primary key"), ({"delete-behavior": "no"}, "disable"),
                           ({"bucket.assignment": "round-robin"}, "bucket.assignment")):
        with refused("BAD_OPTION", words):
            keyed(client, table, options=options)
    for more, words in ((dict(primary_key=["x"]), "x"), (dict(primary_key=["k", "k"]), "k"), (dict(primary_key=["k"], bucket_key=["v"]), "bucket_key"),
                        (dict(primary_key=["k"], partition_by=["s"]), "partition_by")):
        with refused("BAD_COMMAND", words):
            create(client, table, KV, **more)


def test_wrong_input(client, table):
    keyed(client, table)
    put(client, table, rows((1, 1, "a")))
    loose = pa.schema([pa.field("k", pa.int64()), pa.field("v", pa.int64())])
    typed = rows((1, 1, "a")).append_column("__change_type", pa.array(["+X"]))
    for data, options, code, words in (
            (rows((None, 1), schema=loose), {}, "SCHEMA_MISMATCH", "k"),
            (pa.table({"v": [1]}), {}, "SCHEMA_MISMATCH", "primary key"),
            (pa.table({"v": [1]}), {"op": "delete"}, "SCHEMA_MISMATCH", "primary key"),
            (typed, {}, "SCHEMA_MISMATCH", "+X"),
            (typed.set_column(3, "__change_type", pa.array([1])), {}, "SCHEMA_MISMATCH", "__change_type"),
            (typed.set_column(3, "__change_type", pa.array([None], pa.string())), {}, "SCHEMA_MISMATCH", "__change_type"),
            (typed.set_column(3, "__expected_offset", pa.array(["x"])), {}, "SCHEMA_MISMATCH", "__expected_offset"),
            (typed.set_column(3, "__expected_offset", pa.array([-2])), {}, "SCHEMA_MISMATCH", "-2"),
            (rows((1, 1, "a")), {"op": "append"}, "BAD_COMMAND", "append"),
            (rows((1, 1, "a")), {"op": "upset"}, "BAD_COMMAND", "upsert"),
            (rows((1, 1, "a")), {"columns": ["w"]}, "BAD_COMMAND", "w"),
            (rows((1, 1, "a")), {"bucket": 0}, "BAD_COMMAND", "bucket"),
            (pa.table({"k": [1]}), {"columns": ["v"]}, "SCHEMA_MISMATCH", "v"),
            (rows((1, 1, "a")).append_column("nope", pa.array([1])), {}, "SCHEMA_MISMATCH", "nope"),
    ):
        with refused(code, words):
            put(client, table, data, **options)
    for options in ({"op": "upsert"}, {"op": "delete"}, {"columns": ["v"]}):  # no log table is made of it
        with refused("TABLE_NOT_FOUND", table + "_nowhere"):
            put(client, table + "_nowhere", rows((1, 1, "a")), **options)
    create(client, table + "_log", KV)
    for options in ({"op": "upsert"}, {"op": "delete"}, {"columns": ["v"]}):
        with refused("BAD_COMMAND", "primary"):
            put(client, table + "_log", rows((1, 1, "a")), **options)
    for more in ({"read": "table"}, {"read": "table+log"}, {"order": "key"}, {"key_range": {}}):
        with refused("BAD_COMMAND", "primary-key"):
            read(client, table + "_log", **more)
    assert current(client, table) == [(1, 1, "a")]


# Exactly once.


def test_sequenced_upserts(client, table):
    keyed(client, table, buckets=2)
    writer = action(client, "writer.init", {})[0]["writer_id"]
    batches = [rows(*[(k, i, str(i)) for k in range(6)]) for i in range(3)] + [rows(*[(k, 2, "2") for k in range(6)]), rows((0, 9, "end"))]

    def send(first, pieces):
        stream = Put(client, command(put=table, writer_id=writer, sequence=first), KV)
        for piece in pieces:
            stream.write(piece.combine_chunks().to_batches()[0])
        answers = stream.close()
        return answers[-1]["batches"], answers[-1].get("sequence"), sum(a["duplicates"] for a in answers)

    assert send(0, batches) == (5, 4, 0)
    everything, state = log(client, table), current(client, table)
    assert send(0, batches)[:2] == (5, 4)
    assert send(3, batches[3:])[:2] == (2, 4)
    assert log(client, table) == everything and current(client, table) == state
    assert send(5, [rows((1, 1, "next"))]) == (1, 5, 0)
    known = {r["bucket"]: r["sequence"] for r in action(client, "writer.describe", {"table": table, "writer_id": writer})}
    assert max(known.values()) == 5
    with refused("OUT_OF_ORDER_SEQUENCE"):
        stream = Put(client, command(put=table, writer_id=writer, sequence=6), KV)
        stream.write(rows((1, 1, "x")).to_batches()[0], sequence=6)
        stream.write(rows((1, 1, "y")).to_batches()[0], sequence=9)
        stream.close()


def test_batches_without_rows(client, table):
    keyed(client, table)
    writer = action(client, "writer.init", {})[0]["writer_id"]
    with Put(client, command(put=table, writer_id=writer, sequence=0), KV) as stream:
        stream.write(rows((1, 1, "a")).to_batches()[0])
        stream.write(KV.empty_table().to_batches(max_chunksize=1)[0] if KV.empty_table().to_batches() else pa.record_batch(KV.empty_table().to_pydict(), schema=KV))
        stream.write(rows((1, 1, "a")).to_batches()[0])  # a no-op
        stream.write(rows((1, 2, "b")).to_batches()[0])
    assert stream.answers[-1]["batches"] == 4 and stream.answers[-1]["sequence"] == 3
    assert stream.answers[-1]["rows"] == 3
    assert current(client, table) == [(1, 2, "b")]


def test_counter_of_conditional_puts(new_server):
    """Several callers count one key up, each by what it read, under kill -9: nothing acknowledged is lost."""
    server = new_server()
    lock, acked, unknown = threading.Lock(), [0], [0]
    alive = threading.Event()
    alive.set()
    with server.client() as client:
        keyed(client, "t")
        put(client, "t", rows((1, 0, None)))
    stop = threading.Event()

    def caller():
        while not stop.is_set():
            alive.wait(30)
            try:
                with server.client() as client:
                    while not stop.is_set():
                        now = find(client, "t", keys(1), columns=["v", "__offset"]).to_pylist()[0]
                        outcome = "refused"
                        try:
                            outcome = "unknown"
                            put(client, "t", conditional((1, now["v"] + 1, None, now["__offset"])))
                            outcome = "done"
                        except (pa.ArrowException, fl.FlightError, OSError) as error:
                            if reason(error) is not None and "rest: not appended" in str(error):
                                outcome = "refused"
                                continue
                            raise
                        finally:
                            with lock:
                                acked[0] += outcome == "done"
                                unknown[0] += outcome == "unknown"
            except (pa.ArrowException, fl.FlightError, OSError):
                pass

    threads = [threading.Thread(target=caller) for _ in range(4)]
    for thread in threads:
        thread.start()
    for round in range(3):
        with lock:
            target = acked[0] + 40
        for _ in range(2000):
            with lock:
                if acked[0] >= target:
                    break
            threading.Event().wait(0.01)
        alive.clear()
        server.kill()
        server.start()
        alive.set()
    stop.set()
    for thread in threads:
        thread.join()
    with server.client() as client:
        (_, total, _), = current(client, "t")
        assert fold(read(client, "t", read="log"))[1]["v"] == total
    assert acked[0] <= total <= acked[0] + unknown[0], (acked, total, unknown)
    assert acked[0] >= 120


def test_filters_of_a_changelog(client, table):
    """A filter sees each row of the changelog, and what it does."""
    keyed(client, table, buckets=2)
    put(client, table, rows((1, 1, "a"), (2, 2, "b"), (3, 3, "c")))
    put(client, table, rows((1, 5, "a")))
    delete(client, table, 2)
    everything = collections.Counter(log(client, table))
    for condition, wanted in (("__change_type = '-D'", {"-D"}), ("__change_type in ('+I', '+U')", {"+I", "+U"}),
                              ("__change_type <> '+I'", {"-U", "+U", "-D"})):
        assert collections.Counter(log(client, table, filter=condition)) == {r: n for r, n in everything.items() if r[0] in wanted}
    assert log(client, table, filter="__change_type = '+U' and v > 4", columns=["v", "__change_type"]) == [("+U", 5)]
    assert read(client, table, read="log", filter="__change_type = '-D'", columns=["k"]).to_pylist() == [{"k": 2}]
    with refused("BAD_FILTER"):
        read(client, table, filter="__change_type = '+I'")


def test_change_type_as_system_column(client, table):
    keyed(client, table)
    put(client, table, rows((1, 1, "a")))
    for mode in ("log", "table+log"):
        for columns, system, names in ((None, ["__offset", "__change_type"], ["k", "v", "s", "__offset", "__change_type"]),
                                       (["__change_type", "k"], ["__change_type"], ["k", "__change_type"]),
                                       ([], ["__change_type"], ["__change_type"])):
            more = {} if columns is None else {"columns": columns}
            got = read(client, table, read=mode, system_columns=system, **more)
            assert got.schema.names == names and got["__change_type"].to_pylist() == ["+I"]


def test_plan_of_lookup(client, table):
    """A lookup is planned like a read: its schema, and with keys a ticket."""
    keyed(client, table)
    put(client, table, rows((1, 1, "a")))
    asked = command(lookup=table, keys=[[1], [2]], columns=["s", "__offset"])
    info = client.get_flight_info(asked)
    assert info.schema.names == client.get_schema(asked).schema.names == ["__key_index", "s", "__offset"]
    endpoint, = info.endpoints
    assert client.do_get(endpoint.ticket).read_all().to_pylist() == [{"__key_index": 0, "s": "a", "__offset": 0}]
    info = client.get_flight_info(command(lookup=table))
    assert info.schema.names == ["__key_index", "k", "v", "s"] and len(info.endpoints) == 0
    with refused("BAD_COMMAND", "put command"):
        client.get_flight_info(command(put=table))


def test_plans(client, table):
    """Current rows are planned as one endpoint, the changelog as one for each bucket."""
    keyed(client, table, buckets=3)
    put(client, table, rows(*[(k, k, "x") for k in range(50)]))
    delete(client, table, 7)
    info = client.get_flight_info(path(table))
    assert info.total_records == 49 and len(info.endpoints) == 1
    assert info.schema.names == ["k", "v", "s"] == client.get_schema(path(table)).schema.names
    assert client.do_get(info.endpoints[0].ticket).read_all().num_rows == 49
    info = client.get_flight_info(command(table=table, read="log"))
    assert info.total_records == 51 and len(info.endpoints) == 3
    assert info.schema.names == ["k", "v", "s", "__change_type"] == client.get_schema(command(table=table, read="log")).schema.names
    assert sum(client.do_get(e.ticket).read_all().num_rows for e in info.endpoints) == 51
    assert client.get_flight_info(command(table=table, filter="v > 3")).total_records == -1
    assert table in [i.descriptor.path[1].decode() for i in client.list_flights()]


# Few bytes that touch many.


def peak(server):
    """The most memory that the server had resident, in MiB."""
    return int(re.search(r"VmHWM:\s+(\d+)", open(f"/proc/{server.process.pid}/status").read()).group(1)) >> 10


def test_memory_of_large_changes(new_server):
    """Deletes of a few large rows by key, and rows that are small as they are stored and huge in Arrow's layout."""
    server = new_server("data", env={"GOMEMLIMIT": "256MiB"})
    big = pa.schema([pa.field("k", pa.int64(), False), pa.field("x", pa.large_binary())])
    with server.client() as client:
        keyed(client, "big", big)
        for i in range(16):
            put(client, "big", rows((i, os.urandom(8 << 20)), schema=big))
        before = peak(server)
        delete(client, "big", *range(16))
        assert read(client, "big").num_rows == 0
        sizes = [data.num_rows for data, _ in chunks(client.do_get(ticket("big", read="log", filter="__change_type = '-D'")))]
        assert [n for n in sizes if n] == [1] * 16  # one unit of many stored batches
        print("before the deletes", before, "MiB, after them", peak(server))
        assert peak(server) < before + 700, (before, peak(server))

        lists = pa.schema([pa.field("k", pa.int64(), False), pa.field("x", pa.list_(pa.float32(), 100_000))])
        keyed(client, "lists", lists)
        only = pa.table({"k": pa.array(range(20_000), pa.int64())})
        with refused("BATCH_TOO_LARGE", "max_chunksize"):
            put(client, "lists", only, columns=["k"])
        put(client, "lists", only.slice(0, 500), columns=["k"])
        assert sum(data.num_rows for data, _ in chunks(client.do_get(ticket("lists", batch_rows=100_000)))) == 500
        assert find(client, "lists", keys(*range(500)), columns=["k"]).num_rows == 500
        fixed = pa.schema([pa.field("k", pa.int64(), False), pa.field("x", pa.binary(1 << 20))])
        keyed(client, "fixed", fixed)
        with refused("BATCH_TOO_LARGE", "max_chunksize"):
            put(client, "fixed", only, columns=["k"])
        print("in the end", peak(server))
        assert peak(server) < before + 900, (before, peak(server))
