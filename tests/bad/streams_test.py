# streams_test.py: many open streams while engines die, readers that do not read, clients that vanish.
# timeout: 180
# SPDX-License-Identifier: Apache-2.0
import os
import resource
import selectors
import signal
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
import plexus
from bad import (SANITIZED, config, fd_count, metric, model, no_sanitizer_report, read_all, request, reset,
                 rss_kb, scripted_pids, split, stream_end)
from plexus import Node, wait_until

soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 16384), hard))
MEMORY_SLACK_KB = 200000 if SANITIZED else 8192  # a sanitizer keeps freed memory for a while


def collect(socks, seconds):
    """Reads all of them to their ends at once; returns the answers' bytes, None where none came."""
    selector, parts = selectors.DefaultSelector(), [[] for _ in socks]
    for i, sock in enumerate(socks):
        sock.setblocking(False)
        selector.register(sock, selectors.EVENT_READ, i)
    open_count, until = len(socks), time.monotonic() + seconds
    while open_count and time.monotonic() < until:
        for key, _ in selector.select(0.5):
            try:
                data = key.fileobj.recv(262144)
            except BlockingIOError:
                continue
            except ConnectionResetError:
                data = b""
            if data:
                parts[key.data].append(data)
            else:
                selector.unregister(key.fileobj)
                open_count -= 1
    assert open_count == 0, f"{open_count} connections are still open after {seconds} s"
    for sock in socks:
        sock.close()
    return [b"".join(p) for p in parts]


def test_thousand_streams_while_engines_restart():
    count = 1000
    more = {"restarts": {"max": 50, "pause": "5ms"}, "queue": 2000}
    with Node(config(model("a", **more), model("b", **more), limits={"queue": 4000})) as node:
        for name in ("a", "b"):
            node.chat(name)
        pid = node.process.pid
        fds, memory = fd_count(pid), rss_kb(pid)
        socks = []
        for i in range(count):
            sock = node.raw()
            sock.sendall(request("ab"[i % 2], f"!script frames={15 + i % 46} gap_ms=100 size=64", "Connection: close\r\n",
                                 stream=True))
            socks.append(sock)
        wait_until("all of them stream", lambda: metric(node, "plexus_model_active") >= count * 0.8, 30)
        stop = threading.Event()

        def kill_engines():
            for _ in range(3):
                if stop.wait(1.0):
                    return
                for engine in scripted_pids(node):
                    os.kill(engine, signal.SIGKILL)

        killer = threading.Thread(target=kill_engines)
        killer.start()
        try:
            answers = collect(socks, 60)
        finally:
            stop.set()
            killer.join()
        ends = {"done": 0, "error": 0}
        for answer in answers:
            assert answer, "silence: a stream ended without a byte"
            status, head, body, whole = split(answer)
            if status == 200:
                end = stream_end(body)
                assert end != "silent" and whole, (head, body[-300:], whole)
            else:
                assert status in (502, 503) and whole and b'"error"' in body, (head, body)
                end = "error"
            ends[end] += 1
        print(ends)
        assert node.chat("a").status == 200 and node.chat("b").status == 200
        wait_until("nothing is active", lambda: metric(node, "plexus_model_active") == 0)
        wait_until("descriptors are given back", lambda: fd_count(pid) <= fds + 8, 20)
        grown = rss_kb(pid) - memory
        print(f"memory after {count} streams: {grown:+d} KiB")
        assert grown < MEMORY_SLACK_KB, grown
        no_sanitizer_report(node)


def test_streams_that_no_engine_breaks_are_whole():
    """The same crowd in peace: each stream complete and in order."""
    with Node(config(model("a"))) as node:
        node.chat("a")
        socks = []
        for _ in range(500):
            sock = node.raw()
            sock.sendall(request("a", "!script frames=20 gap_ms=20", "Connection: close\r\n", stream=True))
            socks.append(sock)
        for answer in collect(socks, 60):
            status, head, body, whole = split(answer)
            assert status == 200 and whole and stream_end(body) == "done", body[-300:]
            words = [part.split(b'"content":"')[1].split()[0].rstrip(b'"') for part in body.split(b"\n\n")
                     if b'"content":"' in part]
            numbers = [int(word) for word in words if word.isdigit()]
            assert numbers == list(range(numbers[0], numbers[0] + 20)), numbers


def test_readers_that_do_not_read():
    """50 clients leave 50 MB each unread: the engine's streams are held, not the node's memory."""
    with Node(config(model("a"), model("b"))) as node:
        node.chat("a")
        node.chat("b")
        pid, memory = node.process.pid, rss_kb(node.process.pid)
        slow = []
        for _ in range(50):
            sock = node.raw()
            sock.sendall(request("a", "!script frames=50 big=1000000", "Connection: close\r\n", stream=True))
            slow.append(sock)
        time.sleep(0.5)
        port, highest = plexus.engine_port(node, "a"), 0
        last, until = -1e9, time.monotonic() + 20
        while time.monotonic() < until:  # until the engine is held
            highest = max(highest, rss_kb(pid))
            made = plexus.engine_stats(port)["body_bytes"]
            one = time.monotonic()
            assert node.chat("b").status == 200
            assert time.monotonic() - one < (3 if SANITIZED else 1), "others wait"
            if made - last < 5e6:
                break
            last = made
            time.sleep(0.5)
        grown = highest - memory
        print(f"engine made {last / 1e6:.0f} MB of 2500, node grew by {grown} KiB, {grown / 50:.0f} each")
        assert last < 1500e6, last
        assert grown < 50 * 2300 + MEMORY_SLACK_KB, grown
        # one of them begins to read: its stream goes on to its end, whole
        data = read_all(slow.pop())
        status, head, body, whole = split(data)
        assert status == 200 and whole and len(body) > 50e6 and stream_end(body) == "done"
        # one leaves: its work ends
        before = plexus.engine_stats(port)["aborted"]
        reset(slow.pop())
        wait_until("the engine heard of it", lambda: plexus.engine_stats(port)["aborted"] > before, 10)
        for sock in slow:
            reset(sock)
        wait_until("nothing is active", lambda: node.model("a")["active"] == 0)
        wait_until("the engine is idle", lambda: plexus.engine_stats(port)["in_flight"] == 0)
        no_sanitizer_report(node)


def vanish(node, name, text, wait, stream=True):
    """Sends a request, waits for a condition or a piece of the answer, and vanishes."""
    sock = node.raw()
    sock.sendall(request(name, text, stream=stream))
    if callable(wait):
        wait_until("stage", wait)
    else:
        got = b""
        while wait not in got:
            part = sock.recv(65536)
            assert part, got
            got += part
    return sock


def test_vanishing_clients():
    with Node(config(model("m", slots=2), model("slow", "--health-delay-ms", 1500))) as node:
        node.chat("m")
        port = plexus.engine_port(node, "m")

        def stats(key):
            return plexus.engine_stats(port)[key]

        stages = [
            ("before the first byte", "!script first_byte_ms=60000", lambda: stats("in_flight") >= 1, True),
            ("plain, before the first byte", "!script first_byte_ms=60000", lambda: stats("in_flight") >= 1, False),
            ("behind the head", "!script frames=1000 gap_ms=1000", b"data: ", True),
            ("in mid-stream", "!script frames=100000 gap_ms=1", b'"content":"20 ', True),
            ("while the engine holds", "!script frames=10 hold_at=3", b"data: ", True),
            ("in the middle of a large answer", "!script frames=100 big=1000000", b"data: ", True),
        ]
        for how in ("reset", "closed"):
            for name, text, wait, stream in stages:
                before = stats("aborted")
                sock = vanish(node, "m", text, wait, stream)
                began = time.monotonic()
                reset(sock) if how == "reset" else sock.close()
                wait_until(f"{name}, {how}: the engine heard", lambda: stats("aborted") == before + 1, 10)
                wait_until(f"{name}: the slot is free", lambda: node.model("m")["active"] == 0, 5)
                took = time.monotonic() - began
                assert took < (3 if SANITIZED else 1), (name, took)
        assert metric(node, "plexus_model_requests_total", model="m", status="aborted") >= 12
        # both slots are free: two at once are served beside each other
        assert node.chat("m").status == 200
        # one that leaves while it waits for a slot
        holders = [vanish(node, "m", "!script frames=10 hold_at=3", b"data: ") for _ in range(2)]
        waiter = vanish(node, "m", "hello", lambda: node.model("m")["waiting"] == 1)
        reset(waiter)
        wait_until("the waiting one is forgotten", lambda: node.model("m")["waiting"] == 0)
        for holder in holders:
            reset(holder)
        # one that leaves while its model loads
        waiter = vanish(node, "slow", "hello", lambda: node.model("slow")["waiting"] == 1)
        reset(waiter)
        wait_until("forgotten", lambda: node.model("slow")["waiting"] == 0)
        node.wait_state("slow", "WARM")
        assert plexus.engine_stats(plexus.engine_port(node, "slow"))["requests"].get("/v1/chat/completions", 0) == 0
        # half a head, half a body
        for part in (b"POST /v1/chat/completions HTT", request("m")[:-5]):
            for how in ("reset", "closed"):
                sock = node.raw()
                sock.sendall(part)
                time.sleep(0.02)
                reset(sock) if how == "reset" else sock.close()
        wait_until("no body is kept", lambda: metric(node, "plexus_body_bytes") == 0)
        assert node.chat("m").status == 200
        no_sanitizer_report(node)


def test_storm_of_vanishing_clients():
    """2,000 clients leave at odd moments: nothing is left of them."""
    import random
    dice = random.Random(3)
    with Node(config(model("m", slots=16, queue=4000))) as node:
        node.chat("m")
        pid = node.process.pid
        fds, port = fd_count(pid), plexus.engine_port(node, "m")
        socks = []
        for i in range(2000):
            sock = node.raw()
            whole = request("m", f"!script frames={dice.randrange(1, 30)} gap_ms={dice.randrange(0, 3)}",
                            stream=dice.random() < 0.7)
            sock.sendall(whole[:dice.randrange(1, len(whole))] if dice.random() < 0.2 else whole)
            socks.append(sock)
            if len(socks) > 60:
                reset(socks.pop(dice.randrange(len(socks))))
        for sock in socks:
            reset(sock)
        wait_until("the queue is empty", lambda: metric(node, "plexus_model_waiting") == 0, 20)
        wait_until("nothing is active", lambda: metric(node, "plexus_model_active") == 0, 20)
        wait_until("engine idle", lambda: plexus.engine_stats(port)["in_flight"] == 0, 20)
        wait_until("descriptors", lambda: fd_count(pid) <= fds + 70, 20)  # kept engine connections
        assert node.chat("m").status == 200
        no_sanitizer_report(node)


plexus.main(globals())
