#!/usr/bin/env python3
# chaos_test.py: nodes are killed, started, drained, removed, joined and leave at random while clients stream through all of
# them. Each client gets a whole answer or is told why not; afterwards nothing is left over: no request counted as running,
# no descriptor, no memory. SEED=n repeats the order of things. On loopback, with scripted engines.
# SPDX-License-Identifier: Apache-2.0
import contextlib
import http.client
import json
import os
import pathlib
import random
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import plexus  # noqa: E402
from plexus import Node, scripted, wait_until  # noqa: E402

# A sanitizer keeps what was freed; that is no growth.
os.environ.setdefault("ASAN_OPTIONS", "quarantine_size_mb=8:detect_leaks=1")
SEED = int(os.environ.get("SEED", "1"))
SECONDS = float(os.environ.get("SECONDS", "15"))
NAMES = "abcd"
CLIENTS = 6
FRAMES = 30


def make(name):
    model = {"engine": "command", "command": scripted(name="story"), "health": "/health", "kind": "chat", "slots": 8}
    return Node({"node": {"name": name, "context": f"dev.test.{name}"}, "models": {} if name == "a" else {"story": model},
                 "listen": {"api": "127.0.0.1:0", "mesh": "127.0.0.1:0"}, "mesh": {"svid_ttl": "4s"}})


def view(node):
    return node.owner("GET", "/api/mesh", timeout=10).json


def own_port(node):
    return int(next(n for n in view(node)["nodes"] if n["self"])["addresses"][0].rpartition(":")[2])


class Chaos:
    def __init__(self):
        self.rng = random.Random(SEED)
        self.nodes = {name: make(name) for name in NAMES}
        self.lock = {name: threading.Lock() for name in NAMES}
        self.lives = dict.fromkeys(NAMES, 0)  # counts up when a node is ended, and when it is back: odd is away
        self.tally, self.bad, self.over = {}, [], False
        answer = self.nodes["a"].owner("POST", "/api/mesh/init", {"trust_domain": "chaos.example"})
        assert answer.status == 201, answer
        for name in NAMES[1:]:
            self.join(name)

    def join(self, name):
        token = self.nodes["a"].owner("POST", "/api/mesh/tokens", {"name": name}).json["token"]
        answer = self.nodes[name].owner("POST", "/api/mesh/join", {"address": f"127.0.0.1:{own_port(self.nodes['a'])}", "token": token})
        assert answer.status == 200, (name, answer)

    def joined(self, name):
        return view(self.nodes[name])["joined"]

    # ---- what happens to nodes ----
    def kill(self, name):
        self.lives[name] += 1
        node = self.nodes[name]
        for pid in plexus.descendants(node.process.pid) + [node.process.pid]:
            with contextlib.suppress(OSError):
                os.kill(pid, 9)
        node.process.wait(10)
        node.process.stdout.close()
        node.out.close()
        time.sleep(self.rng.uniform(0, 0.6))
        node.start()
        self.lives[name] += 1

    def restart(self, name):
        self.lives[name] += 1
        code = self.nodes[name].stop()
        assert code == 0, f"{name}: {code}\n{self.nodes[name].log()}"
        self.nodes[name].start()
        self.lives[name] += 1

    def drain(self, name):
        self.nodes["a"].owner("POST", f"/api/mesh/nodes/{name}/drain")
        time.sleep(self.rng.uniform(0, 0.5))
        self.nodes["a"].owner("POST", f"/api/mesh/nodes/{name}/undrain")

    def remove(self, name):
        wait_until(f"a hears {name}", lambda: next(
            (n for n in view(self.nodes["a"])["nodes"] if n["name"] == name), {}).get("state") == "alive", 10)
        self.nodes["a"].owner("DELETE", f"/api/mesh/nodes/{name}")
        if self.rng.random() < 0.5:
            wait_until(f"{name} hears that it is out", lambda: not self.joined(name), 10)
        self.back(name)

    def leave(self, name):
        self.nodes[name].owner("POST", "/api/mesh/leave", {})
        self.back(name)

    def back(self, name):
        wait_until(f"{name} is out", lambda: not self.joined(name), 10)
        self.join(name)

    def pause(self, name):
        self.nodes[name].process.send_signal(19)
        time.sleep(self.rng.uniform(0.05, 0.9))
        self.nodes[name].process.send_signal(18)

    def act(self):
        name = self.rng.choice(NAMES[1:])
        what = self.rng.choice([self.kill, self.restart, self.drain, self.remove, self.leave, self.pause])
        print(f"      {what.__name__} {name}", flush=True)
        what(name)

    # ---- clients ----
    def client(self, i):
        rng = random.Random(SEED * 100 + i)
        while not self.over:
            name = rng.choice(NAMES)
            life, node = self.lives[name], self.nodes[name]
            stream = rng.random() < 0.8
            try:
                said = self.ask(node, stream, rng.choice([0, 1, 5]))
            except (OSError, http.client.HTTPException, AttributeError) as e:
                said = f"cut: {e!r}"
                if self.lives[name] == life and life % 2 == 0 and not self.over:
                    self.bad.append((name, said))
            kind = said.split(":")[0]
            self.tally[kind] = self.tally.get(kind, 0) + 1
            if kind == "half":
                self.bad.append((name, said))
            time.sleep(0.005)

    def ask(self, node, stream, gap):
        connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=20)
        text = f"!script frames={FRAMES} gap_ms={gap} size=20"
        connection.request("POST", "/v1/chat/completions", json.dumps(
            {"model": "story", "stream": stream, "messages": [{"role": "user", "content": text}]}))
        answer = connection.getresponse()
        body = answer.read()  # a cut answer raises
        connection.close()
        if answer.status != 200:
            error = json.loads(body)["error"]
            return f"{answer.status}" if error["message"] else f"half: {body!r}"
        if not stream:
            return "whole" if json.loads(body)["choices"] else f"half: {body!r}"
        frames = [json.loads(x[6:]) for x in body.split(b"\n\n") if x.startswith(b"data: {")]
        if any("error" in f for f in frames):
            return "told"
        return "whole" if body.rstrip().endswith(b"data: [DONE]") and len(frames) >= FRAMES else f"half: {body[-200:]!r}"


def fds(node):
    return len(os.listdir(f"/proc/{node.process.pid}/fd"))


def resident_mb(node):
    line = next(x for x in pathlib.Path(f"/proc/{node.process.pid}/status").read_text().splitlines() if x.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def at_rest(c):
    """All know all, and nothing is counted as running anywhere."""
    for name, node in c.nodes.items():
        v = view(node)
        if any(n["state"] != "alive" for n in v["nodes"] if n["name"] in NAMES) or len(v["nodes"]) < len(NAMES):
            return False
        if any(n["in_flight"] for n in v["nodes"]) or any(t["active"] for t in v["traffic"]):
            return False
    return True


def test_chaos():
    c = Chaos()
    try:
        wait_until("all see all", lambda: at_rest(c), 15)
        clients = [threading.Thread(target=c.client, args=(i,)) for i in range(CLIENTS)]
        for t in clients:
            t.start()
        until = time.monotonic() + SECONDS
        before = {}
        try:
            while time.monotonic() < until:
                time.sleep(c.rng.uniform(0, 0.3))
                c.act()
                if not before:
                    before = {"a": resident_mb(c.nodes["a"])}
        finally:
            c.over = True
            for t in clients:
                t.join(30)
        print("     ", c.tally, flush=True)
        assert not c.bad, c.bad[:5]
        assert c.tally.get("whole", 0) > 50, c.tally
        for name, node in c.nodes.items():
            assert node.process.poll() is None, f"{name} ended: {node.log()}"
            assert "Sanitizer" not in node.log() and "runtime error" not in node.log(), node.log()
        wait_until("all are at rest", lambda: at_rest(c), 15)
        for name, node in c.nodes.items():
            wait_until(f"{name} keeps no descriptors: {fds(node)}", lambda: fds(node) < 60, 5)  # noqa: B023
            print(f"      {name}: {fds(node)} descriptors, {resident_mb(node):.0f} MB")
        grown = resident_mb(c.nodes["a"]) - before["a"]
        assert grown < (100 if "san" in plexus.PLEXUS else 20), f"{grown:.1f} MB more than at the start"
    except BaseException:
        for name, node in c.nodes.items():
            with contextlib.suppress(Exception):
                print(f"---- {name} ----\n{node.log()[-3000:]}\n{json.dumps(view(node))[:3000]}", file=sys.stderr)
        raise
    finally:
        for node in c.nodes.values():
            node.__exit__(None, None, None)


if __name__ == "__main__":
    plexus.main(globals())
