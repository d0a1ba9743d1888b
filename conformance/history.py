"""What clients did and saw, written down as it happened, and the model that judges it.

A producer notes each put before it sends it, and what came of it: done (with the offsets it was told), refused (the
server said that nothing of it is stored) or unknown. A reader notes every range it was shown. `judge` compares the
notes with what the logs hold. It knows nothing of segments, epochs or checkpoints:

    a log            has its rows at consecutive offsets, and only rows that somebody put
    a put            is there whole or not at all, its rows side by side, with the values it was sent with
    done             it is there, once, at the offsets that every answer told
    refused          it is not there
    unknown          it is there once or not at all
    one producer     in each bucket its puts lie in the order it sent them
    sequenced        each lies in the bucket that its writer and sequence say, and none is left out before another
    a reader         saw each row of a bucket once, in order, and what it saw is there for ever

A history is a file of one JSON object per line, so that a failed run can be judged again.
"""

import collections
import dataclasses
import json
import pathlib
import threading
import zlib

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

SCHEMA = pa.schema([
    pa.field("client", pa.int32(), nullable=False),
    pa.field("put", pa.int64(), nullable=False),
    pa.field("row", pa.int32(), nullable=False),
    pa.field("value", pa.float64()),
    pa.field("text", pa.string()),
])
NULL_TEXT = "\0null"


def make_put(client, put, rows, width):
    """One put: rows that name their client, put and place, and carry texts of about width bytes."""
    row = np.arange(rows, dtype=np.int32)
    value = (row * 31 + put * 17 + client) / 8
    letters = f"{client}.{put}.".encode() * (width // 4 + 1)
    lengths = (row * 7 + put) % (width + 1)
    offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int32)
    data = (letters * (int(offsets[-1]) // len(letters) + 1))[:offsets[-1]]
    valid = pa.array(row % 7 != 3)
    text = pa.StringArray.from_buffers(rows, pa.py_buffer(offsets), pa.py_buffer(data), valid.buffers()[1])
    return pa.record_batch([np.full(rows, client, np.int32), np.full(rows, put, np.int64), row, value, text], schema=SCHEMA)


class Rows:
    """Rows as plain vectors, so that any range of them has a digest."""

    def __init__(self, table):
        table = pa.Table.from_batches([table]) if isinstance(table, pa.RecordBatch) else table
        self.client, self.put, self.row = (table[name].to_numpy() for name in ("client", "put", "row"))
        self.value = pc.fill_null(table["value"], -1.0).to_numpy()
        text = pc.fill_null(table["text"], NULL_TEXT).cast(pa.large_string()).combine_chunks()
        self.offsets, self.text = np.zeros(1, np.int64), memoryview(b"")
        if len(text):
            _, offsets, data = text.buffers()
            self.offsets = np.frombuffer(offsets, np.int64)[text.offset:text.offset + len(text) + 1]
            self.text = memoryview(data)
        self.lengths = np.diff(self.offsets)

    def __len__(self):
        return len(self.row)

    def digest(self, start=0, stop=None):
        """Of the rows [start, stop): who put them, and all their values."""
        stop = len(self) if stop is None else stop
        crc = 0
        for column in (self.client, self.put, self.row, self.value, self.lengths):
            crc = zlib.crc32(np.ascontiguousarray(column[start:stop]).view(np.uint8), crc)
        return zlib.crc32(self.text[self.offsets[start]:self.offsets[stop]], crc)


@dataclasses.dataclass
class Put:
    """One put as its producer knows it. Of a put that was tried again, the best outcome counts."""

    client: int
    number: int
    rows: int
    digest: int
    writer: int | None = None  # of a sequenced producer; the number is the sequence
    done: bool = False
    open: bool = False  # an attempt of it had no answer, or an unknown one
    places: list = dataclasses.field(default_factory=list)  # (bucket, from) as the answers told


class History:
    """The notes of all clients of one table. Every note is in the file before the call returns."""

    def __init__(self, path):
        self.path = pathlib.Path(path)
        self.lock = threading.Lock()
        self.file = self.path.open("ab", buffering=0)

    def note(self, **event):
        line = json.dumps(event, separators=(",", ":")).encode() + b"\n"
        with self.lock:
            self.file.write(line)

    def sent(self, client, put, rows, digest, writer=None):
        self.note(is_="sent", client=client, put=put, rows=rows, digest=digest, writer=writer)

    def done(self, client, put, bucket=None, offset=None):
        """The put was acknowledged, at the offset if the answer told it."""
        self.note(is_="done", client=client, put=put, bucket=bucket, offset=offset)

    def refused(self, client, put):
        """Surely no row of this attempt is stored."""
        self.note(is_="refused", client=client, put=put)

    def unknown(self, client, put):
        self.note(is_="unknown", client=client, put=put)

    def saw(self, reader, bucket, start, stop, digest):
        """The reader was shown the rows [start, stop) of the bucket."""
        self.note(is_="saw", reader=reader, bucket=bucket, start=start, stop=stop, digest=digest)

    def story(self):
        """All notes read back from the file, put together."""
        return Story.of(json.loads(line) for line in self.path.read_bytes().splitlines())

    def close(self):
        self.file.close()


@dataclasses.dataclass
class Story:
    """A history put together: each put once, and what each reader saw in its order."""

    puts: dict = dataclasses.field(default_factory=dict)  # (client, number) -> Put, in the order they were first sent
    seen: dict = dataclasses.field(default_factory=lambda: collections.defaultdict(list))
    faults: list = dataclasses.field(default_factory=list)

    @classmethod
    def of(cls, notes):
        story = cls()
        waiting = set()  # attempts without an outcome
        for note in notes:
            kind = note.pop("is_")
            if kind == "saw":
                story.seen[note["reader"], note["bucket"]].append((note["start"], note["stop"], note["digest"]))
                continue
            key = note["client"], note["put"]
            if kind == "sent":
                story.send(key, note)
                waiting.add(key)
                continue
            waiting.discard(key)
            put = story.puts[key]
            if kind == "done":
                put.done = True
                if note["offset"] is not None and (place := (note["bucket"], note["offset"])) not in put.places:
                    put.places.append(place)
            elif kind == "unknown":
                put.open = True
        for key in waiting:
            story.puts[key].open = True
        return story

    def send(self, key, note):
        put = self.puts.setdefault(key, Put(note["client"], note["put"], note["rows"], note["digest"], note["writer"]))
        if (put.rows, put.digest) != (note["rows"], note["digest"]):
            self.faults.append(f"the test itself: {name(put)} was sent again with other rows")


def name(put):
    return f"put {put.number} of client {put.client}"


@dataclasses.dataclass
class Log:
    """A bucket's rows from an offset on."""

    start: int
    rows: Rows

    @property
    def stop(self):
        return self.start + len(self.rows)


def judge(story, logs, buckets=None):
    """Every contradiction between the story and the logs (by bucket), in words; none if all is well.

    A log may begin above 0: what was acknowledged below, or not told where, is then not missed.
    buckets is how many the table has, to check where sequenced puts lie; None leaves that out.
    """
    faults = list(story.faults)
    found = collections.defaultdict(list)  # (client, put) -> [(bucket, offset)]
    for bucket, log in sorted(logs.items()):
        faults += find_puts(story, bucket, log, found)
    whole = all(log.start == 0 for log in logs.values())
    for key, put in story.puts.items():
        faults += judge_put(put, found.get(key, []), logs, whole)
    if buckets:
        faults += judge_sequences(story, found, buckets, whole)
    for (reader, bucket), ranges in sorted(story.seen.items()):
        faults += judge_reader(reader, bucket, ranges, logs)
    return faults


def find_puts(story, bucket, log, found):
    """Cuts a log into puts: each whole, as it was sent, in its producer's order."""
    rows, faults = log.rows, []
    if not len(rows):
        return faults
    new = (np.diff(rows.client) != 0) | (np.diff(rows.put) != 0) | (np.diff(rows.row) != 1)
    cuts = [0, *(np.flatnonzero(new) + 1).tolist(), len(rows)]
    last = {}
    for start, stop in zip(cuts, cuts[1:]):
        client, number, offset = int(rows.client[start]), int(rows.put[start]), log.start + start
        where = f"bucket {bucket}, offset {offset}"
        put = story.puts.get((client, number))
        if put is None:
            faults.append(f"invented: {where} holds put {number} of client {client}, which nobody sent")
            continue
        if log.start and start == 0 and rows.row[0] != 0:
            continue  # the put that the log's start cuts through
        if rows.row[start] != 0 or stop - start != put.rows:
            faults.append(f"torn: {where} holds {stop - start} rows of {name(put)}, from its row {rows.row[start]}; it had {put.rows}")
        elif rows.digest(start, stop) != put.digest:
            faults.append(f"changed: {where} holds other values than {name(put)} had")
        if number < last.get(client, -1):
            faults.append(f"reordered: {where} holds {name(put)}, behind its put {last[client]}")
        last[client] = max(number, last.get(client, -1))
        found[client, number].append((bucket, offset))
    return faults


def judge_put(put, places, logs, whole):
    """Compares where a put lies with what its producer was told."""
    if len(places) > 1:
        yield f"doubled: {name(put)} lies at {places}"
    if len(put.places) > 1:
        yield f"told twice: {name(put)} was acknowledged at {put.places}"
    for bucket, offset in put.places:
        log = logs.get(bucket)
        if log is None or offset < log.start:
            continue
        if not places:
            yield f"lost: {name(put)} was acknowledged in bucket {bucket} at {offset}, the log ends at {log.stop}"
        elif (bucket, offset) not in places:
            yield f"moved: {name(put)} was acknowledged in bucket {bucket} at {offset} and lies at {places}"
    if put.done and not put.places and not places and whole:
        yield f"lost: {name(put)} was acknowledged"
    if places and not put.done and not put.open:
        yield f"stored: {name(put)} was refused as not appended, and lies at {places}"


def judge_sequences(story, found, buckets, whole):
    """Of each sequenced producer: the right bucket, and in each bucket nothing left out before another."""
    left_out = {}
    for (client, number), put in sorted(story.puts.items()):
        if put.writer is None:
            continue
        bucket = (put.writer + number) % buckets
        places = found.get((client, number), [])
        if any(place[0] != bucket for place in places):
            yield f"routed: {name(put)} lies at {places}, writer {put.writer} puts it into bucket {bucket}"
        if not places and whole:
            left_out.setdefault((client, bucket), put)
        elif places and (client, bucket) in left_out:
            yield f"gap: bucket {bucket} holds {name(put)}, but not {name(left_out[client, bucket])}"


def judge_reader(reader, bucket, ranges, logs):
    """What a reader saw: joined up, and still there."""
    log = logs.get(bucket)
    at = None
    for start, stop, digest in ranges:
        if at is not None and start != at:
            yield f"resumed: reader {reader} was at offset {at} of bucket {bucket} and was shown [{start}, {stop})"
        at = stop
        if log is None or start < log.start:
            continue
        if stop > log.stop:
            yield f"dirty: reader {reader} saw [{start}, {stop}) of bucket {bucket}, the log ends at {log.stop}"
        elif log.rows.digest(start - log.start, stop - log.start) != digest:
            yield f"dirty: reader {reader} saw other rows at [{start}, {stop}) of bucket {bucket}"
