#!/usr/bin/env python3
# queues_test.py: one flow over several queues on a real nats-server: two nodes with different queues, `plexus worker`
# that comes late, dies and comes again, and a flow's node that is killed in the middle. timeout: 120
# SPDX-License-Identifier: Apache-2.0
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import flowkit as flows
import plexus
from plexus import wait_until

os.environ["PATH"] += ":/usr/sbin:/usr/local/sbin"  # where Debian has nats-server
if not shutil.which("nats-server"):
    plexus.skip("no nats-server")

# Who does it: commands of flows get little of the node's environment, TERM is of it.
SPAN = """
document: { dsl: 1.0.3, namespace: test, name: span, version: 1.0.0 }
do:
- sense:
    run: { shell: { command: 'echo "$TERM"' } }
    metadata: { plexus: { queue: edge-task-queue } }
    output: { as: '${ { edge: rtrimstr("\\n") } }' }
- think:
    run: { shell: { command: 'echo "$TERM"' } }
    metadata: { plexus: { queue: heavy-compute-queue } }
    output: { as: '${ $input + { heavy: rtrimstr("\\n") } }' }
- act:
    run: { shell: { command: 'echo "$TERM"' } }
    metadata: { plexus: { queue: edge-task-queue } }
    output: { as: '${ $input + { back: rtrimstr("\\n") } }' }
"""
FAR = """
document: { dsl: 1.0.3, namespace: test, name: far, version: 1.0.0, metadata: { plexus: { queue: gpu } } }
do:
- one: { run: { shell: { command: 'echo one >> "%(log)s"; sleep %(sleep)s; echo "$TERM"' } } }
- two: { set: { who: '${ rtrimstr("\\n") }' } }
"""


class Nats:
    def __init__(self):
        self.port, self.folder = plexus.free_port(), tempfile.mkdtemp(prefix="plexus-nats-")
        self.url = "nats://127.0.0.1:%d" % self.port

    def __enter__(self):
        self.process = subprocess.Popen(["nats-server", "-a", "127.0.0.1", "-p", str(self.port), "-js", "-sd", self.folder],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

        def answers():
            with socket.socket() as s:
                return s.connect_ex(("127.0.0.1", self.port)) == 0

        wait_until("nats-server answers", answers)
        return self

    def __exit__(self, *exc):
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def node(nats, name, *queues):
    return plexus.Node({"node": {"name": name, "context": "dev.%s.node1" % name}, "bus": {"engine": "nats", "url": nats.url},
                        "flows": {"queues": list(queues)}}, env={"TERM": name})


class Worker:
    """`plexus worker` with a folder of its own."""

    def __init__(self, nats, name, *queues):
        self.folder = tempfile.mkdtemp(prefix="plexus-worker-")
        file = os.path.join(self.folder, "plexus.yaml")
        with open(file, "w") as f:
            f.write('{"node": {"name": "%s", "context": "dev.%s.node1"}, "bus": {"engine": "nats", "url": "%s"}}' % (name, name, nats.url))
        words = [plexus.PLEXUS, "worker", "--config", file, "--data", os.path.join(self.folder, "data")]
        for queue in queues:
            words += ["--queue", queue]
        self.out = open(os.path.join(self.folder, "log"), "wb")
        self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=self.out, stderr=self.out, env=dict(os.environ, TERM=name))

    def log(self):
        with open(os.path.join(self.folder, "log")) as f:
            return f.read()

    def end(self, how=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(how)
        code = self.process.wait(20)
        self.out.close()
        return code

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        if exc[0] is not None:
            print("---- the worker's log ----\n" + self.log())
        self.end(signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)


def start(n, document, ident):
    got = n.post("/api/flows", {"document": document, "id": ident})
    assert got.status == 201, got


def ended(n, ident, seconds=60):
    end = flows.wait_for(n, ident, "it ends", lambda r: not r["open"] and r, seconds)
    assert end["status"] == "completed", end["view"]
    return end["view"]["output"]


def test_one_flow_on_two_nodes():
    with Nats() as nats, node(nats, "edge", "edge-task-queue") as edge, node(nats, "heavy", "heavy-compute-queue") as heavy:
        want = {"edge": "edge", "heavy": "heavy", "back": "edge"}
        for i in range(5):
            start(edge, SPAN, "e-%d" % i)
            start(heavy, SPAN, "h-%d" % i)
        for i in range(5):
            assert ended(edge, "e-%d" % i) == want, i
            assert ended(heavy, "h-%d" % i) == want, i
        assert heavy.get("/api/flows/e-1").status == 404, "a run lives where it was started"


def test_the_other_node_comes_late():
    with Nats() as nats, node(nats, "edge", "edge-task-queue") as edge:
        start(edge, SPAN, "late")
        flows.wait_for(edge, "late", "it waits for the queue", lambda r: "sense" in str(r["view"]) and r["open"])
        time.sleep(1)
        assert flows.shown(edge, "late")["open"]
        assert "on queue heavy-compute-queue" in flows.command(edge, "show", "late").stdout
        with node(nats, "heavy", "heavy-compute-queue"):
            assert ended(edge, "late")["heavy"] == "heavy"


def test_a_worker_comes_dies_and_comes_again():
    with Nats() as nats, node(nats, "edge", "edge-task-queue") as edge:
        log = edge.folder / "done"
        said = lambda: log.read_text().split() if log.exists() else []
        with Worker(nats, "w1", "gpu") as w:
            start(edge, FAR % {"log": log, "sleep": 0}, "far-1")
            assert ended(edge, "far-1") == {"who": "w1"}
            assert said() == ["one"], said()
            start(edge, FAR % {"log": log, "sleep": 20}, "far-2")
            wait_until("it is at work", lambda: len(said()) == 2)
            w.end(signal.SIGKILL)
        log2 = edge.folder / "done2"
        start(edge, FAR % {"log": log2, "sleep": 0}, "far-3")
        with Worker(nats, "w2", "gpu", "more") as w:
            assert ended(edge, "far-3") == {"who": "w2"}
            edge.post("/api/flows/far-2/terminate")
            assert w.end() == 0, w.log()


def test_the_flows_node_is_killed_in_the_middle():
    with Nats() as nats, node(nats, "edge", "edge-task-queue") as edge, Worker(nats, "w", "gpu"):
        log = edge.folder / "done"
        start(edge, FAR % {"log": log, "sleep": 2}, "k-1")
        wait_until("it is at work", log.exists)
        edge.process.kill()
        edge.process.wait(10)
        edge.start()
        assert ended(edge, "k-1") == {"who": "w"}


def test_an_answer_that_comes_twice():
    """Of two answers to one activity the first counts, whatever the second says."""
    with Nats() as nats, node(nats, "edge", "edge-task-queue") as edge:
        file = edge.folder / "twice"
        start(edge, FAR % {"log": file, "sleep": 0} + "- nap: { wait: PT1S }\n", "twice")
        flows.wait_for(edge, "twice", "it waits for the queue", lambda r: r["open"] and "one" in str(r["view"]))
        ident = next(e["id"] for e in edge.get("/api/flows/twice/history").json["entries"] if e["t"] == "act")
        for i, said in enumerate(("first", "second", "first")):
            body = {"subject": "dev.organs.flow-done.edge", "stored": True, "id": "own-%d" % i,
                    "data": {"run": "twice", "id": ident, "node": "w%d" % i, "output": said + "\n"}}
            got = edge.post("/api/bus/publish", body)
            assert got.status == 200, got
        assert ended(edge, "twice") == {"who": "first"}
        entries = edge.get("/api/flows/twice/history").json["entries"]
        assert [e["data"]["node"] for e in entries if e["t"] == "done" and e["id"] == ident] == ["w0"], entries


def test_a_limit_until_somebody_begins():
    """metadata.plexus.start: an error when nobody takes it in time; who took it may be slow; a worker that comes later finds nothing to do."""
    limit = FAR.replace("queue: gpu }", "queue: gpu, start: PT1.5S }")
    with Nats() as nats, node(nats, "edge", "edge-task-queue") as edge:
        file = edge.folder / "begun"
        began = time.monotonic()
        start(edge, limit % {"log": file, "sleep": 0}, "nobody")
        end = flows.wait_for(edge, "nobody", "it ends", lambda r: not r["open"] and r)
        assert end["view"]["error"]["status"] == 408 and time.monotonic() - began > 1.4, end["view"]
        with Worker(nats, "w", "gpu"):
            start(edge, limit % {"log": file, "sleep": 3}, "slow")
            assert ended(edge, "slow") == {"who": "w"}
        got = edge.post("/api/flows/check", {"document": limit.replace("PT1.5S", "soon") % {"log": file, "sleep": 0}}).json
        assert not got["ok"] and got["findings"][0]["pointer"].endswith("/plexus/start"), got


def test_a_worker_says_what_it_needs():
    with tempfile.TemporaryDirectory() as folder:
        words = [plexus.PLEXUS, "worker", "--queue", "q", "--data", folder + "/data"]
        r = subprocess.run(words, capture_output=True, text=True, timeout=20, cwd=folder)
        assert r.returncode == 78 and "needs a configuration that says where its bus is" in r.stderr, r
        with open(folder + "/plexus.yaml", "w") as f:
            f.write("{}")
        r = subprocess.run(words, capture_output=True, text=True, timeout=20, cwd=folder)
        assert r.returncode == 78 and "set bus.engine to nats or redis" in r.stderr, r


if __name__ == "__main__":
    plexus.main(globals())
