#!/usr/bin/env python3
# metrics_test.py: what GET /metrics of a node in a mesh says, against what was done to it.
# SPDX-License-Identifier: Apache-2.0
import http.client
import pathlib
import ssl
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import mesh  # noqa: E402
import netns  # noqa: E402
import plexus  # noqa: E402
from mesh import Mesh, view  # noqa: E402
from plexus import parallel, scripted, wait_until  # noqa: E402

netns.need()


def talk(load_ms=0, **more):
    return {"engine": "command", "command": scripted("--health-delay-ms", load_ms, name="talk"), "health": "/health", "kind": "chat", **more}


def figures(node):
    """series → value of all that is named plexus_mesh_."""
    answer = node.get("/metrics")
    assert answer.status == 200, answer
    lines = [line for line in answer.body.decode().splitlines() if line.startswith("plexus_mesh_")]
    return {series[len("plexus_mesh_"):]: float(value) for series, value in (line.rsplit(" ", 1) for line in lines)}


def nodes(of):
    all_of_them = figures(of)
    return {s: int(all_of_them[f'nodes{{state="{s}"}}']) for s in ("alive", "suspect", "dead", "left", "removed")}


def is_soon(what, node, **want):
    try:
        wait_until(what, lambda: all(figures(node)[k] == v for k, v in want.items()), 10)
    except AssertionError:
        raise AssertionError(f"{what}: {want}, but {figures(node)}") from None


def test_alone():
    with Mesh(join=False, a={"talk": talk()}) as m:
        got = figures(m["a"])
        assert got["member"] == 0 and set(got.values()) == {0}, got
        wait_until("the memory is known", lambda: view(m["a"])["nodes"][0]["memory_free"] > 0)
        m.init()
        wait_until("also in a mesh of one", lambda: view(m["a"])["nodes"][0]["memory_free"] > 0)
        got = figures(m["a"])
        assert got["member"] == 1 and nodes(m["a"])["alive"] == 1, got
        assert 3500 < got["certificate_seconds"] <= 3600, got


def test_requests_between_nodes():
    with Mesh(a={}, b={"talk": talk(preload=True)}, c={"talk": talk(2000)}) as m:
        a, b, c = m["a"], m["b"], m["c"]
        assert nodes(a) == {"alive": 3, "suspect": 0, "dead": 0, "left": 0, "removed": 0}
        b.wait_state("talk", "WARM")
        wait_until("a knows", lambda: b"WARM" in a.get("/v1/models").body)
        for _ in range(5):
            assert a.chat("talk").status == 200
        assert figures(a)["requests_sent_total"] == 5 and figures(a)["requests_received_total"] == 0
        assert figures(b)["requests_received_total"] == 5 and figures(b)["requests_sent_total"] == 0
        assert figures(c)["requests_received_total"] == 0
        assert figures(a)["hop_failures_total"] == figures(a)["rerouted_total"] == figures(a)["breaker_opens_total"] == 0
        # b lives, but takes no connection any more: each try fails and goes on to c, until b is left alone for a while.
        b.host.nft("table inet wall {\nchain input {\ntype filter hook input priority 0\n"
                   f"iifname eth0 tcp dport {mesh.PORT} reject with tcp reset\n}}\n}}\n")
        for answer in parallel(6, lambda i: a.chat("talk", f"{i}")):
            assert answer.status == 200, answer
        got = figures(a)
        assert got["breaker_opens_total"] == 1, got
        assert got["hop_failures_total"] == got["rerouted_total"] >= 3, got
        assert got["requests_sent_total"] == 5 + 6 + got["rerouted_total"], got
        assert figures(c)["requests_received_total"] == 6, figures(c)


def test_states_removals_and_refusals():
    with Mesh(svid_ttl="1m", a={}, b={}, c={}) as m:
        a = m["a"]
        assert 0 < figures(a)["certificate_seconds"] <= 60, figures(a)
        before = figures(a)["refused_total"]
        replayed = m.token()
        m.add("d")
        m.join("d", replayed)
        m.settled()
        assert nodes(a)["alive"] == 4
        m.add("e")
        assert m["e"].owner("POST", "/api/mesh/join", {"address": f"{a.host.address}:{mesh.PORT}", "token": replayed}).status >= 400
        is_soon("the replayed token", a, refused_total=before + 1)
        context = ssl._create_unverified_context()
        context.set_alpn_protocols(["plexus/1"])
        with a.host.inside():
            stranger = http.client.HTTPSConnection(a.host.address, mesh.PORT, context=context, timeout=5)
            stranger.request("POST", "/mesh/v1/hello", "{}")
            assert stranger.getresponse().status == 401
        is_soon("who shows no certificate", a, refused_total=before + 2)
        m["d"].kill()
        m.sees("a", "d", "dead")
        assert nodes(a) == {"alive": 3, "suspect": 0, "dead": 1, "left": 0, "removed": 0}
        assert a.owner("DELETE", "/api/mesh/nodes/c").status == 200
        for name in ("a", "b"):
            is_soon("c is removed", m[name], removals=1)
            assert nodes(m[name])["removed"] == 1, nodes(m[name])
        m["b"].stop()
        m.sees("a", "b", "left")
        assert nodes(a) == {"alive": 1, "suspect": 0, "dead": 1, "left": 1, "removed": 1}


plexus.main(globals())
