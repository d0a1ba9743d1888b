"""Rows put from pyarrow land in the bucket that Iceberg gives them. testdata/iceberg/buckets.json has pyiceberg's answers."""

import collections
import json

import pyarrow as pa
import pyarrow.flight as fl
import pytest

from conftest import ROOT, create, put, read

CASES = json.loads((ROOT / "testdata" / "iceberg" / "buckets.json").read_text())

TYPES = {
    "bool": pa.bool_(), "string": pa.string(), "large_string": pa.large_string(), "binary": pa.binary(), "large_binary": pa.large_binary(),
    "date32[day]": pa.date32(), "date64[ms]": pa.date64(), "time32[s]": pa.time32("s"), "time32[ms]": pa.time32("ms"),
    "time64[us]": pa.time64("us"), "time64[ns]": pa.time64("ns"),
    **{name: getattr(pa, name)() for name in "int8 int16 int32 int64 uint8 uint16 uint32 uint64".split()},
    **{f"timestamp[{unit}{zone}]": pa.timestamp(unit, tz or None) for unit in ["s", "ms", "us", "ns"]
       for zone, tz in [("", ""), (", tz=UTC", "UTC"), (", tz=Europe/Stockholm", "Europe/Stockholm")]},
    **{f"decimal{bits}({p}, {s})": getattr(pa, f"decimal{bits}")(p, s)
       for bits, p, s in [(128, 9, 2), (128, 38, 10), (128, 38, 0), (256, 9, 2), (256, 38, 3)]},
}


def values(dt, texts):
    """The values of cases: integers and unscaled decimals in digits, times in their unit, binaries in hexadecimal."""
    if pa.types.is_boolean(dt) or pa.types.is_string(dt) or pa.types.is_large_string(dt):
        return pa.array(texts, dt)
    if pa.types.is_binary(dt) or pa.types.is_large_binary(dt):
        return pa.array([None if t is None else bytes.fromhex(t) for t in texts], dt)
    numbers = [None if t is None else int(t) for t in texts]
    if pa.types.is_decimal(dt):
        width = dt.bit_width // 8
        data = b"".join((n or 0).to_bytes(width, "little", signed=True) for n in numbers)
        valid = sum(1 << i for i, n in enumerate(numbers) if n is not None).to_bytes((len(numbers) + 7) // 8, "little")
        return pa.Array.from_buffers(dt, len(numbers), [pa.py_buffer(valid), pa.py_buffer(data)])
    if pa.types.is_integer(dt):
        return pa.array(numbers, dt)
    return pa.array(numbers, pa.int32() if dt.bit_width == 32 else pa.int64()).view(dt)


def by_type():
    found = collections.defaultdict(list)
    for case in CASES["one"]:
        if case["type"] in TYPES:  # fixed-size binaries are no keys
            found[case["type"]].append(case)
    return found


def landed(client, table):
    got = read(client, table, columns=["row"], system_columns=["__bucket"])
    return dict(zip(got["row"].to_pylist(), got["__bucket"].to_pylist(), strict=True))


@pytest.mark.parametrize("name", sorted(by_type()))
@pytest.mark.parametrize("buckets", [7, 16])
def test_one_column(client, table, name, buckets):
    cases, dt = by_type()[name], TYPES[name]
    data = pa.table({"k": values(dt, [c["value"] for c in cases]), "row": pa.array(range(len(cases)), pa.int32())})
    create(client, table, data.schema, bucket_key=["k"], buckets=buckets)
    put(client, table, data)
    assert landed(client, table) == {i: c["buckets"][str(buckets)] for i, c in enumerate(cases)}


def test_several_columns(client, table):
    done = 0
    for i, case in enumerate(CASES["several"]):
        if not all(t in TYPES for t in case["types"]):
            continue
        columns = {f"k{k}": values(TYPES[t], [v]) for k, (t, v) in enumerate(zip(case["types"], case["values"], strict=True))}
        data = pa.table({**columns, "row": pa.array([i], pa.int32())})
        name = f"{table}_{i}"
        create(client, name, data.schema, bucket_key=list(columns), buckets=1000)
        put(client, name, data)
        assert landed(client, name) == {i: case["buckets"]["1000"]}, case
        done += 1
    assert done > 30


@pytest.mark.parametrize("compression", ["lz4", "zstd"])
def test_compressed_rows_land_alike(client, table, compression):
    cases = by_type()["int64"] * 200
    data = pa.table({"k": values(pa.int64(), [c["value"] for c in cases]), "row": pa.array(range(len(cases)), pa.int32())})
    create(client, table, data.schema, bucket_key=["k"], buckets=16)
    writer, _ = client.do_put(fl.FlightDescriptor.for_path("default", table), data.schema,
                              options=fl.FlightCallOptions(write_options=pa.ipc.IpcWriteOptions(compression=compression)))
    with writer:
        writer.write_table(data)
    assert landed(client, table) == {i: c["buckets"]["16"] for i, c in enumerate(cases)}


def skipped(server):
    text = server.get("/metrics")[1].decode()
    return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith("quiver_scan_batches_skipped_total"))


@pytest.mark.parametrize("statistics, skips", [(None, True), ("id", True), ("text", False), ("none", False)])
@pytest.mark.parametrize("compression", [None, "lz4"])
def test_batches_are_skipped_by_their_statistics(server, client, table, statistics, skips, compression):
    """Ten batches with ids of their own: a filter on ids reads the one that has them, and finds the same rows without."""
    batches = [pa.record_batch({"id": pa.array(range(i * 10_000, (i + 1) * 10_000), pa.int64()),
                                "text": pa.array([f"row {n:08d} of batch {i}" for n in range(10_000)])}) for i in range(10)]
    create(client, table, batches[0].schema, options={"statistics": statistics} if statistics else {})
    options = fl.FlightCallOptions(write_options=pa.ipc.IpcWriteOptions(compression=compression))
    writer, _ = client.do_put(fl.FlightDescriptor.for_path("default", table), batches[0].schema, options=options)
    with writer:
        for batch in batches:
            writer.write_batch(batch)
    before = skipped(server)
    got = read(client, table, filter="id >= 41000 and id < 41003")
    assert got["id"].to_pylist() == [41000, 41001, 41002]
    assert (skipped(server) - before == 9) if skips else (skipped(server) == before)
