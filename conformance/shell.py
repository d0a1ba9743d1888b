"""The program as a shell runs it: exit code, stdout, stderr."""

import os
import pathlib
import subprocess
import sys

from conftest import BINARY

ENVIRONMENT = ("QUIVER_SERVER", "QUIVER_OUTPUT", "QUIVER_CONFIG", "QUIVER_TOKEN", "QUIVER_TIMEOUT", "QUIVER_TLS_CA")


class Shell:
    """Calls of the program against one server, in a folder of their own, with nobody's configuration."""

    def __init__(self, folder, server=None):
        self.folder = folder
        self.env = {k: v for k, v in os.environ.items() if k not in ENVIRONMENT}
        self.env |= {"PATH": f"{BINARY.parent}:{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}", "NO_COLOR": "1", "XDG_CONFIG_HOME": str(folder / "config")}
        if server:
            self.env["QUIVER_SERVER"] = server

    def quiver(self, *args, code=0, stdin=b""):
        """Runs one verb, which has to end with the code: (stdout, stderr), as bytes and as text."""
        done = subprocess.run([BINARY, *map(str, args)], cwd=self.folder, env=self.env, input=stdin, capture_output=True, timeout=120)
        told = done.stderr.decode()
        assert done.returncode == code, (args, done.returncode, told)
        return done.stdout, told

    def out(self, *args, **how):
        return self.quiver(*args, **how)[0]

    def refused(self, code, *args, stdin=b""):
        """What the program says as it refuses: one or two lines, and nothing on stdout."""
        out, told = self.quiver(*args, code=code, stdin=stdin)
        assert not out, out
        assert 1 <= len(told.splitlines()) <= 2, told
        return told

    def script(self, text):
        """Runs a page's commands with bash, which stops at the first that fails."""
        return subprocess.run(["bash", "-euo", "pipefail", "-c", text], cwd=self.folder, env=self.env, capture_output=True, timeout=300, text=True)
