#!/usr/bin/env python3
# shared_test.py: two nodes on one PostgreSQL journal: a document registered at one is known at the other, and each occurrence of a
# schedule happens once. The nodes are in no mesh: nothing but the journal is between them.
# SPDX-License-Identifier: Apache-2.0
import json
import pathlib
import signal
import sys
import time

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1] / "lib")]
import plexus  # noqa: E402
from plexus import Node, wait_until  # noqa: E402
from postgres import Postgres, programs  # noqa: E402


def config(name, postgres):
    return {"node": {"name": name}, "flows": {"journal": {"engine": "postgres", "url": f"postgres://127.0.0.1:{postgres.port}/postgres", "user": "plexus"}}}


def document(name, schedule=None, version="1.0.0"):
    return json.dumps({"document": {"dsl": "1.0.3", "namespace": "test", "name": name, "version": version}, **({"schedule": schedule} if schedule else {}),
                       "do": [{"a": {"set": {"n": 1}}}]})


def runs(node, name):
    return node.get(f"/api/flows?name={name}&limit=1000").json["flows"]


def known(node):
    return {(d["name"], d["version"]) for d in node.get("/api/flows/documents").json["documents"]}


def add(node, text):
    got = node.post("/api/flows/documents", {"document": text})
    assert got.status == 201, got


def test_two_nodes_with_the_same_documents():
    if not programs():
        plexus.skip("PostgreSQL's programs are not installed")
    with Postgres() as postgres, Node(config("one", postgres)) as one, Node(config("two", postgres)) as two:
        # ---- documents of the other
        add(one, document("plain"))
        wait_until("the other knows it", lambda: ("plain", "1.0.0") in known(two))
        got = two.post("/api/flows", {"namespace": "test", "name": "plain", "wait": "10s"})
        assert got.status == 200 and got.json["output"] == {"n": 1}, got
        add(two, document("plain", version="1.1.0"))
        wait_until("and the new one", lambda: ("plain", "1.1.0") in known(one))
        assert one.ask("DELETE", "/api/flows/documents/test/plain/1.1.0").status == 200
        wait_until("it is gone there", lambda: ("plain", "1.1.0") not in known(two))
        assert ("plain", "1.0.0") in known(two)
        # ---- schedules: one begins each, whoever it is
        begun = time.time()
        add(one, document("each", {"every": "PT1S"}))
        add(two, document("then", {"after": "PT1S"}))
        for node in (one, two):  # registered twice is registered once
            add(node, document("on", {"on": {"one": {"with": {"type": "go"}}}}))
        wait_until("both know all", lambda: known(one) == known(two) >= {("each", "1.0.0"), ("then", "1.0.0"), ("on", "1.0.0")})
        event = {"type": "go", "id": "e1", "source": "s", "specversion": "1.0"}
        for node in (one, two):
            assert node.post("/api/flows/events", event).json["taken"] == 1
        time.sleep(2.5)
        # ---- the other goes on alone, and who comes back takes its place
        two.process.send_signal(signal.SIGKILL)
        two.process.wait()
        time.sleep(1.6)
        two.start()
        time.sleep(1.6)
        lasted = time.time() - begun
        each, then = runs(one, "each"), runs(one, "then")
        assert lasted - 3.5 <= len(each) <= lasted + 1, (lasted, [r["id"] for r in each])
        starts = sorted(r["id"].rsplit("-", 1)[0] for r in each)
        assert len(set(starts)) == len(each)
        assert len(runs(one, "on")) == 1, runs(one, "on")
        # each ended before the next one's second began: two schedules side by side would not keep it
        ends = sorted((r["started"], r["closed"]) for r in then)
        for before, after in zip(ends, ends[1:]):
            assert seconds(after[0]) - seconds(before[1]) >= 0.99, ends
        assert lasted - 3.5 <= len(then) <= lasted + 1, (lasted, ends)
        print(f"  {lasted:.1f} s: every second {len(each)} times, a second after the last {len(then)} times")


def seconds(text):
    return time.mktime(time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S")) + float("0" + text[19:].rstrip("Z"))


if __name__ == "__main__":
    plexus.main(globals())
