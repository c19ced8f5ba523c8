#!/usr/bin/env python3
# client_test.py: the node's MCP client with real MCP servers, and the client scenarios of
# @modelcontextprotocol/conformance that count for both revisions.
# SPDX-License-Identifier: Apache-2.0
import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import mcp
import mcp_rig
import plexus

NODE = plexus.test_env("NODE")
SUITE = mcp.package("@modelcontextprotocol/conformance")
EVERYTHING = mcp.package("@modelcontextprotocol/server-everything")
FILES = mcp.package("@modelcontextprotocol/server-filesystem")
if not (NODE and SUITE and EVERYTHING and FILES):
    raise SystemExit("tools/setup test has not installed the MCP packages")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


# ---- real servers ------------------------------------------------------------------------------


def everything(c, name):
    """What server-everything has, the same over each transport."""
    tools = c.tools()
    assert f"{name}__echo" in tools and f"{name}__get-sum" in tools, sorted(tools)
    assert c.text(f"{name}__echo", {"message": "h\u00e9llo"}) == "Echo: h\u00e9llo"
    assert "7" in c.text(f"{name}__get-sum", {"a": 3, "b": 4})
    assert "do not fit" in c.fails("E_INVALID", f"{name}__get-sum", {"a": "x", "b": 4})
    line = c.call(f"{name}__get-structured-content", {"location": "Chicago"})
    assert line["result"]["structuredContent"]["temperature"], line
    number = c.start(f"{name}__trigger-long-running-operation", {"duration": 1, "steps": 4},
                     progress=True)
    assert c.done(number)["status"] == ""
    seen = [x["done"] for x in c.kept if x.get("progress") == number]
    assert seen == sorted(seen) and len(seen) >= 3, seen
    answer = c.text(f"{name}__trigger-sampling-request", {"prompt": "hi", "maxTokens": 5})
    assert "from a model" in answer, answer
    line = c.call(f"{name}__trigger-elicitation-request")
    assert line["status"] == "" and "declined" in json.dumps(line["result"]), line
    prompts = [p["name"] for p in c.ask("items", kind=0)]
    assert f"{name}__simple-prompt" in prompts, prompts
    line = c.done(c.start(f"{name}__args-prompt", {"city": "Oslo", "state": ""}, op="prompt"))
    assert "Oslo" in json.dumps(line["result"]["messages"]), line
    resources = [r["name"] for r in c.ask("items", kind=1)]
    line = c.done(c.start(resources[0], op="read"))
    assert line["result"]["contents"][0]["uri"] == resources[0], line
    number = c.start(f"{name}__trigger-long-running-operation", {"duration": 30, "steps": 5})
    c.send(op="cancel", id=number)
    assert c.done(number)["status"] == "E_CANCELLED"
    c.text(f"{name}__echo", {"message": "still there"})
    row = c.status(name)
    assert row["state"] == "ready" and row["revision"] == "2025-11-25" and row["falls"] == 0, row


SAMPLE = {"role": "assistant", "model": "small", "content": {"type": "text",
                                                             "text": "from a model"}}


def test_stdio():
    server = {"name": "every", "argv": [NODE, str(EVERYTHING / "dist/index.js"), "stdio"],
              "grants": ["*"], "sampling": True, "elicitation": True}
    with mcp.Client(server, sample=SAMPLE) as c:
        c.event("ready")
        everything(c, "every")


def test_http():
    port = free_port()
    log = tempfile.TemporaryFile()
    child = subprocess.Popen([NODE, str(EVERYTHING / "dist/index.js"), "streamableHttp"],
                             env={**os.environ, "PORT": str(port)}, stdout=log, stderr=log)
    try:
        plexus.wait_until("it listens", lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0)
        server = {"name": "every", "url": f"http://127.0.0.1:{port}/mcp", "grants": ["*"],
                  "sampling": True, "elicitation": True}
        with mcp.Client(server, sample=SAMPLE) as c:
            c.event("ready")
            everything(c, "every")
    finally:
        child.kill()
        child.wait()


def test_files():
    with tempfile.TemporaryDirectory() as folder:
        folder = os.path.realpath(folder)
        pathlib.Path(folder, "a.txt").write_text("one\ntwo\n")
        server = {"name": "files", "argv": [NODE, str(FILES / "dist/index.js"), folder],
                  "grants": ["read_*", "list_*"]}
        with mcp.Client(server) as c:
            c.event("ready")
            assert "two" in c.text("files__read_text_file", {"path": f"{folder}/a.txt"})
            line = c.call("files__read_text_file", {"path": "/etc/passwd"})
            assert line["result"]["isError"], line
            c.fails("E_FORBIDDEN", "files__write_file", {"path": f"{folder}/b", "content": "x"})
            line = c.call("files__write_file", {"path": f"{folder}/b", "content": "x"},
                          confirmed=True)
            assert line["status"] == "" and pathlib.Path(folder, "b").read_text() == "x", line


def test_own():
    """The node's own /mcp: the way from a weak node to a strong one, and over an address."""
    for revision in ("2025-11-25", "2026-07-28", None):
        with mcp_rig.server() as port:
            far = {"name": "strong", "mesh": port, "grants": ["*"], "prefix": "", "sampling": True,
                   "elicitation": True, "clearance": "internal"}
            near = {"name": "near", "url": f"http://127.0.0.1:{port}/mcp", "grants": ["*"]}
            if revision:
                far["revision"] = near["revision"] = revision
            with mcp.Client(far, near, sample=SAMPLE,
                            elicit={"action": "accept", "content": {"username": "me"}}) as c:
                c.settle()
                assert c.status("strong")["revision"] == (revision or "2026-07-28")
                assert c.tools()["echo"]["source"] == "mesh:strong"  # as if it were here
                assert json.loads(c.text("echo", {"a": [1]}, label="internal"))["a"] == [1]
                c.fails("E_SECURITY", "echo", {"a": 1}, label="restricted")
                assert json.loads(c.text("near__echo", {"b": 2}))["b"] == 2
                line = c.done(c.start("test_simple_prompt", op="prompt"))
                assert line["result"]["messages"], line
                rows = [r for r in c.ask("items", kind=1) if r["server"] == "strong"]
                line = c.done(c.start(rows[0]["name"], op="read", server="strong"))
                assert line["result"]["contents"], line
                number = c.start("test_tool_with_progress", progress=True)
                assert c.done(number)["status"] == ""
                assert [x for x in c.kept if x.get("progress") == number]
                assert "from a model" in c.text("test_sampling", {"prompt": "hi"})
                c.text("test_trigger_tool_change")  # told on a stream of its own
                c.event("list", "strong")
                c.event("list", "near")


# ---- the suite ---------------------------------------------------------------------------------


# Each revision's scenarios that count, by the suite's own list, in one run.
COUNTS = {"2025-11-25": 18, "2026-07-28": 32}


def test_conformance():
    env = {**os.environ, "PATH": f"{os.path.dirname(NODE)}:{os.environ['PATH']}"}
    for revision, scored in COUNTS.items():
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run(
                [NODE, str(SUITE / "dist/index.js"), "client", "--command", mcp.PROGRAM,
                 "--requirements", revision, "--timeout", "20000"],
                env=env, cwd=folder, capture_output=True, text=True, timeout=100)
        said = done.stdout + done.stderr
        summary = said[said.find("SUITE SUMMARY"):]
        extra = set(re.findall(r"\u2717 (\S+) \(", summary))  # extensions, and what came later
        bad = set(re.findall(r"\u2717 (\S+):", summary)) - extra
        good = set(re.findall(r"\u2713 (\S+):", summary)) - extra
        print(f"{revision}: {len(good)} scenarios good, bad {sorted(bad)}, not scored and bad "
              f"{sorted(extra)}")
        assert done.returncode == 0 and not bad, said[-6000:]
        assert len(good) >= scored, (len(good), said[-3000:])
        assert "json-schema-2020-12-preservation" in good, said[-3000:]


for name, case in list(globals().items()):
    if name.startswith("test_") and (len(sys.argv) < 2 or sys.argv[1] in name):
        began = time.monotonic()
        case()
        print(f"{name} {time.monotonic() - began:.1f} s", flush=True)
