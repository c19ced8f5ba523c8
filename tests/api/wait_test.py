#!/usr/bin/env python3
# wait_test.py: honest waiting: what a client hears while its model loads, and what it gets when the
# load fails, soon or late.
# SPDX-License-Identifier: Apache-2.0
import json
import pathlib
import re
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import plexus  # noqa: E402
from plexus import Node, scripted  # noqa: E402

DELAY_MS = 5000
COMMENT = re.compile(r": (\S+) (starting|loading|waiting for a free slot|waiting for memory|restarting)"
                     r"(, \d+ % done)?(, about \d+ s left)?(, \d+ requests wait)?")


def engine(name, *options, **more):
    return {"engine": "command", "command": scripted(*options, name=name), "health": "/health", "kind": "chat", **more}


node = plexus.shared(lambda: Node({"models": {
    "quick": engine("quick"),
    "slow": engine("slow", "--health-delay-ms", DELAY_MS, aliases=["snail"]),
    "slot": engine("slot", slots=1),
    "dies-soon": engine("dies-soon", "--die-loading", restarts={"max": 0}),
    "dies-late": engine("dies-late", "--health-delay-ms", 60000, "--die-after-ms", 3500, restarts={"max": 0}),
}, "log": {"access_flush": "20ms"}}))


def events(answer, began):
    """(seconds since the start, event) of each event or comment, as they come."""
    found, rest = [], b""
    while part := answer.read1(65536):
        rest += part
        while b"\n\n" in rest:
            event, _, rest = rest.partition(b"\n\n")
            found.append((time.monotonic() - began, event.decode()))
    assert rest == b"", rest
    return found


def cold_stream():
    began = time.monotonic()
    with node().stream("slow", "!script frames=7", headers={"X-Request-Id": "cold-stream"}) as answer:
        head = time.monotonic() - began
        return head, answer.status, answer.headers, events(answer, began)


def cold_plain():
    began = time.monotonic()
    connection = node().connection(30)
    connection.request("POST", "/v1/chat/completions", json.dumps(
        {"model": "snail", "messages": [{"role": "user", "content": "hello"}]}), {"X-Request-Id": "cold-plain"})
    answer = connection.getresponse()
    head = time.monotonic() - began
    body = answer.read()
    connection.close()
    return head, answer, body


def cold_impatient():
    time.sleep(0.5)
    node().wait_state("slow", "LOADING")
    began = time.monotonic()
    answers = [node().chat("slow", headers={"Prefer": prefer}) for prefer in
               ("wait=0", "respond-async, wait=0", "wait=0, handling=strict")]
    return time.monotonic() - began, answers


def test_streams_hear_and_others_wait_in_silence():
    """All three kinds of clients meet the same cold start."""
    node().chat("quick")
    jobs = [cold_stream, cold_plain, cold_impatient]
    (head, status, headers, told), (plain_head, plain, plain_body), (took, refused) = plexus.parallel(
        3, lambda i: jobs[i]())
    # The stream: silence for 2 s, comments until the engine is there, then its frames, whole.
    assert 1.9 <= head < 3.5, head
    assert status == 200 and headers["Content-Type"].startswith("text/event-stream"), headers
    assert headers["X-Request-Id"] == "cold-stream" and headers["Cache-Control"] == "no-cache"
    comments = [(when, text) for when, text in told if text.startswith(":")]
    data = [text[6:] for _, text in told if text.startswith("data: ")]
    assert len(comments) + len(data) == len(told) and told[:len(comments)] == comments, told
    assert len(comments) >= 2, comments
    for when, text in comments:
        match = COMMENT.fullmatch(text)
        assert match and match.group(1) == "slow" and match.group(2) in ("starting", "loading"), text
        assert 1.9 <= when < DELAY_MS / 1000 + 1.5, (when, text)
    assert data[-1] == "[DONE]" and all(json.loads(d)["object"] == "chat.completion.chunk" for d in data[:-1])
    words = [json.loads(d)["choices"][0]["delta"].get("content") for d in data[:-1] if json.loads(d)["choices"]]
    words = [w for w in words if w]
    assert [int(w.split()[0]) for w in words] == list(range(int(words[0].split()[0]), int(words[0].split()[0]) + 7)), words
    # The one that is no stream: not a byte before the answer.
    assert plain_head >= DELAY_MS / 1000 - 0.3, plain_head
    assert plain.status == 200 and json.loads(plain_body)["model"] == "slow", plain_body
    assert plain.headers["Content-Length"] == str(len(plain_body))
    # The one that does not want to wait: 503 at once, with what is known.
    assert took < 2, took
    for answer in refused:
        assert answer.status == 503 and int(answer.headers["Retry-After"]) >= 1, answer
        error = answer.json["error"]
        assert error["code"] == "loading" and error["type"] == "server_error", error
        assert re.search(r"loading \((starting|loading)\); how long is not known yet", error["message"]), error  # a first load
    lines = {name: node().access_line(name) for name in ("cold-stream", "cold-plain")}
    for line in lines.values():
        assert line["status"] == 200 and line["outcome"] == "ok" and line["waited_ms"] >= DELAY_MS - 500, line
        assert line.get("own_us", 0) < 1e6, line  # waiting is not counted as our own time
    assert node().model("slow")["loads"] == 1


def test_estimates_come_from_earlier_loads():
    """Runs after the first load: now the time of a load is known."""
    node().wait_state("slow", "WARM")
    known = node().model("slow")["last_load_ms"]
    assert DELAY_MS - 500 <= known <= DELAY_MS + 3000, known
    assert node().post("/api/models/slow/unload").status == 202
    node().wait_state("slow", "UNLOADED")
    began = time.monotonic()
    answer = node().chat("slow", headers={"Prefer": "wait=0"})  # asked for: the load goes on without it
    assert answer.status == 503 and time.monotonic() - began < 1
    assert int(answer.headers["Retry-After"]) in (known // 1000, known // 1000 + 1), (known, answer.headers)
    assert node().model("slow")["state"] == "LOADING"
    with node().stream("slow", "!script frames=2") as stream:
        told = [text for _, text in events(stream, began)]
    left = [int(re.search(r"about (\d+) s left", text).group(1)) for text in told if text.startswith(":")]
    assert len(left) >= 1 and left == sorted(left, reverse=True) and left[0] <= known // 1000, told
    row = node().model("slow")
    assert row["state"] == "WARM" and row["eta_ms"] <= 0, row


def test_a_full_slot_is_waited_for_and_told():
    node().chat("slot")
    port = plexus.engine_port(node(), "slot")
    with node().stream("slot", "!script frames=5 hold_at=2") as first:
        first.read(1)
        began = time.monotonic()

        def second():
            with node().stream("slot", "!script frames=3") as answer:
                return events(answer, began)

        def release():
            time.sleep(2.6)
            assert plexus.engine_stats(port)["in_flight"] == 1  # the second is not at the engine
            assert node().model("slot")["waiting"] == 1
            plexus.engine_get(port, "/_release")

        told, _ = plexus.parallel(2, lambda i: (second, release)[i]())
        first.read()
    comments = [text for _, text in told if text.startswith(":")]
    assert comments and COMMENT.fullmatch(comments[0]).group(2) == "waiting for a free slot", told
    assert told[-1][1] == "data: [DONE]", told
    refused = None
    with node().stream("slot", "!script frames=5 hold_at=2") as first:
        first.read(1)
        refused = node().chat("slot", headers={"Prefer": "wait=0"})
        plexus.engine_get(port, "/_release")
        first.read()
    assert refused.status == 503 and int(refused.headers["Retry-After"]) >= 1, refused
    assert refused.json["error"]["code"] == "full" and "slots" in refused.json["error"]["message"], refused


def test_an_early_failure_keeps_its_status():
    for stream in (True, False):
        began = time.monotonic()
        answer = node().chat("dies-soon", stream=stream)
        assert time.monotonic() - began < 2, "too late to tell"
        assert answer.status == 502 and answer.headers["Content-Type"] == "application/json", answer
        error = answer.json["error"]
        assert error["type"] == "server_error" and "dies-soon" in error["message"], error
        # The engine's own last words are in it.
        assert "load" in error["message"].lower(), error
    assert node().model("dies-soon")["state"] == "FAILED"


def test_a_late_failure_is_an_event():
    began = time.monotonic()
    with node().stream("dies-late", headers={"X-Request-Id": "late"}) as answer:
        assert answer.status == 200
        told = events(answer, began)
    assert 3.3 <= told[-1][0] < 8, told
    assert told[0][1].startswith(": dies-late"), told
    last = told[-1][1]
    lines = dict(line.split(": ", 1) for line in last.split("\n"))
    error = json.loads(lines["data"])["error"]
    assert error["type"] == "server_error" and "dies-late" in error["message"] and error["code"], error
    assert not any(text.startswith("data: {\"id\"") for _, text in told), told
    line = node().access_line("late")
    assert line["outcome"].startswith("E_") and line["status"] == 200, line


def test_who_leaves_while_waiting_is_forgotten():
    node().post("/api/models/slow/unload")
    node().wait_state("slow", "UNLOADED")
    connection = node().connection()
    connection.request("POST", "/v1/chat/completions", json.dumps(
        {"model": "slow", "stream": True, "messages": [{"role": "user", "content": "x"}]}), {"X-Request-Id": "left-early"})
    plexus.wait_until("it waits", lambda: node().model("slow")["waiting"] == 1)
    connection.sock.close()
    connection.close()
    plexus.wait_until("nobody waits", lambda: node().model("slow")["waiting"] == 0, 3)
    line = node().access_line("left-early")
    assert line["outcome"] == "E_CLOSED" and line["status"] == 499, line
    assert node().get("/api/state").json["requests"] == []


if __name__ == "__main__":
    plexus.main(globals())
