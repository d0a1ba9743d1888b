"""kill -9, again and again, under real producers and readers: nothing acknowledged is lost, doubled or changed.

QUIVER_TORTURE_SECONDS is how long the loop runs, QUIVER_SEED what it draws from (printed with every failure).
"""

import os
import pathlib
import random
import subprocess
import time

import pytest

from conftest import FAULT_BINARY, Server, action
from history import History, judge
from workload import (Anonymous, Broken, Follower, Named, Poller, Refused, Sequenced, World, check_segments, create,
                      latest, raised, read_logs, ERRORS)

SECONDS = float(os.environ.get("QUIVER_TORTURE_SECONDS") or 60)
SEED = int(os.environ.get("QUIVER_SEED") or random.SystemRandom().randrange(1 << 32))
ROUND = 20  # seconds with one table


def points():
    """The names of all fault points."""
    return subprocess.run([FAULT_BINARY], env={"QUIVER_FAULT": "list"}, check=True, capture_output=True, text=True).stdout.split()


class Loop:
    """Rounds of kills; each has a table, clients and a history of its own, all on one data directory."""

    def __init__(self, folder, seed):
        self.folder = pathlib.Path(folder)
        self.random = random.Random(seed)
        self.server = Server(self.folder / "data", binary=FAULT_BINARY)
        self.world = World(self.server)
        self.points = points()
        self.segments = {}  # that were read by pyarrow

    def start(self):
        """Starts the server, half of the times with a point that will kill it."""
        self.armed = {}
        if self.random.random() < 0.5:
            self.armed = {"QUIVER_FAULT": f"{self.random.choice(self.points)}=kill@{int(self.random.expovariate(0.1)) + 1}"}
        try:
            self.server.start(env=self.armed)
        except RuntimeError:
            if self.server.process.poll() != -9:
                raise
            self.world.count(kills=1, at_point=1)
            self.armed = {}
            self.server.start()

    def kill(self):
        """Waits for a random moment, or for the armed point, and ends the server."""
        pause = self.random.choice((0.05, 0.3, 1.5)) * self.random.random()
        try:
            code = self.server.process.wait(pause)
        except subprocess.TimeoutExpired:
            if self.random.random() < 0.15:
                code = self.server.stop()
                assert code == 0 or self.armed and code == -9, self.server.log.read_text()[-4000:]
                self.world.count(stops=1)
                return
            self.server.kill()
        else:
            assert self.armed and code == -9, self.server.log.read_text()[-4000:]
            self.world.count(at_point=1)
        self.world.count(kills=1)

    def round(self, number, seconds):
        """One table's life."""
        table, buckets = f"round_{number}", self.random.choice((1, 3))
        options = {"segment_bytes": self.random.choice(("64KiB", "4MiB", "32MiB")),
                   "compression": self.random.choice(("as-sent", "as-sent", "none", "lz4", "zstd"))}
        self.start()
        self.retry(lambda client: create(client, table, buckets, **options))
        history = History(self.folder / f"{table}.history")
        seed = self.random.random()
        make = lambda kind, n, *more: kind(self.world, history, table, n, *more, buckets)
        producers = [make(kind, n, seed) for n, kind in enumerate((Anonymous, Anonymous, Sequenced, Sequenced, Named))]
        readers = [make(Follower, 10), make(Poller, 11)]
        for client in producers + readers:
            client.start()
        end = time.monotonic() + seconds
        checked = None
        self.world.announce()
        while time.monotonic() < end and not self.world.failures:
            self.kill()
            check_segments(self.server.data, self.segments)
            self.start()
            if self.random.random() < 0.1:
                checked = None  # all of it once more
            checked = self.check(table, buckets, history, checked)
            self.world.announce()
        self.finish(table, buckets, history, producers, readers)

    def retry(self, call):
        """Calls with a client until the server lives long enough to answer."""
        while True:
            try:
                with self.server.client() as client:
                    return call(client)
            except ERRORS as error:
                if not isinstance(raised(error), Broken):
                    raise
                assert self.server.process.wait(30) == -9, self.server.log.read_text()[-4000:]
                self.world.count(kills=1, at_point=1)
                self.armed = {}
                self.server.start()

    def check(self, table, buckets, history, start=None):
        """Compares the logs from the offsets on with the history, while no client puts. Where the logs end."""
        logs = self.retry(lambda client: read_logs(client, table, buckets, start))
        faults = judge(history.story(), logs, buckets)
        assert not faults, "\n".join(faults[:20])
        return {bucket: log.stop for bucket, log in logs.items()}

    def finish(self, table, buckets, history, producers, readers):
        """Lets the clients come to their ends, and checks everything once more."""
        for client in producers:
            client.finish()
        with self.server.client() as client:
            target = latest(client, table)
            for reader in readers:
                reader.finish(target)
            assert not self.world.failures, "\n".join(self.world.failures)
            self.check(table, buckets, history)
            assert all(put.done for put in history.story().puts.values() if put.writer is not None)
            history.close()
            assert action(client, "table.drop", {"table": table}) == [{"dropped": True}]
        self.server.kill()


def test_kill_loop(tmp_path):
    print(f"\nQUIVER_SEED={SEED}")
    loop = Loop(tmp_path, SEED)
    end = time.monotonic() + SECONDS
    number = 0
    try:
        while time.monotonic() < end:
            loop.round(number, min(ROUND, end - time.monotonic()))
            number += 1
    finally:
        loop.world.end()
        loop.server.kill()
        print(f"QUIVER_SEED={SEED}: {number} rounds, {dict(loop.world.counts)}")
    ids = loop.world.writer_ids
    assert len(ids) == len(set(ids)), f"writer ids were handed out twice: {sorted(ids)}"
