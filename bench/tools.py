#!/usr/bin/env python3
# tools.py: the marks of untrusted code and tools, as `name value unit`: WebAssembly calls, and the same modules by libextism in the
# same run; MCP; programs in the sandbox; the list. make bench BENCH=tools. --write refreshes bench/RESULTS.md.
# SPDX-License-Identifier: Apache-2.0
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import rig
from rig import say

ROOT = rig.ROOT
BIN = ROOT / "build/bench"
LIBEXTISM = ROOT / "build/peers/libextism.so"
# A module of the official PDK for Rust where it was built (about 86 KB), else of that for AssemblyScript.
PDK = [ROOT / "build/guests" / name for name in ("pdk_rust.wasm", "pdk_as.wasm", "code.wasm")]
BASH_ROUNDS = 60

MARKS = {  # at most so much
    "wasm_call_p50_us": 3,
    "wasm_fresh_pdk_p50_us": 30,
    "wasm_cold_cached_p50_us": 1000,
    "wasm_timeout_alone_p99_ms": 2,
    "wasm_rss_kb": 20480,
    "wasm_rss_unused_kb": 512,
    "mcp_call_p50_us": 200,
    "bash_start_p50_ms": 10,
    "list_10000_ms": 50,
}


def rows_of(*command, under=()):
    done = subprocess.run([*under, *map(str, command)], cwd=ROOT, stdout=subprocess.PIPE, text=True, timeout=300)
    rows = [line.split() for line in done.stdout.splitlines()]
    if done.returncode:
        say(f"tools: {command[0]} ended with {done.returncode}")
    return [(row[0], float(row[1]), row[2]) for row in rows if len(row) == 3]


def put(sheet, rows):
    for name, value, unit in rows:
        if name == "wasm_memory_exact":
            sheet.line(name, value, unit, limit=1, least=True)
        else:
            sheet.line(name, value, unit, limit=MARKS.get(name))
    return {name: value for name, value, _ in rows}


def wasm(sheet):
    pdk = next(p for p in PDK if p.exists())
    say("WebAssembly")
    sheet.line("wasm_pdk_module_kb", round(os.path.getsize(pdk) / 1024), "kB")
    ours = put(sheet, rows_of(BIN / "tools_wasm", pdk))
    if shutil.which("chrt") and os.geteuid() == 0:  # before all other programs: what is its own lateness
        put(sheet, rows_of(BIN / "tools_wasm", "timeouts", under=("chrt", "-f", "1")))
    else:
        put(sheet, [("wasm_timeout_alone_p99_ms", ours.get("wasm_timeout_late_p99_ms", 0), "ms")])
    if not LIBEXTISM.exists():
        sheet.missing("wasm_call_times_faster", "libextism is not here (tools/setup bench)")
        return
    theirs = put(sheet, rows_of(BIN / "tools_extism", LIBEXTISM, pdk))
    for a, b, name in (("wasm_call_p50_us", "libextism_echo_call_p50_us", "wasm_call_times_faster"),
                       ("wasm_fresh_pdk_p50_us", "libextism_pdk_fresh_p50_us", "wasm_fresh_times_faster")):
        if ours.get(a) and theirs.get(b):
            sheet.line(name, theirs[b] / ours[a], "x")


def bash(sheet):
    """A program in the full sandbox, from its start to its end, as `plexus _jail` makes it; and the same without."""
    say("programs in the sandbox")
    binary = str(ROOT / "build/plexus")
    with tempfile.TemporaryDirectory(prefix="plexus-bench-") as folder:
        jailed, plain = [binary, "_jail", "-w", folder, "--", "/bin/bash", "-c", "true"], ["/bin/bash", "-c", "true"]
        took = {"bash_start": [], "bash_plain": []}
        for _ in range(BASH_ROUNDS):
            for name, argv in (("bash_start", jailed), ("bash_plain", plain)):
                began = time.perf_counter()
                done = subprocess.run(argv, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True)
                took[name].append((time.perf_counter() - began) * 1000)
                if done.returncode:
                    sheet.missing("bash_start_p50_ms", done.stderr.decode(errors="replace").strip() or f"exit code {done.returncode}")
                    return
    for name, times in took.items():
        sheet.line(name + "_p50_ms", statistics.median(times), "ms", limit=MARKS.get(name + "_p50_ms"))
        sheet.line(name + "_best_ms", min(times), "ms")


def listing(sheet):
    say("a list of 10,000 capabilities")
    test = pathlib.Path(os.environ.get("CAPS_TEST", ROOT / "build/bench/caps_test"))
    done = subprocess.run([test], cwd=ROOT, capture_output=True, text=True, timeout=300)
    found = re.search(r"10000 are listed in (\d+) us", done.stdout + done.stderr)
    if found:
        sheet.line("list_10000_ms", int(found[1]) / 1000, "ms", limit=MARKS["list_10000_ms"])
    else:
        sheet.missing("list_10000_ms", f"{test} did not say it")


def main():
    sheet = rig.Sheet()
    wasm(sheet)
    say("MCP over HTTP on loopback")
    put(sheet, rows_of(sys.executable, ROOT / "bench/tools_mcp.py"))
    bash(sheet)
    listing(sheet)
    if "--write" in sys.argv:
        sheet.write("tools", os.cpu_count())
    if sheet.missed:
        say("missed: " + ", ".join(sheet.missed))


if __name__ == "__main__":
    main()
