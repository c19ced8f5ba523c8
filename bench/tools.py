#!/usr/bin/env python3
# tools.py: the marks of untrusted code and tools, as `name value unit`: WebAssembly calls (tools_wasm), and the
# same modules by libextism in the same run. make bench BENCH=tools. SPDX-License-Identifier: Apache-2.0
import os
import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
BIN = ROOT / "build" / "bench"
LIBEXTISM = ROOT / "build" / "peers" / "libextism.so"
# A module of the official PDK for Rust where it was built (about 86 KB), else of that for AssemblyScript.
PDK = [ROOT / "build" / "guests" / name for name in ("pdk_rust.wasm", "pdk_as.wasm", "code.wasm")]

MARKS = {  # at most so much
    "wasm_call_p50_us": 3,
    "wasm_fresh_pdk_p50_us": 30,
    "wasm_cold_cached_p50_us": 1000,
    "wasm_timeout_alone_p99_ms": 2,
    "wasm_rss_kb": 20480,
    "wasm_rss_unused_kb": 512,
}


def run(*command):
    done = subprocess.run([str(c) for c in command], cwd=ROOT, stdout=subprocess.PIPE, text=True, timeout=300)
    sys.stdout.write(done.stdout)
    sys.stdout.flush()
    if done.returncode != 0:
        print(f"tools: {command[0]} ended with {done.returncode}", file=sys.stderr)
        return {}
    rows = (line.split() for line in done.stdout.splitlines())
    return {row[0]: float(row[1]) for row in rows if len(row) == 3}


def main():
    pdk = next(p for p in PDK if p.exists())
    print(f"wasm_pdk_module_kb {os.path.getsize(pdk) / 1024:.0f} kB")
    ours = run(BIN / "tools_wasm", pdk)
    if shutil.which("chrt") and os.geteuid() == 0:  # before all other programs: what is its own lateness
        ours |= run("chrt", "-f", "1", BIN / "tools_wasm", "timeouts")
    else:
        ours["wasm_timeout_alone_p99_ms"] = ours.get("wasm_timeout_late_p99_ms", 0)
    if LIBEXTISM.exists():
        theirs = run(BIN / "tools_extism", LIBEXTISM, pdk)
        for a, b, name in (("wasm_call_p50_us", "libextism_echo_call_p50_us", "wasm_call_times_faster"),
                           ("wasm_fresh_pdk_p50_us", "libextism_pdk_fresh_p50_us", "wasm_fresh_times_faster")):
            if ours.get(a) and theirs.get(b):
                print(f"{name} {theirs[b] / ours[a]:.1f} times")
    else:
        print("tools: libextism is not here (tools/setup bench)", file=sys.stderr)
    missed = [f"{name} {ours[name]} > {most}" for name, most in MARKS.items() if ours.get(name, 0) > most]
    if ours.get("wasm_memory_exact") != 1:
        missed.append("wasm_memory_exact")
    for line in missed:
        print(f"tools: mark missed: {line}", file=sys.stderr)
    return 1 if not ours else 0


sys.exit(main())
