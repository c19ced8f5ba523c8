# node_test.py: /mcp of a real node and plexus mcp: both generations, doors, keys, lines that are no
# messages, messages that are too large, clients that leave, the end of the input and of the node.
# SPDX-License-Identifier: Apache-2.0
import contextlib
import http.client
import json
import pathlib
import socket
import subprocess
import sys
import time

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


def too_large(port):
    """Said by the head, before any of it is sent; the model API's limit is another one."""
    for path, size, status in (("/mcp", (16 << 20) + 1, 413), ("/v1/chat/completions", (16 << 20) + 1, None)):
        with contextlib.closing(socket.create_connection(("127.0.0.1", port), 10)) as s:
            s.sendall((f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
                       f"Content-Length: {size}\r\n\r\n").encode())
            s.settimeout(10 if status else 0.3)
            try:
                got = s.recv(4096).decode()
            except TimeoutError:
                got = ""
            assert got.startswith(f"HTTP/1.1 {status} ") and "too large" in got if status else got == "", (path, got)


def leaver():
    """The client of a call leaves: the tool is not run to its end."""
    node = plexus.Node({"tools": {"folders": [{"path": "work", "write": True}], "allow": ["bash"]}}, start=False)
    (node.folder / "work").mkdir()
    node.start()
    try:
        c = http.client.HTTPConnection("127.0.0.1", node.port, timeout=10)
        c.request("POST", "/api/tools/bash/call", json.dumps({"input": {"command": "touch began; sleep 8; touch ended"}}))
        plexus.wait_until("it runs", lambda: (node.folder / "work/began").exists())
        c.close()
        calls = plexus.wait_until("it ended", lambda: node.get("/api/tools/calls").json["calls"], 5)
        assert [(x["tool"], x["status"]) for x in calls] == [("bash", "E_CANCELLED")], calls
        assert not (node.folder / "work/ended").exists()
        figures = node.get("/metrics").body.decode()
        assert 'plexus_tool_calls_total{source="primitive",status="failed"} 1\n' in figures, figures
        assert 'plexus_tool_calls_total{source="primitive",status="ok"} 0\n' in figures, figures
        assert "plexus_tool_running 0\n" in figures and "plexus_capabilities 0\n" in figures, figures
    finally:
        node.stop()


def end_of_node():
    """Streams that only listen, and connections to the registry, do not hold the end of a node."""
    port = plexus.free_port()
    node = plexus.Node({"tools": {"serve": f"127.0.0.1:{port}"}})
    try:
        s = mcp_rig.Session(node.port)
        stream = s.stream()
        told = mcp_rig.listen(node.port, {"toolsListChanged": True})
        assert next(told)["method"] == "notifications/subscriptions/acknowledged"
        kept = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        kept.request("GET", "/")
        kept.getresponse().read()
        own = http.client.HTTPConnection("127.0.0.1", node.port, timeout=10)
        own.request("GET", "/mcp", None, dict(s.fields, Accept="text/event-stream"))
        own.getresponse()
        began = time.monotonic()
        assert node.stop() == 0
        took = time.monotonic() - began
        assert took < 1.5, f"{took:.2f} s"
        assert next(told)["result"]["resultType"] == "complete" and next(told, None) is None
        stream.close()
        own.close()
        kept.close()
        assert "node.deadline" not in node.log(), node.log()
    finally:
        node.stop()


def main():
    node = plexus.Node({})
    try:
        over_http(node.port)
        over_lines(node)
        too_large(node.port)
    finally:
        node.stop()
    gone = subprocess.run([plexus.PLEXUS, "--data", str(node.data), "mcp"], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=20)
    assert gone.returncode == 69 and "no node is running" in gone.stderr, gone
    keys()
    leaver()
    end_of_node()


main()
