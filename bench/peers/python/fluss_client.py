"""Fluss from pyfluss: its Arrow paths. Rows and lookups are the Java client's."""

import asyncio
import sys
import time

import fluss

from orders import batches_of, load, one_row, options, serve

loop = asyncio.new_event_loop()
connections = {}


async def table_of(order):
    """The table, over a connection with the order's options; connections live as long as the program."""
    conf = order.get("conf", "")
    if conf not in connections:
        connections[conf] = await fluss.FlussConnection.create(fluss.Config({"bootstrap.servers": sys.argv[1], **options(order, "conf")}))
    return await connections[conf].get_table(fluss.TablePath("fluss", order["table"]))


async def append(order):
    """Writes all batches; the clock stops when flush() has returned: everything is acknowledged then."""
    _, batches = batches_of(order)
    writer = (await table_of(order)).new_append().create_writer()
    began = time.perf_counter()
    handles = [writer.write_arrow_batch(batch) for batch in batches]
    await writer.flush()
    for handle in handles:  # flush() returns, whatever became of them
        await handle.wait()
    return {"seconds": time.perf_counter() - began, "rows": sum(batch.num_rows for batch in batches)}


async def one(order):
    """Writes a batch of one row, waits for its acknowledgement, writes the next."""
    most, limit, times = int(order["most"]), int(order["ms"]) * 1_000_000, []
    writer = (await table_of(order)).new_append().create_writer()
    began = time.perf_counter_ns()
    while len(times) < most and time.perf_counter_ns() - began < limit:
        row = one_row(order, len(times))
        sent = time.perf_counter_ns()
        await writer.write_arrow_batch(row).wait()
        times.append(time.perf_counter_ns() - sent)
    return {"seconds": (time.perf_counter_ns() - began) / 1e9, "rows": len(times), "times": times}


async def scan(order):
    """Reads a table from its beginning, several times if so asked, and looks at every batch."""
    wanted, times, rows, messages = int(order["rows"]), int(order.get("times", "1")), 0, 0
    table = await table_of(order)
    began = time.perf_counter()
    for _ in range(times):
        building = table.new_scan()
        if order.get("columns"):
            building = building.project_by_name(order["columns"].split(","))
        scanner = await building.create_record_batch_log_scanner()
        scanner.subscribe(0, fluss.EARLIEST_OFFSET)
        seen, idle = 0, time.perf_counter()
        while seen < wanted and time.perf_counter() - idle < 10:
            for batch in await scanner.poll_record_batch(1000):
                seen += batch.batch.num_rows
                messages += 1
                idle = time.perf_counter()
        rows += seen
    return {"seconds": (time.perf_counter() - began) / times, "rows": rows // times, "messages": messages // times}


def waiting(verb):
    return lambda order: loop.run_until_complete(asyncio.wait_for(verb(order), 170))


serve({"load": lambda order: load(order["file"]) and None, "append": waiting(append), "one": waiting(one), "scan": waiting(scan)})
