"""Reads every segment of a directory with pyarrow, as any user would, and validates every batch to the last value."""

import pathlib
import sys

import pyarrow as pa

batches = rows = 0
faults = []
for path in sorted(pathlib.Path(sys.argv[1]).glob("*.arrows")):
    with pa.ipc.open_stream(pa.memory_map(str(path))) as reader:
        assert b"quiver.segment" in reader.schema.metadata, path
        number = 0
        while True:
            try:
                batch, metadata = reader.read_next_batch_with_custom_metadata()
                header = metadata[b"quiver.batch"].decode()
                assert len(header) == 102, header
                assert int(header[18:26], 16) == batch.num_rows, header
                pa.Table.from_batches([batch]).validate(full=True)
            except StopIteration:
                break
            except Exception as e:
                faults.append(f"{path.name}, batch {number}: {e!r}")
                batch = None
            number += 1
            batches += 1
            rows += batch.num_rows if batch else 0
    if path.name.endswith("-sent.arrows"):
        import polars as pl

        table = pa.ipc.open_stream(pa.memory_map(str(path))).read_all()
        if pl.read_ipc_stream(path).equals(pl.from_arrow(table)):
            print(f"polars: {table.num_rows} rows equal")
        else:
            faults.append(f"{path.name}: polars reads other rows")
print(f"{batches} batches valid, {rows} rows" if not faults else "\n".join(faults))
sys.exit(1 if faults else 0)
