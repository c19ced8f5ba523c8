#!/usr/bin/env python3
# join_test.py: three machines become one mesh: by the commands a user would type, with requests from
# any node to any model; tokens that are used up, wrong, or of another mesh; a node that is removed.
# SPDX-License-Identifier: Apache-2.0
import json
import pathlib
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import mesh  # noqa: E402
import netns  # noqa: E402
import plexus  # noqa: E402
from mesh import Mesh, Stream, tiny, view  # noqa: E402
from plexus import wait_until  # noqa: E402

netns.need()
HELLO = "hello"


def test_by_the_commands():
    with Mesh(join=False, a={}, b={"tiny-chat": tiny()}, c={}) as m:
        a, b, c = m["a"], m["b"], m["c"]
        assert view(a)["joined"] is False
        said = a.command("mesh", "init", "--domain", mesh.DOMAIN).stdout
        assert mesh.DOMAIN in said, said
        for node in (b, c):
            token = next(w for w in a.command("token", "new", "--ttl", "5m").stdout.split() if w.startswith("plxj_"))
            node.command("join", f"{a.host.address}:{mesh.PORT}", token)
        m.settled()
        told = c.command("nodes").stdout
        assert all(any(line.split()[:1] == [n] for line in told.splitlines()) for n in "abc"), told
        for node in (a, b, c):  # whoever is asked answers
            got = node.chat("tiny-chat", HELLO)
            assert got.status == 200, got
        assert "b" in a.command("resolve", "tiny-chat", "--explain").stdout
        show = c.command("mesh", "show").stdout
        assert f"spiffe://{mesh.DOMAIN}/node/c" in show, show


def test_join_is_quick_and_survives_restarts():
    with Mesh(join=False, a={"tiny-chat": tiny()}, b={}, c={}) as m:
        m.init()
        for name in ("b", "c"):
            m.join(name)
            took = m.settled("a", name)
            assert took <= 1.0, f"{name} was known after {took:.2f} s"
        serial = view(m["b"])["svid"]["serial"]
        m.restart("b")
        took = m.settled()
        assert took <= 5, took
        assert view(m["b"])["svid"]["serial"] == serial, "the identity is kept"
        assert m["b"].chat("tiny-chat", HELLO).status == 200
        m.restart("a")  # the authority too, and with nobody's help
        m.settled()


def test_tokens():
    with Mesh(join=False, a={}, b={}, c={}) as m:
        m.init()
        token = m.token()
        m.join("b", token)
        used = m.join("c", token, status=403)  # replayed
        assert "token" in json.dumps(used), used
        short = m.token(ttl="1s")
        time.sleep(1.2)
        assert "expired" in json.dumps(m.join("c", short, status=403))
        wrong = token[:-40] + ("A" if token[-40] != "A" else "B") + token[-39:]
        answer = m["c"].owner("POST", "/api/mesh/join", {"address": f"{m['a'].host.address}:{mesh.PORT}", "token": wrong})
        assert answer.status in (403, 502), answer  # another fingerprint: the peer is not the token's authority
        answer = m["c"].owner("POST", "/api/mesh/join", {"address": f"{m['a'].host.address}:{mesh.PORT}", "token": "plxj_x"})
        assert answer.status == 400, answer
        named = m.token(name="d")
        assert m.join("c", named, status=403)
        assert view(m["c"])["joined"] is False
        m.join("c")
        m.settled()
        # A name that is in use is nobody else's.
        other = m.add("e")
        other.stop()
        other.config["node"]["name"] = "b"
        other.write()
        other.start()
        assert m.join("e", status=409)


def test_removal_takes_effect_in_seconds_on_open_links():
    with Mesh(a={"tiny-chat": tiny(slots=2)}, b={}, c={}) as m:
        streams = []
        started = threading.Event()

        def ask():
            streams.append(Stream(m["c"], "tiny-chat", on_event=lambda s: started.set(), **{**mesh.LONG, "max_tokens": 100000}))

        thread = threading.Thread(target=ask)
        thread.start()
        assert started.wait(20)
        began = time.monotonic()
        assert m["a"].owner("DELETE", "/api/mesh/nodes/c").status in (200, 204)
        thread.join(10)
        assert not thread.is_alive(), "the stream over the open link goes on"
        took = time.monotonic() - began
        assert took < 3, took
        assert streams[0].honest and streams[0].error, streams[0]
        for one in ("a", "b"):
            wait_until(f"{one} has no c any more", lambda one=one: m.states(one).get("c") in ("removed", None), 3)
        answer = m["c"].chat("tiny-chat", HELLO, timeout=10)
        assert answer.status in (404, 503), answer
        m.restart("c")  # its certificate is good for an hour yet: nobody lets it in
        time.sleep(1)
        assert m.states("a").get("c") in ("removed", None) and m.states("b").get("c") in ("removed", None)
        assert m["c"].chat("tiny-chat", HELLO, timeout=10).status in (404, 503)
        assert m["b"].chat("tiny-chat", HELLO).status == 200


if __name__ == "__main__":
    plexus.main(globals())
