#!/usr/bin/env python3
# both_test.py: the same documents on the embedded engine and on a real Temporal server, through real nodes: rows of the whole language,
# the own corpus (tests/flows/*.yaml, task by task), the examples with real models. Equal are the status, the output or the error, and the
# order in which each branch's tasks began; never compared are times and ids. timeout: 180
# SPDX-License-Identifier: Apache-2.0
import concurrent.futures
import json
import pathlib
import re
import sys
import time

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1] / "lib"), str(pathlib.Path(__file__).resolve().parent)]
import ctk  # noqa: E402
import flowkit  # noqa: E402
import plexus  # noqa: E402
from both_rows import ROWS  # noqa: E402
from flows import PASS, Flows  # noqa: E402
from plexus import wait_until  # noqa: E402
from temporal_test import Server  # noqa: E402

OWN = pathlib.Path(__file__).resolve().parent
HEAD = "document: {dsl: 1.0.3, namespace: test, name: row, version: 1.0.0}\n"
CHILD = HEAD.replace("row", "child") + "do:\n- one: {set: {n: '${ .n * 2 }'}}\n"
STRANGERS = ("example.org", "login.example.org")  # names in the own corpus: the stand-in knows none of their paths
FOR_EVER = re.compile(r"events\.(one|all|any|every|untilOne|untilAll)|models\.embed")  # tasks of the own corpus that wait for what never comes
ENDED = re.compile(r"workflow\.(completed|faulted|cancelled)")


class Engine(Flows):
    """A node with one of the two engines."""

    def __init__(self, config):
        super().__init__({"models": flowkit.models() if flowkit.there() else {}, **config}, start=False, env={"PLEXUS_SECRET_ROW": "hush"})
        flows = self.config["flows"]
        flows["queues"] = ["heavy-compute-queue", "edge-task-queue"]
        flows["hosts"] |= {name: f"127.0.0.1:{self.stand_in.port}" for name in STRANGERS}
        self.write()
        self.start()
        wait_until("its engine is ready", lambda: self.api("GET", "/api/flows/stats")[1].get("ready"), 30)
        self.listen()

    def shown(self, ident):
        return self.api("GET", f"/api/flows/{ident}?full=1")[1]

    def play(self, name, document, value=None, signals=()):
        """From start to end: (id, status, output, error)."""
        body = {"document": document} if isinstance(document, str) else dict(document)
        if value is not None:
            body["input"] = value
        if not signals:
            body["wait"] = "60s"
        status, got = self.api("POST", "/api/flows", body)
        if status not in (200, 201):
            return None, status, None, {k: v for k, v in got.items() if k != "request_id"}
        for kind, data in signals:
            wait_until(f"{name} waits", lambda: (time.sleep(0.02), self.shown(got["id"])["status"] == "waiting")[1])
            assert self.api("POST", f"/api/flows/{got['id']}/signal", {"type": kind, "data": data})[0] == 200
        if signals:
            end = wait_until(f"{name} ends", lambda: (time.sleep(0.02), (r := self.shown(got["id"])) and not r["open"] and r)[1], 30)
            got = {"id": got["id"], "status": end["status"], "output": end["view"].get("output"), "error": end["view"].get("error")}
        return got["id"], got["status"], got.get("output") if got["status"] == "completed" else None, got.get("error")

    def began(self, runs):
        """For each run: its branches with the tasks that began there, in order."""
        def heard():
            return [row["data"] if "specversion" in (row.get("data") or {}) else row for row in self.tail.rows()]

        def over():
            return {e["subject"] for e in heard() if ENDED.search(e["type"])}
        wait_until("all ends were heard", lambda: (time.sleep(0.1), set(runs) <= over())[1], 30)
        branches = {run: {} for run in runs}
        for e in heard():
            if e["subject"] in branches and ".task.started" in e["type"]:
                task = e["data"]["task"]
                branches[e["subject"]].setdefault(re.match(r"(.*/branches/\d+)?", task)[0], []).append(task)
        return branches


server = plexus.shared(Server)
here = plexus.shared(lambda: Engine({"flows": {}}))
there = plexus.shared(lambda: Engine(server().config()))


def same(value):
    """Without what two runs cannot have in common: ids and times of events they emitted."""
    if isinstance(value, dict):
        return {k: same(v) for k, v in value.items() if not ("specversion" in value and k in ("id", "time"))}
    return [same(v) for v in value] if isinstance(value, (list, tuple)) else value


def has(got, wanted):
    if isinstance(wanted, dict):
        return isinstance(got, dict) and all(k in got and ctk.equal(got[k], v) for k, v in wanted.items())
    return wanted is None or ctk.equal(got, wanted)


def both(rows, abreast=12, looks=same):
    """Plays rows (name, document, input, signals, wanted) on both engines and compares."""
    engines = [here(), there()]
    with concurrent.futures.ThreadPoolExecutor(abreast) as pool:
        plays = [[pool.submit(e.play, *row[:4]) for e in engines] for row in rows]
        ends = [[p.result() for p in pair] for pair in plays]
    order = [e.began([pair[i][0] for pair in ends if pair[i][0]]) for i, e in enumerate(engines)]
    failed = []
    for (name, _, _, _, wanted), (one, other) in zip(rows, ends):
        a, b = looks(one[1:]), looks(other[1:])
        began = [o.get(end[0]) for o, end in zip(order, (one, other))]
        if not ctk.equal(list(a), list(b)):
            failed.append((name, "embedded", a, "Temporal", b))
        elif began[0] != began[1]:
            failed.append((name, "began", *began))
        elif not has(one[2] if one[1] == "completed" else one[3], wanted):
            failed.append((name, "wanted", wanted, "got", one))
    print(f"  {len(rows)} documents: {sum(one[1] == 'completed' for one, _ in ends)} completed, {len(failed)} differ")
    for f in failed:
        print("  FAIL", *f)
    assert not failed, [f[0] for f in failed]


def test_rows_of_the_language():
    for e in (here(), there()):
        assert e.api("POST", "/api/flows/documents", {"document": CHILD})[0] in (200, 201)
    assert len(ROWS) >= 80
    both([(name, HEAD + text.strip("\n") + "\n", value, signals, wanted) for name, text, value, signals, wanted in ROWS])


def documents(text):
    """Values of several YAML texts, as the node itself reads them."""
    body = PASS + "".join(f"        {line}\n" for line in text.splitlines())
    return here().run(body).output["value"]


def test_the_own_corpus():
    """Each task of the files that have every property of every task, as a document of its own: most end in an error, the same."""
    rows = []
    for file in sorted(OWN.glob("*.yaml")):
        # What stands between `${` and `}` must come through the node as text.
        whole = documents(file.read_text().replace("${", "$@{"))
        assert isinstance(whole["do"], list), file
        for at, task in enumerate(whole["do"]):
            name = next(iter(task))
            one = {"document": {"dsl": "1.0.3", "namespace": "test", "name": file.stem, "version": "1.0.0"},
                   **({"use": whole["use"]} if "use" in whole else {}), "do": [task],
                   "timeout": {"after": "PT2S" if FOR_EVER.fullmatch(f"{file.stem}.{name}") else "PT50S"}}
            text = json.dumps(one).replace("$@{", "${")
            rows.append((f"{file.stem}.{name}", text, {"n": 11, "size": "x", "name": "Ann", "why": "so", "pause": "PT0.1S", "pets": [1, 2]}, (), None))
    assert len(rows) >= 50, len(rows)
    both(rows, 16)


EXAMPLES = [  # name, input, signals. temperature 0 only where a model's words are in the output
    ("document-question", None, ()), ("approval", None, (("org.example.decision", {"approved": True, "by": "Ann"}),)),
    ("approval", {"patience": "PT0.2S"}, ()), ("sensor", None, ()), ("trip", None, ()), ("trip", {"fail": "car"}, ()),
    ("build", None, ()), ("build", {"fails": 99}, ()), ("fan-out-item", {"item": 7, "batch": "b"}, ()),
    ("webhook", {"lines": [{"price": 3, "count": 2}]}, ()), ("webhook", {"lines": [{"price": 300, "count": 20}]}, ()),
]
SHAPES = [("nightly-digest", None), ("council", None)]  # what they say differs: uptime, models with a temperature


def test_the_examples():
    models = here().config["models"]
    flows = flowkit.EXAMPLES
    for e in (here(), there()):
        for file in [*sorted((flows / "catalog").glob("*.yaml")), flows / "fan-out-item.yaml"]:
            assert e.api("POST", "/api/flows/documents", {"document": file.read_text()})[0] in (200, 201), file
    rows = [(f"{name} {value or ''}", (flows / f"{name}.yaml").read_text(), value, signals, None) for name, value, signals in EXAMPLES
            if name != "document-question" or "minilm" in models]
    both(rows, 4)
    if models:
        def keys(end):
            return end[0], sorted(end[1]) if isinstance(end[1], dict) else end[1], end[2]
        both([(name, (flows / f"{name}.yaml").read_text(), value, (), None) for name, value in SHAPES], 2, keys)


def test_fan_out():
    """Children and events of its own: as many as there is time for here (tests/flows/examples_test.py has a hundred)."""
    text = (flowkit.EXAMPLES / "fan-out.yaml").read_text()
    both([("fan-out", text, {"count": 10}, (), {"items": 10, "sum": 285})])


def test_three_days():
    """The reminder sleeps on both; nobody waits three days here: it is cancelled, and skipped by hand."""
    text = (flowkit.EXAMPLES / "reminder.yaml").read_text()
    ends = []
    for e in (here(), there()):
        for hand in ({"cancel": {"reason": "the test is over"}}, {"skip": {"task": "sleep"}}):
            status, got = e.api("POST", "/api/flows", {"document": text})
            assert status == 201, got
            # asleep: its first task has begun
            wait_until("it sleeps", lambda: "sleep" in json.dumps(e.shown(got["id"]).get("view", {})))
            for action, body in hand.items():
                status, said = e.api("POST", f"/api/flows/{got['id']}/{action}", body)
                assert status == 200, (action, said)
            end = wait_until("its end", lambda: (time.sleep(0.02), (r := e.shown(got["id"])) and not r["open"] and r)[1], 30)
            ends.append((end["status"], same(end["view"].get("output")), same(end["view"].get("error"))))
    assert ends[:2] == ends[2:], ends
    assert [s for s, _, _ in ends[:2]] == ["cancelled", "completed"], ends


if __name__ == "__main__":
    plexus.main(globals())
