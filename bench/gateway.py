# gateway.py: the marks of the gateway, every figure side by side in one run. `make bench BENCH=gateway`.
# SPDX-License-Identifier: Apache-2.0
#
# stdout: lines "name value unit"; NAME_spread is the distance of the quartiles (or what is said there), NAME_verdict is
# met, missed or noisy. Progress goes to stderr. --write refreshes bench/RESULTS.md. --only a,b runs some parts.
import argparse
import json
import re
import statistics
import subprocess
import threading
import time

import rig
from rig import ask, chat, quartile_distance, say

LATENCY_TRIES = 5
DEATHS = 5
SWAPS = 20


# ---- latency ----

def latency_run(gateways, block, rounds):
    """{name: (p50, p99, bad, [p50 of each block])} of one client in turn through each."""
    found, blocks = {}, {}
    for words in rig.run([rig.LOAD, "latency", "--block", block, "--rounds", rounds, *[g.target() for g in gateways]]):
        if words[0] == "block":
            blocks.setdefault(words[2], []).append(float(words[3]))
        else:
            found[words[1]] = (float(words[2]), float(words[3]), int(words[4]))
    return {name: (*values, blocks[name]) for name, values in found.items()}


def added_spread(run, name):
    return quartile_distance([a - b for a, b in zip(run[name][3], run["direct"][3])])


def part_latency(sheet, args, gateways):
    for attempt in range(LATENCY_TRIES):
        say(f"latency, try {attempt + 1}")
        run = latency_run(gateways, 500, args.rounds)
        noisy = run["direct"][1] > 2 * run["direct"][0]
        if not noisy:
            break
    if noisy:
        print("noisy 1 run", flush=True)
    for name, (p50, p99, bad, blocks) in run.items():
        if bad:
            raise RuntimeError(f"{name}: {bad} answers were not 200")
        sheet.line(f"{name}_p50_us", p50, "us", quartile_distance(blocks))
        sheet.line(f"{name}_p99_us", p99, "us")
    base = run["direct"]
    for name in run:
        if name not in ("direct", "plexus"):
            sheet.line(f"{name}_added_p50_us", run[name][0] - base[0], "us", added_spread(run, name))
            sheet.line(f"{name}_added_p99_us", run[name][1] - base[1], "us")
    if "plexus" in run:
        added = run["plexus"][0] - base[0]
        sheet.line("gateway_added_p50_us", added, "us", added_spread(run, "plexus"), 40, noisy)
        sheet.line("gateway_added_p99_us", run["plexus"][1] - base[1], "us", None, 100, noisy)
        if "nginx" in run:
            ratios = [(p - d) / (n - d) for p, n, d in zip(run["plexus"][3], run["nginx"][3], base[3]) if n > d]
            sheet.line("gateway_added_p50_ratio_nginx", added / (run["nginx"][0] - base[0]), "ratio",
                       quartile_distance(ratios), 1.25, noisy)


# ---- CPU a request ----

def cpu_block(gateway, requests, connections):
    before = rig.cpu_ns(gateway.process.pid)
    got = dict(rig.run([rig.LOAD, "closed", "--requests", requests, "--connections", connections, gateway.target()]))
    if got["bad"] != "0":
        raise RuntimeError(f"{gateway.name}: {got['bad']} answers were not 200")
    return (rig.cpu_ns(gateway.process.pid) - before) / requests / 1000, float(got["rps"])


def part_cpu(sheet, args, gateways):
    cost, rate = {}, {}
    for g in gateways:
        cpu_block(g, 2000, args.connections)
    for block in range(args.blocks):
        if block % 5 == 0:
            say(f"CPU a request, block {block + 1} of {args.blocks}")
        for i in range(len(gateways)):
            g = gateways[(block + i) % len(gateways)]
            us, rps = cpu_block(g, args.requests, args.connections)
            cost.setdefault(g.name, []).append(us)
            rate.setdefault(g.name, []).append(rps)
    for name, values in cost.items():
        sheet.line(f"{name}_cpu_us", statistics.median(values), "us", quartile_distance(values))
        sheet.line(f"{name}_rps", statistics.median(rate[name]), "1/s", quartile_distance(rate[name]))
    for peer in ("nginx", "haproxy"):
        if "plexus" in cost and peer in cost:
            ratios = [a / b for a, b in zip(cost["plexus"], cost[peer])]
            sheet.line(f"gateway_cpu_ratio_{peer}", statistics.median(ratios), "ratio", quartile_distance(ratios), 1.15)


# ---- streams ----

def streams_run(gateway, engine, count, tls):
    """Holds count streams open; gives (kB each, kB each while held, opened, report). Fails when a frame is lost or out of order."""
    for _ in range(100):
        ask(gateway.port, "POST", "/v1/chat/completions", chat(), gateway.key)
    rss_before = rig.memory_kb(gateway.process.pid)[0]
    p = subprocess.Popen([str(a) for a in [rig.STREAMS, "--port", gateway.tls if tls else gateway.port, "--count", count,
                                           "--key", gateway.key, "--frames", 8, "--hold", 2, "--gap", 1000, "--wait-s", 300,
                                           *(["--tls"] if tls else [])]],
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        words = p.stdout.readline().split()
        if not words:
            raise RuntimeError("the streams did not open in time")
        opened, refused = int(words[1]), int(words[3])
        if refused:
            say(f"{gateway.name}: {refused} of {count} streams were refused")
        if not opened:
            raise RuntimeError("every stream was refused")
        held = rig.memory_kb(gateway.process.pid)[0]
        peak = held
        p.stdin.write("go\n")
        p.stdin.flush()
        ask(engine.port, "GET", "/_release")
        until = time.monotonic() + 4  # all are open: eight frames, one a second
        while time.monotonic() < until:
            time.sleep(0.5)
            peak = max(peak, rig.memory_kb(gateway.process.pid)[0])
        out, _ = p.communicate(timeout=300)
    finally:
        if p.poll() is None:
            p.kill()
            p.wait()
    report = {k: float(v) for k, v in (line.split() for line in out.splitlines())}
    for fault in ("lost", "disordered", "broken"):
        if report[fault]:
            say(f"{gateway.name}: {fault} {report[fault]:.0f} {report}")
    return (peak - rss_before) / opened, (held - rss_before) / opened, opened, report


def part_streams(sheet, args, makers, tls):
    label = "stream_tls" if tls else "stream"
    count = min(10000, (args.files - 500) // 2)
    if args.streams:
        count = min(count, args.streams)
    for name, make in makers.items():
        say(f"{count} {'TLS ' if tls else ''}streams through {name}")
        g, engine = make()
        try:
            each, held, opened, report = streams_run(g, engine, count, tls)
        finally:
            g.stop()
            engine.stop()
        own = "gateway" if name == "plexus" else name
        wrong = int(report["lost"] + report["disordered"] + report["broken"])
        if name == "plexus":
            sheet.line(f"gateway_streams{'_tls' if tls else ''}", opened, "streams")
            sheet.line(f"gateway_{label}_rss_kb", each, "kB", each - held, 28 if tls else 8)
            sheet.line(f"gateway_{label}_wrong", wrong, "streams", None, 0)
        else:
            sheet.line(f"{own}_{label}_rss_kb", each, "kB", each - held)
        sheet.line(f"{own}_{label}_frame_p99_us", report["late_p99_us"], "us")


# ---- memory and start ----

def part_idle(sheet, gateways):
    for g in gateways:
        rss, pss = rig.memory_kb(g.process.pid)
        name = "gateway" if g.name == "plexus" else g.name
        sheet.line(f"{name}_rss_mb", rss / 1024, "MB", None, 8 if name == "gateway" else None)
        sheet.line(f"{name}_pss_mb", pss / 1024, "MB")


def part_start(sheet, args, gateway):
    """Ends the running program first: the port and the data folder are its own."""
    gateway.stop()
    times = []
    for _ in range(args.starts):
        words = rig.run([rig.READY, gateway.port, "/health", *gateway.argv])
        times.append(float(words[0][1]))
    own = gateway.name == "plexus"
    sheet.line("start_ready_ms" if own else f"{gateway.name}_start_ready_ms", statistics.median(times), "ms",
               quartile_distance(times), 20 if own else None)


# ---- what plexus measures of itself ----

def histogram(gateway, name):
    """{upper bound: count} of all label sets of a histogram of /metrics together, and its sum."""
    _, text = ask(gateway.port, "GET", "/metrics", key=gateway.key)
    counts, total = {}, 0.0
    for line in text.decode().splitlines():
        bucket = re.match(rf'{name}_bucket\{{.*?le="([^"]+)".*?\}} (\S+)', line)
        if bucket:
            bound = float(bucket[1].replace("+Inf", "inf"))
            counts[bound] = counts.get(bound, 0) + float(bucket[2])
        elif re.match(rf"{name}_sum\b", line):
            total += float(line.split()[-1])
    return counts, total


def histogram_quantile(before, after, share):
    """The upper bound of the bucket in which the quantile of what came between lies: never too good."""
    new = {bound: after[bound] - before.get(bound, 0) for bound in sorted(after)}
    count = max(new.values(), default=0)
    for bound, below in new.items():
        if count and below >= share * count:
            return bound
    raise RuntimeError("the histogram has no samples")


def part_ttft(sheet, gateway):
    say("own share of the time to first token")
    before, _ = histogram(gateway, "plexus_ttft_own_seconds")
    engine_before, _ = histogram(gateway, "plexus_ttft_engine_seconds")
    got = dict(rig.run([rig.LOAD, "closed", "--requests", 5000, "--connections", 1, "--stream", 8, gateway.target()]))
    if got["bad"] != "0":
        raise RuntimeError(f"{got['bad']} streams were not 200")
    after, _ = histogram(gateway, "plexus_ttft_own_seconds")
    p99, p50 = (histogram_quantile(before, after, share) * 1e6 for share in (0.99, 0.5))
    sheet.line("ttft_own_p99_us", p99, "us", p99 - p50, 1000)
    engine_after, _ = histogram(gateway, "plexus_ttft_engine_seconds")
    if engine_after:
        sheet.line("ttft_engine_p99_us", histogram_quantile(engine_before, engine_after, 0.99) * 1e6, "us")


class Watcher(threading.Thread):
    """Reads /api/events and notes when a model's state was first seen as other than WARM."""

    def __init__(self, gateway, model):
        super().__init__(daemon=True)
        self.gateway, self.model = gateway, model
        self.ready, self.changed, self.at, self.failure = threading.Event(), threading.Event(), 0.0, None

    def run(self):
        import http.client
        try:
            c = http.client.HTTPConnection("127.0.0.1", self.gateway.port, timeout=30)
            c.request("GET", "/api/events", headers={"Authorization": f"Bearer {self.gateway.key}"})
            r = c.getresponse()
            if r.status != 200:  # the key may lack the scope: the owner's socket needs none
                c = rig.UnixConnection(str(self.gateway.cwd / "data/run/plexus.sock"), timeout=30)
                c.request("GET", "/api/events")
                r = c.getresponse()
            event = ""
            while True:
                line = r.readline()
                now = time.monotonic()
                if not line:
                    raise OSError("the event stream ended")
                text = line.decode().strip()
                if text.startswith("event:"):
                    event = text[6:].strip()
                    self.ready.set()
                elif text.startswith("data:") and event == "model":
                    row = json.loads(text[5:])
                    if row["name"] == self.model and row["state"] != "WARM":
                        self.at = now
                        self.changed.set()
                        return
        except Exception as e:  # noqa: BLE001: it is reported by the caller
            self.failure = e
            self.ready.set()
            self.changed.set()


def part_death(sheet):
    times = []
    for i in range(DEATHS):
        folder = rig.work_folder()
        g = rig.plexus_start(folder, "plexus-life.yaml", {}, prove=False)
        try:
            status, text = ask(g.port, "POST", "/v1/chat/completions", chat("small"), g.key, 30)
            if status != 200:
                raise RuntimeError(f"the engine gave {status} {text[:200]}")
            child = rig.by_program(g.process.pid, rig.SCRIPTED)
            watcher = Watcher(g, "small")
            watcher.start()
            watcher.ready.wait(10)
            time.sleep(0.2)
            begin = time.monotonic()
            rig.sigkill(child)
            watcher.changed.wait(35)
            if watcher.failure or not watcher.at:
                raise RuntimeError(f"no state change seen: {watcher.failure}")
            times.append((watcher.at - begin) * 1000)
            say(f"death {i + 1}: {times[-1]:.2f} ms")
        finally:
            g.stop()
    sheet.line("engine_death_ms", max(times), "ms", max(times) - min(times), 50)


def part_swap(sheet):
    g = rig.plexus_start(rig.work_folder(), "plexus-life.yaml", {}, prove=False)
    try:
        say("swaps")
        for i in range(SWAPS):
            status, text = ask(g.port, "POST", "/v1/chat/completions", chat(("one", "two")[i % 2]), g.key, 60)
            if status != 200:
                raise RuntimeError(f"a swap gave {status} {text[:200]}")
        counts, total = histogram(g, "plexus_swap_own_seconds")
        count = max(counts.values(), default=0)
        worst = histogram_quantile({}, counts, 1.0) * 1000
        sheet.line("swap_own_ms", worst, "ms", worst - total / count * 1000, 50)
    finally:
        g.stop()


# ---- LiteLLM, for scale ----

def part_litellm(sheet, engine):
    g, ready_ms = rig.litellm_start(rig.work_folder(), engine.port)
    if not g:
        return
    say("LiteLLM")
    try:
        run = latency_run([engine, g], 100, 4)
        sheet.line("litellm_added_p50_us", run["litellm"][0] - run["direct"][0], "us", added_spread(run, "litellm"))
        sheet.line("litellm_added_p99_us", run["litellm"][1] - run["direct"][1], "us")
        cpu = [cpu_block(g, 200, 8)[0] for _ in range(3)]
        sheet.line("litellm_cpu_us", statistics.median(cpu), "us", quartile_distance(cpu))
        sheet.line("litellm_rss_mb", rig.memory_kb(g.process.pid)[0] / 1024, "MB")
        sheet.line("litellm_start_ready_ms", ready_ms, "ms")
    finally:
        g.stop()


# ---- the run ----

def arguments():
    parts = "latency,cpu,idle,ttft,litellm,start,streams,tls,death,swap"
    p = argparse.ArgumentParser(description="marks of the gateway")
    p.add_argument("--write", action="store_true", help="refresh bench/RESULTS.md")
    p.add_argument("--only", default=parts, help=f"some of {parts}")
    p.add_argument("--gateways", default="nginx,haproxy,plexus")
    p.add_argument("--rounds", type=int, default=12, help="blocks of 500 requests for each target")
    p.add_argument("--blocks", type=int, default=20, help="blocks of the CPU figure for each gateway")
    p.add_argument("--requests", type=int, default=5000, help="requests in such a block")
    p.add_argument("--connections", type=int, default=16)
    p.add_argument("--streams", type=int, default=0, help="at most so many")
    p.add_argument("--starts", type=int, default=11)
    args = p.parse_args()
    args.only = args.only.split(",")
    args.gateways = args.gateways.split(",")
    args.files = rig.files_raise()
    args.cpus = len(__import__("os").sched_getaffinity(0))
    return args


def makers(args, template):
    """How to start each gateway alone with an engine of its own."""
    def pair(make):
        def started():
            folder = rig.work_folder()
            rig.certificate(folder)
            engine = rig.engine_start(folder)
            return make(folder, engine.port), engine
        return started

    def plexus(folder, engine_port):
        return rig.plexus_start(folder, template, {"ENGINE": engine_port, "TLS": rig.free_port()})

    known = {"nginx": rig.nginx_start, "haproxy": rig.haproxy_start, "plexus": plexus}
    return {name: pair(known[name]) for name in args.gateways}


def main():
    args = arguments()
    sheet = rig.Sheet()
    if "plexus" in args.gateways and not rig.plexus_program():
        say("build/plexus is missing (make all, or PLEXUS=path): only its peers are measured")
        args.gateways.remove("plexus")
    failed = []

    def part(name, do):
        if name.split(" ")[0] not in args.only:
            return
        try:
            do()
        except Exception as e:  # noqa: BLE001: one part must not take the others with it
            say(f"{name}: {type(e).__name__}: {e}")
            failed.append(name)

    folder = rig.work_folder()
    rig.certificate(folder)
    engine = rig.engine_start(folder)
    started = [rig.nginx_start(folder, engine.port) if "nginx" in args.gateways else None,
               rig.haproxy_start(folder, engine.port) if "haproxy" in args.gateways else None,
               rig.plexus_start(folder, "plexus.yaml", {"ENGINE": engine.port}) if "plexus" in args.gateways else None]
    gateways = [g for g in started if g]
    args.gateways = [g.name for g in gateways]
    plexus = next((g for g in gateways if g.name == "plexus"), None)
    part("idle", lambda: part_idle(sheet, gateways))
    part("latency", lambda: part_latency(sheet, args, [engine, *gateways]))
    part("cpu", lambda: part_cpu(sheet, args, gateways))
    if plexus:
        part("ttft", lambda: part_ttft(sheet, plexus))
    part("litellm", lambda: part_litellm(sheet, engine))
    for g in gateways:
        part("start", lambda g=g: part_start(sheet, args, g))
        g.stop()
    engine.stop()
    part("streams", lambda: part_streams(sheet, args, makers(args, "plexus.yaml"), False))
    part("tls", lambda: part_streams(sheet, args, makers(args, "plexus-tls.yaml"), True))
    if plexus:
        part("death", lambda: part_death(sheet))
        part("swap", lambda: part_swap(sheet))
    if args.write:
        sheet.write("gateway", args.cpus)
    if sheet.missed:
        say("missed: " + ", ".join(sheet.missed))
    if failed:
        say("without a figure: " + ", ".join(failed))
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
