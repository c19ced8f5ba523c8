# conformance_test.py: the official conformance suite of the Model Context Protocol against our
# server: every scenario that each revision requires, and those beyond.
# SPDX-License-Identifier: Apache-2.0
import json
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import mcp_rig  # noqa: E402
import plexus  # noqa: E402

# Of the tasks extension, which no revision scores: it wants a tool that refuses to run but as a task.
MAY_FAIL = {"2026-07-28": {"tasks-required-task-error"}, "2025-11-25": set()}
SCORED = {"2026-07-28": 37, "2025-11-25": 30}


def suite():
    node, modules = plexus.test_env("NODE"), plexus.test_env("TEST_NODE_PATH")
    program = pathlib.Path(modules or "/", "@modelcontextprotocol/conformance/dist/index.js")
    if not node or not program.exists():
        plexus.skip("the conformance suite is not here (tools/setup test)")
    return [node, str(program)]


def results(folder):
    """Of each scenario its checks."""
    found = {}
    for file in pathlib.Path(folder).glob("*/checks.json"):
        name = file.parent.name.removeprefix("server-").rpartition("-20")[0]
        found[name] = json.loads(file.read_text())
    return found


def judge(revision, folder, said, code):
    scenarios = results(folder)
    bad = {}
    for name, checks in scenarios.items():
        for check in checks:
            if check["status"] not in ("SUCCESS", "INFO", "SKIPPED"):
                bad.setdefault(name, []).append((check["status"], check["id"], check.get("errorMessage")))
    unexpected = {k: v for k, v in bad.items() if k not in MAY_FAIL[revision]}
    assert not unexpected, (revision, json.dumps(unexpected, indent=1))
    assert code == 0, (revision, code, said[-2000:])
    passed = sum(c["status"] == "SUCCESS" for checks in scenarios.values() for c in checks)
    assert len(scenarios) >= SCORED[revision], (revision, len(scenarios), said[-2000:])
    print(f"{revision}: {len(scenarios)} scenarios, {passed} checks passed, may fail: {sorted(bad)}")


def main():
    program = suite()
    with mcp_rig.server("--hold", 1000, "--task", 300) as port, tempfile.TemporaryDirectory() as folder:
        runs = []
        for revision in SCORED:
            out = pathlib.Path(folder, revision)
            runs.append((revision, out, subprocess.Popen(
                [*program, "server", "--url", f"http://127.0.0.1:{port}/mcp", "--requirements", revision,
                 "-o", str(out)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, text=True)))
        ended = [(revision, out, run, run.communicate(timeout=150)[0]) for revision, out, run in runs]
        for revision, out, run, said in ended:
            judge(revision, out, said, run.returncode)


main()
