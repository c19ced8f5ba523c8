#!/usr/bin/env python3
# gateway_test.py: the master gateway: a weak node's /mcp and tools are a strong node's, over the mesh's mTLS; what the
# strong one refuses stays refused, and when it is away its tools are. timeout: 120
# SPDX-License-Identifier: Apache-2.0
import json
import pathlib
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "lib")]
import plexus
from plexus import Node, free_port, wait_until


def config(name, **more):
    return {"node": {"name": name, "context": "dev.test." + name},
            "listen": {"api": "127.0.0.1:0", "mesh": f"127.0.0.1:{free_port()}"}, "models": {}, **more}


def mcp(node, method, params):
    meta = {"io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"}, "io.modelcontextprotocol/clientCapabilities": {}}
    head = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json",
            "MCP-Protocol-Version": "2026-07-28", "Mcp-Method": method}
    if "name" in params:
        head["Mcp-Name"] = params["name"]
    got = node.ask("POST", "/mcp", {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": meta}}, head)
    assert got.status == 200, got
    text = got.body.decode()
    if text.startswith("{"):
        return json.loads(text)
    return json.loads([line[6:] for line in text.splitlines() if line.startswith("data: {")][-1])


def tools(node):
    return {t["name"]: t for t in node.get("/api/tools").json["tools"]}


def test_tools_run_on_the_strong_node():
    strong = Node(config("strong", tools={"folders": [{"path": "work", "write": True}]}), start=False)
    (strong.folder / "work").mkdir()
    (strong.folder / "work/a.txt").write_text("only here\n")
    strong.start()
    with strong, Node(config("weak", mcp={"gateway": "strong"})) as weak:
        assert strong.ask("POST", "/api/mesh/init", {"trust_domain": "home"}).status == 201
        token = strong.ask("POST", "/api/mesh/tokens", {}).json["token"]
        assert weak.ask("POST", "/api/mesh/join", {"address": strong.config["listen"]["mesh"], "token": token}).status == 200
        wait_until("its tools are there", lambda: "read_file" in tools(weak), 30)
        row = tools(weak)["read_file"]
        assert row["source"] == "mesh:strong" and row["granted"], row
        got = weak.ask("POST", "/api/tools/read_file/call", {"input": {"path": "a.txt"}})
        assert got.status == 200 and got.json["content"][0]["text"] == "only here\n", got
        listed = [t["name"] for t in mcp(weak, "tools/list", {})["result"]["tools"]]
        assert "read_file" in listed and "bash" in listed, listed
        said = mcp(weak, "tools/call", {"name": "read_file", "arguments": {"path": "a.txt"}})
        assert said["result"]["content"][0]["text"] == "only here\n", said
        who = [c["who"] for c in strong.get("/api/tools/calls").json["calls"]]
        assert who and set(who) == {"node weak"}, who
        # what nobody granted there is not run for the weak node either
        got = weak.ask("POST", "/api/tools/bash/call", {"input": {"command": "touch x"}, "confirmed": True})
        text = json.dumps(got.json)
        assert "granted" in text and not (strong.folder / "work/x").exists(), got
        prompts = [p["name"] for p in mcp(weak, "prompts/list", {})["result"]["prompts"]]
        assert "new_tool" in prompts, prompts
        strong.process.kill()
        strong.process.wait()
        got = weak.ask("POST", "/api/tools/read_file/call", {"input": {"path": "a.txt"}, "timeout": "10s"})
        assert got.status in (404, 502, 503, 504), got
        assert weak.get("/health").status == 200


def test_two_that_are_each_others_gateway():
    """What came from a node is not handed on to one: no tool twice, no circle, no news of news."""
    nodes = []
    for name, other in (("one", "two"), ("two", "one")):
        node = Node(config(name, mcp={"gateway": other}, tools={"folders": [{"path": "work"}]} if name == "two" else {}), start=False)
        (node.folder / "work").mkdir()
        (node.folder / "work/a.txt").write_text(f"of {name}\n")
        nodes.append(node.start())
    one, two = nodes
    with one, two:
        assert one.ask("POST", "/api/mesh/init", {"trust_domain": "home"}).status == 201
        token = one.ask("POST", "/api/mesh/tokens", {}).json["token"]
        assert two.ask("POST", "/api/mesh/join", {"address": one.config["listen"]["mesh"], "token": token}).status == 200
        wait_until("its tools are there", lambda: "read_file" in tools(one), 30)
        wait_until("both are up", lambda: all(n.get("/api/tools/servers").json["servers"][0]["state"] == "ready" for n in nodes), 30)
        got = one.ask("POST", "/api/tools/read_file/call", {"input": {"path": "a.txt"}})
        assert got.status == 200 and got.json["content"][0]["text"] == "of two\n", got
        assert [t["source"] for t in tools(one).values() if t["name"] == "read_file"] == ["mesh:two"]
        assert not [t for t in tools(two).values() if t["source"] == "mesh:one"], tools(two)  # it has none of its own
        # one lists it, and another node that asks there is told nothing of it
        theirs = [n.get("/api/tools/servers").json["servers"][0] for n in nodes]
        assert theirs[0]["tools"] > 0 and theirs[1]["tools"] == 0, theirs
        prompts = [p["name"] for p in mcp(one, "prompts/list", {})["result"]["prompts"]]
        assert prompts.count("new_tool") <= 2, prompts

        def quiet():
            def news():
                return [(sum(line["event"] == "mcp.list" for line in n.log_lines()),
                         n.get("/api/tools/servers").json["servers"][0]["bytes_in"]) for n in nodes]
            before = news()
            time.sleep(1.2)
            return news() == before
        wait_until("they have told each other", quiet, 10)


if __name__ == "__main__":
    plexus.main(globals())
