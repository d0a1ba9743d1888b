"""Real clients against the real binary: fixtures that start `quiver dev` and speak to it."""

import base64
import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request

import pyarrow as pa
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

    def died(self, timeout):
        """Waits for the process to die of kill -9 by its own hand: a fault point. False if it lives on."""
        try:
            return self.process.wait(timeout) == -signal.SIGKILL
        except subprocess.TimeoutExpired:
            return False

    def verify(self):
        """Checks the data of a server that is down: what `quiver verify` finds. In sound data that is nothing."""
        if not self.data.exists():
            return []
        done = subprocess.run([BINARY, "verify", self.data, "-o", "json", "-q"], capture_output=True, text=True, timeout=300)
        told = json.loads(done.stdout or "null")
        assert told is not None, done.stderr
        found = [f for f in told if f["level"] == "finding"]  # the others are notes: what the next start cuts off, say
        assert done.returncode == (1 if found else 0), (done.returncode, done.stderr)
        return found

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
        assert server.verify() == []


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """One server for all tests of a module; each test uses tables of its own name."""
    server = Server(tmp_path_factory.mktemp("quiver") / "data").start()
    yield server
    assert server.process.poll() is None, "the server died:\n" + server.log.read_text()[-4000:]
    assert server.stop() == 0
    assert "panic" not in server.log.read_text()
    assert server.verify() == []


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


@contextlib.contextmanager
def refused(expected, *words):
    """The block must fail with this reason, and the text must hold all of the words."""
    with pytest.raises((pa.ArrowException, fl.FlightError, OSError)) as error:
        yield error
    assert reason(error.value) == expected, str(error.value)
    for word in words:
        assert str(word) in str(error.value), f"{word!r} is not in: {error.value}"


def create(client, table, columns, **keys):
    """Creates a table; columns is a pyarrow schema or {"name": "type"}."""
    if isinstance(columns, pa.Schema):
        schema = base64.b64encode(columns.serialize()).decode()
    else:
        schema = [{"name": name, "type": str(type)} for name, type in columns.items()]
    return action(client, "table.create", {"table": table, "schema": schema, **keys})[0]


def ids(start, until=None):
    """A batch with one int64 column, id, that counts from start to until."""
    start, until = (0, start) if until is None else (start, until)
    return pa.record_batch({"id": pa.array(range(start, until), pa.int64())})


class Put:
    """A put stream as a careful client keeps it: a thread reads every answer as it comes."""

    def __init__(self, client, descriptor, schema, options=None):
        if isinstance(descriptor, str):
            descriptor = path(descriptor)
        self.writer, self.reader = client.do_put(descriptor, schema, options)
        self.answers = []
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        try:
            while (answer := self.reader.read()) is not None:
                self.answers.append(json.loads(answer.to_pybytes()))
        except (pa.ArrowException, fl.FlightError, OSError):
            pass  # close() raises the same

    def write(self, batch, **metadata):
        if metadata:
            self.writer.write_with_metadata(batch, json.dumps(metadata).encode())
        else:
            self.writer.write_batch(batch)
        return self

    def flush(self, token):
        self.writer.write_metadata(json.dumps({"flush": token}).encode())
        return self

    def close(self):
        """Ends the stream; returns all answers, or raises what the server said.

        pyarrow's close() never sends the end of the stream while another thread waits in read(); done_writing() does.
        """
        try:
            self.writer.done_writing()
            self.thread.join()
        finally:
            self.writer.close()
        return self.answers

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self.close()


def chunks(reader):
    """The batches of a stream, each with its decoded app_metadata."""
    for chunk in reader:
        yield chunk.data, json.loads(chunk.app_metadata.to_pybytes())


def notes(client, table, **keys):
    """What the app_metadata of each batch of a bounded read says."""
    return [(data.num_rows, note) for data, note in chunks(client.do_get(ticket(table, **keys)))]


def latest(client, table):
    """The high watermark of each bucket."""
    return {row["bucket"]: row["offset"] for row in action(client, "log.offsets", {"table": table, "at": "latest"})}
