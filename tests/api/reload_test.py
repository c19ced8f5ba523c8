#!/usr/bin/env python3
# reload_test.py: a new configuration while the node serves, and nodes that cannot start.
# SPDX-License-Identifier: Apache-2.0
import copy
import json
import pathlib
import re
import signal
import socket
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import plexus  # noqa: E402
from plexus import Node, scripted, wait_until  # noqa: E402


def engine(name, *options, **more):
    return {"engine": "command", "command": scripted(*options, name=name), "health": "/health", "kind": "chat", **more}


def pid_of(node, name):
    for pid in node.engine_pids():
        words = plexus.cmdline(pid).split(b"\0")
        if words[0].endswith(b"scripted") and name.encode() in words:
            return pid
    return None


def start_config():
    return {"listen": {"api": ["127.0.0.1:0"]}, "models": {name: engine(name, idle="never") for name in ("a", "b", "c")}}


def reload(node, config):
    """By the API; returns the changes as a set."""
    node.write(config)
    answer = node.owner("POST", "/api/config/reload")
    assert answer.status == 200, answer
    return {(c["what"], c["name"], c["action"]) for c in answer.json["changes"]}


def names(node):
    return [m["id"] for m in node.get("/v1/models").json["data"]]


def test_only_what_changed_restarts():
    with Node(start_config()) as node:
        for name in ("a", "b", "c"):
            assert node.chat(name).status == 200
        pids = {name: pid_of(node, name) for name in ("a", "b", "c")}
        connection = node.connection()  # a kept connection goes through all of it
        connection.connect()
        local = connection.sock.getsockname()

        def kept():
            connection.request("GET", "/v1/models")
            answer = connection.getresponse()
            answer.read()
            return answer.status == 200 and connection.sock.getsockname() == local

        assert reload(node, node.config) == set() and kept()
        # What counts at once restarts nothing.
        config = copy.deepcopy(node.config)
        config["models"]["a"] |= {"aliases": ["alpha"], "idle": "1h", "queue": 7, "timeouts": {"drain": "5s"}}
        changes = reload(node, config)
        assert changes == {("model", "a", "change")}, changes
        assert node.chat("alpha").status == 200 and kept()
        assert {name: pid_of(node, name) for name in pids} == pids
        assert 3590000 < node.model("a")["idle_left_ms"] <= 3600000
        # One changes, one goes, one comes.
        config = copy.deepcopy(config)
        config["models"]["b"] = engine("b", "--dims", 8, idle="never")
        del config["models"]["c"]
        config["models"]["d"] = engine("d")
        changes = reload(node, config)
        assert {(c[1], c[2]) for c in changes} == {("b", "change"), ("c", "remove"), ("d", "add")}, changes
        assert names(node) == ["a", "b", "d"] and kept()
        wait_until("the old engines have ended", lambda: not plexus.alive(pids["b"]) and not plexus.alive(pids["c"]), 5)
        assert node.chat("b").status == node.chat("d").status == 200
        assert b"--dims" in plexus.cmdline(pid_of(node, "b")).split(b"\0")
        assert pid_of(node, "a") == pids["a"] and node.model("a")["loads"] == 1
        answer = node.chat("c")
        assert answer.status == 404, answer
        # And back: a model of the same name as one that was removed.
        config = copy.deepcopy(config)
        config["models"]["c"] = engine("c")
        assert {(c[1], c[2]) for c in reload(node, config)} == {("c", "add")}
        assert node.chat("c").status == 200 and kept()
        shown = node.owner("GET", "/api/config").json
        assert list(shown["models"]) == ["a", "b", "d", "c"] and shown["models"]["a"]["queue"] == 7, shown
        connection.close()


def test_running_requests_end_in_their_old_engine():
    with Node(start_config()) as node:
        node.chat("a")
        node.chat("b")
        old = pid_of(node, "a"), pid_of(node, "b")
        port = {name: plexus.engine_port(node, name) for name in ("a", "b")}
        with node.stream("a", "!script frames=6 hold_at=2") as one, node.stream("b", "!script frames=6 hold_at=2") as two:
            one.read(1)
            two.read(1)
            config = start_config()
            config["models"]["a"] = engine("a", "--dims", 9)
            del config["models"]["b"]
            reload(node, config)
            assert node.chat("b").status == 404 and plexus.alive(old[0]) and plexus.alive(old[1])
            answers = plexus.parallel(2, lambda i: node.chat("a") if i else
                                      plexus.engine_get(port["a"], "/_release") + plexus.engine_get(port["b"], "/_release"))
            assert answers[1].status == 200
            assert b"[DONE]" in one.read() and b"[DONE]" in two.read()
        assert pid_of(node, "a") != old[0] and b"--dims" in plexus.cmdline(pid_of(node, "a"))
        wait_until("both have ended", lambda: not plexus.alive(old[0]) and not plexus.alive(old[1]), 5)


def status_at(port, path="/health"):
    try:
        import http.client
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", path)
        return connection.getresponse().status
    except ConnectionRefusedError:
        return None


def test_doors_come_and_go():
    with Node(start_config()) as node:
        one, two = plexus.free_port(), plexus.free_port()
        with node.stream("a", "!script frames=4 hold_at=2") as running:
            running.read(1)
            config = start_config()
            config["listen"]["api"] += [f"127.0.0.1:{one}", {"address": f"127.0.0.1:{two}", "keys": "required"},
                                        f"unix:{node.folder}/x.sock"]
            changes = reload(node, config)
            assert {(c[0], c[2]) for c in changes} == {("door", "add")} and len(changes) == 3, changes
            assert status_at(one) == 200 and status_at(one, "/v1/models") == 200 and status_at(two, "/v1/models") == 401
            assert plexus.unix_ask(node.folder / "x.sock", "GET", "/v1/models").status == 200
            # The same door with another rule, and another rule for Hosts.
            config = copy.deepcopy(config)
            config["listen"]["api"][2]["keys"] = "off"
            config["listen"]["hosts"] = ["ai.example.org"]
            reload(node, config)
            assert status_at(two, "/v1/models") == 200
            assert node.get("/v1/models", headers={"Host": "ai.example.org"}).status == 200
            # Gone.
            reload(node, start_config())
            assert status_at(one) is None and status_at(two) is None and not (node.folder / "x.sock").exists()
            assert node.get("/v1/models", headers={"Host": "ai.example.org"}).status == 421
            plexus.engine_get(plexus.engine_port(node, "a"), "/_release")
            assert b"[DONE]" in running.read()


def test_a_door_that_goes_takes_its_connections_along():
    with Node(start_config()) as node:
        port = plexus.free_port()
        config = start_config()
        config["listen"]["api"].append(f"127.0.0.1:{port}")
        reload(node, config)
        idle = socket.create_connection(("127.0.0.1", port), 10)
        idle.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert idle.recv(4096).startswith(b"HTTP/1.1 200 ")
        node.chat("a")
        busy = socket.create_connection(("127.0.0.1", port), 10)
        body = json.dumps({"model": "a", "stream": True, "messages": [{"role": "user", "content": "!script frames=4 hold_at=2"}]})
        busy.sendall(f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
        assert busy.recv(4096).startswith(b"HTTP/1.1 200 ")
        reload(node, start_config())
        assert idle.recv(4096) == b""
        plexus.engine_get(plexus.engine_port(node, "a"), "/_release")
        rest = b""
        while part := busy.recv(65536):
            rest += part
        assert b"[DONE]" in rest and rest.endswith(b"0\r\n\r\n"), rest
        idle.close()
        busy.close()


BAD = [  # text, what must be said; the first is no YAML at all
    ("models: [", r"plexus\.yaml:\d+:\d+: "),
    ("modles:\n  a: {engine: remote, url: 'http://127.0.0.1:1/v1'}\n", r"plexus\.yaml:1:1: .*modles.*models"),
    ("models:\n  a:\n    engine: command\n    comand: [x]\n", r"plexus\.yaml:4:5: .*comand.*command"),
    ("models:\n  a: {engine: command, command: [x], idle: soon}\n", r"plexus\.yaml:2:\d+: models\.a\.idle"),
    ("models:\n  a: {engine: remote, url: 'http://h/v1', key: sk-literal}\n", r"plexus\.yaml:2:\d+: models\.a\.key"),
    ("models:\n  a: {engine: command, command: [x], aliases: [b]}\n  b: {engine: command, command: [y]}\n", r"plexus\.yaml:2:\d+: .*b"),
    ("listen: {api: '0.0.0.0:9', keys: off}\n", r"plexus\.yaml:1:\d+: listen"),
    ("limits: {body: -5}\n", r"plexus\.yaml:1:\d+: limits\.body"),
]


def test_a_bad_config_is_refused_whole():
    with Node(start_config()) as node:
        node.chat("a")
        pid, before = pid_of(node, "a"), node.owner("GET", "/api/config").json
        for text, said in BAD:
            code = 65 if text == BAD[0][0] else 78
            node.file.write_text(text)
            answer = node.owner("POST", "/api/config/reload")
            assert answer.status == 400, (text, answer)
            assert re.search(said, answer.json["error"]["message"]), (text, answer)
            assert "sk-literal" not in answer.body.decode()
            got = node.command("config", "reload", check=False)
            assert got.returncode == code and re.search(said, got.stdout + got.stderr), (text, got)
        # By signal: the log tells.
        node.file.write_text(BAD[1][0])
        node.process.send_signal(signal.SIGHUP)
        told = wait_until("the log tells", lambda: next((line for line in node.log_lines()
                          if line["event"] == "config.refused" and "modles" in json.dumps(line)), None), 5)
        assert told["level"] == "error", told
        # A port that another has: nothing of the new config is taken.
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen(1)
            config = start_config()
            opened = plexus.free_port()
            config["listen"]["api"] += [f"127.0.0.1:{opened}", f"127.0.0.1:{taken.getsockname()[1]}"]
            del config["models"]["a"]
            config["models"]["new"] = engine("new")
            node.write(config)
            answer = node.owner("POST", "/api/config/reload")
            assert answer.status == 409 and str(taken.getsockname()[1]) in answer.json["error"]["message"], answer
            assert status_at(opened) is None, "a door of the refused config stays open"
        node.file.unlink()
        assert node.owner("POST", "/api/config/reload").status >= 400  # no file at all
        assert names(node) == ["a", "b", "c"] and pid_of(node, "a") == pid
        assert node.owner("GET", "/api/config").json == before
        assert node.chat("a").status == 200 and node.model("a")["loads"] == 1
        # And a good one is taken after all that.
        config = start_config()
        del config["models"]["b"]
        reload(node, config)
        assert names(node) == ["a", "c"] and pid_of(node, "a") == pid


def test_an_empty_file_changes_nothing():
    """An editor that writes in place leaves the file empty for a moment."""
    with Node({"models": {"a": {"engine": "command", "command": scripted(name="a"), "health": "/health", "kind": "chat"}}}) as node:
        assert node.chat("a").status == 200
        whole = node.file.read_text()
        node.file.write_text("")
        got = node.command("config", "reload", check=False)
        assert got.returncode != 0 and "is empty" in got.stderr, (got.returncode, got.stderr)
        assert node.model("a")["state"] == "WARM"
        node.file.write_text(whole)
        assert json.loads(node.command("config", "reload", "--json").stdout)["changes"] == []
        assert node.chat("a").status == 200


def test_sighup_and_many_reloads():
    with Node(start_config()) as node:
        node.chat("a")
        pid = pid_of(node, "a")
        for i in range(25):  # old configurations are let go, their texts may be in use
            config = start_config()
            config["models"]["a"]["aliases"] = [f"alias-{i}"]
            config["models"][f"new-{i}"] = engine(f"new-{i}")
            node.write(config)
            node.process.send_signal(signal.SIGHUP)
            wait_until("the alias is there", lambda: node.chat(f"alias-{i}").status == 200, 5)
            assert node.chat(f"new-{i}").status == 200
        assert pid_of(node, "a") == pid and names(node) == ["a", "b", "c", "new-24"]
        assert node.chat("alias-3").status == 404
        wait_until("removed ones have ended", lambda: len(node.engine_pids()) == 2, 10)
        lines = [line for line in node.log_lines() if line["event"] == "config.reloaded"]
        assert len(lines) == 25, len(lines)


def test_budget_and_log_limits_change_at_once():
    models = {name: engine(name, idle="never", memory="100MiB") for name in ("a", "b")}
    with Node({"models": models, "memory": {"budget": "1GiB"}}) as node:
        node.chat("a")
        node.chat("b")
        reload(node, {**node.config, "memory": {"budget": "150MiB"}, "limits": {"body": "2KiB"}})
        wait_until("one has left", lambda: [node.model(n)["state"] for n in "ab"] == ["UNLOADED", "WARM"], 5)
        assert node.chat("b", "x" * 3000).status == 413
        assert node.get("/api/state").json["memory"]["budget_bytes"] == 150 << 20


# ---- nodes that cannot start -------------------------------------------------------------------


def fails_to_start(node, code, *said):
    node.start(wait=False)
    assert node.process.wait(10) == code, (node.process.returncode, node.log())
    for text in said:
        assert text in node.log(), (text, node.log())
    node.stop()


def test_port_in_use():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen(1)
        port = taken.getsockname()[1]
        with Node({"listen": {"api": f"127.0.0.1:{port}"}}, start=False) as node:
            fails_to_start(node, 69, f"127.0.0.1:{port} is used by another program", "listen.api")


def test_two_nodes_on_one_data_folder():
    with Node({"models": {"a": engine("a")}}) as first:
        first.chat("a")
        with Node({}, start=False) as second:
            second.data = first.data
            fails_to_start(second, 75, f"another node (process {first.process.pid})", str(first.data), "plexus down")
            second.data = second.folder / "data"
        assert first.chat("a").status == 200 and first.owner("GET", "/api/state").status == 200, "its socket is gone"
        first.stop(signal.SIGKILL)  # the lock goes with the process
        first.start()
        assert first.chat("a").status == 200


def test_a_bad_config_does_not_start():
    for text, said in BAD:
        with Node(start=False) as node:
            node.file.write_text(text)
            node.start(wait=False)
            assert node.process.wait(10) == (65 if text == BAD[0][0] else 78), (text, node.log())
            assert re.search(said, node.log()), (text, node.log())
            node.stop()


if __name__ == "__main__":
    plexus.main(globals())
