"""What the Python clients share: one order a line (fields name=value, separated by tabs), one answer a line of JSON.

A client lives through all rounds, so the interpreter's start and the reading of files are in no figure.
"""

import json
import os
import sys
import time

import pyarrow as pa

sources = {}


def load(path):
    """Maps an Arrow file into memory, once: its batches lie in the page cache."""
    if path not in sources:
        reader = pa.ipc.open_file(pa.memory_map(path))
        sources[path] = reader.schema, [reader.get_batch(i) for i in range(reader.num_record_batches)]
    return sources[path]


def batches_of(order):
    """The batches of a file, cut to the rows the order wants."""
    schema, batches = load(order["file"])
    most = int(order.get("batch", "0"))
    if most:
        batches = [batch.slice(at, most) for batch in batches for at in range(0, batch.num_rows, most)]
    return schema, batches


def one_row(order, i):
    """Some row of a file as a batch."""
    schema, batches = load(order["file"])
    return batches[0].slice(i % batches[0].num_rows, 1)


def options(order, name):
    """A field of the form key=value;key=value."""
    return dict(pair.split("=", 1) for pair in order.get(name, "").split(";") if pair)


def until(due):
    """Waits until a time of perf_counter_ns."""
    while (left := due - time.perf_counter_ns()) > 0:
        time.sleep(left / 1e9)


def serve(verbs):
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints is no answer
    for line in sys.stdin:
        order = dict(field.split("=", 1) for field in line.rstrip("\n").split("\t"))
        try:
            answer = verbs[order["do"]](order) or {}
        except Exception as error:  # told to the other side, which ends the run
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)
    os._exit(0)  # libraries may crash while the interpreter ends, after all results
