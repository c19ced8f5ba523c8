#!/usr/bin/env python3
# authority_test.py: certificates that live for seconds: renewed under load without a failed request,
# and what happens while nobody can renew them.
# SPDX-License-Identifier: Apache-2.0
import json
import pathlib
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import mesh  # noqa: E402
import netns  # noqa: E402
import plexus  # noqa: E402
from mesh import Load, Mesh, Stream, refused, tiny, view  # noqa: E402
from plexus import scripted, wait_until  # noqa: E402

netns.need()
TTL = 4


def slow():
    """An engine that streams as long as the test says."""
    return {"engine": "command", "command": scripted(name="slow"), "health": "/health", "kind": "chat", "slots": 8}


def serials(m, *names):
    return {name: view(m[name])["svid"]["serial"] for name in names or m.nodes}


def test_rotation_under_load():
    with Mesh(svid_ttl="2s", a={"tiny-chat": tiny(slots=8, preload=True), "slow": slow()}, b={}, c={}) as m:
        seen = {name: set() for name in m.nodes}
        long = []
        thread = threading.Thread(target=lambda: long.append(
            Stream(m["b"], "slow", "!script frames=110 gap_ms=100 size=64", timeout=40)), daemon=True)
        thread.start()
        with Load(m["b"], 4) as one, Load(m["c"], 4) as two:
            until = time.monotonic() + 12
            while time.monotonic() < until:
                for name, serial in serials(m).items():
                    seen[name].add(serial)
                for name in m.nodes:
                    assert set(m.states(name).values()) == {"alive"}, m.states(name)
                time.sleep(0.2)
        thread.join(30)
        count = len(one.streams) + len(two.streams)
        print(f"      {count} requests, certificates: { {name: len(s) for name, s in seen.items()} }")
        assert not one.failed and not two.failed, (one.failed + two.failed)[:3]
        assert count >= 500
        assert all(len(s) >= 8 for s in seen.values()), seen
        assert long and long[0].done and long[0].events >= 110, "a stream outlives ten certificates"


def test_authority_down_for_two_lifetimes():
    with Mesh(svid_ttl=f"{TTL}s", a={}, b={"tiny-chat": tiny(preload=True)}, c={"tiny-chat": tiny(preload=True)}) as m:
        for name in ("b", "c"):
            m[name].wait_state("tiny-chat", "WARM")
        m["a"].kill()
        down = time.monotonic()
        with Load(m["b"], 2, 0.02) as one, Load(m["c"], 2, 0.02) as two:
            m.sees("b", "a", "dead", 5)
            assert m.states("b")["c"] == "alive", "their certificates are good yet"
            for name in ("b", "c"):
                refused(m[name], ["mesh.expired"], seconds=2 * TTL)
                assert view(m[name])["svid"]["expired"] is True
            # No new links: what b shows is over, and c says so.
            with m["b"].host.inside():
                late = newcomer(m, "b", "c")
            assert "certificate expired" in late, late
            refused(m["c"], ["mesh.refused", m["b"].host.address, "expired at"])
            time.sleep(max(0.0, down + 2 * TTL + 0.5 - time.monotonic()))
            back = time.monotonic()
            m["a"].start()
            took = m.settled(seconds=8)
        print(f"      {len(one.streams) + len(two.streams)} requests served meanwhile; all back after {time.monotonic() - back:.2f} s")
        assert took <= 5, took
        assert not one.failed and not two.failed, (one.failed + two.failed)[:3]
        assert m["a"].chat("tiny-chat", "hello").status == 200


def newcomer(m, name, other):
    """A client that shows node `name`'s present certificate at node `other`'s mesh door."""
    member = json.loads((m[name].data / "mesh/member.json").read_text())
    with tempfile.TemporaryDirectory() as folder:
        pathlib.Path(folder, "n.pem").write_text(member["svid"] + member["key"])
        got = subprocess.run(["openssl", "s_client", "-connect", f"{m[other].host.address}:{mesh.PORT}", "-cert", "n.pem", "-key",
                              "n.pem", "-alpn", "plexus/1", "-tls1_3", "-ign_eof"], cwd=folder, capture_output=True, text=True,
                             input="GET / HTTP/1.1\r\nHost: x\r\n\r\n", timeout=10, errors="replace")
    return got.stdout + got.stderr


def test_a_standby_signs_meanwhile():
    with Mesh(svid_ttl=f"{TTL}s", a={}, b={"tiny-chat": tiny(preload=True)}, c={}) as m:
        answer = m["a"].owner("POST", "/api/mesh/standby", {"node": "b"})
        assert answer.status in (200, 204), answer
        wait_until("b is the standby", lambda: view(m["a"])["standby"] == "b", 5)
        m["a"].kill()
        before = serials(m, "b", "c")
        with Load(m["c"], 2, 0.02) as load:
            time.sleep(2 * TTL + 0.5)
            assert m.states("c")["b"] == "alive" and m.states("b")["c"] == "alive"
        after = serials(m, "b", "c")
        assert all(before[n] != after[n] for n in before), (before, after)
        assert not load.failed and len(load.streams) > 20, load.failed[:3]
        assert not any("mesh.expired" in str(e) for e in m["c"].log_lines())
        m["a"].start()
        m.settled()


if __name__ == "__main__":
    plexus.main(globals())
