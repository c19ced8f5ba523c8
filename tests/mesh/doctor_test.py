#!/usr/bin/env python3
# doctor_test.py: what `plexus doctor` says of a mesh that is well, and of one that is not.
# SPDX-License-Identifier: Apache-2.0
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import mesh  # noqa: E402
import netns  # noqa: E402
import plexus  # noqa: E402
from mesh import Mesh  # noqa: E402
from plexus import Node, wait_until  # noqa: E402

netns.need()
IDS = ("nodes", "certificate", "authority", "datagrams", "versions", "streams", "alerts")


def findings(node):
    answer = node.owner("GET", "/api/doctor")
    assert answer.status == 200, answer
    return {f["id"]: f for f in answer.json["findings"] if f["id"] in IDS}


def becomes(node, which, status, *words, seconds=10):
    last = {}

    def so():
        last.update(findings(node)[which])
        return last["status"] == status and all(w in json.dumps(last) for w in words)

    try:
        wait_until("", so, seconds)
    except AssertionError:
        raise AssertionError(f"{which} is not {status} {words} within {seconds} s: {last}") from None
    return last


def test_alone():
    with Node({}) as node:
        got = findings(node)
        assert list(got) == list(IDS) and all(f["status"] == "skip" for f in got.values()), got


def test_well():
    with Mesh(a={}, b={}, c={}) as m:
        for name in "abc":
            got = findings(m[name])
            assert all(f["status"] == "ok" for i, f in got.items() if i != "alerts"), got
            assert got["alerts"]["status"] == "skip" and "3 alive" in got["nodes"]["seen"], got
            assert "NATS" in got["streams"]["seen"], got
        assert "this node holds it" in findings(m["a"])["authority"]["seen"]
        assert "node a is alive" in findings(m["b"])["authority"]["seen"]
        said = m["b"].command("doctor", check=False).stdout
        assert "heartbeats of all living nodes come by UDP" in said and "node a is alive" in said, said


def test_ill():
    config = {"alerts": {"webhook": "http://127.0.0.1:9/", "on": ["node"]}}  # nobody listens there
    with Mesh(svid_ttl="20s", config=config, a={}, b={}, c={}) as m:
        b = m["b"]
        m["c"].host.firewall()
        told = becomes(b, "datagrams", "warn", "from c", f"udp dport {mesh.PORT}")
        assert "a" not in told["seen"].split("from ")[1].split(":")[0], told
        m["c"].host.firewall(False)
        becomes(b, "datagrams", "ok")
        m["c"].kill()
        told = becomes(b, "nodes", "warn", "2 alive, not heard: c dead")
        assert m["c"].host.address in told["mend"], told
        becomes(b, "alerts", "warn", "tries failed in a row", "refused")
        m["a"].kill()
        becomes(b, "authority", "warn", "node a is dead")
        becomes(b, "certificate", "warn", "its renewal is late", "start node a", seconds=20)
        assert b.command("doctor", check=False).returncode == findings_exit(b)
        becomes(b, "certificate", "fail", "over since", seconds=15)
        assert b.command("doctor", check=False).returncode == 1
        m["a"].start()
        becomes(b, "certificate", "ok", seconds=15)
        becomes(b, "authority", "ok")


def findings_exit(node):
    return 1 if any(f["status"] == "fail" for f in node.owner("GET", "/api/doctor").json["findings"]) else 0


plexus.main(globals())
