"""One fixed course through everything that a server writes, and data directories as crashes leave them.

The course is walked by one client on a server that may die, or fail, anywhere; what it was told is judged afterwards.
"""

import itertools
import os
import pathlib
import shutil
import time

import pyarrow as pa

from conftest import FAULT_BINARY, Server, action, command, create, latest, ticket
from history import SCHEMA, History, judge, make_put
from workload import Producer, PutStream, Refused, Sequenced, World, check_segments, read_logs, told

TABLE, BUCKETS = "events", 2
CURRENT, KEYS = "current", 50  # a primary-key table, all of whose rows are put again and again
KEPT = "kept"  # another one, whose changelog is deleted: its rows are in checkpoints only


class Course:
    """A server on a directory of its own, one sequenced and one anonymous producer, and their history."""

    def __init__(self, folder, *flags):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.server = Server(self.folder / "data", *flags, binary=FAULT_BINARY)
        self.world = World(self.server)
        self.history = History(self.folder / "history")
        self.sequenced = Sequenced(self.world, self.history, TABLE, 1, 0, BUCKETS)
        self.plain = Producer(self.world, self.history, TABLE, 2, 0, BUCKETS)
        self.refusals = set()  # (reason, rest) of every call that failed
        self.deleted = dict.fromkeys(range(BUCKETS), 0)  # what log.delete-before was asked for, at most
        self.round, self.acked = 0, 0  # of upserts of CURRENT: the last one sent, and the last one acknowledged
        self.tables = {}  # name -> whether it is there: True, False, or None where a call had no answer
        self.extra = itertools.count()
        self.patient = False  # calls that are refused are tried again

    def copy(self, folder):
        """The same in another directory: what this one's server left, and all that is known about it."""
        self.server.kill()
        shutil.copytree(self.folder, folder)
        other = Course(folder)
        for mine, its in ((self.sequenced, other.sequenced), (self.plain, other.plain)):
            its.next = mine.next
        its = other.sequenced
        its.writer, its.epoch, its.pending = self.sequenced.writer, self.sequenced.epoch, list(self.sequenced.pending)
        its.recent, its.acked = self.sequenced.recent.copy(), dict(self.sequenced.acked)
        other.world.writer_ids = list(self.world.writer_ids)
        other.round, other.acked = self.round, self.acked
        return other

    def call(self, step, deadline=20):
        """Takes a step; a patient course takes it again when it was refused."""
        end = time.monotonic() + deadline
        while True:
            try:
                with told():
                    return step()
            except Refused as refused:
                self.refusals.add((refused.reason, refused.rest))
                if not self.patient or time.monotonic() > end:
                    raise

    def make(self, client, table):
        self.tables[table] = None
        action(client, "table.create", {"table": table, "schema": [{"name": "x", "type": "int64"}], "if_not_exists": True})
        self.tables[table] = True

    def drop(self, client, table):
        self.tables[table] = None
        action(client, "table.drop", {"table": table, "if_exists": True})
        self.tables[table] = False

    def make_parted(self, client, table):
        """A table with partitions and bucket key that keeps its rows for a second."""
        self.tables[table] = None
        action(client, "table.create", {
            "table": table, "schema": [{"name": "x", "type": "int64"}, {"name": "p", "type": "string"}], "partition_by": ["p"],
            "bucket_key": ["x"], "buckets": 4, "options": {"retention.time": "1s"}, "if_not_exists": True})
        self.tables[table] = True

    def spread(self, client, table):
        """A batch that falls into all buckets of three partitions, which it makes."""
        rows = pa.table({"x": range(60), "p": ["a", "b", "c"] * 20})
        writer, _ = client.do_put(command(put=table), rows.schema)
        writer.write_table(rows)
        writer.close()

    def expire(self, client, table):
        """Waits until rows have expired."""
        end = time.monotonic() + 15
        while all(row["offset"] == 0 for row in action(client, "log.offsets", {"table": table, "at": "earliest"})):
            assert time.monotonic() < end, "nothing expires"
            time.sleep(0.05)

    def drop_partition(self, client, table, partition):
        action(client, "partition.drop", {"table": table, "partition": partition, "if_exists": True})

    def upsert(self, client, count=1):
        """Every key of both primary-key tables gets the number of the round."""
        for _ in range(count):
            self.round += 1
            rows = pa.table({"k": range(KEYS), "round": [self.round] * KEYS})
            for table in (CURRENT, KEPT):
                writer, _ = client.do_put(command(put=table), rows.schema)
                writer.write_table(rows)
                writer.close()
            self.acked = self.round

    def forget(self, client):
        """Deletes the changelog of KEPT, for which a checkpoint is made."""
        self.upsert(client)
        action(client, "log.delete-before", {"table": KEPT, "offsets": {"0": latest(client, KEPT)[0]}})

    def check_current(self, client):
        """Every row is that of a round not before the last acknowledged one, and the changelog tells the same."""
        rows, faults = {}, []
        for table in (CURRENT, KEPT):
            read = client.do_get(ticket(table=table)).read_all().to_pydict()
            rows[table] = dict(zip(read["k"], read["round"]))
            faults += [f"key {key} of {table} is of round {rows[table].get(key)}, acknowledged was {self.acked}, sent {self.round}"
                       for key in range(KEYS) if not self.acked <= rows[table].get(key, 0) <= self.round]
            if not len(read["k"]) == len(rows[table]) == KEYS:
                faults.append(f"{table} has {len(read['k'])} rows of {len(rows[table])} keys")
        log = client.do_get(ticket(table=CURRENT, read="log")).read_all().to_pydict()
        folded = dict(zip(log["k"], log["round"]))
        if rows[CURRENT] != folded:
            faults.append(f"the changelog leaves {folded}, the rows are {rows[CURRENT]}")
        return faults

    def fill(self, client, table):
        """A few rows for a table whose rows nobody judges."""
        writer, _ = client.do_put(command(put=table), pa.schema({"x": pa.int64()}))
        writer.write_table(pa.table({"x": range(10)}))
        writer.close()

    def init(self, client):
        answer, = action(client, "writer.init", {})
        assert answer["writer_id"] not in self.world.writer_ids, f"{answer} was handed out before"
        self.world.writer_ids.append(answer["writer_id"])

    def resume(self, client):
        """The sequenced producer looks at what the server knows, and sends again what it does not know to be stored."""
        self.sequenced.init(client)
        self.sequence(client)

    def sequence(self, client, rows=0, width=20, count=0):
        """So many new puts of the sequenced producer, behind those that are pending, in one stream."""
        mine = self.sequenced
        self.sequence_later(rows, width, count)
        if not mine.pending:
            return
        stream = PutStream(client, TABLE, writer_id=mine.writer, writer_epoch=mine.epoch, sequence=mine.pending[0][0])
        mine.send(stream, list(mine.pending))
        stream.close()

    def sequence_later(self, rows, width, count):
        """New puts of the sequenced producer that are pending from now on."""
        mine = self.sequenced
        mine.pending += [(n, make_put(1, n, rows, width)) for n in range(mine.next, mine.next + count)]
        mine.next += count

    def put(self, client, rows, width, count=1, **options):
        """Puts of the anonymous producer; never sent twice."""
        puts = [(self.plain.next + i, make_put(2, self.plain.next + i, rows, width)) for i in range(count)]
        self.plain.next += count
        stream = PutStream(client, TABLE, **options)
        self.plain.send(stream, puts)
        stream.close()

    def delete(self, client):
        """Deletes about a third of what is there."""
        offsets = {bucket: offset // 3 for bucket, offset in latest(client, TABLE).items()}
        self.deleted = {bucket: max(self.deleted[bucket], offset) for bucket, offset in offsets.items()}
        action(client, "log.delete-before", {"table": TABLE, "offsets": {str(bucket): offset for bucket, offset in offsets.items()}})

    def prepare(self):
        """Makes the table and enough rows for several segments in each bucket."""
        with self.server.client() as client:
            create(client, TABLE, SCHEMA, buckets=BUCKETS, options={"segment.bytes": "64KiB"})
            self.sequenced.init(client)
            self.sequence(client, 300, 40, 24)
            for bucket in range(BUCKETS):
                self.put(client, 500, 40, 8, bucket=bucket)
            for table in (CURRENT, KEPT):
                action(client, "table.create", {
                    "table": table, "schema": [{"name": "k", "type": "int64"}, {"name": "round", "type": "int64"}],
                    "primary_key": ["k"]})  # one bucket: what fails of a put is all of it
            self.upsert(client, 10)
            self.forget(client)
            self.upsert(client)

    def walk(self):
        """Everything that a server does with its disk, in turn. Broken if the server dies on the way."""
        with self.server.client() as client:
            call, extra = self.call, f"extra_{next(self.extra)}"
            call(lambda: read_logs(client, TABLE, BUCKETS))
            parted = f"extra_{next(self.extra)}"
            call(lambda: self.make_parted(client, parted))
            call(lambda: self.spread(client, parted))
            call(lambda: self.upsert(client, 10))
            for _ in range(2):
                call(lambda: self.forget(client))
            call(lambda: self.resume(client))
            for rows, width, count in ((1, 20, 5), (300, 40, 8), (3000, 2500, 1), (1, 20, 3)):
                for bucket in range(BUCKETS):
                    call(lambda: self.put(client, rows, width, count, bucket=bucket))
                self.sequence_later(rows, width, count)
                call(lambda: self.sequence(client))
            call(lambda: self.make(client, extra))
            call(lambda: self.fill(client, extra))
            call(lambda: self.init(client))
            call(lambda: self.delete(client))
            call(lambda: read_logs(client, TABLE, BUCKETS))
            call(lambda: self.drop(client, extra))
            last = f"extra_{next(self.extra)}"
            call(lambda: self.make(client, last))
            call(lambda: self.drop(client, last))
            call(lambda: self.init(client))
            call(lambda: self.expire(client, parted))
            for partition in ("p=a", "p=b"):
                call(lambda partition=partition: self.drop_partition(client, parted, partition))
            call(lambda: self.drop(client, parted))

    def check(self):
        """Compares what is there with what was told. Nothing is being put."""
        with self.server.client() as client:
            logs = read_logs(client, TABLE, BUCKETS)
            faults = judge(self.history.story(), logs, BUCKETS)
            faults += [f"deleted: bucket {bucket} begins at {log.start}, asked for was {self.deleted[bucket]}"
                       for bucket, log in logs.items() if log.start > self.deleted[bucket]]
            faults += self.check_current(client)
            there = {row["table"] for row in action(client, "table.list")}
            for table, expected in self.tables.items():
                if expected is not None and expected != (f"default.{table}" in there):
                    faults.append(f"table {table} should be {'there' if expected else 'gone'}")
            assert not faults, "\n".join(faults[:20])
        return logs

    def recover(self):
        """Starts the server that died again and checks; then both producers go on, and all is checked once more."""
        self.server.start()
        self.check()
        self.patient = False
        with self.server.client() as client:
            self.init(client)
            self.resume(client)
            self.sequence(client, 5, 20, 4)
            self.put(client, 5, 20, 4)
            self.upsert(client)
        self.check()
        assert all(put.done for put in self.history.story().puts.values() if put.writer is not None)
        self.server.kill()
        check_segments(self.server.data)

    def close(self):
        self.server.kill()
        self.history.close()


def last_batches(path):
    """Where each message of a segment begins, and where the last one ends."""
    ends = [0]
    with pa.memory_map(str(path)) as file:
        reader = pa.ipc.MessageReader.open_stream(file)
        while True:
            try:
                reader.read_next_message()
            except StopIteration:
                return ends
            ends.append(file.tell())


def last_segments(data):
    """The segment of each bucket of the first table that is written to."""
    return [sorted(directory.glob("*.arrows"))[-1] for directory in sorted(data.glob("log/1/0/*"))]


def tear(data):
    """Leaves in every bucket what a torn group leaves: bytes behind the last batch that are no batch."""
    for path in last_segments(data):
        end = last_batches(path)[-1]
        with path.open("r+b") as file:
            file.seek(end + 8)
            file.write(os.urandom(3000))


def damage_rows(course):
    """Leaves a store of current rows that cannot be opened."""
    for path in course.server.data.glob("kv/db/MANIFEST-*"):
        path.write_bytes(b"damaged")


def lose_rows(course):
    """Leaves no store of current rows."""
    shutil.rmtree(course.server.data / "kv")


def lose_seal(course):
    """Leaves no store of current rows, and a checkpoint of them that cannot be used as a whole."""
    lose_rows(course)
    seal, = course.server.data.glob("kv-checkpoint/*/SEAL")
    seal.unlink()


def cut_units(course):
    """Leaves in every bucket a put of several pieces whose last piece did not reach the disk."""
    course.server.start(env={"QUIVER_FAULT": "arrowlog.commit.before-sync=error@1,arrowlog.commit.after-sync=error@1"})
    with course.server.client() as client:
        for bucket in range(BUCKETS):
            try:
                course.put(client, 3000, 2500, bucket=bucket)
            except Refused as refused:
                assert (refused.reason, refused.rest) == ("LEADER_NOT_AVAILABLE", "unknown")
            else:
                raise AssertionError("the put should have failed at its sync")
    course.server.kill()
    for path in last_segments(course.server.data):
        *_, start, end = last_batches(path)
        with path.open("r+b") as file:
            file.seek(start)
            file.write(bytes(end - start))
