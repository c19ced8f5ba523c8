#!/usr/bin/env python3
# life_test.py: the life of models: loaded once, kept, left idle, evicted, drained; who may not keep
# them awake; how many may wait.
# SPDX-License-Identifier: Apache-2.0
import json
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import plexus  # noqa: E402
from plexus import Node, engine_get, engine_port, engine_stats, parallel, scripted, wait_until  # noqa: E402

MIB = 1 << 20


def engine(name, *options, **more):
    return {"engine": "command", "command": scripted(*options, name=name), "health": "/health", "kind": "chat", **more}


def pid_of(node, name):
    """The process of a model's engine; None: none runs."""
    for pid in node.engine_pids():
        words = plexus.cmdline(pid).split(b"\0")
        if words[0].endswith(b"scripted") and name.encode() in words:
            return pid
    return None


def starts_of(node, name):
    """How often its engine was started: each says its port once."""
    return sum(1 for line in node.log_lines() if line["event"] == "engine.line" and line["model"] == name
               and line["line"].startswith("listening "))


def held(node, name, frames=6):
    """A stream that stands still in its middle until its engine's /_release."""
    return node.stream(name, f"!script frames={frames} hold_at=2")


def release(node, name):
    engine_get(engine_port(node, name), "/_release")


# ---- loading -----------------------------------------------------------------------------------


def test_50_at_once_load_it_once():
    with Node({"models": {"late": engine("late", "--health-delay-ms", 400)}}, log_level="info") as node:
        assert node.model("late")["state"] == "UNLOADED" and pid_of(node, "late") is None
        answers = parallel(50, lambda i: node.chat("late", f"!script big={100 + i}"))
        assert [a.status for a in answers] == [200] * 50
        assert [len(a.json["choices"][0]["message"]["content"]) for a in answers] == [100 + i for i in range(50)]
        row = node.model("late")
        assert row["loads"] == 1 and row["state"] == "WARM" and row["active"] == 0 and row["waiting"] == 0, row
        assert 350 <= row["last_load_ms"] < 5000, row
        stats = engine_stats(engine_port(node, "late"))
        assert stats["requests"]["/v1/chat/completions"] == 50, stats
        wait_until("the log has its line", lambda: starts_of(node, "late") == 1, 3)
        assert len(node.engine_pids()) == 1


def test_preload_and_pinned_come_up_by_themselves():
    with Node({"models": {"before": engine("before", preload=True, idle="600ms"),
                          "nailed": engine("nailed", pinned=True, idle="200ms"),
                          "lazy": engine("lazy")}}) as node:
        node.wait_state("before", "WARM")
        node.wait_state("nailed", "WARM")
        assert node.model("lazy")["state"] == "UNLOADED" and pid_of(node, "lazy") is None
        first = pid_of(node, "nailed")
        node.wait_state("before", "UNLOADED", 5)  # preload loads it, no more
        time.sleep(0.5)
        row = node.model("nailed")
        assert row["state"] == "WARM" and row["pinned"] and row["idle_left_ms"] == -1 and pid_of(node, "nailed") == first
        import os
        import signal
        os.kill(first, signal.SIGKILL)  # it comes back without being asked for
        wait_until("a new engine", lambda: pid_of(node, "nailed") not in (None, first))
        node.wait_state("nailed", "WARM")
        assert node.model("nailed")["deaths"] == 1
        assert node.post("/api/models/nailed/unpin").json["pinned"] is False
        node.wait_state("nailed", "UNLOADED", 5)
        assert node.post("/api/models/lazy/pin").json["pinned"] is True  # a pin loads
        node.wait_state("lazy", "WARM")


def test_idle_unload_and_back():
    with Node({"models": {"short": engine("short", idle="500ms")}}) as node:
        node.chat("short")
        first, ended = pid_of(node, "short"), time.monotonic()
        assert 0 < node.model("short")["idle_left_ms"] <= 500
        node.wait_state("short", "UNLOADED", 5)
        assert 0.4 < time.monotonic() - ended < 2.5 and not plexus.alive(first)
        assert node.chat("short").status == 200 and pid_of(node, "short") != first
        row = node.model("short")
        assert row["loads"] == 2 and row["evictions"] == 0, row
        with held(node, "short") as stream:  # while something runs it is not idle
            stream.read(1)
            time.sleep(1.2)
            assert node.model("short")["state"] == "WARM" and node.model("short")["active"] == 1
            release(node, "short")
            assert b"[DONE]" in stream.read()
        for _ in range(6):  # requests keep it
            time.sleep(0.2)
            assert node.chat("short").status == 200
        assert node.model("short")["loads"] == 2
        node.wait_state("short", "UNLOADED", 5)


# ---- memory ------------------------------------------------------------------------------------


def test_the_least_recently_used_idle_one_leaves():
    models = {name: engine(name, memory="100MiB", idle="never") for name in ("a", "b", "c", "d")}
    models["huge"] = engine("huge", memory="2GiB")
    with Node({"models": models, "memory": {"budget": "320MiB"}}) as node:
        def states():
            return {name: node.model(name)["state"] for name in ("a", "b", "c", "d")}

        for name in ("a", "b", "c"):
            assert node.chat(name).status == 200
        assert set(states().values()) == {"WARM", "UNLOADED"}
        node.chat("a")  # now b was used longest ago
        assert node.chat("d").status == 200
        assert states() == {"a": "WARM", "b": "UNLOADED", "c": "WARM", "d": "WARM"}, states()
        assert node.model("b")["evictions"] == 1 and pid_of(node, "b") is None
        memory = node.get("/api/state").json["memory"]
        assert memory["budget_bytes"] == 320 * MIB and 300 * MIB <= memory["used_bytes"] <= 320 * MIB, memory
        # a is the one used longest ago, but it works: c leaves for b.
        with held(node, "a") as working:
            working.read(1)
            node.chat("c")
            node.chat("d")
            assert node.chat("b").status == 200
            assert states() == {"a": "WARM", "b": "WARM", "c": "UNLOADED", "d": "WARM"}, states()
            release(node, "a")
            assert b"[DONE]" in working.read()
        # What can never fit says so, in bytes.
        answer = node.chat("huge")
        assert answer.status == 503 and "Retry-After" not in answer.headers and "2 GiB" in answer.json["error"]["message"], answer
        assert "320 MiB" in answer.json["error"]["message"], answer
        assert states()["a"] == "WARM", "nobody leaves for what cannot fit"


def test_active_ones_never_leave_and_the_next_waits():
    models = {name: engine(name, memory="100MiB", idle="never", queue=2) for name in ("a", "b", "c")}
    with Node({"models": models, "memory": {"budget": "250MiB"}}) as node:
        node.chat("a")
        node.chat("b")
        with held(node, "a") as one, held(node, "b") as two:
            one.read(1)
            two.read(1)
            pids = pid_of(node, "a"), pid_of(node, "b")
            impatient = node.chat("c", headers={"Prefer": "wait=0"})
            assert impatient.status == 503 and "memory" in impatient.json["error"]["message"], impatient
            began = time.monotonic()

            def later():
                time.sleep(1.5)
                assert node.model("c")["state"] == "LOADING" and node.model("c")["phase"] == "waiting for memory"
                assert node.chat("c").status == 503  # two wait already
                assert (pid_of(node, "a"), pid_of(node, "b")) == pids
                release(node, "b")
                return two.read()

            answers = parallel(3, lambda i: later() if i == 2 else node.chat("c"))
            assert [a.status for a in answers[:2]] == [200, 200] and time.monotonic() - began >= 1.4
            assert b"[DONE]" in answers[2]  # b ended whole before it left
            assert pid_of(node, "a") == pids[0] and pid_of(node, "b") is None
            release(node, "a")
            assert b"[DONE]" in one.read()
        assert node.model("b")["evictions"] == 1 and node.model("a")["evictions"] == 0


# ---- queues ------------------------------------------------------------------------------------


def test_queues_are_bounded():
    with Node({"models": {"one": engine("one", slots=1, queue=3), "two": engine("two", slots=1)},
               "limits": {"queue": 5}}) as node:
        node.chat("one")
        node.chat("two")
        with held(node, "one") as first, held(node, "two") as other:
            first.read(1)
            other.read(1)
            waiting = [node.connection() for _ in range(3)]
            body = {"model": "one", "messages": [{"role": "user", "content": "hello"}]}
            for connection in waiting:
                connection.request("POST", "/v1/chat/completions", json.dumps(body))
            wait_until("three wait", lambda: node.model("one")["waiting"] == 3)
            full = node.chat("one")
            assert full.status == 503 and int(full.headers["Retry-After"]) >= 1, full
            assert "3" in full.json["error"]["message"] and full.json["error"]["code"] == "full", full
            # All models together: two more, then no more, whatever their own queues would take.
            more = [node.connection() for _ in range(2)]
            for connection in more:
                connection.request("POST", "/v1/chat/completions", json.dumps({**body, "model": "two"}))
            wait_until("two wait", lambda: node.model("two")["waiting"] == 2)
            full = node.chat("two")
            assert full.status == 503 and "5" in full.json["error"]["message"], full
            # One that leaves makes room for one.
            more.pop().close()
            wait_until("one waits", lambda: node.model("two")["waiting"] == 1)
            assert engine_stats(engine_port(node, "one"))["in_flight"] == 1
            release(node, "one")
            release(node, "two")
            for connection in waiting + more:
                assert connection.getresponse().status == 200
                connection.close()
            first.read()
            other.read()
        assert node.chat("one").status == node.chat("two").status == 200
        assert engine_stats(engine_port(node, "one"))["requests"]["/v1/chat/completions"] == 6


# ---- probes ------------------------------------------------------------------------------------

PROBES = ("/health", "/health/ready", "/v1/models", "/v1/models/asleep", "/v1/models/awake", "/metrics", "/api/state",
          "/api/models", "/api/models/asleep", "/")


def test_probes_wake_nobody():
    """200 of each: nothing is loaded, no idle time begins anew, no slot is taken."""
    with Node({"models": {"asleep": engine("asleep"), "awake": engine("awake", idle="1500ms"),
                          "busy": engine("busy", slots=1, idle="never")}}) as node:
        node.chat("busy")
        with held(node, "busy") as stream:
            stream.read(1)
            node.chat("awake")
            used = time.monotonic()
            requests = engine_stats(engine_port(node, "awake"))["requests_total"]
            left, answers, gone = [], 0, None
            connection = node.connection()
            for i in range(200):
                for path in PROBES:
                    connection.request("GET", path)
                    answer = connection.getresponse()
                    body = answer.read()
                    assert answer.status == 200, (path, body)
                    answers += 1
                    if path == "/api/models/asleep":
                        assert json.loads(body)["state"] == "UNLOADED"
                    if path == "/v1/models/awake" and gone is None:
                        row = node.model("awake")
                        if row["state"] == "WARM":
                            left.append(row["idle_left_ms"])
                            assert engine_stats(engine_port(node, "awake"))["requests_total"] == requests if i % 50 == 0 else True
                        else:
                            gone = time.monotonic() - used
                time.sleep(max(0, 0.009 * (i + 1) - (time.monotonic() - used)))
            connection.close()
            assert answers == 200 * len(PROBES)
            # Its idle time ran down all the while, and then it left, on time.
            assert len(left) > 20 and left == sorted(left, reverse=True), left
            wait_until("awake is gone", lambda: node.model("awake")["state"] == "UNLOADED", 3)
            assert gone is None or 1.3 < gone < 2.5, gone
            assert node.model("awake")["loads"] == 1 and node.model("asleep")["loads"] == 0
            assert pid_of(node, "asleep") is None and starts_of(node, "asleep") == 0
            row = node.model("busy")
            assert (row["active"], row["waiting"]) == (1, 0), row
            release(node, "busy")
            stream.read()


# ---- unloading ---------------------------------------------------------------------------------


def test_unload_lets_requests_finish():
    with Node({"models": {"drained": engine("drained", idle="never")}}) as node:
        node.chat("drained")
        first = pid_of(node, "drained")
        with held(node, "drained", frames=8) as stream:
            stream.read(1)
            assert node.post("/api/models/drained/unload").json["state"] == "DRAINING"
            port = engine_port(node, "drained")
            time.sleep(0.2)
            assert node.model("drained")["state"] == "DRAINING" and plexus.alive(first)

            def new():  # asked for while it leaves: served by its next life
                return node.chat("drained"), pid_of(node, "drained")

            def end():
                time.sleep(0.3)
                assert engine_stats(port)["in_flight"] == 1, "a new request went to an engine that leaves"
                engine_get(port, "/_release")
                return stream.read()

            (answer, second), body = parallel(2, lambda i: (new, end)[i]())
            assert answer.status == 200 and second != first and not plexus.alive(first)
            assert body.endswith(b"data: [DONE]\n\n") and len(plexus.frames(b"data: " + body)) >= 8, body
        assert node.model("drained")["loads"] == 2


def test_unload_has_a_deadline():
    with Node({"models": {"stuck": engine("stuck", idle="never", timeouts={"drain": "600ms"})}}) as node:
        node.chat("stuck")
        with held(node, "stuck") as stream:
            stream.read(1)
            began = time.monotonic()
            node.post("/api/models/stuck/unload")
            body = stream.read()
            assert 0.5 < time.monotonic() - began < 4
            error = json.loads(plexus.frames(body)[-1])["error"]
            assert error["type"] == "server_error" and "unloaded" in error["message"], error
        node.wait_state("stuck", "UNLOADED", 5)
        assert pid_of(node, "stuck") is None


def test_load_waits_and_tells():
    with Node({"models": {"slow": engine("slow", "--health-delay-ms", 600),
                          "never": engine("never", "--die-loading", restarts={"max": 0})}}) as node:
        assert node.post("/api/models/slow/load").status == 202
        assert node.model("slow")["state"] == "LOADING"
        answer = node.post("/api/models/slow/load?wait=1")
        assert answer.status == 200 and answer.json["state"] == "WARM", answer
        answer = node.post("/api/models/never/load?wait=1")
        assert answer.status >= 500 and "never" in answer.json["error"]["message"], answer
        assert node.model("never")["state"] == "FAILED" and "load" in node.model("never")["failure"].lower()
        assert node.post("/api/models/nobody/load").status == 404


if __name__ == "__main__":
    plexus.main(globals())
