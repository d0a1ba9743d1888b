"""Random upserts and deletes over a few keys, under kill -9: rows, changelog and a map in Python say the same.

The seed of each run is printed; QUIVER_SEED runs one again."""

import os
import random
import time

import pyarrow as pa
import pyarrow.flight as fl
import pytest

from conftest import Server, action, command, latest, put, read
from test_primary_key import KV, current, find, fold, keyed, rows

SECONDS = 8


class Table:
    """The table under test. A partitioned one has the key's partition as one more column."""

    def __init__(self, partitioned):
        self.schema = KV.append(pa.field("p", pa.int64(), False)) if partitioned else KV
        self.key = ["k", "p"] if partitioned else ["k"]
        self.partition_by = ["p"] if partitioned else []

    def create(self, client):
        keyed(client, "t", self.schema, self.key, buckets=3, partition_by=self.partition_by)

    def row(self, k, *values):
        return (k, *values, k % 3)[: len(self.schema)]

    def rows(self, *values):
        return rows(*values, schema=self.schema)

    def keys(self, *picked):
        columns = {"k": pa.array(picked, pa.int64()), "p": pa.array([k % 3 for k in picked], pa.int64())}
        return pa.record_batch({name: columns[name] for name in self.key})

    def delete(self, client, *picked):
        put(client, "t", pa.Table.from_batches([self.keys(*picked)]), op="delete")


class Oracle:
    """What the table has to be. A batch whose answer was lost may have been taken or not, in each bucket for itself."""

    def __init__(self):
        self.rows = {}
        self.open = {}  # key -> what it may be too

    def take(self, changes):
        for k, row in changes.items():
            self.rows[k] = row
            self.open.pop(k, None)

    def lost(self, changes):
        for k, row in changes.items():
            self.open.setdefault(k, []).append(row)

    def compare(self, found):
        """found settles what was open."""
        for k in {*self.rows, *self.open, *found}:
            may = [self.rows.get(k), *self.open.get(k, [])]
            assert found.get(k) in may, (k, found.get(k), may)
        self.rows, self.open = dict(found), {}


def operation(client, table, rng, number):
    """One random put: (the call, what it makes of its keys)."""
    picked = [rng.randrange(12) for _ in range(rng.randint(1, 6))]
    if rng.random() < 0.3:
        return (lambda: table.delete(client, *picked)), dict.fromkeys(picked)
    values = [table.row(k, number * 10 + i, rng.choice([None, "", "x" * 2000])) for i, k in enumerate(picked)]
    return (lambda: put(client, "t", table.rows(*values))), {v[0]: v for v in values}


def check(client, table, oracle):
    got = sorted(current(client, "t"), key=lambda row: row[0])
    found = {row[0]: row for row in got}
    oracle.compare(found)
    state = fold(read(client, "t", read="log"))
    assert {k: tuple(r.values()) for k, r in state.items()} == found
    asked = find(client, "t", table.keys(*range(12))).drop_columns("__key_index")
    assert sorted((tuple(r.values()) for r in asked.to_pylist()), key=lambda row: row[0]) == got
    assert action(client, "table.stats", {"table": "t"})[-1]["rows"] == len(got)


@pytest.mark.parametrize("partitioned", [False, True], ids=["whole", "partitioned"])
def test_rows_are_the_changelog(tmp_path, partitioned):
    seed = int(os.environ.get("QUIVER_SEED", random.randrange(2**32)))
    print(f"QUIVER_SEED={seed}")
    rng = random.Random(seed)
    server, table, oracle, number = Server(tmp_path / "data"), Table(partitioned), Oracle(), 0
    server.start()
    try:
        with server.client() as client:
            table.create(client)
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            with server.client() as client:
                for _ in range(rng.randint(1, 40)):
                    call, changes = operation(client, table, rng, number)
                    number += 1
                    call()
                    oracle.take(changes)
                if rng.random() < 0.5:
                    check(client, table, oracle)
                call, changes = operation(client, table, rng, number)
                number += 1
                oracle.lost(changes)
                writer, _ = client.do_put(command(put="t"), table.schema)
                if rng.random() < 0.5 and None not in changes.values():
                    writer.write_table(table.rows(*changes.values()))
                else:
                    oracle.open.clear()
                if rng.random() < 0.8:
                    server.kill()
                else:
                    try:
                        writer.close()
                    except (pa.ArrowException, fl.FlightError, OSError):
                        pass
                    assert server.stop() == 0
                try:
                    writer.close()
                except (pa.ArrowException, fl.FlightError, OSError):
                    pass
            assert server.verify() == [], "found in what a kill has left"
            server.start()
            with server.client() as client:
                check(client, table, oracle)
        assert sum(latest(server.client(), "t").values()) > 0
    finally:
        server.kill()
