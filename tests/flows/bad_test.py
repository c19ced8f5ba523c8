#!/usr/bin/env python3
# bad_test.py: flows on bad days, with a real node and its real journal: the disk is full, another program holds the file, it is damaged or
# of a newer version; programs and flows without an end, far too much of everything, documents that are none. timeout: 300
# SPDX-License-Identifier: Apache-2.0
import http.server
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1] / "lib"), str(pathlib.Path(__file__).resolve().parent)]
import plexus  # noqa: E402
from plexus import Node, scripted, wait_until  # noqa: E402

# A mount namespace of our own, so that a small disk can be mounted that nobody else sees.
if "PLEXUS_TEST_MOUNTS" not in os.environ:
    ways = [["unshare", "-m"], ["unshare", "-Urm"]]
    fits = [w for w in ways if shutil.which("unshare") and subprocess.run([*w, "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True).returncode == 0]
    os.environ["PLEXUS_TEST_MOUNTS"] = "1" if fits else ""
    if fits:
        os.execvp("unshare", [*fits[0], sys.executable, *sys.argv])

SUITES = pathlib.Path(os.environ.get("PLEXUS_SUITES") or plexus.ROOT.parent / "shared/suites")
ERRORS = "https://serverlessworkflow.io/spec/1.0.0/errors/"


def doc(name, *tasks, **more):
    head = {"dsl": "1.0.3", "namespace": "bad", "name": name, "version": "1.0.0"}
    return json.dumps({"document": head, "do": list(tasks), **more})


def start(n, document, input=None, status=201, timeout=60, **more):
    got = n.ask("POST", "/api/flows", {"document": document, **({} if input is None else {"input": input}), **more}, timeout=timeout)
    assert got.status == status, got
    return got.json


def run(n, document, input=None, wait="60s"):
    return start(n, document, input, status=200, wait=wait)


def error(got, kind):
    assert got["status"] == "faulted" and got["error"]["type"] == ERRORS + kind, str(got)[:2000]
    return got["error"]


def lives(n):
    """The node still carries out a flow."""
    got = run(n, doc("alive", {"a": {"set": {"x": "${ 1 + 1 }"}}}))
    assert got["status"] == "completed" and got["output"] == {"x": 2}, got


def metric(n, name):
    return float(next(line.split()[-1] for line in n.get("/metrics").body.decode().splitlines() if line.split("{")[0].split(" ")[0] == name))


def ended(n, ident, seconds=30):
    return wait_until(ident + " ends", lambda: (r := n.get("/api/flows/" + ident).json) and not r["open"] and r, seconds)


def refused(n):
    """A start that must fail: what the node says."""
    n.process = subprocess.Popen([plexus.PLEXUS, "up", "--config", str(n.file), "--data", str(n.data)], stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE, text=True, env=n.env, cwd=n.folder)
    out, said = n.process.communicate(timeout=30)
    code, n.process = n.process.returncode, None
    assert code not in (0, -signal.SIGSEGV, -signal.SIGABRT) and "serves at" not in out and "Sanitizer" not in said, (code, out, said)
    return said


shared = plexus.shared(lambda: Node({}))


# ---- the journal ------------------------------------------------------------------------------------------------------------------------

def test_the_disk_is_full():
    if not os.environ["PLEXUS_TEST_MOUNTS"]:
        print("  no mounts are allowed here: not tried")
        return
    folder = pathlib.Path(tempfile.mkdtemp(prefix="plexus-disk-"))
    (folder / "data").mkdir(mode=0o700)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m,mode=700", "none", folder / "data"], check=True)
    try:
        config = {"models": {"m": {"engine": "command", "command": scripted(name="m"), "kind": "chat"}}}
        with Node(config, folder=folder) as n:
            assert n.chat("m").status == 200
            sleeper = start(n, doc("sleeper", {"nap": {"wait": "PT1S"}}, {"b": {"set": {"done": True}}}), id="sleeper")
            assert sleeper["id"] == "sleeper"
            big, acknowledged, answer = "x" * 300000, [], None
            with open(folder / "data/filler", "wb", buffering=0) as filler:  # all but some
                try:
                    while shutil.disk_usage(folder / "data").free > 3 << 20:
                        filler.write(b"x" * 65536)
                except OSError:
                    pass
            for i in range(60):
                answer = n.ask("POST", "/api/flows", {"document": doc("eater", {"a": {"wait": "PT1H"}}), "input": {"big": big}, "id": f"e{i}"})
                if answer.status != 201:
                    break
                acknowledged.append(f"e{i}")
            assert answer.status == 507 and "room" in answer.json["error"]["message"], answer
            wait_until("it says so", lambda: metric(n, "plexus_flows_stopped") == 1)
            again = n.ask("POST", "/api/flows", {"document": doc("more", {"a": {"set": {"x": 1}}})})
            assert again.status == 503 and "stopped" in again.json["error"]["message"], again
            said = n.command("flow", "run", "--detach", "-", check=False, text=doc("more", {"a": {"set": {"x": 1}}}))
            assert said.returncode != 0 and "stopped" in said.stderr, (said.returncode, said.stdout, said.stderr)
            assert "flow.stopped" in n.log(), n.log()
            doctor = n.command("doctor", check=False)
            assert doctor.returncode != 0 and "flows" in doctor.stdout, (doctor.returncode, doctor.stdout, doctor.stderr)
            assert n.chat("m").status == 200  # models are served as before
            (folder / "data/filler").unlink()
            time.sleep(1.2)  # the sleeper's time comes: nothing may go on before the restart
            assert n.ask("POST", "/api/flows", {"document": doc("more", {"a": {"set": {"x": 1}}})}).status == 503
            n.stop()
            n.start()
            assert ended(n, "sleeper")["status"] == "completed"
            for one in acknowledged:
                assert n.get("/api/flows/" + one).json["open"], one
            lives(n)
            assert metric(n, "plexus_flows_stopped") == 0
            print(f"  {len(acknowledged)} flows were acknowledged before, all are there")
    finally:
        subprocess.run(["umount", "-l", folder / "data"], check=False)
        shutil.rmtree(folder, ignore_errors=True)


def test_another_program_holds_the_file():
    with Node({}) as n:
        start(n, doc("sleeper", {"nap": {"wait": "PT0.3S"}}, {"b": {"set": {"done": True}}}), id="sleeper")
        other = sqlite3.connect(n.data / "flows.db", timeout=5, isolation_level=None, check_same_thread=False)
        other.execute("BEGIN EXCLUSIVE")
        began = time.monotonic()
        leave = threading.Timer(6.5, other.close)
        leave.start()
        got = start(n, doc("held", {"a": {"set": {"x": 1}}}), id="held")  # it waits until it is kept: nothing else is the truth
        assert got["id"] == "held" and time.monotonic() - began > 6
        leave.join()
        assert ended(n, "held")["status"] == ended(n, "sleeper")["status"] == "completed"
        assert "flow.journal_held" in n.log() and "flow.journal_free" in n.log() and "flow.stopped" not in n.log(), n.log()
        lives(n)
        start(n, doc("sleeper", {"nap": {"wait": "PT0.2S"}}, {"b": {"set": {"done": True}}}), id="sleeper2")
        other = sqlite3.connect(n.data / "flows.db", isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        time.sleep(0.5)
        began = time.monotonic()
        assert n.stop() == 0 and time.monotonic() - began < 20  # an orderly end does not wait for the other one
        other.close()
        other = sqlite3.connect(n.data / "flows.db", isolation_level=None)
        other.execute("PRAGMA locking_mode=EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        said = refused(n)
        assert "flows.db" in said and ("held" in said or "lock" in said), said
        other.close()
        n.start()
        assert n.get("/api/flows/sleeper").json["status"] == ended(n, "sleeper2")["status"] == "completed"


def test_a_damaged_journal():
    chance = random.Random(3)
    with Node({}) as n:
        for i in range(40):
            start(n, doc(f"d{i}", {"a": {"set": {"x": "y" * 2000}}}, {"nap": {"wait": "PT1H"}}))
        n.stop()
        whole = (n.data / "flows.db").read_bytes()
        seen = {"refused": 0, "starts": 0}
        for case in range(12):
            bad = bytearray(whole)
            if case == 0:
                bad[0:16] = b"not a database!!"
            elif case == 1:
                bad = bad[:len(bad) // 2]
            elif case == 2:
                bad[100:400] = bytes(300)
            else:
                at = chance.randrange(4096, len(bad) - 4096)
                for _ in range(64 << (case % 6)):
                    bad[min(at + chance.randrange(4096), len(bad) - 1)] ^= chance.randrange(1, 256)
            for more in ("flows.db-wal", "flows.db-shm"):
                (n.data / more).unlink(missing_ok=True)
            (n.data / "flows.db").write_bytes(bad)
            n.process = subprocess.Popen([plexus.PLEXUS, "up", "--config", str(n.file), "--data", str(n.data)], stdout=subprocess.PIPE,
                                         stderr=(err := tempfile.TemporaryFile()), env=n.env, cwd=n.folder)
            line = n.process.stdout.readline().decode()
            if "serves at" in line:  # what is damaged may be found later: an error then, never a crash
                assert case > 2, (case, line)
                n.port = int(line.split("serves at ")[1].split()[0].rstrip("/").rsplit(":", 1)[1])
                for row in n.get("/api/flows?limit=100").json.get("flows", []):
                    n.get(f"/api/flows/{row['id']}?full=1")
                    n.get(f"/api/flows/{row['id']}/history")
                assert n.get("/api/models").status == 200
                n.process.send_signal(signal.SIGTERM)
                assert n.process.wait(20) == 0, n.process.returncode
                seen["starts"] += 1
            else:
                assert n.process.wait(20) not in (0, -signal.SIGSEGV, -signal.SIGABRT), (case, n.process.returncode)
                err.seek(0)
                said = err.read().decode()
                assert "flows.db" in said and "damaged" in said and "backup" in said.lower(), (case, said)
                seen["refused"] += 1
            n.process.stdout.close()
            n.process = None
        assert seen["refused"] >= 3, seen
        print("  ", seen)
        for more in ("flows.db-wal", "flows.db-shm"):
            (n.data / more).unlink(missing_ok=True)
        (n.data / "flows.db").write_bytes(whole)
        n.start()
        lives(n)


def test_a_journal_of_a_newer_version():
    with Node({}) as n:
        lives(n)
        n.stop()
        db = sqlite3.connect(n.data / "flows.db")
        version = db.execute("PRAGMA user_version").fetchone()[0]
        db.execute(f"PRAGMA user_version={version + 1}")
        db.close()
        said = refused(n)
        assert "flows.db" in said and "newer" in said, said
        db = sqlite3.connect(n.data / "flows.db")
        assert db.execute("PRAGMA user_version").fetchone()[0] == version + 1  # untouched
        db.execute(f"PRAGMA user_version={version}")
        db.close()
        n.start()
        lives(n)


# ---- too much ---------------------------------------------------------------------------------------------------------------------------

def test_thousands_woken_at_once():
    count, n = 10000, shared()
    # Every one to the same moment: a wait whose length is what is left until then.
    at = time.time() + 12
    plan = {"document": doc("woken", {"nap": {"wait": "${ .left }"}}, {"b": {"set": {"i": "${ $workflow.input.i }"}}})}
    before, began = metric(n, "plexus_flows_completed_total"), time.monotonic()

    def some(part):
        connection = n.connection()
        for i in range(part, count, 8):
            body = dict(plan, id=f"woken-{i}", input={"i": i, "left": "PT%.3fS" % max(0.001, at - time.time())})
            connection.request("POST", "/api/flows", json.dumps(body))
            answer = connection.getresponse()
            text = answer.read()
            assert answer.status == 201, (answer.status, text)
        connection.close()

    plexus.parallel(8, some)
    took = time.monotonic() - began
    wait_until("all have ended", lambda: metric(n, "plexus_flows_completed_total") - before >= count, 60)
    late = time.time() - max(at, at + took - 12)
    for i in (0, 1, count // 2, count - 1):
        assert n.get(f"/api/flows/woken-{i}?full=1").json["view"]["output"] == {"i": i}
    print(f"  {count} begun in {took:.1f} s, ended {late:.2f} s after their moment")


def test_many_listeners():
    n, count = shared(), 500
    before = metric(n, "plexus_flows_listening")
    listener = doc("listener", {"hear": {"listen": {"to": {"one": {"with": {"type": "org.example.bad.ring"}}}}}})
    for i in range(count):
        start(n, listener, id=f"listener-{i}")
    wait_until("all listen", lambda: metric(n, "plexus_flows_listening") - before == count)
    taken = n.post("/api/flows/events", {"type": "org.example.bad.ring", "data": {"n": 1}})
    assert taken.status == 200 and taken.json["taken"] == count, taken
    for i in range(count):
        assert ended(n, f"listener-{i}")["status"] == "completed"
    assert metric(n, "plexus_flows_listening") == before


def test_a_loop_of_50000_steps():
    began, n = time.monotonic(), shared()
    got = run(n, doc("loop", {"each": {"for": {"each": "i", "in": "${ [range(50000)] }"}, "do": [{"add": {"set": {"sum": "${ (.sum // 0) + $i }"}}}]}}))
    assert got["status"] == "completed" and got["output"] == {"sum": sum(range(50000))}, str(got)[:1000]
    print(f"  {50000 / (time.monotonic() - began):.0f} steps/s")


def test_a_long_loop_with_effects_rolls_over():
    began, n = time.monotonic(), shared()
    got = run(n, doc("rolls", {"each": {"for": {"each": "i", "in": "${ [range(6000)] }"},
                                        "do": [{"nap": {"wait": {"milliseconds": 0}}}, {"add": {"set": {"sum": "${ (.sum // 0) + $i }"}}}]}}))
    assert got["status"] == "completed" and got["output"] == {"sum": sum(range(6000))}, str(got)[:1000]
    print(f"  {6000 / (time.monotonic() - began):.0f} rounds/s, {n.get('/api/flows/' + got['id']).json['entries']} entries")


def test_a_flow_that_runs_itself():
    n = shared()
    text = doc("self", {"again": {"run": {"workflow": {"namespace": "bad", "name": "self", "version": "1.0.0"}}}})
    assert n.post("/api/flows/documents", {"document": text}).status in (200, 201)
    got = n.post("/api/flows", {"namespace": "bad", "name": "self", "wait": "60s"})
    assert got.status == 200, got
    said = error(got.json, "runtime")
    assert "deep" in json.dumps(said) or "depth" in json.dumps(said) or "32" in json.dumps(said), said
    lives(n)


def test_output_of_20_mib():
    n = shared()

    def size(mib):
        return run(n, doc("big", {"much": {"run": {"script": {"language": "python", "code": "import sys\nsys.stdout.write('x' * (%d << 20))" % mib}},
                                           "output": {"as": "${ {n: length, all: .} }"}}}))

    if not shutil.which("python3"):
        return
    got = size(19)
    assert got["status"] == "completed" and got["output"]["n"] == 19 << 20, str(got)[:600]
    got = size(70)
    said = error(got, "runtime" if "runtime" in str(got.get("error")) else "communication")
    assert "MiB" in json.dumps(said) or "large" in json.dumps(said) or "limit" in json.dumps(said) or "bytes" in json.dumps(said), str(said)[:600]
    lives(n)


# ---- without an end ---------------------------------------------------------------------------------------------------------------------

class Silent(http.server.ThreadingHTTPServer):
    daemon_threads = True


class Never(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        time.sleep(60)


def test_an_activity_that_never_answers():
    n, server = shared(), Silent(("127.0.0.1", 0), Never)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    call = {"call": "http", "with": {"method": "get", "endpoint": f"http://127.0.0.1:{server.server_address[1]}/"}}
    began = time.monotonic()
    said = error(run(n, doc("silent", {"ask": {**call, "timeout": {"after": "PT0.5S"}}})), "timeout")
    assert said["status"] == 408 and 0.4 < time.monotonic() - began < 5, said
    said = error(run(n, doc("silent2", {"ask": call}, timeout={"after": "PT0.5S"})), "timeout")
    assert said["status"] == 408, said
    said = error(run(n, doc("silent3", {"sleep": {"run": {"shell": {"command": "sleep 77"}}, "timeout": {"after": "PT0.5S"}}})), "timeout")
    assert said["status"] == 408, said
    wait_until("nothing is left of it", lambda: not any(b"sleep\x0077" in plexus.cmdline(p) for p in plexus.descendants(n.process.pid)))
    server.shutdown()


def test_programs_that_loop_for_ever():
    n = shared()
    others = [start(n, doc("beside", {"nap": {"wait": "PT0.5S"}}, {"b": {"set": {"x": "${ \"b\" | ascii_upcase }"}}}))["id"] for _ in range(5)]
    endless = ["[limit(1; repeat(0|select(false)))]", "def f: f; f", "[range(1e12)] | length", "reduce range(1e12) as $i (\"\"; . + \"xxxxxxxxxxxxxxxx\")",
               "last(range(1e13))", "[recurse(. + 1)]", "def f: [f]; f"]

    def one(i):
        began = time.monotonic()
        got = run(n, doc(f"endless{i}", {"a": {"set": {"x": "${ %s }" % endless[i]}}}))
        said = error(got, "expression")
        return time.monotonic() - began, said.get("detail") or said.get("title")

    for program, (took, said) in zip(endless, plexus.parallel(len(endless), one)):
        print(f"  {took:5.1f} s  {program}: {said[:100]}")
    for ident in others:
        assert ended(n, ident)["status"] == "completed"
    lives(n)


def test_a_loop_without_a_wait_does_not_starve_others():
    n = shared()
    forever = start(n, doc("forever", {"a": {"set": {"x": 1}}}, {"b": {"set": {"x": 2}, "then": "a"}}))["id"]
    for _ in range(3):
        began = time.monotonic()
        lives(n)
        assert time.monotonic() - began < 5
    assert n.post(f"/api/flows/{forever}/terminate").status == 200
    ended(n, forever)


# ---- those outside ----------------------------------------------------------------------------------------------------------------------

def test_a_client_that_leaves_while_it_waits():
    n = shared()
    for i in range(20):
        body = json.dumps({"document": doc("left", {"nap": {"wait": "PT0.5S"}}), "wait": "30s", "id": f"left-{i}"}).encode()
        s = socket.create_connection(("127.0.0.1", n.port))
        s.sendall(b"POST /api/flows HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        if i % 2:
            wait_until("it runs", lambda: n.get(f"/api/flows/left-{i}").status == 200)
        s.close()
    for i in range(1, 20, 2):
        assert ended(n, f"left-{i}")["status"] == "completed"
    s = socket.create_connection(("127.0.0.1", n.port))
    s.sendall(b"GET /api/flows/left-1/events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    s.close()
    lives(n)


def test_signals_twice_and_hands_after_the_end():
    n = shared()
    start(n, doc("twice", {"hear": {"listen": {"to": {"one": {"with": {"type": "org.example.bad.once"}}}}}}), id="twice")
    wait_until("it listens", lambda: n.get("/api/flows/twice").json["status"] == "waiting")
    event = {"type": "org.example.bad.once", "id": "e1", "data": {"k": 1}}
    first = [n.post("/api/flows/twice/signal", event).status for _ in range(2)]
    assert first[0] == 200, first
    assert ended(n, "twice")["status"] == "completed"
    for hand in ("retry", "skip", "edit", "pause", "resume", "cancel", "terminate", "signal"):
        got = n.post(f"/api/flows/twice/{hand}", {"task": "hear", "input": {}, "type": "org.example.bad.once"})
        assert 400 <= got.status < 500 and got.json["error"]["message"], (hand, got)
    assert n.get("/api/flows/twice").json["status"] == "completed"
    again = n.ask("POST", "/api/flows", {"document": doc("twice", {"a": {"set": {"x": 1}}}), "id": "twice"})
    assert again.status == 409, again
    for hand in ("retry", "signal", "terminate"):
        got = n.post(f"/api/flows/nobody/{hand}", {"type": "x"} if hand == "signal" else {})
        assert got.status == 404, (hand, got)


# ---- documents --------------------------------------------------------------------------------------------------------------------------

def test_invalid_documents():
    n, count = shared(), 0
    if not (SUITES / "serverless-workflow/invalid").exists():
        print("  no suites here: not tried")
        return
    for file in sorted((SUITES / "serverless-workflow/invalid").rglob("*")):
        if file.is_file():
            got = n.ask("POST", "/api/flows", {"document": file.read_text()})
            assert got.status == 400 and got.json["error"]["findings"], (file.name, got)
            for x in got.json["error"]["findings"]:
                assert x["line"] >= 1 and x["message"], x
            count += 1
    assert count >= 3
    lives(n)
    print(f"  {count} documents")


def mutated(text, chance):
    lines = text.splitlines(keepends=True)
    kind, at = chance.randrange(8), chance.randrange(len(lines))
    if kind == 0:
        lines.pop(at)
    elif kind == 1:
        lines.insert(at, lines[chance.randrange(len(lines))])
    elif kind == 2:
        lines[at] = " " * chance.randrange(1, 5) + lines[at]
    elif kind == 3:
        lines[at] = lines[at].replace(":", ": [", 1)
    elif kind == 4:
        lines = lines[:at] + [lines[at][:chance.randrange(len(lines[at]) + 1)]]
    elif kind == 5:
        lines[at] = lines[at].replace("${", "${ ) ", 1) if "${" in lines[at] else "\t" + lines[at]
    elif kind == 6:
        where = chance.randrange(len(text))
        return text[:where] + chr(chance.choice((0, 7, 34, 38, 42, 123, 0x7f, 0x85, 0xfeff, 0x1f600))) + text[where + 1:]
    else:
        words = [w for w in ("do", "set", "call", "with", "for", "in", "listen", "to", "run", "when", "then", "as", "try", "catch", "wait") if w + ":" in text]
        word = chance.choice(words)
        return text.replace(word + ":", word + "x:", 1)
    return "".join(lines)


def test_mutated_documents():
    n, chance = shared(), random.Random(int(os.environ.get("SEED", 1)))
    files = sorted((plexus.ROOT / "examples/flows").rglob("*.yaml"))
    counts = {"bad": 0, "well": 0}
    for i in range(200):
        text = mutated(files[i % len(files)].read_text(), chance)
        checked = n.ask("POST", "/api/flows/check", {"document": text})
        assert checked.status == 200, (checked, text)
        if checked.json["ok"]:  # still a document: never run here, it may do anything
            counts["well"] += 1
            continue
        assert checked.json["findings"] and all(x["message"] for x in checked.json["findings"]), (checked, text)
        got = n.ask("POST", "/api/flows", {"document": text})
        assert got.status == 400 and got.json["error"]["message"] and got.json["error"]["findings"], (got, text)
        counts["bad"] += 1
    assert counts["bad"] >= 100, counts
    for body in (b"", b"{", b"[]", b"null", b'{"document": 7}', b'{"document": ""}', b'{"document": "\\u0000"}', b'{"name": "x"}', b"\xff\xfe",
                 b'{"document":"' + b"[" * 100000 + b'"}', b'{"document": "a: &a [*a, *a]"}', b'{"input": ' + b"[" * 50000 + b"]" * 50000 + b"}"):
        got = n.ask("POST", "/api/flows", body)
        assert got.status in (400, 404), (body[:60], got)
    lives(n)
    print("  ", counts)


if __name__ == "__main__":
    plexus.main(globals())
