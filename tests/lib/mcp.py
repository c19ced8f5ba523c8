# mcp.py: the node's MCP client in a program of its own (tests/mcp/everything_client.c), driven line
# by line. Standard library only. SPDX-License-Identifier: Apache-2.0
import json
import os
import pathlib
import queue
import shutil
import socket
import subprocess
import sys
import tempfile
import threading

import plexus

PROGRAM = str(plexus.ROOT / "build/tests/mcp_client")
BAD = str(plexus.ROOT / "tests/mcp/bad_server.py")


def package(name):
    """The folder of an npm package, or None."""
    modules = plexus.test_env("TEST_NODE_PATH")
    folder = pathlib.Path(modules or "/nonexistent") / name
    return folder if folder.is_dir() else None


class Web:
    """A bad server over HTTP (tests/mcp/bad_server.py)."""

    def __init__(self, mode):
        self.child = subprocess.Popen([sys.executable, BAD, mode, "http"],
                                      stdout=subprocess.PIPE)
        self.url = f"http://127.0.0.1:{int(self.child.stdout.readline())}/mcp"

    def server(self, **more):
        return {"name": "bad", "url": self.url, "grants": ["*"], **more}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.child.kill()
        self.child.wait()
        self.child.stdout.close()


def bad(mode, **server):
    """A server of tests/mcp/bad_server.py on its standard streams."""
    return {"name": "bad", "argv": [sys.executable, BAD, mode], "grants": ["*"], **server}


class Client:
    """Servers as configured; events and answers in order."""

    def __init__(self, *servers, **conf):
        self.folder = tempfile.mkdtemp(prefix="plexus-mcp-")
        conf.setdefault("folder", self.folder)
        conf.setdefault("backoff_ms", 50)
        path = os.path.join(self.folder, "s")
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen(1)
        listener.settimeout(10)
        self.child = subprocess.Popen(
            [PROGRAM, path, json.dumps({"servers": servers, **conf})], stdin=subprocess.DEVNULL)
        self.wire = listener.accept()[0]
        listener.close()
        self.lines, self.kept, self.ids = queue.Queue(), [], 0
        self.unready, self.seen = {s["name"] for s in servers}, []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        with self.wire.makefile("rb") as lines:
            for line in lines:
                self.lines.put(json.loads(line))
        self.wire.close()  # else the client lingers
        self.lines.put(None)

    def send(self, **command):
        self.wire.sendall(json.dumps(command).encode() + b"\n")

    def wait(self, what, fits, seconds=15.0):
        """The next line that fits; those before it are kept for others."""
        for line in self.kept:
            if fits(line):
                self.kept.remove(line)
                return line
        while True:
            try:
                line = self.lines.get(timeout=seconds)
            except queue.Empty:
                raise AssertionError(f"did not come: {what}; kept {self.kept[-5:]}") from None
            if line is None:
                raise AssertionError(f"the client ended before: {what}")
            if fits(line):
                return line
            self.kept.append(line)

    def event(self, name, server=None):
        line = self.wait(name, lambda x: x.get("event") == name and server in (None, x["server"]))
        if name == "ready":
            self.unready.discard(line["server"])
        return line

    def ask(self, op, **args):
        self.send(op=op, **args)
        return self.wait(op, lambda x: op in x)[op]

    def rc(self, op, **args):
        """(symbol of the error or "", text)"""
        self.send(op=op, **args)
        line = self.wait(op, lambda x: op in x)
        return line[op], line["text"]

    def settle(self):
        """All servers were ready once."""
        while self.unready:
            line = self.wait("ready", lambda x: x.get("event") == "ready")
            self.unready.discard(line["server"])
            self.seen.append(line)

    def start(self, name, args=None, op="call", settle=True, **more):
        if settle:
            self.settle()
            self.kept += self.seen
            self.seen = []
        self.ids += 1
        self.send(op=op, id=self.ids, name=name, args=args or {}, **more)
        return self.ids

    def done(self, number, seconds=15.0):
        return self.wait(f"call {number}", lambda x: x.get("done") == number and "status" in x, seconds)

    def call(self, name, args=None, **more):
        return self.done(self.start(name, args, **more))

    def text(self, name, args=None, **more):
        """The text of a good answer."""
        line = self.call(name, args, **more)
        assert line["status"] == "", line
        return line["result"]["content"][0]["text"]

    def fails(self, status, name, args=None, **more):
        line = self.call(name, args, **more)
        assert line["status"] == status, line
        return line["text"]

    def tools(self):
        return {t["name"]: t for t in self.ask("tools")}

    def status(self, name=None):
        rows = {s["name"]: s for s in self.ask("status")}
        return rows[name] if name else rows

    def review(self):
        return {t["name"]: t for t in self.ask("review")}

    def rss(self):
        for line in pathlib.Path(f"/proc/{self.child.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) << 10
        return 0

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        try:
            if kind is None:
                self.send(op="quit")
                assert self.child.wait(10) == 0, f"the client's exit code is {self.child.returncode}"
        finally:
            if self.child.poll() is None:
                self.child.kill()
                self.child.wait()
            self.wire.close()
            shutil.rmtree(self.folder, ignore_errors=True)
