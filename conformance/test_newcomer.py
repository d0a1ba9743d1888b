"""The way of somebody who has only the binary: an empty folder, a file of their own, the first query."""

import os
import re
import subprocess
import time

import pyarrow as pa
import pyarrow.flight as fl
import pytest

from conftest import BINARY
from shell import Shell

PEOPLE = """id,name,born,city,score
1,"Ada, Countess",1815-12-10,London,9.5
2,"Grace ""Amazing"" Hopper",1906-12-09,New York,
3,Łukasz Żółć,1990-02-28,,7
4,日本太郎,2001-01-01,東京,8.25
5,"",1970-01-01,Ülm,1e2
"""
BAD = PEOPLE + "six,Bob,1950-01-01,Paris,5\n"


@pytest.fixture
def dev(tmp_path):
    """`quiver dev` in an empty folder, on free ports: (process, what it printed, address)."""
    shell = Shell(tmp_path)
    printed = tmp_path / "printed"
    with printed.open("wb") as out:
        process = subprocess.Popen([BINARY, "dev", "--flight-addr", "127.0.0.1:0", "--http-addr", "127.0.0.1:0"], cwd=tmp_path,
                                   env=shell.env, stdout=out, stderr=subprocess.DEVNULL)
    try:
        for _ in range(3000):
            if "read_pandas" in printed.read_text():  # the last line
                break
            assert process.poll() is None
            time.sleep(0.01)
        yield process, printed.read_text()
    finally:
        process.kill()
        process.wait()


def test_first_query(tmp_path, dev, capsys):
    started = time.monotonic()
    process, printed = dev
    (tmp_path / "people.csv").write_text(PEOPLE)
    # The printed commands are pasted, and find the server although its port is not the usual one.
    commands = "".join(re.findall(r"^  (QUIVER_SERVER=\S+ quiver .*\n)", printed, re.M))
    done = Shell(tmp_path).script(commands)
    assert done.returncode == 0, done.stderr
    assert "created table default.people: id int64, name string, born date32[day], city string, score double" in done.stderr
    assert len(done.stdout.splitlines()) == 5
    with capsys.disabled():
        print(f"\nempty folder to first query: {time.monotonic() - started:.2f} s")

    address = re.search(r"grpc://(\S+)", printed).group(1)
    shell = Shell(tmp_path, address)
    found = shell.out("scan", "people", "--where", "born > '1900-01-01' and city is not null", "-o", "csv").decode().splitlines()
    assert found == ["id,name,born,city,score", '2,"Grace ""Amazing"" Hopper",1906-12-09,New York,', "4,日本太郎,2001-01-01,東京,8.25",
                     '5,"",1970-01-01,Ülm,100.0']
    # The bad row is named, and what is stored is told.
    (tmp_path / "bad.csv").write_text(BAD)
    out, told = shell.quiver("append", "people", "bad.csv", code=1)
    assert 'bad.csv, line 7, column "id": "six" is no int64' in told
    stored = int(re.search(r"^(\d+) rows? (?:is|are) stored", told, re.M).group(1)) if "stored in" in told else 0
    assert shell.out("count", "people").decode() == f"{5 + stored}\n"
    # The same table through Python: the printed snippet, then an own read.
    snippet = "\n".join(line[2:] for line in printed[printed.index("  import pyarrow"):].splitlines())
    namespace = {}
    exec(compile(snippet, "snippet", "exec"), namespace)
    assert "buy" in capsys.readouterr().out
    with fl.connect(f"grpc://{address}") as client:
        rows = client.do_get(fl.Ticket(b'{"table": "people", "limit": 5}')).read_all()
    assert rows.column("name").to_pylist() == ["Ada, Countess", 'Grace "Amazing" Hopper', "Łukasz Żółć", "日本太郎", ""]
    assert rows.schema.field("born").type == pa.date32()
    # It goes down by ^C, and comes back with everything.
    process.terminate()
    assert process.wait(timeout=60) == 0
    assert os.listdir(tmp_path / "quiver-data")
