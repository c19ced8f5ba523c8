#!/usr/bin/env python3
# bus_test.py: three nodes with `bus: {engine: nats}` and no url have one bus when they are one mesh: the server is the
# authority's child, speaks TLS with the mesh's identities, and takes nobody else. It restarts, identities rotate, a node is
# removed: nothing acknowledged is lost. timeout: 180
# SPDX-License-Identifier: Apache-2.0
import json
import os
import pathlib
import shutil
import socket
import ssl
import stat
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import netns  # noqa: E402
import plexus  # noqa: E402
from mesh import DOMAIN, PORT, Mesh, view  # noqa: E402
from plexus import PLEXUS, descendants, wait_until  # noqa: E402

os.environ["PATH"] += ":/usr/sbin:/usr/local/sbin"  # where Debian has nats-server
if not shutil.which("nats-server"):
    plexus.skip("no nats-server")
netns.need()
NATS = PORT + 1
CONFIG = {"bus": {"engine": "nats"}}


def command(node, *words, code=0, data=None):
    done = subprocess.run([PLEXUS, *words, "--data", str(node.data)], input=data, capture_output=True, timeout=30)
    assert done.returncode == code, (words, done)
    return done.stdout.decode()


def bus(node):
    return json.loads(command(node, "bus", "--json"))


def connected(m, *names):
    for name in names or m.nodes:
        wait_until(f"{name} is connected, is {bus(m[name])}", lambda: bus(m[name])["status"] == "connected", 15)


def shared(m, *names):
    """These are at the server of node a."""
    for name in names or m.nodes:
        wait_until(f"{name} is at the mesh's server, is {bus(m[name])}",
                   lambda: bus(m[name])["status"] == "connected" and f":{NATS} " in bus(m[name])["server"], 15)


def store(node, text):
    command(node, "bus", "pub", "dev.organs.work.item", text, "--durable")


def stored(node, count):
    return command(node, "bus", "sub", "dev.organs.work.>", "--from", "start", "--count", str(count)).split()


def servers(node):
    return [p for p in descendants(node.process.pid) if plexus.cmdline(p).startswith(b"nats-server")]


def record(m, of):
    by = next(n for n in view(m["a"])["nodes"] if n["name"] == of)
    return next((s["address"] for s in by["services"] if s["name"] == "nats"), None)


def test_one_bus():
    with Mesh(a={}, b={}, c={}, join=False, config=CONFIG) as m:
        connected(m)
        store(m["a"], "before")  # a's own store becomes the mesh's
        store(m["b"], "mine")
        for node in m.nodes.values():
            assert len(servers(node)) == 1
        m.init()
        for name in ("b", "c"):
            m.join(name)
        m.settled()
        shared(m)
        assert record(m, "a") == f"{m['a'].host.address}:{NATS}" and record(m, "b") is None
        wait_until("one server for all", lambda: [len(servers(n)) for n in m.nodes.values()] == [1, 0, 0])
        for name in ("cert.pem", "key.pem", "ca.pem", "server.conf"):
            assert stat.S_IMODE((m["a"].data / "nats" / name).stat().st_mode) == 0o600, name

        assert f"{m['a'].host.address}:{NATS}" in command(m["c"], "resolve", "nats", "--kind", "service")

        # What one stores all read, with or without a durable cursor.
        store(m["b"], "one")
        store(m["c"], "two")
        for node in m.nodes.values():
            assert stored(node, 3) == ["before", "one", "two"]

        # The authority's node starts again: the same port, nothing lost, the others come back by themselves.
        m["a"].stop()
        wait_until("b sees the loss", lambda: bus(m["b"])["status"] == "lost")
        words = [PLEXUS, "bus", "pub", "dev.organs.work.item", "three", "--durable", "--id", "three", "--data", m["b"].data]
        waits = subprocess.Popen(words, stdout=subprocess.DEVNULL)  # while the server is away
        m["a"].start()
        shared(m)
        while waits.wait(20):  # not acknowledged in its time: again, once in the store all the same
            waits = subprocess.Popen(words, stdout=subprocess.DEVNULL)
        assert stored(m["c"], 4) == ["before", "one", "two", "three"]

        # Its server is killed: it is started again, and what was acknowledged is there.
        os.kill(servers(m["a"])[0], 9)
        wait_until("the loss is seen", lambda: bus(m["c"])["totals"]["lost"] >= 2)
        shared(m)
        store(m["c"], "four")
        assert stored(m["b"], 5)[-1] == "four"

        # The whole node is killed, as by a power cut: the same port, and what was acknowledged is there.
        os.kill(m["a"].process.pid, 9)
        m["a"].process.wait()
        wait_until("the loss is seen", lambda: bus(m["c"])["status"] == "lost")
        m["a"].start()
        shared(m)
        assert stored(m["b"], 5)[-1] == "four"

        # The mesh's port is taken while it is off: another one, and the others follow it.
        m["a"].stop()
        (m["a"].data / "nats/port").unlink()
        with m["a"].host.inside(), socket.socket() as taken:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            taken.bind((m["a"].host.address, NATS))
            taken.listen()
            m["a"].start()
            connected(m)
            assert record(m, "a") not in (None, f"{m['a'].host.address}:{NATS}")
        store(m["b"], "five")
        assert stored(m["c"], 6)[-1] == "five"

        # Who is removed is cut off at once and not let in again; b, which stays, keeps its connection.
        lost = bus(m["b"])["totals"]["lost"]
        pem = member_files(m, "c")
        command(m["a"], "nodes", "rm", "c")
        wait_until("c is on its own", lambda: bus(m["c"])["status"] == "connected" and "127.0.0.1" in bus(m["c"])["server"], 20)
        wait_until("c is refused", lambda: "Authorization Violation" in said(m, pem), 5)
        store(m["b"], "six")
        assert stored(m["a"], 7)[-1] == "six"
        assert bus(m["b"])["totals"]["lost"] == lost

        # Who leaves has its own again, with what was there.
        command(m["b"], "mesh", "leave")
        wait_until("b is on its own", lambda: bus(m["b"])["status"] == "connected" and "127.0.0.1" in bus(m["b"])["server"], 20)
        assert stored(m["b"], 1) == ["mine"]
        wait_until("b is gone", lambda: m.states("a")["b"] in ("left", "removed"))
        command(m["a"], "mesh", "leave")
        wait_until("a is on its own", lambda: bus(m["a"])["status"] == "connected" and "127.0.0.1" in bus(m["a"])["server"], 20)
        assert stored(m["a"], 7)[0] == "before"


def member_files(m, name):
    """The certificate and key of a node, out of its folder, for a client that is no plexus."""
    saved = json.loads((m[name].data / "mesh/member.json").read_text())
    path = m[name].data / "stolen.pem"
    path.write_text(saved["key"] + saved["svid"])
    return path


def said(m, pem=None, user=None):
    """What the server at node a answers to a client that shows this certificate, or none."""
    host, port = record(m, "a").rsplit(":", 1)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if pem:
        context.load_cert_chain(pem)
    with m["c"].host.inside(), socket.create_connection((host, int(port)), 5) as plain:
        assert plain.recv(4096).startswith(b"INFO ")
        try:
            with context.wrap_socket(plain) as s:
                s.sendall(b'CONNECT {"verbose":false' + (b',"user":"%s"' % user.encode() if user else b"") + b"}\r\nPING\r\n")
                return s.recv(4096).decode()
        except (ssl.SSLError, ConnectionError) as e:
            return "no TLS: %s" % e


def plain(m):
    host, port = record(m, "a").rsplit(":", 1)
    with m["c"].host.inside(), socket.create_connection((host, int(port)), 5) as s:
        s.sendall(b'CONNECT {"verbose":false}\r\nPING\r\n')
        got = b""
        s.settimeout(5)
        try:
            while piece := s.recv(4096):
                got += piece
        except (socket.timeout, ConnectionError):
            pass
        return got.decode(errors="replace")


def test_strangers():
    with Mesh(a={}, c={}, config=CONFIG) as m:
        shared(m)
        folder = m["a"].data / "forged"
        folder.mkdir()
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                        folder / "k", "-out", folder / "c", "-subj", "/CN=x", "-days", "1", "-addext",
                        f"subjectAltName=URI:spiffe://{DOMAIN}/node/a"], check=True, capture_output=True)
        (folder / "forged.pem").write_text((folder / "k").read_text() + (folder / "c").read_text())
        command(m["a"], "mesh", "svid", "agent/x", "--out", str(folder / "agent"))
        agent = folder / "agent.pem"
        agent.write_text((folder / "agent/key.pem").read_text() + (folder / "agent/cert.pem").read_text())

        assert "PONG" in said(m, member_files(m, "c"))
        assert "PONG" not in plain(m)
        for pem, user in ((None, None), (None, f"spiffe://{DOMAIN}/node/a"), (folder / "forged.pem", None)):
            answer = said(m, pem, user)
            assert answer.startswith("no TLS: "), answer
        assert "Authorization Violation" in said(m, agent)  # of the mesh, but no node


def test_waits():
    """A node whose authority runs no NATS waits, and says so."""
    with Mesh(a={}, b={}, join=False, config=CONFIG) as m:
        m["a"].stop()
        m["a"].write({**m["a"].config, "bus": {"engine": "embedded"}})
        m["a"].start()
        m.init()
        m.join("b")
        wait_until("b waits", lambda: bus(m["b"])["status"] == "connecting", 10)
        assert "node a, which holds the mesh's authority, runs no NATS server" in command(m["b"], "bus")
        m["a"].stop()
        m["a"].write({**m["a"].config, "bus": {"engine": "nats"}})
        m["a"].start()
        shared(m, "b")
        assert "note" not in bus(m["b"]) or bus(m["b"])["note"] is None


def test_rotation():
    with Mesh(a={}, b={}, svid_ttl="4s", config=CONFIG) as m:
        shared(m)
        serial = view(m["b"])["svid"]["serial"]
        want, end = [], time.monotonic() + 10
        while time.monotonic() < end:
            want.append(str(len(want)))
            store(m["b" if len(want) % 2 else "a"], want[-1])
        assert view(m["b"])["svid"]["serial"] != serial
        assert stored(m["a"], len(want)) == want
        assert [bus(m[n])["totals"]["lost"] for n in ("a", "b")] == [0, 0]
        # A new connection, long after the first certificates have ended.
        os.kill(servers(m["a"])[0], 9)
        wait_until("the loss is seen", lambda: bus(m["b"])["totals"]["lost"] == 1)
        shared(m)
        store(m["b"], "last")
        assert stored(m["a"], len(want) + 1) == [*want, "last"]


if __name__ == "__main__":
    plexus.main(globals())
