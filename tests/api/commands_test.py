#!/usr/bin/env python3
# commands_test.py: the program's commands against a running node, for people and with --json.
# SPDX-License-Identifier: Apache-2.0
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import plexus  # noqa: E402
from plexus import Node, scripted, wait_until  # noqa: E402


def engine(name, *options, **more):
    return {"engine": "command", "command": scripted(*options, name=name), "health": "/health", "kind": "chat", **more}


node = plexus.shared(lambda: Node({"models": {
    "talk": engine("talk", "--log-lines", 30, idle="1h", aliases=["chatty"]),
    "other": engine("other"),
    "broken": engine("broken", "--die-loading", restarts={"max": 0}),
    "tiny-chat": {"engine": "llama.cpp", "program": plexus.LLAMA, "file": plexus.TINY, "kind": "chat", "context": 1024,
                  "slots": 1, "threads": 1},
}}, env={"PLEXUS_DATA": "", "PLEXUS_CONFIG": "", "PLEXUS_API_KEY": ""}))


def said(*words, code=0, text=None):
    """What a command prints for people."""
    got = node().command(*words, check=False, text=text)
    assert got.returncode == code, (words, got)
    return got.stdout


def told(*words, code=0, text=None):
    """What it prints for programs; nothing else may be there."""
    got = node().command(*words, "--json", check=False, text=text)
    assert got.returncode == code, (words, got)
    return json.loads(got.stdout)


def fails(code, symbol, *words, text=None):
    """The same failure for people and for programs."""
    got = node().command(*words, check=False, text=text)
    assert got.returncode == code and got.stdout == "" and got.stderr.startswith("plexus: "), (words, got)
    got = node().command(*words, "--json", check=False, text=text)
    assert got.returncode == code, (words, got)
    error = json.loads(got.stdout or got.stderr)["error"]
    assert error["code"] == symbol and error["exit"] == code and error["message"], (words, error)
    return error["message"]


def test_ps():
    node().chat("talk")
    state = told("ps")
    assert state["node"]["pid"] == node().process.pid and state["node"]["ready"] is True
    assert {m["name"] for m in state["models"]} >= {"talk", "other"}, state
    text = said("ps")
    assert re.search(r"^talk +chat +command +WARM ", text, re.M) and "other" not in text, text
    assert f"http://127.0.0.1:{node().port}" in text and str(node().process.pid) in text
    assert re.search(r"^other +chat +command +UNLOADED ", said("ps", "--all"), re.M)
    with node().stream("talk", "!script frames=4 hold_at=2", headers={"X-Request-Id": "watched-one"}) as stream:
        stream.read(1)
        row, = told("ps")["requests"]
        assert row["id"] == "watched-one" and row["model"] == "talk" and row["stream"] and row["state"] == "running", row
        assert re.search(r"^watched-one +talk +running", said("ps"), re.M), said("ps")
        plexus.engine_get(plexus.engine_port(node(), "talk"), "/_release")
        stream.read()


def test_models():
    rows = {m["name"]: m for m in told("models", "ls")["models"]}
    assert set(rows) == {"talk", "other", "broken", "tiny-chat"} and rows == {m["name"]: rows[m["name"]] for m in rows.values()}
    assert said("models", "ls", "--quiet").split() == ["talk", "other", "broken", "tiny-chat"]
    assert told("models", "load", "other")["state"] == "WARM"
    assert "other: WARM" in said("models", "load", "other")
    assert re.search(r"^other .* WARM ", said("models"), re.M)
    assert told("models", "pin", "other")["pinned"] is True and "pinned" in said("models", "ls")
    assert told("models", "unpin", "other")["pinned"] is False
    told("models", "unload", "other")
    node().wait_state("other", "UNLOADED")
    assert said("models", "load", "chatty").startswith("talk: WARM")  # by its alias
    fails(66, "E_NOTFOUND", "models", "load", "nobody")
    message = fails(69, "E_ENGINE", "models", "load", "broken")
    assert "broken" in message, message


def test_run_once_and_from_a_pipe():
    answer = told("run", "talk", "hello")
    assert answer["model"] == "talk" and answer["content"] and answer["finish_reason"] == "stop", answer
    assert said("run", "talk", "hello") == answer["content"] + "\n"
    sent = json.loads(plexus.engine_last(plexus.engine_port(node(), "talk"))[1])
    assert sent["messages"] == [{"role": "user", "content": "hello"}], sent
    said("run", "talk", "--system", "Be brief.", "--max-tokens", "7", "--temperature", "0", "--seed", "5", "In", "one",
         "word:", text="some notes\n")
    sent = json.loads(plexus.engine_last(plexus.engine_port(node(), "talk"))[1])
    assert sent["messages"][0] == {"role": "system", "content": "Be brief."} and sent["max_tokens"] == 7, sent
    assert sent["temperature"] == 0 and sent["seed"] == 5 and len(sent["messages"]) == 2, sent
    assert sent["messages"][1]["content"].startswith("In one word:") and "some notes" in sent["messages"][1]["content"]
    assert said("run", "talk", text="from a pipe\n")
    sent = json.loads(plexus.engine_last(plexus.engine_port(node(), "talk"))[1])
    assert sent["messages"][-1]["content"].strip() == "from a pipe", sent
    row = json.loads(open(plexus.ROOT / "models/tiny-chat.prompts.jsonl", encoding="utf-8").readline())
    assert said("run", "tiny-chat", "--temperature", "0", row["prompt"]) == row["answer"] + "\n"
    fails(66, "E_NOTFOUND", "run", "nobody", "hello")
    fails(69, "E_ENGINE", "run", "broken", "hello")
    got = node().command("run", "talk", "!script frames=9 cut_at_frame=4", check=False)
    assert got.returncode == 69 and "0 " in got.stdout and "plexus: " in got.stderr, got


def test_logs():
    node().chat("talk")
    lines = [json.loads(line) for line in node().command("logs", "talk", "--lines", "5", "--json").stdout.splitlines()]
    assert len(lines) == 5 and all(line["model"] == "talk" for line in lines), lines
    every = [json.loads(line) for line in node().command("logs", "talk", "--json").stdout.splitlines()]
    numbered = [line["line"] for line in every if line["event"] == "engine.line" and re.search(r"\b\d+\b", line["line"])]
    assert len(numbered) >= 30, every
    assert len(said("logs", "talk", "-n", "3").splitlines()) == 3
    assert all(line["level"] in ("warn", "error") for line in map(json.loads, node().command(
        "logs", "--level", "warn", "--json").stdout.splitlines()))
    fails(66, "E_NOTFOUND", "logs", "nobody")
    # Live: a line comes while it is watched.
    told("models", "unload", "other")
    watch = subprocess.Popen([plexus.PLEXUS, "logs", "other", "-f", "-n", "0", "--json", "--data", str(node().data)],
                             stdout=subprocess.PIPE, text=True, env=node().env, cwd=node().folder)
    try:
        time.sleep(0.3)
        node().chat("other")
        line = json.loads(watch.stdout.readline())
        assert line["model"] == "other", line
    finally:
        watch.send_signal(signal.SIGINT)
        watch.communicate(timeout=10)


def test_keys():
    made = told("key", "new", "laptop", "--models", "talk", "--expires", "30d")
    assert re.fullmatch(r"plx_[A-Za-z0-9_-]{43}", made["key"]) and re.fullmatch(r"[0-9a-f]{12}", made["id"]), made
    text = said("key", "new", "second")
    assert re.search(r"plx_[A-Za-z0-9_-]{43}", text), text
    rows = {k["name"]: k for k in told("key", "ls")["keys"]}
    assert rows["laptop"]["id"] == made["id"] and rows["laptop"]["models"] == ["talk"] and rows["laptop"]["expires"], rows
    assert made["key"] not in said("key", "ls") and "laptop" in said("key", "ls")
    wait_until("the key works", lambda: node().chat("talk", headers={"Authorization": f"Bearer {made['key']}"}).status == 200)
    assert node().chat("other", headers={"Authorization": f"Bearer {made['key']}"}).status == 403
    fails(73, "E_EXISTS", "key", "new", "laptop")
    said("key", "rm", "laptop")
    assert node().chat("talk", headers={"Authorization": f"Bearer {made['key']}"}).status == 401
    fails(66, "E_NOTFOUND", "key", "rm", "laptop")
    told("key", "rm", rows["second"]["id"])
    assert told("key", "ls")["keys"] == []


def test_config():
    file = str(node().file)
    good = told("config", "check", file)
    assert good["valid"] is True and good["findings"] == [] and "valid" in said("config", "check", file)
    bad = node().folder / "bad.yaml"
    bad.write_text("modles: {}\nlimits:\n  body: many\n")
    got = node().command("config", "check", str(bad), check=False)
    assert got.returncode == 78, got
    lines = (got.stdout + got.stderr).splitlines()
    assert any(re.search(r"bad\.yaml:1:1: .*modles.*models", line) for line in lines), lines
    assert any(re.search(r"bad\.yaml:3:9: limits\.body", line) for line in lines), lines
    got = node().command("config", "check", str(bad), "--json", check=False)
    value = json.loads(got.stdout)
    assert got.returncode == 78 and value["valid"] is False, value
    assert [f.split(": ")[0] for f in value["findings"]] == [f"{bad}:1:1", f"{bad}:3:9"], value
    shown = told("config", "show")
    assert shown["models"]["talk"]["idle"] == "1h" and shown["limits"]["body"] == "32MiB", shown
    assert "talk" in said("config", "show")
    schema = told("config", "schema")
    assert schema["$schema"].startswith("https://json-schema.org/") and "models" in schema["properties"]
    assert told("config", "reload") == {"changes": []}
    assert "nothing" in said("config", "reload")


def test_what_needs_no_node():
    profile = told("detect")
    assert profile["os"] == "linux" and profile["class"] in ("cpu", "gpu", "edge") or "class" in profile, profile
    assert "memory" in said("detect")
    report = node().command("doctor", "--json", check=False)
    value = json.loads(report.stdout)
    assert {f["status"] for f in value["findings"]} <= {"ok", "warn", "fail", "skip"} and len(value["findings"]) > 5
    failed = any(f["status"] == "fail" for f in value["findings"])
    assert report.returncode == (1 if failed else 0) and value["ok"] is not failed, report.returncode
    assert all(f["mend"] for f in value["findings"] if f["status"] == "fail"), value
    assert len(said("doctor", code=report.returncode)) > 100
    assert len(node().command("doctor", "--quiet", check=False).stdout) < len(said("doctor", code=report.returncode))
    version = told("version")["version"]
    assert re.fullmatch(r"\d+\.\d+\.\d+.*", version) and said("version").strip() == f"plexus {version}"
    got = subprocess.run([plexus.PLEXUS, "--version"], capture_output=True, text=True)
    assert got.returncode == 0 and got.stdout.strip() == f"plexus {version}", got


def test_env_keeps_every_byte():
    file = node().folder / "some.env"
    old = b"# mine\nEXTRAS = 'odd value'  \n\nexport X=1\r\nNO_NEWLINE=\"a b\""
    file.write_bytes(old)
    added = told("env", "--file", str(file), "--print")["added"]
    assert "COMPOSE_PROFILES" in added and "EXTRAS" not in added, added
    assert file.read_bytes() == old, "--print writes nothing"
    assert told("env", "--file", str(file))["written"] is True
    new = file.read_bytes()
    assert new.startswith(old) and b"COMPOSE_PROFILES=" in new[len(old):], new
    assert file.stat().st_mode & 0o777 == 0o600
    said("env", "--file", str(file))
    assert file.read_bytes() == new, "a second run adds nothing"


def test_usage_errors():
    for words in (["nonsense"], ["ps", "--nonsense"], ["models", "nonsense"], ["models", "load"], ["run"],
                  ["key", "new"], ["logs", "--lines", "x"], ["up", "extra-word"]):
        got = node().command(*words, check=False)
        assert got.returncode == 64 and got.stdout == "" and "plexus" in got.stderr, (words, got)
    got = node().command("modles", check=False)
    assert "models" in got.stderr, got  # the nearest name
    for words in (["--help"], ["help"], ["run", "--help"], ["models", "load", "--help"]):
        got = subprocess.run([plexus.PLEXUS, *words], capture_output=True, text=True)
        assert got.returncode == 0 and "usage" in got.stdout.lower(), (words, got)


def test_no_node():
    folder = node().folder / "nothing-here"
    folder.mkdir(exist_ok=True)
    for words in (["ps"], ["models", "ls"], ["logs"], ["down"], ["key", "ls"], ["run", "talk", "hi"], ["config", "reload"]):
        for more in ([], ["--json"]):
            got = subprocess.run([plexus.PLEXUS, *words, *more, "--data", str(folder)], capture_output=True, text=True,
                                 cwd=folder, env=node().env, stdin=subprocess.DEVNULL, timeout=20)
            assert got.returncode == 69, (words, more, got)
            if more:
                assert json.loads(got.stdout or got.stderr)["error"]["exit"] == 69, got
            else:
                assert "plexus up" in got.stderr, got


def test_a_node_elsewhere():
    url = f"http://127.0.0.1:{node().port}"
    key = node().new_key("operator", scopes=["read"])["key"]
    base = [plexus.PLEXUS, "--node", url]

    def run(*words, key=key):
        return subprocess.run([plexus.PLEXUS, *words, "--node", url], capture_output=True, text=True, timeout=20,
                              env={**node().env, "PLEXUS_API_KEY": key}, cwd=node().folder)

    got = run("ps", "--json")
    assert got.returncode == 0 and json.loads(got.stdout)["node"]["pid"] == node().process.pid, (base, got)
    got = run("models", "load", "talk")
    assert got.returncode == 77 and "scope" in got.stderr, got
    got = run("ps", key="plx_" + "D" * 43)
    assert got.returncode == 77, got
    node().owner("DELETE", "/api/keys/operator")


def test_bench():
    node().chat("talk")
    got = told("bench", "talk", "-n", "6", "-c", "2", "--max-tokens", "4")
    assert got["requests"] == 6 and got["failures"] == 0 and got["concurrency"] == 2 and got["requests_per_s"] > 0, got
    assert "requests" in said("bench", "talk", "-n", "3")


def test_down_and_daemon():
    with Node({"models": {"talk": engine("talk")}}) as first:
        first.chat("talk")
        pids = first.engine_pids()
        with first.stream("talk", "!script frames=30 gap_ms=20") as stream:
            stream.read(1)
            down = subprocess.Popen([plexus.PLEXUS, "down", "--data", str(first.data)], stdout=subprocess.PIPE,
                                    stderr=subprocess.PIPE, text=True, env=first.env)
            assert b"[DONE]" in stream.read()  # what runs may end
            assert first.process.wait(10) == 0 and not any(plexus.alive(p) for p in pids)
            out, err = down.communicate(timeout=5)
            assert down.returncode == 0, (out, err)
        first.stop()
        got = first.command("up", "--daemon", "--config", str(first.file))
        assert "serves at" in got.stdout, got
        port = int(re.search(r"serves at http://127\.0\.0\.1:(\d+)", got.stdout).group(1))
        pid = first.owner("GET", "/api/state").json["node"]["pid"]
        try:
            first.port = port
            assert first.chat("talk").status == 200
            assert os.getsid(pid) == pid != os.getsid(0), "it still belongs to this terminal"
            assert json.loads(first.command("down", "--json").stdout) is not None
        finally:
            if plexus.alive(pid):
                os.kill(pid, signal.SIGKILL)
                raise AssertionError("the daemon is still there")
        # A daemon that cannot start tells its starter.
        first.file.write_text("modles: {}")
        got = first.command("up", "--daemon", "--config", str(first.file), check=False)
        assert got.returncode == 78 and "modles" in got.stderr, got


if __name__ == "__main__":
    plexus.main(globals())
