#!/usr/bin/env python3
# edges_test.py: small promises that are easily forgotten: reasons where an engine dies, the code of
# an error, what a 405 allows, `up --json`, a folder of models that fills up later.
# SPDX-License-Identifier: Apache-2.0
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import plexus  # noqa: E402
from plexus import Node, scripted  # noqa: E402

CHAT = "/v1/chat/completions"


def model(name, *options, **more):
    return {"engine": "command", "command": scripted(*options, name=name), "health": "/health", "kind": "chat", **more}


node = plexus.shared(lambda: Node({
    "models": {"plain": model("plain"), "stalls": model("stalls", timeouts={"silence": "300ms"}),
               "alone": model("alone", queue=0, slots=1), "slow": model("slow", "--health-delay-ms", 3000),
               "no-file": {"file": "/nonexistent/x.gguf", "kind": "chat"}}}))


def test_the_reason_of_a_death_is_told():
    assert node().chat("plain").status == 200
    pid = next(p for p in node().engine_pids() if b"plain" in plexus.cmdline(p))
    os.kill(pid, signal.SIGKILL)
    died = plexus.wait_until("the death is logged", lambda: [
        line for line in node().log_lines() if line["event"] == "engine.died" and line["model"] == "plain"])
    assert "signal 9" in died[0]["why"] and died[0]["level"] == "warn", died
    node().wait_state("plain", "UNLOADED")
    row = node().model("plain")
    assert "signal 9" in row["failure"], row
    assert "died: " in node().command("models").stdout
    assert node().chat("plain").status == 200 and node().model("plain")["failure"] == ""


def test_errors_carry_one_spelling_of_their_code():
    with node().stream("stalls", "!script half_frame_stall=2") as answer:
        error = json.loads(plexus.frames(answer.read())[-1])["error"]
    assert error["code"] == "timeout", error
    for sent, status, code in ((b"POST /v1/x HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400, "parse"),
                               (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "version")):
        with node().raw() as raw:
            raw.sendall(sent)
            got = b"".join(iter(lambda: raw.recv(65536), b""))
        assert got.startswith(b"HTTP/1.1 %d " % status), got
        assert json.loads(got.partition(b"\r\n\r\n")[2])["error"]["code"] == code, got


def test_wrong_methods_hear_the_right_ones():
    for method, path, allow in (("GET", CHAT, "POST"), ("GET", "/v1/any", "POST"), ("DELETE", "/v1/models/plain", "GET, HEAD"),
                                ("POST", "/metrics", "GET, HEAD"), ("PUT", "/api/state", "GET")):
        answer = node().ask(method, path)
        assert answer.status == 405 and allow in answer.headers["Allow"], (method, path, answer, answer.headers)
        assert answer.json["error"]["code"] == "method", answer


def test_encoded_bodies_are_refused_by_name():
    answer = node().post(CHAT, b"\x1f\x8b\x08\0", headers={"Content-Encoding": "gzip"})
    assert answer.status == 415 and "Content-Encoding" in answer.json["error"]["message"], answer


def test_a_missing_model_key_is_said_on_every_path():
    assert 'missing key "model"' in node().post("/v1/rerank", {"query": "x"}).json["error"]["message"]
    assert "expected a string" in node().post("/v1/rerank", {"model": 1}).json["error"]["message"]


def test_no_estimate_is_invented():
    answer = node().chat("slow", headers={"Prefer": "wait=0"})
    assert answer.status == 503 and "not known" in answer.json["error"]["message"], answer
    assert int(answer.headers["Retry-After"]) > 0


def test_a_queue_of_none_still_loads():
    first = node().chat("alone")
    assert first.status == 503 and first.json["error"]["code"] == "loading", first
    node().wait_state("alone", "WARM")
    assert node().chat("alone").status == 200


def test_the_slots_of_llama_cpp_bound_its_queue_too():
    """Without the key slots its server works on one request at once; the others wait here, counted."""
    with Node({"models": {"tiny": {"file": plexus.TINY, "queue": 1}}}) as own:
        assert own.chat("tiny", max_tokens=2).status == 200
        answers = plexus.parallel(8, lambda _: own.chat("tiny", max_tokens=900, ignore_eos=True))
        assert {a.status for a in answers} == {200, 503}, answers
        assert all(a.json["error"]["code"] == "full" for a in answers if a.status == 503), answers


def test_a_failure_names_its_model_once():
    message = node().chat("no-file").json["error"]["message"]
    assert message == "model no-file failed: the file /nonexistent/x.gguf does not exist", message


def test_a_key_sees_its_models():
    key = {"Authorization": "Bearer " + node().new_key("narrow", models=["plain"])["key"]}
    listed = node().get("/v1/models", headers=key).json["data"]
    assert [m["id"] for m in listed] == ["plain"], listed
    assert node().get("/v1/models/plain", headers=key).status == 200
    assert node().get("/v1/models/slow", headers=key).status == 403


def test_names_with_a_slash():
    with Node({"models": {"org/name:1b": model("org")}}) as own:
        for path in ("/v1/models/org/name:1b", "/v1/models/org%2Fname%3A1b", "/api/models/org%2Fname%3A1b"):
            assert own.get(path).status == 200, path


def test_the_log_level_changes_at_a_reload():
    def denied(own):
        own.get("/v1/models", headers={"Host": "evil.example"})
        return len([line for line in own.log_lines() if line["event"] == "gate.denied"])

    with Node({"log": {"level": "error"}}, log_level=None) as own:
        assert denied(own) == 0
        own.write({**own.config, "log": {"level": "info"}})
        own.command("config", "reload")
        plexus.wait_until("lines of this level are written", lambda: denied(own) > 0)
    got = subprocess.run([plexus.PLEXUS, "up", "--log-level", "loud"], capture_output=True, text=True, timeout=20)
    assert got.returncode == 64 and "loud" in got.stderr, got


def test_up_in_json():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="plexus-test-"))
    (folder / "plexus.yaml").write_text('{"listen": {"api": "127.0.0.1:0"}}')
    with subprocess.Popen([plexus.PLEXUS, "up", "--json", "--data", str(folder / "data")], cwd=folder,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        said = json.loads(process.stdout.readline())
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    assert said["pid"] == process.pid and said["address"].startswith("http://127.0.0.1:") and said["models"] == 0, said
    shutil.rmtree(folder)


def test_a_config_made_of_nothing_is_made_anew():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="plexus-test-"))
    made = folder / "data/plexus.yaml"
    env = dict(os.environ, HOME=str(folder), OLLAMA_MODELS=str(folder / "none"))
    for name in ("HF_HOME", "HF_HUB_CACHE", "XDG_CACHE_HOME", "PLEXUS_CONFIG", "LLAMA_CACHE"):
        env.pop(name, None)

    def up():  # the address is kept busy: it is the config that is looked at
        with socket.socket() as busy:
            try:
                busy.bind(("127.0.0.1", 8000))
            except OSError:
                pass  # somebody else does it
            got = subprocess.run([plexus.PLEXUS, "up", "--data", str(folder / "data")], cwd=folder, env=env,
                                 capture_output=True, text=True, timeout=20)
        assert got.returncode == 69, got
        return got.stderr

    said = up()
    assert "made one with 0 models" in said and "put a GGUF file into ./models" in said, said
    assert "models: {}" in made.read_text()
    (folder / "models").mkdir()
    shutil.copy(plexus.TINY, folder / "models")
    assert "made one with 1 model of" in up() and "tiny-chat" in made.read_text()
    made.write_text(made.read_text().replace("tiny-chat", "mine"))
    assert "made one" not in up() and "mine" in made.read_text()
    shutil.rmtree(folder)


def test_env_file_counts_as_environment():
    """A secret that only ./.env holds reaches the configuration; the environment itself wins over it."""
    key = {"one": "ONE_KEY", "two": "TWO_KEY"}
    models = {name: {"engine": "remote", "url": "http://127.0.0.1:9/v1", "kind": "chat", "key": {"env": variable}}
              for name, variable in key.items()}
    with Node({"models": models}, start=False, env={"TWO_KEY": "from-outside"}) as node:
        file = node.folder / ".env"
        file.write_text("# ours\nONE_KEY='a b'\nTWO_KEY=lost\nbroken line\n")
        file.chmod(0o644)
        node.start()
        assert node.get("/v1/models").status == 200
        assert "chmod 600" in node.log(), node.log()
        shown = node.command("config", "show", "--json").stdout
        assert "from-outside" not in shown and "a b" not in shown, shown
    with Node({"models": models}, start=False, env={"TWO_KEY": "x"}) as node:
        node.start(wait=False)  # no .env: the secret is missing, and that is said
        assert node.process.wait(10) != 0 and "ONE_KEY" in node.log(), node.log()


if __name__ == "__main__":
    plexus.main(globals())
