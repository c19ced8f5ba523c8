#!/usr/bin/env python3
# bytes_test.py: nothing is changed on the way: what the engine sends is what the client gets, and
# what the client sends is what the engine gets, save for an alias.
# SPDX-License-Identifier: Apache-2.0
import http.client
import json
import pathlib
import random
import shutil
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import plexus  # noqa: E402
from plexus import Node, scripted  # noqa: E402

CHAT = "/v1/chat/completions"
TAPPED, CLIENTS = 500, 20

# ---- answers, against a tap on the engine's side -------------------------------------------------


def shapes(rng):
    """Endless (path, script, stream) of answers in every shape that an engine may give."""
    while True:
        frames, size = rng.randint(1, 40), rng.choice((1, 8, 60, 1000))
        yield CHAT, f"frames={frames} size={size}", True
        yield CHAT, "", False
        yield CHAT, f"big={rng.randint(1, 300000)}", False
        yield CHAT, f"crlf frames={frames}", True
        yield CHAT, f"frames={rng.randint(1, 4)} big={rng.randint(1, 90000)}", True  # longer than may be held back
        yield CHAT, f"close_delimited frames={frames}", True
        yield CHAT, "close_delimited", False
        yield CHAT, f"gap_ms={rng.randint(0, 3)} frames={rng.randint(1, 10)}", True
        yield CHAT, "garbage_body", rng.random() < 0.5
        yield CHAT, f"status={rng.choice((400, 404, 422, 429, 500, 503))}", rng.random() < 0.5
        yield "/v1/completions", f"frames={frames} crlf close_delimited", True
        yield "/v1/completions", "", False
        yield "/v1/embeddings", "", False
        yield "/v1/anything", "", False
        yield CHAT, f"early_close_keepalive frames={frames}", True
        yield CHAT, "early_close_keepalive", False


def body_of(path, script, stream):
    text = f"!script {script}" if script else "hello"
    if path == CHAT:
        body = {"model": "tapped", "messages": [{"role": "user", "content": text}]}
    elif path == "/v1/embeddings":
        body = {"model": "tapped", "input": ["one", "two", "three"]}
    else:
        body = {"model": "tapped", "prompt": text}
    return json.dumps({**body, "stream": True} if stream else body)


def run_clients(node, plan, count):
    """The plan's requests over `count` kept connections at once; {id: (status, headers, body)}."""
    got, todo = {}, list(enumerate(plan))

    def client(_):
        connection = node.connection(60)
        while todo:
            i, (path, script, stream) = todo.pop()
            connection.request("POST", path, body_of(path, script, stream), {"X-Request-Id": f"tap-{i}"})
            answer = connection.getresponse()
            got[f"tap-{i}"] = (answer.status, answer.headers, answer.read())
        connection.close()

    plexus.parallel(count, client)
    return got


def test_500_answers_equal_the_engines_tap():
    tap = pathlib.Path(tempfile.mkdtemp(prefix="plexus-tap-"))
    try:
        config = {"models": {"tapped": {"engine": "command", "command": scripted("--tap", tap, name="tapped"),
                                        "health": "/health"}}}
        with Node(config, log_level="warn") as node:
            rng, plan = random.Random(11), []
            for shape in shapes(rng):
                plan.append(shape)
                if len(plan) == TAPPED - 10:
                    break
            plan += [(CHAT, f"trickle=1 frames={n}", True) for n in range(1, 6)]  # a byte a millisecond
            plan += [(CHAT, "trickle=1", False), (CHAT, "slow_head=2", True), (CHAT, "slow_head=2", False),
                     (CHAT, "big=5000000", False), (CHAT, "frames=3 big=2000000", True)]
            rng.shuffle(plan)
            got = run_clients(node, plan, CLIENTS)
            assert len(got) == TAPPED, len(got)
            statuses = set()
            for i, shape in enumerate(plan):
                status, headers, body = got[f"tap-{i}"]
                sent = (tap / f"tap-{i}").read_bytes()
                assert body == sent, (shape, len(body), len(sent), body[:100], sent[:100])
                assert headers["X-Request-Id"] == f"tap-{i}"
                statuses.add(status)
            assert statuses >= {200, 400, 404, 500} and len(statuses) >= 6, statuses
            assert len(list(tap.iterdir())) == TAPPED, "the engine saw more or fewer requests"
            assert node.engine("tapped")["requests_total"] == TAPPED
    finally:
        shutil.rmtree(tap, ignore_errors=True)


# ---- requests ----------------------------------------------------------------------------------

plain = plexus.shared(lambda: Node({"models": {
    "first": {"engine": "command", "command": scripted(name="first"), "health": "/health", "aliases": ["nick", 'n/i.c:k']},
    "inner": {"engine": "command", "command": scripted(name="inner"), "health": "/health", "upstream_model": 'in"n\\er é'},
}}))

SAME = [  # bodies whose bytes arrive as they are
    b'{"model":"first","messages":[{"role":"user","content":"x"}]}',
    b' \n\t{ "messages" : [ {"content":"x" , "role":"user"} ] ,\r\n "model"\t:\n"first" } \n',
    b'{"model":"fi\\u0072st","messages":[{"role":"user","content":"\\u00e9\\ud83d\\ude00 \\/ \\n"}]}',
    '{"model":"first","messages":[{"role":"user","content":"é 😀 \u2028"}],"x":1.0,"y":1e400,"z":-0.0}'.encode(),
    b'{"model":"first","messages":[{"role":"user","content":"x"}],"big":123456789012345678901234567890,"f":0.1000}',
    b'{"model":"first","messages":[{"role":"user","content":"x"}],"a":1,"a":2,"":{"model":"nick"},"list":["model","nick"]}',
    b'{"nested":{"model":"nick","deep":[{"model":7}]},"model":"first","messages":[{"role":"user","content":"\\"model\\":\\"nick\\""}]}',
]


def sent_body(path, body, name):
    answer = plain().post(path, body)
    assert answer.status == 200, (body, answer)
    head, got = plexus.engine_last(plexus.engine_port(plain(), name))
    assert plexus.header_of(head, "content-length") == [str(len(got))], head
    return got


def test_requests_arrive_unchanged():
    for body in SAME:
        assert sent_body(CHAT, body, "first") == body, body
    rng = random.Random(5)
    for size in (1, 100, 16000, 16385, 65536, 400000):
        pad = "".join(rng.choice("abcé\\\" ") for _ in range(size))
        body = json.dumps({"pad": pad, "model": "first", "messages": [{"role": "user", "content": "x"}]},
                          ensure_ascii=size % 2 == 0).encode()
        assert sent_body(CHAT, body, "first") == body, size
        assert sent_body("/v1/other/path", body, "first") == body, size


def test_requests_in_chunks_arrive_unchanged():
    body = SAME[1]
    for step in (1, 7, len(body)):
        raw = plain().raw()
        raw.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                    b"Transfer-Encoding: chunked\r\n\r\n")
        for at in range(0, len(body), step):
            part = body[at:at + step]
            raw.sendall(b"%x;ext=1\r\n%s\r\n" % (len(part), part))
        raw.sendall(b"0\r\nX-Trailer: y\r\n\r\n")
        answer = raw.makefile("rb").read()
        assert answer.startswith(b"HTTP/1.1 200 "), answer
        head, got = plexus.engine_last(plexus.engine_port(plain(), "first"))
        assert got == body and not plexus.header_of(head, "x-trailer"), got
        raw.close()


ALIASED = [  # with NAME for the one thing that may change
    '{"model":NAME,"messages":[{"role":"user","content":"x"}]}',
    '{"messages":[{"role":"user","content":"x"}],"model":NAME}',
    ' {\n "messages":[{"role":"user","content":"x"}] ,"model" \t:\n NAME ,"n":1 }\n',
    '{"nested":{"model":"nick"},"list":["model",{"model":"nick"}],"model":NAME,"messages":[{"role":"user","content":"\\"model\\":\\"nick\\""}]}',
    '{"a":1,"a":2,"A":{"x":[[],{}]},"model":NAME,"messages":[{"role":"user","content":"} ] , { \\\\"}],"e":1.50e+3}',
    '{"messages":[{"role":"user","content":"é 😀"}],"mod\\u0065l":NAME}',
    '{"\\u006dodel":NAME,"messages":[{"role":"user","content":"x"}],"model2":"nick","mode":"nick"}',
    '{"quote\\"model":"nick","model":NAME,"messages":[{"role":"user","content":"x"}],"model\\u0000":"nick"}',
]


def test_an_alias_changes_the_name_and_nothing_else():
    for text in ALIASED:
        for spelled in ('"nick"', '"n\\u0069ck"', '"n/i.c:k"', '"n\\/i.c:k"'):
            got = sent_body(CHAT, text.replace("NAME", spelled).encode(), "first")
            assert got == text.replace("NAME", '"first"').encode(), (text, spelled, got)
        got = sent_body(CHAT, text.replace("NAME", '"inner"').encode(), "inner")  # the engine's own name for it
        before, after = text.split("NAME")
        assert got.startswith(before.encode()) and got.endswith(after.encode()), got
        name = got[len(before.encode()):len(got) - len(after.encode())].decode()
        assert json.loads(name) == 'in"n\\er é', name
    # A large one is parsed by another thread, and changed all the same.
    pad = "p" * (2 << 20)
    answer = plain().post("/v1/echo", json.dumps({"model": "nick", "pad": pad}))
    assert answer.status == 200 and answer.json["echo"] == {"model": "first", "pad": pad}


# ---- the real engine: direct and through plexus --------------------------------------------------

real = plexus.shared(lambda: Node({"models": {"tiny-chat": {
    "engine": "llama.cpp", "program": plexus.LLAMA, "file": plexus.TINY, "kind": "chat", "context": 1024, "slots": 1,
    "threads": 1, "args": ["--no-cache-prompt"]}}}, log_level="warn"))


def real_port():
    for pid in real().engine_pids():
        words = plexus.cmdline(pid).split(b"\0")
        if b"--port" in words:
            return int(words[words.index(b"--port") + 1])
    raise AssertionError("no engine runs")


def without_times(value):
    """An answer or a frame without what differs from one request to the next."""
    if isinstance(value, dict):
        return {k: without_times(v) for k, v in value.items()
                if k not in ("id", "created", "timings", "cached_tokens", "prompt_tokens_details")}
    return [without_times(v) for v in value] if isinstance(value, list) else value


def ask(port, prompt, stream):
    body = {"model": "tiny-chat", "seed": 7, "temperature": 0, "max_tokens": 200,
            "messages": [{"role": "user", "content": prompt}]}
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    # A connection each: the engine closes kept ones when it likes, and here nobody tries again.
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("POST", CHAT, json.dumps(body))
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    assert answer.status == 200, text
    if not stream:
        return without_times(json.loads(text))
    events = plexus.frames(text)
    assert events[-1] == "[DONE]"
    return [without_times(json.loads(e)) for e in events[:-1]]


def test_real_answers_equal_direct_and_through():
    prompts = [json.loads(line) for line in open(plexus.ROOT / "models/tiny-chat.prompts.jsonl", encoding="utf-8")]
    assert len(prompts) == 200
    through, right = real().port, 0
    ask(through, prompts[0]["prompt"], False)  # loads it
    direct = real_port()
    for i, row in enumerate(prompts):
        a, b = ask(direct, row["prompt"], False), ask(through, row["prompt"], False)
        assert a == b, (row, a, b)
        assert set(a) >= {"choices", "usage", "object"} and a["usage"]["completion_tokens"] > 0, a
        right += a["choices"][0]["message"]["content"] == row["answer"]
        if i % 4 == 0:
            a, b = ask(direct, row["prompt"], True), ask(through, row["prompt"], True)
            assert a == b and len(a) > 3, (row, a, b)
    assert right >= 180, f"{right} of 200 are right"


if __name__ == "__main__":
    plexus.main(globals())
