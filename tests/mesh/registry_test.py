#!/usr/bin/env python3
# registry_test.py: nodes that find each other by a real NATS alone, go on over their links without it, and leave no
# record behind; what strangers write there changes nothing; a client of NATS reads the bucket. timeout: 120
# SPDX-License-Identifier: Apache-2.0
import asyncio
import base64
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import plexus  # noqa: E402
from plexus import wait_until  # noqa: E402

os.environ["PATH"] += ":/usr/sbin:/usr/local/sbin"  # where Debian has nats-server
if not shutil.which("nats-server"):
    plexus.skip("no nats-server")

try:
    import nats
except ImportError:  # pinned, beside the interpreter that it was installed for
    python, path = plexus.test_env("TEST_PYTHON"), plexus.test_env("TEST_PYTHONPATH")
    if not python or not path or os.environ.get("PYTHONPATH") == path:
        plexus.skip("the Python client of NATS is not installed (tools/setup test)")
    os.execve(python, [python, __file__, *sys.argv[1:]], dict(os.environ, PYTHONPATH=path))


class Nats:
    def __init__(self):
        self.port, self.folder, self.process = plexus.free_port(), tempfile.mkdtemp(), None
        self.url = "nats://127.0.0.1:%d" % self.port
        self.start()

    def start(self):
        self.process = subprocess.Popen(["nats-server", "-a", "127.0.0.1", "-p", str(self.port), "-js", "-sd", self.folder],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

        def answers():
            with socket.socket() as s:
                return s.connect_ex(("127.0.0.1", self.port)) == 0

        wait_until("nats-server answers", answers)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def wire(self, *lines, reads=0.5):
        """Says lines to the server, and gives back what it says in a while."""
        with socket.create_connection(("127.0.0.1", self.port)) as s:
            s.sendall(("CONNECT {\"verbose\":false,\"headers\":true}\r\n" + "".join(lines)).encode())
            s.settimeout(reads)
            got = b""
            try:
                while piece := s.recv(1 << 20):
                    got += piece
            except socket.timeout:
                pass
            return got.decode()

    def put(self, key, text):
        assert '"seq":' in self.wire("SUB answer 1\r\n", "PUB $KV.plexus_dev.%s answer %d\r\n%s\r\n" % (key, len(text), text))

    def get(self, key):
        """The text there; None: none."""
        got = self.wire("SUB answer 1\r\n", "PUB $JS.API.DIRECT.GET.KV_plexus_dev.$KV.plexus_dev.%s answer 0\r\n\r\n" % key)
        head, _, text = got.partition("\r\n\r\n")
        if "NATS/1.0 404" in got or "KV-Operation: DEL" in head:
            return None
        return text.split("\r\n")[0]

    def __exit__(self, *exc):
        self.kill()
        shutil.rmtree(self.folder)


def config(name, url, port, **more):
    return {"node": {"name": name, "context": "dev.aipc." + name},
            "listen": {"api": "127.0.0.1:0", "mesh": "127.0.0.1:%d" % port},
            "registry": {"engine": "nats", "url": url, "ttl": "3s"}, **more}


def mesh(node):
    return json.loads(node.command("mesh", "show", "--json").stdout)


def states(node):
    return {n["name"]: n["state"] for n in mesh(node)["nodes"]}


def connected(node):
    return mesh(node)["registry"]["status"] == "connected"


def three(server):
    nodes = [plexus.Node(config(name, server.url, plexus.free_port())) for name in ("one", "two", "three")]
    nodes[0].command("mesh", "init", "--domain", "home.internal")
    for node in nodes[1:]:
        token = json.loads(nodes[0].command("token", "new", "--json").stdout)
        node.command("join", mesh(nodes[0])["listen"], token["token"])
    for node in nodes:
        wait_until("all are alive", lambda: list(states(node).values()) == ["alive"] * 3)
        wait_until("the registry", lambda: connected(node))
    return nodes


def payload(sheet):
    text = sheet.split(".")[0]
    return json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))


def test_all():
    server = Nats()
    one, two, three_ = nodes = three(server)
    try:
        for node, name in zip(nodes, ("one", "two", "three")):
            wait_until("its record", lambda: server.get(name))
            assert payload(server.get(name))["node"] == name
            wait_until("the others' records", lambda: mesh(node)["registry"]["others"] == 2)

        # A stranger writes: nothing changes, and it is said once.
        real = server.get("two")
        parts = real.split(".")
        forged = payload(real)
        forged["addresses"] = ["127.0.0.1:1"]
        forged["seq"] = 1 << 50
        body = base64.urlsafe_b64encode(json.dumps(forged).encode()).decode().rstrip("=")
        server.put("ghost", "no sheet at all")
        server.put("two-again", ".".join([body] + parts[1:]))
        for node in nodes:
            wait_until("the forgery is told", lambda: node.log().count('"registry.refused"') >= 2)
            assert list(states(node).values()) == ["alive"] * 3, states(node)
        listen = {n["name"]: n["addresses"] for n in mesh(one)["nodes"]}
        assert "127.0.0.1:1" not in listen["two"]

        # NATS is gone: the links go on; it is back: so are the records.
        server.kill()
        for node in nodes:
            wait_until("the loss is seen", lambda: mesh(node)["registry"]["status"] == "lost")
        time.sleep(3.5)  # longer than the time to live
        for node in nodes:
            assert list(states(node).values()) == ["alive"] * 3, states(node)
        server.start()
        for node, name in zip(nodes, ("one", "two", "three")):
            wait_until("back", lambda: connected(node) and server.get(name))

        # One that leaves takes its record with it; the others stay.
        three_.stop()
        assert server.get("three") is None and server.get("two")

        # It comes back at another address and knows nobody: not the others, and the authority is off. NATS tells them of
        # each other, and nothing else does.
        one.stop()
        (three_.data / "mesh/peers").unlink()
        with_nats = {**three_.config, "listen": {"api": "127.0.0.1:0", "mesh": "127.0.0.1:%d" % plexus.free_port()}}
        three_.write({**with_nats, "registry": {"engine": "links"}})
        three_.start()
        time.sleep(3)
        assert mesh(three_)["registry"] == {"engine": "links"} and states(three_).get("two") is None, states(three_)
        three_.stop()
        (three_.data / "mesh/peers").unlink(missing_ok=True)
        three_.write(with_nats)
        three_.start()
        wait_until("they found each other", lambda: states(three_).get("two") == "alive", 15)
        wait_until("they found each other", lambda: states(two).get("three") == "alive", 15)
        assert "one" not in states(three_) or states(three_)["one"] != "alive"
    finally:
        for node in nodes:
            node.__exit__(None, None, None)
        server.__exit__()


def test_python_client():
    """The official client of NATS for Python reads the bucket as one of its own."""
    server = Nats()
    node = plexus.Node(config("one", server.url, plexus.free_port()))

    async def read():
        client = await nats.connect(server.url)
        try:
            kv = await client.jetstream().key_value("plexus_dev")
            assert await kv.keys() == ["one"]
            entry = await kv.get("one")
            status = await kv.status()
            assert status.history == 1 and status.ttl == 3, status
            watcher = await kv.watchall()
            first = await watcher.updates(timeout=5)
            assert first.key == "one" and first.value == entry.value
            assert await watcher.updates(timeout=5) is None  # all that was there
            node.stop()
            while (last := await watcher.updates(timeout=10)).operation is None:
                assert payload(last.value.decode())["node"] == "one"
            assert last.operation == "DEL" and last.key == "one"
            return payload(entry.value.decode())
        finally:
            await client.close()

    try:
        node.command("mesh", "init", "--domain", "home.internal")
        wait_until("the registry", lambda: connected(node) and server.get("one"))
        assert asyncio.run(read())["node"] == "one"
    finally:
        node.__exit__(None, None, None)
        server.__exit__()


if __name__ == "__main__":
    plexus.main(globals())
