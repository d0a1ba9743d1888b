"""The pyarrow client of the benchmarks: one JSON command a line in, one JSON answer a line out.

It lives through all rounds of a job, so that neither the interpreter's start nor the reading of files is timed.
"""

import collections
import json
import random
import sys
import time

import pyarrow as pa
import pyarrow.flight as fl

clients = {}
sources = {}


def client(address):
    if address not in clients:
        clients[address] = fl.connect(f"grpc://{address}")
    return clients[address]


def load(path):
    """Reads an Arrow file into memory, once."""
    if path not in sources:
        with pa.OSFile(path) as file:
            reader = pa.ipc.open_file(file)
            sources[path] = reader.schema, [reader.get_batch(i) for i in range(reader.num_record_batches)]
    return sources[path]


def put(command):
    """Puts all batches of a file; the clock stops when close() has returned."""
    schema, batches = load(command["file"])
    connection = client(command["address"])
    options = fl.FlightCallOptions(write_options=pa.ipc.IpcWriteOptions(compression=command.get("compression")))
    began, cpu = time.perf_counter(), time.process_time()
    writer, answers = connection.do_put(fl.FlightDescriptor.for_path(*command["path"]), schema, options)
    for batch in batches:
        writer.write_batch(batch)
    if command.get("await"):  # a server that answers once, at the end
        writer.done_writing()
        answers.read()
    writer.close()
    return {"seconds": time.perf_counter() - began, "cpu": time.process_time() - cpu,
            "rows": sum(batch.num_rows for batch in batches)}


def get(command):
    """Reads a ticket to its end, several times if so asked, and looks at every batch."""
    connection = client(command["address"])
    ticket = fl.Ticket(json.dumps(command["ticket"]).encode())
    times = command.get("times", 1)
    rows = messages = 0
    began, cpu = time.perf_counter(), time.process_time()
    for _ in range(times):
        for chunk in connection.do_get(ticket):
            rows += chunk.data.num_rows
            messages += 1
    return {"seconds": (time.perf_counter() - began) / times, "cpu": (time.process_time() - cpu) / times,
            "rows": rows // times, "messages": messages // times}


def lookup(command):
    """Looks batches of random keys up over one exchange, so many under way at a time, and times each."""
    batch, batches, under_way = command["batch"], command["batches"], command["under_way"]
    draw = random.Random(command["seed"])
    asked = [pa.record_batch({command["key"]: pa.array([draw.randrange(command["keys"]) for _ in range(batch)], pa.int64())})
             for _ in range(min(batches, 256))]
    descriptor = fl.FlightDescriptor.for_command(json.dumps({"lookup": command["table"]}))
    writer, reader = client(command["address"]).do_exchange(descriptor)
    writer.begin(asked[0].schema)
    sent, times, rows = collections.deque(), [], 0
    began, cpu = time.perf_counter(), time.process_time()
    for i in range(batches + under_way):
        if i >= under_way:
            while True:
                chunk = reader.read_chunk()
                rows += chunk.data.num_rows
                if json.loads(chunk.app_metadata.to_pybytes())["last"]:
                    break
            times.append(time.perf_counter_ns() - sent.popleft())
        if i < batches:
            sent.append(time.perf_counter_ns())
            writer.write_batch(asked[i % len(asked)])
    took = {"seconds": time.perf_counter() - began, "cpu": time.process_time() - cpu, "rows": rows, "times": times}
    writer.close()
    return took


def main():
    for line in sys.stdin:
        command = json.loads(line)
        try:
            answer = {"put": put, "get": get, "lookup": lookup, "load": lambda c: load(c["file"]) and {}}[command["do"]](command)
        except Exception as error:  # told to the other side, which ends the run
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


main()
