"""Producers and readers that go on through kills, and note in a history what they did and saw.

Each is a thread. When its connection breaks it waits for the server to be started again; it never sleeps.
"""

import collections
import contextlib
import itertools
import json
import random
import re
import threading
import traceback

import pyarrow as pa
import pyarrow.flight as fl

from conftest import action, command, schema_note, ticket
from history import SCHEMA, Log, Rows, make_put

ERRORS = (fl.FlightError, pa.ArrowException, OSError)
RETRIABLE = {"LEADER_NOT_AVAILABLE", "NOT_ENOUGH_REPLICAS", "OVERLOADED", "SERVER_DRAINING"}


class Broken(Exception):
    """The connection broke: whatever had no answer is unknown."""


class Over(Exception):
    """The test is over; nothing is to be waited for."""


class Refused(Exception):
    """The server ended a call with a reason."""

    def __init__(self, reason, text):
        super().__init__(text)
        self.reason = reason
        found = re.search(r"durable: (\d+) batches, (\d+) rows(?:, sequence (\d+))?; rest: (not appended|unknown)", text)
        self.batches = int(found[1]) if found else None
        self.rest = found[4] if found else None


def raised(error):
    """What an error of pyarrow means: Refused with a reason, else Broken."""
    found = re.search(r"message: ([A-Z_]+): ", str(error))
    return Refused(found[1], str(error)) if found else Broken(str(error))


@contextlib.contextmanager
def told():
    """Turns pyarrow's errors into ours."""
    try:
        yield
    except ERRORS as error:
        raise raised(error) from error


class World:
    """The server as clients find it: killed and started again at any moment, each time on another port."""

    def __init__(self, server):
        self.server = server
        self.changed = threading.Condition()
        self.generation = 0
        self.over = False
        self.failures = []
        self.writer_ids = []  # as handed out to clients without a name
        self.counts = collections.Counter()

    def announce(self):
        """Lets the clients go on with the server that was just started."""
        with self.changed:
            self.generation += 1
            self.address = self.server.address
            self.changed.notify_all()

    def connect(self, after):
        """A client of a server started after that generation; waits for it."""
        with self.changed:
            if not self.changed.wait_for(lambda: self.over or self.generation > after, timeout=120):
                raise TimeoutError(f"no server was started after generation {after}")
            if self.over:
                raise Over
            return self.generation, fl.connect(f"grpc://{self.address}")

    def end(self):
        with self.changed:
            self.over = True
            self.changed.notify_all()

    def count(self, **numbers):
        with self.changed:
            self.counts.update(numbers)


class Client(threading.Thread):
    """One client. session works with one connection until it is done (True) or the connection breaks (raises)."""

    def __init__(self, world, history, table, number):
        super().__init__(name=f"{type(self).__name__.lower()}-{number}", daemon=True)
        self.world, self.history, self.table, self.number = world, history, table, number
        self.ending = threading.Event()

    def run(self):
        after = 0
        try:
            while True:
                generation, client = self.world.connect(after)
                try:
                    with client:
                        if self.session(client):
                            return
                except Broken:
                    after = generation
                except Refused as refused:
                    if refused.reason not in RETRIABLE:
                        raise
                    self.world.count(**{refused.reason: 1})
                    if refused.reason == "SERVER_DRAINING":
                        after = generation
        except Over:
            pass
        except BaseException:
            self.world.failures.append(f"{self.name}: {traceback.format_exc()}")

    def finish(self, timeout=60):
        """Asks it to come to its end and waits for that."""
        self.ending.set()
        self.join(timeout)
        if self.is_alive():
            self.world.failures.append(f"{self.name} does not end")

    def action(self, client, name, body=None):
        with told():
            return action(client, name, body)


class PutStream:
    """One DoPut. Errors come as Refused or Broken."""

    def __init__(self, client, table, **options):
        self.flushes = itertools.count()
        self.batches = 0  # durable, as the answers say
        self.duplicates = 0
        with told():
            self.writer, self.reader = client.do_put(command(put=table, **options), SCHEMA)

    def send(self, batch, metadata=None):
        try:
            if metadata is None:
                self.writer.write_batch(batch)
            else:
                self.writer.write_with_metadata(batch, json.dumps(metadata).encode())
        except ERRORS as error:
            self.fail(error)

    def flush(self):
        """Waits until everything sent is durable. The ranges that were told since the last flush."""
        echo, ranges = next(self.flushes), []
        try:
            self.writer.write_metadata(json.dumps({"flush": echo}).encode())
            while True:
                answer = self.reader.read()
                if answer is None:
                    break
                answer = json.loads(answer.to_pybytes())
                ranges += answer["ranges"]
                self.batches = answer["batches"]
                self.duplicates += answer["duplicates"]
                if answer["flush"] == echo:
                    return ranges
        except ERRORS as error:
            self.fail(error)
        self.fail(None)

    def fail(self, error):
        """Raises what the stream ended with: the end of the call says most."""
        try:
            self.writer.close()
        except ERRORS as last:
            raise raised(last) from error
        raise AssertionError(f"a stream failed with {error!r}, and close() returned") from error

    def close(self):
        with told():
            self.writer.close()


def places(puts, ranges, bucket_of=None):
    """Where each of several puts went, by the ranges their answers told: a list of (bucket, offset), or of None.

    puts are the rows of each, in order. bucket_of gives the bucket of the i-th, where that is known.
    """
    if bucket_of is None:
        if len({r["bucket"] for r in ranges}) != 1:
            return [None] * len(puts)
        only = ranges[0]["bucket"]
        bucket_of = lambda _: only
    told = collections.defaultdict(collections.deque)
    for r in ranges:
        told[r["bucket"]].append([r["from"], r["until"]])
    out = []
    for i, rows in enumerate(puts):
        mine = told[bucket_of(i)]
        if not mine or mine[0][1] - mine[0][0] < rows:
            return [None] * len(puts)
        out.append((bucket_of(i), mine[0][0]))
        mine[0][0] += rows
        if mine[0][0] == mine[0][1]:
            mine.popleft()
    return out if not any(told.values()) else [None] * len(puts)


class Producer(Client):
    """Puts batches of all sizes in groups, each group flushed."""

    def __init__(self, world, history, table, number, seed, buckets=1):
        super().__init__(world, history, table, number)
        self.random = random.Random(f"{seed}/{table}/{number}")
        self.buckets = buckets
        self.next = 0
        self.writer = None

    def sizes(self):
        """Rows and text width of the puts of one group: single rows, medium ones, or one large one in pieces."""
        kind = self.random.random()
        if kind < 0.5:
            return [(1, 20)] * self.random.randint(1, 12)
        if kind < 0.9:
            return [(self.random.randint(2, 3000), self.random.choice((8, 40, 200))) for _ in range(self.random.randint(1, 4))]
        return [(self.random.randint(4000, 9000), 2000)]  # 4 to 9 MB

    def group(self):
        """The next puts: (number, batch) each."""
        puts = []
        for rows, width in self.sizes():
            puts.append((self.next, make_put(self.number, self.next, rows, width)))
            self.next += 1
        return puts

    def session(self, client):
        stream = PutStream(client, self.table)
        for _ in range(self.random.randint(1, 8)):
            if self.ending.is_set():
                stream.close()
                return True
            self.send(stream, self.group())
        stream.close()
        return False

    def bucket_of(self, puts):
        return None

    def send(self, stream, puts):
        """Sends a group and notes what came of each put."""
        before, sent = stream.batches, []
        try:
            for number, batch in puts:
                self.history.sent(self.number, number, batch.num_rows, Rows(batch).digest(), self.writer)
                sent.append((number, batch))
                stream.send(batch)
            ranges = stream.flush()
        except Refused as refused:
            durable = max(0, refused.batches - before) if refused.rest else 0
            self.acknowledge(sent[:durable], [None] * durable)
            for number, _ in sent[durable:]:
                note = self.history.refused if refused.rest == "not appended" else self.history.unknown
                note(self.number, number)
            raise
        except Broken:
            for number, _ in sent:
                self.history.unknown(self.number, number)
            raise
        if stream.batches - before != len(puts):
            raise AssertionError(f"{len(puts)} puts were flushed, the answers count {stream.batches - before}")
        self.acknowledge(puts, places([batch.num_rows for _, batch in puts], ranges, self.bucket_of(puts)))

    def acknowledge(self, puts, where):
        for (number, _), place in zip(puts, where):
            self.history.done(self.number, number, *(place or (None, None)))
        self.world.count(acks=len(puts), rows=sum(batch.num_rows for _, batch in puts))


class Anonymous(Producer):
    """Puts without a writer: it cannot repeat what it knows nothing of. It also asks for a fresh writer id at times."""

    def session(self, client):
        if self.random.random() < 0.5:
            answer, = self.action(client, "writer.init", {})
            self.world.writer_ids.append(answer["writer_id"])
        return super().session(client)


class Sequenced(Producer):
    """Puts with writer and sequence, and sends again, in order, what was not acknowledged; now and then more."""

    epoch = 0

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.pending = []  # puts that were sent, or are to be, and not acknowledged
        self.recent = collections.deque(maxlen=4)  # acknowledged; as few as every bucket surely remembers
        self.acked = {}  # bucket -> highest sequence

    def init(self, client):
        if self.writer is None:
            answer, = self.action(client, "writer.init", {})
            self.writer, self.epoch = answer["writer_id"], answer["writer_epoch"]
            self.world.writer_ids.append(self.writer)

    def session(self, client):
        self.init(client)
        again = list(self.recent) if self.random.random() < 0.3 else []
        first = (again + self.pending)[0][0] if again or self.pending else self.next
        stream = PutStream(client, self.table, writer_id=self.writer, writer_epoch=self.epoch, sequence=first)
        if again:
            self.send(stream, again)
            if stream.duplicates != len(again):
                raise AssertionError(f"{len(again)} acknowledged puts were sent again, {stream.duplicates} count as repeats")
        if self.pending:
            self.send(stream, self.pending)
        self.world.count(duplicates=stream.duplicates)
        for _ in range(self.random.randint(1, 8)):
            if self.ending.is_set():
                stream.close()
                return True
            self.pending = self.group()
            self.send(stream, self.pending)
        stream.close()
        return False

    def bucket_of(self, puts):
        return lambda i: (self.writer + puts[i][0]) % self.buckets

    def acknowledge(self, puts, where):
        super().acknowledge(puts, where)
        done = {number for number, _ in puts}
        self.pending = [put for put in self.pending if put[0] not in done]
        for i, put in enumerate(puts):
            bucket = self.bucket_of(puts)(i)
            if put[0] > self.acked.get(bucket, -1):
                self.acked[bucket] = put[0]
                self.recent.append(put)


class Named(Sequenced):
    """As Sequenced, under a name: each session takes over with a new epoch and looks at what the server remembers."""

    def init(self, client):
        answer, = self.action(client, "writer.init", {"name": f"{self.table}-{self.number}"})
        if self.writer not in (None, answer["writer_id"]):
            raise AssertionError(f"the writer was {self.writer} and is {answer} now")
        if self.writer is not None and answer["writer_epoch"] <= self.epoch:
            raise AssertionError(f"the epoch was {self.epoch} and is {answer} now")
        self.writer, self.epoch = answer["writer_id"], answer["writer_epoch"]
        known = {row["bucket"]: row["sequence"]
                 for row in self.action(client, "writer.describe", {"table": self.table, "writer_id": self.writer})}
        for bucket, acked in self.acked.items():
            if not acked <= known.get(bucket, -1) < self.next:
                raise AssertionError(f"bucket {bucket} acknowledged sequence {acked}, and knows {known}")


class Reader(Client):
    """Reads on from where it was, until it has everything before the target."""

    target = None  # bucket -> offset

    def __init__(self, world, history, table, number, buckets=1):
        super().__init__(world, history, table, number)
        self.at = dict.fromkeys(range(buckets), 0)

    def offsets(self):
        return {"offsets": {str(bucket): offset for bucket, offset in self.at.items()}}

    def took(self, bucket, start, rows):
        """Notes rows that were shown."""
        vectors = Rows(rows)
        self.history.saw(self.number, bucket, start, start + len(vectors), vectors.digest())
        self.at[bucket] = start + len(vectors)
        self.world.count(read=len(vectors))

    def complete(self):
        return self.target is not None and all(self.at[bucket] >= offset for bucket, offset in self.target.items())

    def finish(self, target, timeout=60):
        self.target = target
        super().finish(timeout)


class Follower(Reader):
    """Follows the table in one endless read, and resumes by what app_metadata said."""

    def session(self, client):
        with told():
            reader = client.do_get(ticket(self.table, follow=True, **{"from": self.offsets()}))
            while not self.complete():
                chunk = reader.read_chunk()
                self.check(chunk, json.loads(chunk.app_metadata.to_pybytes()))
            reader.cancel()
        return True

    def check(self, chunk, note):
        rows = chunk.data.num_rows
        if note["until"] - note["from"] != rows or note["high_watermark"] < note["until"]:
            raise AssertionError(f"{rows} rows came with {note}")
        if rows:
            self.took(note["bucket"], note["from"], chunk.data)
        elif note["bucket"] is not None and note["until"] != self.at[note["bucket"]]:
            raise AssertionError(f"the follower is at {self.at}, and an idle batch says {note}")


class Poller(Reader):
    """Reads up to now, waits for news, and resumes by the schema's metadata."""

    def session(self, client):
        while not self.complete():
            with told():
                got = client.do_get(ticket(self.table, system_columns=["__bucket", "__offset"], **{"from": self.offsets()})).read_all()
            self.check(got, schema_note(got))
            self.action(client, "log.wait", {"table": self.table, "offsets": self.offsets()["offsets"], "timeout_ms": 500})
        return True

    def check(self, got, note):
        buckets = got["__bucket"].to_numpy()
        for bucket, start in self.at.copy().items():
            rows = got.filter(pa.array(buckets == bucket))
            stop = note["until"]["offsets"][str(bucket)]
            if note["from"]["offsets"][str(bucket)] != start or rows["__offset"].to_pylist() != list(range(start, stop)):
                raise AssertionError(f"bucket {bucket} was read from {start}, and {note} came with {rows['__offset']}")
            if stop > start:
                self.took(bucket, start, rows)


def read_logs(client, table, buckets, start=None):
    """What the table holds now: a Log for each bucket, from start (by bucket) or else from its earliest offset."""
    logs = {}
    for bucket in range(buckets):
        position = {"from": {"offset": start.get(bucket, 0)}} if start else {}
        got = client.do_get(ticket(table, bucket=bucket, system_columns=["__offset"], **position)).read_all()
        offsets = got["__offset"].to_numpy()
        first = schema_note(got)["from"]["offsets"][str(bucket)]
        if len(got) and (offsets != range(first, first + len(got))).any():
            raise AssertionError(f"bucket {bucket}: the offsets do not count rows: {offsets}")
        if schema_note(got)["until"]["offsets"][str(bucket)] != first + len(got):
            raise AssertionError(f"bucket {bucket}: {len(got)} rows came with {schema_note(got)}")
        logs[bucket] = Log(first, Rows(got))
    return logs


def check_segments(data, seen=None):
    """Opens every segment below a data directory with pyarrow; each but the last ends where the next one begins.

    seen keeps the rows of segments that were read before and have not changed since.
    """
    seen = {} if seen is None else seen
    for directory in {path.parent for path in data.glob("log/*/*/*/*.arrows")}:
        at = None
        for path in sorted(directory.glob("*.arrows")):
            if at not in (None, int(path.stem)):
                raise AssertionError(f"the segment before {path} ends at {at}")
            key = path, path.stat().st_mtime_ns, path.stat().st_size
            if key not in seen:
                with pa.memory_map(str(path)) as file, pa.ipc.open_stream(file) as stream:
                    seen[key] = sum(batch.num_rows for batch in stream)
            at = int(path.stem) + seen[key]
