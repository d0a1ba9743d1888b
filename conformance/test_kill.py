"""kill -9, again and again, under real producers and readers: nothing acknowledged is lost, doubled or changed.

QUIVER_TORTURE_SECONDS is how long the loop runs, QUIVER_SEED what it draws from (printed with every failure).
"""

import os
import pathlib
import random
import subprocess
import threading
import time

import pytest

from conftest import BINARY, FAULT_BINARY, Server, action, create, latest
from history import SCHEMA, History, judge, make_put
from workload import (ERRORS, Anonymous, Broken, Follower, Named, Poller, PutStream, Refused, Sequenced, World,
                      check_segments, raised, read_logs, told)

SECONDS = float(os.environ.get("QUIVER_TORTURE_SECONDS") or 60)
SEED = int(os.environ.get("QUIVER_SEED") or random.SystemRandom().randrange(1 << 32))
ROUND = 20  # seconds with one table
PUTS = ("arrowlog.commit.", "arrowlog.roll.", "arrowlog.index.", "arrowlog.checkpoint.")  # points whose errors puts survive


def points():
    """The names of all fault points of a server; those of quiver append are hit by a client."""
    listed = subprocess.run([FAULT_BINARY], env={"QUIVER_FAULT": "list"}, check=True, capture_output=True, text=True)
    return [name for name in listed.stdout.split() if not name.startswith("quiver.append.")]


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
        """Starts the server: as it is, or with a point that will kill it, or with one that will fail once."""
        hit = int(self.random.expovariate(0.1)) + 1
        kill = f"{self.random.choice(self.points)}=kill@{hit}"
        fail = f"{self.random.choice([point for point in self.points if point.startswith(PUTS)])}=error@{hit}"
        order = self.random.choices((None, kill, fail), (4, 4, 2))[0]
        self.armed = {"QUIVER_FAULT": order} if order else {}
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
        options = {"segment.bytes": self.random.choice(("64KiB", "4MiB", "32MiB")),
                   "compression": self.random.choice(("as-sent", "as-sent", "none", "lz4", "zstd"))}
        self.start()
        self.retry(lambda client: create(client, table, SCHEMA, buckets=buckets, options=options))
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
            assert self.server.verify() == [], "found in what a kill has left"
            check_segments(self.server.data, self.segments)
            self.start()
            if self.random.random() < 0.1:
                checked = None  # all of it once more
            checked = self.check(table, buckets, history, checked)
            self.world.announce()
        self.kill()
        self.armed = {}
        self.server.start()
        self.check(table, buckets, history)
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


class Drained(Anonymous):
    """Puts until the server drains, and keeps what it was told."""

    said = None  # stays so for one that was between two calls when the server closed the connection

    def session(self, client):
        try:
            while True:
                super().session(client)
        except Refused as refused:
            self.said = refused.reason
        except Broken:
            pass
        return True


def test_drain(tmp_path):
    """SIGTERM under load: streams end with SERVER_DRAINING after what they staged is settled; all of it is there."""
    server = Server(tmp_path / "data", binary=BINARY).start()
    world, history = World(server), History(tmp_path / "history")
    world.announce()
    with server.client() as client:
        create(client, "drained", SCHEMA, buckets=3)
    producers = [Drained(world, history, "drained", number, SEED, 3) for number in range(4)]
    follower = Follower(world, history, "drained", 10, 3)
    for member in (*producers, follower):
        member.start()
    with server.client() as client:  # until there is something to lose
        while sum(latest(client, "drained").values()) < 20000 and not world.failures:
            now = {str(bucket): offset for bucket, offset in latest(client, "drained").items()}
            action(client, "log.wait", {"table": "drained", "offsets": now, "timeout_ms": 1000})
    assert server.stop() == 0
    for producer in producers:
        producer.join(30)
    assert not world.failures, "\n".join(world.failures)
    assert {producer.said for producer in producers} - {None} == {"SERVER_DRAINING"}
    assert "panic" not in server.log.read_text()
    check_segments(server.data)
    server.start()
    world.announce()
    with server.client() as client:
        follower.finish(latest(client, "drained"))
        assert not world.failures, "\n".join(world.failures)
        faults = judge(history.story(), read_logs(client, "drained", 3), 3)
    assert not faults, "\n".join(faults[:20])
    assert server.stop() == 0


def test_drain_does_not_wait_for_silent_clients(tmp_path):
    """A put stream that is open and says nothing, and a follower that waits, end at once."""
    server = Server(tmp_path / "data", binary=BINARY).start()
    with server.client() as client:
        create(client, "silent", SCHEMA)
        stream = PutStream(client, "silent")
        stream.send(make_put(1, 0, 10, 10))
        stream.flush()
        begun = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - begun < 5
        with pytest.raises(Refused) as refused:
            stream.close()
    assert (refused.value.reason, refused.value.batches, refused.value.rest) == ("SERVER_DRAINING", 1, "not appended")


def test_second_process(tmp_path):
    """A directory belongs to one process; another may have it once that was killed."""
    server = Server(tmp_path / "data", binary=BINARY).start()
    second = subprocess.run([BINARY, "dev", "--data", server.data, "--flight-addr", "127.0.0.1:0", "--http-addr", "127.0.0.1:0"],
                            capture_output=True, text=True, timeout=30)
    assert second.returncode == 1
    assert f"{server.data} is in use by another process" in second.stderr and "stop it" in second.stderr
    with server.client() as client:
        create(client, "mine", SCHEMA)
    server.kill()
    server.start()
    with server.client() as client:
        assert [row["table"] for row in action(client, "table.list")] == ["default.mine"]
    assert server.stop() == 0


def test_writer_ids(tmp_path):
    """Ids are never handed out twice and epochs never fall, however often the server dies while it gives them out."""
    server = Server(tmp_path / "data", binary=FAULT_BINARY)
    dice = random.Random(SEED)
    given, names, lock = [], {}, threading.Lock()

    def ask(number):
        with server.client() as client:
            for n in range(1000):
                try:
                    with told():
                        plain, = action(client, "writer.init", {})
                        named, = action(client, "writer.init", {"name": f"loader-{number}"})
                except Broken:
                    return
                with lock:
                    given.append(plain["writer_id"])
                    names.setdefault(number, []).append((named["writer_id"], named["writer_epoch"]))

    for life in range(12):
        point = dice.choice(("metastore.commit.before-write", "metastore.commit.after-sync"))
        server.start(env={"QUIVER_FAULT": f"{point}=kill@{dice.randint(2, 60)}"})
        askers = [threading.Thread(target=ask, args=[number], daemon=True) for number in range(3)]
        for asker in askers:
            asker.start()
        assert server.died(60), "the point was not hit"
        for asker in askers:
            asker.join(30)
            assert not asker.is_alive()
    given += {pairs[0][0] for pairs in names.values()}
    assert len(given) == len(set(given)) > 12, sorted(given)
    for number, pairs in names.items():
        assert len({writer for writer, _ in pairs}) == 1, f"loader-{number} was {pairs}"
        epochs = [epoch for _, epoch in pairs]
        assert epochs == sorted(set(epochs)), f"loader-{number} got the epochs {epochs}"
