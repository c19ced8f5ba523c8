#!/usr/bin/env python3
# links_test.py: three nodes whose network goes wrong: a link down and back, a split, loss, delay and
# reordering, a machine that stands still. Nobody stays a ghost, nothing is half an answer.
# alone: it holds machines to how fast they notice.
# SPDX-License-Identifier: Apache-2.0
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import mesh  # noqa: E402
import netns  # noqa: E402
import plexus  # noqa: E402
from mesh import Mesh, Stream, tiny, view  # noqa: E402
from plexus import parallel  # noqa: E402

netns.need()


def models():
    return {"tiny-chat": tiny(slots=4, preload=True)}


def whole(node, count, **more):
    streams = parallel(count, lambda i: Stream(node, "tiny-chat", f"count from {i} on", max_tokens=60, temperature=0, **more))
    bad = [s for s in streams if not s.done or s.error]
    return streams, bad


def test_link_down_and_back():
    with Mesh(a=models(), b=models(), c=models()) as m:
        c = m["c"].host
        c.cut()
        for one in ("a", "b"):
            took = m.sees(one, "c", "dead", 5)
            assert took <= 2.5, f"{one} took {took:.2f} s"
        assert m.states("a")["b"] == "alive" and m.states("b")["a"] == "alive"
        for node in (m["a"], m["b"], m["c"]):  # each serves what it has
            streams, bad = whole(node, 2)
            assert not bad, bad
        c.mend()
        m.settled(seconds=10)
        for one in ("a", "b", "c"):
            names = [n["name"] for n in view(m[one])["nodes"]]
            assert sorted(names) == ["a", "b", "c"], f"ghosts at {one}: {names}"


def test_split_and_heal():
    with Mesh(a=models(), b={}, c=models()) as m:
        m.net.split([m["a"].host], [m["b"].host, m["c"].host])
        m.sees("a", "b", ("suspect", "dead"), 5)
        m.sees("c", "a", "dead", 5)
        assert m.states("b")["c"] == "alive"
        streams, bad = whole(m["b"], 4)  # it has no model of its own: c answers
        assert not bad, bad
        # Meanwhile one side changes: it must win over what the other remembers.
        m["c"].owner("POST", "/api/models/tiny-chat/unload")
        m["c"].wait_state("tiny-chat", "UNLOADED", 10)
        m.net.split()
        m.settled(seconds=10)

        def seen():
            node = next(n for n in view(m["a"])["nodes"] if n["name"] == "c")
            return node["models"][0]["state"] == "UNLOADED"

        plexus.wait_until("a knows what c did while they were apart", seen, 5)
        streams, bad = whole(m["b"], 4)
        assert not bad, bad


def test_loss():
    with Mesh(a={}, b=models(), c=models()) as m:
        for name in ("a", "b", "c"):
            m[name].host.lose(5)
        until, states, requests, failed = time.monotonic() + 12, set(), 0, []
        while time.monotonic() < until:
            streams, bad = whole(m["a"], 4)
            requests += len(streams)
            failed += bad
            for one in ("a", "b", "c"):
                states |= {s for n, s in m.states(one).items()}
        assert not failed, failed
        assert requests >= 20
        assert "dead" not in states, states
        for name in ("a", "b", "c"):
            m[name].host.lose(0)
        m.settled()


def test_delay_and_reordering():
    with Mesh(relay=True, a={}, b=models(), c=models()) as m:
        for name in ("a", "b", "c"):
            m[name].host.slow(15, jitter_ms=20, early_percent=5)
        until, states, requests = time.monotonic() + 8, set(), 0
        while time.monotonic() < until:
            streams, bad = whole(m["a"], 4)
            requests += len(streams)
            assert not bad, bad
            for one in ("a", "b", "c"):
                states |= set(m.states(one).values())
        assert requests >= 8
        assert "dead" not in states, states
        rtt = next(n for n in view(m["a"])["nodes"] if n["name"] == "b")["rtt_us"]
        assert rtt > 20000, rtt


def test_a_machine_that_stands_still():
    with Mesh(a=models(), b={}, c=models()) as m:
        with m["c"].paused():  # shorter than a death: new work goes elsewhere meanwhile
            time.sleep(0.8)
            streams, bad = whole(m["b"], 2)
            assert not bad, bad
            states = m.states("b")
        assert states["c"] in ("alive", "suspect"), states
        m.settled(seconds=3)
        assert m.states("c") == {"a": "alive", "b": "alive", "c": "alive"}, "it does not charge others with its own pause"
        with m["c"].paused():
            m.sees("b", "c", "dead", 4)
            streams, bad = whole(m["b"], 2)
            assert not bad, bad
        m.settled(seconds=5)


if __name__ == "__main__":
    plexus.main(globals())
