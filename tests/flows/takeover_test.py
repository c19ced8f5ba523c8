#!/usr/bin/env python3
# takeover_test.py: two nodes of one mesh on one PostgreSQL journal: the flows of the one that dies go on at the other, each step once.
# SPDX-License-Identifier: Apache-2.0
import glob
import json
import os
import pathlib
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1] / "lib")]
import plexus  # noqa: E402
from plexus import Node, wait_until  # noqa: E402


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Postgres:
    """A server of its own, as an ordinary user: it refuses root."""

    def __init__(self):
        found = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"))
        bin_folder = os.path.dirname(found[-1]) if found else os.path.dirname(shutil.which("initdb") or "")
        if not bin_folder:
            plexus.skip("no PostgreSQL")
        self.folder, self.port = tempfile.mkdtemp(prefix="plexus-pg-"), free_port()
        as_user = []
        if os.geteuid() == 0:
            user = pwd.getpwnam("postgres" if any(p.pw_name == "postgres" for p in pwd.getpwall()) else "nobody")
            os.chown(self.folder, user.pw_uid, user.pw_gid)
            as_user = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
        data = self.folder + "/data"
        subprocess.run([*as_user, bin_folder + "/initdb", "-D", data, "-U", "plexus", "-A", "trust", "--no-sync"], check=True, stdout=subprocess.DEVNULL)
        self.process = subprocess.Popen([*as_user, bin_folder + "/postgres", "-D", data, "-p", str(self.port), "-k", self.folder, "-h", "127.0.0.1"],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        ready = [bin_folder + "/pg_isready", "-h", "127.0.0.1", "-p", str(self.port)]
        wait_until("PostgreSQL", lambda: subprocess.run(ready, stdout=subprocess.DEVNULL).returncode == 0, 30)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.process.send_signal(signal.SIGINT)
        self.process.wait(20)
        shutil.rmtree(self.folder, ignore_errors=True)


def config(name, postgres):
    return {"node": {"name": name, "context": f"dev.test.{name}"}, "listen": {"api": "127.0.0.1:0", "mesh": f"127.0.0.1:{free_port()}"},
            "flows": {"journal": {"engine": "postgres", "url": f"postgres://127.0.0.1:{postgres.port}/postgres", "user": "plexus"}}}


def document(log):
    do = [{f"s{n}": {"run": {"shell": {"command": f"echo {n} >> {log}; sleep 0.3"}}}} for n in (1, 2)]
    do += [{"pause": {"wait": {"seconds": 4}}}]
    do += [{f"s{n}": {"run": {"shell": {"command": f"echo {n} >> {log}"}}}} for n in (3, 4)]
    return json.dumps({"document": {"dsl": "1.0.3", "namespace": "test", "name": "over", "version": "1.0.0"},
                       "do": do, "output": {"as": "${ {done: true} }"}})


def test_a_dead_node_is_followed():
    with Postgres() as postgres, Node(config("one", postgres)) as one, Node(config("two", postgres)) as two:
        assert one.ask("POST", "/api/mesh/init", {"trust_domain": "home"}).status == 201
        token = one.ask("POST", "/api/mesh/tokens", {}).json["token"]
        assert two.ask("POST", "/api/mesh/join", {"address": one.config["listen"]["mesh"], "token": token}).status == 200
        wait_until("one is heard", lambda: any(n["name"] == "one" and n["state"] == "alive" for n in two.get("/api/mesh").json["nodes"]))
        log = one.folder / "steps"
        got = one.ask("POST", "/api/flows", {"document": document(log), "id": "over", "input": {}})
        assert got.status == 201, got
        wait_until("it sleeps", lambda: log.exists() and log.read_text() == "1\n2\n" and one.get("/api/flows/over").json["status"] == "waiting")
        assert two.get("/api/flows/over").json["open"]
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
