"""Hostile clients: what they send is refused with a reason, costs bounded memory, and harms nobody else."""

import json
import pathlib
import random
import re
import struct
import threading
import time

import pyarrow as pa
import pyarrow.flight as fl
import pytest

from conftest import action, command, create, ids, path, put, read, reason, ticket

grpc = pytest.importorskip("grpc")

SERVICE = "/arrow.flight.protocol.FlightService/"


def varint(n):
    out = b""
    while n > 0x7F:
        out, n = out + bytes([n & 0x7F | 0x80]), n >> 7
    return out + bytes([n])


def field(number, data):
    """A protobuf field of bytes."""
    return varint(number << 3 | 2) + varint(len(data)) + data


def described(table):
    """A FlightDescriptor of a path."""
    return b"\x08\x01" + field(3, b"default") + field(3, table.encode())


def flight_data(header=b"", body=None, descriptor=None):
    message = field(1, descriptor) if descriptor else b""
    message += field(2, header)
    return message if body is None else message + field(1000, body)


def messages(batches, **options):
    """The IPC messages of a stream, each as header and body."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batches[0].schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        for batch in batches:
            writer.write_batch(batch)
    data, out = sink.getvalue().to_pybytes(), []
    while data:
        size = struct.unpack_from("<i", data, 4)[0]
        if size == 0:
            break
        header, data = data[8:8 + size], data[8 + size:]
        length = body_length(header)
        out.append((header, data[:length]))
        data = data[length:]
    return out


def body_length(header):
    """The field bodyLength of a Message flatbuffer."""
    root = struct.unpack_from("<I", header)[0]
    table = root - struct.unpack_from("<i", header, root)[0]
    if struct.unpack_from("<H", header, table)[0] < 12:
        return 0
    place = struct.unpack_from("<H", header, table + 10)[0]
    return struct.unpack_from("<q", header, root + place)[0] if place else 0


@pytest.fixture
def raw(server):
    """DoPut without a library in between: frames in, (status code, text) out."""
    with grpc.insecure_channel(server.address, options=[("grpc.max_send_message_length", -1)]) as channel:
        call = channel.stream_stream(SERVICE + "DoPut", lambda b: b, lambda b: b)

        def send(table, stream, timeout=60):
            frames = [flight_data(*stream[0], descriptor=described(table))]
            frames += [flight_data(header, body) for header, body in stream[1:]]
            try:
                for _ in call(iter(frames), timeout=timeout):
                    pass
                return grpc.StatusCode.OK, ""
            except grpc.RpcError as error:
                return error.code(), error.details()

        yield send


def memory(server, key="VmRSS"):
    """Megabytes that the server's process has, or has had at most (VmHWM)."""
    text = pathlib.Path(f"/proc/{server.process.pid}/status").read_text()
    return int(re.search(key + r":\s+(\d+)", text).group(1)) >> 10


def together(n, run):
    threads = [threading.Thread(target=run) for _ in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_batch_without_body(client, raw, table):
    """A batch without rows has no body. One with rows and no body is refused, and harms nobody."""
    put(client, table, pa.Table.from_batches([ids(3), ids(0), ids(3)]))
    writer, _ = client.do_put(path(table), ids(0).schema)
    writer.write_batch(ids(0))
    writer.close()
    schema, batch = messages([ids(5)])
    for body in (None, b""):
        code, text = raw(table, [schema, (batch[0], body)])
        assert code == grpc.StatusCode.INVALID_ARGUMENT and text.startswith("MALFORMED_BATCH: "), text
    assert read(client, table).num_rows == 6


def test_mutated_messages(client, raw, table):
    """Streams with bytes changed, cut and swapped end with a reason or are taken; what is taken reads back sound."""
    seed = random.randrange(1 << 32)
    print("seed", seed)
    rng = random.Random(seed)
    rows = pa.record_batch({
        "i": pa.array([1, None, 3], pa.int32()), "s": ["a", None, "ccc"], "l": [[1], None, [2, 3]],
        "v": pa.array(["short", None, "a text that is longer"], pa.string_view()),
        "d": pa.array(["x", "y", "x"]).dictionary_encode(), "t": pa.array([1, 2, None], pa.timestamp("us", "UTC")),
    })
    streams = [messages([rows, rows], **options) for options in ({}, {"compression": "lz4"}, {"compression": "zstd"})]
    assert raw(table, streams[0])[0] == grpc.StatusCode.OK
    for _ in range(1500):
        stream = list(rng.choice(streams))
        at = rng.randrange(1, len(stream))
        header, body = stream[at]
        if rng.random() < 0.6:
            header = mutated(rng, header)
        else:
            body = mutated(rng, body)
        stream[at] = header, body
        code, text = raw(table, stream)
        if code != grpc.StatusCode.OK:
            assert code == grpc.StatusCode.INVALID_ARGUMENT, (code, text)
            assert re.match(r"[A-Z_]+: .*; durable: \d+ batches, \d+ rows; rest: not appended$", text), text
    read(client, table).validate(full=True)


def mutated(rng, data):
    data = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8))):
        if not data:
            break
        at = rng.randrange(len(data))
        kind = rng.randrange(4)
        if kind == 0:
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            at = min(at & ~3, max(len(data) - 4, 0))
            data[at:at + 4] = struct.pack("<i", rng.choice((0, 1, -1, 2**31 - 1, -2**31, 8, 100)))
        elif kind == 2:
            at = min(at & ~7, max(len(data) - 8, 0))
            data[at:at + 8] = struct.pack("<q", rng.choice((-1, 2**31, 2**40, 2**63 - 1, -2**63, 64, 7)))
        else:
            del data[at:]
    return bytes(data)


def test_bombs(client, server, raw, table):
    """What little bytes become is bounded, over all streams together."""
    before = memory(server, "VmHWM")
    noise = random.Random(1)
    big = pa.array([noise.randbytes(8000) + bytes(512 << 10) for _ in range(150)], pa.large_binary())
    packed = messages([pa.record_batch({"b": big})], compression="zstd")
    assert sum(len(body) for _, body in packed) < 2 << 20
    codes = []
    together(8, lambda: codes.append(raw(table, packed)[0]))
    assert codes == [grpc.StatusCode.OK] * 8
    runs = pa.RunEndEncodedArray.from_arrays(pa.array([1900], pa.int32()), pa.array(["z" * 1_000_000]))
    code, text = raw(table + "_runs", messages([pa.record_batch({"r": runs})]))
    assert code == grpc.StatusCode.INVALID_ARGUMENT and text.startswith("BATCH_TOO_LARGE: "), text
    grown = memory(server, "VmHWM") - before
    assert grown < 900, f"the server took {grown} MiB more"
    assert read(client, table, limit=1).num_rows == 1


def test_dictionary_flood(client, server, raw, table):
    """Streams that only add to their dictionaries are refused before they take the machine."""
    before = memory(server, "VmHWM")
    kind = pa.dictionary(pa.int32(), pa.string())
    values = ["a" * 100, "b" * 1_000_000]
    batches = [pa.record_batch({"d": pa.DictionaryArray.from_arrays(pa.array([0], pa.int32()), pa.array(values[:n]))})
               for n in (1, 2)]
    assert batches[0].schema.field("d").type == kind
    stream = messages(batches, emit_dictionary_deltas=True)
    delta = stream[3]
    assert len(stream) == 5 and len(delta[1]) > 1_000_000
    refused = []

    def flood():
        refused.append(raw(table, stream[:2] + [delta] * 120))

    together(6, flood)
    assert {code for code, _ in refused} <= {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.OK}
    assert any(text.startswith("OVERLOADED: ") for _, text in refused), refused
    grown = memory(server, "VmHWM") - before
    assert grown < 2500, f"the server took {grown} MiB more"
    assert raw(table, stream)[0] == grpc.StatusCode.OK, "the dictionaries were not given back"


def test_drops_while_others_write(client, server, table):
    """Tables that come and go under their readers and writers look like that, never like a disk that fails."""
    until = time.monotonic() + 4
    faults = []

    def change():
        with server.client() as own:
            while time.monotonic() < until:
                create(own, table, {"id": "int64"}, buckets=4, if_not_exists=True)
                action(own, "table.drop", {"table": table, "if_exists": True})

    def use():
        with server.client() as own:
            while time.monotonic() < until:
                try:
                    put(own, table, pa.Table.from_batches([ids(50)] * 5))
                    read(own, table)
                except (pa.ArrowException, fl.FlightError, KeyError) as error:
                    if reason(error) not in ("TABLE_NOT_FOUND", "LEADER_NOT_AVAILABLE"):
                        faults.append(str(error))

    workers = [threading.Thread(target=run) for run in (change, change, use, use, use)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not faults, faults[0]
    put(client, table + "_after", pa.Table.from_batches([ids(5)]))
    assert read(client, table + "_after").num_rows == 5
    assert server.get("/readyz")[0] == 200


def test_flushes_that_nobody_reads(client, server, table):
    """A client that asks to be answered at length and does not listen is not read on; the server keeps little."""
    before = memory(server)
    with grpc.insecure_channel(server.address, options=[("grpc.max_send_message_length", -1)]) as channel:
        schema = messages([ids(1)])[0]
        wish = field(3, json.dumps({"flush": "x" * 500_000}).encode())

        def frames():
            yield flight_data(*schema, descriptor=described(table))
            for _ in range(400):
                yield wish

        call = channel.stream_stream(SERVICE + "DoPut", lambda b: b, lambda b: b)(frames())
        put(client, table, pa.Table.from_batches([ids(5)]))
        time.sleep(1)
        grown = memory(server) - before
        call.cancel()
    assert grown < 150, f"the server keeps {grown} MiB"


def keyed(client, table, **more):
    """A primary-key table with some columns."""
    return action(client, "table.create", {"table": table, "primary_key": ["id"], "schema": [
        {"name": "id", "type": "string", "nullable": False}, {"name": "a", "type": "string"},
        {"name": "b", "type": "binary"}, {"name": "c", "type": "int32"}], **more})


def upsert(client, rows, **words):
    """Puts rows by a command and waits."""
    writer, _ = client.do_put(command(**words), rows.schema)
    writer.write_table(rows)
    writer.close()


def test_long_keys(client, table):
    """A key has a limit, which the error names; nothing of the batch is stored."""
    keyed(client, table, buckets=2)
    rows = pa.table({"id": ["x", "x" * 65536], "a": ["1", "2"]})
    upsert(client, rows, put=table)
    for words in ({}, {"op": "delete"}):
        with pytest.raises(pa.ArrowInvalid) as error:
            upsert(client, pa.table({"id": ["y", "y" * 65537], "a": ["1", "2"]}), put=table, **words)
        assert reason(error.value) == "SCHEMA_MISMATCH" and "65537 bytes, at most 65536" in str(error.value)
    writer, reader = client.do_exchange(command(lookup=table, insert_missing=True))
    with pytest.raises(pa.ArrowInvalid, match="SCHEMA_MISMATCH"):
        writer.begin(pa.schema({"id": pa.string()}))
        writer.write_table(pa.table({"id": ["y" * 65537]}))
        reader.read_chunk()
    assert sorted(read(client, table=table)["id"].to_pylist()) == ["x", "x" * 65536]


def test_few_bytes_that_touch_many(client, server, table):
    """Rows of 8 MiB that are asked for again and again, or changed again and again, by small batches."""
    keyed(client, table)
    upsert(client, pa.table({"id": ["x"], "b": [bytes(8 << 20)]}), put=table)
    before = memory(server)
    writer, reader = client.do_exchange(command(lookup=table, columns=["b"]))
    keys = pa.table({"id": ["x"] * 8000})
    writer.begin(keys.schema)
    writer.write_table(keys)
    assert sum(reader.read_chunk().data.num_rows for _ in range(20)) >= 20
    reader.cancel()
    with pytest.raises(pa.ArrowInvalid) as error:
        upsert(client, pa.table({"id": ["x"] * 8000, "a": [str(i) for i in range(8000)]}), put=table, columns=["a"])
    assert reason(error.value) == "BATCH_TOO_LARGE" and "rows at a time" in str(error.value)
    assert memory(server) - before < 3 << 30
    assert read(client, table=table)["a"].to_pylist() == [None]


def test_lookups_that_nobody_reads(server, table):
    """Clients that write keys and read nothing hold up no put, and the server ends all the same."""
    with server.client() as client:
        keyed(client, table)
        upsert(client, pa.table({"id": ["x"], "b": [bytes(1 << 20)]}), put=table)
    keys = pa.table({"id": ["x"] * (8 << 20)})
    lost = [server.client() for _ in range(4)]
    calls = [c.do_exchange(command(lookup=table, columns=["b"])) for c in lost]

    def write(writer):
        try:
            writer.begin(keys.schema)
            for _ in range(4):
                writer.write_table(keys)
        except pa.ArrowException:
            pass  # cancelled below

    threads = [threading.Thread(target=write, args=(writer,)) for writer, _ in calls]
    for thread in threads:
        thread.start()
    with server.client() as client:
        for i in range(10):
            upsert(client, pa.table({"id": [f"k{i}"]}), put=table)
        assert read(client, table=table).num_rows == 11
    for _, reader in calls:
        reader.cancel()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
