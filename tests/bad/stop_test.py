# stop_test.py: the node is asked to stop under load, killed, told to reload without end.
# timeout: 180
# SPDX-License-Identifier: Apache-2.0
import json
import os
import pathlib
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
import plexus
from bad import (SANITIZED, config, every_line_is_json, model, no_sanitizer_report, read_all, request, scripted_pids,
                 split, stream_end)
from plexus import Node, wait_until


class Load(threading.Thread):
    """`lanes` connections, each with one request after the other; a stream every second time. Keeps
    what became of each request."""

    def __init__(self, port, lanes, kinds):
        super().__init__(daemon=True)
        self.port, self.lanes, self.kinds = port, lanes, kinds
        self.ends, self.bad, self.accepted = {}, [], 0
        self.stopping = threading.Event()  # the node was told; refused connections are right from here
        self.ids = []

    def open(self, i):
        sock = socket.socket()
        sock.setblocking(True)
        sock.connect(("127.0.0.1", self.port))
        kind = self.kinds[i % len(self.kinds)]
        sock.sendall(request("m", kind[1], "Connection: close\r\n" if i % 3 else "", stream=kind[0]))
        sock.setblocking(False)
        return sock

    def run(self):
        selector, i, live = selectors.DefaultSelector(), 0, 0
        def begin():
            nonlocal i, live
            i += 1
            try:
                sock = self.open(i)
            except (ConnectionRefusedError, ConnectionResetError, BrokenPipeError):
                return False
            selector.register(sock, selectors.EVENT_READ, [i, bytearray()])
            live += 1
            return True
        refused = False
        while live or not refused:
            while live < self.lanes and not refused:
                refused = not begin()
                if refused and not self.stopping.is_set():
                    self.bad.append("refused before the stop")
            for key, _ in selector.select(1):
                number, data = key.data
                try:
                    part = key.fileobj.recv(65536)
                except BlockingIOError:
                    continue
                except ConnectionResetError:
                    part = None
                if part:
                    data += part
                ended = not part or (number % 3 == 0 and self.whole(bytes(data)))
                if ended:
                    selector.unregister(key.fileobj)
                    key.fileobj.close()
                    live -= 1
                    self.judge(number, bytes(data), part is None)

    @staticmethod
    def whole(data):
        try:
            return split(data)[3] and (b"\r\n\r\n" in data)
        except (IndexError, ValueError):
            return False

    def judge(self, number, data, was_reset):
        if not data:  # closed or reset without a byte: only right when it never was accepted
            self.ends["none"] = self.ends.get("none", 0) + 1
            return
        status, head, body, whole = split(data)
        if not whole:
            self.bad.append(("cut", number, was_reset, head, body[-200:]))
        elif status == 200 and b"event-stream" in head:
            end = stream_end(body)
            if end == "silent":
                self.bad.append(("silent", number, head, body[-200:]))
            self.ends[end] = self.ends.get(end, 0) + 1
        elif status in (200, 502, 503):
            json.loads(body)
            self.ends[status] = self.ends.get(status, 0) + 1
        else:
            self.bad.append(("status", number, head, body))


KINDS = [(True, "!script frames=20 gap_ms=30"), (False, "!script first_byte_ms=200"), (True, "!script frames=3"),
         (False, "hello")]


def run_load(node, kinds, act, lanes=200):
    load = Load(node.port, lanes, kinds)
    load.start()
    time.sleep(0.8)
    load.stopping.set()
    began = time.monotonic()
    act()
    code = node.process.wait(40)
    took = time.monotonic() - began
    load.join(20)
    assert not load.is_alive()
    return load, code, took


def lost(node, load):
    """Requests that the node read whole but whose client heard nothing: the access log knows them."""
    file = node.data / "logs/access.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    answered = sum(load.ends.values()) - load.ends.get("none", 0)
    return [r for r in rows if r["outcome"] in ("E_CLOSED", "E_CANCELLED")], len(rows), answered


def test_sigterm_under_load():
    with Node(config(model("m"), limits={"drain": "10s"})) as node:
        node.chat("m")
        load, code, took = run_load(node, KINDS, lambda: node.process.send_signal(signal.SIGTERM))
        print(f"exit {code} after {took:.1f} s: {load.ends}")
        assert code == 0 and took < 10, (code, took)
        assert not load.bad, load.bad[:3]
        cut, rows, answered = lost(node, load)
        assert not cut, cut[:3]
        assert rows - 1 == answered, (rows, answered, load.ends)
        assert not load.ends.get("error"), "all could finish before the deadline"
        no_sanitizer_report(node)


def test_drain_deadline():
    """Streams that do not end in time get their error event; the engine does not hold the end up."""
    with Node(config(model("m"), limits={"drain": "1s"})) as node:
        node.chat("m")
        kinds = [(True, "!script frames=1000 gap_ms=100"), (False, "!script first_byte_ms=60000")]
        load, code, took = run_load(node, kinds, lambda: node.process.send_signal(signal.SIGTERM))
        print(f"exit {code} after {took:.1f} s: {load.ends}")
        assert code == 0 and 0.9 < took < (8 if SANITIZED else 4), (code, took)
        assert not load.bad, load.bad[:3]
        assert load.ends.get("error", 0) >= 90 and load.ends.get(503, 0) >= 90, load.ends
        no_sanitizer_report(node)


def test_stopping_while_a_model_loads():
    """Who waits for a model is told, waits no longer than the deadline; its engine goes."""
    with Node(config(model("m", "--health-delay-ms", 60000), limits={"drain": "1s"})) as node:
        load, code, took = run_load(node, [(True, "hello"), (False, "hello")],
                                    lambda: node.process.send_signal(signal.SIGTERM), lanes=50)
        print(f"exit {code} after {took:.1f} s: {load.ends}")
        assert code == 0 and took < (8 if SANITIZED else 4), (code, took)
        assert not load.bad and not load.ends.get("none"), (load.bad[:3], load.ends)


def test_second_signal_hurries():
    for first, second in ((signal.SIGTERM, signal.SIGTERM), (signal.SIGINT, signal.SIGINT),
                          (signal.SIGINT, signal.SIGTERM)):
        with Node(config(model("m", "--term-waits"), limits={"drain": "60s"})) as node:
            node.chat("m")

            def twice():
                node.process.send_signal(first)
                time.sleep(0.3)
                node.process.send_signal(second)

            load, code, took = run_load(node, [(True, "!script frames=1000 gap_ms=100")], twice, lanes=20)
            assert code == 0 and took < 8, (code, took)
            assert not load.bad and load.ends.get("error") == 20, (load.bad[:3], load.ends)


def test_hurried_end_with_large_bodies():
    """The end comes while helper threads still look at large bodies, and while keys are written."""
    body = b'{"model":"m","messages":[{"role":"user","content":"x"}],"x":[' + b"1," * 4000000 + b"1]}"
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    for wait in (0, 0.005, 0.02, 0.05):
        with Node(config(model("m"))) as node:
            node.chat("m")
            socks = []
            for _ in range(4):
                sock = node.raw()
                sock.sendall(head + body)
                socks.append(sock)
            for _ in range(4):
                sock = node.raw()
                sock.sendall(b"POST /api/keys HTTP/1.1\r\nHost: localhost\r\nContent-Length: 12\r\n\r\n"
                             b'{"name":"k"}')
                sock.sendall(b"GET /api/doctor HTTP/1.1\r\nHost: localhost\r\n\r\n")
                socks.append(sock)
            time.sleep(wait)
            node.process.send_signal(signal.SIGTERM)
            node.process.send_signal(signal.SIGTERM)
            time.sleep(wait)
            if node.process.poll() is None:
                node.process.send_signal(signal.SIGTERM)
            assert node.process.wait(20) == 0
            for sock in socks:
                sock.close()
            no_sanitizer_report(node)


def test_new_connections_are_refused_while_draining():
    with Node(config(model("m"), limits={"drain": "20s"})) as node:
        node.chat("m")
        with node.stream("m", "!script frames=10 gap_ms=200") as answer:
            answer.readline()
            idle = node.raw()
            node.process.send_signal(signal.SIGTERM)
            def refused():
                try:
                    node.raw().close()
                    return False
                except (ConnectionRefusedError, ConnectionResetError):
                    return True
            wait_until("refused", refused, 3)
            idle.settimeout(5)
            assert read_all(idle) == b"", "a connection without a request is closed"
            assert stream_end(answer.read()) == "done", "the running stream ends in peace"
        assert node.process.wait(10) == 0


def test_half_a_request_while_draining():
    """Its head was read: it is answered when its body has come, also while the node stops."""
    with Node(config(model("m"), limits={"drain": "20s"})) as node:
        node.chat("m")
        whole = request("m")
        sock = node.raw()
        sock.sendall(whole[:-20])
        time.sleep(0.2)
        node.process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        assert node.process.poll() is None
        sock.sendall(whole[-20:])
        sock.settimeout(10)
        status, head, body, complete = split(read_all(sock))
        assert status in (200, 503) and complete and b"close" in head.lower(), (head, body)
        assert node.process.wait(10) == 0


def test_interrupt_and_down():
    with Node(config(model("m"))) as node:
        node.chat("m")
        pids = plexus.descendants(node.process.pid)
        began = time.monotonic()
        assert node.stop(signal.SIGINT) == 0 and time.monotonic() - began < 5
        assert not any(plexus.alive(p) for p in pids)
    with Node(config(model("m"))) as node:
        node.chat("m")
        got = node.command("down")
        assert node.process.wait(10) == 0, got
        again = node.command("down", check=False)
        assert again.returncode != 0 and again.stderr.strip(), again


def test_killed_node_leaves_nothing_and_starts_again():
    with Node(config(model("m", "--ignore-term", "--grandchild"), model("n"))) as node:
        node.command("key", "new", "first", "--json")
        keys = (node.data / "keys.json").read_bytes()
        for _ in range(5):
            node.chat("m")
            node.chat("n")
            pids = plexus.descendants(node.process.pid)
            assert len(pids) >= 4, pids
            node.process.kill()
            node.process.wait()
            began = time.monotonic()
            wait_until("nobody is left", lambda: not any(plexus.alive(p) for p in pids), 5)
            took = time.monotonic() - began
            assert took < (3 if SANITIZED else 1), took
            assert (node.data / "run/plexus.sock").exists(), "a stale socket is the case to be tried"
            node.process.stdout.close()
            node.out.close()
            node.start()
        assert (node.data / "keys.json").read_bytes() == keys
        rows = json.loads(node.command("key", "ls", "--json").stdout)
        assert "first" in json.dumps(rows), rows
        every_line_is_json(node.data / "logs/node.jsonl")


def test_killed_while_keys_are_written():
    """keys.json is whole at every moment, and what was answered is in it."""
    with Node(config()) as node:
        known = []
        for round in range(8):
            stop = threading.Event()

            def write():
                while not stop.is_set():
                    try:
                        answer = node.post("/api/keys", {"name": f"k{len(known)}", "scopes": ["models"]}, timeout=5)
                        if answer.status in (200, 201):
                            known.append(answer.json["id"])
                    except (OSError, ValueError, plexus.http.client.HTTPException):
                        return

            writer = threading.Thread(target=write)
            writer.start()
            time.sleep(0.15 + round * 0.013)
            node.process.kill()
            node.process.wait()
            stop.set()
            writer.join()
            text = (node.data / "keys.json").read_text()
            for one in known:
                assert one in text, f"key {one} was given out and is lost"
            json.loads(text)
            node.process.stdout.close()
            node.out.close()
            node.start()
        rows = node.get("/api/keys").json
        assert len(known) >= 8 and all(k in json.dumps(rows) for k in known), len(known)
        print(f"{len(known)} keys in 8 lives")


def test_reload_storm():
    with Node(config(model("m"))) as node:
        node.chat("m")
        pid = scripted_pids(node)
        failures = []

        def ask():
            for _ in range(100):
                answer = node.chat("m")
                if answer.status != 200:
                    failures.append(answer)

        thread = threading.Thread(target=ask)
        thread.start()
        for i in range(200):
            node.process.send_signal(signal.SIGHUP)
            if i % 20 == 0:  # every now and then another configuration, every now and then a wrong one
                new = node.folder / "new.yaml"  # moved into place: an empty file is a configuration too
                new.write_text("models: [" if i % 40 == 0 else json.dumps(node.config))
                new.rename(node.file)
            time.sleep(0.005)
        thread.join()
        assert not failures, failures[:2]
        assert node.process.poll() is None
        assert [p for p in scripted_pids(node) if p in pid] == pid, (
            "nothing changed: the engine stays", pid, node.model("m"))
        node.write()
        listen = {"api": "127.0.0.1:0"}
        # a model more with each reload
        for i in range(10):
            node.write(config(model("m"), *[model(f"m{k}") for k in range(i + 1)],
                              listen=listen))
            assert node.post("/api/config/reload").status == 200
            assert node.chat(f"m{i}").status == 200
        node.write(config(model("m"), listen=listen))
        assert node.post("/api/config/reload").status == 200
        wait_until("the others are gone", lambda: len(node.get("/api/models").json["models"]) == 1)
        wait_until("their engines too", lambda: scripted_pids(node) == pid)
        no_sanitizer_report(node)


def test_daemon():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="plexus-daemon-"))
    file, data = folder / "plexus.yaml", folder / "data"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    file.write_text(json.dumps(config(model("m"), listen={"api": f"127.0.0.1:{port}"})))

    def run(*words):
        return subprocess.run([plexus.PLEXUS, *words, "--data", str(data)], capture_output=True, text=True,
                              timeout=30, cwd=folder)

    node, pid = Node(config(), start=False, folder=folder), 0
    node.port = port
    try:
        file.write_text(json.dumps(config(model("m"), listen={"api": f"127.0.0.1:{port}"})))
        got = run("up", "--daemon", "--config", str(file))
        assert got.returncode == 0 and "serves at" in got.stdout, got
        pid = int((data / "lock").read_text())
        assert os.getsid(pid) == pid, "a session of its own"
        assert node.chat("m").status == 200
        again = run("up", "--daemon", "--config", str(file))
        assert again.returncode != 0 and "data folder" in again.stderr, again
        assert node.chat("m").status == 200
        got = run("down")
        assert got.returncode == 0, got
        wait_until("the daemon ended", lambda: not plexus.alive(pid), 10)
        broken = folder / "broken.yaml"
        broken.write_text("models: {m: {engine: nothing}}")
        got = run("up", "--daemon", "--config", str(broken))
        assert got.returncode == 78 and got.stderr.strip(), got
    finally:
        if pid and plexus.alive(pid):
            os.kill(pid, signal.SIGKILL)
        shutil.rmtree(folder, ignore_errors=True)


plexus.main(globals())
