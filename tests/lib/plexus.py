# plexus.py: what integration tests share: a node with a configuration of its own, engines for it,
# plain HTTP with nothing in between. Standard library only.
# SPDX-License-Identifier: Apache-2.0
import atexit
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
import threading
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


def need_whole_sandbox():
    """Skips where a child cannot have all layers: in a chroot, in most containers."""
    done = subprocess.run([PLEXUS, "_jail", "-w", tempfile.gettempdir(), "-l", "1"], capture_output=True, text=True, timeout=20)
    if done.returncode or any(layer not in (True, None) for layer in json.loads(done.stdout).values()):
        skip("not all layers of the sandbox can be made here (a chroot, a container): " + (done.stdout or done.stderr).strip())


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
            [PLEXUS, "up", "--config", str(self.file), "--data", str(self.data),
             *(["--log-level", self.log_level] if self.log_level else []), *self.args], stdout=subprocess.PIPE, stderr=self.out, env=self.env, cwd=self.folder)
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

    # ---- the owner's socket and files ----
    def owner(self, method, path, body=None, headers=None, timeout=30):
        """A request through the unix socket of the node's owner, which needs no key."""
        return unix_ask(self.data / "run/plexus.sock", method, path, body, headers, timeout)

    def new_key(self, name, **more):
        """Makes an API key; returns its answer (key, id, ...)."""
        answer = self.owner("POST", "/api/keys", {"name": name, **more})
        assert answer.status == 201, answer
        return answer.json

    def access_lines(self):
        """The access log as it is on the disk: objects; a line that is not JSON raises."""
        file = self.data / "logs/access.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def access_line(self, request_id, seconds=5.0):
        """The access log's line of this request, when it was written."""
        return wait_until(f"access log has {request_id}", lambda: next(
            (line for line in self.access_lines() if line["id"] == request_id), None), seconds)

    def log_lines(self):
        """The node's own log, objects."""
        return [json.loads(line) for line in (self.data / "logs/node.jsonl").read_text().splitlines()]

    def engine(self, name):
        """What the scripted engine of this name has counted."""
        return engine_stats(engine_port(self, name))

    def command(self, *words, check=True, text=None):
        got = subprocess.run([PLEXUS, *words, "--data", str(self.data)], capture_output=True, text=True,
                             input=text, timeout=60, env=self.env, cwd=self.folder)
        if check and got.returncode != 0:
            raise AssertionError(f"plexus {' '.join(words)}: {got.returncode}\n{got.stdout}\n{got.stderr}")
        return got


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout=30):
        super().__init__("localhost", timeout=timeout)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def unix_ask(path, method, target, body=None, headers=None, timeout=30):
    connection = UnixConnection(path, timeout)
    data = json.dumps(body) if isinstance(body, (dict, list)) else body
    connection.request(method, target, data, headers or {})
    answer = connection.getresponse()
    result = Answer(answer.status, answer.headers, answer.read())
    connection.close()
    return result


def shared(make):
    """A node that the cases of one program share: made by the first call, stopped at the end."""
    kept = []

    def node():
        if not kept:
            kept.append(make())
            atexit.register(kept[0].__exit__, None, None, None)
        return kept[0]

    return node


class EngineProcess:
    """A scripted engine that the test itself starts, for `engine: remote`."""

    def __init__(self, *options, name="remote"):
        self.process = subprocess.Popen([SCRIPTED, "--port", "0", "--model", name, *map(str, options)],
                                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.port = int(self.process.stdout.readline().split()[1])
        atexit.register(self.stop)

    def stats(self):
        return engine_stats(self.port)

    def last(self):
        return engine_last(self.port)

    def stop(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)
        self.process.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.stop()


class JsonLines:
    """A command that prints JSON lines, read while it still writes: through a description of the file of its own, whole lines only."""

    def __init__(self, *words):
        out, self.path = tempfile.mkstemp(prefix="plexus-lines-")
        self.process = subprocess.Popen(words, stdout=out)
        os.close(out)

    def rows(self):
        return [json.loads(line) for line in pathlib.Path(self.path).read_text().split("\n")[:-1]]

    def end(self, sig=signal.SIGINT):
        self.process.send_signal(sig)
        code = self.process.wait(10)
        os.unlink(self.path)
        return code


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def engine_get(port, path):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", path)
    body = connection.getresponse().read()
    connection.close()
    return body


def engine_last(port):
    """(head lines, body) of the last POST that this scripted engine got, byte for byte."""
    head, _, body = engine_get(port, "/_last").partition(b"\r\n\r\n")
    return head.decode("latin-1").split("\r\n"), body


def header_of(lines, name):
    """All values of a header in such a head."""
    return [line.split(":", 1)[1].strip() for line in lines[1:]
            if line.split(":", 1)[0].strip().lower() == name.lower()]


def parallel(count, work):
    """work(i) for each i in a thread of its own; the results in order; the first error is raised."""
    results, errors = [None] * count, []

    def one(i):
        try:
            results[i] = work(i)
        except BaseException as error:  # told below
            errors.append(error)

    threads = [threading.Thread(target=one, args=(i,), daemon=True) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return results


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
