#!/usr/bin/env python3
# labels_test.py: the label of a flow's data goes with its calls of models; what tasks gave does not leave by the bus where labels count.
# SPDX-License-Identifier: Apache-2.0
import json
import pathlib
import sys

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1] / "lib"), str(pathlib.Path(__file__).resolve().parent)]
import plexus  # noqa: E402
from flows import Flows  # noqa: E402
from plexus import scripted  # noqa: E402


def model(clearance):
    return {"engine": "command", "command": scripted(name="m"), "health": "/health", "kind": "chat", "clearance": clearance}


def document(model, label=None):
    head = {"dsl": "1.0.3", "namespace": "test", "name": "ask", "version": "1.0.0"}
    if label:
        head["metadata"] = {"plexus": {"label": label}}
    return json.dumps({"document": head, "do": [{"ask": {"call": "model", "with": {"model": model, "prompt": "hello"}, "output": {"as": "${ .content }"}}}]})


node = plexus.shared(lambda: Flows({"models": {"low": model("internal"), "high": model("confidential:eng")}}))


def start(text, **more):
    status, got = node().api("POST", "/api/flows", {"document": text, "wait": "30s", **more})
    return status, got


def refused(got):
    assert got["status"] == "faulted", got
    assert got["error"]["status"] == 403 and "SecurityViolationError" in json.dumps(got["error"]), got


def test_the_label_of_a_start():
    for label, model_name, good in ((None, "low", True), ("confidential:eng", "low", False), ("confidential:eng", "high", True), ("restricted", "high", False)):
        status, got = start(document(model_name), **({"label": label} if label else {}))
        assert status == 200, got
        if good:
            assert got["status"] == "completed" and got["output"], (label, model_name, got)
        else:
            refused(got)


def test_the_label_of_a_document():
    refused(start(document("low", "confidential:eng"))[1])
    assert start(document("high", "confidential:eng"))[1]["status"] == "completed"
    assert start(document("low", "confidential:eng"), label="internal")[1]["status"] == "completed"  # what the start says counts


def test_what_a_key_may_know():
    """A list leaves out what is above the key's clearance, a single flow is refused, and none may be started there."""
    low = node().new_key("low", clearance="internal", scopes=["all"])["key"]
    high = node().new_key("high", clearance="confidential:eng", label="confidential:eng", scopes=["all"])["key"]

    def ask(key, method, path, body=None):
        got = node().ask(method, path, body, {"Authorization": "Bearer " + key})
        return got.status, got.json

    ids = {}
    for label in (None, "internal", "confidential:eng", "restricted"):
        status, got = node().api("POST", "/api/flows", {"document": document("high"), **({"label": label} if label else {})})
        assert status == 201, got
        ids[label] = got["id"]
    rows = {row["id"]: row["label"] for row in node().api("GET", "/api/flows")[1]["flows"]}
    assert {label: rows[i] for label, i in ids.items()} == {label: label for label in ids}, rows
    for key, seen in ((low, {None, "internal"}), (high, {None, "internal", "confidential:eng"})):
        status, got = ask(key, "GET", "/api/flows?limit=1000")
        assert {ids[label] for label in ids} & {row["id"] for row in got["flows"]} == {ids[label] for label in seen}, got
        for label, run in ids.items():
            for method, path, body in (("GET", "", None), ("GET", "/history", None), ("GET", "/export", None), ("GET", "/events", None),
                                       ("POST", "/signal", {"type": "t", "data": {"n": 1}}), ("POST", "/cancel", {"reason": "no"})):
                if label in seen and path == "/events":
                    continue  # a stream that stays
                status, got = ask(key, method, f"/api/flows/{run}{path}", body)
                if label not in seen:
                    assert status == 403 and "SecurityViolationError" in got["error"]["message"], (label, path, status, got)
                else:
                    assert status in (200, 409), (label, path, status, got)
    # who starts must be cleared for what it starts, also when the document says it
    for body in ({"document": document("high"), "label": "confidential:eng"}, {"document": document("high", "confidential:eng")}):
        status, got = ask(low, "POST", "/api/flows", body)
        assert status == 403 and "SecurityViolationError" in got["error"]["message"], (status, got)
        assert ask(high, "POST", "/api/flows", body)[0] == 201
    # what is started with a key has the key's label
    status, got = ask(high, "POST", "/api/flows", {"document": document("high")})
    assert node().api("GET", f"/api/flows/{got['id']}")[1]["label"] == "confidential:eng"


def test_the_command_line():
    import flowkit
    file = node().folder / "ask.json"
    file.write_text(document("low"))
    got = flowkit.command(node(), "run", file, "--label", "confidential:eng", "--detach").stdout.strip()
    row = node().api("GET", f"/api/flows/{got}")[1]
    assert row["label"] == "confidential:eng", row


def test_no_label():
    status, got = start(document("low"), label="very secret")
    assert status == 400, (status, got)


def test_the_bus_hears_no_outputs():
    node().listen()
    status, got = start(document("high"), label="confidential:eng")
    assert status == 200 and got["output"], got
    node().order(got["id"])  # heard to its end
    events = node().events(got["id"])
    assert len(events) >= 4, events
    for event in events:
        assert "output" not in event["data"] and got["output"] not in json.dumps(event), event
    assert node().api("GET", f"/api/flows/{got['id']}")[1]["view"]["output"] == got["output"]  # who may ask still sees it


if __name__ == "__main__":
    plexus.main(globals())
