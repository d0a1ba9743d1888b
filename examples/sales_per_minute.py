"""How much each store sold in each minute: a job that follows a log and keeps sums in a table with a primary key.

    sales              a log: one row per sale, with its store, when it was made, and its price
    sales_per_minute   a row per store and minute: how many sales, how much money, and until

    python examples/sales_per_minute.py                            counts what is in sales, then what comes, until ^C
    python examples/sales_per_minute.py --server 10.0.0.7:8815     elsewhere

Each sale is counted exactly once, though the job, the server or both are killed at any moment, though sales come late
or out of order, and though a second job runs, by mistake or as a spare. Nothing but plain pyarrow is needed for that:

1. A bucket of a log has its rows in one order for ever, and its offsets count them. All sales of a store lie in one
   bucket, since store is the bucket key of sales.
2. A row of sales_per_minute tells in until how far its bucket is counted in it: the row is what the sales of that store
   and minute before that offset come to. Both are written together, as one row is never written in part.
3. So the job looks a row up before it adds to it, and leaves out the sales that are in it already. It may begin too
   early, and read the same sales again: that changes nothing.
4. The table keeps the row with the greatest until (merge-engine = versioned). So an old job's put that arrives after
   its death, and a second job's, cannot take back what is counted: the row that lags behind loses.
5. The cursor says where to begin after a start. It is moved when the rows before it are durable, never earlier.

No window is ever closed: a sale that comes an hour late is added to the minute it belongs to, and whoever follows the
changelog of sales_per_minute sees the row before and after.

To count by what is not the bucket key of the log, add the bucket to the primary key, and sum over the buckets when you
read. Sums are integers, as the sum of floating-point numbers depends on the order in which they are added.
"""

import argparse
import base64
import json
import re
import sys
import time

import pyarrow as pa
import pyarrow.flight as fl

CURSOR = "sales_per_minute"
KEYS = pa.schema({"store": pa.string(), "minute": pa.timestamp("s", "UTC")})
ROWS = pa.schema([*KEYS, *(pa.field(name, pa.int64(), nullable=False) for name in ("sales", "cents", "until"))])


def action(client, call, **body):
    """One action: a JSON body, one JSON object per result."""
    return [json.loads(r.body.to_pybytes()) for r in client.do_action(fl.Action(call, json.dumps(body).encode()))]


def prepare(client):
    """Makes both tables, if they are not there, and checks that they belong together."""
    sales, = action(client, "table.create", table="sales", bucket_key=["store"], buckets=3, if_not_exists=True, schema=[
        {"name": "store", "type": "string", "nullable": False}, {"name": "at", "type": "timestamp[ms, tz=UTC]", "nullable": False},
        {"name": "cents", "type": "int64", "nullable": False}])
    if sales["partition_by"] or sales["buckets"] > 1 and sales["bucket_key"] != ["store"]:
        sys.exit("the sales of one store lie in several buckets, so that no single offset says which are counted")
    source = f"counts {sales['table']}, table {sales['table_id']}"
    counts, = action(client, "table.create", table="sales_per_minute", primary_key=KEYS.names, if_not_exists=True, comment=source,
                     schema=base64.b64encode(ROWS.serialize()).decode(),
                     options={"merge-engine": "versioned", "merge-engine.version-column": "until"})
    if counts["comment"] != source:
        sys.exit(f"sales_per_minute {counts['comment']}, and that is another one now: drop sales_per_minute, and count anew")


def begin(client):
    """Where to go on: at the cursor, if there is one yet."""
    there = any(c["cursor"] == CURSOR for c in action(client, "cursor.list", table="sales"))
    return {"cursor": CURSOR} if there else "earliest"


def find(lookups, windows):
    """The rows of sales_per_minute that are there for these windows, as dicts by window."""
    writer, reader = lookups
    writer.write_batch(pa.record_batch([list(column) for column in zip(*windows)], schema=KEYS))
    found, last = {}, False
    while not last:
        chunk = reader.read_chunk()
        found |= {(row["store"], row["minute"]): row for row in chunk.data.drop_columns("__key_index").to_pylist()}
        last = json.loads(chunk.app_metadata.to_pybytes())["last"]
    return found


def count(sales, lookups):
    """The rows of sales_per_minute as they are with these sales of one bucket."""
    windows = [(sale["store"], sale["at"].replace(second=0, microsecond=0)) for sale in sales]
    rows = find(lookups, dict.fromkeys(windows))
    for sale, window in zip(sales, windows):
        row = rows.setdefault(window, {**dict(zip(KEYS.names, window)), "sales": 0, "cents": 0, "until": 0})
        if sale["__offset"] >= row["until"]:      # else it is counted there already
            row["sales"] += 1
            row["cents"] += sale["cents"]
            row["until"] = sale["__offset"] + 1
    return pa.Table.from_pylist(list(rows.values()), schema=ROWS)


def put(client, rows):
    writer, _ = client.do_put(fl.FlightDescriptor.for_path("sales_per_minute"), rows.schema)
    writer.write_table(rows)
    writer.close()                                # returns only when every row is durable, and raises if any is not


def run(client):
    """Counts over one connection, until it breaks."""
    prepare(client)
    ticket = {"table": "sales", "from": begin(client), "follow": True, "system_columns": ["__offset"]}
    lookups = client.do_exchange(fl.FlightDescriptor.for_command(b'{"lookup": "sales_per_minute"}'))
    lookups[0].begin(KEYS)
    for chunk in client.do_get(fl.Ticket(json.dumps(ticket))):
        if chunk.data.num_rows == 0:
            continue                              # it only says that the stream lives
        told = json.loads(chunk.app_metadata.to_pybytes())
        put(client, count(chunk.data.to_pylist(), lookups))
        action(client, "cursor.commit", cursor=CURSOR, table="sales", offsets={str(told["bucket"]): told["until"]})
        print(f"bucket {told['bucket']}: {chunk.data.num_rows} sales, counted to offset {told['until']}", flush=True)


def main():
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("--server", default="127.0.0.1:8815", metavar="HOST:PORT")
    server = arguments.parse_args().server
    while True:
        try:
            with fl.connect(f"grpc://{server}") as client:
                run(client)
        except (fl.FlightError, pa.ArrowException, OSError) as error:
            refused = re.search(r"message: [A-Z_]+: ", str(error))
            if refused and not isinstance(error, fl.FlightUnavailableError):
                raise
            print(f"the server is away, and is asked again: {type(error).__name__}", file=sys.stderr, flush=True)
            time.sleep(0.2)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass
