"""Real clients against the real binary: fixtures that start `quiver dev` and speak to it."""

import json
import os
import pathlib
import re
import signal
import subprocess
import time
import urllib.error
import urllib.request

import pyarrow.flight as fl
import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
BINARY = ROOT / "bin" / "quiver"
FAULT_BINARY = ROOT / "bin" / "quiver-fault"


class Server:
    """One `quiver dev` process on free ports. Start it again on the same data after stop() or kill()."""

    def __init__(self, data, *flags, binary=BINARY, env=None):
        self.data = pathlib.Path(data)
        self.flags = flags
        self.binary = binary
        self.env = env or {}
        self.process = None
        self.log = self.data.parent / (self.data.name + ".log")

    def start(self, wait=True, env=None):
        printed = self.data.parent / (self.data.name + ".out")
        with printed.open("wb") as out, self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [str(self.binary), "dev", "--data", str(self.data), "--flight-addr", "127.0.0.1:0",
                 "--http-addr", "127.0.0.1:0", *self.flags],
                stdout=out, stderr=log, env={**os.environ, **self.env, **(env or {})})
        if wait:
            self.wait_ready(printed)
        return self

    def wait_ready(self, printed):
        """Waits for the printed addresses and then for /readyz."""
        for _ in range(3000):
            found = re.search(r"grpc://(\S+)(?s:.*?)http://([^\s/]+)", printed.read_text())
            if found:
                break
            if self.process.poll() is not None:
                raise RuntimeError(f"quiver ended with {self.process.returncode}:\n{self.log.read_text()}")
            time.sleep(0.01)
        else:
            raise RuntimeError("quiver printed no address")
        self.address, self.http = found.group(1), found.group(2)
        for _ in range(3000):
            if self.get("/readyz")[0] == 200:
                return
            time.sleep(0.01)
        raise RuntimeError("quiver is not ready")

    def get(self, path):
        """GET on the HTTP port: (status, body)."""
        try:
            with urllib.request.urlopen(f"http://{self.http}{path}", timeout=5) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()
        except OSError:
            return 0, b""

    def client(self):
        return fl.connect(f"grpc://{self.address}")

    def kill(self):
        """kill -9."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        if self.process:
            self.process.wait()
        self.process = None

    def stop(self):
        """SIGTERM; gives the exit code."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=30)
        self.process = None
        return code


@pytest.fixture
def new_server(tmp_path):
    """A function that starts a server; all are stopped at the end."""
    servers = []

    def start(name="data", *flags, **kwargs):
        server = Server(tmp_path / name, *flags, **kwargs)
        servers.append(server)
        return server.start()

    yield start
    for server in servers:
        server.kill()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """One server for all tests of a module; each test uses tables of its own name."""
    server = Server(tmp_path_factory.mktemp("quiver") / "data").start()
    yield server
    assert server.process.poll() is None, "the server died:\n" + server.log.read_text()[-4000:]
    assert server.stop() == 0
    assert "panic" not in server.log.read_text()


@pytest.fixture
def client(server):
    with server.client() as client:
        yield client


@pytest.fixture
def table(request):
    """A table name of the test's own."""
    return re.sub(r"\W", "_", request.node.name)[:200]


def action(client, name, body=None):
    """All results of one action, decoded."""
    payload = b"" if body is None else json.dumps(body).encode()
    return [json.loads(result.body.to_pybytes()) for result in client.do_action(fl.Action(name, payload))]


def path(table):
    return fl.FlightDescriptor.for_path("default", table)


def command(**keys):
    return fl.FlightDescriptor.for_command(json.dumps(keys).encode())


def ticket(table, **keys):
    return fl.Ticket(json.dumps({"table": table, **keys}).encode())


def put(client, table, data, **options):
    """Puts a table or batches by a plain stream; close() returns when all is durable."""
    descriptor = command(put=table, **options) if options else path(table)
    writer, _ = client.do_put(descriptor, data.schema)
    with writer:
        writer.write_table(data)


def read(client, table, **keys):
    return client.do_get(ticket(table, **keys)).read_all()


def schema_note(table):
    """What the server wrote about a bounded read in the schema's metadata."""
    return json.loads(table.schema.metadata[b"quiver"])


def reason(error):
    """The reason a pyarrow error tells, found as the contract says."""
    found = re.search(r"message: ([A-Z_]+): ", str(error))
    return found.group(1) if found else None
