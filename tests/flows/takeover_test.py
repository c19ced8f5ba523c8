#!/usr/bin/env python3
# takeover_test.py: two nodes of one mesh on one PostgreSQL journal: the flows of the one that dies go on at the other, each step once.
# SPDX-License-Identifier: Apache-2.0
import json
import pathlib
import signal
import sys
import time

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1] / "lib")]
import plexus  # noqa: E402
from plexus import Node, wait_until  # noqa: E402
from postgres import Postgres, programs  # noqa: E402


def config(name, postgres):
    return {"node": {"name": name, "context": f"dev.test.{name}"}, "listen": {"api": "127.0.0.1:0", "mesh": f"127.0.0.1:{plexus.free_port()}"},
            "flows": {"journal": {"engine": "postgres", "url": f"postgres://127.0.0.1:{postgres.port}/postgres", "user": "plexus"}}}


def document(log):
    do = [{f"s{n}": {"run": {"shell": {"command": f"echo {n} >> {log}; sleep 0.3"}}}} for n in (1, 2)]
    do += [{"pause": {"wait": {"seconds": 4}}}]
    do += [{f"s{n}": {"run": {"shell": {"command": f"echo {n} >> {log}"}}}} for n in (3, 4)]
    return json.dumps({"document": {"dsl": "1.0.3", "namespace": "test", "name": "over", "version": "1.0.0"},
                       "do": do, "output": {"as": "${ {done: true} }"}})


def test_a_dead_node_is_followed():
    if not programs():
        plexus.skip("PostgreSQL's programs are not installed")
    with Postgres() as postgres, Node(config("one", postgres)) as one, Node(config("two", postgres)) as two:
        assert one.ask("POST", "/api/mesh/init", {"trust_domain": "home"}).status == 201
        token = one.ask("POST", "/api/mesh/tokens", {}).json["token"]
        assert two.ask("POST", "/api/mesh/join", {"address": one.config["listen"]["mesh"], "token": token}).status == 200
        wait_until("one is heard", lambda: any(n["name"] == "one" and n["state"] == "alive" for n in two.get("/api/mesh").json["nodes"]))
        log = one.folder / "steps"
        got = one.ask("POST", "/api/flows", {"document": document(log), "id": "over", "input": {}})
        assert got.status == 201, got
        # as the journal has it, which is what the other one reads: what only the first one knows may be done again
        wait_until("it sleeps", lambda: log.exists() and log.read_text() == "1\n2\n" and two.get("/api/flows/over").json["status"] == "waiting")
        one.process.send_signal(signal.SIGKILL)
        one.process.wait()
        wait_until("the other goes on with it", lambda: two.get("/api/flows/over").json["status"] == "completed", 20)
        assert log.read_text() == "1\n2\n3\n4\n", log.read_text()
        assert '"flow.taken_over"' in two.log()
        one.start()  # what it had is not its own any more
        time.sleep(1)
        assert one.get("/api/flows/over").json["status"] == "completed"
        assert log.read_text() == "1\n2\n3\n4\n", log.read_text()


if __name__ == "__main__":
    plexus.main(globals())
