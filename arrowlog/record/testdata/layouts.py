"""Streams as pyarrow clients send them, and a check of what the gate made of them.

    layouts.py write DIR    for each case: NAME.sent.arrows, NAME.table.arrows (its schema), NAME.want.arrows
    layouts.py check DIR    every NAME.VARIANT.got.arrows against NAME.want.arrows, validated in full
"""
import decimal
import os
import random
import sys

import pyarrow as pa
import pyarrow.compute as pc


def texts(n, nulls=True):
    r = random.Random(n)
    pick = ["", "a", "quiver", "é€😀", "a text that is longer than twelve bytes", None if nulls else "x"]
    return [r.choice(pick) for _ in range(n)]


def ints(n, bits=31, nulls=True):
    r = random.Random(n + bits)
    return [None if nulls and r.random() < 0.2 else r.randrange(-2 ** (bits - 1), 2 ** (bits - 1)) for _ in range(n)]


def cases():
    """Yields name, what is sent, and what the table should have of it (the type decides the table's column)."""
    n = 300
    plain = pa.array(texts(n), pa.string())
    yield "string", plain, plain
    yield "large_string", plain.cast(pa.large_string()), plain
    yield "string_view", plain.cast(pa.string_view()), plain
    yield "to_large", plain, plain.cast(pa.large_string())
    binary = plain.cast(pa.binary())
    yield "binary_view", binary.cast(pa.binary_view()), binary
    for index in (pa.int8(), pa.uint8(), pa.int16(), pa.uint32(), pa.int64(), pa.uint64()):
        yield f"dictionary_{index}", plain.dictionary_encode().cast(pa.dictionary(index, pa.string())), plain
    large = plain.cast(pa.large_string())
    yield "dictionary_large", large.dictionary_encode(), plain
    yield "dictionary_ints", pa.array(ints(n, 4), pa.int64()).dictionary_encode(), pa.array(ints(n, 4), pa.int64())
    values = pa.array(["x", None, "y"])
    indices = pa.array([i % 3 if i % 7 else None for i in range(n)], pa.int8())
    yield "dictionary_with_nulls", pa.DictionaryArray.from_arrays(indices, values), values.take(indices)
    runs = pa.array([i // 9 if i // 9 % 5 else None for i in range(n)], pa.int32())
    yield "runs", pc.run_end_encode(runs), runs
    yield "runs_of_text", pc.run_end_encode(plain, run_end_type=pa.int64()), plain
    lists = pa.array([[1, 2], None, [], [3, None, 4]] * (n // 4), pa.list_(pa.int16()))
    yield "list", lists, lists
    yield "large_list", lists.cast(pa.large_list(pa.int16())), lists
    yield "list_widened", lists, lists.cast(pa.large_list(pa.int64()))
    child = pa.array(range(50), pa.int32())
    offsets = pa.array([(i * 7) % 40 for i in range(n)], pa.int32())
    sizes = pa.array([i % 5 for i in range(n)], pa.int32())
    rows = [list(range(o, o + s)) for o, s in zip(offsets.to_pylist(), sizes.to_pylist())]
    yield "list_view", pa.ListViewArray.from_arrays(offsets, sizes, child), pa.array(rows, pa.list_(pa.int32()))
    large_views = pa.LargeListViewArray.from_arrays(offsets.cast(pa.int64()), sizes.cast(pa.int64()), child)
    yield "large_list_view", large_views, pa.array(rows, pa.large_list(pa.int32()))
    words = pa.array([["a", "b"], None, ["a", None], []] * (n // 4), pa.list_(pa.string()))
    packed = pa.ListArray.from_arrays(words.offsets, words.values.dictionary_encode(), mask=words.is_null())
    yield "list_of_dictionary", packed, words
    struct = pa.array([{"a": 1, "b": "x"}, None, {"a": None, "b": None}] * (n // 3), pa.struct([("a", pa.int32()), ("b", pa.string())]))
    sent = pa.StructArray.from_arrays(
        [struct.field("b").cast(pa.string_view()), struct.field("a").dictionary_encode()], ["b", "a"], mask=struct.is_null())
    yield "struct", sent, struct
    maps = pa.array([[("k", 1), ("l", None)], None, []] * (n // 3), pa.map_(pa.string(), pa.int64()))
    yield "map", maps, maps
    vectors = pa.array([[1.5, 2.5, None], None] * (n // 2), pa.list_(pa.float32(), 3))
    yield "vector", vectors, vectors
    yield "vector_widened", vectors, vectors.cast(pa.list_(pa.float64(), 3))
    yield "null", pa.nulls(n), pa.nulls(n, pa.float64())
    yield "null_list", pa.nulls(n), pa.nulls(n, pa.list_(pa.string()))
    yield "null_null", pa.nulls(n), pa.nulls(n)
    for small, large in [(pa.int8(), pa.int64()), (pa.int16(), pa.int32()), (pa.int32(), pa.float64())]:
        a = pa.array(ints(n, small.bit_width), small)
        yield f"{small}_to_{large}", a, a.cast(large)
    for small, large in [(pa.uint8(), pa.uint64()), (pa.uint8(), pa.int16()), (pa.uint32(), pa.int64())]:
        a = pa.array([None if v is None else abs(v) for v in ints(n, 8)], small)
        yield f"{small}_to_{large}", a, a.cast(large)
    yield "float_to_double", pa.array([1.5, None, float("nan")] * 100, pa.float32()), pa.array([1.5, None, float("nan")] * 100, pa.float64())
    money = pa.array([decimal.Decimal("-12.34"), None, decimal.Decimal("99999.99")] * 100, pa.decimal128(7, 2))
    yield "decimal", money, money.cast(pa.decimal128(30, 2))
    yield "decimal256", money, money.cast(pa.decimal256(50, 2))
    stamps = pa.array([None if v is None else v * 1000 for v in ints(n, 40)], pa.timestamp("us", "UTC"))
    yield "stamps_coarser", stamps, stamps.cast(pa.timestamp("ms", "UTC"))
    yield "stamps_finer", stamps, stamps.cast(pa.timestamp("ns", "UTC"))
    yield "bool", pa.array([True, None, False] * 100), pa.array([True, None, False] * 100)
    yield "half", pa.array(ints(n, 8), pa.float16()), pa.array(ints(n, 8), pa.float16())
    yield "interval", pa.array([(1, 2, 3), None] * 150, pa.month_day_nano_interval()), pa.array([(1, 2, 3), None] * 150, pa.month_day_nano_interval())
    yield "fixed", pa.array([b"abc", None] * 150, pa.binary(3)), pa.array([b"abc", None] * 150, pa.binary(3))
    uuids = pa.array([bytes(range(i, i + 16)) if i % 5 else None for i in range(150)] * 2, pa.uuid())
    yield "uuid", uuids, uuids
    documents = pa.array(['{"a": 1}', None] * 150, pa.json_())
    yield "json", documents, documents
    yield "json_large", pa.array(['{"a": 1}', None] * 150, pa.json_(pa.large_string())), documents
    listed = pa.ListArray.from_arrays(pa.array([0, 1, 3, 3] + [3] * 297, pa.int32()), uuids[:3])
    yield "list_of_uuid", listed, listed


def save(path, table, options=None, chunk=None):
    with pa.OSFile(path, "wb") as f, pa.ipc.new_stream(f, table.schema, options=options) as w:
        w.write_table(table, chunk)


def write(folder):
    for name, sent, want in cases():
        ids = pa.array(range(len(want)), pa.int64())
        table = pa.table({"id": ids, "x": want})
        for codec in (None, "lz4", "zstd"):
            case = os.path.join(folder, f"{name}-{codec}")
            options = pa.ipc.IpcWriteOptions(compression=codec, emit_dictionary_deltas=True)
            # Slices, so that batches start in the middle of bitmaps, and dictionaries come once or by deltas.
            save(case + ".sent.arrows", pa.table({"x": sent, "id": ids}), options, chunk=77)
            save(case + ".want.arrows", table)
            save(case + ".table.arrows", table.slice(0, 0))


def read(path):
    with pa.memory_map(path) as f:
        return pa.ipc.open_stream(f).read_all()


def same(got, want):
    """Compares with NaN equal to NaN: by what both print, where they are not plainly equal."""
    return got.equals(want) or got.to_pylist().__repr__() == want.to_pylist().__repr__()


def check(folder):
    checked = 0
    for name in sorted(os.listdir(folder)):
        if not name.endswith(".got.arrows"):
            continue
        got = read(os.path.join(folder, name))
        want = read(os.path.join(folder, name.split(".")[0] + ".want.arrows"))
        got.validate(full=True)
        assert got.schema.types == want.schema.types, f"{name}: {got.schema} is not {want.schema}"
        for column in want.column_names:
            assert same(got[column].combine_chunks(), want[column].combine_chunks()), f"{name}: column {column} differs"
        checked += 1
    print(f"{checked} streams are as they should be")


if __name__ == "__main__":
    {"write": write, "check": check}[sys.argv[1]](sys.argv[2])
