#!/usr/bin/env python3
# asks_test.py: what an external MCP server asks back, through a real node: a model's answer (sampling) by the model
# that its configuration names, and a person's (elicitation) by the node's own client. timeout: 90
# SPDX-License-Identifier: Apache-2.0
import contextlib
import http.client
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import mcp
import mcp_rig
import plexus
from plexus import Node, free_port, wait_until

NODE = plexus.test_env("NODE")
EVERYTHING = mcp.package("@modelcontextprotocol/server-everything")
if not (NODE and EVERYTHING):
    raise SystemExit("tools/setup test has not installed the MCP packages")
PERSON = {"elicitation": {}}


@contextlib.contextmanager
def everything(**more):
    """A node that passes on server-everything, which runs over HTTP."""
    port = free_port()
    with tempfile.TemporaryFile() as log:
        child = subprocess.Popen([NODE, str(EVERYTHING / "dist/index.js"), "streamableHttp"],
                                 env={**os.environ, "PORT": str(port)}, stdout=log, stderr=log)
        server = {"url": f"http://127.0.0.1:{port}/mcp", "allow": ["*"], **more}
        try:
            with Node({"models": {"small": {"engine": "command", "command": plexus.scripted(name="small")}},
                       "mcp": {"servers": {"every": server}}}) as node:
                wait_until("it is ready", lambda: row(node)["state"] == "ready", 30)
                yield node
        finally:
            child.kill()
            child.wait()


def row(node):
    return node.get("/api/tools/servers").json["servers"][0]


def call(node, name, **arguments):
    got = node.post(f"/api/tools/every__{name}/call", {"input": arguments})
    assert got.status == 200, got
    return json.dumps(got.json["content"])


def answer_to(question):
    """What a person enters: the least that fits."""
    schema = question["params"]["requestedSchema"]
    assert question["params"]["message"].startswith("MCP server every asks: "), question
    return {"action": "accept", "content": {
        key: "Ann" if schema["properties"][key]["type"] == "string" else 1 for key in schema.get("required", [])}}


def test_a_model_answers():
    with everything(model="small") as node:
        said = call(node, "trigger-sampling-request", prompt="hi there", maxTokens=7)
        lines, body = plexus.engine_last(plexus.engine_port(node, "small"))
        asked = json.loads(body)
        assert asked["max_tokens"] == 7 and "hi there" in json.dumps(asked["messages"]), asked
        assert "endTurn" in said and "small" in said, said
        kept = [line for line in node.log_lines() if line.get("event") == "mcp.sampling"]
        assert kept and "owner" in json.dumps(kept[0]), kept


def test_nobody_may_be_asked():
    with everything() as node:
        tools = [t["name"] for t in node.get("/api/tools").json["tools"]]
        assert "every__trigger-sampling-request" not in tools, tools  # it was told so
        assert "declin" in call(node, "trigger-elicitation-request").lower()  # a call of the API's has nobody
        s = mcp_rig.Session(node.port)  # nor a client that takes no questions
        assert b"declin" in s.tool("every__trigger-elicitation-request").body.lower()


def test_a_person_answers():
    with everything() as node:
        s = mcp_rig.Session(node.port, capabilities=PERSON)
        c = http.client.HTTPConnection("127.0.0.1", node.port, timeout=20)
        c.request("POST", "/mcp", json.dumps({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {
            "name": "every__trigger-elicitation-request", "arguments": {}}}),
            {**s.fields, "Content-Type": "application/json", "Accept": mcp_rig.BOTH})
        stream = mcp_rig.events(c)
        question = next(m for m in stream if m.get("method") == "elicitation/create")
        assert s.post({"jsonrpc": "2.0", "id": question["id"], "result": answer_to(question)}).status == 202
        last = next(m for m in stream if m.get("id") == 7)
        assert "Ann" in json.dumps(last["result"]), last
        # 2026-07-28: the call ends with the question, and is made again with the answer
        name, params = "every__trigger-elicitation-request", {"arguments": {}}
        first = mcp_rig.modern(node.port, "tools/call", {"name": name, **params}, capabilities=PERSON).last["result"]
        assert first["resultType"] == "input_required", first
        answers = {key: answer_to(q) for key, q in first["inputRequests"].items()}
        again = {"name": name, **params, "inputResponses": answers}
        if "requestState" in first:
            again["requestState"] = first["requestState"]
        last = mcp_rig.modern(node.port, "tools/call", again, capabilities=PERSON).last["result"]
        assert last["resultType"] == "complete" and "Ann" in json.dumps(last), last


def test_a_person_leaves():
    """The call of a question that nobody answered is over, and the server goes on."""
    with everything() as node:
        s = mcp_rig.Session(node.port, capabilities=PERSON)
        c = http.client.HTTPConnection("127.0.0.1", node.port, timeout=20)
        c.request("POST", "/mcp", json.dumps({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {
            "name": "every__trigger-elicitation-request", "arguments": {}}}),
            {**s.fields, "Content-Type": "application/json", "Accept": mcp_rig.BOTH})
        question = next(m for m in mcp_rig.events(c) if m.get("method") == "elicitation/create")
        s.notify("notifications/cancelled", {"requestId": 7})
        wait_until("the call is over", lambda: row(node)["in_flight"] == 0)
        assert s.post({"jsonrpc": "2.0", "id": question["id"], "result": answer_to(question)}).status == 202
        assert "still" in call(node, "echo", message="still there")
        assert s.end().status == 204
        began = time.monotonic()
        assert node.stop() == 0 and time.monotonic() - began < 5


if __name__ == "__main__":
    plexus.main(globals())
