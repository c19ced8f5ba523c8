#!/usr/bin/env python3
# gate_test.py: the model API's edge: bodies and schemas, paths, headers in and out, limits, metrics
# and the access log.
# SPDX-License-Identifier: Apache-2.0
import json
import math
import pathlib
import re
import subprocess
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import plexus  # noqa: E402
from plexus import Node, scripted  # noqa: E402

CHAT = "/v1/chat/completions"
ASK = [{"role": "user", "content": "hello"}]


def engine(name, **more):
    return {"engine": "command", "command": scripted(name=name), "health": "/health", **more}


node = plexus.shared(lambda: Node({"log": {"access_flush": "20ms"}, "models": {
    "first": engine("first", aliases=["known-as", "other-name"]),
    "second": engine("second", kind="embedding"),
}}))


def error_of(answer, status, param=None, type_="invalid_request_error"):
    """The error object of an answer, after all of its shape was checked."""
    assert answer.status == status, answer
    assert answer.headers["Content-Type"] == "application/json", answer.headers
    assert set(answer.json) == {"error"}, answer
    error = answer.json["error"]
    assert set(error) == {"message", "type", "param", "code"}, error
    assert error["param"] == param, error
    assert error["type"] == type_, error
    assert isinstance(error["message"], str) and len(error["message"]) > 8, error
    return error


# ---- bodies and schemas ------------------------------------------------------------------------

WRONG = [  # path, body, param, what the message must say
    (CHAT, {"messages": ASK}, "model", "model"),
    (CHAT, {"model": "first"}, "messages", "messages"),
    (CHAT, {"model": 5, "messages": ASK}, "model", "string"),
    (CHAT, {"model": "", "messages": ASK}, "model", "model"),
    (CHAT, {"model": "first", "messages": []}, "messages", "messages"),
    (CHAT, {"model": "first", "messages": "hi"}, "messages", "array"),
    (CHAT, {"model": "first", "messages": [*ASK, 5]}, "messages[1]", "object"),
    (CHAT, {"model": "first", "messages": [*ASK, {"role": "nobody", "content": "x"}]}, "messages[1].role", "user"),
    (CHAT, {"model": "first", "messages": [{"content": "x"}]}, "messages[0].role", "role"),
    (CHAT, {"model": "first", "messages": [{"role": "user", "content": 7}]}, "messages[0].content", "content"),
    (CHAT, {"model": "first", "messages": ASK, "temperature": "warm"}, "temperature", "number"),
    (CHAT, {"model": "first", "messages": ASK, "temperature": 3}, "temperature", "2"),
    (CHAT, {"model": "first", "messages": ASK, "temperature": -0.1}, "temperature", "0"),
    (CHAT, {"model": "first", "messages": ASK, "top_p": 1.5}, "top_p", "1"),
    (CHAT, {"model": "first", "messages": ASK, "n": 1.5}, "n", "integer"),
    (CHAT, {"model": "first", "messages": ASK, "stream": "yes"}, "stream", "boolean"),
    (CHAT, {"model": "first", "messages": ASK, "stop": ["a", 5]}, "stop[1]", "string"),
    (CHAT, {"model": "first", "messages": ASK, "tools": [{"type": "function"}]}, "tools[0].function", "function"),
    (CHAT, {"model": "first", "messages": ASK, "tool_choice": "maybe"}, "tool_choice", "auto"),
    (CHAT, {"model": "first", "messages": ASK, "response_format": {"type": "poem"}}, "response_format.type", "text"),
    ("/v1/completions", {"model": "first", "prompt": [True]}, "prompt[0]", "string"),
    ("/v1/completions", {"model": "first", "prompt": "a", "max_tokens": "ten"}, "max_tokens", "integer"),
    ("/v1/embeddings", {"model": "second"}, "input", "input"),
    ("/v1/embeddings", {"model": "second", "input": 5}, "input", "input"),
    ("/v1/embeddings", {"model": "second", "input": "a", "encoding_format": "hex"}, "encoding_format", "base64"),
    ("/v1/anything/else", {"prompt": "x"}, "model", "model"),
]


def test_schema_errors_name_the_field():
    for path, body, param, word in WRONG:
        error = error_of(node().post(path, body), 400, param)
        assert word in error["message"], (body, error)
        assert error["message"].startswith(param), (body, error)


def test_unknown_fields_and_engines_own_pass():
    answer = node().chat("first", future_field={"deep": [1, {"x": None}]}, top_k=3, min_p=0.1, cache_prompt=False)
    assert answer.status == 200, answer
    body = json.loads(plexus.engine_last(plexus.engine_port(node(), "first"))[1])
    assert body["future_field"] == {"deep": [1, {"x": None}]} and body["top_k"] == 3, body


BROKEN = [  # body, what the message must say
    (b"", "body"),
    (b"{", "JSON"),
    (b"not json", "JSON"),
    (b'{"model":"first","messages":[],}', "JSON"),
    (b'{"model":"first"} x', "JSON"),
    (b'{"model":"fi\xffst","messages":[]}', "JSON"),
    (b'{"model":"\xed\xa0\x80","messages":[]}', "JSON"),
    (b'{"model":"\\ud800","messages":[]}', "JSON"),
    (b'\xef\xbb\xbf{"model":"first"}', "JSON"),
    (b'{"model":"first","x":NaN}', "JSON"),
    (b"[1,2]", "object"),
    (b'"first"', "object"),
    (b"null", "object"),
    (b"7", "object"),
    (b"[" * 20000, "JSON"),
    (b'{"model":"first","x":' + b"[" * 20000 + b"]" * 20000 + b"}", "JSON"),
    (b'{"a":' * 20000 + b"1" + b"}" * 20000, "JSON"),
]


def test_broken_bodies():
    for path in (CHAT, "/v1/audio/other"):
        for body, word in BROKEN:
            error = error_of(node().post(path, body), 400)
            assert word in error["message"], (body[:60], error)
    # The last word of a broken body: where it is broken.
    where = error_of(node().post(CHAT, b'{"model":\n "first",\n oops}'), 400)["message"]
    assert "line 3" in where, where


def test_unknown_model_and_the_nearest_name():
    error = error_of(node().chat("frist"), 404, "model")
    assert '"frist"' in error["message"] and '"first"' in error["message"], error
    error = error_of(node().chat("no-relation-at-all-xyzzy"), 404, "model")
    assert "/v1/models" in error["message"], error
    error_of(node().chat("x" * 129), 400, "model")
    error_of(node().chat("zero\0byte"), 400, "model")


def test_an_embedding_model_does_not_chat():
    """Said at once, without loading it."""
    models = {"vectors": {"engine": "command", "command": scripted(name="vectors"), "health": "/health", "kind": "embedding"}}
    with Node({"models": models}) as node:
        answer = node.chat("vectors")
        assert answer.status == 400 and answer.json["error"]["param"] == "model", answer
        assert "/v1/embeddings" in answer.json["error"]["message"], answer
        assert node.model("vectors")["state"] == "UNLOADED"
        assert node.post("/v1/embeddings", {"model": "vectors", "input": "x"}).status == 200


def test_aliases_serve_and_two_model_keys_do_not():
    for name in ("known-as", "other-name"):
        answer = node().chat(name)
        assert answer.status == 200 and answer.json["model"] == "first", answer
    both = b'{"model":"second","messages":[{"role":"user","content":"x"}],"model":"%s"}'
    for last in (b"first", b"known-as"):  # which one an engine would take is anyone's guess
        error_of(node().post(CHAT, both % last), 400, "model")


# ---- paths and methods -------------------------------------------------------------------------

def test_any_other_path_passes_by_its_model():
    body = b'{ "model" : "first", "input": "x",  "n": 1e2 }'
    answer = node().post("/v1/audio/speech?voice=a&x=%20", body)
    assert answer.status == 200, answer
    assert answer.json["path"] == "/v1/audio/speech", answer
    head, sent = plexus.engine_last(plexus.engine_port(node(), "first"))
    assert head[0] == "POST /v1/audio/speech?voice=a&x=%20 HTTP/1.1", head
    assert sent == body, sent


def test_get_head_and_other_methods():
    assert node().get("/v1/nothing").status in (404, 405)
    error_of(node().get(CHAT), 405)
    error_of(node().get("/nothing/here"), 404)
    error_of(node().ask("DELETE", "/v1/models"), 405)
    error_of(node().ask("PUT", CHAT, b"{}"), 405)
    for path in ("/v1/models", "/health", "/metrics", "/"):
        plain, head = node().get(path), node().ask("HEAD", path)
        assert head.status == plain.status == 200, (path, head)
        assert head.body == b"" and int(head.headers["Content-Length"]) > 0, (path, head.headers)
        assert head.headers["Content-Type"] == plain.headers["Content-Type"], path


def test_models_list_and_one():
    data = node().get("/v1/models").json
    assert data["object"] == "list" and [m["id"] for m in data["data"]] == ["first", "second"], data
    for m in data["data"]:
        assert m["object"] == "model" and isinstance(m["created"], int) and m["owned_by"] == "command", m
        assert m["state"] in ("UNLOADED", "LOADING", "WARM"), m
    assert node().get("/v1/models/second").json["kind"] == "embedding"
    error_of(node().get("/v1/models/third"), 404, "model")


def test_curl_with_its_own_content_type():
    url = f"http://127.0.0.1:{node().port}{CHAT}"
    got = subprocess.run(["curl", "-sS", "-w", "\n%{http_code}", url, "-d",
                          '{"model":"first","messages":[{"role":"user","content":"hi"}]}'],
                         capture_output=True, text=True, timeout=30)
    body, _, status = got.stdout.rpartition("\n")
    assert status == "200" and json.loads(body)["object"] == "chat.completion", got
    # What the engine gets is called what it is.
    head = plexus.engine_last(plexus.engine_port(node(), "first"))[0]
    assert plexus.header_of(head, "content-type") == ["application/json"], head


# ---- headers -----------------------------------------------------------------------------------

def test_request_id_goes_everywhere():
    mine = "my-id.7_x"
    answer = node().chat("first", headers={"X-Request-Id": mine})
    assert answer.headers.get_all("X-Request-Id") == [mine], answer.headers
    assert plexus.header_of(plexus.engine_last(plexus.engine_port(node(), "first"))[0], "x-request-id") == [mine]
    assert node().access_line(mine)["status"] == 200
    made = node().chat("first").headers["X-Request-Id"]
    assert re.fullmatch(r"[!-~]{8,64}", made) and made != node().chat("first").headers["X-Request-Id"], made
    for bad in ("x" * 129, "has space", 'quote"', "back\\slash"):  # not ours to put into lines of JSON
        answer = node().chat("first", headers={"X-Request-Id": bad})
        assert answer.headers["X-Request-Id"] != bad, answer.headers
    for wrong, status in ((node().chat("nobody", headers={"X-Request-Id": "err-1"}), 404),
                          (node().post(CHAT, b"{", headers={"X-Request-Id": "err-2"}), 400)):
        assert wrong.status == status and wrong.headers["X-Request-Id"].startswith("err-"), wrong.headers
        assert node().access_line(wrong.headers["X-Request-Id"])["status"] == status
    with node().stream("first", headers={"X-Request-Id": "streamed"}) as answer:
        answer.read()
        assert answer.headers["X-Request-Id"] == "streamed"


def test_traceparent_is_kept():
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    node().chat("first", headers={"traceparent": trace, "tracestate": "a=1", "X-Request-Id": "traced"})
    head = plexus.engine_last(plexus.engine_port(node(), "first"))[0]
    assert plexus.header_of(head, "traceparent") == [trace], head
    assert plexus.header_of(head, "tracestate") == ["a=1"], head
    assert node().access_line("traced")["traceparent"] == trace


def test_headers_that_stay_here():
    stay = {"Authorization": "Bearer placeholder", "X-Api-Key": "sk-none", "Api-Key": "k", "Cookie": "a=b",
            "Keep-Alive": "timeout=5", "TE": "trailers", "Proxy-Connection": "keep-alive", "Referer": "http://x/",
            "Accept-Encoding": "gzip", "Prefer": "wait=50", "Connection": "keep-alive, X-Mine", "X-Mine": "1"}
    answer = node().chat("first", headers={**stay, "X-Own": "kept", "User-Agent": "tests/1", "Accept": "*/*"})
    assert answer.status == 200, answer
    head = plexus.engine_last(plexus.engine_port(node(), "first"))[0]
    for name in [*stay, "Transfer-Encoding", "Expect", "Upgrade"]:
        assert plexus.header_of(head, name) == [], (name, head)
    assert plexus.header_of(head, "x-own") == ["kept"], head
    assert plexus.header_of(head, "user-agent") == ["tests/1"], head
    assert plexus.header_of(head, "host") == [f"127.0.0.1:{plexus.engine_port(node(), 'first')}"], head
    assert len(plexus.header_of(head, "content-length")) == 1, head


class RudeEngine:
    """An HTTP server that sends headers which are not for the client."""

    def __init__(self):
        import http.server

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                self.rfile.read(int(self.headers["Content-Length"]))
                body = b'{"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}'
                self.send_response(200)
                for line in ("Access-Control-Allow-Origin: *", "Access-Control-Allow-Credentials: true",
                             "Set-Cookie: a=b", "Alt-Svc: h3", "Keep-Alive: timeout=9", "X-Engine: rude",
                             "X-Request-Id: the-engines", "Strict-Transport-Security: max-age=1",
                             "Content-Type: application/json", f"Content-Length: {len(body)}"):
                    self.send_header(*line.split(": "))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        self.server.handle_error = lambda *_: None  # a kept connection that the node closes is none
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def test_engines_headers_that_stay_behind():
    rude = RudeEngine()
    with Node({"models": {"rude": {"engine": "remote", "url": f"http://127.0.0.1:{rude.port}/v1"}}}) as n:
        answer = n.chat("rude", headers={"X-Request-Id": "mine"})
        assert answer.status == 200, answer
        for name in ("Access-Control-Allow-Origin", "Access-Control-Allow-Credentials", "Set-Cookie", "Alt-Svc",
                     "Keep-Alive", "Strict-Transport-Security"):
            assert name not in answer.headers, answer.headers
        assert answer.headers["X-Engine"] == "rude"
        assert answer.headers.get_all("X-Request-Id") == ["mine"], answer.headers
        assert answer.headers.get_all("Content-Length") == [str(len(answer.body))]
    rude.server.shutdown()


# ---- limits ------------------------------------------------------------------------------------

def chat_of_size(size, model="first"):
    """A chat body of exactly so many bytes."""
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": "x"}], "pad": ""}, separators=(",", ":"))
    return (body[:-2] + "p" * (size - len(body)) + '"}').encode()


def test_32_mib_pass_and_one_byte_more_does_not():
    limit = 32 << 20
    body = chat_of_size(limit)
    assert len(body) == limit
    answers, stop = [], threading.Event()

    def probe():  # a body of this size must not hold the loop for long
        import time
        while not stop.is_set():
            began = time.monotonic()
            assert node().get("/health").status == 200
            answers.append(time.monotonic() - began)

    node().chat("first")
    thread = threading.Thread(target=probe)
    thread.start()
    answer = node().post("/v1/some/echo", body)
    stop.set()
    thread.join()
    assert answer.status == 200 and answer.body.startswith(b'{"path":"/v1/some/echo","echo":'), answer
    assert body in answer.body and len(answer.body) < len(body) + 40, len(answer.body)
    assert len(answers) >= 3 and max(answers) < 1.0, (len(answers), max(answers))
    # Announced: refused before a byte of the body is sent.
    raw = node().raw()
    raw.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x.localhost\r\nContent-Length: %d\r\n\r\n" % (limit + 1))
    head = raw.recv(65536)
    assert head.startswith(b"HTTP/1.1 413 ") and b'"error"' in head, head
    raw.close()
    # In chunks, so that nobody knows before: at the moment it is too much.
    with Node({"limits": {"body": "64KiB"}, "models": {"first": engine("first")}}) as n:
        raw = n.raw()
        raw.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(5):
            raw.sendall(b"4000\r\n" + b"x" * 0x4000 + b"\r\n")
        head = raw.recv(65536)
        assert head.startswith(b"HTTP/1.1 413 "), head
        raw.close()
        error_of(n.post(CHAT, chat_of_size((64 << 10) + 1)), 413)
        assert n.post(CHAT, chat_of_size(64 << 10)).status == 200


def test_head_over_the_limit_431():
    assert node().chat("first", headers={"X-Long": "y" * 60000}).status == 200
    error_of(node().get("/health", headers={"X-Long": "y" * 66000}), 431)
    raw = node().raw()
    raw.sendall(b"GET /" + b"a" * 70000)  # no end in sight
    assert raw.recv(1000).startswith(b"HTTP/1.1 431 "), "431 for a line without an end"
    raw.close()


def test_budget_of_bodies_503():
    with Node({"limits": {"body": "200KiB", "bodies": "256KiB"}, "models": {"first": engine("first")}}) as n:
        n.chat("first")
        metric = lambda: metrics(n).get("plexus_body_bytes")  # noqa: E731
        with n.raw() as raw:  # holds 180 KiB of 256
            raw.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 200000\r\n\r\n"
                        + b" " * 184320)
            plexus.wait_until("the first body is buffered", lambda: metric() >= 184320)
            answer = n.post(CHAT, chat_of_size(100 << 10))
            error_of(answer, 503, type_="server_error")
            assert n.chat("first").status == 200  # small ones still have room
        plexus.wait_until("its memory came back", lambda: metric() == 0)
        assert n.post(CHAT, chat_of_size(100 << 10)).status == 200


# ---- metrics -----------------------------------------------------------------------------------

SAMPLE = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (-?(?:\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|\+?Inf)|NaN)')
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"(?:,|$)')


def parse_prometheus(text):
    """Prometheus text format 0.0.4, strictly: families (name to (type, {labels: value}))."""
    families, current, seen = {}, None, set()
    assert text.endswith("\n"), "the last line must end"
    for line in text[:-1].split("\n"):
        if line.startswith("# HELP "):
            name = line.split(" ", 3)[2]
            assert name not in families and len(line.split(" ", 3)) == 4, line
            families[name], current = [None, {}], name
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name == current and families[name][0] is None and not families[name][1], line
            assert kind in ("counter", "gauge", "histogram"), line
            families[name][0] = kind
        else:
            match = SAMPLE.fullmatch(line)
            assert match, f"not a sample: {line!r}"
            name, labels, value = match.group(1), match.group(2) or "", float(match.group(3))
            pairs = LABEL.findall(labels)
            assert "".join(f'{k}="{v}",' for k, v in pairs).rstrip(",") == labels.rstrip(","), line
            assert len({k for k, _ in pairs}) == len(pairs), f"a label twice: {line}"
            kind = families[current][0]
            ends = ("_bucket", "_sum", "_count") if kind == "histogram" else ("",)
            assert name in [current + end for end in ends], f"{line!r} stands below {current}"
            key = (name, tuple(sorted(pairs)))
            assert key not in seen, f"twice: {line}"
            seen.add(key)
            families[current][1][key] = value
            if kind == "counter":
                assert name.endswith("_total") and value >= 0, line
    for name, (kind, samples) in families.items():
        assert samples, f"{name} has no samples"
        if kind == "histogram":
            check_histogram(name, samples)
    return families


def check_histogram(name, samples):
    rows = {}
    for (sample, labels), value in samples.items():
        rest = tuple(pair for pair in labels if pair[0] != "le")
        row = rows.setdefault(rest, {"buckets": []})
        if sample.endswith("_bucket"):
            row["buckets"].append((float(dict(labels)["le"]), value))
        else:
            row[sample[len(name):]] = value
    for labels, row in rows.items():
        bounds, counts = zip(*row["buckets"])
        assert list(bounds) == sorted(set(bounds)) and bounds[-1] == math.inf, (name, bounds)
        assert list(counts) == sorted(counts), f"{name}{labels} is not monotone: {counts}"
        assert counts[-1] == row["_count"] and row["_sum"] >= 0, (name, labels, row)
        assert (row["_count"] == 0) == (row["_sum"] == 0), (name, labels, row)


def metrics(n):
    """All samples of a node by `name` or `name{label="value",...}` (labels sorted)."""
    answer = n.get("/metrics")
    assert answer.status == 200 and answer.headers["Content-Type"].startswith("text/plain; version=0.0.4"), answer
    flat = {}
    for kind, samples in parse_prometheus(answer.body.decode()).values():
        for (name, labels), value in samples.items():
            inside = ",".join(f'{k}="{v}"' for k, v in labels)
            flat[name + (f"{{{inside}}}" if inside else "")] = value
    return flat


def test_metrics_count_right():
    with Node({"models": {"first": engine("first"), 'odd"\\name'.replace('"\\', "."): engine("odd")}}) as n:
        row = 'engine="command",model="first"'
        before = metrics(n)
        tokens = [0, 0]
        for _ in range(3):
            usage = n.chat("first").json["usage"]
            tokens = [tokens[0] + usage["prompt_tokens"], tokens[1] + usage["completion_tokens"]]
        with n.stream("first", "!script frames=5", stream_options={"include_usage": True}) as answer:
            events = plexus.frames(answer.read())
        usage = json.loads(events[-2])["usage"]
        tokens = [tokens[0] + usage["prompt_tokens"], tokens[1] + usage["completion_tokens"]]
        assert n.chat("first", "!script status=429").status == 429
        assert n.chat("first", "!script status=500").status == 500
        assert n.chat("first", temperature="x").status == 400
        assert n.chat("nobody").status == 404
        after = metrics(n)

        def grew(name):
            return after[name] - before.get(name, 0)

        assert grew("plexus_requests_total") == 9, grew("plexus_requests_total")  # 8 and the second scrape
        assert grew("plexus_bad_requests_total") == 1
        assert grew(f'plexus_model_requests_total{{{row},status="2xx"}}') == 4
        assert grew(f'plexus_model_requests_total{{{row},status="4xx"}}') == 1
        assert grew(f'plexus_model_requests_total{{{row},status="5xx"}}') == 1
        assert grew(f'plexus_model_requests_total{{{row},status="aborted"}}') == 0
        assert grew(f'plexus_model_tokens_total{{direction="in",{row}}}') == tokens[0] > 0
        assert grew(f'plexus_model_tokens_total{{direction="out",{row}}}') == tokens[1] > 0
        assert grew(f"plexus_model_stream_events_total{{{row}}}") == len(events), (len(events),)
        assert grew(f"plexus_request_seconds_count{{{row}}}") == 6
        assert grew(f"plexus_ttft_seconds_count{{{row}}}") == 6
        assert grew(f"plexus_queue_seconds_count{{{row}}}") == 6
        assert grew(f"plexus_load_seconds_count{{{row}}}") == 1
        assert grew(f"plexus_ttft_own_seconds_count{{{row}}}") == 5  # not the one that waited for the load
        assert after[f"plexus_model_loads_total{{{row}}}"] == 1
        assert after[f"plexus_model_state{{{row}}}"] == 2
        assert after[f"plexus_model_active{{{row}}}"] == 0
        plexus.wait_until("memory is measured", lambda: 0 < metrics(n)[f"plexus_model_memory_bytes{{{row}}}"] < 1 << 30)
        assert after["plexus_memory_budget_bytes"] > 1 << 20
        # A client that leaves in mid-stream.
        with n.stream("first", "!script frames=9 hold_at=2") as answer:
            answer.read(10)
            assert metrics(n)[f"plexus_model_active{{{row}}}"] == 1
        name = f'plexus_model_requests_total{{{row},status="aborted"}}'
        plexus.wait_until("counted as aborted", lambda: metrics(n)[name] == 1)
        assert metrics(n)[f"plexus_model_active{{{row}}}"] == 0


# ---- access log --------------------------------------------------------------------------------

def test_access_log_lines():
    began = node().chat("first", headers={"X-Request-Id": "log-plain"})
    line = node().access_line("log-plain")
    sent = json.dumps({"model": "first", "messages": ASK})
    assert line["path"] == CHAT and line["model"] == "first" and line["status"] == 200, line
    assert line["outcome"] == "ok" and line["stream"] is False, line
    assert line["in_bytes"] == len(sent) and line["out_bytes"] == len(began.body), (line, len(sent))
    usage = began.json["usage"]
    assert (line["tokens_in"], line["tokens_out"]) == (usage["prompt_tokens"], usage["completion_tokens"]), line
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["time"]), line
    assert line["peer"].startswith("127.0.0.1"), line
    assert 0 < line["first_us"] <= line["us"] < 10e6 and 0 < line["own_us"] <= line["us"], line
    with node().stream("first", "!script frames=4", headers={"X-Request-Id": "log-stream"}) as answer:
        body = answer.read()
    line = node().access_line("log-stream")
    assert line["stream"] is True and line["out_bytes"] == len(body) and line["outcome"] == "ok", line
    with node().stream("first", "!script frames=9 hold_at=2", headers={"X-Request-Id": "log-left"}) as answer:
        answer.read(10)
    line = node().access_line("log-left")
    assert line["outcome"] == "E_CLOSED" and line["status"] == 200, line
    node().post(CHAT, b"{", headers={"X-Request-Id": "log-bad"})
    line = node().access_line("log-bad")
    assert line["status"] == 400 and line["outcome"] == "E_INVALID" and "model" not in line, line
    hostile = "/v1/a%22b/\x01"[:-1] + 'x"y'
    raw = node().raw()
    raw.sendall(b"POST %s HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: log-odd\r\nContent-Length: 1\r\n\r\n{"
                % hostile.encode())
    raw.recv(100)
    raw.close()
    for line in node().access_lines():  # each is JSON, or this raises
        assert {"time", "id", "peer", "path", "status", "outcome", "stream", "in_bytes", "out_bytes", "us"} <= set(line), line


if __name__ == "__main__":
    plexus.main(globals())
