"""C: a C++ Flight server that holds batches in memory and sends them as they are, less the columns nobody asked for."""

import json
import sys

import pyarrow as pa
import pyarrow.flight as fl


class Server(fl.FlightServerBase):
    def __init__(self, paths):
        super().__init__("grpc://127.0.0.1:0")
        self.tables = {}
        for path in paths:
            with pa.OSFile(path) as file:
                self.tables[path] = pa.ipc.open_file(file).read_all()

    def do_get(self, context, ticket):
        want = json.loads(ticket.ticket)
        table = self.tables[want["path"]]
        if "columns" in want:
            table = table.select(want["columns"])
        return fl.RecordBatchStream(table)


server = Server(sys.argv[1:])
print(f"ready 127.0.0.1:{server.port}", flush=True)
server.serve()
