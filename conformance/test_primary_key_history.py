"""Random upserts and deletes over a few keys, under kill -9: rows, changelog and a map in Python say the same.

The seed of each run is printed; QUIVER_SEED runs one again."""

import os
import random
import time

import pyarrow as pa
import pyarrow.flight as fl

from conftest import Server, action, command, latest, put, read
from test_primary_key import KV, current, delete, find, fold, keyed, keys, rows

SECONDS = 12


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


def operation(client, rng, number):
    """One random put: (the call, what it makes of its keys)."""
    picked = [rng.randrange(12) for _ in range(rng.randint(1, 6))]
    if rng.random() < 0.3:
        return (lambda: delete(client, "t", *picked)), dict.fromkeys(picked)
    values = [(k, number * 10 + i, rng.choice([None, "", "x" * 2000])) for i, k in enumerate(picked)]
    return (lambda: put(client, "t", rows(*values))), {v[0]: v for v in values}


def check(client, oracle):
    got = current(client, "t")
    found = {row[0]: row for row in got}
    oracle.compare(found)
    state = fold(read(client, "t", read="log"))
    assert {k: tuple(r.values()) for k, r in state.items()} == found
    asked = find(client, "t", keys(*range(12))).drop_columns("__key_index")
    assert sorted(tuple(r.values()) for r in asked.to_pylist()) == got
    assert action(client, "table.stats", {"table": "t"})[-1]["rows"] == len(got)


def test_rows_are_the_changelog(tmp_path):
    seed = int(os.environ.get("QUIVER_SEED", random.randrange(2**32)))
    print(f"QUIVER_SEED={seed}")
    rng = random.Random(seed)
    server, oracle, number = Server(tmp_path / "data"), Oracle(), 0
    server.start()
    try:
        with server.client() as client:
            keyed(client, "t", buckets=3)
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            with server.client() as client:
                for _ in range(rng.randint(1, 40)):
                    call, changes = operation(client, rng, number)
                    number += 1
                    call()
                    oracle.take(changes)
                if rng.random() < 0.5:
                    check(client, oracle)
                call, changes = operation(client, rng, number)
                number += 1
                oracle.lost(changes)
                schema = KV
                writer, _ = client.do_put(command(put="t"), schema)
                if rng.random() < 0.5 and None not in changes.values():
                    writer.write_table(rows(*changes.values()))
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
                check(client, oracle)
        assert sum(latest(server.client(), "t").values()) > 0
    finally:
        server.kill()
