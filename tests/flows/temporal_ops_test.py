#!/usr/bin/env python3
# temporal_ops_test.py: what people and clocks do to flows on a real Temporal server: search attributes, reset, hands on closed flows,
# prune, schedules, cases, a history that was downloaded, retries in the worker, a worker deployment.
# SPDX-License-Identifier: Apache-2.0
import json
import pathlib
import subprocess
import sys
import time

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1] / "lib"), str(pathlib.Path(__file__).resolve().parent)]
import flowkit  # noqa: E402
import plexus  # noqa: E402
import temporal  # noqa: E402
from flows import Flows  # noqa: E402
from plexus import wait_until  # noqa: E402
from temporal_test import Server  # noqa: E402

server = plexus.shared(Server)


def ready(n):
    wait_until("a worker", lambda: n.api("GET", "/api/flows/stats")[1].get("ready"), 30)
    return n


node = plexus.shared(lambda: ready(Flows(server().config())))


def cli(*words):
    """Temporal's own command line."""
    got = subprocess.run([temporal.find(), *map(str, words), "--address", f"127.0.0.1:{server().port}"], capture_output=True, text=True, timeout=60)
    assert got.returncode == 0, (words, got.stdout, got.stderr)
    return got.stdout


def doc(name, do, version="1.0.0", **more):
    return json.dumps({"document": {"dsl": "1.0.3", "namespace": "ops", "name": name, "version": version}, **more, "do": do})


def start(text, status=201, **more):
    got = node().api("POST", "/api/flows", {"document": text, **more})
    assert got[0] == status, got
    return got[1]


def shown(ident):
    return node().api("GET", f"/api/flows/{ident}?full=1")[1]


def until(ident, status, seconds=30):
    return wait_until(f"{ident} is {status}", lambda: (time.sleep(0.02), (r := shown(ident)).get("status") == status and r)[1], seconds)


LISTEN = [{"a": {"listen": {"to": {"one": {"with": {"type": "go"}}}}}}]


def test_search_attributes():
    wait_until("the server has our attributes", lambda: node().api("GET", "/api/flows/stats")[1]["search_attributes"])
    got = start(doc("searched", LISTEN, "1.2.3"), label="confidential:eng")
    until(got["id"], "waiting")

    def found(query):
        return got["id"] in cli("workflow", "list", "--query", query, "--output", "json")
    wait_until("Temporal's list finds it", lambda: found("PlexusStatus = 'waiting' AND PlexusNamespace = 'ops' AND PlexusVersion = '1.2.3'"
                                                         " AND PlexusLabel = 'confidential:eng' AND PlexusBy = 'owner'"), 10)
    rows = node().api("GET", "/api/flows?status=waiting&namespace=ops")[1]["flows"]
    assert [r["id"] for r in rows] == [got["id"]] and rows[0]["label"] == "confidential:eng" and rows[0]["version"] == "1.2.3", rows
    assert node().api("GET", "/api/flows?status=waiting&namespace=elsewhere")[1]["flows"] == []
    node().api("POST", f"/api/flows/{got['id']}/signal", {"type": "go", "data": 7})
    assert until(got["id"], "completed")["view"]["output"] == [7]
    wait_until("it is completed there", lambda: found("PlexusStatus = 'completed'"), 10)


def test_a_downloaded_history_replays():
    got = start(doc("downloaded", [{"a": {"run": {"shell": {"command": "echo 1"}}}}, {"b": {"wait": "PT0.1S"}}, {"c": {"set": {"x": "${ 1 + 1 }"}}}]), 200, wait="30s")
    text = cli("workflow", "show", "--workflow-id", got["id"], "--output", "json")
    file = node().folder / "history.json"
    file.write_text(text)
    said = flowkit.command(node(), "replay", file).stdout
    assert "this plexus decides the same; the run is completed" in said, said
    history = json.loads(text)
    for event in history["events"]:  # a history that says otherwise is told
        if "timerStartedEventAttributes" in event:
            event["timerStartedEventAttributes"]["timerId"] = "99"
    file.write_text(json.dumps(history))
    bad = subprocess.run([plexus.PLEXUS, "flow", "replay", str(file)], capture_output=True, text=True)
    assert bad.returncode != 0 and "event" in bad.stderr, bad
    file.write_text('{"events": []}')
    bad = subprocess.run([plexus.PLEXUS, "flow", "replay", str(file)], capture_output=True, text=True)
    assert bad.returncode != 0 and "does not begin with a start" in bad.stderr, bad


def test_reset():
    """A new run from the history up to an entry: what came after happens again."""
    file = node().folder / "counted"
    steps = [{"one": {"run": {"shell": {"command": f"echo one >> {file}"}}}}, {"two": {"run": {"shell": {"command": f"echo two >> {file}; cat {file} | wc -l"}}}}]
    got = start(doc("again", steps), 200, wait="30s")
    assert got["output"].strip() == "2", got
    entries = node().api("GET", f"/api/flows/{got['id']}/history")[1]["entries"]
    at = next(e["n"] for e in entries if e["t"] == "done")  # of the first activity
    status, said = node().api("POST", f"/api/flows/{got['id']}/reset", {"to": at, "reason": "once more"})
    assert status == 200, said
    end = wait_until("it ended again", lambda: (time.sleep(0.05), (r := shown(got["id"]))["status"] == "completed" and r["view"]["output"].strip() == "3" and r)[1], 30)
    assert end["view"]["output"].strip() == "3" and file.read_text().split() == ["one", "two", "two"], file.read_text()
    assert node().api("POST", "/api/flows/nobody/reset", {"to": 3})[0] == 404
    assert node().api("POST", f"/api/flows/{got['id']}/reset", {"to": 99})[0] == 400


def test_hands_on_a_closed_flow():
    got = start(doc("closed", [{"a": {"set": {"x": 1}}}]), 200, wait="30s")
    for action, body in (("retry", {}), ("skip", {"task": "a"}), ("edit", {"task": "a", "input": 1}), ("pause", {}), ("resume", {}), ("cancel", {}), ("terminate", {}),
                         ("signal", {"type": "go"})):
        status, said = node().api("POST", f"/api/flows/{got['id']}/{action}", body)
        assert status == 409 and "has ended" in said["error"]["message"], (action, status, said)
    for action in ("retry", "cancel", "terminate"):
        status, said = node().api("POST", f"/api/flows/nobody/{action}", {})
        assert status == 404 and "nobody" in said["error"]["message"], (action, status, said)


def rows(name):
    return node().api("GET", f"/api/flows?name={name}&limit=1000")[1]["flows"]


def test_prune():
    for _ in range(3):
        start(doc("old", [{"a": {"set": {"x": 1}}}]), 200, wait="30s")
    wait_until("they are listed", lambda: (time.sleep(0.05), len([r for r in rows("old") if not r["open"]]) == 3)[1])
    time.sleep(1.1)
    open_one = start(doc("young", LISTEN))
    status, got = node().api("POST", "/api/flows/prune", {"older": "1s", "dry": True})
    assert status == 200 and got["removed"] >= 3 and len(rows("old")) == 3, got
    status, got = node().api("POST", "/api/flows/prune", {"older": "1s"})
    assert status == 200 and got["removed"] >= 3, got
    wait_until("they are gone", lambda: (time.sleep(0.1), not rows("old"))[1])
    assert shown(open_one["id"])["open"]
    node().api("POST", f"/api/flows/{open_one['id']}/terminate", {})


def add(text, status=201):
    got = node().api("POST", "/api/flows/documents", {"document": text})
    assert got[0] == status, got
    return got[1]


SET = [{"a": {"set": {"got": "${ . }"}}}]


def test_schedules():
    """every by Temporal's own schedule, after and on by the worker; removed they end."""
    add(doc("each", SET, schedule={"every": "PT1S"}))
    add(doc("then", SET, schedule={"after": "PT1S"}))
    add(doc("on", SET, schedule={"on": {"one": {"with": {"type": "org.example.order", "data": "${ .n > 1 }"}}}}))
    add(doc("night", SET, schedule={"cron": "0 3 * * *"}))
    assert "ops.night" in cli("schedule", "list") and "ops.each" in cli("schedule", "list")
    for n in (1, 2):
        status, got = node().api("POST", "/api/flows/events", {"id": f"e{n}", "source": "s", "type": "org.example.order", "data": {"n": n}})
        assert status == 200 and got["taken"] == n - 1, got
    node().api("POST", "/api/flows/events", {"id": "e2", "source": "s", "type": "org.example.order", "data": {"n": 2}})  # the same: once
    wait_until("each of them began", lambda: (time.sleep(0.2), len(rows("each")) >= 2 and len(rows("then")) >= 2 and rows("on"))[1], 20)
    assert len(rows("on")) == 1 and rows("on")[0]["by"] == "schedule", rows("on")
    assert shown(rows("on")[0]["id"])["view"]["output"]["got"][0]["data"] == {"n": 2}
    ends = sorted(r["closed"] for r in rows("then") if r["closed"])
    begins = sorted(r["started"] for r in rows("then"))
    assert ends[0] < begins[1], (ends, begins)
    status, got = node().api("POST", "/api/flows/documents", {"document": doc("bad", SET, schedule={"cron": "a b"})})
    assert status == 400, got
    status, got = node().api("POST", "/api/flows/documents", {"document": doc("bad", SET, schedule={"on": {"all": [{"with": {"type": "t"}}]}})})
    assert status == 501 or "embedded engine" in got["error"]["message"], (status, got)
    add(doc("night", SET, "1.1.0"))  # the newest has none
    assert "ops.night" not in cli("schedule", "list")
    for name in ("each", "then", "on"):
        assert node().api("DELETE", f"/api/flows/documents/ops/{name}/1.0.0")[0] == 200
    assert "ops.each" not in cli("schedule", "list")
    time.sleep(1.2)
    before = len(rows("each")), len(rows("then"))
    time.sleep(1.5)
    assert (len(rows("each")), len(rows("then"))) == before


def test_cases():
    text = json.loads(doc("judged", [{"a": {"set": "${ {b: (.a + 1)} }"}}, {"w": {"if": ".b == 1", "wait": "PT1H"}}]))
    text["document"]["metadata"] = {"plexus": {"cases": [
        {"name": "good", "input": {"a": 1}, "output": {"b": 2}},
        {"name": "bad", "input": {"a": 2}, "output": {"b": 2}},
        {"name": "late", "input": {"a": 0}, "output": {"b": 1}, "timeout": "PT0.3S"}]}}
    add(json.dumps(text))
    code, got = node().api("POST", "/api/flows/documents/ops/judged/1.0.0/eval")
    assert code == 200 and [one["passed"] for one in got["cases"]] == [True, False, False], got
    assert "time is over" in got["cases"][2]["why"] and got["urn"] == "urn:plexus:flow:ops:judged:v1000000", got
    until(got["cases"][2]["run"], "terminated")
    code, got = node().api("POST", "/api/flows/documents/ops/judged/1.0.0/promote")
    assert code >= 400 and "2 of its 3 cases failed" in got["error"]["message"], (code, got)


def test_retries_in_the_worker_a_deployment_and_a_rate():
    config = server().config()
    config["flows"] |= {"queues": ["slow"], "rates": {"slow": 4}}
    config["flows"]["temporal"] |= {"local_retries": 3, "queue": "deployed", "deployment": "plexus"}
    with Flows(config) as n:
        ready(n)

        def version():
            versions = json.loads(cli("worker", "deployment", "describe", "--name", "plexus", "--output", "json"))["versionSummaries"]
            return versions[0].get("buildID") or versions[0].get("buildId") or versions[0]["BuildID"]

        def there():
            try:
                return version()
            except AssertionError:
                return time.sleep(0.1)
        build = wait_until("the server knows the deployment", there, 20)
        assert build.startswith("plexus/"), build
        cli("worker", "deployment", "set-current-version", "--deployment-name", "plexus", "--build-id", build, "--yes")
        do = [{"c": {"call": "http", "with": {"method": "get", "endpoint": "https://httpbin.org/flaky/local/2"}}}]
        status, got = n.api("POST", "/api/flows", {"document": doc("flaky", do), "wait": "30s"})
        assert status == 200 and got["status"] == "completed" and got["output"]["count"] == 3, got
        history = json.loads(cli("workflow", "show", "--workflow-id", got["id"], "--output", "json"))["events"]
        assert sum("activityTaskScheduledEventAttributes" in e for e in history) == 1  # the flow was not asked
        log = n.folder / "slow"  # the server keeps the rate of a queue
        work = {"run": {"shell": {"command": f"date +%s.%N >> {log}"}}, "metadata": {"plexus": {"queue": "slow"}}}
        status, got = n.api("POST", "/api/flows", {"document": doc("many", [{"f": {"fork": {"branches": [{f"b{i}": work} for i in range(7)]}}}]), "wait": "30s"})
        times = sorted(map(float, log.read_text().split()))
        assert got["status"] == "completed" and len(times) == 7 and times[-1] - times[0] >= 0.5, (got, times)
        status, got = n.api("POST", "/api/flows", {"document": doc("never", [{"c": {"call": "http", "with": {"method": "get", "endpoint": "https://httpbin.org/status/404"}}}]), "wait": "30s"})
        assert got["error"]["status"] == 404, got


if __name__ == "__main__":
    plexus.main({k: v for k, v in globals().items() if k.startswith("test_")})
