"""Every snippet of README and docs runs as it stands, but for the address of the server."""

import pathlib
import re
import subprocess

import pytest

from conftest import ROOT
from shell import Shell

PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])

GO_PROGRAM = """package main

import (
	"context"
	"fmt"
	"os"
%s
)

func run(ctx context.Context) error {
%s
	return nil
}

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
"""

# What Go snippets may mention without importing it; "flight" is ours on the page about our client.
GO_PACKAGES = {
    "errors": "errors",
    "log": "log",
    "time": "time",
    "arrow": "github.com/apache/arrow-go/v18/arrow",
    "array": "github.com/apache/arrow-go/v18/arrow/array",
    "decimal128": "github.com/apache/arrow-go/v18/arrow/decimal128",
    "memory": "github.com/apache/arrow-go/v18/arrow/memory",
    "grpc": "google.golang.org/grpc",
    "insecure": "google.golang.org/grpc/credentials/insecure",
    "quiver": "github.com/quiverlog/quiver",
}
STOCK_FLIGHT = "github.com/apache/arrow-go/v18/arrow/flight"
OUR_FLIGHT = "github.com/quiverlog/quiver/flight"


def snippets(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.M | re.S)


@pytest.fixture(scope="module")
def events(server):
    """The table that the README's first snippet makes, which later ones read."""
    run_python(ROOT / "README.md", server)
    return server


def run_python(page, server):
    """Runs a page's Python snippets one after the other, as a reader would paste them."""
    namespace = {}
    for code in snippets(page, "python"):
        exec(compile(code.replace("127.0.0.1:8815", server.address), str(page), "exec"), namespace)
    return namespace


@pytest.mark.parametrize("page", [p for p in PAGES if snippets(p, "python")], ids=lambda p: p.name)
def test_python(page, server, capsys):
    run_python(page, server)
    assert capsys.readouterr().out


def go_program(code):
    """A program of the snippet, with the imports that it needs."""
    packages = GO_PACKAGES | {"flight": OUR_FLIGHT if "flight.Dial(" in code else STOCK_FLIGHT}
    imports = [f'\t"{path}"' for name, path in packages.items() if re.search(rf"\b{name}\.[A-Z]", code)]
    return GO_PROGRAM % ("\n".join(imports), code)


@pytest.mark.parametrize("page", [p for p in PAGES if snippets(p, "go")], ids=lambda p: p.name)
def test_go(page, events):
    """A page's Go snippets are one program, one behind the other, as a reader would grow it."""
    code = "".join(snippets(page, "go")).replace("127.0.0.1:8815", events.address)
    folder = ROOT / ".build" / f"snippet-{page.stem}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "main.go").write_text(go_program(code))
    done = subprocess.run(["go", "run", "."], cwd=folder, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_shell(new_server, tmp_path):
    """What the page about the program tells to paste works, in this order, in an empty folder."""
    (tmp_path / "shell").mkdir()
    done = Shell(tmp_path / "shell", new_server().address).script("\n".join(snippets(ROOT / "docs" / "program.md", "sh")))
    assert done.returncode == 0, done.stderr
    assert "nothing is left to do" in done.stderr
    assert '1,"Lovelace, Ada",none,1815-12-10,London' in done.stdout.splitlines()


def test_commands_exist():
    """What the README tells to type is there: make targets, verbs of the program."""
    targets = set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.M))
    for page in PAGES:
        for block in snippets(page, "sh"):
            for target in re.findall(r"^make ([a-z-]+)", block, re.M):
                assert target in targets, f"{page.name}: make {target}"
            for verb in re.findall(r"bin/quiver ([a-z]+)", block):
                done = subprocess.run([ROOT / "bin" / "quiver", verb, "--help"], capture_output=True)
                assert done.returncode == 0, f"{page.name}: quiver {verb}"


@pytest.mark.parametrize("page", [p for p in PAGES if "curl" in p.read_text()], ids=lambda p: p.name)
def test_curl(page, server):
    """What a page asks the HTTP port for is answered."""
    asked = [line.split()[-1] for block in snippets(page, "sh") for line in block.splitlines() if line.startswith("curl ")]
    assert asked
    for url in asked:
        path = url.strip("'").removeprefix("http://127.0.0.1:8816")
        status, body = server.get(path)
        assert status == 200 and body, url


def test_links_lead_somewhere():
    for page in PAGES:
        prose = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S)
        for target in re.findall(r"\]\(([^)#:]+)\)", prose):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_demo():
    """`make demo` is this program, behind a build."""
    import sys

    done = subprocess.run([sys.executable, ROOT / "conformance" / "demo.py"], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    for part in ("336,776 rows", "rows/s", "tail  offset 336,780", "336,776 flights: UA 58,665", "336,781 rows"):
        assert part in done.stdout
    assert "poorly aligned" not in done.stderr
    assert pathlib.Path(ROOT / "bin" / "quiver").exists()
