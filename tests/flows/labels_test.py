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
