# flows.py: the marks of durable flows. `make bench BENCH=flows`.
# SPDX-License-Identifier: Apache-2.0
#
# stdout: lines "name value unit", as gateway.py prints them; progress goes to stderr. FOLDER=path: the disk that is measured
# (build/ else). DBOS_PYTHON=path of a Python that has the package dbos: DBOS on PostgreSQL is measured beside it.
# --write refreshes bench/RESULTS.md.
import os
import statistics
import subprocess
import sys

import flows_others
import rig
from rig import quartile_distance, say

FLOWS = rig.ROOT / "build/bench/flows"
ROUNDS = 3
SLEEPERS = 100_000
LONE_OVER_FSYNC = (1.2, 0.5)  # so many fsyncs and milliseconds may a lone step take

# What is printed, and the mark of each figure (value, is it the least).
MARKS = {
    "fsync_per_s": None,
    "bare_sqlite_rows_per_s": None,
    "durable_steps_per_s": (10_000, True),
    "steps_ratio_sqlite": (0.15, True),
    "replay_events_per_s": (200_000, True),
    "decider_step_us": None,
    "decider_flatness": (1.2, False),
    "timer_error_ms": (5, False),
    "resume_open_flows": None,
    "resume_s": (5, False),
    "sleeping_flow_bytes": (1024, False),
}


def figures(*args):
    done = subprocess.run([FLOWS, *map(str, args)], stdout=subprocess.PIPE, check=True, text=True)
    return {line.split()[0]: (float(line.split()[1]), line.split()[2]) for line in done.stdout.splitlines()}


def measured(sheet, folder, *args):
    say("flows " + " ".join(map(str, args)))
    rounds = [figures(*args, 0, folder) for _ in range(ROUNDS)]
    values = {}
    for name, (_, unit) in rounds[0].items():
        all_of = [r[name][0] for r in rounds]
        values[name] = statistics.median(all_of)
        if name in MARKS:
            limit, least = MARKS[name] or (None, False)
            sheet.line(name, values[name], unit, spread=quartile_distance(all_of), limit=limit, least=least)
    return values


def lone(sheet, folder):
    values = measured(sheet, folder, "lone")
    many, more = LONE_OVER_FSYNC
    sheet.line("lone_fsync_ms", values["lone_fsync_ms"], "ms")
    sheet.line("lone_step_ms", values["lone_step_ms"], "ms", limit=round(many * values["lone_fsync_ms"] + more, 3))


def sleepers(sheet, folder):
    say(f"{SLEEPERS} flows that sleep")
    figures("make", SLEEPERS, folder)
    for name, (value, unit) in figures("resume", SLEEPERS, folder).items():
        limit, least = MARKS[name] or (None, False)
        sheet.line(name, value, unit, limit=limit, least=least)


def main():
    folder = os.environ.get("FOLDER", str(rig.ROOT / "build"))
    sheet = rig.Sheet()
    steps = measured(sheet, folder, "steps")["durable_steps_per_s"]
    lone(sheet, folder)
    for what in ("replay", "flat", "timers"):
        measured(sheet, folder, what)
    sleepers(sheet, folder)
    for name, other in flows_others.ALL.items():
        try:
            sheet.line(f"{name}_steps_per_s", value := other(), "steps/s")
            sheet.line(f"steps_ratio_{name}", steps / value, "x")
        except flows_others.Missing as e:
            sheet.missing(f"steps_ratio_{name}", str(e))
    if "--write" in sys.argv:
        sheet.write("flows", os.cpu_count())
    if sheet.missed:
        say("missed: " + ", ".join(sheet.missed))


if __name__ == "__main__":
    main()
