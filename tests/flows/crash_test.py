#!/usr/bin/env python3
# crash_test.py: the node killed by -9 at random moments while flows run: each flow ends once with the right output, no step that was done is
# done again, nothing that was acknowledged is lost.
# SPDX-License-Identifier: Apache-2.0
#
# KILLS=500 for the long run (40), SEED=n for another one.
import collections
import http.client
import http.server
import json
import os
import pathlib
import random
import signal
import sys
import threading
import time
import urllib.parse

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1] / "lib"), str(pathlib.Path(__file__).resolve().parent)]
import plexus  # noqa: E402
from plexus import Node  # noqa: E402

KILLS = int(os.environ.get("KILLS", 40))
SEED = int(os.environ.get("SEED", 1))


class Effects(http.server.ThreadingHTTPServer):
    """What the flows do outside: POST /RUN/STEP, answered with {"n": STEP}. Remembers each, with its idempotency key."""

    daemon_threads, request_queue_size = True, 1024

    def __init__(self):
        self.seen, self.tries, self.lock = [], collections.Counter(), threading.Lock()
        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        _, run, step = urllib.parse.urlsplit(self.path).path.split("/")
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with self.server.lock:
            self.server.seen.append((run, int(step), self.headers.get("Idempotency-Key")))
            self.server.tries[run, step] += 1
            tries = self.server.tries[run, step]
        flaky = int(step) % 7 == 3 and tries == 1  # the first time it is broken: the flow tries again
        body = json.dumps({"n": int(step)}).encode()
        self.send_response(503 if flaky else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *a):
        pass


def call(port, step, name="step"):
    return {name: {"call": "http", "with": {"method": "post", "endpoint": f"http://127.0.0.1:{port}/{{run}}/{step}", "body": {"step": "x"}}, "output": {"as": "${ .n }"}}}


RETRY = {"errors": {"with": {"type": "https://serverlessworkflow.io/spec/1.0.0/errors/communication"}},
         "retry": {"delay": {"milliseconds": 20}, "backoff": {"constant": {}}, "limit": {"attempt": {"count": 50}}}}


def corpus(port):
    """Documents whose effects are steps 1..n in this order (or, in a fork, in any), and their outputs."""
    def steps(numbers):
        return [{f"s{n}": {"try": [call(port, n)], "catch": RETRY, "output": {"as": "${ $input }"}}} for n in numbers]

    def doc(name, do, output):
        head = {"dsl": "1.0.3", "namespace": "crash", "name": name, "version": "1.0.0"}
        return json.dumps({"document": head, "do": do, "output": {"as": output}})

    wait = {"pause": {"wait": {"milliseconds": 30}}}
    return {
        "row": (doc("row", steps(range(1, 7)), "${ {run: .run, done: 6} }"), {"done": 6}, set(range(1, 7))),
        "sleepy": (doc("sleepy", steps([1, 2]) + [wait] + steps([3, 4]), "${ {run: .run, done: 4} }"), {"done": 4}, {1, 2, 3, 4}),
        "wide": (doc("wide", steps([1]) + [{"all": {"fork": {"branches": steps([2, 3, 4, 5])}, "output": {"as": "${ $input }"}}}] + steps([6]),
                     "${ {run: .run, done: 6} }"), {"done": 6}, {1, 2, 3, 4, 5, 6}),
        "loop": (doc("loop", [{"each": {"for": {"each": "n", "in": "${ [range(1;6)] }"},
                                        "do": [{"one": {"try": [{"post": {"call": "http", "with": {
                                            "method": "post", "endpoint": {"uri": "${ \"http://127.0.0.1:%d/\" + .run + \"/\" + ($n | tostring) }" % port}}}}],
                                            "catch": RETRY, "output": {"as": "${ $input }"}}}]}}],
                     "${ {run: .run, done: 5} }"), {"done": 5}, {1, 2, 3, 4, 5}),
    }


def test_killed_at_random_moments():
    chance, effects = random.Random(SEED), Effects()
    kinds = corpus(effects.server_address[1])
    runs, open_runs, restarts = {}, set(), 0
    node = Node({}, start=False)
    with node:
        node.start()
        while restarts < KILLS:
            for _ in range(chance.randint(1, 6)):  # new ones, as far as the node lives to say yes
                name = chance.choice(sorted(kinds))
                run = f"{name}-{len(runs)}"
                try:
                    got = node.ask("POST", "/api/flows", {"document": kinds[name][0], "input": {"run": run}, "id": run}, timeout=5)
                    assert got.status == 201, got
                    runs[run] = name
                    open_runs.add(run)
                except (OSError, http.client.HTTPException):
                    break
            time.sleep(chance.choice((0, 0.001, 0.005, 0.02, 0.05, 0.1)) * chance.random())
            node.process.send_signal(signal.SIGKILL)
            node.process.wait()
            restarts += 1
            node.start()
        deadline = time.monotonic() + 120
        while open_runs and time.monotonic() < deadline:
            for run in sorted(open_runs):
                got = node.get(f"/api/flows/{run}")
                assert got.status == 200, (run, got)  # acknowledged: it is there
                if not got.json["open"]:
                    open_runs.discard(run)
            time.sleep(0.05)
        assert not open_runs, [node.get(f"/api/flows/{run}").json for run in sorted(open_runs)[:2]]
        print(f"{len(runs)} flows through {restarts} kills, {len(effects.seen)} effects")
        by_run = collections.defaultdict(list)
        for run, step, key in effects.seen:
            by_run[run].append((step, key))
        for run, name in runs.items():
            view = node.get(f"/api/flows/{run}?full=1").json
            assert view["status"] == "completed", (run, view["view"])
            assert view["view"]["output"] == {"run": run, **kinds[name][1]}, (run, view["view"]["output"])
            mine = by_run[run]
            assert {step for step, _ in mine} == kinds[name][2], (run, mine)
            if name != "wide":  # in a row: what came after is proof that the one before was kept
                order = [step for step, _ in mine]
                assert order == sorted(order), (run, order)
            for step in kinds[name][2]:  # again only under the same key, or as another attempt after a 503
                keys = {key for s, key in mine if s == step}
                assert len(keys) <= (2 if step % 7 == 3 else 1), (run, step, mine)


if __name__ == "__main__":
    plexus.main(globals())
