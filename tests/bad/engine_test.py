# engine_test.py: engines on their bad days: refusing, hanging, dying, lying, stalling, staying.
# timeout: 180
# SPDX-License-Identifier: Apache-2.0
import json
import os
import pathlib
import signal
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
import plexus
from bad import (Events, SANITIZED, config, every_line_is_json, last_event_is_error, metric, model,
                 no_sanitizer_report, read_all, request, scripted_pids, split,
                 stream_end)
from plexus import Node, wait_until

FAST = {"restarts": {"max": 1, "pause": "10ms", "failed_pause": "100ms"}}
MENDS = {"restarts": {"max": 5, "pause": "10ms"}}  # one death is no reason to give up


def used_again(node, seconds=3):
    """A request that an engine's end cuts off is told (502); soon after that all go well again."""
    until = time.monotonic() + seconds
    while (answer := node.chat("m")).status != 200:
        assert answer.status == 502 and answer.headers["Retry-After"], answer
        assert time.monotonic() < until, answer


def ask_raw(node, data, seconds=30):
    with node.raw() as sock:
        sock.settimeout(seconds)
        sock.sendall(data.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
        return read_all(sock)


def stream_raw(node, name, text, **more):
    answer = ask_raw(node, request(name, text, stream=True, **more))
    assert answer, "silence: the connection closed without a word"
    return split(answer)


def test_refuses_port():
    with Node(config(model("m", "--refuse-port", timeouts={"load": "400ms"}, **FAST))) as node:
        began = time.monotonic()
        answer = node.chat("m")
        assert answer.status in (502, 503), answer
        assert "error" in answer.json and time.monotonic() - began < 8, answer
        wait_until("the engine is gone", lambda: not scripted_pids(node))
        assert node.get("/health").status == 200
        no_sanitizer_report(node)


def test_hangs_before_health():
    with Node(config(model("m", "--hang-health", "--log-lines", 3, timeouts={"load": "400ms"}, **FAST))) as node:
        answer = node.chat("m")
        assert answer.status in (502, 503), answer
        message = answer.json["error"]["message"]
        assert "ready" in message or "time" in message or "took" in message, message
        node.wait_state("m", "FAILED")
        wait_until("the engine is gone", lambda: not scripted_pids(node))


def test_dies_while_loading():
    with Node(config(model("m", "--die-loading", **FAST))) as node:
        answer = node.chat("m")
        assert answer.status in (502, 503), answer
        message = answer.json["error"]["message"]
        row = node.model("m")
        assert row["state"] == "FAILED", row
        tail = subprocess.run([plexus.SCRIPTED, "--port", "1", "--model", "m", "--die-loading"], capture_output=True, text=True)
        last = [line for line in (tail.stdout + tail.stderr).splitlines() if line][-1]
        assert last in message, f"the error holds the engine's last words {last!r}: {message!r}"
        assert last in row["failure"], row


def test_streaming_client_hears_of_a_failed_load():
    """A stream that began with comments while it waited ends with an error event."""
    with Node(config(model("m", "--hang-health", timeouts={"load": "2600ms"}, **FAST))) as node:
        status, head, body, whole = stream_raw(node, "m", "hello")
        assert status == 200 and whole, (status, head, body)
        assert body.startswith(b": "), body[:200]
        assert last_event_is_error(body), body


def test_exits_ten_times_then_mended():
    flag = pathlib.Path(tempfile.mkstemp(prefix="plexus-flag-")[1])
    try:
        with Node(config(model("m", "--exit-while", flag, "--log-lines", 1,
                               restarts={"max": 10, "pause": "20ms", "failed_pause": "300ms"}))) as node:
            events = Events(node)
            began = time.monotonic()
            answer = node.chat("m", timeout=90)
            assert answer.status in (502, 503), answer
            took = time.monotonic() - began
            # ten starts, nine pauses of 20, 40 ... 5,120 ms; a doubling that is missing shows
            assert 5 < took < 40, took
            starts = [at for at, event, data in events.list
                      if event == "model" and data["name"] == "m" and data["phase"] == "starting"]
            gaps = [b - a for a, b in zip(starts, starts[1:])]
            assert len(starts) >= 10, starts
            assert gaps[-1] > gaps[2] * 3, gaps
            events.close()
            assert node.model("m")["state"] == "FAILED"
            again = node.chat("m")  # a request within the pause is told at once
            assert again.status in (502, 503), again
            flag.unlink()
            time.sleep(0.35)
            assert node.chat("m", timeout=30).status == 200, "the mended engine is used again"
            no_sanitizer_report(node)
    finally:
        flag.unlink(missing_ok=True)


def test_dies_in_mid_stream():
    with Node(config(model("m", **MENDS))) as node:
        status, head, body, whole = stream_raw(node, "m", "!script frames=10 die_at_frame=4")
        assert status == 200 and whole, (head, body)
        error = last_event_is_error(body)
        assert error and error["message"], body
        assert len(plexus.frames(body)) >= 5, body  # what the engine had said came first
        # and used again at once: the next request brings a new engine
        used_again(node)
        assert node.model("m")["deaths"] == 1


def test_dies_in_mid_answer():
    with Node(config(model("m", **MENDS))) as node:
        answer = ask_raw(node, request("m", "!script die_at_frame=1"))
        status, head, body, whole = split(answer)
        assert status == 502 or not whole, "never a short success: " + repr(answer)
        used_again(node)


def test_cuts_the_connection():
    with Node(config(model("m", **FAST))) as node:
        status, head, body, whole = stream_raw(node, "m", "!script frames=10 cut_at_frame=4")
        assert status == 200 and whole and last_event_is_error(body), (head, body)
        answer = ask_raw(node, request("m", "!script cut_at_frame=1"))
        status, head, body, whole = split(answer)
        assert status == 502 or not whole, answer
        assert node.model("m")["state"] == "WARM" and node.chat("m").status == 200


def test_garbage():
    with Node(config(model("m", timeouts={"silence": "1s", "first_byte": "1s"}, **FAST))) as node:
        assert node.chat("m", "!script garbage").status == 502
        status, head, body, whole = stream_raw(node, "m", "!script garbage")
        assert status == 502 and json.loads(body)["error"]["message"], (head, body)
        # a right head and a body of rubbish pass byte for byte: what they mean is the client's business
        answer = node.chat("m", "!script garbage_body")
        assert len(answer.body) == 512, answer
        status, head, body, whole = stream_raw(node, "m", "!script garbage_body")
        assert status == 200, (head, body)
        status, head, body, whole = stream_raw(node, "m", "!script bad_chunk frames=3")
        assert status == 502 or (last_event_is_error(body) and whole), (head, body)
        used_again(node)
        no_sanitizer_report(node)


def test_half_a_frame_then_silence():
    with Node(config(model("m", timeouts={"silence": "700ms"}, **FAST))) as node:
        began = time.monotonic()
        status, head, body, whole = stream_raw(node, "m", "!script frames=10 half_frame_stall=3")
        assert status == 200 and whole, (head, body)
        assert 0.6 < time.monotonic() - began < 6
        events = plexus.frames(body)
        for event in events:  # no half frame came before the error
            json.loads(event)
        assert "error" in json.loads(events[-1]) and len(events) >= 4, body
        assert body.count(b"data: ") == len(events) and body.endswith(b"\n\n"), body
        # plain: half of the body, then silence
        status, head, body, whole = split(ask_raw(node, request("m", "!script half_frame_stall=1")))
        assert status in (502, 504) or not whole, (head, body)
        # the engine's slot is free and it hears that nobody listens
        port = plexus.engine_port(node, "m")
        wait_until("engine's work has ended", lambda: plexus.engine_stats(port)["in_flight"] == 0)
        assert node.model("m")["active"] == 0


def test_hundred_stalled_streams_end_together():
    """A deadline is each stream's own: the hundredth does not wait for the others'."""
    with Node(config(model("m", timeouts={"silence": "800ms"}, **FAST))) as node:
        node.chat("m")
        socks = []
        for _ in range(100):
            sock = node.raw()
            sock.sendall(request("m", "!script frames=5 half_frame_stall=2", "Connection: close\r\n", stream=True))
            socks.append(sock)
        began = time.monotonic()
        for sock in socks:
            sock.settimeout(30)
            _, _, body, whole = split(read_all(sock))
            sock.close()
            assert last_event_is_error(body) and whole, body
        took = time.monotonic() - began
        assert took < 5, f"{took:.1f} s for 100 streams with a deadline of 0.8 s"


def test_slow_first_byte():
    with Node(config(model("m", timeouts={"first_byte": "600ms"}, **FAST))) as node:
        node.chat("m")
        began = time.monotonic()
        answer = node.chat("m", "!script first_byte_ms=20000")
        assert answer.status == 504 and time.monotonic() - began < 6, answer
        assert node.chat("m", "!script hang").status == 504
        assert node.chat("m", "!script first_byte_ms=200").status == 200
        status, _, body, _ = stream_raw(node, "m", "!script hang")
        assert status == 504 and json.loads(body)["error"]["code"], body


def test_slow_heads_and_trickles():
    """One byte at a time is slow, not wrong."""
    with Node(config(model("m", **FAST))) as node:
        assert node.chat("m", "!script slow_head=2").status == 200
        with node.stream("m", "!script frames=2 trickle=1") as answer:
            assert stream_end(answer.read()) == "done"


def test_early_closed_keepalive_is_not_seen():
    """An engine that closes kept connections without a word: 200 for each of 300 requests."""
    with Node(config(model("m", **FAST))) as node:
        connection = node.connection()
        for i in range(300):
            body = json.dumps({"model": "m", "messages": [
                {"role": "user", "content": "!script early_close_keepalive" if i % 2 == 0 else "hello"}]})
            connection.request("POST", "/v1/chat/completions", body)
            answer = connection.getresponse()
            text = answer.read()
            assert answer.status == 200, (i, text)
        connection.close()
        assert node.model("m")["deaths"] == 0


def test_ignores_term():
    with Node(config(model("m", "--ignore-term", timeouts={"drain": "100ms"}))) as node:
        node.chat("m")
        pid, began = scripted_pids(node), time.monotonic()
        assert len(pid) == 1
        node.post("/api/models/m/unload")
        wait_until("killed", lambda: not plexus.alive(pid[0]), 12)
        assert time.monotonic() - began > 2, "TERM had its time"
        node.wait_state("m", "UNLOADED")
        used_again(node)


def grandchild_of(node):
    """The process of the scripted engine's --grandchild, from the log."""
    def look():
        for line in (node.data / "logs/node.jsonl").read_text().splitlines():
            row = json.loads(line)
            if row.get("event") == "engine.line" and row["line"].startswith("grandchild "):
                return int(row["line"].split()[1])
        return None
    return wait_until("the grandchild is told", look)


def test_grandchild_goes_with_its_engine():
    with Node(config(model("m", "--grandchild"))) as node:
        node.chat("m")
        pid = grandchild_of(node)
        assert plexus.alive(pid)
        node.post("/api/models/m/unload")
        wait_until("the grandchild is gone", lambda: not plexus.alive(pid), 12)
        node.wait_state("m", "UNLOADED")


def test_grandchild_goes_with_a_killed_node():
    with Node(config(model("m", "--grandchild", "--ignore-term"))) as node:
        node.chat("m")
        pid = grandchild_of(node)
        all_pids = plexus.descendants(node.process.pid) + [pid]
        node.process.kill()
        node.process.wait()
        began = time.monotonic()
        wait_until("nobody is left", lambda: not any(plexus.alive(p) for p in all_pids), 5)
        assert time.monotonic() - began < (3 if SANITIZED else 1)


def test_memory_limit():
    with Node(config(model("m", "--memory", 200, "--health-delay-ms", 6000, limits={"memory": "64MiB"}, **FAST))) as node:
        answer = node.chat("m")
        assert answer.status in (502, 503), answer
        message = answer.json["error"]["message"]
        assert "memory" in message.lower() and "limit" in message.lower(), message
        wait_until("the engine is gone", lambda: not scripted_pids(node))


def test_death_is_noticed_at_once():
    """The kernel's own notice: the console hears of the death within 50 ms."""
    with Node(config(model("m", pinned=True, restarts={"max": 30, "pause": "5ms"}))) as node:
        events, took, place = Events(node), [], 0
        for i in range(10):
            node.wait_state("m", "WARM")
            node.chat("m")
            pids = scripted_pids(node)
            place = len(events.list)
            killed = time.monotonic()
            os.kill(pids[0], signal.SIGKILL)
            place, at, _ = events.wait("not WARM", lambda event, data: event == "model" and data["name"] == "m"
                                       and data["state"] != "WARM", place)
            took.append((at - killed) * 1000)
        events.close()
        median = statistics.median(took)
        print("death to event, ms:", " ".join(f"{t:.1f}" for t in took))
        assert median < (150 if SANITIZED else 50), took
        assert node.model("m")["deaths"] == 10


def test_restarted_engine_is_used_at_once():
    with Node(config(model("m", restarts={"max": 30, "pause": "5ms"}))) as node:
        node.chat("m")
        for i in range(20):
            os.kill(scripted_pids(node)[0], signal.SIGKILL)
            used_again(node, 1)
        assert metric(node, "plexus_model_deaths_total", model="m") == 20


def test_log_flood_does_not_hold_the_node():
    lines = 100000
    with Node(config(model("m", "--log-lines", lines), model("other"))) as node:
        assert node.chat("other").status == 200
        node.post("/api/models/m/load")
        slowest, began = 0.0, time.monotonic()
        while node.model("m")["state"] != "WARM":
            one = time.monotonic()
            assert node.chat("other").status == 200
            slowest = max(slowest, time.monotonic() - one)
            assert time.monotonic() - began < 60
        used_again(node)
        print(f"{lines} lines in {time.monotonic() - began:.1f} s, slowest request beside {slowest * 1000:.0f} ms")
        assert slowest < (2.0 if SANITIZED else 0.5), slowest
        every_line_is_json(node.data / "logs/node.jsonl")


def test_stderr_that_nobody_reads_does_not_hold_the_node():
    """Ctrl-S in the terminal, a full pipe: the log waits or is dropped, requests do not."""
    node = Node(config(model("m", "--log-lines", 5000)), start=False)
    read, write = os.pipe()
    try:
        node.process = subprocess.Popen([plexus.PLEXUS, "up", "--config", str(node.file), "--data", str(node.data)],
                                        stdout=subprocess.PIPE, stderr=write, cwd=node.folder)
        node.out = open(os.devnull, "wb")
        line = node.process.stdout.readline().decode()
        node.port = int(line.split("serves at ")[1].split()[0].rsplit(":", 1)[1])
        assert node.chat("m", timeout=20).status == 200
        assert node.get("/health", timeout=10).status == 200
        node.process.send_signal(signal.SIGTERM)
        assert node.process.wait(20) == 0
    finally:
        os.close(read)
        os.close(write)
        if node.process.poll() is None:
            node.process.kill()
            node.process.wait()
        node.process.stdout.close()
        node.process = None
        import shutil
        shutil.rmtree(node.folder, ignore_errors=True)


plexus.main(globals())
