#!/usr/bin/env python3
# alerts_test.py: what a webhook hears: an HTTP server that answers, is away, is slow, refuses.
# SPDX-License-Identifier: Apache-2.0
import contextlib
import hashlib
import hmac
import http.server
import json
import pathlib
import re
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import mesh  # noqa: E402
import netns  # noqa: E402
import plexus  # noqa: E402
from mesh import Mesh  # noqa: E402
from plexus import Node, parallel, scripted, wait_until  # noqa: E402

SECRET = "a shared secret"
TALK = {"engine": "command", "command": scripted(name="talk"), "health": "/health", "kind": "chat"}


class Hook:
    """A webhook. answer(n): the status of the n-th POST, or a function that does what it likes with the handler."""

    def __init__(self, port=0, answer=lambda n: 204, inside=contextlib.nullcontext):
        hook = self
        self.seen, self.answer, self.lock, self.open, self.most = [], answer, threading.Lock(), 0, 0

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                with hook.lock:
                    hook.open += 1
                    hook.most = max(hook.most, hook.open)
                    hook.seen.append((dict(self.headers), body, self.path))
                    what = hook.answer(len(hook.seen) - 1)
                status = what(self) if callable(what) else what
                with hook.lock:
                    hook.open -= 1
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            allow_reuse_address, daemon_threads = True, True

        with inside():
            self.server = Server(("127.0.0.1", port), Handler)
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/hook?team=a%20b"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def events(self):
        with self.lock:
            return [json.loads(body) for _, body, _ in self.seen]

    def wait(self, count, seconds=15):
        try:
            wait_until("", lambda: len(self.events) >= count, seconds)
        except AssertionError:
            raise AssertionError(f"{len(self.events)} alerts of {count} came within {seconds} s: {self.events}") from None
        return self.events

    def find(self, kind, subject=None, seconds=15):
        def one():
            return next((e for e in self.events if e["type"] == f"plexus.{kind}" and subject in (None, e["subject"])), None)
        try:
            return wait_until("", one, seconds)
        except AssertionError:
            raise AssertionError(f"no alert {kind} of {subject} within {seconds} s: {self.events}") from None

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.server.shutdown()
        self.server.server_close()


def alerts(url, **more):
    return {"webhook": url, "secret": {"env": "ALERTS_SECRET"}, **more}


def one_node(url, models=None, **more):
    return Node({"models": models or {"talk": TALK}, "alerts": alerts(url, **more)}, env={"ALERTS_SECRET": SECRET})


def refuse(node, who):
    """A request whose label is above what the key of this name may read."""
    if who not in node.__dict__.setdefault("made", {}):
        node.made[who] = node.new_key(who, clearance="public")["key"]
    got = node.chat("talk", headers={"Authorization": "Bearer " + node.made[who], "X-Plexus-Label": "confidential"})
    assert got.status == 403, got


def figure(node, name):
    return float(re.search(rf"^plexus_alerts_{name} (\S+)$", node.get("/metrics").body.decode(), re.M)[1])


def logged(node, event):
    return [line for line in node.log_lines() if line["event"] == event]


def test_an_alert_is_a_signed_event():
    with Hook() as hook, one_node(hook.url) as node:
        refuse(node, "visitor")
        event = hook.wait(1)[0]
        headers, body, path = hook.seen[0]
        assert path == "/hook?team=a%20b", path
        assert headers["Content-Type"].startswith("application/cloudevents+json"), headers
        assert headers["X-Plexus-Signature"] == "sha256=" + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
        assert event["specversion"] == "1.0" and event["type"] == "plexus.security.violation", event
        assert event["subject"] == "read_reply: the key visitor", event
        assert event["source"].startswith("/nodes/") and len(event["id"]) == 32, event
        data = event["data"]
        assert data["severity"] == "critical" and data["count"] == 1 and "SecurityViolationError" in data["message"], data
        assert event["time"] == data["first"] == data["last"], event
        wait_until("it is counted", lambda: figure(node, "sent_total") == 1)
        assert SECRET not in node.get("/metrics").body.decode() + node.owner("GET", "/api/config").body.decode()


def test_away_and_back_nothing_lost_in_order():
    port = plexus.free_port()
    with one_node(f"http://127.0.0.1:{port}/") as node:
        names = [f"k{i}" for i in range(12)]
        for name in names:
            refuse(node, name)
        for _ in range(4):
            refuse(node, "k11")  # waits, too: counted into the one that does
        wait_until("it failed", lambda: figure(node, "failed_total") >= 1)
        assert figure(node, "waiting") == 12 and figure(node, "sent_total") == 0
        assert node.chat("talk", headers={"Authorization": "Bearer " + node.made["k0"], "X-Plexus-Label": "public"}).status == 200
        with Hook(port, answer=lambda n: 503 if n == 2 else 200) as hook:
            events = hook.wait(13)
            assert [e["subject"] for e in events] == [f"read_reply: the key k{i}" for i in (0, 1, 2, *range(2, 12))], events
            assert events[2]["id"] == events[3]["id"], "a second try is the same event"
            assert len({e["id"] for e in events}) == 12
            assert events[-1]["data"]["count"] == 5 and all(e["data"]["count"] == 1 for e in events[:-1])
            assert hook.most == 1
            wait_until("none waits", lambda: figure(node, "waiting") == 0)
        assert figure(node, "dropped_total") == 0 and logged(node, "alert.works")


def test_equal_ones_are_held_for_a_minute():
    with Hook() as hook, one_node(hook.url) as node:
        refuse(node, "again")
        hook.wait(1)
        for _ in range(5):
            refuse(node, "again")
        refuse(node, "other")
        hook.wait(2)
        time.sleep(0.3)
        assert [e["subject"][-5:] for e in hook.events] == ["again", "other"]
        assert figure(node, "waiting") == 1


def test_a_silent_webhook_holds_nobody():
    release = threading.Event()

    def hang(handler):
        release.wait(30)
        return 200

    with Hook(answer=lambda n: hang) as hook, one_node(hook.url) as node:
        for i in range(5):
            refuse(node, f"k{i}")
        hook.wait(1)
        began = time.monotonic()
        answers = parallel(4, lambda i: node.chat("talk", headers={"Authorization": "Bearer " + node.made["k0"], "X-Plexus-Label": "public"}))
        assert all(a.status == 200 for a in answers) and time.monotonic() - began < 5
        assert len(hook.events) == 1, "one at a time"
        release.set()
        hook.wait(5)
        assert hook.most == 1


def test_refused_for_good_and_what_is_told():
    with Hook(answer=lambda n: 400 if n == 0 else 200) as hook:
        broken = {"engine": "command", "command": scripted("--die-loading"), "health": "/health", "kind": "chat",
                  "restarts": {"max": 0}}
        with one_node(hook.url, {"talk": TALK, "broken": broken}, on=["model", "security"]) as node:
            refuse(node, "first")
            refuse(node, "second")
            hook.wait(2)
            assert node.owner("POST", "/v1/chat/completions", {"model": "broken", "messages": [{"role": "user", "content": "x"}]}).status >= 500
            failed = hook.find("model.failed", "broken")
            assert failed["data"]["severity"] == "critical" and failed["data"]["message"], failed
            assert figure(node, "dropped_total") == 1 and len(hook.events) == 3
            with Hook() as other:  # by reload, another webhook, and less that is told
                node.write({**node.config, "alerts": {"webhook": other.url, "on": ["model"]}})
                assert node.owner("POST", "/api/config/reload").status == 200
                refuse(node, "third")
                node.owner("POST", "/api/models/talk/load")
                time.sleep(0.3)
                assert not other.events and len(hook.events) == 3


def test_not_an_address():
    for alerts_, words in (({"webhook": "ftp://x"}, "alerts.webhook"), ({"webhook": "http://x", "on": ["nods"]}, "alerts.on"),
                           ({"webhook": "http://x", "secret": "plain"}, "secret never stands"),
                           ({"webhook": "http://x", "secret": {"env": "NOT_THERE_AT_ALL"}}, "not set")):
        node = Node({"alerts": alerts_}, start=False)
        with contextlib.suppress(AssertionError):
            node.start()
            raise RuntimeError(f"it started with {alerts_}")
        text = node.log()
        node.__exit__(None, None, None)
        assert words in text, (words, text)


def test_the_mesh():
    netns.need()
    with Mesh(join=False, svid_ttl="8s", a={}, b={}, c={}, d={}) as m:
        m.init()
        hooks = {}
        for name in ("a", "b"):  # each node's webhook is on its own host
            hooks[name] = Hook(inside=m[name].host.inside)
            m[name].write({**m[name].config, "alerts": {"webhook": hooks[name].url}})
            assert m[name].owner("POST", "/api/config/reload").status == 200
        token = m.token()
        m.join("b", token)
        answer = m["c"].owner("POST", "/api/mesh/join", {"address": f"{m['a'].host.address}:{mesh.PORT}", "token": token})
        assert answer.status == 403 and "used before" in answer.json["error"]["message"], answer
        got = hooks["a"].find("security.join_refused", m["c"].host.address)
        assert "used before" in got["data"]["message"] and got["source"] == f"spiffe://{mesh.DOMAIN}/node/a", got
        m.join("c")
        m.join("d")
        m.settled()
        time.sleep(0.2)
        assert not [e for e in hooks["a"].events if e["type"].startswith("plexus.node.")], "whoever joins is no alert"
        m["d"].kill()
        dead = hooks["a"].find("node.dead", "d")
        assert dead["data"]["severity"] == "critical" and hooks["b"].find("node.dead", "d")["id"] != dead["id"]
        m["d"].start()
        hooks["a"].find("node.back", "d")
        hooks["b"].find("node.back", "d")
        assert m["a"].owner("DELETE", "/api/mesh/nodes/d").status == 200
        hooks["b"].find("node.removed", "d")
        m["a"].kill()  # the authority: no certificate is renewed any more
        ends = hooks["b"].find("certificate.expiring", f"spiffe://{mesh.DOMAIN}/node/b", 12)
        assert "node a" in ends["data"]["message"], ends
        hooks["b"].find("certificate.expired", seconds=12)
        m["a"].start()
        hooks["b"].find("certificate.renewed", seconds=15)
        for hook in hooks.values():
            hook.__exit__()


plexus.main(globals())
