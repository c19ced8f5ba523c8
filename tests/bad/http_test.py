# http_test.py: clients on their bad days: slow, endless, broken, huge, many.
# timeout: 180
# SPDX-License-Identifier: Apache-2.0
import json
import os
import pathlib
import re
import socket
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
import plexus
from bad import (SANITIZED, chat_body, config, fd_count, metric, model, no_sanitizer_report, read_all, request,
                 rss_kb, split)
from plexus import Node, wait_until

SUITE = pathlib.Path(os.environ.get("PLEXUS_SUITES", plexus.ROOT.parent / "shared/suites")) / "json-parsing"


class Reader:
    """Answers of one kept connection, one after the other."""

    def __init__(self, sock):
        self.sock, self.data = sock, b""

    def more(self):
        part = self.sock.recv(65536)
        if not part:
            raise EOFError(self.data[:300])
        self.data += part

    def answer(self):
        while b"\r\n\r\n" not in self.data:
            self.more()
        head, _, self.data = self.data.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        assert length, head
        n = int(length.group(1))
        while len(self.data) < n:
            self.more()
        body, self.data = self.data[:n], self.data[n:]
        return int(head.split()[1]), head, body


def test_slow_heads():
    """300 clients send their heads byte by byte: others are served, each of the 300 is told 408."""
    with Node(config(model("m"), limits={"head_time": "1500ms"})) as node:
        node.chat("m")
        whole = request("m", extra="X-Long: " + "x" * 20000)
        slow = [node.raw() for _ in range(300)]
        at, slowest, began = 0, 0.0, time.monotonic()
        while time.monotonic() - began < 1.2:
            for sock in slow:
                sock.sendall(whole[at:at + 1])
            at += 1
            one = time.monotonic()
            assert node.chat("m").status == 200
            slowest = max(slowest, time.monotonic() - one)
        assert slowest < (2 if SANITIZED else 0.5), slowest
        for sock in slow:
            sock.settimeout(10)
            status, head, body, whole_answer = split(read_all(sock))
            assert status == 408 and whole_answer and json.loads(body)["error"]["message"], (head, body)
            sock.close()
        wait_until("all gone", lambda: metric(node, "plexus_connections") < 20)
        # one that says nothing at all
        with node.raw() as sock:
            sock.settimeout(10)
            read_all(sock)


def test_slow_bodies():
    with Node(config(model("m"), limits={"body_time": "800ms"})) as node:
        node.chat("m")
        whole = request("m", extra="Connection: close\r\n")
        head_end = whole.index(b"\r\n\r\n") + 4
        stalled = [node.raw() for _ in range(50)]
        for sock in stalled:
            sock.sendall(whole[:head_end + 10])
        # slow, but never silent for long: served
        with node.raw() as sock:
            sock.sendall(whole[:head_end])
            for i in range(head_end, len(whole), 12):
                sock.sendall(whole[i:i + 12])
                time.sleep(0.1)
            sock.settimeout(10)
            assert split(read_all(sock))[0] == 200
        for sock in stalled:
            sock.settimeout(10)
            status, head, body, _ = split(read_all(sock))
            assert status == 408, (head, body)
            sock.close()
        assert metric(node, "plexus_body_bytes") == 0


def test_pipelined():
    with Node(config(model("m"))) as node:
        node.chat("m")
        with node.raw() as sock:
            sock.settimeout(20)
            bad = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}"
            health = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
            order = [request("m", f"!script first_byte_ms={30 if i % 5 == 0 else 0}") if i % 3 == 0
                     else bad if i % 3 == 1 else health for i in range(60)]
            reader = Reader(sock)
            sender = threading.Thread(target=sock.sendall, args=(b"".join(order),))
            sender.start()
            for i in range(60):
                status, head, body = reader.answer()
                assert status == (200, 400, 200)[i % 3], (i, head, body)
                assert (b"chat.completion" in body, b"error" in body, b"ready" in body)[i % 3], (i, body)
            sender.join()
        # many in one write, cut at every place
        data = health * 3
        for cut in range(1, len(data), 7):
            with node.raw() as sock:
                sock.settimeout(5)
                sock.sendall(data[:cut])
                time.sleep(0.001)
                sock.sendall(data[cut:])
                reader = Reader(sock)
                assert [reader.answer()[0] for _ in range(3)] == [200] * 3


def test_ten_thousand_on_one_connection():
    count = 3000 if SANITIZED else 10000
    with Node(config(model("m"))) as node:
        node.chat("m")
        with node.raw() as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.settimeout(30)
            reader, one = Reader(sock), request("m")
            memory = rss_kb(node.process.pid)
            began = time.monotonic()
            for i in range(count):
                sock.sendall(one)
                status, _, body = reader.answer()
                assert status == 200, (i, body)
            print(f"{count} in {time.monotonic() - began:.1f} s, memory {rss_kb(node.process.pid) - memory:+d} KiB")
            assert metric(node, "plexus_connections") < 10


def test_json_test_suite():
    files = sorted(SUITE.glob("**/*.json")) if SUITE.is_dir() else []
    if not files:
        print("  the suite is not here: own cases only")
    own = {"n_broken_utf8": b'{"model":"m","messages":[{"role":"user","content":"\xff\xfe"}]}',
           "n_overlong": b'{"model":"m\xc0\x80","messages":[]}', "n_surrogate": b'{"model":"\xed\xa0\x80"}',
           "n_trailing": b'{"model":"m"} x', "n_empty": b"", "n_nul": b'{"model":"m"\0}',
           "n_two": b'{"model":"m"}{"model":"m"}', "y_bom_free": b'{"model": "none", "messages": []}'}
    cases = [(name, text) for name, text in own.items()] + [(f.name, f.read_bytes()) for f in files]
    with Node(config(model("m"))) as node:
        node.chat("m")
        counts = {}
        connection = node.connection()
        for name, text in cases:
            for path in ("/v1/chat/completions", "/v1/embeddings", "/v1/anything"):
                connection.request("POST", path, text, {"Content-Type": "application/json"})
                answer = connection.getresponse()
                body = answer.read()
                counts[answer.status] = counts.get(answer.status, 0) + 1
                assert answer.status in (400, 404), (name, path, answer.status, body)
                message = json.loads(body)["error"]["message"]
                if name.startswith("n_"):
                    assert answer.status == 400, (name, path, body)
                if name.startswith("y_"):  # right JSON: what is wrong is its content
                    assert "valid JSON" not in message, (name, path, message)
        # and inside of a right request: passed on as it came
        for f in files:
            if not f.name.startswith("y_"):
                continue
            try:
                text = b'{"model":"m","messages":[{"role":"user","content":"x"}],"extra":' + f.read_bytes() + b"}"
            except ValueError:
                continue
            connection.request("POST", "/v1/chat/completions", text, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            body = answer.read()
            assert answer.status == 200, (f.name, body)
        print(len(cases), "bodies:", counts)
        assert node.process.poll() is None
        no_sanitizer_report(node)


def test_deep_json():
    with Node(config(model("m"))) as node:
        node.chat("m")
        for depth in (20000, 2000000):
            for opening, closing in ((b"[", b"]"), (b'{"a":', b"}")):
                for text in (opening * depth, opening * depth + b"1" + closing * depth,
                             b'{"model":"m","messages":' + opening * depth + b"1" + closing * depth + b"}"):
                    answer = node.post("/v1/chat/completions", text)
                    assert answer.status == 400 and "error" in answer.json, (depth, text[:20], answer)
        # within an extra field too: the whole body is looked at
        answer = node.post("/v1/chat/completions", chat_body("m")[:-1] + b',"x":' + b"[" * 20000 + b"]" * 20000 + b"}")
        assert answer.status == 400, answer
        assert node.chat("m").status == 200
        no_sanitizer_report(node)


def test_large_bodies():
    """8 bodies of 32 MiB at once under a budget of 100 MiB: some are told 503, all are answered."""
    with Node(config(model("m"), limits={"bodies": "100MiB", "body": "33MiB"})) as node:
        node.chat("m")
        pid, memory = node.process.pid, rss_kb(node.process.pid)
        body = chat_body("m", "x" * (32 << 20))
        head = (f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                f"Content-Length: {len(body)}\r\n\r\n").encode()
        results, highest, stop = [], [0], threading.Event()

        def send():
            with node.raw() as sock:
                sock.settimeout(60)
                try:
                    sock.sendall(head)
                    for i in range(0, len(body), 1 << 20):
                        sock.sendall(body[i:i + (1 << 20)])
                except (BrokenPipeError, ConnectionResetError):
                    pass
                results.append(read_all(sock))

        def watch():
            while not stop.wait(0.02):
                highest[0] = max(highest[0], rss_kb(pid))

        watcher = threading.Thread(target=watch)
        watcher.start()
        threads = [threading.Thread(target=send) for _ in range(8)]
        for thread in threads:
            thread.start()
        slowest = 0.0
        while any(thread.is_alive() for thread in threads):
            one = time.monotonic()
            assert node.get("/health").status == 200
            slowest = max(slowest, time.monotonic() - one)
            time.sleep(0.01)
        stop.set()
        watcher.join()
        statuses = sorted(split(r)[0] if r else 0 for r in results)
        print(f"{statuses}, memory at most {(highest[0] - memory) / 1024:+.0f} MiB, /health at most {slowest * 1000:.0f} ms")
        assert len(results) == 8 and set(statuses) <= {200, 503}, statuses
        assert 200 in statuses and 503 in statuses, statuses
        assert SANITIZED or highest[0] - memory < 300 * 1024
        assert slowest < (3 if SANITIZED else 1), slowest
        wait_until("the budget is free", lambda: metric(node, "plexus_body_bytes") == 0)
        with node.raw() as sock:
            sock.settimeout(10)
            sock.sendall(head.replace(str(len(body)).encode(), str(34 << 20).encode()))
            assert split(read_all(sock))[0] == 413
        assert node.chat("m").status == 200
        no_sanitizer_report(node)


def chunked(body, sizes):
    out, at, i = b"", 0, 0
    while at < len(body):
        part = body[at:at + sizes[i % len(sizes)]]
        out += f"{len(part):x}\r\n".encode() + part + b"\r\n"
        at, i = at + len(part), i + 1
    return out + b"0\r\n\r\n"


def test_chunked_requests():
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    with Node(config(model("m"), limits={"body": "1MiB"})) as node:
        node.chat("m")
        body = chat_body("m", "x" * 300)
        with node.raw() as sock:
            sock.settimeout(10)
            reader = Reader(sock)
            for sizes in ([1], [3, 1, 17], [100000]):
                sock.sendall(head + chunked(body, sizes))
                status, _, got = reader.answer()
                assert status == 200, got
            for byte in head + chunked(body, [50]):  # a byte a packet
                sock.sendall(bytes([byte]))
            assert reader.answer()[0] == 200
            sock.sendall(head + chunked(body, [50])[:-2] + b"Trailer: x\r\n\r\n")
            assert reader.answer()[0] == 200
        for bad in (b"zz\r\n", b"-1\r\n", b"5\r\nabcdefgh", b"ffffffffffffffffff\r\n", b"5;" + b"x" * 200000,
                    b"".join(b"1;" + b"y" * 1000 + b"\r\n \r\n" for _ in range(300)),
                    b"0\r\n" + b"X-T: %s\r\n" % (b"t" * 1000) * 300):
            with node.raw() as sock:
                sock.settimeout(15)
                try:
                    sock.sendall(head + bad)
                except (BrokenPipeError, ConnectionResetError):
                    pass
                answer = read_all(sock)
                assert not answer or split(answer)[0] in (400, 408, 413, 431), answer
                assert answer, bad[:20]
        with node.raw() as sock:  # without an end: over the limit
            sock.settimeout(15)
            try:
                sock.sendall(head)
                for _ in range(100):
                    sock.sendall(b"10000\r\n" + b" " * 65536 + b"\r\n")
            except (BrokenPipeError, ConnectionResetError):
                pass
            answer = read_all(sock)
            assert not answer or split(answer)[0] == 413, answer[:300]
        assert metric(node, "plexus_body_bytes") == 0
        assert node.chat("m").status == 200
        no_sanitizer_report(node)


def test_rubbish():
    """Random bytes, TLS hellos, other protocols: an error or a closed connection, never more."""
    import random
    dice = random.Random(7)
    good = request("m")
    with Node(config(model("m"))) as node:
        node.chat("m")
        fds = fd_count(node.process.pid)
        cases = [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500), b"SSH-2.0-x\r\n", b"\0" * 100,
                 b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET /\r\n", b"\r\n" * 1000, b"GET " + b"/" * 100000]
        cases += [bytes(dice.randrange(256) for _ in range(200)) for _ in range(100)]
        for _ in range(400):  # a right request with a few bytes changed
            data = bytearray(good)
            for _ in range(dice.randrange(1, 4)):
                data[dice.randrange(len(data))] = dice.randrange(256)
            cases.append(bytes(data))
        for data in cases:
            with node.raw() as sock:
                sock.settimeout(5)
                try:
                    sock.sendall(data)
                    sock.shutdown(socket.SHUT_WR)
                except OSError:
                    pass
                answer = read_all(sock)
                if answer:
                    assert answer.startswith(b"HTTP/1.1 "), (data[:80], answer[:80])
        wait_until("all closed", lambda: fd_count(node.process.pid) <= fds + 16)
        assert node.chat("m").status == 200
        no_sanitizer_report(node)


plexus.main(globals())
