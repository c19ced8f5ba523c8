# pi_test.py: the real coding agent pi (npm @mariozechner/pi-coding-agent) with examples/pi/plexus.ts on a node: its
# model is one of the node, behind which an engine of the test plans the calls; its tools run in the node's sandbox.
# SPDX-License-Identifier: Apache-2.0
import http.server
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import plexus
from plexus import Node


class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, *_):
        pass  # a kept connection that the node closes


class Planned(http.server.BaseHTTPRequestHandler):
    """An OpenAI engine that answers with one planned call after the other, then with a word."""
    protocol_version = "HTTP/1.1"
    plan, asked = [], []

    def log_message(self, *_):
        pass

    def answer(self, body, kind):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.answer(b'{"object":"list","data":[{"id":"planned","object":"model"}]}', "application/json")

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.asked.append(request)
        step = sum(message["role"] == "tool" for message in request["messages"])
        if step < len(self.plan):
            name, words = self.plan[step]
            call = {"index": 0, "id": f"call_{step}", "type": "function",
                    "function": {"name": name, "arguments": json.dumps(words)}}
            delta, why = {"role": "assistant", "content": None, "tool_calls": [call]}, "tool_calls"
        else:
            delta, why = {"role": "assistant", "content": "all done"}, "stop"
        frame = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "planned"}
        frames = [dict(frame, choices=[{"index": 0, "delta": delta, "finish_reason": None}]),
                  dict(frame, choices=[{"index": 0, "delta": {}, "finish_reason": why}],
                       usage={"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2})]
        body = "".join(f"data: {json.dumps(f)}\n\n" for f in frames) + "data: [DONE]\n\n"
        self.answer(body.encode(), "text/event-stream")


def test_pi_works_in_the_sandbox():
    program, modules = plexus.test_env("NODE"), plexus.test_env("TEST_NODE_PATH")
    pi = pathlib.Path(os.environ.get("PI_MODULES") or modules or "") / "@mariozechner/pi-coding-agent/dist/cli.js"
    if not program or not pi.exists():
        plexus.skip("the coding agent pi is not installed (tools/setup test)")
    home = pathlib.Path(tempfile.mkdtemp(prefix="plexus-pi-")).resolve()
    work = home / "project"
    work.mkdir()
    (home / "secret").write_text("outside")
    (work / "notes.txt").write_text("one\ntwo\nthree\n")
    Planned.plan = [
        ("ls", {}),
        ("read", {"path": "notes.txt", "offset": 2, "limit": 1}),
        ("write", {"path": "src/made.txt", "content": "hello\nworld\n"}),
        ("edit", {"path": "src/made.txt", "edits": [{"oldText": "world", "newText": "plexus"}]}),
        ("edit", {"path": "src/made.txt", "edits": [{"oldText": "nowhere", "newText": "x"}]}),
        ("grep", {"pattern": "plex.s"}),
        ("find", {"pattern": "*.txt"}),
        ("bash", {"command": "cat src/made.txt; echo $0 >&2; cat /proc/1/comm; ls /tmp"}),
        ("bash", {"command": f"cat {home}/secret", "timeout": 5}),
        ("read", {"path": "../secret"}),
        ("bash", {"command": "sleep 60", "timeout": 0.3}),
    ]
    Planned.asked = []
    engine = Server(("127.0.0.1", 0), Planned)
    threading.Thread(target=engine.serve_forever, daemon=True).start()
    config = {"models": {"planned": {"engine": "remote", "url": f"http://127.0.0.1:{engine.server_port}/v1", "kind": "chat"}},
              "tools": {"folders": [{"path": str(work), "write": True}], "allow": ["write_file", "edit_file", "bash"]},
              "listen": {"api": "127.0.0.1:0", "keys": "required"}}
    try:
        with Node(config) as node:
            key = node.new_key("pi")["key"]
            got = subprocess.run(
                [program, str(pi), "-p", "--mode", "json", "--no-session", "--offline", "-nc", "-ns", "-np", "-ne",
                 "-e", str(plexus.ROOT / "examples/pi/plexus.ts"), "--tools", "read,write,edit,bash,grep,find,ls",
                 "--provider", "plexus", "--model", "planned", "work on it"],
                cwd=work, capture_output=True, text=True, timeout=100, stdin=subprocess.DEVNULL,
                env=dict(os.environ, HOME=str(home), PI_OFFLINE="1", PLEXUS_KEY=key, PLEXUS_URL=f"http://127.0.0.1:{node.port}"))
            assert got.returncode == 0, (got.stdout[-2000:], got.stderr[-2000:])
            events = [json.loads(line) for line in got.stdout.splitlines() if line.startswith("{")]
            ends = [e for e in events if e["type"] == "tool_execution_end"]
            said = [("".join(b.get("text", "") for b in e["result"]["content"]), e["isError"]) for e in ends]
            assert len(said) == len(Planned.plan), (len(said), got.stdout[-3000:])
            for text, failed, want, bad in (
                    (*said[0], "notes.txt  14", False), (*said[1], "two\n", False), (*said[2], "Created", False),
                    (*said[3], "1 place", False), (*said[4], "not in the file", True), (*said[5], "src/made.txt:2: plexus", False),
                    (*said[6], "notes.txt\nsrc/made.txt", False), (*said[7], "hello\nplexus\n", False),
                    (*said[8], "No such file or directory", True), (*said[9], "outside of the granted folders", True),
                    (*said[10], "time limit", True)):
                assert want in text and failed == bad, (want, text, failed)
            assert (work / "src/made.txt").read_text() == "hello\nplexus\n"
            assert "all done" in got.stdout and len(Planned.asked) == len(Planned.plan) + 1
            calls = node.owner("GET", "/api/tools/calls").json["calls"]
            assert len(calls) == len(Planned.plan) and all(c["who"] == "key pi" for c in calls), calls
    finally:
        engine.shutdown()
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    plexus.need_whole_sandbox()
    plexus.main(globals())
