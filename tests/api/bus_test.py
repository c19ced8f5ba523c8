#!/usr/bin/env python3
# bus_test.py: the bus of real nodes: embedded, with a nats-server of the node's own that dies and
# with which the node starts again, with a redis-server, and the commands.
# SPDX-License-Identifier: Apache-2.0
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import plexus  # noqa: E402
from plexus import PLEXUS, Node, cmdline, descendants, scripted, wait_until  # noqa: E402

os.environ["PATH"] += ":/usr/sbin:/usr/local/sbin"  # where Debian has nats-server


def command(node, *words, code=0, data=None):
    done = subprocess.run([PLEXUS, *words, "--data", str(node.data)], input=data, capture_output=True, timeout=30)
    assert done.returncode == code, (words, done)
    return done.stdout.decode("latin-1"), done.stderr.decode()


def bus(node):
    return json.loads(command(node, "bus", "--json")[0])


def connected(node):
    try:
        return bus(node)["status"] == "connected"
    except AssertionError:
        return False  # not there yet


class Listener:
    def __init__(self, node, *words):
        self.lines = plexus.JsonLines(PLEXUS, "bus", *words, "--json", "--data", str(node.data))
        wait_until("somebody listens", lambda: bus(node)["subscriptions"] > 0)

    def events(self):
        return self.lines.rows()

    def end(self):
        assert self.lines.end() == 0


def test_node_tells():
    """Model states and heartbeats, and what the commands do."""
    model = {"engine": "command", "command": scripted(name="a"), "health": "/health", "kind": "chat"}
    with Node({"node": {"name": "alpha"}, "models": {"a.b": model}}) as node:
        tail = Listener(node, "tail")
        node.ask("POST", "/api/models/a.b/load?wait=1")
        seen = lambda: [e["data"]["state"] for e in tail.events() if e["channel"] == "dev.organs.models.a_b.state"]
        wait_until("the model's states", lambda: seen()[-1:] == ["WARM"])
        assert "LOADING" in seen(), seen()
        beat = lambda: [e for e in tail.events() if e["channel"] == "dev.cognitive.alpha.heartbeat"]
        wait_until("a heartbeat", beat)
        assert beat()[0]["type"] == "plexus.node.heartbeat" and beat()[0]["data"]["node"] == "alpha"
        tail.end()
        assert command(node, "bus", "pub", "dev.a.b.c", "-", "--durable", data=b"\xff\x00")[0] == "stored as 1\n"
        assert command(node, "bus", "sub", "dev.a.>", "--from", "start", "-n", "1")[0] == "\xff\0\n"  # the bytes as they were
        assert "SecurityViolationError" in command(node, "bus", "pub", "prod.a.b.c", "x", code=77)[1]
        assert "SecurityViolationError" in command(node, "bus", "pub", "dev.a.b.c", "x", "--label", "restricted:x", code=77)[1]
        assert '"security.violation"' in node.log()
        figures = node.get("/metrics").body.decode()
        assert "plexus_bus_connected 1\n" in figures and "plexus_bus_stored_total 1\n" in figures, figures
        assert 'plexus_security_violations_total{operation="publish"} 1\n' in figures, figures


def nats_of(node):
    return [pid for pid in descendants(node.process.pid) if cmdline(pid).split(b"\0")[0].endswith(b"nats-server")]


def test_own_nats():
    if not shutil.which("nats-server"):
        plexus.skip("no nats-server")
    with Node({"bus": {"engine": "nats"}}) as node:
        wait_until("connected", lambda: connected(node))
        assert command(node, "bus", "pub", "dev.a.b.c", "one", "--durable")[0] == "stored as 1\n"
        conf = node.data / "nats/server.conf"
        assert oct(conf.stat().st_mode & 0o777) == "0o600" and 'host: "127.0.0.1"' in conf.read_text()
        token = re.search(r'token: "(\w+)"', conf.read_text()).group(1)
        first = nats_of(node)
        assert len(first) == 1
        os.kill(first[0], signal.SIGKILL)
        wait_until("another one", lambda: nats_of(node) not in ([], first))
        wait_until("connected again", lambda: connected(node))
        assert command(node, "bus", "pub", "dev.a.b.c", "two", "--durable")[0] == "stored as 2\n"
        assert node.stop() == 0
        assert token not in node.log()
        node.start()  # on the same store
        wait_until("connected", lambda: connected(node))
        assert command(node, "bus", "sub", "dev.a.>", "--from", "start", "-n", "2")[0] == "one\ntwo\n"
        own = nats_of(node)
        assert node.stop() == 0
        assert not any(plexus.alive(pid) for pid in own)


def test_redis():
    server = shutil.which("redis-server")
    if not server:
        plexus.skip("no redis-server")
    folder = tempfile.mkdtemp(prefix="plexus-redis-")
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    redis = subprocess.Popen([server, "--port", str(port), "--bind", "127.0.0.1", "--dir", folder, "--save", "",
                              "--requirepass", "s3cret"], stdout=subprocess.DEVNULL)
    try:
        config = {"bus": {"engine": "redis", "url": f"redis://127.0.0.1:{port}", "password": {"env": "REDIS_PW"}}}
        with Node(config, env={"REDIS_PW": "s3cret"}) as one, Node(dict(config), env={"REDIS_PW": "s3cret"}) as two:
            wait_until("connected", lambda: connected(one) and connected(two))
            listener = Listener(two, "sub", "dev.a.*.c")
            command(one, "bus", "pub", "dev.a.b.c", '{"x": 1}', "--label", "public")
            wait_until("from node to node", listener.events)
            event = listener.events()[0]
            assert event["data"] == {"x": 1} and event["label"] == "public", event
            listener.end()
            assert "s3cret" not in one.log()
    finally:
        redis.kill()
        redis.wait()
        shutil.rmtree(folder, ignore_errors=True)


def test_no_server():
    """A node without its server serves, and says what is missing."""
    with Node({"bus": {"engine": "nats", "url": "nats://127.0.0.1:1"}}) as node:
        wait_until("it is told", lambda: '"bus.unreachable"' in node.log())
        assert bus(node)["status"] == "connecting"
        assert "no connection to NATS" in command(node, "bus", "pub", "dev.a.b.c", "x", code=69)[1]
    empty = tempfile.mkdtemp(prefix="plexus-path-")
    node = Node({"bus": {"engine": "nats"}}, env={"PATH": empty}, start=False)
    node.start(wait=False)
    assert node.process.wait(20) != 0
    assert "apt install nats-server" in node.log(), node.log()
    node.process.stdout.close()
    node.process = None
    shutil.rmtree(node.folder)
    shutil.rmtree(empty)


if __name__ == "__main__":
    test_node_tells()
    test_no_server()
    test_redis()
    test_own_nats()
