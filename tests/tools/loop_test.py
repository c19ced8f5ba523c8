#!/usr/bin/env python3
# loop_test.py: models that call tools: chat requests with plexus_tools on a node with real tools.
# SPDX-License-Identifier: Apache-2.0
import atexit
import http.server
import json
import os
import pathlib
import pty
import select
import shutil
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import plexus  # noqa: E402
from plexus import Node, scripted, wait_until  # noqa: E402

FOLDER = pathlib.Path(tempfile.mkdtemp(prefix="plexus-loop-"))
atexit.register(shutil.rmtree, FOLDER, True)
NAMES = {"role": "user", "content": "hi"}


def make():
    (FOLDER / "a.txt").write_text("hello from a file\n")
    (FOLDER / "large.txt").write_text("start " + "x" * 200000 + " end\n")
    models = {name: {"engine": "command", "command": scripted(name=name), "health": "/health", "kind": "chat"}
              for name in ("m", "other")}
    models["tiny-chat"] = {"engine": "llama.cpp", "program": plexus.LLAMA, "file": plexus.TINY, "kind": "chat",
                           "context": 1024, "slots": 1, "threads": 1}
    models["odd"] = {"engine": "remote", "url": f"http://127.0.0.1:{odd_engine()}/v1", "tier": "node"}
    return Node({"models": models, "listen": {"api": "127.0.0.1:0"},
                 "tools": {"folders": [{"path": str(FOLDER), "write": True}], "allow": ["bash"], "sandbox": "best"}},
                log_level="warn")


class Odd(http.server.BaseHTTPRequestHandler):
    """An engine that answers with the chunks that the request names: {"metadata":{"turns": json}}."""
    protocol_version = "HTTP/1.1"
    asked = []

    def log_message(self, *words):
        pass

    def do_GET(self):
        self.answer(200, "application/json", b'{"data":[]}')

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        Odd.asked.append(body)
        turns = json.loads(body["metadata"]["turns"])
        turn = turns[min(sum(m["role"] == "assistant" for m in body["messages"]), len(turns) - 1)]
        if isinstance(turn, int):
            self.answer(turn, "application/json", b'{"error":{"message":"odd says no"}}')
        elif isinstance(turn, dict):
            self.answer(200, "application/json", json.dumps(turn).encode())
        else:
            self.answer(200, "text/event-stream", "".join(f"data: {json.dumps(c)}\n\n" for c in turn).encode())

    def answer(self, status, kind, data):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def odd_engine():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Odd)
    server.handle_error = lambda *args: None  # a client that left
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_port


node = plexus.shared(make)


def script(tool=None, args=None, **words):
    text = "!script " + " ".join(f"{k}={v}" for k, v in words.items())
    if tool:
        text += f" tool={tool}"
    if args is not None:
        text += " args=" + (args if isinstance(args, str) else json.dumps(args, separators=(",", ":")))
    return text


def path(name):
    return str(FOLDER / name)


def ask(text, ours, model="m", **more):
    answer = node().chat(model, text, plexus_tools=ours, **more)
    assert answer.status == 200, answer
    return answer.json


def sent(model="m"):
    """What the engine got last."""
    return json.loads(plexus.engine_last(plexus.engine_port(node(), model))[1])


def events(text, ours, model="m", headers=None, **more):
    with node().stream(model, text, plexus_tools=ours, headers=headers, **more) as answer:
        assert answer.status == 200, answer.read()
        data = answer.read().decode()
    assert data.endswith("data: [DONE]\n\n"), data[-300:]
    return [json.loads(e[6:]) for e in data.split("\n\n") if e.startswith("data: {")]


def chunk(delta, finish=None, **more):
    return {"id": "o", "object": "chat.completion.chunk", "created": 1, "model": "odd",
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more}


def calls(*some):
    return [chunk({"role": "assistant", "content": None}),
            *(chunk({"tool_calls": [{"index": i, "id": f"c{i}", "type": "function",
                                     "function": {"name": name, "arguments": args}}]}) for i, (name, args) in enumerate(some)),
            chunk({}, "tool_calls")]


WORDS = [chunk({"role": "assistant", "content": "done"}), chunk({}, "stop")]


def odd(turns, ours, **more):
    return events("x", ours, model="odd", metadata={"turns": json.dumps(turns)}, **more)


def test_answer():
    j = ask(script("read_file", {"path": path("a.txt")}), ["read_file"])
    assert j["choices"][0]["finish_reason"] == "stop" and j["choices"][0]["message"]["content"].startswith("The quick")
    p = j["plexus"]
    assert p["stop"] == "answer" and p["steps"] == 2 and "messages" not in p, p
    assert p["calls"][0]["tool"] == "read_file" and p["calls"][0]["status"] == "ok", p
    assert j["usage"] == {"prompt_tokens": 84, "completion_tokens": 256, "total_tokens": 340}, j["usage"]
    got = sent()
    assert [m["role"] for m in got["messages"]] == ["user", "assistant", "tool"], got["messages"]
    assert "hello from a file" in got["messages"][2]["content"] and got["messages"][2]["tool_call_id"] == "call_scripted"
    assert not [k for k in got if k.startswith("plexus")], got.keys()
    assert [t["function"]["name"] for t in got["tools"]] == ["read_file"]
    record = node().get("/api/tools/calls?limit=1").json["calls"][0]
    assert record["tool"] == "read_file" and record["who"] == "owner" and record["status"] == "ok", record


def test_stream():
    got = events(script("read_file", {"path": path("a.txt")}, frames=3), ["read_file"], stream_options={"include_usage": True})
    kinds = [e["plexus"]["type"] for e in got if "plexus" in e]
    assert kinds == ["call", "result", "end"], kinds
    assert {e["id"] for e in got} == {"chatcmpl-scripted"} and all(e["object"] == "chat.completion.chunk" for e in got)
    # A client that knows nothing of it sees one answer in words, its end and its tokens.
    assert not any("tool_calls" in c["delta"] for e in got for c in e["choices"])
    assert [c["finish_reason"] for e in got for c in e["choices"] if c["finish_reason"]] == ["stop"]
    assert "".join(c["delta"].get("content") or "" for e in got for c in e["choices"]) == "0 xxxxxx1 xxxxxx2 xxxxxx"
    assert got[-1]["choices"] == [] and got[-1]["usage"]["total_tokens"] == 18 + 4 + 3, got[-1]
    # Without include_usage nobody hears of tokens but in the node's own event.
    assert not any("usage" in e for e in events(script(frames=1), []))
    # What the model says passes byte for byte.
    with node().stream("m", script(frames=5)) as plain, node().stream("m", script(frames=5), plexus_tools=[]) as looped:
        a, b = plain.read().split(b"\n\n"), looped.read().split(b"\n\n")
    assert [x for x in b if b'"plexus"' not in x] == a, (a, b)


def test_refused_by_default():
    j = ask(script("write_file", {"path": path("no.txt"), "content": "x"}), ["write_file"])
    call = j["plexus"]["calls"][0]
    assert call["status"] == "denied" and "plexus tool grant write_file" in call["content"], call
    assert "nobody granted" in sent()["messages"][-1]["content"] and not (FOLDER / "no.txt").exists()
    # A pattern does not even tell the model of it.
    ask(script(), ["*_file"])
    assert [t["function"]["name"] for t in sent()["tools"]] == ["read_file"]


def test_confirm():
    text = script("write_file", {"path": path("yes.txt"), "content": "x"})
    j = ask(text, ["write_file"], plexus_confirm=True)
    p = j["plexus"]
    assert p["stop"] == "confirm" and j["choices"][0]["finish_reason"] == "tool_calls", j
    assert "tool_calls" not in j["choices"][0]["message"]
    asked = p["pending"][0]
    assert asked["tool"] == "write_file" and asked["arguments"]["path"] == path("yes.txt") and "writes" in asked["effects"], asked
    messages = [{"role": "user", "content": text}, *p["messages"]]

    def again(word):
        return node().post("/v1/chat/completions", {"model": "m", "messages": messages, "plexus_tools": ["write_file"],
                                                    "plexus_confirm": {asked["id"]: word}}).json
    no = again(False)
    assert no["plexus"]["calls"][0]["status"] == "denied" and not (FOLDER / "yes.txt").exists(), no
    assert "the person refused" in sent()["messages"][-1]["content"]
    yes = again(True)
    assert yes["plexus"]["calls"][0]["status"] == "ok" and (FOLDER / "yes.txt").read_text() == "x", yes
    assert [m["role"] for m in yes["plexus"]["messages"]] == ["tool", "assistant"]
    assert node().get("/api/tools/calls?limit=1").json["calls"][0]["confirmed"]
    # As events: the end says what is asked.
    end = [e["plexus"] for e in events(text, ["write_file"], plexus_confirm=True) if "plexus" in e][-1]
    assert end["type"] == "end" and end["stop"] == "confirm" and end["pending"][0]["tool"] == "write_file", end


def test_keys():
    """What comes of a request may do what its key may, no more."""
    n = node()
    plain = n.new_key("plain", scopes=["models"], models=["m"])["key"]
    head = {"Authorization": f"Bearer {plain}"}
    text = script("read_file", {"path": path("a.txt")})
    assert n.chat("m", text, plexus_tools=["read_file"], headers=head).status == 200
    assert n.get("/api/tools/calls?limit=1").json["calls"][0]["who"] == "key plain"
    assert n.chat("other", text, plexus_tools=["read_file"], headers=head).status == 403
    answer = n.chat("m", text, plexus_tools=["write_file"], plexus_confirm={"x": True}, headers=head)
    assert answer.status == 403 and "scope admin" in answer.json["error"]["message"], answer
    # Whoever may not say yes is not asked.
    answer = n.chat("m", script("write_file", {"path": path("k.txt"), "content": ""}), plexus_tools=["write_file"],
                    plexus_confirm=True, headers=head)
    assert answer.json["plexus"]["calls"][0]["status"] == "denied", answer
    used = next(k for k in n.owner("GET", "/api/keys").json["keys"] if k["name"] == "plain")
    assert used["tokens"] > 340, used
    line = wait_until("its lines", lambda: next((x for x in n.access_lines() if x.get("key") == "plain"), None))
    assert line["id"].rsplit("-", 1)[1].isdigit() and line["peer"] == "unix", line
    # The header is for the node itself: at another door it says nothing.
    assert n.chat("other", "x", headers={"X-Plexus-As": "000000000000"}).status == 200
    assert n.owner("POST", "/v1/chat/completions", {"model": "m", "messages": [NAMES]},
                   {"X-Plexus-As": "000000000000"}).status == 401


def test_bad_requests():
    for body, param, word in (({"plexus_tools": ["nope"]}, "plexus_tools", "there is no tool"),
                              ({"plexus_tools": "read_file"}, "plexus_tools", "expected"),
                              ({"plexus_tools": [7]}, "plexus_tools[0]", "expected"),
                              ({"plexus_tools": True, "n": 2}, "n", "one answer"),
                              ({"plexus_tools": True, "plexus_limits": {"steps": 0}}, "plexus_limits.steps", ""),
                              ({"plexus_tools": True, "plexus_limits": {"stepps": 1}}, "plexus_limits", "stepps")):
        answer = node().chat("m", "x", **body)
        error = answer.json["error"]
        assert answer.status == 400 and word in error["message"] and error["param"].startswith(param.split("[")[0]), answer
        assert answer.headers["X-Request-Id"]
    answer = node().chat("absent", "x", plexus_tools=["read_file"])
    assert answer.status == 404 and "there is no model" in answer.json["error"]["message"], answer
    with node().stream("absent", "x", plexus_tools=["read_file"]) as answer:
        assert answer.status == 404
    assert node().chat("m", script(status=503), plexus_tools=[]).status == 503


def test_wrong_calls():
    for tool, args, word in (("read_file", "{", "must be a JSON object"), ("read_file", "[1]", "must be a JSON object"),
                             ("read_file", {"path": 7}, "at /path"), ("nobody", "{}", "no tool of this name"),
                             ("read_file", {"path": path("absent")}, "")):
        j = ask(script(tool, args), ["read_file"])
        call = j["plexus"]["calls"][0]
        assert call["status"] == "error" and word in call["content"], call
        assert j["plexus"]["stop"] == "answer" and sent()["messages"][-1]["content"].startswith("error:"), j
    # What is too long for the model is cut in its middle.
    j = ask(script("bash", {"command": f"cat\t{path('large.txt')}"}), ["bash"])
    told = sent()["messages"][-1]["content"]
    assert 1000 < len(told) <= 66000 and len(j["plexus"]["calls"][0]["content"]) < 5000, len(told)


def test_limits():
    args = {"path": path("a.txt")}
    j = ask(script("read_file", args, rounds=9), ["read_file"], plexus_limits={"steps": 3})
    assert j["plexus"]["stop"] == "answer" and j["plexus"]["steps"] == 3 and sent()["tool_choice"] == "none", j["plexus"]
    # An engine that does not care for tool_choice: the end all the same.
    turns = [calls(("read_file", json.dumps({"path": path("a.txt"), "from_line": i}))) for i in range(1, 9)]
    end = odd(turns, ["read_file"], plexus_limits={"steps": 2})
    assert end[-1]["choices"][0]["finish_reason"] == "length" and end[-2]["plexus"]["stop"] == "steps", end[-2:]
    j = ask(script("read_file", args, rounds=9), ["read_file"], plexus_limits={"tokens": 100})
    assert j["plexus"]["stop"] == "tokens" and j["choices"][0]["finish_reason"] == "length", j
    # The same call again and again.
    j = ask(script("read_file", args, rounds=30), ["read_file"])
    states = [c["status"] for c in j["plexus"]["calls"]]
    assert states[:3] == ["ok", "ok", "repeated"] and j["plexus"]["stop"] == "repeats", (states, j["plexus"]["stop"])
    began = time.monotonic()
    answer = node().chat("m", script("bash", {"command": "sleep\t20"}), plexus_tools=["bash"], plexus_limits={"seconds": 0.4})
    assert answer.status == 504 and time.monotonic() - began < 10, answer
    wait_until("the tool is ended", lambda: node().get("/api/tools/calls?limit=1").json["calls"][0]["status"] == "E_CANCELLED")


def test_parallel():
    args = {"command": "sleep\t0.6"}
    began = time.monotonic()
    turn = calls(*(("bash", json.dumps({"command": f"sleep 0.6; echo {i}"})) for i in range(6)))
    got = [e["plexus"] for e in odd([turn, WORDS], ["bash"]) if "plexus" in e]
    took = time.monotonic() - began
    assert [g["type"] for g in got].count("result") == 6 and 1.1 < took < 3.4, (took, args)  # four at once, then two
    # Results stand in the order of the calls, not of their ends.
    tools = [m for m in Odd.asked[-1]["messages"] if m["role"] == "tool"]
    assert [m["tool_call_id"] for m in tools] == [f"c{i}" for i in range(6)]
    assert all(str(i) in m["content"] for i, m in enumerate(tools)), tools


def test_clients_own():
    own = [{"type": "function", "function": {"name": "mine", "parameters": {"type": "object"}}}]
    turn = calls(("read_file", json.dumps({"path": path("a.txt")})), ("mine", '{"a":1}'))
    got = odd([turn, WORDS], ["read_file"], tools=own)
    pieces = [c["delta"]["tool_calls"][0] for e in got for c in e["choices"] if "tool_calls" in c["delta"]]
    assert pieces == [{"index": 0, "id": "c1", "type": "function", "function": {"name": "mine", "arguments": '{"a":1}'}}], pieces
    assert [c["finish_reason"] for e in got for c in e["choices"] if c["finish_reason"]] == ["tool_calls"]
    end = got[-2]["plexus"] if "plexus" in got[-2] else got[-1]["plexus"]
    assert end["stop"] == "client_tools" and [m["role"] for m in end["messages"]] == ["assistant", "tool"], end
    # Only the client's: as if there were no loop.
    j = ask(script("mine", "{}"), ["read_file"], tools=own)
    call = j["choices"][0]["message"]["tool_calls"]
    assert len(call) == 1 and call[0]["function"]["name"] == "mine" and j["choices"][0]["finish_reason"] == "tool_calls", j
    # Then it goes on with the answer.
    answer = node().post("/v1/chat/completions", {
        "model": "m", "plexus_tools": ["read_file"], "tools": own,
        "messages": [NAMES, j["choices"][0]["message"], {"role": "tool", "tool_call_id": call[0]["id"], "content": "7"}]})
    assert answer.json["plexus"]["stop"] == "answer", answer


def test_odd_engines():
    whole = {"id": "w", "object": "chat.completion", "created": 1, "model": "odd", "choices": [{
        "index": 0, "finish_reason": "tool_calls", "message": {"role": "assistant", "content": None, "tool_calls": [
            {"id": "", "type": "function", "function": {"name": "read_file", "arguments": {"path": path("a.txt")}}}]}}]}
    got = odd([whole, WORDS], ["read_file"])  # it does not stream where there are tools
    assert [e["plexus"]["status"] for e in got if e.get("plexus", {}).get("type") == "result"] == ["ok"], got
    assert {e["id"] for e in got} == {"w"}
    # An error after the first answer: an event, since the stream began.
    with node().stream("odd", "x", plexus_tools=["read_file"],
                       metadata={"turns": json.dumps([calls(("read_file", json.dumps({"path": path("a.txt")}))), 500])}) as answer:
        data = answer.read().decode()
    assert "odd says no" in data and '"error"' in data and "[DONE]" not in data, data
    answer = node().chat("odd", "x", plexus_tools=["read_file"], metadata={"turns": "[500]"})
    assert answer.status == 500 and "odd says no" in answer.json["error"]["message"], answer
    answer = node().chat("odd", "x", plexus_tools=["read_file"], metadata={"turns": '[{"choices":[]}]'})
    assert answer.status == 502, answer


def test_llama():
    """The real engine, with a model too small for calls: its words pass as ever."""
    plain = node().chat("tiny-chat", "hello", seed=1, temperature=0, max_tokens=20).json["choices"][0]["message"]["content"]
    got = events("hello", ["read_file"], model="tiny-chat", seed=1, temperature=0, max_tokens=20)
    assert "".join(c["delta"].get("content") or "" for e in got for c in e["choices"]) == plain and plain, got
    assert [e["plexus"]["stop"] for e in got if "plexus" in e] == ["answer"], got


def test_client_leaves():
    n = node()
    connection = n.connection()
    connection.request("POST", "/v1/chat/completions", json.dumps({
        "model": "m", "stream": True, "plexus_tools": ["bash"],
        "messages": [{"role": "user", "content": script("bash", {"command": f"sleep\t30;touch\t{path('late')}"})}]}))
    answer = connection.getresponse()
    while b'"call"' not in answer.readline():
        pass
    before = n.get("/api/tools/calls?limit=1").json["calls"][0]["id"]
    answer.close()
    connection.close()
    last = wait_until("the call has ended", lambda: next(
        (c for c in n.get("/api/tools/calls?limit=3").json["calls"] if c["id"] > before and c["tool"] == "bash"), None))
    assert last["status"] == "E_CANCELLED", last
    wait_until("no sleep", lambda: not any(b"sleep\x0030" in plexus.cmdline(p) for p in plexus.descendants(n.process.pid)))


def test_flow():
    """call: tool in a flow: granted ones only."""
    def run(with_):
        flow = {"document": {"dsl": "1.0.1", "namespace": "t", "name": "tool", "version": "0.1.0"},
                "do": [{"a": {"call": "tool", "with": with_}}]}
        return node().post("/api/flows", {"document": json.dumps(flow), "wait": "20s"}).json
    got = run({"name": "read_file", "arguments": {"path": path("a.txt")}, "output": "text"})
    assert got["status"] == "completed" and "hello from a file" in got["output"], got
    got = run({"name": "read_file", "arguments": {"path": path("a.txt")}})
    assert got["output"]["size"] == 18, got
    got = run({"name": "write_file", "arguments": {"path": path("f.txt"), "content": ""}})
    assert got["status"] == "faulted" and got["error"]["status"] == 403 and not (FOLDER / "f.txt").exists(), got
    got = run({"name": "absent"})
    assert got["error"]["status"] == 404, got
    record = node().get("/api/tools/calls?limit=10").json["calls"]
    assert any(c["who"].startswith("flow ") for c in record), record


def test_agent_in_a_flow():
    """call: agent: a model that calls tools, as one task."""
    def run(**with_):
        flow = {"document": {"dsl": "1.0.1", "namespace": "t", "name": "agent", "version": "0.1.0"},
                "do": [{"a": {"call": "agent", "with": {"model": "m", **with_}}}]}
        return node().post("/api/flows", {"document": json.dumps(flow), "wait": "20s"}).json
    got = run(prompt=script("read_file", {"path": path("a.txt")}, frames=2), tools=["read_file"])
    assert got["status"] == "completed", got
    out = got["output"]
    assert [(c["tool"], c["status"]) for c in out["calls"]] == [("read_file", "ok")] and out["stop"] == "answer", out
    assert "hello from a file" in out["calls"][0]["content"] and out["steps"] == 2 and out["content"], out
    got = run(prompt=script("write_file", {"path": path("f.txt"), "content": ""}, frames=2), tools="write_file")
    assert got["output"]["calls"][0]["status"] == "denied" and not (FOLDER / "f.txt").exists(), got
    got = run(prompt=script("read_file", {"path": path("a.txt")}, frames=2, rounds=9), max_steps=2)
    assert got.get("output", {}).get("stop") in ("steps", "answer") and got["output"]["steps"] == 2, got
    got = run(prompt="hi", tools=["no_such_tool"])
    assert got["status"] == "faulted" and got["error"]["status"] == 400, got


def test_many_at_once():
    text = script("read_file", {"path": path("a.txt")}, frames=2)
    bad = []

    def one():
        got = events(text, ["read_file"])
        if [e["plexus"]["type"] for e in got if "plexus" in e] != ["call", "result", "end"]:
            bad.append(got)
    threads = [threading.Thread(target=one) for _ in range(12)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not bad, bad[0]


def test_command():
    """plexus run --tools: each call is shown, its answer is text."""
    n = node()
    text = script("read_file", {"path": path("a.txt")}, frames=2)
    got = n.command("run", "m", text, "--tools")
    assert got.stdout == "0 xxxxxx1 xxxxxx\n", got.stdout
    assert "  > read_file {\"path\":" in got.stderr and "  < hello from a file" in got.stderr, got.stderr
    got = json.loads(n.command("run", "m", text, "--tools=read_*,grep_*", "--json").stdout)
    assert got["calls"][0]["tool"] == "read_file" and got["calls"][0]["status"] == "ok" and got["content"], got
    assert n.command("run", "m", "x", "--tools=nope", check=False).returncode != 0
    # Nobody is there to be asked: it is refused.
    got = n.command("run", "m", script("write_file", {"path": path("c.txt"), "content": ""}, frames=1), "--tools=write_file")
    assert "denied: error: nobody granted" in got.stderr and not (FOLDER / "c.txt").exists(), got.stderr
    assert "--tools" not in n.command("run", "m", "x").stderr


def on_terminal(words, answers):
    """Runs the command on a terminal of its own; answers: (what to wait for, what to type)."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(plexus.PLEXUS, [plexus.PLEXUS, *words, "--data", str(node().data)])
    seen = b""
    for mark, reply in [*answers, (None, None)]:
        start = len(seen)
        while mark is None or mark.encode() not in seen[start:]:
            ready = select.select([terminal], [], [], 20)[0]
            assert ready, seen
            try:
                part = os.read(terminal, 65536)
            except OSError:
                part = b""
            if not part:
                break
            seen += part
        if reply is not None:
            os.write(terminal, reply.encode())
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    os.close(terminal)
    return code, seen.decode(errors="replace")


def test_terminal():
    """A person is asked about what nobody granted: yes, no, always."""
    def words(name, **more):
        return script("write_file", {"path": path(name), "content": "x"}, frames=1, **more)
    code, seen = on_terminal(["run", "m", words("no.txt"), "--tools=write_file"], [("N(o): ", "\r")])
    assert code == 0 and "? write_file" in seen and "writes" in seen and "the person refused" in seen, seen
    assert not (FOLDER / "no.txt").exists()
    code, seen = on_terminal(["run", "m", words("y.txt"), "--tools=write_file"], [("N(o): ", "y\r")])
    assert code == 0 and (FOLDER / "y.txt").exists() and "0 xxxxxx" in seen, seen
    # In a chat: always holds for the rest of it.
    code, seen = on_terminal(["run", "m", "--tools=write_file"], [
        ("> ", words("a1.txt", rounds=2) + "\r"), ("N(o): ", "a\r"), ("0 xxxxxx", None), ("> ", "/bye\r")])
    assert code == 0 and seen.count("N(o): ") < 12 and (FOLDER / "a1.txt").exists(), seen
    assert seen.count("< ") >= 2, seen


def test_labels():
    """Labels go with each step; what a tool may not tell the caller, the model does not hear."""
    models = {name: {"engine": "command", "command": scripted(name=name), "kind": "chat"} for name in ("m", "other")}
    with Node({"models": models, "labels": {"default": "internal"}}, log_level="warn") as n:
        low = {"Authorization": "Bearer " + n.new_key("low", scopes=["models"], clearance="public", label="public")["key"]}
        text = script("model__other", {"prompt": "x"})
        good = n.chat("m", text, plexus_tools=["model__other"])
        assert good.json["plexus"]["calls"][0]["status"] == "ok" and good.headers["X-Plexus-Label"] == "internal", good
        with n.stream("m", text, plexus_tools=["model__other"], headers={"X-Plexus-Label": "confidential"}) as answer:
            assert answer.headers["X-Plexus-Label"] == "confidential" and b"[DONE]" in answer.read()
        call = n.chat("m", text, plexus_tools=["model__other"], headers=low).json["plexus"]["calls"][0]
        assert call["status"] == "denied" and "may not read" in call["content"], call


def test_a_key_for_some_models():
    """What a key may not ask, it may not ask through a tool: by the loop, the API, /mcp. A tool's label is its model's."""
    models = {name: {"engine": "command", "command": scripted(name=name), "kind": "chat"} for name in ("m", "other", "high")}
    models["high"]["label"] = "confidential:hr"
    with Node({"models": models, "listen": {"api": "127.0.0.1:0"}}, log_level="warn") as n:
        one = {"Authorization": "Bearer " + n.new_key("one", scopes=["models"], models=["m"], clearance="internal")["key"]}
        every = {"Authorization": "Bearer " + n.new_key("every", scopes=["models"])["key"]}

        def ask(name, headers):
            return n.post(f"/api/tools/{name}/call", {"input": {"prompt": "x"}}, headers=headers)

        assert ask("model__m", one).status == 200 and ask("model__other", every).status == 200
        assert ask("model__other", one).status == 403, ask("model__other", one)
        assert ask("model__high", every).status == 200 and ask("model__high", one).json["error"]["code"] == "security"
        call = n.chat("m", script("model__other", {"prompt": "x"}), plexus_tools=["model__other"], headers=one).json["plexus"]["calls"][0]
        assert call["status"] != "ok" and "other" in call["content"], call
        modern = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream", "MCP-Protocol-Version": "2026-07-28", "Mcp-Method": "tools/call",
                  "Mcp-Name": "model__other"}
        meta = {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientInfo": {"name": "t", "version": "1"},
                "io.modelcontextprotocol/clientCapabilities": {}}
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call",
                "params": {"name": "model__other", "arguments": {"prompt": "x"}, "_meta": meta}}
        text = n.post("/mcp", body, headers={**modern, **one}).body.decode()
        assert "other" in text and ('"isError":true' in text or '"error"' in text), text
        text = n.post("/mcp", body, headers={**modern, **every}).body.decode()
        assert '"isError":true' not in text and '"error"' not in text, text


def test_ends():
    """The node ends while a loop waits for a tool: the client hears it, nothing stays."""
    with make() as n:
        n.config["stop"] = {}
        connection = n.connection()
        connection.request("POST", "/v1/chat/completions", json.dumps({
            "model": "m", "stream": True, "plexus_tools": ["bash"],
            "messages": [{"role": "user", "content": script("bash", {"command": "sleep\t25"})}]}))
        answer = connection.getresponse()
        while b'"call"' not in answer.readline():
            pass
        n.process.send_signal(15)
        time.sleep(0.05)
        n.process.send_signal(15)  # no more patience
        assert n.process.wait(20) == 0
        connection.close()


if __name__ == "__main__":
    plexus.main(globals())
