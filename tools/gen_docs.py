#!/usr/bin/env python3
# gen_docs.py: the parts of docs/ that are made from the sources: the table of rooms in ARCHITECTURE.md (from src/ROOMS, by
# tools/rooms --table) and the drawing in LIFE.md (from the table of turns in src/models/models_steps.c).
# SPDX-License-Identifier: Apache-2.0
"""usage: gen_docs.py [--check]

Each made part stands between <!-- begin NAME ... --> and <!-- end NAME -->; the rest of the page is written by hand."""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
STATES = ("UNLOADED", "LOADING", "WARM", "DRAINING", "FAILED")


def capital(text):
    return text[:1].upper() + text[1:]


def header_line(room):
    """What a room's public header says of itself in its first sentence."""
    path = ROOT / "src" / room / (room + ".h")
    if not path.exists():
        return ""
    text = []
    for line in path.read_text().splitlines():
        if not line.startswith("//") or "SPDX" in line:
            break
        text.append(line[2:].strip())
    said = " ".join(text).partition(": ")[2]
    return capital(re.split(r"(?<=[a-z)])\. ", said)[0].rstrip("."))


def job_line(room):
    """The first sentence of a room's README: after '# room: ' or 'Job'."""
    path = ROOT / "src" / room / "README.md"
    if not path.exists():
        return header_line(room)
    paragraphs = [" ".join(p.split()) for p in path.read_text().split("\n\n")]
    for text in paragraphs:
        text = re.sub(r"^(\*\*(Its )?[Jj]ob\.\*\*|(Its )?[Jj]ob:)\s*", "", text)
        if text and not text.startswith(("#", "|")):
            return capital(re.split(r"(?<=[a-z0-9)`])[.;] (?=[A-Z*])", text)[0].rstrip("."))
    return ""


def rooms():
    table = subprocess.run([sys.executable, "tools/rooms", "--table"], cwd=ROOT, capture_output=True, text=True, check=True)
    out = ["| room | may use | its job |", "|---|---|---|"]
    for row in table.stdout.splitlines()[2:]:
        cells = row.split(" | ")
        room = cells[0].lstrip("| ").strip()
        out.append(f"| {room} | {cells[1].strip() or '-'} | {job_line(room.rstrip('*'))} |")
    return "\n".join(out)


def life():
    text = (ROOT / "src/models/models_steps.c").read_text()
    steps = re.findall(r'\[STEP_(\w+)\] = \{MODEL_(\w+), "([^"]*)", (\w+)\}', text)
    turns = re.findall(r'\{STEP_(\w+), TURN_(\w+), STEP_(\w+), ([^"]*), "([^"]*)"\}', text)
    if not steps or len(turns) != len(re.findall(r"\{STEP_\w+, TURN_", text)):
        sys.exit("src/models/models_steps.c: the tables of steps and turns do not read as they did")
    out = ["```mermaid", "stateDiagram-v2", "    [*] --> UNLOADED"]
    inside = {state: [s for s in steps if s[1] == state] for state in STATES}
    for state in STATES:
        if [s[0] for s in inside[state]] == [state]:
            continue
        out.append(f"    state {state} {{")
        out += [f"        {name}_ : {phase or name.lower()}" for name, _, phase, _ in inside[state]]
        out.append("    }")
    nested = {s[0] for state in STATES for s in inside[state] if [x[0] for x in inside[state]] != [state]}
    show = lambda step: step + "_" if step in nested else step
    joined = {}
    for came, _, goes, effect, why in turns:
        joined.setdefault((came, goes), []).append(why)
    for (came, goes), whys in joined.items():
        out.append(f"    {show(came)} --> {show(goes)} : {' / '.join(dict.fromkeys(whys))}")
    out += ["```", "", "| step | state that is shown | phase | engine runs |", "|---|---|---|---|"]
    out += [f"| {name.lower()} | {state} | {phase or '-'} | {'yes' if engine == 'true' else 'no'} |"
            for name, state, phase, engine in steps]
    out += ["", "| from | turn | to | why | told to the driver |", "|---|---|---|---|---|"]
    for came, turn, goes, effect, why in turns:
        told = ", ".join(re.findall(r"FX\(MODEL_(\w+)\)", effect)) or "-"
        out.append(f"| {came.lower()} | {turn.lower()} | {goes.lower()} | {why} | {told} |")
    return "\n".join(out)


PARTS = (("docs/ARCHITECTURE.md", "rooms", rooms), ("docs/LIFE.md", "life", life))


def main(argv):
    stale = []
    for name, part, make in PARTS:
        path = ROOT / name
        old = path.read_text(encoding="utf-8")
        found = re.search(rf"(<!-- begin {part}\b[^>]*-->\n).*?(\n<!-- end {part} -->)", old, re.S)
        if not found:
            sys.exit(f"{name}: no part {part} between its two marks")
        new = old[: found.end(1)] + make() + old[found.start(2):]
        if new == old:
            continue
        stale.append(name)
        if argv[1:] != ["--check"]:
            path.write_text(new, encoding="utf-8")
    if argv[1:] == ["--check"] and stale:
        sys.exit(f"{', '.join(stale)}: not what the sources make: run tools/gen_docs.py")


if __name__ == "__main__":
    main(sys.argv)
