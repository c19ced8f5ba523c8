#!/usr/bin/env python3
# temporal_test.py: the same documents on the embedded engine and on a real Temporal server: equal outputs, the same order of tasks; a node
# killed while its flows run there; one that runs the development server itself.
# SPDX-License-Identifier: Apache-2.0
import json
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1] / "lib"), str(pathlib.Path(__file__).resolve().parent)]
import ctk  # noqa: E402
import plexus  # noqa: E402
import temporal  # noqa: E402
from flows import Flows  # noqa: E402
from plexus import wait_until  # noqa: E402


def free_ports(count):
    held = [socket.socket() for _ in range(count)]
    for s in held:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in held]
    for s in held:
        s.close()
    return ports


class Server:
    """Temporal's development server on ports of its own."""

    def __init__(self):
        program = temporal.find()
        if not program:
            plexus.skip("no Temporal server (python3 tests/lib/temporal.py builds it)")
        self.folder = tempfile.mkdtemp(prefix="plexus-temporal-")
        self.port, http, ui = free_ports(3)
        self.process = subprocess.Popen(
            [program, "server", "start-dev", "--ip", "127.0.0.1", "--port", str(self.port), "--http-port", str(http), "--ui-port", str(ui),
             "--db-filename", self.folder + "/t.db", "--log-level", "error",
             # What is deleted is gone after such a time; 30 s by default.
             "--dynamic-config-value", 'history.transferProcessorUpdateAckInterval="500ms"',
             "--dynamic-config-value", 'history.visibilityProcessorUpdateAckInterval="500ms"'], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until("Temporal's server", lambda: socket.socket().connect_ex(("127.0.0.1", self.port)) == 0, 60)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def config(self):
        return {"flows": {"engine": "temporal", "temporal": {"address": f"127.0.0.1:{self.port}"}}}


server = plexus.shared(lambda: Server())
here = plexus.shared(lambda: Flows())
there = plexus.shared(lambda: Flows(server().config()))


def yaml(text):
    return here().value(text)


def volatile(value):
    """Without what two runs cannot have in common: ids and times of events they emitted."""
    if isinstance(value, dict):
        return {k: volatile(v) for k, v in value.items() if not ("specversion" in value and k in ("id", "time"))}
    return [volatile(v) for v in value] if isinstance(value, list) else value


def test_the_features_are_the_same():
    wait_until("a worker of Temporal", lambda: there().api("GET", "/api/flows/stats")[1]["ready"], 30)
    failed = []
    for s in ctk.scenarios():
        try:
            text = ctk.given(s)
            value = yaml(text) if text else None
            one = here().run(ctk.document(s), value, order=True)
            other = there().run(ctk.document(s), value, order=True)
            ctk.check(s, other, yaml)
            if "compete" not in ctk.document(s):  # who wins a race is open
                assert ctk.equal(volatile(one.output), volatile(other.output)), (one.output, other.output)
                assert one.began == other.began, (one.began, other.began)
            print(f"  ok   {s}")
        except AssertionError as x:
            print(f"  FAIL {s}\n       {x}")
            failed.append(s)
    assert not failed, failed


ROW = {"document": {"dsl": "1.0.3", "namespace": "test", "name": "row", "version": "1.0.0"},
       "do": [{f"s{n}": {"run": {"shell": {"command": f"sleep 0.1; echo {n}"}}, "output": {"as": "${ $input + [.] }"}}} for n in range(1, 6)]}


def test_a_killed_worker():
    """The server gives the work to the next life of the node."""
    with Flows(server().config()) as node:
        wait_until("a worker", lambda: node.api("GET", "/api/flows/stats")[1]["ready"], 30)
        names = [f"killed-{i}-{time.time_ns()}" for i in range(4)]
        for name in names:
            status, got = node.api("POST", "/api/flows", {"document": json.dumps(ROW), "input": [], "id": name})
            assert status == 201, (status, got)
        for _ in range(3):
            time.sleep(0.25)
            node.process.send_signal(signal.SIGKILL)
            node.process.wait()
            node.start()
        for name in names:
            wait_until(name, lambda: not node.api("GET", f"/api/flows/{name}")[1].get("open", True), 120)
            view = node.api("GET", f"/api/flows/{name}?full=1")[1]
            assert view["status"] == "completed", view
            assert view["view"]["output"] == [f"{n}\n" for n in range(1, 6)], view["view"]["output"]


if __name__ == "__main__":
    plexus.main(globals())
