"""What an operator sees: metrics, version, profiles, logs, and how a server goes down."""

import json
import re
import signal
import socket
import threading
import time
import urllib.error
import urllib.request

import pyarrow as pa
import pyarrow.flight as fl
import pytest

from conftest import Put, Server, action, ids, put, read, reason, refused, ticket

SERIES = re.compile(r'^([a-z_]+)(?:\{(.*)\})? (\S+)$')


def metrics(server):
    """The samples of a scrape, by name and labels as they are written; every family has its help and its type."""
    status, body = server.get("/metrics")
    assert status == 200
    samples, told = {}, {}
    for line in body.decode().splitlines():
        if line.startswith("# "):
            _, kind, name, text = line.split(" ", 3)
            told.setdefault(name, {})[kind] = text
            continue
        name, labels, value = SERIES.match(line).groups()
        samples[name + ("{" + labels + "}" if labels else "")] = float(value)
        family = next(n for n in (name, re.sub("_(bucket|sum|count)$", "", name)) if n in told)
        assert told[family].get("HELP") and told[family].get("TYPE"), name
    return samples


def test_metrics_of_a_known_workload(new_server):
    server = new_server()
    before = metrics(server)
    with server.client() as client:
        put(client, "events", pa.Table.from_batches([ids(0, 1000), ids(1000, 1500)]))
        assert read(client, "events").num_rows == 1500
        with refused("TABLE_NOT_FOUND"):
            read(client, "no_such_table")
    after = metrics(server)
    changed = {name: after[name] - before.get(name, 0) for name in after if after[name] != before.get(name, 0)}
    for name, value in {
        "quiver_put_streams_total": 1,
        "quiver_put_messages_total": 2,
        "quiver_put_batches_total": 2,
        "quiver_put_rows_total": 1500,
        "quiver_put_tables_created_total": 1,
        "quiver_log_appended_rows_total": 1500,
        "quiver_get_streams_total": 1,
        "quiver_get_rows_total": 1500,
        'quiver_calls_total{call="DoPut"}': 1,
        'quiver_errors_total{call="DoGet",reason="TABLE_NOT_FOUND"}': 1,
        'quiver_table_put_rows_total{table="default.events"}': 1500,
        'quiver_table_get_rows_total{table="default.events"}': 1500,
        "quiver_tables": 1,
    }.items():
        assert changed.get(name) == value, name
    assert after["quiver_put_streams_open"] == after["quiver_get_streams_open"] == after["quiver_log_staged_units"] == 0
    assert after["quiver_disk_free_bytes"] > after["quiver_disk_reserve_bytes"] > 0
    assert "go_goroutines" in after and "process_resident_memory_bytes" in after


def test_open_metrics(server):
    """A scraper that asks for OpenMetrics gets it."""
    request = urllib.request.Request(f"http://{server.http}/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    with urllib.request.urlopen(request) as answer:
        assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
        assert answer.read().endswith(b"# EOF\n")


def test_tables_leave_the_metrics_with_their_drop(server, client, table):
    put(client, table, pa.Table.from_batches([ids(10)]))
    name = f'quiver_table_put_rows_total{{table="default.{table}"}}'
    assert metrics(server)[name] == 10
    action(client, "table.drop", {"table": table})
    assert name not in metrics(server)


def test_followers_are_counted(server, client, table):
    put(client, table, pa.Table.from_batches([ids(10)]))
    reader = client.do_get(ticket(table, follow=True))
    assert reader.read_chunk().data.num_rows == 10
    now = metrics(server)
    assert now["quiver_follow_streams_open"] == 1 and now["quiver_follow_lag_rows_count"] >= 1
    reader.cancel()


def test_version(server):
    status, body = server.get("/version")
    version = json.loads(body)
    assert status == 200 and set(version) == {"version", "commit", "go", "format", "wire", "started"}
    assert (version["format"], version["wire"]) == (1, 1) and version["go"].startswith("go1.")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", version["started"])


def other_address():
    """An address of this machine that is not loopback. Nothing is sent: only the route is looked up."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.connect(("192.0.2.1", 9))
        return s.getsockname()[0]


def get(address, path, **headers):
    request = urllib.request.Request(f"http://{address}{path}", headers={k.replace("_", "-"): v for k, v in headers.items()})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_profiles_are_for_this_machine_only(new_server):
    server = new_server("data", "--http-addr", "0.0.0.0:0")
    port = server.http.rsplit(":", 1)[1]
    here, there = f"127.0.0.1:{port}", f"{other_address()}:{port}"
    assert not there.startswith("127.")
    assert get(here, "/debug/pprof/goroutine?debug=1")[0] == 200
    for address, headers in [
        (there, {}),
        (there, {"X_Forwarded_For": "127.0.0.1"}),
        (there, {"Host": "127.0.0.1"}),
        (here, {"X_Forwarded_For": "203.0.113.7"}),
        (here, {"Host": "rebound.example"}),
    ]:
        for page in ("/debug/pprof/", "/debug/pprof/cmdline", "/debug/pprof/profile?seconds=1", "/debug/pprof/heap"):
            status, text = get(address, page, **headers)
            assert status == 403 and "ssh -L" in text, (address, headers, page)
    assert get(there, "/metrics")[0] == get(there, "/readyz")[0] == 200


def test_logs(new_server):
    server = new_server()
    server.stop()
    lines = [json.loads(line) for line in server.log.read_text().splitlines()]
    assert lines[0]["msg"] == "serving" and lines[0]["flight"] == server.address
    assert [line["msg"].split(":")[0] for line in lines[-2:]] == ["draining", "drained"]
    text = new_server("text", "--log-format", "text")
    text.stop()
    assert re.search(r"^time=\S+ level=INFO msg=serving version=", text.log.read_text(), re.M)
    quiet = new_server("quiet", "--log-level", "error")
    quiet.stop()
    assert quiet.log.read_text() == ""


def big(client, table):
    """A table of some 32 MB: more than lies between a server and a reader that does not read."""
    batch = pa.record_batch({"id": pa.array(range(50_000), pa.int64()), "text": pa.array(["x" * 72] * 50_000)})
    put(client, table, pa.Table.from_batches([batch] * 8))


def read_a_little(server, client, table):
    """A read of whose answer only the beginning is read, as far as the server can get with it."""
    reader = client.do_get(ticket(table))
    reader.read_chunk()
    sent = []
    while len(sent) < 5 or len(set(sent[-5:])) > 1:
        time.sleep(0.1)
        sent.append(metrics(server)["quiver_get_batches_total"])
    return reader


def test_drain(new_server):
    """SIGTERM with streams of every kind open: each is told, nothing acknowledged is lost, and it exits with 0."""
    server = new_server("data", "--drain-time", "60s")
    client = server.client()
    big(client, "big")
    slow = read_a_little(server, client, "big")  # the server cannot end this call by itself

    stream = Put(client, "events", ids(0).schema)
    for n in range(5):
        stream.write(ids(10 * n, 10 * n + 10))
    stream.flush("five")
    while not any(answer["flush"] == "five" for answer in stream.answers):
        stream.thread.join(0.01)  # the answer comes by that thread
    follower = client.do_get(ticket("events", follow=True))
    followed, ended = [], []

    def follow():
        try:
            while True:
                followed.append(follower.read_chunk().data.num_rows)
        except (pa.ArrowException, fl.FlightError) as error:
            ended.append(error)

    thread = threading.Thread(target=follow)
    thread.start()
    while sum(followed) < 50:
        thread.join(0.01)

    server.process.send_signal(signal.SIGTERM)
    thread.join(30)
    assert reason(ended[0]) == "SERVER_DRAINING"
    with refused("SERVER_DRAINING", "durable: 5 batches, 50 rows"):
        while True:  # until the stream's end is noticed
            stream.write(ids(50, 60))
            stream.thread.join(0.01)
            if not stream.thread.is_alive():
                stream.close()

    # The slow reader holds the drain open: everybody else can see what goes on.
    assert server.process.poll() is None
    status, body = server.get("/readyz")
    assert status == 503 and json.loads(body)["reasons"] == ["the server is draining"]
    now = metrics(server)
    assert now["quiver_node_draining"] == 1 and now["quiver_node_ready"] == 0 and now["quiver_get_streams_open"] == 1
    with refused("SERVER_DRAINING"):
        put(client, "events", pa.Table.from_batches([ids(50, 60)]))
    with server.client() as newcomer, refused("SERVER_DRAINING"):
        list(newcomer.list_flights())

    with pytest.raises((pa.ArrowException, fl.FlightError)) as error:
        while True:
            slow.read_chunk()
    assert reason(error.value) == "SERVER_DRAINING"
    assert server.process.wait(30) == 0
    client.close()
    server.start()
    with server.client() as client:
        assert read(client, "events").column("id").to_pylist()[:50] == list(range(50))
        assert read(client, "big").num_rows == 400_000


def test_a_drain_ends_in_time(new_server):
    """A reader that never reads is cut."""
    server = new_server("data", "--drain-time", "300ms")
    client = server.client()
    big(client, "big")
    slow = read_a_little(server, client, "big")
    assert server.stop() == 0
    assert "the drain took too long" in server.log.read_text()
    with pytest.raises(fl.FlightUnavailableError):
        while True:
            slow.read_chunk()


def test_a_second_signal_ends_it_at_once(new_server):
    server = new_server("data", "--drain-time", "300s")
    client = server.client()
    big(client, "big")
    put(client, "events", pa.Table.from_batches([ids(100)]))
    slow = read_a_little(server, client, "big")
    server.process.send_signal(signal.SIGTERM)
    while server.get("/readyz")[0] != 503:
        pass
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(30) == 128 + signal.SIGTERM
    server.start()
    with server.client() as client:
        assert read(client, "events").num_rows == 100
    assert server.stop() == 0


@pytest.mark.parametrize("flags", [["--log-level", "loud"], ["--log-format", "xml"], ["--drain-time", "soon"]], ids=lambda f: f[0])
def test_wrong_flags(tmp_path, flags):
    with pytest.raises(RuntimeError) as error:
        Server(tmp_path / "data", *flags).start()
    assert "ended with 2" in str(error.value) and flags[1] in str(error.value)


