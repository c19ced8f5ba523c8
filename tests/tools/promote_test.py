#!/usr/bin/env python3
# promote_test.py: a flow is evaluated by its cases and promoted: published to another node by its URN,
# kept while that one is away and sent once, in order, after a restart. What failed is not promoted.
# SPDX-License-Identifier: Apache-2.0
import hashlib
import http.client
import json
import pathlib
import shutil
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "lib"))
from plexus import Node, free_port, wait_until

DOCUMENT = """
document:
  dsl: 1.0.3
  namespace: default
  name: NAME
  version: 1.0.0
  metadata:
    plexus:
      cases:
        - name: two numbers
          input: { a: 1, b: 2 }
          output: { sum: SUM }
        - name: a number is missing
          input: { a: 1 }
          error: { status: 422, title: Two numbers are needed }
        - name: too slow
          input: { a: 1, b: 0 }
          output: { sum: 1 }
          timeout: LIMIT
do:
  - check:
      if: .a == null or .b == null
      raise:
        error:
          type: https://example.org/errors/input
          status: 422
          title: Two numbers are needed
  - pause:
      if: .b == 0
      wait: PT0.2S
  - add:
      set: '${ { sum: (.a + .b) } }'
"""


def read(port, path):
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    c.request("GET", path)
    answer = c.getresponse()
    data = answer.read().decode()
    c.close()
    assert answer.status == 200, (path, answer.status, data)
    return data


def urn(name):
    return f"urn:plexus:flow:default:{name}:v1000000"


def add(node, name, sum="3", limit="PT30S"):
    path = node.folder / f"{name}.yaml"
    path.write_text(DOCUMENT.replace("NAME", name).replace("SUM", sum).replace("LIMIT", limit))
    node.command("flow", "add", str(path))
    return path.read_text()


def waits(node):
    return sorted((node.data / "tools/outbox").glob("0*"))


def evaluation(node):
    add(node, "bad", sum="4", limit="PT0.05S")
    got = node.command("flow", "eval", "bad", check=False)
    lines = got.stdout.splitlines()
    assert got.returncode == 1 and lines[-1] == "1 passed, 2 failed", got
    assert lines[0] == "failed  two numbers" and lines[1].strip() == 'expected {"sum":4}, got {"sum":3}', got
    assert "passed  a number is missing" in lines and "its time is over" in got.stdout, got
    run = lines[2].split()[1]  # a run as any other, and it says whose it was
    assert run.startswith("eval-bad-1.0.0-") and run.endswith("-1"), run
    seen = json.loads(node.command("flow", "show", run, "--json").stdout)
    assert seen["status"] == "completed" and seen["view"]["output"] == {"sum": 3}, seen
    late = json.loads(node.command("flow", "show", run[:-1] + "3", "--json").stdout)
    assert late["status"] == "terminated", late

    got = node.command("flow", "promote", "default/bad:1.0.0", check=False)
    assert got.returncode != 0 and "2 of its 3 cases failed" in got.stderr, got
    assert not waits(node)
    for name, why in (("nothing", "no document"), ("nothing:1.0.0", "no document")):
        got = node.command("flow", "eval", name, check=False)
        assert got.returncode == 66 and why in got.stderr, got
    plain = node.folder / "plain.yaml"
    plain.write_text(DOCUMENT.replace("NAME", "plain").split("  metadata")[0] + "do:\n  - a: { set: { b: 1 } }\n")
    node.command("flow", "add", str(plain))
    got = node.command("flow", "eval", "plain", check=False)
    assert got.returncode == 65 and "metadata.plexus.cases" in got.stderr, got
    plain.write_text(plain.read_text().replace("name: plain", "name: Plain").replace(
        "do:", "  metadata: { plexus: { cases: [{ name: a, output: { b: 1 } }] } }\ndo:"))
    node.command("flow", "add", str(plain))
    assert node.command("flow", "eval", "Plain").stdout == "passed  a\n1 passed, 0 failed\n"
    got = node.command("flow", "promote", "Plain", check=False)  # no URN has such letters
    assert got.returncode == 65 and '"Plain"' in got.stderr, got


def promotion(node, serves, port):
    text = add(node, "one")
    got = node.command("flow", "promote", "one")
    assert got.stdout == f"{urn('one')} is promoted and published for good\n", got
    first = json.loads(read(port, f"/v1/promotions/{urn('one')}"))
    assert first["type"] == "EpistemicPromotionEvent" and first["previous"] is None, first
    evidence = read(port, f"/v1/evidence/{urn('one')}")
    said = json.loads(evidence)
    assert said["passed"] == 3 and said["failed"] == 0 and said["flow"]["name"] == "one", said
    assert [one["name"] for one in said["cases"]] == ["two numbers", "a number is missing", "too slow"], said
    assert said["cases"][0]["run"].startswith("promote-one-1.0.0-"), said
    kept = json.loads(read(port, f"/v1/caps/{urn('one')}"))
    assert kept["plexus_flow"] == 1 and kept["document"] == text, kept
    assert hashlib.sha256(evidence.encode()).hexdigest() in json.dumps(first)

    # The registry is away: kept, in order, over a restart; then sent once.
    serves.stop()
    for name in ("two", "three"):
        add(node, name)
        got = json.loads(node.command("flow", "promote", name, "--json").stdout)
        assert got["urn"] == urn(name) and got["published"] is False, got
    assert got["waiting"] == 2 and len(waits(node)) == 2, got
    node.stop()
    node.start()
    assert len(waits(node)) == 2
    serves.start()
    wait_until("both are published", lambda: not waits(node), 30)
    two, three = (json.loads(read(port, f"/v1/promotions/{urn(name)}")) for name in ("two", "three"))
    assert two["at"] <= three["at"] and two["key"] == three["key"] == first["key"]
    sent = [line for line in serves.log().splitlines() if '"registry.publish"' in line]
    assert [sum(urn(name) in line for line in sent) for name in ("one", "two", "three")] == [1, 1, 1], sent
    assert urn("two") in sent[-2] and urn("three") in sent[-1], sent


def elsewhere(node):
    got = node.command("flow", "add", urn("two"))
    assert got.stdout.startswith("default/two:1.0.0 is kept"), got
    got = node.command("flow", "run", "two", "-i", '{"a": 4, "b": 5}', "--wait")
    assert json.loads(got.stdout) == {"sum": 9}, got
    got = node.command("flow", "add", urn("nobody"), check=False)
    assert got.returncode == 66 and "nobody" in got.stderr, got
    got = node.command("tool", "add", urn("two"), check=False)
    assert got.returncode == 65 and "plexus flow add" in got.stderr, got
    assert node.command("flow", "docs").stdout.count("default/") == 1


def by_itself(node, port):
    add(node, "four")
    wait_until("four is published", lambda: "four" in read(port, "/v1/caps"))
    add(node, "five", sum="9")
    wait_until("five is judged", lambda: '"flow.not_promoted"' in node.log())
    runs = len(json.loads(node.command("flow", "ls", "--json").stdout)["flows"])
    add(node, "five", sum="9")  # the same text again: it is known
    add(node, "four")
    time.sleep(0.5)
    assert len(json.loads(node.command("flow", "ls", "--json").stdout)["flows"]) == runs
    assert "five" not in read(port, "/v1/caps")
    # The node ends in the middle of an evaluation: nothing of it is published, and nothing hangs.
    slow = node.folder / "slow.yaml"
    slow.write_text(DOCUMENT.replace("NAME", "slow").replace("SUM", "3").replace("LIMIT", "PT1M").replace("PT0.2S", "PT50S"))
    node.command("flow", "add", str(slow))
    wait_until("it waits", lambda: "waiting" in node.command("flow", "ls", "--name", "slow").stdout)
    assert node.stop(seconds=20) == 0
    assert not waits(node) and "slow" not in read(port, "/v1/caps")


def main():
    port = free_port()
    serves = Node({"tools": {"serve": f"127.0.0.1:{port}"}})
    try:
        key = serves.new_key("publisher", scopes=["admin"])["key"]
        config = {"tools": {"registry": f"http://127.0.0.1:{port}", "registry_key": {"env": "REGISTRY_KEY"}}}
        with Node(config, env={"REGISTRY_KEY": key}) as node:
            evaluation(node)
            promotion(node, serves, port)
        with Node(dict(config, flows={"promote": True}), env={"REGISTRY_KEY": key}) as node:
            elsewhere(node)
            by_itself(node, port)
    finally:
        serves.stop()
        shutil.rmtree(serves.folder)


main()
