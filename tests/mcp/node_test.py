# node_test.py: /mcp of a real node and plexus mcp: both generations, doors, keys, lines that are no
# messages, the end of the input.
# SPDX-License-Identifier: Apache-2.0
import json
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import mcp_rig  # noqa: E402
import plexus  # noqa: E402


def over_http(port):
    reply = mcp_rig.modern(port, "server/discover")
    assert reply.status == 200 and mcp_rig.MODERN in reply.last["result"]["supportedVersions"], reply.body
    for method, member in (("tools/list", "tools"), ("resources/list", "resources"), ("prompts/list", "prompts")):
        reply = mcp_rig.modern(port, method)
        assert isinstance(reply.last["result"][member], list), (method, reply.body)
    s = mcp_rig.Session(port)
    assert s.hello["serverInfo"]["name"] == "plexus", s.hello
    calls = s.call("resources/read", {"uri": "plexus://calls"}).last["result"]["contents"]
    assert calls[0]["uri"] == "plexus://calls", calls
    logs = s.call("resources/read", {"uri": "plexus://logs"}).last["result"]["contents"][0]["text"].splitlines()
    assert any(json.loads(line)["event"] == "node.ready" for line in logs), logs
    assert s.tool("no_such_tool").code == -32602
    assert s.end().status == 204
    assert mcp_rig.post(port, "{}", Origin="http://evil.example").status == 403
    assert mcp_rig.post(port, "{}", Host="evil.example").status == 421


def over_lines(node):
    hello = {"protocolVersion": mcp_rig.LEGACY, "capabilities": {}}
    lines = ["no message", json.dumps({"jsonrpc": "2.0", "id": 0, "method": 7}),
             json.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello}),
             json.dumps({"jsonrpc": "2.0", "method": "notifications/initialized"}),
             json.dumps({"jsonrpc": "2.0", "id": "two", "method": "tools/list"}),
             json.dumps({"jsonrpc": "2.0", "id": 3, "method": "server/discover", "params": {"_meta": mcp_rig.meta()}}),
             json.dumps({"jsonrpc": "2.0", "id": 4, "method": "server/discover", "params": {"_meta": {
                 **mcp_rig.meta(), "io.modelcontextprotocol/protocolVersion": "2099-01-01"}}}),
             json.dumps({"jsonrpc": "2.0", "id": 5, "method": "ping"})]  # and no newline after the last
    done = subprocess.run([plexus.PLEXUS, "--data", str(node.data), "mcp"], input="\n".join(lines),
                          capture_output=True, text=True, timeout=30)
    assert done.returncode == 0 and not done.stderr, (done.returncode, done.stderr)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    by_id = {a.get("id"): a for a in answers}
    assert len(answers) == 7 == len(by_id), answers
    assert by_id[None]["error"]["code"] == -32700 and by_id[0]["error"]["code"] == -32600, answers
    assert by_id[1]["result"]["protocolVersion"] == mcp_rig.LEGACY and by_id[5]["result"] == {}, answers
    assert by_id["two"]["result"]["tools"] == [] and "capabilities" in by_id[3]["result"], answers
    assert by_id[4]["error"]["code"] == -32022, answers


def keys():
    node = plexus.Node({"listen": {"api": "127.0.0.1:0", "keys": "required"}})
    try:
        reply = mcp_rig.modern(node.port, "server/discover")
        assert reply.status == 401 and "Bearer" in (reply.headers["WWW-Authenticate"] or ""), (
            reply.status, reply.headers.items())
        made = subprocess.run([plexus.PLEXUS, "--data", str(node.data), "key", "new", "ada", "--json"],
                              capture_output=True, text=True, timeout=20)
        key = json.loads(made.stdout)["key"]
        fields = {"Authorization": "Bearer " + key}
        assert mcp_rig.modern(node.port, "server/discover", headers=fields).status == 200
        s = mcp_rig.Session(node.port, key=key)
        assert s.call("ping").last["result"] == {}
        assert s.call("resources/list").last["result"]["resources"] == [], "the log is not for every key"
        assert s.call("resources/read", {"uri": "plexus://logs"}).last["error"]["code"] == -32002
    finally:
        node.stop()


def main():
    node = plexus.Node({})
    try:
        over_http(node.port)
        over_lines(node)
    finally:
        node.stop()
    gone = subprocess.run([plexus.PLEXUS, "--data", str(node.data), "mcp"], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=20)
    assert gone.returncode == 69 and "no node is running" in gone.stderr, gone
    keys()


main()
