# plexus.py: what integration tests share: a node with a configuration of its own, engines for it,
# plain HTTP with nothing in between. Standard library only.
# SPDX-License-Identifier: Apache-2.0
import contextlib
import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
PLEXUS = os.environ.get("PLEXUS_BIN", str(ROOT / "build/plexus"))
SCRIPTED = str(ROOT / "build/tests/scripted")
LLAMA = str(ROOT / "build/engines/llama-server")
TINY = str(ROOT / "models/tiny-chat.gguf")


def test_env(name):
    """A value that tools/setup test wrote into build/test.mk; None: not there."""
    file = ROOT / "build/test.mk"
    for line in file.read_text().splitlines() if file.exists() else []:
        key, _, value = line.partition(" = ")
        if key == name:
            return value.strip() or None
    return None


def skip(why):
    print("skipped:", why)
    sys.exit(77)


def wait_until(what, condition, seconds=15.0):
    """Waits for a condition, with a deadline; returns its value."""
    until = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > until:
            raise AssertionError(f"did not happen within {seconds} s: {what}")
        time.sleep(0.005)


def descendants(pid):
    """All processes below pid, by /proc."""
    children = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                stat = pathlib.Path(f"/proc/{entry}/stat").read_text()
            except OSError:
                continue
            children.setdefault(int(stat.rpartition(")")[2].split()[1]), []).append(int(entry))
    found, todo = [], [pid]
    while todo:
        for child in children.get(todo.pop(), []):
            found.append(child)
            todo.append(child)
    return found


def alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"{self.status} {self.body[:400]!r}"


def scripted(*options, name="scripted"):
    """argv of a scripted engine for `engine: command`."""
    return [SCRIPTED, "--port", "{port}", "--model", name, *map(str, options)]


class Node:
    """`plexus up` with this configuration (a dict; JSON is YAML) in a folder of its own."""

    def __init__(self, config=None, env=None, args=(), start=True, folder=None, log_level="info"):
        self.folder = pathlib.Path(folder or tempfile.mkdtemp(prefix="plexus-test-"))
        self.own_folder = folder is None
        self.data = self.folder / "data"
        self.config = config or {}
        self.config.setdefault("listen", {"api": "127.0.0.1:0"})
        self.file = self.folder / "plexus.yaml"
        self.env = dict(os.environ, **(env or {}))
        self.args, self.log_level = list(args), log_level
        self.process = self.port = None
        self.write()
        if start:
            self.start()

    def write(self, config=None):
        if config is not None:
            self.config = config
        self.file.write_text(json.dumps(self.config, indent=1))

    def start(self, wait=True):
        self.out = open(self.folder / "out.log", "ab")
        self.process = subprocess.Popen(
            [PLEXUS, "up", "--config", str(self.file), "--data", str(self.data), "--log-level",
             self.log_level, *self.args], stdout=subprocess.PIPE, stderr=self.out, env=self.env, cwd=self.folder)
        if wait:
            line = self.process.stdout.readline().decode()
            if "serves at" not in line:
                self.process.wait(10)
                raise AssertionError(f"the node did not start: {line!r}\n{self.log()}")
            self.port = int(line.split("serves at ")[1].split()[0].rstrip("/").rsplit(":", 1)[1])
        return self

    def log(self):
        return (self.folder / "out.log").read_text(errors="replace")[-8000:]

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        if exc[0] is not None and exc[0] is not SystemExit:
            print("---- node's log ----\n" + self.log(), file=sys.stderr)
        self.stop()
        if self.own_folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    def stop(self, sig=signal.SIGTERM, seconds=30):
        if not self.process:
            return None
        if self.process.poll() is None:
            self.process.send_signal(sig)
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)
            raise AssertionError("the node did not end\n" + self.log())
        finally:
            self.process.stdout.close()
            self.out.close()
        self.process = None
        return code

    # ---- HTTP ----
    def connection(self, timeout=30):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)

    def ask(self, method, path, body=None, headers=None, timeout=60):
        connection = self.connection(timeout)
        data = json.dumps(body) if isinstance(body, (dict, list)) else body
        connection.request(method, path, data, headers or {})
        answer = connection.getresponse()
        result = Answer(answer.status, answer.headers, answer.read())
        connection.close()
        return result

    def get(self, path, **more):
        return self.ask("GET", path, **more)

    def post(self, path, body=None, **more):
        return self.ask("POST", path, body if body is not None else {}, **more)

    def chat(self, model, text="hello", headers=None, timeout=60, **more):
        return self.post("/v1/chat/completions", {"model": model, "messages": [{"role": "user", "content": text}], **more},
                         headers=headers, timeout=timeout)

    @contextlib.contextmanager
    def stream(self, model, text="hello", timeout=60, headers=None, **more):
        """A streaming answer as an open http.client response."""
        connection = self.connection(timeout)
        connection.request("POST", "/v1/chat/completions", json.dumps(
            {"model": model, "stream": True, "messages": [{"role": "user", "content": text}], **more}), headers or {})
        answer = connection.getresponse()
        try:
            yield answer
        finally:
            answer.close()
            connection.close()

    def model(self, name):
        return next(m for m in self.get("/api/models").json["models"] if m["name"] == name)

    def wait_state(self, name, state, seconds=20):
        return wait_until(f"{name} is {state}", lambda: self.model(name)["state"] == state, seconds)

    def engine_pids(self):
        return [p for p in descendants(self.process.pid) if b"_guard" not in cmdline(p)]

    def raw(self):
        return socket.create_connection(("127.0.0.1", self.port), 30)

    def command(self, *words, check=True, text=None):
        got = subprocess.run([PLEXUS, *words, "--data", str(self.data)], capture_output=True, text=True,
                             input=text, timeout=60, env=self.env, cwd=self.folder)
        if check and got.returncode != 0:
            raise AssertionError(f"plexus {' '.join(words)}: {got.returncode}\n{got.stdout}\n{got.stderr}")
        return got


def cmdline(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def engine_port(node, name):
    """The port of this scripted engine, from its command line."""
    for pid in node.engine_pids():
        words = cmdline(pid).split(b"\0")
        if words[0].endswith(b"scripted") and name.encode() in words:
            return int(words[words.index(b"--port") + 1])
    raise AssertionError(f"no engine {name} runs")


def engine_stats(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", "/_stats")
    value = json.loads(connection.getresponse().read())
    connection.close()
    return value


def frames(body):
    """The data of each server-sent event."""
    return [part[6:] for part in body.decode().replace("\r\n", "\n").split("\n\n") if part.startswith("data: ")]


def main(cases):
    """Runs functions named test_*, prints a line for each; exit code 1 when one fails."""
    words, failed = sys.argv[1:], []
    for name, function in list(cases.items()):
        if not name.startswith("test_") or not callable(function) or (words and not any(w in name for w in words)):
            continue
        began = time.monotonic()
        try:
            function()
            print(f"ok    {time.monotonic() - began:6.2f} s  {name[5:]}", flush=True)
        except Exception as error:  # one broken case must not hide the others
            import traceback
            traceback.print_exc()
            failed.append(name)
            print(f"FAIL  {time.monotonic() - began:6.2f} s  {name[5:]}: {error}", flush=True)
    print(f"{'failed: ' + ' '.join(failed) if failed else 'all passed'}")
    sys.exit(1 if failed else 0)
