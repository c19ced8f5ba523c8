#!/usr/bin/env python3
# disk_test.py: a disk that takes nothing at the moment of a change: what could not be written down has not happened, and
# works when it is asked for again. On loopback; a folder in the place of the new file stands for the full disk.
# SPDX-License-Identifier: Apache-2.0
import contextlib
import os
import pathlib
import socket
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import plexus  # noqa: E402
from plexus import Node, wait_until  # noqa: E402


def node(name, mesh="127.0.0.1:0"):
    return Node({"node": {"name": name, "context": f"dev.test.{name}"}, "listen": {"api": "127.0.0.1:0", "mesh": mesh}})


@contextlib.contextmanager
def full(one, file):
    """As root neither rights nor a read-only file stop a write; a folder of that name does."""
    there = one.data / "mesh" / f"{file}.new"
    there.mkdir(parents=True)
    try:
        yield
    finally:
        there.rmdir()


def joined(one):
    return one.owner("GET", "/api/mesh").json["joined"]


def init(one):
    return one.owner("POST", "/api/mesh/init", {"trust_domain": "test.example"})


def test_a_mesh_that_could_not_begin():
    for file in ("authority.json", "member.json"):
        with node("a") as a:
            with full(a, file):
                assert init(a).status >= 400
            assert not joined(a)
            assert a.stop() == 0
            a.start()
            assert not joined(a), "half a membership came back"
            assert init(a).status == 201
            assert a.stop() == 0
            a.start()
            assert joined(a)


def test_a_port_in_use():
    with socket.create_server(("127.0.0.1", 0)) as taken, node("a", f"127.0.0.1:{taken.getsockname()[1]}") as a:
        assert init(a).status == 409
        assert not joined(a)
        assert a.stop() == 0
        a.start()
        assert not joined(a)
        taken.close()
        assert init(a).status == 201


def test_removal_and_tokens():
    with node("a") as a, node("b") as b:
        port = init(a).json["port"]
        token = a.owner("POST", "/api/mesh/tokens", {}).json["token"]
        want = {"address": f"127.0.0.1:{port}", "token": token}
        with full(a, "authority.json"):
            assert a.owner("POST", "/api/mesh/tokens", {}).status >= 400
            assert b.owner("POST", "/api/mesh/join", want).status >= 400
            assert not joined(b)
        assert len(a.owner("GET", "/api/mesh/tokens").json["tokens"]) == 2  # init's own, and the one that was not used up
        assert b.owner("POST", "/api/mesh/join", want).status == 200
        with full(a, "authority.json"):
            assert a.owner("DELETE", "/api/mesh/nodes/b").status >= 400
        assert joined(b)
        assert a.owner("DELETE", "/api/mesh/nodes/b").status == 200
        wait_until("b hears that it is out", lambda: not joined(b), 5)
        for file in ("member.json", "authority.json"):
            assert os.stat(a.data / "mesh" / file).st_mode & 0o777 == 0o600


def test_a_removal_while_it_was_away():
    with node("a") as a, node("b") as b:
        a.write({**a.config, "mesh": {"svid_ttl": "4s"}})
        a.stop()
        a.start()
        port = init(a).json["port"]
        token = a.owner("POST", "/api/mesh/tokens", {}).json["token"]
        assert b.owner("POST", "/api/mesh/join", {"address": f"127.0.0.1:{port}", "token": token}).status == 200
        b.stop()
        assert a.owner("DELETE", "/api/mesh/nodes/b").status == 200
        b.start()
        wait_until("b hears it with the refusal of its renewal", lambda: not joined(b), 10)


if __name__ == "__main__":
    plexus.main(globals())
