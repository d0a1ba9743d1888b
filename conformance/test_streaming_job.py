"""The job in examples/ under kill -9 of the job and of the server: each sale is counted once, whatever died when.

What it wrote is compared with a count of the whole log that knows nothing of it, and so is every row that the changelog
ever showed: each is what the sales before its offset come to.

QUIVER_TORTURE_SECONDS is how long it goes on, in rounds of a few strikes, else it is one round; QUIVER_SEED is what it
draws from (printed)."""

import collections
import datetime
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

import pyarrow as pa
import pyarrow.flight as fl
import pytest

from conftest import BINARY, ROOT, Server, action, command, create, latest, put, read

SECONDS = float(os.environ.get("QUIVER_TORTURE_SECONDS") or 0)
STRIKES = 12  # of a round
SEED = int(os.environ.get("QUIVER_SEED") or random.SystemRandom().randrange(1 << 32))
SALES = pa.schema([pa.field("store", pa.string(), False), pa.field("at", pa.timestamp("ms", "UTC"), False), pa.field("cents", pa.int64(), False)])
BROKEN = (fl.FlightError, pa.ArrowException, OSError)


def fixed_port(dice):
    """A port that the server gets at every start: below those that the system hands out to others."""
    while True:
        port = dice.randint(12_000, 30_000)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                pass


class Job:
    """One process of the job. It is started with the object."""

    def __init__(self, command, address):
        self.process = subprocess.Popen([*command, "--server", address], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.lines, self.told, self.over = collections.deque(maxlen=40), threading.Condition(), False
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            with self.told:
                self.lines.append(line)
                self.told.notify_all()
        with self.told:
            self.over = True
            self.told.notify_all()

    def works(self):
        """Waits until it counted something, in this life or before it lost the server."""
        with self.told:
            assert self.told.wait_for(lambda: self.over or any("counted to" in line for line in self.lines), 60), "the job does nothing"
        self.lives()

    def lives(self):
        assert self.process.poll() is None, f"the job ended by itself, with {self.process.returncode}:\n" + "".join(self.lines)

    def kill(self):
        self.lives()
        self.end()

    def end(self):
        self.process.kill()
        self.process.wait()
        self.reader.join()
        self.process.stdout.close()


class Till(threading.Thread):
    """Puts sales, exactly once: numbered batches under a name, sent again from the first that was not acknowledged."""

    def __init__(self, address, seed):
        super().__init__(daemon=True)
        self.address, self.dice = address, random.Random(f"{seed}/till")
        self.stop, self.failure = threading.Event(), None
        self.batches, self.acknowledged = [], 0  # all that were ever made, and how many of them are durable

    def make(self):
        """A batch of sales of now, of a minute ago, and a few of up to half an hour ago."""
        rows = self.dice.choice((1, 3, 20, 150))
        stores = [f"store-{int(self.dice.paretovariate(0.8)) % 9}" for _ in range(rows)]
        now = datetime.datetime(2026, 11, 22, 10, tzinfo=datetime.timezone.utc) + datetime.timedelta(seconds=len(self.batches))
        late = [self.dice.choice((1, 60, 60, 1800)) * self.dice.random() for _ in range(rows)]
        at = [now - datetime.timedelta(seconds=seconds) for seconds in late]
        return pa.record_batch([stores, pa.array(at, SALES.field("at").type), [self.dice.randint(-500, 9_999) for _ in range(rows)]], schema=SALES)

    def done(self):
        return self.stop.is_set() and self.acknowledged == len(self.batches)

    def session(self):
        with fl.connect(f"grpc://{self.address}") as client:
            me, = action(client, "writer.init", {"name": "till"})
            writer, answers = client.do_put(command(put="sales", sequence=self.acknowledged, **me), SALES)
            try:
                sent = self.acknowledged
                while not self.done():
                    if sent == len(self.batches) and not self.stop.is_set():
                        self.batches.append(self.make())
                    if sent < len(self.batches):
                        writer.write_batch(self.batches[sent])
                        sent += 1
                        if self.dice.random() < 0.7:
                            continue
                    writer.write_metadata(b'{"flush": true}')
                    while not (answer := json.loads(answers.read().to_pybytes()))["flush"]:
                        pass
                    self.acknowledged = answer["sequence"] + 1
                    self.stop.wait(0.04)
            finally:
                writer.close()

    def run(self):
        try:
            while not self.done():
                try:
                    self.session()
                except BROKEN:
                    self.stop.wait(0.02)  # until the server is there again
        except BaseException as failure:
            self.failure = failure


class Count:
    """What sales come to, by store and minute."""

    def __init__(self):
        self.sales = self.cents = self.until = 0

    def add(self, offset, cents):
        self.sales, self.cents, self.until = self.sales + 1, self.cents + cents, offset + 1

    def row(self):
        return self.sales, self.cents, self.until


def counted(client):
    """Every row that there must ever be, by window: what the sales up to each one of it come to."""
    states = collections.defaultdict(list)
    for bucket in range(3):
        counts = collections.defaultdict(Count)
        for sale in read(client, "sales", bucket=bucket, system_columns=["__offset"]).to_pylist():
            window = sale["store"], sale["at"].replace(second=0, microsecond=0)
            counts[window].add(sale["__offset"], sale["cents"])
            states[window].append(counts[window].row())
    return states


def check(client):
    """Compares the table, and every change of it, with the log."""
    states = counted(client)
    row = lambda r: ((r["store"], r["minute"]), (r["sales"], r["cents"], r["until"]))
    assert dict(map(row, read(client, "sales_per_minute").to_pylist())) == {window: all_[-1] for window, all_ in states.items()}
    states, shown, changes = {window: set(all_) for window, all_ in states.items()}, {}, 0
    for change in read(client, "sales_per_minute", read="log").to_pylist():
        window, now = row(change)
        assert change["__change_type"] in ("+I", "-U", "+U")
        if change["__change_type"] == "-U":
            assert now == shown[window]
            continue
        assert now in states[window], f"{window} was shown as {now}, which it never was"
        assert window not in shown or now[2] > shown[window][2], f"{window} went back from {shown[window]} to {now}"
        shown[window], changes = now, changes + 1
    return len(shown), changes


def complete(client):
    """Waits until all sales are counted."""
    end = time.monotonic() + 60
    while True:
        cursors = action(client, "cursor.list", {"table": "sales"})
        if cursors and cursors[0]["lag_rows"] == 0:
            return
        assert time.monotonic() < end, f"the job does not come to the end: {cursors}"
        now = {str(bucket): offset for bucket, offset in latest(client, "sales_per_minute").items()}
        action(client, "log.wait", {"table": "sales_per_minute", "offsets": now, "timeout_ms": 100})


class Nemesis:
    """Kills, stops and doubles jobs, and kills the server, at random moments."""

    def __init__(self, dice, server, job):
        self.dice, self.server, self.job = dice, server, job
        self.jobs, self.did = [job()], collections.Counter()
        self.clock = threading.Event()  # never set: it waits for a moment

    def pause(self):
        self.clock.wait(self.dice.choice((0.02, 0.1, 0.4)) * self.dice.random())

    def strike(self):
        self.pause()
        what = self.dice.choices((self.kill_job, self.kill_server, self.kill_both, self.double, self.sleepwalk), (6, 4, 2, 1, 1))[0]
        what()
        self.did[what.__name__] += 1

    def kill_job(self):
        """Another one takes its place; it is not killed before it counted something."""
        self.jobs[0].works()
        self.pause()
        self.jobs.pop(0).kill()
        if not self.jobs:
            self.jobs.append(self.job())

    def kill_server(self):
        for job in self.jobs:
            job.lives()
        if self.dice.random() < 0.2:
            assert self.server.stop() == 0  # with a goodbye
        else:
            self.server.kill()
        self.server.start()

    def kill_both(self):
        self.jobs[0].works()
        self.server.kill()
        self.kill_job()
        self.server.start()

    def double(self):
        """Two jobs, until one is killed."""
        self.jobs.append(self.job())

    def sleepwalk(self):
        """A job stands still while another one goes on, and goes on where it was."""
        self.jobs[0].works()
        self.jobs[0].process.send_signal(signal.SIGSTOP)
        self.double()
        self.jobs[-1].works()
        self.pause()
        self.jobs[0].process.send_signal(signal.SIGCONT)

    def end(self):
        for job in self.jobs:
            job.end()


JOBS = {"python": [sys.executable, ROOT / "examples" / "sales_per_minute.py"]}


def play(folder, program, seed):
    """One server, one job, a till, and twelve strikes."""
    dice = random.Random(seed)
    address = f"127.0.0.1:{fixed_port(dice)}"
    server = Server(folder / "data", "--flight-addr", address).start()
    with server.client() as client:
        create(client, "sales", SALES, buckets=3, bucket_key=["store"])
    till, nemesis = Till(address, seed), Nemesis(dice, server, lambda: Job(program, address))
    till.start()
    try:
        while nemesis.did.total() < STRIKES and not till.failure:
            nemesis.strike()
        till.stop.set()
        till.join(60)
        if till.failure:
            raise till.failure
        assert not till.is_alive()
        with server.client() as client:
            complete(client)
            windows, changes = check(client)
            sold = sum(latest(client, "sales").values())
            assert sold == sum(batch.num_rows for batch in till.batches)
        print(f"{seed}: {sold} sales, {windows} windows, {changes} changes, {dict(nemesis.did)}")
    finally:
        till.stop.set()
        nemesis.end()
        server.kill()


@pytest.mark.parametrize("program", JOBS.values(), ids=JOBS.keys())
def test_each_sale_is_counted_once(tmp_path, program):
    print(f"\nQUIVER_SEED={SEED}")
    end, number = time.monotonic() + SECONDS, 0
    while number == 0 or time.monotonic() < end:
        folder = tmp_path / str(number)
        folder.mkdir()
        play(folder, program, f"{SEED}/{number}")
        shutil.rmtree(folder)
        number += 1


@pytest.mark.parametrize("program", JOBS.values(), ids=JOBS.keys())
def test_what_the_job_refuses(new_server, program):
    """Logs of which no single offset tells what is counted, and counts of another log."""
    server = new_server()

    def refused():
        done = subprocess.run([*program, "--server", server.address], capture_output=True, text=True, timeout=60)
        assert done.returncode == 1
        return done.stderr

    with server.client() as client:
        create(client, "sales", SALES, buckets=2)
        assert "the sales of one store lie in several buckets" in refused()
        action(client, "table.drop", {"table": "sales"})
        create(client, "sales", SALES, buckets=2, bucket_key=["store"])
        job = Job(program, server.address)
        try:
            put(client, "sales", pa.table({"store": ["a"], "at": pa.array([0], pa.timestamp("ms", "UTC")), "cents": [5]}))
            job.works()
        finally:
            job.end()
        action(client, "table.drop", {"table": "sales"})
        create(client, "sales", SALES, buckets=2, bucket_key=["store"])
        assert "drop sales_per_minute, and count anew" in refused()


def test_the_demo_counts_each_bid_once(tmp_path):
    """`quiver demo --count` is the same job in Go. It is killed while it writes and counts, and so is the server under it."""
    address = f"127.0.0.1:{fixed_port(random.Random(SEED))}"
    server = Server(tmp_path / "data", "--flight-addr", address).start()
    demo = [BINARY, "demo", "--server", address, "--rate", "20k/s", "--count", "channel"]

    def counts_grow(process):
        """Waits for changes of the counts."""
        with server.client() as client:
            for _ in range(4):
                now = {str(bucket): offset for bucket, offset in latest(client, "bids_by_channel").items()}
                assert action(client, "log.wait", {"table": "bids_by_channel", "offsets": now, "timeout_ms": 60_000})
                assert process.poll() is None

    try:
        subprocess.run([*demo, "--rows", "1"], check=True, capture_output=True)
        for _ in range(3):
            process = subprocess.Popen(demo, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                counts_grow(process)
                server.kill()
                server.start()
                counts_grow(process)
            finally:
                process.kill()
                process.wait()
        done = subprocess.run([*demo, "--rows", "1"], check=True, capture_output=True, text=True)
        printed = {row["channel"]: (row["bids"], row["until"]) for row in map(json.loads, done.stdout.splitlines())}
        counts = collections.defaultdict(Count)
        with server.client() as client:
            for bid in read(client, "bids", columns=["channel", "__offset"]).to_pylist():
                counts[bid["channel"]].add(bid["__offset"], 0)
        assert printed == {channel: (count.sales, count.until) for channel, count in counts.items()}
    finally:
        server.kill()
