"""Producers of the torture run that speak through plain pyarrow: one plain, one sequenced. They end when stdin does."""

import itertools
import json
import os
import random
import re
import sys
import threading
import time
import traceback

import pyarrow as pa
import pyarrow.flight as fl

ADDRESS, TABLE, SEED, FOLDER = sys.argv[1:]
SCHEMA = pa.schema([("client", pa.int32()), ("put", pa.int64()), ("row", pa.int32()), ("of", pa.int32()), ("check", pa.int64()), ("text", pa.string()), ("part", pa.int64())])
ERRORS = (fl.FlightError, pa.ArrowException, OSError)
PASSING = {"LEADER_NOT_AVAILABLE", "NOT_ENOUGH_REPLICAS", "OVERLOADED", "SERVER_DRAINING", "DISK_FULL"}
MASK = (1 << 64) - 1


def check(client, put, row, of):
    x = (client * 0x9E3779B97F4A7C15 + put * 0xBF58476D1CE4E5B9 + row * 0x94D049BB133111EB + of) & MASK
    x ^= x >> 31
    x = x * 0x7FB5D329728EA185 & MASK
    x ^= x >> 27
    return x >> 1


def make_put(client, put, rows):
    checks = [check(client, put, row, rows) for row in range(rows)]
    texts = [None if c % 7 == 3 else str(c) * (1 + put % 3 * 8) for c in checks]
    return pa.record_batch([pa.array([client] * rows, pa.int32()), pa.array([put] * rows, pa.int64()), pa.array(range(rows), pa.int32()),
                            pa.array([rows] * rows, pa.int32()), pa.array(checks, pa.int64()), pa.array(texts, pa.string()), pa.array([put % 3] * rows, pa.int64())], schema=SCHEMA)


class Passing(Exception):
    """The connection broke, or the server asks to come again. durable: how many batches it says to have; refused: the others are surely not stored."""

    def __init__(self, text):
        super().__init__(text)
        found = re.search(r"durable: (\d+) batches, .*; rest: (not appended|unknown)", text)
        self.durable = int(found[1]) if found else 0
        self.refused = bool(found) and found[2] == "not appended"


def passing(error):
    """A Passing for an error that faults make; others end the run."""
    found = re.search(r"message: ([A-Z_]+): ", str(error))
    if found and found[1] not in PASSING and "injected fault" not in str(error):
        raise error
    return Passing(str(error))


class Producer(threading.Thread):
    def __init__(self, number, sequenced):
        super().__init__(daemon=True)
        self.number, self.sequenced = number, sequenced
        self.random = random.Random(f"{SEED}/{number}")
        self.file = open(os.path.join(FOLDER, f"pyarrow-{number}.jsonl"), "ab", buffering=0)
        self.sizes, self.pending, self.writer, self.failed = [], [], None, None

    def note(self, is_, put, **more):
        self.file.write(json.dumps({"is": is_, "client": self.number, "put": put, **more}).encode() + b"\n")

    def run(self):
        try:
            while True:
                try:
                    with fl.connect(f"grpc://{ADDRESS}") as client:
                        if self.session(client):
                            return
                except Passing:
                    time.sleep(0.03)
        except BaseException:
            self.failed = traceback.format_exc()

    def init(self, client):
        try:
            answer = json.loads(next(client.do_action(fl.Action("writer.init", b"{}"))).body.to_pybytes())
        except ERRORS as error:
            raise passing(error) from error
        self.writer, self.epoch = answer["writer_id"], answer["writer_epoch"]

    def session(self, client):
        options = {"put": TABLE}
        if self.sequenced:
            if self.writer is None:
                self.init(client)
            options |= {"writer_id": self.writer, "writer_epoch": self.epoch, "sequence": self.pending[0] if self.pending else len(self.sizes)}
        try:
            writer, reader = client.do_put(fl.FlightDescriptor.for_command(json.dumps(options).encode()), SCHEMA)
        except ERRORS as error:
            raise passing(error) from error
        self.batches, self.flushes = 0, itertools.count()
        if self.pending:
            self.send(writer, reader, self.pending)
        for _ in range(self.random.randint(1, 6)):
            if OVER.is_set():
                break
            puts = []
            for _ in range(self.random.randint(1, 4)):
                puts.append(len(self.sizes))
                self.sizes.append(self.random.choice((1, 1, self.random.randint(2, 300))))
            if self.sequenced:
                self.pending = puts
            self.send(writer, reader, puts)
        self.close(writer)
        return OVER.is_set()

    def close(self, writer):
        try:
            writer.close()
        except ERRORS as error:
            raise passing(error) from error

    def send(self, writer, reader, puts):
        before, sent = self.batches, 0
        try:
            try:
                for put in puts:
                    more = {"writer": self.writer} if self.sequenced else {}
                    self.note("sent", put, rows=self.sizes[put], **more)
                    sent += 1
                    writer.write_batch(make_put(self.number, put, self.sizes[put]))
                ranges = self.flush(writer, reader)
            except ERRORS:
                self.close(writer)  # the end of the call says most
                raise
        except Passing as error:
            durable = max(0, min(error.durable - before, sent))
            for put in puts[:durable]:
                self.note("done", put)
            for put in puts[durable:sent]:
                self.note("refused" if error.refused else "unknown", put)
            self.pending = [put for put in self.pending if put not in puts[:durable]]
            raise
        if self.batches - before != len(puts):
            raise AssertionError(f"{len(puts)} puts were flushed, the answers count {self.batches - before}")
        for put in puts:
            where = {}
            if len(puts) == 1 and len(ranges) == 1:
                part = int((ranges[0]["partition"] or "part=0").partition("=")[2])
                where = {"bucket": part * 16 + ranges[0]["bucket"], "offset": ranges[0]["from"]}
            self.note("done", put, **where)
        if self.sequenced:
            self.pending = []

    def flush(self, writer, reader):
        echo, ranges = next(self.flushes), []
        writer.write_metadata(json.dumps({"flush": echo}).encode())
        while (answer := reader.read()) is not None:
            answer = json.loads(answer.to_pybytes())
            ranges += answer["ranges"]
            self.batches = answer["batches"]
            if answer["flush"] == echo:
                return ranges
        raise pa.ArrowException("the stream ended")


OVER = threading.Event()
producers = [Producer(100, False), Producer(101, True)]
for producer in producers:
    producer.start()
sys.stdin.read()
OVER.set()
for producer in producers:
    producer.join(100)
failures = [p.failed or (f"producer {p.number} does not end" if p.is_alive() else None) for p in producers]
print("\n".join(f for f in failures if f), flush=True)
os._exit(1 if any(failures) else 0)  # pyarrow's threads may hang at exit
