#!/usr/bin/env python3
# labels_test.py: labels between real nodes: a request goes only to nodes and models that may get it,
# an answer carries what the other node's model knows, clearances of nodes come from the authority.
# SPDX-License-Identifier: Apache-2.0
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import plexus  # noqa: E402
from mesh import Mesh, view  # noqa: E402
from plexus import scripted, wait_until  # noqa: E402


def engine(name, **more):
    return {"engine": "command", "command": scripted(name=name), "health": "/health", **more}


# a: the authority's, cleared for everything, without engines. b: internal. c: confidential:eng.
MODELS = {
    "a": {},
    "b": {"shared": engine("shared-b"), "low": engine("low")},
    "c": {"shared": engine("shared-c"), "knows": engine("knows", label="confidential:eng"),
          "eared": engine("eared", clearance="public")},
}


def made():
    m = Mesh(join=False, **MODELS)
    try:
        m.init()
        m.join("b", m.token(clearance="internal"))
        m.join("c", m.token(clearance="confidential:eng"))
        m.settled()
        m["a"].new_key("names", clearance="restricted:eng,hr,law")  # the compartments that a knows
    except BaseException:
        m.__exit__(*sys.exc_info())
        raise
    return m


mesh = plexus.shared(made)


def ask(node, model, label=None, **headers):
    if label:
        headers["X-Plexus-Label"] = label
    return mesh()[node].chat(model, headers=headers)


def good(answer, label, by):
    assert answer.status == 200, answer
    assert answer.headers["X-Plexus-Label"] == label, answer.headers
    assert by in answer.body.decode(), (by, answer)


def violations(node, operation):
    text = mesh()[node].owner("GET", "/metrics").body.decode()
    return int(re.search(rf'^plexus_security_violations_total{{operation="{operation}"}} (\d+)$', text, re.M)[1])


def refused(answer, *words):
    assert answer.status == 403, answer
    error = answer.json["error"]
    assert error["code"] == "security" and "SecurityViolationError" in error["message"], error
    for word in words:
        assert word in error["message"], (word, error)


def test_clearances_come_from_the_authority():
    seen = {n["name"]: n["clearance"] for n in view(mesh()["a"])["nodes"]}
    assert seen == {"a": "restricted:*", "b": "internal", "c": "confidential:eng"}, seen


def test_a_request_goes_where_it_may():
    for _ in range(6):
        good(ask("a", "shared", "confidential:eng"), "confidential:eng", "shared-c")
    good(ask("a", "low", "internal"), "internal", "low")


def test_nobody_may_get_it():
    before = violations("a", "hop")
    refused(ask("a", "shared", "confidential:hr"), "label confidential:hr", "node cleared for internal",
            "node cleared for confidential:eng")
    refused(ask("a", "low", "confidential"), "confidential", "internal")
    refused(ask("a", "eared", "internal:eng"), "model cleared for public")
    assert violations("a", "hop") == before + 3
    lines = [x for x in mesh()["a"].log_lines() if x["event"] == "security.violation"]
    assert lines[-1]["operation"] == "hop" and lines[-1]["label"] == "internal:eng", lines[-1]
    for node in ("b", "c"):
        assert not [x for x in mesh()[node].log_lines() if x["event"] == "security.violation"], node


def test_the_answer_has_the_label_of_its_model():
    good(ask("a", "knows", "internal"), "confidential:eng", "knows")
    good(ask("a", "knows", "public"), "confidential:eng", "knows")


def test_a_key_that_may_not_read_what_another_node_knows():
    a = mesh()["a"]
    key = a.new_key("clerk", clearance="internal")["key"]
    answer = a.chat("knows", headers={"Authorization": "Bearer " + key})
    refused(answer, "the answer of the node c has the label confidential:eng", "the key clerk has the clearance internal")
    assert b"scripted" not in answer.body, answer


def test_a_node_that_may_not_read_an_answer():
    before = violations("c", "read_reply")
    answer = ask("b", "knows", "internal")  # b may ask: c's model must not tell it
    refused(answer, "confidential:eng", "internal")
    assert violations("c", "read_reply") == before + 1


def test_a_node_holds_nothing_above_its_own_clearance():
    before = violations("b", "hop")
    refused(ask("b", "low", "confidential:eng"), "the request has the label confidential:eng", "this node has the clearance internal")
    assert violations("b", "hop") == before + 1
    good(ask("b", "low", "internal"), "internal", "low")


def test_labels_of_names_that_only_one_node_knows():
    a = mesh()["a"]
    key = a.new_key("lawyer", clearance="restricted:law")["key"]
    answer = a.chat("shared", headers={"Authorization": "Bearer " + key, "X-Plexus-Label": "internal:law"})
    refused(answer, "internal:law")
    made = a.owner("POST", "/api/mesh/tokens", {"clearance": "secret"})
    assert made.status == 400 and "no label" in made.json["error"]["message"], made


if __name__ == "__main__":
    plexus.main(globals())
