#!/usr/bin/env python3
# examples_test.py: every file of examples/flows against a real node and real models: it is well, runs as its
# head says, and gives what it promises. timeout: 420
# SPDX-License-Identifier: Apache-2.0
import json
import os
import re
import signal
import subprocess
import sys
import time

import flowkit as flows
import plexus

FILES = sorted(flows.EXAMPLES.glob("*.yaml"))
CATALOG = sorted((flows.EXAMPLES / "catalog").glob("*.yaml"))
node = None


def example(name):
    return flows.EXAMPLES / (name + ".yaml")


def test_all_are_well():
    out = flows.command(node, "check", *FILES, *CATALOG).stdout
    assert out.count(": well") == len(FILES) + len(CATALOG), out
    assert len(FILES) >= 10 and len(CATALOG) >= 5


def test_each_head_names_its_own_file():
    for file in FILES:
        for said in re.findall(r"examples/flows/\S+\.yaml", file.read_text()):
            assert "*" in said or (plexus.ROOT / said).exists(), (file, said)


def test_the_catalog_is_kept():
    flows.command(node, "add", *CATALOG, example("fan-out-item"))
    kept = {d["name"] for d in node.get("/api/flows/documents").json["documents"]}
    assert {"council", "dag", "map-reduce", "debate", "evaluator-optimizer", "ask", "fan-out-item"} <= kept, kept


def test_document_question():
    if "minilm" not in node.config["models"]:
        print("   (no embedding model here)")
        return
    got = flows.run(node, example("document-question"))
    assert any("miller is called Jan" in f["text"] for f in got["found"][:2]), got
    assert len(got["found"]) == 3 and got["found"][0]["score"] > 0.3 and isinstance(got["answer"], str), got


def test_nightly_digest():
    got = flows.run(node, example("nightly-digest"))
    assert "load average" in got["seen"] and got["tokens"] > 0 and isinstance(got["digest"], str), got
    flows.command(node, "add", example("nightly-digest"))
    row = next(d for d in node.get("/api/flows/documents").json["documents"] if d["name"] == "nightly-digest")
    assert row["schedule"] == {"cron": "0 3 * * *"}, row
    flows.command(node, "rm", "examples/nightly-digest")


def test_approval():
    flows.command(node, "run", example("approval"), "--id", "ap-1", "--detach")
    flows.wait_for(node, "ap-1", "it listens", lambda r: r["status"] == "waiting")
    flows.command(node, "signal", "ap-1", "org.example.decision", "-d", '{"approved": true, "by": "Ann"}')
    end = flows.wait_for(node, "ap-1", "it ends", lambda r: not r["open"] and r)
    assert end["view"]["output"] == {"ordered": "a new press", "by": "Ann"}, end["view"]
    got = flows.run(node, example("approval"), {"patience": "PT0.2S"})
    assert got["refused"] == "a new press" and "nobody" in got["by"], got


def test_sensor_goes_to_the_heavy_queue_and_back():
    got = flows.run(node, example("sensor"))
    assert len(got["samples"]) == 8 and got["valve"] in ("open", "closed") and got["alarm"] == (got["valve"] == "closed"), got


def test_trip_is_whole_or_not_at_all():
    assert flows.run(node, example("trip"))["booked"] == ["hotel", "flight", "car"]
    got = flows.run(node, example("trip"), {"fail": "car"})
    assert got["booked"] == [] and got["returned"] == ["flight given back", "hotel given back"], got


def test_council_by_every_tally():
    for tally in ("majority", "unanimous", "weighted", "judge"):
        got = flows.run(node, example("council"), {"tally": tally})
        assert got["tally"] == tally and len(got["votes"]) == 3, got
        assert got["answer"] in ("yes", "no", None), got
        answers = [v["answer"] for v in got["votes"]]
        if tally == "unanimous":
            assert got["agreed"] == (len(set(answers)) == 1 and answers[0] is not None), got


def test_ready_flows():
    assert flows.run(node, "ready/ask", {"prompt": "Say hello."})["content"]
    got = flows.run(node, "ready/map-reduce")
    assert len(got["parts"]) == 3 and isinstance(got["answer"], str) and got["tokens"] > 0, got
    got = flows.run(node, "ready/debate")
    assert len(got["said"]) == 4 and got["winner"] in ("tea", "coffee"), got
    got = flows.run(node, "ready/evaluator-optimizer", {"rounds": 2})
    assert 1 <= len(got["rounds"]) <= 2 and 0 <= got["score"] <= 10, got
    got = flows.run(node, "ready/dag")
    assert set(got) == {"topic", "fact", "verse"} and got["verse"]["content"], got


def test_a_circle_of_steps_is_an_error():
    circle = {"steps": [{"name": "a", "needs": ["b"]}, {"name": "b", "needs": ["a"]}]}
    r = flows.command(node, "run", "ready/dag", "--wait", "-i", json.dumps(circle), code=1)
    assert "configuration 400" in r.stderr, r.stderr


def test_fan_out_over_a_hundred():
    got = flows.run(node, example("fan-out"))
    assert got == {"items": 100, "sum": sum(i * i for i in range(100))}, got


def test_webhook():
    flows.command(node, "add", example("webhook"))
    taken = node.post("/api/flows/events", {"type": "org.example.order", "data": {"lines": [{"price": 300, "count": 4}]}})
    assert taken.status == 200 and taken.json["taken"] >= 1, taken
    row = plexus.wait_until("its run", lambda: node.get("/api/flows?name=webhook").json["flows"])[0]
    end = flows.wait_for(node, row["id"], "it ends", lambda r: not r["open"] and r)
    assert end["view"]["output"] == {"lines": 1, "total": 1200}, end["view"]
    flows.command(node, "rm", "examples/webhook")
    assert flows.run(node, example("webhook"), {"lines": [{"price": 1, "count": 2}]}) == {"lines": 1, "total": 2}


def test_build_with_retries():
    got = flows.run(node, example("build"))
    assert got["said"] == "built at try 3" and got["good"] is True and got["tests"] == "12 tests", got
    r = flows.command(node, "run", example("build"), "--wait", "-i", '{"fails": 99}', code=1)
    assert "runtime" in r.stderr, r.stderr


def test_reminder_waits_three_days():
    flows.command(node, "run", example("reminder"), "--id", "rem-1", "--detach")
    r = flows.wait_for(node, "rem-1", "it sleeps", lambda r: r["status"] == "waiting" and r["wake"] and r)
    left = time.mktime(time.strptime(r["wake"][:19], "%Y-%m-%dT%H:%M:%S")) - time.mktime(time.gmtime())
    assert 3 * 86400 - 120 < left <= 3 * 86400 + 5, r["wake"]
    flows.command(node, "cancel", "rem-1", "-r", "the test is over")
    end = flows.wait_for(node, "rem-1", "it ends", lambda r: not r["open"] and r)
    assert end["status"] == "cancelled", end["status"]


def test_an_exported_run_replays():
    row = next(r for r in node.get("/api/flows?name=build").json["flows"] if r["status"] == "completed")
    file = node.folder / "run.json"
    flows.command(node, "export", row["id"], "-o", file)
    assert "decides the same; the run is completed" in flows.command(node, "replay", file).stdout


def test_the_watcher_outlives_the_node():
    file = node.folder / "nap.yaml"
    file.write_text("document: { dsl: 1.0.3, namespace: default, name: nap, version: 1.0.0 }\n"
                    "do:\n- one: { set: { a: 1 } }\n- nap: { wait: PT3S }\n- two: { set: '${ . + { b: 2 } }' }\n")
    env = dict(os.environ, PLEXUS_DATA=str(node.data), PLEXUS_CONFIG=str(node.file))
    watcher = subprocess.Popen([plexus.PLEXUS, "flow", "run", str(file), "--id", "nap-1"], stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)
    said = watcher.stderr.readline()
    assert said == "run nap-1\n", said
    flows.wait_for(node, "nap-1", "it sleeps", lambda r: r["status"] == "waiting")
    node.process.kill()
    node.process.wait(10)
    node.start()
    out, err = watcher.communicate(timeout=60)
    assert watcher.returncode == 0 and json.loads(out) == {"a": 1, "b": 2}, (watcher.returncode, out, err)
    assert err.count("✓ one") == 1 and "✓ two" in err and "completed" in err, err


def test_ctrl_c_leaves_it_going():
    env = dict(os.environ, PLEXUS_DATA=str(node.data), PLEXUS_CONFIG=str(node.file))
    watcher = subprocess.Popen([plexus.PLEXUS, "flow", "run", str(example("approval")), "--id", "ap-9"], stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)
    assert watcher.stderr.readline() == "run ap-9\n"
    watcher.stderr.readline()  # its first task is told: it looks
    watcher.send_signal(signal.SIGINT)
    out, err = watcher.communicate(timeout=20)
    assert watcher.returncode == 130 and "plexus flow tail ap-9" in err, (watcher.returncode, out, err)
    assert flows.shown(node, "ap-9")["open"]
    flows.command(node, "terminate", "ap-9")


def main():
    global node
    picked = sys.argv[1:]
    with flows.node() as node:
        for name, test in list(globals().items()):
            if name.startswith("test_") and (not picked or any(p in name for p in picked)):
                began = time.monotonic()
                test()
                print("ok  %8.2f s  %s" % (time.monotonic() - began, name[5:]), flush=True)
    print("all passed")


if __name__ == "__main__":
    main()
