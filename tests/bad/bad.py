# bad.py: what the tests of bad days share: models on the scripted engine, events, figures of the
# node's process, raw HTTP.
# SPDX-License-Identifier: Apache-2.0
import http.client
import json
import os
import pathlib
import re
import socket
import struct
import threading
import time

import plexus

MESSAGES = [{"role": "user", "content": "hello"}]
SANITIZED = "san" in pathlib.Path(plexus.PLEXUS).parts[-2:][0] or bool(os.environ.get("PLEXUS_SLOW"))


def model(name, *options, **more):
    """Configuration of one model on the scripted engine."""
    return {name: {"engine": "command", "kind": "chat", "health": "/health",
                   "command": plexus.scripted(*options, name=name), **more}}


def config(*models, **more):
    merged = {}
    for one in models:
        merged.update(one)
    return {"models": merged, **more}


def chat_body(name, text="hello", **more):
    return json.dumps({"model": name, "messages": [{"role": "user", "content": text}], **more}).encode()


def request(name, text="hello", extra="", path="/v1/chat/completions", **more):
    """A whole request as bytes."""
    body = chat_body(name, text, **more)
    return (f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{extra}"
            f"Content-Length: {len(body)}\r\n\r\n").encode() + body


def read_all(sock):
    """Everything until the other side closes; what came before a reset counts too."""
    parts = []
    try:
        while part := sock.recv(65536):
            parts.append(part)
    except ConnectionResetError:
        parts.append(b"")
    return b"".join(parts)


def dechunk(data):
    """Body of a chunked answer and whether its end came."""
    body, at = [], 0
    while True:
        line = data.find(b"\r\n", at)
        if line < 0:
            return b"".join(body), False
        size = int(data[at:line].split(b";")[0], 16)
        if size == 0:
            return b"".join(body), True
        part = data[line + 2:line + 2 + size]
        body.append(part)
        if len(part) < size:
            return b"".join(body), False
        at = line + 2 + size + 2


def split(answer):
    """status, head, body of one raw answer that ended with its connection."""
    head, _, body = answer.partition(b"\r\n\r\n")
    status = int(head.split()[1])
    if b"transfer-encoding: chunked" in head.lower():
        body, whole = dechunk(body)
    else:
        length = re.search(rb"(?i)content-length: (\d+)", head)
        whole = not length or len(body) == int(length.group(1))
    return status, head, body, whole


def reset(sock):
    """Closes with RST: the client vanished."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def status_field(pid, name):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1])
    raise AssertionError(name)


def rss_kb(pid):
    return status_field(pid, "VmRSS")


def fd_count(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def metric(node, name, **labels):
    """Sum over the rows of a metric that carry these labels."""
    total, found = 0.0, False
    for line in node.get("/metrics").body.decode().splitlines():
        if line.startswith((name + " ", name + "{")) and all(f'{k}="{v}"' in line for k, v in labels.items()):
            total += float(line.rsplit(" ", 1)[1])
            found = True
    assert found, f"no metric {name} {labels}"
    return total


def last_event_is_error(text):
    """The error object when a stream's last event is one."""
    events = plexus.frames(text)
    if not events or events[-1] == "[DONE]":
        return None
    value = json.loads(events[-1])
    return value.get("error")


def stream_end(text):
    """'done', 'error', or 'silent' for the body of an SSE answer."""
    events = plexus.frames(text)
    if events and events[-1] == "[DONE]":
        return "done"
    return "error" if last_event_is_error(text) else "silent"


class Events:
    """/api/events in a thread of its own: (monotonic time, event, data) in order."""

    def __init__(self, node):
        self.list, self.changed = [], threading.Condition()
        self.connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=120)
        self.connection.request("GET", "/api/events")
        self.answer = self.connection.getresponse()
        assert self.answer.status == 200
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        event = "message"
        try:
            while line := self.answer.readline():
                now = time.monotonic()
                line = line.decode().rstrip("\n")
                if line.startswith("event: "):
                    event = line[7:]
                elif line.startswith("data: "):
                    with self.changed:
                        self.list.append((now, event, json.loads(line[6:])))
                        self.changed.notify_all()
        except (OSError, ValueError, AttributeError):
            pass

    def wait(self, what, match, after=0, seconds=15):
        """The first event behind place `after` that matches; returns (place, time, data)."""
        until = time.monotonic() + seconds
        with self.changed:
            while True:
                for i, (at, event, data) in enumerate(self.list[after:], after):
                    if match(event, data):
                        return i, at, data
                if not self.changed.wait(max(0, until - time.monotonic())) and time.monotonic() > until:
                    raise AssertionError(f"no event within {seconds} s: {what}")

    def close(self):
        try:
            self.connection.sock.shutdown(socket.SHUT_RDWR)
        except (OSError, AttributeError):
            pass
        self.thread.join(5)


def scripted_pids(node, name=None):
    """Processes of scripted engines below the node (it runs other helpers too)."""
    return [pid for pid in node.engine_pids()
            if (words := plexus.cmdline(pid).split(b"\0"))[0].endswith(b"scripted")
            and (name is None or name.encode() in words)]


def every_line_is_json(file):
    for line in pathlib.Path(file).read_bytes().splitlines():
        json.loads(line)


def no_sanitizer_report(node):
    text = (node.folder / "out.log").read_text(errors="replace")
    for word in ("AddressSanitizer", "runtime error:", "LeakSanitizer", "Assertion"):
        assert word not in text, node.log()
