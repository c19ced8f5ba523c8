#!/usr/bin/env python3
# ctk_test.py: the conformance features of the Serverless Workflow DSL on a real node: documents over the API, HTTP to a stand-in of the
# public servers that they name, the order of tasks from the lifecycle events on the bus.
# SPDX-License-Identifier: Apache-2.0
import json
import pathlib
import sys
import time

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1] / "lib"), str(pathlib.Path(__file__).resolve().parent)]
import ctk  # noqa: E402
import plexus  # noqa: E402
from flows import Flows  # noqa: E402

flows = plexus.shared(lambda: Flows())


def yaml(text):
    return flows().value(text)


def test_features():
    found = ctk.scenarios()
    assert len(found) >= 21, found
    failed = []
    for s in found:
        began = time.monotonic()
        try:
            text = ctk.given(s)
            got = flows().run(ctk.document(s), yaml(text) if text else None, order=True)
            ctk.check(s, got, yaml)
            print(f"  ok   {time.monotonic() - began:6.2f} s  {s}")
        except AssertionError as x:
            print(f"  FAIL {s}\n       {x}")
            failed.append(s)
    assert not failed, failed


def test_the_reader_can_fail():
    """A check that accepts everything would be none."""
    s = ctk.Scenario("own", "wrong output")
    s.steps = [["the workflow should complete with output:", "a: 1\n"]]
    for wrong in (ctk.Outcome("faulted"), ctk.Outcome("completed", {"a": 2}), ctk.Outcome("completed", {"a": True})):
        try:
            ctk.check(s, wrong, lambda text: {"a": 1})
        except AssertionError:
            continue
        raise RuntimeError(f"{wrong.output} was taken")
    ctk.check(s, ctk.Outcome("completed", {"a": 1.0}), lambda text: {"a": 1})


if __name__ == "__main__":
    plexus.main(globals())
