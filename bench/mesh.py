# mesh.py: the marks of many machines as one mesh, with real processes. `make bench BENCH=mesh`.
# SPDX-License-Identifier: Apache-2.0
#
# stdout: lines "name value unit", as gateway.py prints them; progress goes to stderr. A mark whose program is not there is said
# to be missing. MINUTES=20 (or --minutes 20): how long false deaths are waited for. --write refreshes bench/RESULTS.md.
import argparse
import collections
import datetime
import http.client
import json
import os
import pathlib
import random
import re
import signal
import statistics
import subprocess
import sys
import threading
import time

import rig
from rig import quartile_distance, say, wait_for

sys.path.insert(0, str(rig.ROOT / "tests/lib"))
os.environ.setdefault("PLEXUS_BIN", str(rig.plexus_program() or rig.ROOT / "build/plexus"))
import netns  # noqa: E402
import plexus  # noqa: E402

DOMAIN = "bench.example"
BENCHES = rig.ROOT / "build/bench"
FALSE_BELOW_MS = 1000  # a node declared dead after a shorter silence is a false death
PAUSE_S = (0.05, 0.88)  # of a paused node; what the timers of a busy machine add stays below 0.9

# Programs of their own: what they print, and the mark of each figure (value, is it the least).
PROGRAMS = {
    "label_decide": {"label_decision_ns": (100, False)},
    "mesh_route": {"route_choice_us": (20, False)},
    "mesh_svid": {"svid_issue_ms": (1, False)},
    "bus": {"inproc_bus_msgs_per_s": (10_000_000, True), "inproc_bus_wild_msgs_per_s": (5_000_000, True)},
}


# ---- a mesh on this machine ----

class Mesh:
    """Nodes, each a process in a folder of its own; the first has the authority. hosts: name → netns.Host, None: loopback."""

    def __init__(self, names, models=None, hosts=None, config=None):
        self.nodes, self.hosts, self.models, self.more = {}, hosts, models or {}, config or {}
        try:
            for name in names:
                self.add(name)
            answer = self.first.owner("POST", "/api/mesh/init", {"trust_domain": DOMAIN})
            if answer.status != 201:
                raise RuntimeError(f"mesh init: {answer}")
            for name in names[1:]:
                self.join(name)
            self.settled()
        except BaseException:
            self.__exit__()
            raise

    def __getitem__(self, name):
        return self.nodes[name]

    @property
    def first(self):
        return next(iter(self.nodes.values()))

    def add(self, name):
        host = self.hosts[name] if self.hosts else None
        mesh = f"{host.address}:8001" if host else f"127.0.0.1:{rig.free_port()}"
        config = {"node": {"name": name, "context": f"dev.bench.{name}"}, "models": self.models.get(name, {}),
                  "listen": {"api": "127.0.0.1:0", "mesh": mesh, "keys": "required"}, **self.more}
        args = {"folder": rig.work_folder(), "start": False}
        self.nodes[name] = netns.Node(host, config, **args) if host else plexus.Node(config, **args)
        self.nodes[name].start()
        return self.nodes[name]

    def join(self, name):
        """Gives the wall clock's time just before the request."""
        token = self.first.owner("POST", "/api/mesh/tokens", {}).json["token"]
        begin = time.time()
        answer = self[name].owner("POST", "/api/mesh/join", {"address": self.first.config["listen"]["mesh"], "token": token})
        if answer.status != 200:
            raise RuntimeError(f"{name} joins: {answer}")
        return begin

    def remove(self, name):
        node = self.nodes.pop(name)
        node.owner("POST", "/api/mesh/leave", {})
        node.stop()

    def settled(self, seconds=20):
        """All see all alive, with their models."""
        def agree(node):
            seen = {n["name"]: n for n in node.owner("GET", "/api/mesh").json["nodes"]}
            return all(name in seen and seen[name]["state"] == "alive" and len(seen[name]["models"]) >= len(self.models.get(name, {}))
                       for name in self.nodes)

        for name, node in self.nodes.items():
            wait_for(f"node {name} to see all", lambda node=node: agree(node), seconds)

    def target(self, name):
        """For load: the node's API with a key of its own."""
        node = self[name]
        if not hasattr(node, "key"):
            node.key = node.new_key("bench", scopes=["models", "read"])["key"]
        return f"{name}:{node.port}:{node.key}"

    def others(self, name):
        return [n for n in self.nodes if n != name]

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        for node in self.nodes.values():
            if node.process and node.process.poll() is None:
                node.process.send_signal(signal.SIGCONT)
            try:
                node.stop()
            except (AssertionError, OSError, ValueError) as e:
                say(f"{node.config['node']['name']}: {e}")


def log_events(node, event, since=0.0):
    """[(wall time, object)] of the node's log; its time of an event, not ours of reading."""
    found = []
    file = node.data / "logs/node.jsonl"
    for line in file.read_bytes().split(b"\n")[:-1] if file.exists() else []:
        if f'"event":"{event}"'.encode() in line.replace(b'": "', b'":"'):
            entry = json.loads(line)
            at = datetime.datetime.fromisoformat(entry["time"]).timestamp()
            if at >= since - 0.001:  # it has whole milliseconds
                found.append((at, entry))
    return found


def seen_as(node, name, state, since):
    """When this node said that that one has the state, or None."""
    return next((at for at, e in log_events(node, "mesh.node", since) if e["node"] == name and e["state"] == state), None)


def all_see(mesh, watchers, name, state, since, seconds=10):
    """The time when the last of the watchers said it."""
    return max(wait_for(f"node {w} to have {name} as {state}", lambda w=w: seen_as(mesh[w], name, state, since), seconds)
               for w in watchers)


def kill(node):
    """The power is out: node, guards and engines at once. Gives the time."""
    pids = [node.process.pid, *plexus.descendants(node.process.pid)]
    at = time.time()
    for pid in pids:
        rig.sigkill(pid)
    node.process.wait(10)
    node.process.stdout.close()
    node.out.close()
    node.process = None
    return at


def hang(node):
    """The machine hangs: nothing is said any more, no connection is closed. Gives the time."""
    at = time.time()
    node.process.send_signal(signal.SIGSTOP)
    return at


def back(node, how):
    if how == "kill":
        node.start()
    else:
        node.process.send_signal(signal.SIGCONT)


def remote(engine):
    return {"engine": "remote", "url": f"http://127.0.0.1:{engine.port}/v1", "kind": "chat"}


# ---- the hop, and memory ----

def part_hop(sheet, args):
    """client → a → b → engine against client → b → engine, blocks in turn; then the memory of the three."""
    engine = rig.engine_start(rig.work_folder())
    with Mesh(["a", "b", "c"], {"b": {"bench": remote(engine)}}) as mesh:
        targets = [engine.target(), mesh.target("b"), mesh.target("a")]
        for attempt in range(args.tries):
            say(f"hop, try {attempt + 1}")
            found, blocks = {}, {}
            for words in rig.run([rig.LOAD, "latency", "--block", 500, "--rounds", args.rounds, *targets]):
                if words[0] == "block":
                    blocks.setdefault(words[2], []).append(float(words[3]))
                else:
                    found[words[1]] = (float(words[2]), float(words[3]), int(words[4]))
            noisy = found["direct"][1] > 2 * found["direct"][0]
            if not noisy:
                break
        if noisy:
            print("noisy 1 run", flush=True)
        for name, (_, _, bad) in found.items():
            if bad:
                raise RuntimeError(f"{name}: {bad} answers were not 200")
        for name, label in (("direct", "direct"), ("b", "local"), ("a", "hop")):
            sheet.line(f"{label}_p50_us", found[name][0], "us", quartile_distance(blocks[name]))
            sheet.line(f"{label}_p99_us", found[name][1], "us")
        pairs = [a - b for a, b in zip(blocks["a"], blocks["b"])]
        sheet.line("hop_added_p50_us", found["a"][0] - found["b"][0], "us", quartile_distance(pairs), 200, noisy)
        sheet.line("hop_added_p99_us", found["a"][1] - found["b"][1], "us")
        hop_cpu(sheet, mesh, 16, "")
        worst = {name: rig.memory_kb(node.process.pid) for name, node in mesh.nodes.items()}
        sheet.line("node_rss_mb", max(rss for rss, _ in worst.values()) / 1024, "MB", None, 16)
        sheet.line("node_pss_mb", max(pss for _, pss in worst.values()) / 1024, "MB")
        hop_cpu(sheet, mesh, 200, "_200")
    engine.stop()


def hop_cpu(sheet, mesh, connections, suffix):
    """CPU time of all nodes for a request with and without the hop."""
    cost, rate = {"b": [], "a": []}, []
    for _ in range(6):
        for name, values in cost.items():
            before = sum(rig.cpu_ns(n.process.pid) for n in mesh.nodes.values())
            got = dict(rig.run([rig.LOAD, "closed", "--requests", 5000, "--connections", connections, mesh.target(name)]))
            if got["bad"] != "0":
                raise RuntimeError(f"{name}: {got['bad']} answers were not 200")
            values.append((sum(rig.cpu_ns(n.process.pid) for n in mesh.nodes.values()) - before) / 5000 / 1000)
            rate += [float(got["rps"])] if name == "a" else []
    sheet.line(f"local{suffix}_cpu_us", statistics.median(cost["b"]), "us", quartile_distance(cost["b"]))
    sheet.line(f"hop{suffix}_cpu_us", statistics.median(cost["a"]), "us", quartile_distance(cost["a"]))
    sheet.line(f"hop{suffix}_rps", statistics.median(rate), "1/s", quartile_distance(rate))


# ---- joining ----

def part_join(sheet, args):
    """Fifteen, and one that comes: from its request until each of the sixteen has it alive, and it has each of them."""
    names = [f"n{i}" for i in range(1, 16)]
    took, whole = [], []
    say("16 nodes")
    with Mesh(names) as mesh:
        for i in range(args.joins):
            name = f"new{i}"
            mesh.add(name)
            begin = mesh.join(name)
            took.append((all_see(mesh, names, name, "alive", begin) - begin) * 1000)
            whole.append((max(wait_for(f"{name} to have {o}", lambda o=o: seen_as(mesh[name], o, "alive", begin)) for o in names) -
                          begin) * 1000)
            mesh.settled()
            say(f"join {i + 1}: {took[-1]:.0f} ms, itself {whole[-1]:.0f} ms")
            mesh.remove(name)
            for other in names:
                wait_for(f"{other} to have {name} gone", lambda o=other: any(
                    e["node"] == name and e["state"] in ("left", "removed") for _, e in log_events(mesh[o], "mesh.node", begin)))
    worst = max(max(a, b) for a, b in zip(took, whole))
    sheet.line("join_ms", worst, "ms", worst - min(took), 1000)


# ---- death ----

def part_death(sheet, args):
    """From the end of a node until the last of the others has it dead; all three take their turn, the authority's too."""
    found = {"kill": [], "hang": []}
    with Mesh(["a", "b", "c"]) as mesh:
        names = list(mesh.nodes)
        for i in range(args.deaths):
            for how, values in found.items():
                name = names[(i + (how == "hang")) % 3]
                time.sleep(random.uniform(0.3, 0.6))  # somewhere between two beats
                at = (kill if how == "kill" else hang)(mesh[name])
                values.append((all_see(mesh, mesh.others(name), name, "dead", at) - at) * 1000)
                say(f"{how} of {name}: dead everywhere after {values[-1]:.0f} ms")
                back(mesh[name], how)
                mesh.settled()
    for how, values in found.items():
        sheet.line(f"host_death_{how}_ms", max(values), "ms", max(values) - min(values))
    both = found["kill"] + found["hang"]
    sheet.line("host_death_ms", max(both), "ms", max(both) - min(both), 1500)


# ---- clients of a node that dies ----

class Client(threading.Thread):
    """Asks one node again and again, plain or streaming; good: the times of all that came and was right."""

    def __init__(self, node, key, stream, number):
        super().__init__(daemon=True)
        self.node, self.stop, self.good, self.errors, self.stream = node, threading.Event(), [], [], stream
        script = "!script frames=12 gap_ms=25" if stream else "!script first_byte_ms=30"
        messages = [{"role": "system", "content": f"You talk to client {number}."}, {"role": "user", "content": script}]
        self.body = json.dumps({"model": "bench", "stream": stream, "messages": messages})
        self.head = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}

    def run(self):
        connection = None
        while not self.stop.is_set():
            try:
                connection = connection or self.node.connection(10)
                connection.request("POST", "/v1/chat/completions", self.body, self.head)
                self.take(connection.getresponse())
            except (OSError, http.client.HTTPException, RuntimeError) as e:
                self.errors.append((time.time(), repr(e)))
                if connection:
                    connection.close()
                connection = None
        if connection:
            connection.close()

    def take(self, answer):
        if answer.status != 200:
            raise RuntimeError(f"{answer.status} {answer.read()[:200]}")
        if not self.stream:
            answer.read()
            self.good.append(time.time())
            return
        done = False
        for line in answer:
            if b'"error"' in line:
                raise RuntimeError(line.decode())
            done = done or line.startswith(b"data: [DONE]")
            if line.startswith(b"data: "):
                self.good.append(time.time())
        if not done:
            raise RuntimeError("a stream without its end")

    def recovery(self, died, until):
        """The longest time after the death in which nothing good came."""
        times = [died, *(t for t in self.good if died < t < until), until]
        return max(b - a for a, b in zip(times, times[1:]))


def part_recovery(sheet, args):
    """Twelve clients of a; b and c have the model; the one of the two that serves more ends with what it is at."""
    found, errors, count = {"kill": [], "hang": []}, 0, 0
    engines = [rig.engine_start(rig.work_folder()) for _ in range(2)]
    with Mesh(["a", "b", "c"], {"b": {"bench": remote(engines[0])}, "c": {"bench": remote(engines[1])}}) as mesh:
        mesh.target("a")  # makes the key
        for i in range(args.recoveries):
            for how, values in found.items():
                clients = [Client(mesh["a"], mesh["a"].key, k % 3 == 0, f"{i} {k}") for k in range(12)]
                for c in clients:
                    c.start()
                time.sleep(random.uniform(0.8, 1.2))
                before = [len(c.errors) for c in clients]
                victim, at_work = wait_for("a request that is in flight", lambda: busiest(mesh["a"]), 5)
                died = (kill if how == "kill" else hang)(mesh[victim])
                time.sleep(3)
                until = time.time()
                for c in clients:
                    c.stop.set()
                for c in clients:
                    c.join(15)
                values.append(max(c.recovery(died, until) for c in clients) * 1000)
                news = [e for c, n in zip(clients, before) for e in c.errors[n:]]
                if any(before):
                    raise RuntimeError(f"errors before anything died: {[c.errors[:1] for c in clients]}")
                say(f"{how} of {victim} with {at_work} requests: the slowest client was served again after {values[-1]:.0f} ms, {len(news)} errors"
                    f"{''.join(sorted(f'; {n} x {text}' for text, n in collections.Counter(e[:120] for _, e in news).items()))}")
                errors += len(news)
                count += len(clients)
                back(mesh[victim], how)
                mesh.settled()
    for engine in engines:
        engine.stop()
    for how, values in found.items():
        sheet.line(f"client_recovery_{how}_ms", max(values), "ms", max(values) - min(values))
    both = found["kill"] + found["hang"]
    sheet.line("client_recovery_ms", max(both), "ms", max(both) - min(both), 2000)
    sheet.line("client_recovery_errors", errors / count, "errors/client")


def busiest(node):
    """(name, requests in flight) of the other node that serves most of this one's; None: none serves any."""
    rows = [(n["in_flight"], n["name"]) for n in node.owner("GET", "/api/mesh").json["nodes"] if not n["self"]]
    count, name = max(rows)
    return (name, count) if count else None


# ---- false deaths ----

class Pauses(threading.Thread):
    """Stops a node's process now and then."""

    def __init__(self, node, seed, end):
        super().__init__(daemon=True)
        self.node, self.rng, self.end, self.lengths = node, random.Random(seed), end, []

    def run(self):
        while not self.end.wait(0.3 + self.rng.expovariate(1 / 1.2)):
            begin = time.monotonic()
            self.node.process.send_signal(signal.SIGSTOP)
            time.sleep(self.rng.uniform(*PAUSE_S))
            self.node.process.send_signal(signal.SIGCONT)
            self.lengths.append((time.monotonic() - begin) * 1000)


def part_false(sheet, args):
    why, names = netns.missing(), ["a", "b", "c"]
    net = None if why else netns.Net()
    say(f"pauses{'' if why else ' and 5 % loss'} for {args.minutes} min{': no loss, ' + why if why else ''}")
    try:
        hosts = dict(zip(names, net.hosts(*names))) if net else None
        with Mesh(names, hosts=hosts) as mesh:
            for host in (hosts or {}).values():
                host.lose(5, 0)  # each way between two hosts goes into one of them
            begin, end = time.time(), threading.Event()
            pauses = [Pauses(mesh[n], f"{args.seed} {n}", end) for n in names]
            for p in pauses:
                p.start()
            while time.time() - begin < args.minutes * 60:
                time.sleep(min(5, max(0.1, begin + args.minutes * 60 - time.time())))
                if any(not p.is_alive() or p.node.process.poll() is not None for p in pauses):
                    raise RuntimeError("a node ended")
            end.set()
            for p in pauses:
                p.join(10)
            states = [(n, e) for n in names for _, e in log_events(mesh[n], "mesh.node", begin)]
            dead = [(n, e) for n, e in states if e["state"] == "dead"]
            mesh.settled()
            for n, e in dead:
                say(f"{n} had {e['node']} dead after a silence of {e['silence_ms']} ms")
            lengths = [x for p in pauses for x in p.lengths]
            sheet.line("false_deaths_minutes", args.minutes, "min")
            sheet.line("false_deaths_loss", 0 if why else 5, "%")
            sheet.line("false_deaths_pauses", len(lengths), "pauses")
            sheet.line("false_deaths_pause_worst_ms", max(lengths, default=0.0), "ms")
            sheet.line("false_deaths_suspicions", sum(e["state"] == "suspect" for _, e in states), "suspicions")
            sheet.line("false_deaths_after_1000_ms", sum(e["silence_ms"] >= FALSE_BELOW_MS for _, e in dead), "deaths")
            sheet.line("false_deaths", sum(e["silence_ms"] < FALSE_BELOW_MS for _, e in dead), "deaths", None, 0)
    finally:
        if net:
            net.close()


# ---- certificates that change under load ----

def part_rotation(sheet, args):
    """1,000 requests a second from a to b, and once a second 70 at once (64 are kept), for which new connections are made with the certificate
    of then; certificates of four seconds, renewed every two; ten streams that outlive several."""
    engine = rig.engine_start(rig.work_folder())
    with Mesh(["a", "b"], {"b": {"bench": remote(engine)}}, config={"mesh": {"svid_ttl": "4s"}}) as mesh:
        target, broken, begin = mesh.target("a"), [], time.time()
        say(f"{args.rate} requests a second for {args.seconds} s while certificates change")

        def stream():
            body = {"model": "bench", "stream": True,
                    "messages": [{"role": "user", "content": f"!script frames={args.seconds * 5} gap_ms=200"}]}
            try:
                answer = mesh["a"].post("/v1/chat/completions", body, headers={"Authorization": f"Bearer {mesh['a'].key}"})
                if answer.status != 200 or not answer.body.rstrip().endswith(b"data: [DONE]"):
                    broken.append(answer.body[-200:])
            except (OSError, http.client.HTTPException) as e:
                broken.append(e)

        threads = [threading.Thread(target=stream, daemon=True) for _ in range(10)]
        for t in threads:
            t.start()
        loads = [subprocess.Popen([str(w) for w in [rig.LOAD, "paced", "--seconds", args.seconds, *more, target]],
                                  stdout=subprocess.PIPE, text=True)
                 for more in (["--rate", args.rate, "--connections", 32], ["--rate", 70, "--burst", 70, "--connections", 70])]
        even, bursts = [dict(line.split() for line in p.communicate(timeout=args.seconds + 60)[0].splitlines()) for p in loads]
        for t in threads:
            t.join(30)
        rotations = {n: len(log_events(node, "mesh.renewed", begin)) for n, node in mesh.nodes.items()}
    engine.stop()
    if any(p.returncode for p in loads) or any(t.is_alive() for t in threads):
        raise RuntimeError("a client did not come to its end")
    if min(rotations.values()) < args.seconds // 4:
        raise RuntimeError(f"too few rotations: {rotations}")
    for fault in broken:
        say(f"a stream: {fault}")
    sheet.line("rotation_rotations", sum(rotations.values()), "certificates")
    sheet.line("rotation_rps", float(even["rps"]) + float(bursts["rps"]), "1/s")
    sheet.line("rotation_p99_us", float(even["p99_us"]), "us")
    errors = int(even["bad"]) + int(bursts["bad"]) + len(broken)
    sheet.line("rotation_errors", errors, "errors", None, 0, float(even["rps"]) < 0.95 * args.rate)


# ---- programs of their own ----

def part_programs(sheet, _args):
    for program, marks in PROGRAMS.items():
        path = BENCHES / program
        if not os.access(path, os.X_OK):
            for name in marks:
                sheet.missing(name, f"bench/{program}.c is not there")
            continue
        say(program)
        found = set()
        for name, value, unit in rig.run([path]):
            limit, least = marks.get(name, (None, False))
            sheet.line(name, float(value) if "." in value else int(value), unit, None, limit, False, least)
            found.add(name)
        for name in set(marks) - found:
            sheet.missing(name, f"build/bench/{program} does not print it")


def part_sim(sheet, _args):
    """64 nodes in virtual time, links of 10 ms: three of these and a beat of 50 ms."""
    path = BENCHES / "mesh_sim"
    if not os.access(path, os.X_OK):
        sheet.missing("join_sim_ms", "build/bench/mesh_sim is not there (make bench BENCH=mesh)")
        return
    say("join in simulation")
    done = subprocess.run([path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120)
    found = re.search(r"join of the 64th: (\d+) ms with links of 10 ms", done.stdout)
    if done.returncode or not found:
        raise RuntimeError(f"the simulation ended with {done.returncode}: {done.stdout[-300:]}")
    sheet.line("join_sim_ms", int(found[1]), "ms", None, 3 * 10 + 50)


# ---- the run ----

PARTS = {"programs": part_programs, "sim": part_sim, "hop": part_hop, "join": part_join, "death": part_death, "recovery": part_recovery,
         "rotation": part_rotation, "false": part_false}


def arguments():
    p = argparse.ArgumentParser(description="marks of the mesh")
    p.add_argument("--write", action="store_true", help="refresh bench/RESULTS.md")
    p.add_argument("--only", default=",".join(PARTS), help=f"some of {','.join(PARTS)}")
    p.add_argument("--rounds", type=int, default=12, help="blocks of 500 requests for each target of the hop")
    p.add_argument("--tries", type=int, default=3, help="of the hop, until one is quiet")
    p.add_argument("--joins", type=int, default=5)
    p.add_argument("--deaths", type=int, default=6, help="kills, and as many hangs")
    p.add_argument("--recoveries", type=int, default=4, help="kills, and as many hangs")
    p.add_argument("--minutes", type=float, default=float(os.environ.get("MINUTES", 1)), help="of pauses and loss (1; MINUTES)")
    p.add_argument("--rate", type=int, default=1000, help="requests a second while certificates change")
    p.add_argument("--seconds", type=int, default=20, help="of that")
    p.add_argument("--seed", type=int, default=1, help="of the pauses")
    args = p.parse_args()
    args.only = args.only.split(",")
    args.cpus = len(os.sched_getaffinity(0))
    return args


def main():
    args = arguments()
    rig.files_raise()
    if not pathlib.Path(plexus.PLEXUS).exists():
        say("build/plexus is missing (make all, or PLEXUS=path)")
        return 1
    sheet, failed = rig.Sheet(), []
    for name, part in PARTS.items():
        if name not in args.only:
            continue
        try:
            part(sheet, args)
        except Exception as e:  # noqa: BLE001: one part must not take the others with it
            say(f"{name}: {type(e).__name__}: {e}")
            failed.append(name)
    if args.write:
        sheet.write("mesh", args.cpus)
    lacking = [n for n, row in sheet.rows.items() if row[-1] == "missing"]
    if sheet.missed:
        say("missed: " + ", ".join(sheet.missed))
    if failed or lacking:
        say("without a figure: " + ", ".join(failed + lacking))
    return 1 if failed or lacking else 0


if __name__ == "__main__":
    raise SystemExit(main())
