# rig.py: starts and ends the programs of a bench, reads what the kernel says about them, prints figures.
# SPDX-License-Identifier: Apache-2.0
# Python's standard library only.
import atexit
import http.client
import json
import os
import pathlib
import platform
import re
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
BENCH = ROOT / "bench"
SCRIPTED = ROOT / "build/tests/scripted"
LOAD = ROOT / "build/bench/load"
READY = ROOT / "build/bench/ready"
STREAMS = ROOT / "build/bench/streams"
KEY = "sk-bench-0123456789abcdef0123456789abcdef"


def say(text):
    print(f"[{time.strftime('%H:%M:%S')}] {text}", file=sys.stderr, flush=True)


class Sheet:
    """Figures as they are found: lines on stdout, rows for RESULTS.md."""

    def __init__(self):
        self.rows = {}
        self.missed = []

    def line(self, name, value, unit, spread=None, limit=None, noisy=False, least=False):
        """limit: the mark, at most so much (least: at least so much)."""
        verdict, sign = "", ">=" if least else "<="
        print(f"{name} {number(value)} {unit}", flush=True)
        if spread is not None:
            print(f"{name}_spread {number(spread)} {unit}", flush=True)
        if limit is not None:
            met = value >= limit if least else value <= limit
            verdict = "noisy" if noisy else "met" if met else "missed"
            print(f"{name}_verdict {verdict} {sign}{limit}", flush=True)
            if verdict == "missed":
                self.missed.append(name)
        goal = "" if limit is None else f"{'≥' if least else '≤'} {limit}"
        self.rows[name] = (number(value), unit, "" if spread is None else number(spread), goal, verdict)

    def missing(self, name, why):
        """A mark without a figure: said, and never met."""
        print(f"{name}_verdict missing", flush=True)
        say(f"{name}: {why}")
        self.rows[name] = ("", "", "", "", "missing")

    def write(self, bench, cpus):
        """The table of this bench in RESULTS.md."""
        path = BENCH / "RESULTS.md"
        begin, end = f"<!-- {bench}: made by bench/{bench}.py -->", f"<!-- {bench}: end -->"
        rows = ["| figure | value | unit | spread | goal | verdict |", "|---|---:|---|---:|---|---|"]
        rows += [f"| {name} | {' | '.join(row)} |" for name, row in self.rows.items()]
        where = f"{cpus} cores, Linux {platform.release().split('-')[0]}, {platform.machine()}, {time.strftime('%Y-%m-%d')}"
        text = "\n".join([begin, f"One run on {where}:", "", *rows, end])
        old = path.read_text() if path.exists() else "# Results\n"
        if begin not in old:
            old += f"\n## {bench}\n\n{begin}\n{end}\n"
        path.write_text(re.sub(re.escape(begin) + ".*?" + re.escape(end), lambda _: text, old, flags=re.S))
        say("bench/RESULTS.md refreshed")


def number(value):
    if isinstance(value, int):
        return str(value)
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"


def quartile_distance(values):
    if len(values) < 2:
        return 0.0
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return high - low


# ---- programs ----

_running = []
_folders = []


def work_folder():
    path = pathlib.Path(tempfile.mkdtemp(prefix="plexus-bench-"))
    path.chmod(0o755)  # nginx's worker may be another user
    _folders.append(path)
    return path


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def start(argv, log, env=None, cwd=None):
    with open(log, "ab") as out:
        p = subprocess.Popen([str(a) for a in argv], stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                             env={**os.environ, **(env or {})}, cwd=cwd)
    _running.append(p)
    return p


def stop(p):
    """TERM, then KILL, for this process alone; its children are its own affair (and are checked by the caller)."""
    if p in _running:
        _running.remove(p)
    if p.poll() is None:
        p.terminate()
        try:
            p.wait(8)
        except subprocess.TimeoutExpired:
            p.kill()
            p.wait()


@atexit.register
def stop_all():
    for p in list(_running):
        stop(p)
    for path in _folders:
        shutil.rmtree(path, ignore_errors=True)


def run(argv, timeout=600):
    """A client's stdout as lists of words."""
    done = subprocess.run([str(a) for a in argv], stdout=subprocess.PIPE, timeout=timeout, check=True, text=True)
    return [line.split() for line in done.stdout.splitlines()]


def files_raise():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def fill(template, to, names):
    text = (BENCH / template).read_text()
    for name, value in names.items():
        text = text.replace(f"@{name}@", str(value))
    pathlib.Path(to).write_text(text)


# ---- asking ----

class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout=10):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def ask(port, method, path, body=None, key=None, timeout=10):
    """(status, bytes) of one request; (0, b"") when nothing answers."""
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        head = {"Authorization": f"Bearer {key}"} if key else {}
        if body is not None:
            head["Content-Type"] = "application/json"
        c.request(method, path, body=None if body is None else json.dumps(body), headers=head)
        r = c.getresponse()
        return r.status, r.read()
    except (OSError, http.client.HTTPException):
        return 0, b""
    finally:
        c.close()


def chat(model="bench", text="hello", stream=False):
    return {"model": model, "stream": stream, "messages": [{"role": "user", "content": text}]}


def wait_for(what, condition, seconds=30):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        got = condition()
        if got:
            return got
        time.sleep(0.02)
    raise RuntimeError(f"waited {seconds} s for {what}")


# ---- what the kernel says ----

def tree(pid):
    """The process and all its descendants."""
    children = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                text = pathlib.Path(f"/proc/{entry}/stat").read_text()
            except OSError:
                continue
            children.setdefault(int(text.rsplit(")", 1)[1].split()[1]), []).append(int(entry))
    found, todo = [], [pid]
    while todo:
        p = todo.pop()
        found.append(p)
        todo += children.get(p, [])
    return found


def cpu_ns(pid):
    """CPU time of a process tree. schedstat counts nanoseconds for each living thread; stat counts in ticks but knows the
    threads that have ended too: the larger is the nearer, and neither ever counts too much."""
    total = 0
    for p in tree(pid):
        exact = ticks = 0
        try:
            words = pathlib.Path(f"/proc/{p}/stat").read_text().rsplit(")", 1)[1].split()
            ticks = (int(words[11]) + int(words[12])) * (1_000_000_000 // os.sysconf("SC_CLK_TCK"))
            for task in os.listdir(f"/proc/{p}/task"):
                exact += int(pathlib.Path(f"/proc/{p}/task/{task}/schedstat").read_text().split()[0])
        except (OSError, IndexError):
            pass
        total += max(exact, ticks)
    return total


def memory_kb(pid):
    """(RSS, PSS) of a process tree."""
    rss = pss = 0
    for p in tree(pid):
        try:
            for line in pathlib.Path(f"/proc/{p}/smaps_rollup").read_text().splitlines():
                words = line.split()
                if words[0] == "Rss:":
                    rss += int(words[1])
                elif words[0] == "Pss:":
                    pss += int(words[1])
        except OSError:
            pass
    return rss, pss


def program_of(pid):
    """The path of what a process runs; None when it has ended."""
    try:
        return os.readlink(f"/proc/{pid}/exe")
    except OSError:
        return None


def by_program(pid, program):
    """The first of a process tree that runs this program, or None."""
    return next((p for p in tree(pid) if program_of(p) == str(program)), None)


# ---- the gateways ----

class Gateway:
    """One way to the engine: its port, its key, its process (None: the engine itself)."""

    def __init__(self, name, port, key, process=None, tls=0, argv=None, cwd=None):
        self.name, self.port, self.key, self.process, self.tls, self.argv, self.cwd = name, port, key, process, tls, argv, cwd

    def target(self):
        return f"{self.name}:{self.port}:{self.key}"

    def stop(self):
        """Ends it; what outlives it is a finding, and is ended too."""
        if not self.process or self.process not in _running:
            return
        family = [(p, program_of(p)) for p in tree(self.process.pid)[1:]]
        stop(self.process)
        time.sleep(0.05)
        for pid, program in family:
            if program and program_of(pid) == program:
                say(f"{self.name}: {program} ({pid}) outlived it")
                sigkill(pid)


def engine_start(folder, *options):
    port = free_port()
    p = start([SCRIPTED, "--port", port, "--model", "bench", *options], folder / "engine.log")
    wait_for("the scripted engine", lambda: ask(port, "GET", "/health")[0] == 200)
    return Gateway("direct", port, KEY, p)


def certificate(folder):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                    "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", folder / "key.pem",
                    "-out", folder / "cert.pem"], check=True, stderr=subprocess.DEVNULL)
    (folder / "both.pem").write_text((folder / "cert.pem").read_text() + (folder / "key.pem").read_text())


def proved(gateway):
    """A gateway counts when it answers 200 with the key and 401 without."""
    wait_for(gateway.name, lambda: ask(gateway.port, "POST", "/v1/chat/completions", chat(), gateway.key)[0] == 200)
    status, _ = ask(gateway.port, "POST", "/v1/chat/completions", chat(), "sk-wrong")
    if status not in (400, 401, 403):  # LiteLLM without a database says 400
        raise RuntimeError(f"{gateway.name} answered {status} to a wrong key")
    return gateway


def nginx_start(folder, engine_port):
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if not program:
        say("nginx is not installed: left out (apt install nginx-light)")
        return None
    port, tls = free_port(), free_port()
    fill("nginx.conf", folder / "nginx.conf", {"DIR": folder, "PORT": port, "TLS": tls, "ENGINE": engine_port, "KEY": KEY,
                                                       "CONNECTIONS": resource.getrlimit(resource.RLIMIT_NOFILE)[1] * 5 // 4})
    argv = [program, "-p", folder, "-e", folder / "nginx.err", "-c", folder / "nginx.conf"]
    return proved(Gateway("nginx", port, KEY, start(argv, folder / "nginx.log"), tls, argv))


def haproxy_start(folder, engine_port):
    program = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")
    if not program:
        say("haproxy is not installed: left out (apt install haproxy)")
        return None
    port, tls = free_port(), free_port()
    (folder / "haproxy.keys").write_text(f"{KEY} 1\n")
    maxconn = (resource.getrlimit(resource.RLIMIT_NOFILE)[1] - 100) // 2
    fill("haproxy.cfg", folder / "haproxy.cfg", {"DIR": folder, "PORT": port, "TLS": tls, "ENGINE": engine_port, "MAXCONN": maxconn})
    argv = [program, "-db", "-f", folder / "haproxy.cfg"]
    return proved(Gateway("haproxy", port, KEY, start(argv, folder / "haproxy.log"), tls, argv))


def plexus_program():
    program = pathlib.Path(os.environ.get("PLEXUS", ROOT / "build/plexus")).resolve()
    return program if os.access(program, os.X_OK) else None


def plexus_key(folder):
    """Makes a key on the running node; gives its text."""
    done = subprocess.run([str(plexus_program()), "key", "new", "bench", "--scopes", "models,read", "--data", str(folder / "data"), "--json"],
                          stdout=subprocess.PIPE, text=True, check=True, timeout=10)
    return json.loads(done.stdout)["key"]


def plexus_start(folder, template, names, name="plexus", prove=True):
    """Starts a node on a config template; folder/data is its data folder."""
    port = free_port()
    fill(template, folder / "plexus.yaml", {"DIR": folder, "PORT": port, "SCRIPTED": SCRIPTED, **names})
    argv = [plexus_program(), "up", "--log-level", "warn", "--config", folder / "plexus.yaml", "--data", folder / "data"]
    p = start(argv, folder / "plexus.log", cwd=folder)
    try:
        scheme_probe = names.get("PROBE", port)
        wait_for("plexus", lambda: ask(scheme_probe, "GET", "/health")[0] == 200 or p.poll() is not None)
        if p.poll() is not None:
            raise RuntimeError(f"plexus ended with {p.returncode}")
        key_file = folder / "key"
        if not key_file.exists():
            key_file.write_text(plexus_key(folder))
        g = Gateway(name, port, key_file.read_text(), p, names.get("TLS", 0), argv, folder)
        return proved(g) if prove else g
    except Exception:
        say((folder / "plexus.log").read_text()[-2000:])
        stop(p)
        raise


def litellm_start(folder, engine_port):
    program = os.environ.get("LITELLM") or ROOT / "build/peers/litellm"
    if not os.access(program, os.X_OK):
        say("LiteLLM is not installed: left out (make bench-litellm)")
        return None, 0.0
    port = free_port()
    fill("litellm.yaml", folder / "litellm.yaml", {"ENGINE": engine_port, "KEY": KEY})
    begin = time.monotonic()
    p = start([program, "--config", folder / "litellm.yaml", "--host", "127.0.0.1", "--port", port, "--telemetry", "False"],
              folder / "litellm.log", {"LITELLM_LOCAL_MODEL_COST_MAP": "True"}, folder)
    g = Gateway("litellm", port, KEY, p)
    try:
        wait_for("LiteLLM", lambda: ask(port, "GET", "/health/liveliness")[0] == 200, 120)
        ready = time.monotonic() - begin
        return proved(g), ready * 1000
    except RuntimeError as e:
        say(f"{e}: left out")
        stop(p)
        return None, 0.0


signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is ended


def sigkill(pid):
    os.kill(pid, signal.SIGKILL)
