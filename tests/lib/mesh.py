# mesh.py: plexus nodes of one mesh, each on a host of its own (netns.py), with real engines.
# Standard library only.
# SPDX-License-Identifier: Apache-2.0
import contextlib
import json
import sys
import threading
import time

import netns
import plexus
from plexus import wait_until

DOMAIN = "test.example"
PORT = 8001
LONG = {"max_tokens": 300, "ignore_eos": True, "temperature": 0}  # about so many events, as llama.cpp takes it


def tiny(slots=4, **more):
    """The small chat model on a real llama.cpp."""
    return {"engine": "llama.cpp", "program": plexus.LLAMA, "file": plexus.TINY, "kind": "chat", "context": 1024,
            "slots": slots, "threads": 1, **more}


class Mesh:
    """with Mesh(a={"tiny-chat": tiny()}, b={}, c={...}) as m: m["a"] is a Node. The first is the authority's."""

    def __init__(self, svid_ttl=None, relay=False, join=True, config=None, env=None, log_level="info", **models):
        netns.need()
        self.net, self.nodes, self.log_level = netns.Net(), {}, log_level
        self.svid_ttl, self.more, self.env = svid_ttl, config or {}, env or {}
        try:
            for name in models:
                self.add(name, models[name], relay)
            if join:
                self.init()
                for name in list(self.nodes)[1:]:
                    self.join(name)
                self.settled()
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise

    def __getitem__(self, name):
        return self.nodes[name]

    def config(self, name, models):
        host = self.net.all[name]
        config = {"node": {"name": name, "context": f"dev.test.{name}"}, "models": models,
                  "listen": {"api": "127.0.0.1:0", "mesh": f"{host.address}:{PORT}"}}
        if self.svid_ttl:
            config["mesh"] = {"svid_ttl": self.svid_ttl}
        for key, value in self.more.items():
            config[key] = {**config[key], **value} if isinstance(value, dict) and key in config else value
        return config

    def add(self, name, models=None, relay=False, env=None):
        """A host and a node that is in no mesh yet."""
        host = self.net.host(name, relay)
        self.nodes[name] = netns.Node(host, self.config(name, models or {}), env={**self.env, **(env or {})},
                                      log_level=self.log_level)
        return self.nodes[name]

    @property
    def first(self):
        return next(iter(self.nodes.values()))

    def init(self):
        answer = self.first.owner("POST", "/api/mesh/init", {"trust_domain": DOMAIN})
        assert answer.status == 201, answer
        return answer.json

    def token(self, **more):
        answer = self.first.owner("POST", "/api/mesh/tokens", more)
        assert answer.status == 201, answer
        return answer.json["token"]

    def join(self, name, token=None, status=200):
        answer = self[name].owner("POST", "/api/mesh/join", {"address": f"{self.first.host.address}:{PORT}",
                                                            "token": token or self.token()})
        assert answer.status == status, answer
        return answer.json

    # ---- what they know of each other ----
    def states(self, of):
        """name → state, as that node sees it."""
        return {n["name"]: n["state"] for n in view(self[of])["nodes"]}

    def settled(self, *names, seconds=8):
        """Each of these (default: all) sees all of these alive, with their models."""
        names = names or tuple(self.nodes)
        began = time.monotonic()
        last = {}

        def agree():
            for one in names:
                seen = {n["name"]: n for n in view(self[one])["nodes"]}
                last[one] = {n: (v["state"], len(v["models"])) for n, v in seen.items()}
                for other in names:
                    have = seen.get(other)
                    if not have or have["state"] != "alive" or len(have["models"]) < len(self[other].config["models"]):
                        return False
            return True

        try:
            wait_until("all see all", agree, seconds)
        except AssertionError:
            raise AssertionError(f"{', '.join(names)} do not see each other within {seconds} s: {last}") from None
        return time.monotonic() - began

    def sees(self, one, other, state, seconds=5):
        """Waits until `one` says that of `other`; returns how long it took."""
        began = time.monotonic()
        states = state if isinstance(state, tuple) else (state,)
        wait_until(f"{one} sees {other} as {state}, sees {self.states(one)}",
                   lambda: self.states(one).get(other) in states, seconds)
        return time.monotonic() - began

    def restart(self, name, wait=True):
        self[name].stop()
        return self[name].start(wait)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        failed = exc[0] is not None and exc[0] is not SystemExit
        for name, node in self.nodes.items():
            if failed:
                print(f"---- node {name} ----\n{node.log()}", file=sys.stderr)
            with contextlib.suppress(Exception):
                node.__exit__(None, None, None)
        self.net.close()


def view(node):
    answer = node.owner("GET", "/api/mesh")
    assert answer.status == 200, answer
    return answer.json


def refused(node, words, seconds=5):
    """Waits for a line of the node's log about a refusal with all of these words; returns its text."""
    words = words if isinstance(words, (list, tuple)) else [words]

    def line():
        for entry in node.log_lines():
            text = json.dumps(entry)
            if all(w in text for w in words):
                return text
        return None

    try:
        return wait_until("", line, seconds)
    except AssertionError:
        warnings = [json.dumps(e) for e in node.log_lines() if e.get("level") in ("warn", "error")]
        raise AssertionError(f"the log does not say {words} within {seconds} s; its last warnings: {warnings[-3:]}") from None


class Stream:
    """One streaming chat, read to its end: status, events, done (data: [DONE]), error (its event or body), first_s, end_s."""

    def __init__(self, node, model, text="tell me a long story", timeout=60, on_event=None, **more):
        self.status = self.error = self.cut = None
        self.done, self.events, self.first_s = False, 0, None
        self.text = ""
        began = time.monotonic()
        try:
            with node.stream(model, text, timeout=timeout, **more) as answer:
                self.status, self.headers = answer.status, answer.headers
                if answer.status != 200:
                    self.error = answer.read().decode()
                    return
                for line in answer:
                    self.take(line.strip(), began)
                    if on_event:
                        on_event(self)
        except OSError as error:
            self.cut = repr(error)
        except Exception as error:  # http.client.IncompleteRead and its kin
            self.cut = repr(error)
        finally:
            self.end_s = time.monotonic() - began

    def take(self, line, began):
        if not line.startswith(b"data: "):
            return
        if self.first_s is None:
            self.first_s = time.monotonic() - began
        if line == b"data: [DONE]":
            self.done = True
            return
        event = json.loads(line[6:])
        if "error" in event:
            self.error = event["error"].get("message", "?")
        else:
            self.events += 1
            for choice in event.get("choices", []):
                self.text += (choice.get("delta") or {}).get("content") or ""

    @property
    def honest(self):
        """It is whole, or says that it is not."""
        return self.cut is None and (self.error is not None) != self.done

    def __repr__(self):
        return f"<{self.status}, {self.events} events, done {self.done}, error {self.error}, cut {self.cut}, {self.end_s:.2f} s>"


class Load:
    """Clients of one node, one after the other in each thread; all ends are kept."""

    def __init__(self, node, threads, pause_s=0.0, **more):
        self.node, self.pause_s, self.more = node, pause_s, more
        self.stop, self.streams, self.lock = threading.Event(), [], threading.Lock()
        self.threads = [threading.Thread(target=self.run, args=(i,), daemon=True) for i in range(threads)]

    def run(self, i):
        while not self.stop.is_set():
            one = Stream(self.node, "tiny-chat", f"{i}: hello", timeout=20, max_tokens=8, temperature=0, **self.more)
            with self.lock:
                self.streams.append(one)
            self.stop.wait(self.pause_s)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *exc):
        self.stop.set()
        for thread in self.threads:
            thread.join(20)

    @property
    def failed(self):
        with self.lock:
            return [s for s in self.streams if not s.done]
