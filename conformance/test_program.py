"""The verbs of the program from a shell: exit codes, and formats that other programs read."""

import io
import json
import signal
import subprocess
import time

import duckdb
import polars
import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet as pq
import pytest

from conftest import BINARY, ticket
from shell import Shell

ROWS = pa.table({
    "id": pa.array([1, 2, 3, 4], pa.int64()),
    "name": ["Ada, C", 'Grace "A"', None, "日本"],
    "born": pa.array([-56270, None, 7363, 11323], pa.date32()),
    "score": [9.5, None, -0.25, 100.0],
    "seen": pa.array([0, 1, None, 1763800000000000], pa.timestamp("us", tz="UTC")),
})


@pytest.fixture
def shell(server, tmp_path):
    return Shell(tmp_path, server.address)


@pytest.fixture
def people(shell, request):
    """A table of ROWS with a name of its own."""
    table = request.node.name.replace("[", "_").rstrip("]")
    shell.quiver("append", table, "--create", "--format", "arrow", stdin=stream_of(ROWS))
    return table


def stream_of(table):
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as w:
        w.write_table(table)
    return sink.getvalue()


def parquet_of(table):
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


READERS = {
    "arrow": lambda data: pa.ipc.open_stream(data).read_all(),
    "parquet": lambda data: pq.read_table(io.BytesIO(data)),
    "csv": lambda data: pyarrow.csv.read_csv(io.BytesIO(data), convert_options=pyarrow.csv.ConvertOptions(
        strings_can_be_null=True, quoted_strings_can_be_null=False)),
    "ndjson": lambda data: pyarrow.json.read_json(io.BytesIO(data)),
    "json": lambda data: pa.Table.from_pylist(json.loads(data)),
}


@pytest.mark.parametrize("output", READERS)
def test_formats_reach_pyarrow(shell, people, output):
    got = READERS[output](shell.out("scan", people, "-o", output))
    assert got.column_names == ROWS.column_names
    if output in ("arrow", "parquet"):
        assert got.cast(ROWS.schema).equals(ROWS) and got.schema.types == ROWS.schema.types
    else:
        assert [(r["id"], r["name"], r["score"]) for r in got.to_pylist()] == [(r["id"], r["name"], r["score"]) for r in ROWS.to_pylist()]


@pytest.mark.parametrize("output", READERS)
def test_formats_come_back(shell, people, output):
    data = shell.out("scan", people, "-o", output)
    shell.quiver("append", people + "_copy", "--create", "-q", stdin=data)
    assert shell.out("scan", people + "_copy", "-o", "arrow") and \
        READERS["arrow"](shell.out("scan", people + "_copy", "-o", "arrow")).equals(ROWS)


def test_files_of_pyarrow(shell, tmp_path):
    (tmp_path / "a.parquet").write_bytes(parquet_of(ROWS))
    (tmp_path / "b.arrows").write_bytes(stream_of(ROWS))
    with pa.ipc.new_file(tmp_path / "c.arrow", ROWS.schema) as w:
        w.write_table(ROWS)
    _, told = shell.quiver("append", "files", "a.parquet", "b.arrows", "c.arrow", "--create")
    assert "appended 12 rows to default.files" in told
    assert READERS["arrow"](shell.out("scan", "files", "-o", "arrow")).equals(pa.concat_tables([ROWS] * 3))


def test_parquet_in_duckdb_and_polars(shell, people, tmp_path):
    (tmp_path / "out.parquet").write_bytes(shell.out("scan", people, "-o", "parquet"))
    assert duckdb.sql(f"select count(*), sum(score) from '{tmp_path}/out.parquet'").fetchall() == [(4, 109.25)]
    assert polars.read_parquet(tmp_path / "out.parquet").height == 4
    assert polars.read_ipc_stream(shell.out("scan", people, "-o", "arrow")).height == 4


def test_pipe_from_table_to_table(shell, people):
    done = shell.script(f"quiver scan {people} -o arrow | quiver append {people}_2 --create -q; quiver count {people}_2")
    assert (done.returncode, done.stdout) == (0, "4\n"), done.stderr
    done = shell.script(f"quiver scan {people} | head -n 1 >/dev/null")  # a reader that has seen enough is no failure
    assert (done.returncode, done.stderr) == (0, "")


def test_selections(shell, people):
    def lines(*args):
        return [json.loads(line) for line in shell.out(*args).splitlines()]

    assert lines("scan", people, "--columns", "id", "--where", "score > 0 or name = '日本'") == [{"id": 1}, {"id": 4}]
    assert lines("scan", people, "--columns", "id", "--from", "1", "--until", "3") == [{"id": 2}, {"id": 3}]
    assert lines("scan", people, "--columns", "id", "--system-columns", "__offset", "--limit", "1") == [{"id": 1, "__offset": 0}]
    assert lines("head", people, "-n", "1", "--columns", "id") == [{"id": 1}]
    assert lines("tail", people, "-n", "2", "--columns", "id") == [{"id": 3}, {"id": 4}]
    assert shell.out("count", people, "--where", "score is null") == b"1\n"
    assert lines("offsets", people) == [{"partition": None, "bucket": 0, "earliest": 0, "latest": 4}]
    assert lines("offsets", people, "--at", "2000-01-01T00:00:00Z")[0]["at"] == 0


def test_tail_follows(shell, people, server):
    follower = subprocess.Popen([BINARY, "tail", people, "-f", "-n", "1", "--columns", "id"], cwd=shell.folder, env=shell.env,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        assert json.loads(follower.stdout.readline()) == {"id": 4}
        shell.quiver("append", people, "-q", stdin=stream_of(ROWS))
        assert [json.loads(follower.stdout.readline())["id"] for _ in range(4)] == [1, 2, 3, 4]
        follower.send_signal(signal.SIGINT)
        rest, told = follower.communicate(timeout=60)
        assert (follower.returncode, rest) == (0, b"") and told.startswith(b"4 rows in ")
    finally:
        follower.kill()


def test_a_table_from_its_making_to_its_end(shell):
    shell.quiver("db", "create", "life")
    shell.quiver("db", "create", "life", "--if-not-exists")
    _, told = shell.quiver("table", "create", "life.t", "--schema", "id int64 not null, day date, price decimal128(12, 2)",
                           "--partition-by", "day", "--bucket-key", "id", "--buckets", "4", "--set", "retention.time=30d")
    assert told == "created table life.t: 3 columns, 4 buckets\n"
    shell.quiver("append", "life.t", stdin=b"id,day,price\n1,2026-11-22,9.90\n2,2026-11-23,\n")
    shell.quiver("partition", "create", "life.t", "day=2026-11-24")
    named = [json.loads(line)["partition"] for line in shell.out("partition", "ls", "life.t").splitlines()]
    assert named == ["day=2026-11-22", "day=2026-11-23", "day=2026-11-24"]
    shell.quiver("table", "alter", "life.t", "--rename", "price=amount", "--widen", "amount decimal128(18, 2)",
                 "--add", "note string default 'none' first")
    row = json.loads(shell.out("scan", "life.t", "--partition", "day=2026-11-22"))
    assert row == {"note": "none", "id": 1, "day": "2026-11-22", "amount": "9.90"}
    described = json.loads(shell.out("table", "describe", "life.t"))
    assert described["options"] == {"retention.time": "30d"} and described["bucket_key"] == ["id"]
    assert [json.loads(line)["rows"] for line in shell.out("table", "stats", "life.t").splitlines()][-1] == 2
    shell.quiver("partition", "drop", "life.t", "day=2026-11-22", "-y")
    assert shell.out("count", "life.t") == b"1\n"
    assert "asks before it goes on" in shell.refused(2, "table", "drop", "life.t")
    assert shell.refused(1, "db", "drop", "life", "-y").endswith("drop them first, or add --cascade\n")
    shell.quiver("table", "drop", "life.t", "-y")
    shell.quiver("db", "drop", "life", "-y")
    shell.refused(4, "db", "describe", "life")


def test_primary_key(shell):
    def lines(*args):
        return [json.loads(line) for line in shell.out(*args).splitlines()]

    data = b"id,city,note\n1,Oslo,\n2,Bergen,\n3,Oslo,moved\n"
    _, told = shell.quiver("upsert", "customers", "--create", "--primary-key", "id", stdin=data)
    assert "upserted 3 rows into default.customers" in told
    shell.quiver("upsert", "customers", "--columns", "city", "-q", stdin=b"id,city\n3,Rome\n")
    shell.quiver("delete", "customers", "-q", stdin=b"id\n2\n")
    assert shell.out("count", "customers") == b"2\n"
    assert lines("lookup", "customers", "3", "1") == [{"id": 3, "city": "Rome", "note": "moved"}, {"id": 1, "city": "Oslo", "note": None}]
    changes = READERS["arrow"](shell.out("changelog", "customers", "-o", "arrow"))
    assert changes.column("__change_type").to_pylist() == ["+I", "+I", "+I", "-U", "+U", "-D"]
    for output in ("arrow", "ndjson", "csv", "parquet"):  # the changes of one table make another one
        mirror = "mirror_" + output
        shell.quiver("upsert", mirror, "--create", "--primary-key", "id", "--changes", "-q",
                     stdin=shell.out("changelog", "customers", "-o", output))
        assert sorted(r["id"] for r in lines("scan", mirror)) == [1, 3], output
    assert "has no row with key 2" in shell.refused(4, "lookup", "customers", "2")
    assert "--create needs --primary-key" in shell.refused(2, "upsert", "none", "--create", stdin=data)
    shell.quiver("append", "no_key", "--create", "-q", stdin=data)
    assert "use 'quiver append'" in shell.refused(1, "upsert", "no_key", stdin=data)


def test_cursors(shell, people):
    assert "made by 'quiver cursor set'" in shell.refused(4, "scan", people, "--from", "cursor:job")
    shell.quiver("cursor", "set", "job", people, "--offsets", '{"0": 3}')
    assert json.loads(shell.out("scan", people, "--from", "cursor:job", "--columns", "id")) == {"id": 4}
    assert json.loads(shell.out("lag", people))["lag_rows"] == 1
    shell.refused(1, "cursor", "set", "job", people, "--offsets", '{"0": 4}', "--expect", '{"0": 2}')
    assert "bucket by bucket" in shell.refused(2, "cursor", "set", "job", people, "--offsets", "3")
    shell.quiver("cursor", "reset", "job", people, "-y")
    assert json.loads(shell.out("cursor", "ls", people))["lag_rows"] == 4
    assert 'there is "job"' in shell.refused(4, "scan", people, "--from", "cursor:jab")


def test_exit_codes(shell, people, server, tmp_path):
    (tmp_path / "bad.csv").write_text("id,name\n1,a\nx,b\n")
    for code, args, said in [
        (1, ("append", people, "bad.csv"), 'bad.csv, line 3, column "id": "x" is no int64'),
        (1, ("append", people, "none.csv"), "there is no file none.csv"),
        (1, ("append", people), "standard input is empty"),
        (1, ("scan", people, "--where", "scor > 1"), 'did you mean "score"?'),
        (1, ("scan", people, "--columns", "nme"), 'did you mean "name"?'),
        (1, ("scan", people, "--from", "99"), "earliest 0, latest 4"),
        (1, ("db", "create", "default"), "or add --if-not-exists"),
        (1, ("table", "create", "t2", "--schema", "a int64", "--set", "retention.tme=7d"), 'did you mean "retention.time"?'),
        (2, ("scna", people), 'did you mean "scan"?'),
        (2, ("scan", people, "--limt", "1"), 'did you mean "--limit"?'),
        (2, ("scan", people, "--limit", "-1"), "a number from 0 is expected"),
        (2, ("scan", people, "-o", "xml"), "take one of table, json"),
        (2, ("scan",), "TABLE is missing"),
        (2, ("scan", people, "--from", "yesterday"), "--from is no place in a table"),
        (2, ("table", "create", "t2", "--schema", "a int65"), 'did you mean "int64"?'),
        (2, ("scan", people, "--server", f"http://{server.http}"), "it does not speak http, write HOST:PORT"),
        (3, ("scan", people, "--server", "127.0.0.1:1"), "Start one with 'quiver dev'"),
        (3, ("scan", people, "--server", server.http), "speaks HTTP, not Flight"),
        (4, ("scan", people + "x"), f"there is default.{people}"),
        (4, ("append", people + "x", "bad.csv"), "--create makes it with the columns of the file"),
        (4, ("scan", people, "--bucket", "7"), "the table has 1"),
        (4, ("scan", people, "--partition", "a=1"), "the table is not partitioned"),
        (4, ("table", "create", "nowhere.t", "--schema", "a int64"), "create it with 'quiver db create'"),
    ]:
        told = shell.refused(code, *args)
        assert said in told, told


def test_output_that_has_no_room(shell, people):
    with open("/dev/full", "wb") as full:
        for output in READERS:
            done = subprocess.run([BINARY, "scan", people, "-o", output], env=shell.env, stdout=full, stderr=subprocess.PIPE)
            assert done.returncode == 1 and b"no space left on device" in done.stderr, output


def test_resume_over_kills_of_the_server(new_server, tmp_path):
    server = new_server()
    rows = 400_000
    (tmp_path / "big.csv").write_text("n\n" + "\n".join(map(str, range(rows))) + "\n")
    call = ["append", "big", "big.csv", "--create", "--resume", "state", "--batch-rows", "1000"]
    shell = Shell(tmp_path, server.address)
    running = subprocess.Popen([BINARY, *call], cwd=tmp_path, env=shell.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with server.client() as client:
        while running.poll() is None:
            try:
                if client.do_get(ticket("big", columns=[])).read_all().num_rows > rows // 10:
                    break
            except pa.ArrowKeyError:
                pass  # the table is not made yet
            time.sleep(0.005)
    server.kill()
    running.kill()
    running.wait()
    server.start()
    shell = Shell(tmp_path, server.address)
    shell.quiver(*call)
    _, told = shell.quiver(*call)
    assert "nothing is left to do" in told
    got = READERS["arrow"](shell.out("scan", "big", "-o", "arrow"))
    assert got.column("n").to_pylist() == list(range(rows))
