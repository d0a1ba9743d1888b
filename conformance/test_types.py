"""Every Arrow type of the contract goes through the log and comes back bit by bit, whatever way it was sent."""

import datetime
import decimal
import itertools
import uuid

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.flight as fl
import pytest

from conftest import Put, action, create, put, read, refused

UTC = datetime.timezone.utc
DAY = datetime.date(2026, 11, 22)
LONG = "Größe in 東京, longer than any inlined view would take"


def bounds(bits, signed):
    return [0, 1, -1 if signed else 2, -(1 << bits - 1) if signed else 3, (1 << bits - 1) - 1 if signed else (1 << bits) - 1]


# Values of each type, edges included, without nulls. Each is repeated with nulls between them.
FLAT = {
    "bool": (pa.bool_(), [True, False, False, True, True]),
    **{f"int{bits}": (getattr(pa, f"int{bits}")(), bounds(bits, True)) for bits in (8, 16, 32, 64)},
    **{f"uint{bits}": (getattr(pa, f"uint{bits}")(), bounds(bits, False)) for bits in (8, 16, 32, 64)},
    "float16": (pa.float16(), [np.float16(v) for v in (0, 1.5, -2, 65504, float("inf"))]),
    "float32": (pa.float32(), [0.0, 1.5, -3.4028234663852886e38, 1e-45, float("-inf")]),
    "float64": (pa.float64(), [0.1, 1.5, -1.7976931348623157e308, 5e-324, float("inf")]),
    "decimal128": (pa.decimal128(38, 10), [decimal.Decimal(v) for v in ("0", "-1.5", "9" * 28 + "." + "9" * 10, "0.0000000001")]),
    "decimal256": (pa.decimal256(76, 20), [decimal.Decimal(v) for v in ("0", "-1.5", "9" * 56 + "." + "9" * 20, "1e-20")]),
    "string": (pa.string(), ["", "a", LONG, "\0", "x" * 300]),
    "large_string": (pa.large_string(), ["", "a", LONG, "\0", "x" * 300]),
    "binary": (pa.binary(), [b"", b"\0\xff", b"x" * 300, b"\x80"]),
    "large_binary": (pa.large_binary(), [b"", b"\0\xff", b"x" * 300, b"\x80"]),
    "fixed_size_binary": (pa.binary(5), [b"\0" * 5, b"\xff" * 5, b"abcde"]),
    "fixed_size_binary_16": (pa.binary(16), [uuid.UUID(int=n).bytes for n in (0, 7, 2**128 - 1)]),
    "date32": (pa.date32(), [DAY, datetime.date(1, 1, 1), datetime.date(9999, 12, 31)]),
    "date64": (pa.date64(), [DAY, datetime.date(1, 1, 1), datetime.date(9999, 12, 31)]),
    "time32_s": (pa.time32("s"), [datetime.time(0), datetime.time(23, 59, 59)]),
    "time32_ms": (pa.time32("ms"), [datetime.time(0), datetime.time(23, 59, 59, 999000)]),
    "time64_us": (pa.time64("us"), [datetime.time(0), datetime.time(23, 59, 59, 999999)]),
    "time64_ns": (pa.time64("ns"), [datetime.time(0), datetime.time(23, 59, 59, 999999)]),
    **{f"timestamp_{unit}_{re_zone}": (pa.timestamp(unit, zone), [0, 1, -1, 1_763_800_000_000, 2**61])
       for unit in ("s", "ms", "us", "ns")
       for re_zone, zone in (("naive", None), ("utc", "UTC"), ("stockholm", "Europe/Stockholm"), ("offset", "+05:30"))},
    **{f"duration_{unit}": (pa.duration(unit), [0, 1, -1, 2**62]) for unit in ("s", "ms", "us", "ns")},
    "interval": (pa.month_day_nano_interval(), [pa.MonthDayNano([0, 0, 0]), pa.MonthDayNano([-1, 31, 2**62]), pa.MonthDayNano([12, -1, -1])]),
}

NESTED = {
    "list": (pa.list_(pa.int32()), [[], [1, None, 3], [4] * 40]),
    "list_string": (pa.list_(pa.string()), [[], ["", None, LONG], ["b"]]),
    "list_named": (pa.list_(pa.field("element", pa.int64(), nullable=False)), [[], [1, 2], [3]]),
    "list_bool": (pa.list_(pa.bool_()), [[True, False, None] * 7, [], [False]]),
    "list_of_null": (pa.list_(pa.null()), [[], [None, None], [None]]),
    "large_list": (pa.large_list(pa.float64()), [[], [1.5, None], [2.5] * 9]),
    "list_list": (pa.list_(pa.list_(pa.int8())), [[], [[], None, [1, None]], [[2, 3]]]),
    "vector": (pa.list_(pa.float32(), 4), [[0.5, 1.5, 2.5, 3.5], [1.0, None, 3.0, 4.0]]),
    "vector_string": (pa.list_(pa.string(), 2), [["a", None], ["", LONG]]),
    "vector_vector": (pa.list_(pa.list_(pa.bool_(), 3), 2), [[[True, False, True], [None, True, False]]]),
    "struct": (pa.struct([("a", pa.int64()), ("b", pa.string())]), [{"a": 1, "b": "x"}, {"a": None, "b": LONG}, {"a": 3, "b": None}]),
    "struct_required": (pa.struct([pa.field("a", pa.int64(), nullable=False)]), [{"a": 1}, {"a": -1}]),
    "struct_deep": (pa.struct([("s", pa.struct([("l", pa.list_(pa.struct([("d", pa.date32())])))]))]),
                    [{"s": {"l": [{"d": DAY}, {"d": None}, None]}}, {"s": None}, {"s": {"l": []}}]),
    "list_struct": (pa.list_(pa.struct([("a", pa.decimal128(12, 2)), ("b", pa.list_(pa.string()))])),
                    [[], [{"a": decimal.Decimal("1.25"), "b": ["x", None]}, None], [{"a": None, "b": None}]]),
    "map": (pa.map_(pa.string(), pa.int64()), [[], [("a", 1), ("b", None)], [(LONG, 3)]]),
    "map_nested": (pa.map_(pa.int32(), pa.list_(pa.struct([("x", pa.bool_())]))), [[], [(1, [{"x": True}, None]), (2, None)]]),
    "map_sorted": (pa.map_(pa.string(), pa.int64(), keys_sorted=True), [[("a", 1), ("b", 2)], []]),
    "null": (pa.null(), [None]),
}
TYPES = {**FLAT, **NESTED}
ROWS = 131  # not a multiple of 8: bits of validity do not end with a byte


def column(kind, rows=ROWS, nulls=True, seed=0):
    """A column of the type with its edge values, and a null in every fifth row."""
    type, values = TYPES[kind]
    picked = itertools.islice(itertools.cycle(values), seed, seed + rows)
    return pa.array([None if nulls and i % 5 == 3 else v for i, v in enumerate(picked)], type)


def batch(kind, rows=ROWS, **keys):
    return pa.record_batch({"n": pa.array(range(rows), pa.int32()), "v": column(kind, rows, **keys), "tail": pa.array(["t"] * rows)})


def since(client, table, offset, **keys):
    got = read(client, table, **{"from": {"offset": offset}}, **keys)
    got.validate(full=True)
    return got


def assert_same(got, want):
    want = pa.table(want) if isinstance(want, pa.RecordBatch) else want
    assert got.schema.remove_metadata() == want.schema.remove_metadata()
    assert got.num_rows == want.num_rows
    assert got.equals(want), next((a, b) for a, b in zip(got.to_pylist(), want.to_pylist()) if a != b)


@pytest.mark.parametrize("kind", TYPES)
def test_type(client, table, kind):
    """One type: whole, without nulls, sliced, empty, only nulls, merged from one-row batches, compressed, projected."""
    create(client, table, batch(kind).schema)
    whole = batch(kind)
    forms = {
        "whole": whole,
        "no nulls": batch(kind, nulls=False),
        "sliced": batch(kind, 3 * ROWS).slice(67, 121),
        "sliced on a byte": batch(kind, 3 * ROWS).slice(64, 64),
        "one row": whole.slice(5, 1),
        "only nulls": pa.record_batch({"n": whole["n"], "v": pa.nulls(ROWS, whole["v"].type), "tail": whole["tail"]}),
        "empty": whole.slice(0, 0),
    }
    end = 0
    with Put(client, table, whole.schema) as stream:
        for form in forms.values():
            stream.write(form)
    for name, form in forms.items():
        got = read(client, table, **{"from": {"offset": end}, "until": {"offset": end + form.num_rows}})
        got.validate(full=True)
        assert_same(got, form), name
        end += form.num_rows
    everything = pa.Table.from_batches(forms.values())
    assert_same(read(client, table), everything)

    with Put(client, table, whole.schema) as stream:
        for i in range(ROWS):
            stream.write(whole.slice(i, 1))
    assert_same(since(client, table, end), whole)
    end += ROWS
    for codec in ("lz4", "zstd"):
        big = pa.Table.from_batches([whole] * 8).combine_chunks().to_batches()[0]
        options = fl.FlightCallOptions(write_options=pa.ipc.IpcWriteOptions(compression=codec))
        with Put(client, table, whole.schema, options) as stream:
            stream.write(big).write(big.slice(3, 50)).write(big.slice(0, 0))
        want = pa.concat_tables([pa.Table.from_batches([big]), pa.Table.from_batches([big.slice(3, 50)])])
        assert_same(since(client, table, end), want)
        assert_same(since(client, table, end, columns=["v"]), want.select(["v"]))
        assert_same(since(client, table, end, columns=["tail", "v", "n"]), want.select(["tail", "v", "n"]))
        assert_same(since(client, table, end + 501, limit=100), want.slice(501, 100))
        end += want.num_rows
    assert_same(read(client, table, columns=["v"]), read(client, table).select(["v"]))


def test_all_types_in_one_table(client, table):
    """Merged from batches of one to three rows of all types at once, read with every column alone."""
    rows = 60
    data = pa.table({kind: column(kind, rows, seed=i) for i, kind in enumerate(TYPES)})
    create(client, table, data.schema)
    with Put(client, table, data.schema) as stream:
        whole = data.combine_chunks().to_batches()[0]
        for start in range(0, rows, 6):
            stream.write(whole.slice(start, 1)).write(whole.slice(start + 1, 3)).write(whole.slice(start + 4, 2))
    got = read(client, table)
    got.validate(full=True)
    assert_same(got, data)
    for kind in TYPES:
        assert_same(read(client, table, columns=[kind]), data.select([kind]))


@pytest.mark.parametrize("type,bits", [(pa.float16(), np.uint16), (pa.float32(), np.uint32), (pa.float64(), np.uint64)], ids=str)
def test_floats_keep_their_bits(client, table, type, bits):
    """NaNs with payloads, negative zero and subnormals are the same bits afterwards."""
    width = bits(0).itemsize * 8
    values = np.array([0, 1, 1 << width - 1, (1 << width) - 1, (1 << width - 1) - 1, 0x7E01 << width - 16, 0xFC01 << width - 16], dtype=bits)
    column = pa.Array.from_buffers(type, len(values), [None, pa.py_buffer(values.tobytes())])
    put(client, table, pa.table({"v": column}))
    put(client, table, pa.table({"v": column}).slice(2))
    got = read(client, table)["v"].combine_chunks()
    raw = np.frombuffer(got.buffers()[1], dtype=bits)[got.offset:got.offset + len(got)]
    assert raw.tolist() == values.tolist() + values[2:].tolist()


LAYOUTS = {
    "dictionary": lambda a: a.dictionary_encode(),
    "dictionary_uint32": lambda a: a.dictionary_encode().cast(pa.dictionary(pa.uint32(), a.type)),
    "dictionary_int8": lambda a: a.dictionary_encode().cast(pa.dictionary(pa.int8(), a.type)),
    "run_end": lambda a: pc.run_end_encode(a),
    "run_end_int16": lambda a: pc.run_end_encode(a, run_end_type=pa.int16()),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", ["string", "binary", "int64", "float64", "date32", "bool", "decimal128", "fixed_size_binary"])
def test_layouts_are_stored_plain(client, table, kind, layout):
    """Dictionary and run-end encoded columns create, and go into, a plain column."""
    if layout.startswith("dictionary") and kind == "bool":
        pytest.skip("pyarrow does not dictionary-encode bool to other indices")
    plain = column(kind)
    coded = LAYOUTS[layout](plain)
    data = pa.record_batch({"n": pa.array(range(ROWS)), "v": coded})
    for compression in (None, "zstd"):
        options = fl.FlightCallOptions(write_options=pa.ipc.IpcWriteOptions(compression=compression))
        with Put(client, table, data.schema, options) as stream:
            stream.write(data).write(data.slice(7, 30)).write(data.slice(0, 0))
    want = pa.concat_arrays([plain, plain.slice(7, 30)] * 2)
    got = read(client, table)
    got.validate(full=True)
    assert got.schema.field("v").type == plain.type
    assert got["v"].combine_chunks().equals(want)


@pytest.mark.parametrize("type,plain", [(pa.string_view(), pa.string()), (pa.binary_view(), pa.binary())], ids=str)
def test_views_are_stored_plain(client, table, type, plain):
    values = ["", "short", LONG, None, "exactly 12 b"] * 20
    data = pa.table({"v": pa.array(values, plain).cast(type)})
    put(client, table, data)
    put(client, table, data.slice(3, 9))
    got = read(client, table)
    got.validate(full=True)
    assert got.schema.field("v").type == plain
    assert got["v"].combine_chunks().equals(pa.concat_arrays([pa.array(values, plain), pa.array(values, plain).slice(3, 9)]))


@pytest.mark.parametrize("type,plain", [(pa.list_view(pa.int32()), pa.list_(pa.int32())),
                                        (pa.large_list_view(pa.string()), pa.large_list(pa.string()))], ids=str)
def test_list_views_are_stored_plain(client, table, type, plain):
    values = [[], [1, 2], None, [3, None], [4] * 20] * 9
    if pa.types.is_large_list(plain):
        values = [v and [x and str(x) for x in v] for v in values]
    data = pa.table({"v": pa.array(values, type)})
    put(client, table, data)
    put(client, table, data.slice(4, 5))
    got = read(client, table)
    got.validate(full=True)
    assert got.schema.field("v").type == plain
    assert got["v"].to_pylist() == values + values[4:9]


def test_list_view_out_of_order(client, table):
    """Views of a list may overlap and lie in any order; lists may not."""
    views = pa.ListViewArray.from_arrays([4, 0, 2, 0], [2, 3, 0, 6], pa.array([1, 2, 3, 4, 5, 6]))
    put(client, table, pa.table({"v": views}))
    assert read(client, table)["v"].to_pylist() == [[5, 6], [1, 2, 3], [], [1, 2, 3, 4, 5, 6]]


def test_nested_layouts_are_stored_plain(client, table):
    """Dictionaries inside of lists and structs."""
    words = pa.array(["a", "b", "a", None, "c", LONG]).dictionary_encode()
    data = pa.table({
        "list": pa.ListArray.from_arrays(pa.array([0, 2, 3, 6], pa.int32()), words),
        "struct": pa.StructArray.from_arrays([words[:3]], names=["w"]),
    })
    put(client, table, data)
    got = read(client, table)
    got.validate(full=True)
    assert got.schema.field("list").type == pa.list_(pa.string())
    assert got.to_pylist() == data.to_pylist()


def test_dictionary_replaced_and_extended(client, table):
    """Dictionaries that change within a stream: a new one, and a delta."""
    schema = pa.schema({"v": pa.dictionary(pa.int32(), pa.string())})
    first = pa.record_batch([pa.array(["a", "b", None]).dictionary_encode()], schema)
    second = pa.record_batch([pa.array(["x", "y", "x"]).dictionary_encode()], schema)
    third = pa.record_batch([pa.DictionaryArray.from_arrays(pa.array([2, 0, 1], pa.int32()), pa.array(["x", "y", "z"]))], schema)
    for deltas in (False, True):
        options = fl.FlightCallOptions(write_options=pa.ipc.IpcWriteOptions(emit_dictionary_deltas=deltas))
        with Put(client, table, schema, options) as stream:
            stream.write(first).write(second).write(third)
    assert read(client, table)["v"].to_pylist() == ["a", "b", None, "x", "y", "x", "z", "x", "y"] * 2


def test_layouts_both_ways(client, table):
    """Every layout of the same values goes into a column of any other."""
    texts, lists = ["", LONG, None], [[1], None, []]
    create(client, table, {"s": "string", "ls": "large_string", "b": "binary", "lb": "large_binary",
                           "l": "list<item: int64>", "ll": "large_list<item: int64>"})
    string_types = [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.large_string())]
    binary_types = [pa.binary(), pa.large_binary(), pa.binary_view(), pa.dictionary(pa.uint8(), pa.binary())]
    list_types = [pa.list_(pa.int64()), pa.large_list(pa.int64()), pa.list_view(pa.int64()), pa.large_list_view(pa.int64())]
    for s, b, l in zip(string_types, binary_types, list_types):
        text = pa.array(texts).dictionary_encode().cast(s) if pa.types.is_dictionary(s) else pa.array(texts).cast(s)
        raw = pa.array([t and t.encode() if t is not None else None for t in texts])
        raw = raw.dictionary_encode().cast(b) if pa.types.is_dictionary(b) else raw.cast(b)
        values = pa.array(lists, l)
        put(client, table, pa.table({"s": text, "ls": text, "b": raw, "lb": raw, "l": values, "ll": values}))
    got = read(client, table)
    got.validate(full=True)
    assert got.schema.types == [pa.string(), pa.large_string(), pa.binary(), pa.large_binary(),
                                pa.list_(pa.int64()), pa.large_list(pa.int64())]
    assert got["s"].to_pylist() == got["ls"].to_pylist() == texts * 4
    assert got["b"].to_pylist() == got["lb"].to_pylist() == [b"", LONG.encode(), None] * 4
    assert got["l"].to_pylist() == got["ll"].to_pylist() == lists * 4


INTEGERS = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
WIDENED = [
    *[(a, b) for a, b in itertools.permutations(INTEGERS, 2)
      if int(b.lstrip("uint")) > int(a.lstrip("uint")) and (a[0] == "u" or b[0] == "i")],
    ("float", "double"), ("int8", "double"), ("int16", "double"), ("int32", "double"), ("uint8", "double"), ("uint16", "double"),
    ("decimal128(5, 2)", "decimal128(12, 2)"), ("decimal128(12, 2)", "decimal256(40, 2)"), ("decimal256(40, 2)", "decimal256(50, 2)"),
    ("timestamp[s]", "timestamp[ns]"), ("timestamp[ms, tz=UTC]", "timestamp[us, tz=Europe/Stockholm]"),
    ("timestamp[ns]", "timestamp[us]"), ("timestamp[us, tz=UTC]", "timestamp[ms, tz=UTC]"),
    ("null", "int64"), ("null", "string"), ("null", "struct<a: int64>"), ("null", "list<item: string>"),
    ("list<item: int8>", "list<item: int64>"), ("struct<a: int32>", "struct<a: int64>"),
    ("map<string, int32>", "map<string, int64>"), ("fixed_size_list<item: float>[2]", "fixed_size_list<item: double>[2]"),
]
LOSSY = [
    ("int64", "int32"), ("uint64", "int64"), ("int8", "uint8"), ("int8", "uint16"), ("uint32", "int32"), ("int64", "double"),
    ("uint32", "float"), ("int16", "float"), ("double", "float"), ("float", "int32"), ("decimal128(12, 2)", "decimal128(5, 2)"),
    ("decimal128(12, 2)", "decimal128(12, 3)"), ("decimal256(40, 2)", "decimal128(38, 2)"), ("timestamp[us]", "timestamp[us, tz=UTC]"),
    ("timestamp[us, tz=UTC]", "timestamp[us]"), ("string", "binary"), ("binary", "string"), ("string", "int64"), ("int64", "string"),
    ("bool", "int8"), ("date32[day]", "timestamp[ms]"), ("date32[day]", "date64[ms]"), ("time32[s]", "time64[us]"),
    ("fixed_size_list<item: float>[2]", "fixed_size_list<item: float>[3]"), ("list<item: string>", "list<item: int64>"),
    ("struct<a: int64, b: int64>", "struct<a: int64>"),
]
SAMPLES = {
    "f": [1.5, None, -2.0], "d": [1.5, None, -2.0], "null": [None, None, None], "decimal": [decimal.Decimal("1.25"), None, decimal.Decimal("-7.50")],
    "timestamp": [datetime.datetime(2026, 11, 22, 10), None, datetime.datetime(1969, 1, 1)], "list": [[], None, [1, None]],
    "struct": [{"a": 1}, None, {"a": None}], "map": [[], None, [("k", 1)]], "fixed": [[1, 2], None, [None, 4]], "string": ["a", None, ""],
    "binary": [b"a", None, b""], "bool": [True, None, False], "date": [DAY, None, DAY], "time32": [datetime.time(1), None, datetime.time(2)],
}


def arrow_type(text):
    """The pyarrow type of a text as pyarrow prints it, by way of the contract's own parser: here only what is used above."""
    simple = {"null": pa.null(), "float": pa.float32(), "double": pa.float64(), "string": pa.string(), "binary": pa.binary(), "bool": pa.bool_(),
              "date32[day]": pa.date32(), "date64[ms]": pa.date64(), "time32[s]": pa.time32("s"), "time64[us]": pa.time64("us")}
    if text in simple:
        return simple[text]
    if text.startswith(("int", "uint")):
        return getattr(pa, text)()
    inner = text[text.index("<") + 1:text.rindex(">")] if "<" in text else ""
    if text.startswith("decimal"):
        precision, scale = text[11:-1].split(", ")
        return (pa.decimal128 if "128" in text else pa.decimal256)(int(precision), int(scale))
    if text.startswith("timestamp"):
        unit, _, zone = text[10:-1].partition(", tz=")
        return pa.timestamp(unit, zone or None)
    if text.startswith("list"):
        return pa.list_(arrow_type(inner.removeprefix("item: ")))
    if text.startswith("fixed_size_list"):
        return pa.list_(arrow_type(inner.removeprefix("item: ")), int(text[-2]))
    if text.startswith("map"):
        return pa.map_(*map(arrow_type, inner.split(", ")))
    return pa.struct([(f.split(": ")[0], arrow_type(f.split(": ")[1])) for f in inner.split(", ")])


def sample(text):
    for start, values in SAMPLES.items():
        if text.startswith(start) and not (start in "fd" and text not in ("float", "double")):
            if text == "list<item: string>":
                values = [[], None, ["1", None]]
            return pa.array(values, arrow_type(text))
    signed = text.startswith("int")
    return pa.array([bounds(int(text.lstrip("uint")), signed)[-1], None, -1 if signed else 0], arrow_type(text))


@pytest.mark.parametrize("sent,stored", WIDENED, ids=lambda t: t)
def test_widening(client, table, sent, stored):
    assert str(arrow_type(sent)) == sent
    create(client, table, {"v": stored})
    value = sample(sent)
    put(client, table, pa.table({"v": value}))
    put(client, table, pa.table({"v": value}).slice(1, 2))
    got = read(client, table)
    got.validate(full=True)
    assert str(got.schema.field("v").type) == stored
    want = value.cast(arrow_type(stored)).to_pylist()
    assert got["v"].to_pylist() == want + want[1:]


@pytest.mark.parametrize("sent,stored", LOSSY, ids=lambda t: t)
def test_lossy_is_refused(client, table, sent, stored):
    create(client, table, {"v": stored})
    with refused("SCHEMA_MISMATCH", "v", "durable: 0 batches, 0 rows", "rest: not appended"):
        put(client, table, pa.table({"v": sample(sent)}))
    assert read(client, table).num_rows == 0


def test_timestamps_that_lose_digits(client, table):
    """A coarser unit takes what fits, value by value."""
    create(client, table, {"v": "timestamp[ms]"})
    put(client, table, pa.table({"v": pa.array([1_000_000, None, -5_000_000], pa.timestamp("ns"))}))
    with refused("SCHEMA_MISMATCH", "v", "rest: not appended"):
        put(client, table, pa.table({"v": pa.array([1_000_001], pa.timestamp("ns"))}))
    with refused("SCHEMA_MISMATCH", "v"):
        put(client, table, pa.table({"v": pa.array([2**62], pa.timestamp("s"))}))
    assert read(client, table)["v"].cast(pa.int64()).to_pylist() == [1, None, -5]


@pytest.mark.parametrize("type", [pa.sparse_union([pa.field("a", pa.int64())]), pa.decimal32(5, 2), pa.decimal64(5, 2)], ids=str)
def test_types_that_are_no_columns(client, table, type):
    column = pa.UnionArray.from_sparse(pa.array([0], pa.int8()), [pa.array([1])], ["a"]) if pa.types.is_union(type) else pa.array([1], type)
    with refused("SCHEMA_MISMATCH", '"v"'):
        put(client, table, pa.table({"v": column}))


def test_null_column_needs_a_type(client, table):
    with refused("SCHEMA_MISMATCH", '"v"', "type"):
        put(client, table, pa.table({"id": [1], "v": pa.nulls(1)}))
    with refused("TABLE_NOT_FOUND"):
        read(client, table)


def test_required_column(client, table):
    """A nullable field is taken for a required column; a null in it is not."""
    schema = pa.schema([pa.field("id", pa.int64(), nullable=False), pa.field("v", pa.string())])
    create(client, table, schema)
    put(client, table, pa.table({"id": [1, 2], "v": ["a", None]}))
    with refused("SCHEMA_MISMATCH", "id", "rest: not appended"):
        put(client, table, pa.table({"id": [3, None], "v": ["a", "b"]}))
    got = read(client, table)
    assert got.schema.remove_metadata() == schema
    assert got["id"].to_pylist() == [1, 2]


@pytest.mark.parametrize("extension", ["uuid", "json", "tensor", "bool8"])
def test_extension_types_pass_as_metadata(client, table, extension):
    storage = {
        "uuid": (pa.uuid(), pa.array([uuid.UUID(int=5).bytes, None], pa.binary(16))),
        "json": (pa.json_(), pa.array(['{"a": 1}', None])),
        "tensor": (pa.fixed_shape_tensor(pa.float32(), [2, 2]), pa.array([[1, 2, 3, 4], [5, 6, 7, 8]], pa.list_(pa.float32(), 4))),
        "bool8": (pa.bool8(), pa.array([1, None], pa.int8())),
    }
    type, values = storage[extension]
    data = pa.table({"v": pa.ExtensionArray.from_storage(type, values)})
    put(client, table, data)
    put(client, table, pa.table({"v": values}))
    got = read(client, table)
    assert got.schema.field("v").type == type
    assert got["v"].to_pylist() == data["v"].to_pylist() * 2
    described = action(client, "table.describe", {"table": table})[0]
    assert described["columns"][0]["type"] == str(values.type)


def test_metadata_is_kept(client, table):
    """User metadata of schema and fields is kept, but for "pandas" and "quiver"."""
    schema = pa.schema([pa.field("id", pa.int64(), metadata={"unit": "m"})], metadata={"source": "sensor", "pandas": "{}", "quiver": "x"})
    put(client, table, pa.table({"id": [1]}, schema=schema))
    got = read(client, table)
    assert got.schema.metadata[b"source"] == b"sensor"
    assert b"pandas" not in got.schema.metadata
    assert got.schema.metadata[b"quiver"].startswith(b"{")
    assert got.schema.field("id").metadata == {b"unit": b"m"}


def test_column_names(client, table):
    data = pa.table({"Unit price": [1.5], "Größe": ["x"], "a.b": [1], "'": [2], '"': [3], "SELECT": [4], "__index_level_0__": [5], "x" * 255: [6]})
    put(client, table, data)
    assert read(client, table).to_pylist() == data.to_pylist()
    assert read(client, table, columns=["Größe", "a.b"]).column_names == ["Größe", "a.b"]


@pytest.mark.parametrize("name", ["", "a\nb", "x" * 256, "__offset", "__bucket", "__timestamp", "__partition", "__change_type", "__key_index", "__expected_offset"],
                         ids=["empty", "control", "long", *"offset bucket timestamp partition change key expected".split()])
def test_column_names_that_are_refused(client, table, name):
    with refused("BAD_NAME"):
        put(client, table, pa.table({"id": [1], name: [1]}))


def frame_of_pandas():
    return pd.DataFrame({
        "name": ["a", None, LONG], "n": [1, 2, 3], "x": [1.5, None, 2.5],
        "when": pd.to_datetime(["2026-11-22", None, "1969-07-20"], format="mixed"),
        "zoned": pd.to_datetime(["2026-11-22", "2026-11-23", None]).tz_localize("Europe/Stockholm"),
        "kind": pd.Categorical(["u", "v", "u"]), "flag": pd.array([True, None, False], dtype="boolean"),
    }, index=[10, 20, 30])


def test_frame_from_pandas(client, table):
    frame = frame_of_pandas()
    data = pa.Table.from_pandas(frame)
    put(client, table, data)
    put(client, table, data.slice(1))
    got = read(client, table)
    got.validate(full=True)
    assert got.schema.field("kind").type == data.schema.field("kind").type.value_type
    assert got.schema.field("zoned").type.tz == "Europe/Stockholm"
    assert got["__index_level_0__"].to_pylist() == [10, 20, 30, 20, 30]
    back = got.slice(0, 3).to_pandas().set_index("__index_level_0__")
    back.index.name = None
    assert back.pop("flag").tolist() == [True, None, False]  # pandas' own boolean type is not asked for
    plain = frame.drop(columns="flag").astype({"kind": back["kind"].dtype})
    pd.testing.assert_frame_equal(back, plain, check_dtype=False)


def test_pandas_into_a_plain_table(client, table):
    """pandas 3 sends large_string where the table has string, and null for a column without values."""
    create(client, table, {"name": "string", "x": "double", "n": "int64"})
    put(client, table, pa.Table.from_pandas(pd.DataFrame({"name": ["a", "b"], "x": [1.0, 2.0], "n": [1, 2]}), preserve_index=False))
    put(client, table, pa.table({"name": pa.nulls(2), "x": pa.nulls(2), "n": [3, 4]}))
    assert read(client, table).to_pylist()[1:3] == [{"name": "b", "x": 2.0, "n": 2}, {"name": None, "x": None, "n": 3}]


def test_frame_from_polars(client, table):
    frame = pl.DataFrame({
        "name": ["a", None, LONG], "n": [1, 2, 3], "x": [1.5, None, 2.5], "kind": pl.Series(["u", "v", "u"], dtype=pl.Categorical),
        "level": pl.Series(["lo", "hi", None], dtype=pl.Enum(["lo", "hi"])), "items": [[1, 2], None, []], "pair": [{"a": 1, "b": "x"}] * 3,
        "when": pl.Series([datetime.datetime(2026, 11, 22)] * 3, dtype=pl.Datetime("us", "UTC")), "day": [DAY] * 3,
        "vector": pl.Series([[1.0, 2.0]] * 3, dtype=pl.Array(pl.Float32, 2)), "raw": [b"x", None, b""],
    })
    for level in (pl.CompatLevel.oldest(), pl.CompatLevel.newest()):
        put(client, f"{table}_{level._version}", frame.to_arrow(compat_level=level))
        got = read(client, f"{table}_{level._version}")
        got.validate(full=True)
        back = pl.from_arrow(got).with_columns(pl.col("kind").cast(pl.Categorical), pl.col("level").cast(pl.Enum(["lo", "hi"])))
        assert back.equals(frame.cast(dict(back.schema))), back
        assert back.drop("kind").equals(frame.drop("kind"))


def test_many_columns(client, table):
    data = pa.table({f"c{i}": pa.array([i, None], pa.int32()) for i in range(2000)})
    put(client, table, data)
    assert_same(read(client, table), data)
    assert read(client, table, columns=["c1999", "c0"])["c1999"].to_pylist() == [1999, None]
    with refused("SCHEMA_MISMATCH", "2000"):
        put(client, table + "_more", pa.table({f"c{i}": [1] for i in range(2001)}))


def test_nesting(client, table):
    def nested(depth):
        type = pa.int32()
        for _ in range(depth - 1):
            type = pa.list_(type)
        value = 7
        for _ in range(depth - 1):
            value = [value]
        return pa.table({"v": pa.array([value, None], type)})

    put(client, table, nested(32))
    assert_same(read(client, table), nested(32))
    with refused("SCHEMA_MISMATCH", "32"):
        put(client, table + "_deeper", nested(33))


def test_long_strings_in_one_batch(client, table):
    """A batch far above what is stored at once comes back whole."""
    data = pa.table({"id": range(40), "v": ["x" * 500_000 + str(i) for i in range(40)]})
    put(client, table, data)
    got = read(client, table)
    assert_same(got, data)
    assert len(got["v"].chunks) > 1


def test_rows_without_a_body(client, table):
    """A column of nothing but nulls travels without a byte of body."""
    create(client, table, {"v": "int64"})
    put(client, table, pa.table({"v": pa.nulls(3)}))
    got = read(client, table)
    got.validate(full=True)
    assert got["v"].to_pylist() == [None, None, None] and got.schema.field("v").type == pa.int64()
