"""Quiver from plain pyarrow, as its users write it."""

import collections
import json
import random
import sys
import threading
import time

import pyarrow as pa
import pyarrow.flight as fl

from orders import batches_of, load, one_row, serve, until

client = fl.connect(f"grpc://{sys.argv[1]}")


def path(order):
    return fl.FlightDescriptor.for_path(order["table"])


def ticket(body):
    return fl.Ticket(json.dumps(body).encode())


def append(order):
    """Puts all batches; the clock stops when close() has returned: everything is durable then."""
    schema, batches = batches_of(order)
    options = fl.FlightCallOptions(write_options=pa.ipc.IpcWriteOptions(compression=order.get("compression") or None))
    began = time.perf_counter()
    writer, _ = client.do_put(path(order), schema, options)
    for batch in batches:
        writer.write_batch(batch)
    writer.close()
    return {"seconds": time.perf_counter() - began, "rows": sum(batch.num_rows for batch in batches)}


def one(order):
    """Puts one row, waits for its acknowledgement, puts the next."""
    schema, _ = load(order["file"])
    most, limit, times = int(order["most"]), int(order["ms"]) * 1_000_000, []
    writer, answers = client.do_put(path(order), schema)
    began = time.perf_counter_ns()
    while len(times) < most and time.perf_counter_ns() - began < limit:
        row = one_row(order, len(times))
        sent = time.perf_counter_ns()
        writer.write_batch(row)
        while json.loads(answers.read().to_pybytes())["rows"] <= len(times):
            pass
        times.append(time.perf_counter_ns() - sent)
    seconds = (time.perf_counter_ns() - began) / 1e9
    writer.close()
    return {"seconds": seconds, "rows": len(times), "times": times}


def scan(order):
    """Reads a table to its end, several times if so asked, and looks at every batch."""
    times, rows, messages = int(order.get("times", "1")), 0, 0
    body = {"table": order["table"]}
    if order.get("columns"):
        body["columns"] = order["columns"].split(",")
    began = time.perf_counter()
    for _ in range(times):
        for chunk in client.do_get(ticket(body)):
            rows += chunk.data.num_rows
            messages += 1
    return {"seconds": (time.perf_counter() - began) / times, "rows": rows // times, "messages": messages // times}


TAIL = pa.schema([("due", pa.int64()), ("text", pa.string())])


def tail(order):
    """Puts rows at a rate, each when it is due, and measures from then until a reader of the table has it."""
    rows, interval, times, failures = int(order["rows"]), 1_000_000_000 // int(order["rate"]), [], []
    text = pa.array(["x" * 92])

    def follow():
        try:
            for chunk in fl.connect(f"grpc://{sys.argv[1]}").do_get(ticket({"table": order["table"], "follow": True, "limit": rows})):
                now = time.perf_counter_ns()
                times.extend(now - due for due in chunk.data.column(0).to_pylist())
        except Exception as error:
            failures.append(error)

    reader = threading.Thread(target=follow)
    reader.start()
    writer, _ = client.do_put(path(order), TAIL)
    began = time.perf_counter_ns() + 50_000_000  # the reader waits by then
    for i in range(rows):
        due = began + i * interval
        until(due)
        writer.write_batch(pa.record_batch([pa.array([due]), text], schema=TAIL))
    writer.close()
    reader.join(20)
    if failures or len(times) != rows:
        raise RuntimeError(f"{len(times)} of {rows} rows were read: {failures}")
    return {"seconds": (time.perf_counter_ns() - began) / 1e9, "rows": rows, "times": times}


def lookup(order):
    """Looks up random keys, one a batch, so many under way at a time, over one exchange."""
    flight, most, limit, keys = int(order["flight"]), int(order["most"]), int(order["ms"]) * 1_000_000, int(order["keys"])
    asked = [pa.record_batch({"id": pa.array([random.randrange(keys)], pa.int64())}) for _ in range(1024)]
    descriptor = fl.FlightDescriptor.for_command(json.dumps({"lookup": order["table"]}))
    writer, reader = client.do_exchange(descriptor)
    writer.begin(asked[0].schema)
    under_way, times, found, sent = collections.deque(), [], 0, 0
    began = time.perf_counter_ns()
    while True:
        while len(under_way) < flight and sent < most and time.perf_counter_ns() - began < limit:
            under_way.append(time.perf_counter_ns())
            writer.write_batch(asked[sent % len(asked)])
            sent += 1
        if not under_way:
            break
        while True:
            chunk = reader.read_chunk()
            found += chunk.data.num_rows
            if json.loads(chunk.app_metadata.to_pybytes())["last"]:
                break
        times.append(time.perf_counter_ns() - under_way.popleft())
    seconds = (time.perf_counter_ns() - began) / 1e9
    writer.close()
    return {"seconds": seconds, "rows": len(times), "misses": len(times) - found, "times": times}


serve({"load": lambda order: load(order["file"]) and None, "append": append, "one": one, "scan": scan, "tail": tail, "lookup": lookup})
