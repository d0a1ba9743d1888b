"""Current rows outlive their changelog, and the loss of their store, on the real program: kill -9, kv removed or damaged."""

import os
import random
import shutil
import time

import pyarrow as pa
import pyarrow.flight as fl
import pytest

from conftest import Server, action, command, latest, ticket

KEYS = pa.schema({"k": pa.int64(), "v": pa.int64()})


@pytest.fixture
def server(tmp_path):
    """Nobody asks for a sound directory: it is damaged here."""
    server = Server(tmp_path / "data").start()
    yield server
    server.kill()


def make(client, table, **options):
    action(client, "table.create", {
        "table": table, "schema": [{"name": "k", "type": "int64"}, {"name": "v", "type": "int64"}],
        "primary_key": ["k"], "buckets": 2, "options": options})


def upsert(client, table, rows, **options):
    batch = pa.table({"k": list(rows), "v": list(rows.values())}, KEYS)
    writer, _ = client.do_put(command(put=table, **options), batch.schema)
    writer.write_table(batch)
    writer.close()


def current(client, table):
    read = client.do_get(ticket(table=table)).read_all().to_pydict()
    rows = dict(zip(read["k"], read["v"]))
    assert len(rows) == len(read["k"])
    return rows


def patiently(call):
    """The call that meets damage first may be refused, to be sent again."""
    end = time.monotonic() + 20
    while True:
        try:
            return call()
        except fl.FlightError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


def starts(client, table):
    return {row["bucket"]: row["offset"] for row in action(client, "log.offsets", {"table": table, "at": "earliest"})}


def expire(client, table):
    """Waits until every bucket has lost changes."""
    end = time.monotonic() + 30
    while not all(starts(client, table).values()):
        assert time.monotonic() < end, "nothing expires"
        time.sleep(0.05)


def flip(path, rng):
    data = bytearray(path.read_bytes())
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    copy = path.with_name(path.name + ".copy")  # it may share its bytes with the checkpoint, which is another matter
    copy.write_bytes(data)
    copy.rename(path)


def remove_all(data, _):
    shutil.rmtree(data / "kv")


def remove_tables(data, _):
    for path in data.glob("kv/db/*.sst"):
        path.unlink()


def damage_manifest(data, rng):
    flip(next(data.glob("kv/db/MANIFEST-*")), rng)


def damage_tables(data, rng):
    for path in data.glob("kv/db/*.sst"):
        flip(path, rng)


def remove_checkpoint(data, _):
    shutil.rmtree(data / "kv-checkpoint")


def test_rows_outlive_their_changelog_and_their_store(server):
    """Each loss in turn, after kill -9 and with the changelog of before gone; upserts go on in between."""
    seed = int(os.environ.get("QUIVER_SEED", random.randrange(1 << 32)))
    print(f"QUIVER_SEED={seed}")
    rng = random.Random(seed)
    with server.client() as client:
        make(client, "kept", **{"retention.time": "1s"})
        make(client, "whole")
        rows = {k: 0 for k in range(1000)}
        upsert(client, "kept", rows)
        upsert(client, "whole", rows)
        expire(client, "kept")
    for lose in (remove_all, remove_tables, damage_manifest, damage_tables, remove_checkpoint):
        with server.client() as client:
            for _ in range(3):
                changed = {rng.randrange(1200): rng.randrange(1 << 40) for _ in range(200)}
                rows |= changed
                upsert(client, "kept", changed)
                upsert(client, "whole", changed)
        server.kill()
        lose(server.data, rng)
        server.start()
        with server.client() as client:
            for table in ("kept", "whole"):
                assert patiently(lambda table=table: current(client, table)) == rows, f"{table} after {lose.__name__}"
            assert all(starts(client, "kept").values())
            action(client, "log.delete-before", {"table": "kept", "offsets": {str(b): o for b, o in latest(client, "kept").items()}})
            assert action(client, "table.stats", {"table": "kept"})[-1]["rows"] == len(rows)


def test_lost_for_good(server):
    """Without store and checkpoint a table whose changelog was shortened says so; all others are there."""
    with server.client() as client:
        make(client, "kept", **{"retention.time": "1s"})
        make(client, "whole")
        upsert(client, "kept", {k: k for k in range(100)})
        upsert(client, "whole", {1: 1, 2: 2})
        expire(client, "kept")
    server.kill()
    remove_all(server.data, None)
    remove_checkpoint(server.data, None)
    server.start()
    with server.client() as client:
        assert current(client, "whole") == {1: 1, 2: 2}
        with pytest.raises(fl.FlightError) as error:
            current(client, "kept")
        assert "LEADER_NOT_AVAILABLE" in str(error.value)
        action(client, "table.drop", {"table": "kept"})
        make(client, "kept")
        upsert(client, "kept", {1: 1})
        assert current(client, "kept") == {1: 1}


def test_dropped_tables_give_their_space_back(server):
    """Dropping a table frees what the checkpoint held of it."""
    def size():
        return sum(path.stat().st_size for path in server.data.glob("kv*/**/*.sst"))

    with server.client() as client:
        action(client, "table.create", {
            "table": "wide", "schema": [{"name": "k", "type": "int64"}, {"name": "v", "type": "binary"}], "primary_key": ["k"]})
        batch = pa.table({"k": range(4000), "v": [os.urandom(500) for _ in range(4000)]})
        writer, _ = client.do_put(command(put="wide"), batch.schema)
        writer.write_table(batch)
        writer.close()
        action(client, "log.delete-before", {"table": "wide", "offsets": {"0": 4000}})
        assert size() > 4_000_000  # each file by both names
        action(client, "table.drop", {"table": "wide"})
        end = time.monotonic() + 15
        while size() > 200_000:
            assert time.monotonic() < end, f"{size()} bytes stay"
            time.sleep(0.05)
