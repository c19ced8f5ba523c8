#!/usr/bin/env python3
# bad_servers_test.py: MCP servers that behave badly (tests/mcp/bad_server.py): each case ends in bounded
# time and memory with a cause that can be read, and the client goes on.
# SPDX-License-Identifier: Apache-2.0
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import urllib.parse

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import mcp
import plexus


def test_garbage():
    with mcp.Client(mcp.bad("garbage")) as c:
        assert c.text("bad__it") == "after it"
    with mcp.Client(mcp.bad("ids")) as c:
        assert c.text("bad__it") == "the right one"
        assert c.text("bad__it") == "the right one"


def test_answers():
    with mcp.Client(mcp.bad("answers")) as c:
        for kind in (0, 1, 2, 3):
            c.fails("E_MANIFEST", "bad__it", {"kind": kind})
        assert "kind" in c.fails("E_UPSTREAM", "bad__it", {"kind": 4})
        c.fails("E_UPSTREAM", "bad__it", {"kind": 5})
        assert c.call("bad__it", {"kind": 6})["result"]["isError"]
    with mcp.Client(mcp.bad("errors")) as c:
        text = c.fails("E_UPSTREAM", "bad__it")
        assert text.startswith("MCP server bad: error -32000: no\\u{1b}[31m \\u{202e}w"), text
        assert len(text) < 900, len(text)


def test_schemas():
    with mcp.Client(mcp.bad("schemas")) as c:
        c.event("ready")
        names = set(c.tools())
        assert {"bad__good", "bad__lies", "bad__strict"} < names, names
        assert not names & {"bad__broken", "bad__away", "bad__none", "bad__text"}, names
        assert all(len(n) <= 128 for n in names)
        odd = [n for n in names if n.startswith("bad__sp_ace_")]
        assert len(odd) == 1, names
        rows = c.review()
        assert "$ref" in rows["bad__away"]["why"], rows["bad__away"]
        assert not rows["bad__broken"]["usable"]
        assert c.status("bad")["left_out"] == 2  # one twice, one without a name
        assert "does not fit its schema" in c.fails("E_MANIFEST", "bad__lies")
        assert "do not fit" in c.fails("E_INVALID", "bad__strict", {"n": "x"})
        c.fails("E_FORBIDDEN", "bad__broken")
        c.fails("E_NOTFOUND", "bad__nothing")


def test_hidden():
    with mcp.Client(mcp.bad("hidden", grants=["*"])) as c:
        c.event("ready")
        rows, tools = c.review(), c.tools()
        assert rows["bad__plain"]["granted"] and not rows["bad__plain"]["flagged"]
        for name in ("tags", "bidi", "bell", "deep"):
            row = rows["bad__" + name]
            assert row["flagged"] and not row["granted"] and row["pin"] == "new", row
            c.fails("E_FORBIDDEN", "bad__" + name)
        assert "\\u{e0073}\\u{e0065}" in tools["bad__tags"]["description"]
        assert tools["bad__bell"]["description"] == "adds\\u{7}\\u{1b}[31m"
        assert rows["bad__bidi"]["description"] == "adds \\u{202e}desrever\\u{202c}"
        # A person looked: it is called.
        assert c.rc("approve", name="bad__bell", hash=rows["bad__bell"]["hash"])[0] == ""
        c.text("bad__bell")


def test_pins():
    with tempfile.TemporaryDirectory() as folder:
        with mcp.Client(mcp.bad("changes"), folder=folder) as c:
            c.event("ready")
            c.text("bad__add")
            c.text("bad__other")
            assert c.event("changed")["text"] == "bad__add"
            c.event("list")
            c.text("bad__other")
            c.event("list")
            assert not [x for x in c.kept if x.get("event") == "changed"]  # told once
            rows = c.review()
            assert rows["bad__add"]["pin"] == "differs" and not rows["bad__add"]["granted"]
            assert rows["bad__later"]["pin"] == "new" and not rows["bad__later"]["granted"]
            assert "approve it again" in c.fails("E_FORBIDDEN", "bad__add", confirmed=True)
            c.fails("E_FORBIDDEN", "bad__later")
            c.text("bad__later", confirmed=True)  # never seen, but this very call was allowed
            c.text("bad__other")
            assert c.rc("approve", name="bad__add", hash="0" * 64)[0] == "E_CONFLICT"
            assert c.rc("approve", name="bad__add", hash=rows["bad__add"]["hash"])[0] == ""
            c.text("bad__add")
        pins = json.loads((pathlib.Path(folder) / "mcp-pins.json").read_text())
        assert pins["bad"]["add"] == rows["bad__add"]["hash"], pins
        # After a restart it says again what it said first: that is a change too.
        with mcp.Client(mcp.bad("changes"), folder=folder) as c:
            c.event("ready")
            assert c.review()["bad__add"]["pin"] == "differs"
            assert c.rc("unpin", name="bad__other")[0] == ""
            c.fails("E_FORBIDDEN", "bad__other")
        # Named in the grants, a later tool needs nobody's look.
        (pathlib.Path(folder) / "mcp-pins.json").write_text('{"bad":{}}')
        with mcp.Client(mcp.bad("changes", grants=["add"]), folder=folder) as c:
            c.event("ready")
            c.text("bad__add")
            assert "not allowed by a grant" in c.fails("E_FORBIDDEN", "bad__other")
        # A broken file: no server starts, rather than that every change passes.
        (pathlib.Path(folder) / "mcp-pins.json").write_text("{")
        done = subprocess.run([mcp.PROGRAM, "/nonexistent", json.dumps({"folder": folder})],
                              capture_output=True, timeout=10)
        assert done.returncode == 2 and b"mcp-pins.json" in done.stderr, done


def test_size():
    with mcp.Client(mcp.bad("big")) as c:
        assert "10485760 bytes" in c.fails("E_TOOBIG", "bad__it")
        c.text("bad__echo")
        assert c.status("bad")["falls"] == 0
        assert c.rss() < 200 << 20, c.rss()
    with mcp.Client(mcp.bad("endless_line")) as c:
        one, two = c.start("bad__it"), c.start("bad__it")
        assert c.done(one)["status"] in ("E_RATE", "E_TOOBIG")
        assert c.done(two)["status"] in ("E_RATE", "E_TOOBIG")
        assert "floods" in c.event("down")["text"]
        assert c.rss() < 200 << 20, c.rss()
    with mcp.Client(mcp.bad("huge")) as c:
        c.event("ready")
        assert len(c.tools()) == 1000
        assert c.status("bad")["left_out"] == 4000
    with mcp.Client(mcp.bad("endless_pages")) as c:
        c.event("ready")
        assert len(c.tools()) == 100


def test_floods():
    for mode in ("flood_notes", "flood_lines", "flood_stderr"):
        with mcp.Client(mcp.bad(mode)) as c:
            c.fails("E_UPSTREAM" if mode == "flood_lines" else "E_RATE", "bad__it")
            why = c.event("down")["text"]
            assert ("floods" in why) != (mode == "flood_lines"), why
            c.event("ready")  # it comes again
            c.event("ready")
            assert c.rss() < 100 << 20, c.rss()


def test_restless():
    with mcp.Client(mcp.bad("restless")) as c:
        c.event("ready")
        time.sleep(1.2)
        c.text("bad__it")  # it lists again and again, once a second
        lists = [x for x in c.kept if x.get("event") == "list"]
        assert len(lists) <= 3, lists


def test_silence():
    with mcp.Client(mcp.bad("never", timeout_ms=150)) as c:
        for _ in range(3):
            assert "no answer in time" in c.fails("E_TIMEOUT", "bad__it")
        assert "3 calls in a row" in c.event("down")["text"]
    with mcp.Client(mcp.bad("mute", start_ms=300)) as c:
        assert "not ready after 300 ms" in c.event("down")["text"]
        assert c.call("bad__it", settle=False)["status"] == "E_NOTFOUND"
    with mcp.Client(mcp.bad("deaf_probe", start_ms=900)) as c:
        c.event("ready")  # an old server that does not answer what it does not know
        assert c.status("bad")["revision"] == "2024-11-05"
    with mcp.Client(mcp.bad("version")) as c:
        assert '"1999-01-01"' in c.event("down")["text"]
    with mcp.Client(mcp.bad("cancel")) as c:
        number = c.start("bad__it")
        c.send(op="cancel", id=number)
        assert c.done(number)["status"] == "E_CANCELLED"
        assert len(json.loads(c.text("bad__echo"))) == 1


def test_deaths():
    with mcp.Client(mcp.bad("dies")) as c:
        text = c.fails("E_CLOSED", "bad__it")
        assert "exit code 7: I cannot go on" in text, text
        c.event("ready")
        c.event("ready")
        assert c.status("bad")["falls"] == 1
    with mcp.Client(mcp.bad("crash"), backoff_ms=20) as c:
        first = c.event("down")
        assert "exit code 3" in first["text"] and "no licence" in first["text"], first
        begin = time.monotonic()
        for _ in range(4):
            c.event("down")
        assert time.monotonic() - begin > 0.25  # 20, 40, 80, 160 ms between them
    with tempfile.TemporaryDirectory() as folder:
        with mcp.Client(mcp.bad("crash_twice", env=[f"COUNT_FILE={folder}/n"])) as c:
            c.event("ready")
            assert c.status("bad")["falls"] == 2
    with mcp.Client({"name": "none", "argv": ["/nonexistent/server"]}) as c:
        assert "does not start" in c.event("down")["text"]
    with mcp.Client(mcp.bad("big_hello")) as c:
        assert "10485760" in c.event("down")["text"]
    with mcp.Client(mcp.bad("stays")) as c:  # does not end with its input: it is killed
        c.event("ready")


def test_questions():
    with mcp.Client(mcp.bad("asks")) as c:
        answers = json.loads(c.text("bad__it"))
        codes = [m.get("error", {}).get("code") for m in answers]
        assert codes == [-32601, -32601, -32601, -32601, None], answers
    with mcp.Client(mcp.bad("asks", roots=["/srv/a b"], sampling=True, elicitation=True),
                    elicit={"action": "accept", "content": {"key": "none"}}) as c:
        answers = json.loads(c.text("bad__it"))
        assert answers[0]["result"] == {"roots": [{"uri": "file:///srv/a%20b"}]}, answers[0]
        assert answers[1]["error"]["code"] == -1, answers[1]
        assert answers[2]["result"]["content"] == {"key": "none"}
        assert answers[3]["error"]["code"] == -32601
        ask = c.wait("ask", lambda x: x.get("ask") == "elicitation")
        assert ask["who"] == "test" and ask["params"]["message"] == "your key?", ask
    with mcp.Client(mcp.bad("progress")) as c:
        number = c.start("bad__it", progress=True)
        assert c.done(number)["status"] == ""
        seen = [(x["done"], x["text"]) for x in c.kept if x.get("progress") == number]
        assert seen == [(1, "step 1\\u{7}"), (2, "step 2\\u{7}"), (3, "step 3\\u{7}")], seen


def test_labels():
    with mcp.Client(mcp.bad("echo", clearance="internal"), mcp.bad("echo", name="open")) as c:
        c.text("bad__echo", label="internal")
        c.fails("E_SECURITY", "bad__echo", label="restricted")
        c.fails("E_SECURITY", "open__echo", label="internal")
        assert c.text("open__echo", {"a": 1}) == '{"a": 1}'
        assert c.rc("remove", name="open")[0] == ""
        c.fails("E_NOTFOUND", "open__echo")
        assert c.rc("restart", name="bad")[0] == ""
        c.event("ready", "bad")
        c.event("ready", "bad")
        c.text("bad__echo", label="internal")


def test_web():
    cases = {"slow_head": ("E_TIMEOUT", "in time"), "slow_body": ("E_TIMEOUT", "in time"),
             "redirect": ("E_UPSTREAM", "redirects are not followed"),
             "html": ("E_UPSTREAM", "HTTP 500"), "big": ("E_TOOBIG", "10485760 bytes"),
             "big_event": ("E_TOOBIG", "10485760 bytes"), "flood_events": ("E_RATE", "floods"),
             "cut": ("E_CLOSED", ""), "no_content": ("E_CLOSED", "without an answer")}
    for mode, (status, words) in cases.items():
        with mcp.Web(mode) as web, mcp.Client(web.server()) as c:
            text = c.fails(status, "bad__it", timeout_ms=300 if "slow" in mode else 10000)
            assert words in text, (mode, text)
            assert c.text("bad__echo").startswith("session s"), mode
    with mcp.Web("forgets") as web, mcp.Client(web.server()) as c:
        assert c.text("bad__it") == "session s2"  # a new session, and the call once more
    with mcp.Web("stays") as web, mcp.Client(web.server()) as c:
        assert c.text("bad__it") == "session s1"
        assert c.text("bad__echo") == "session s1"
    with mcp.Client({"name": "gone", "url": "http://127.0.0.1:9/mcp"}) as c:
        c.event("down")
        c.event("down")
    # The same as the way to another node: labels go with it.
    with mcp.Web("plain") as web:
        port = int(web.url.split(":")[2].split("/")[0])
        with mcp.Client({"name": "strong", "mesh": port, "grants": ["*"]}) as c:
            c.event("ready")
            assert c.tools()["strong__echo"]["source"] == "mesh:strong"
            assert c.status("strong")["transport"] == "mesh"
            assert c.text("strong__echo") == "session s1"
        with mcp.Client({"name": "strong", "mesh": port, "grants": ["*"], "clearance": "secret"}
                        ) as c:
            assert c.text("strong__echo", label="secret") == "session s2, secret"
        with mcp.Client({"name": "strong", "mesh": 0}) as c:
            assert "no link to the strong node" in c.event("down")["text"]


def test_login():
    with mcp.Web("oauth") as web, tempfile.TemporaryDirectory() as folder:
        server = web.server(oauth={"redirect_uri": "http://127.0.0.1:1/back"})
        with mcp.Client(server, folder=folder) as c:
            url = c.event("login")["text"]
            query = urllib.parse.parse_qs(urllib.parse.urlsplit(url).query)
            assert query["client_id"] == ["c1"] and query["code_challenge_method"] == ["S256"], url
            assert query["resource"] == [web.url], url
            assert c.status("bad")["state"] == "login"
            assert c.rc("redirected", query="code=x&state=wrong")[0] == "E_NOTFOUND"
            back = f"code=x&state={query['state'][0]}"
            assert c.rc("redirected", query=back)[0] == ""
            assert c.rc("redirected", query=back)[0] == "E_NOTFOUND"  # once
            assert c.text("bad__it") == "Bearer t0"
            # Its token is over by now: renewed without a person, and the call once more.
            assert c.text("bad__it") == "Bearer t2r"
        kept = pathlib.Path(folder) / "mcp-tokens.json"
        assert kept.stat().st_mode & 0o777 == 0o600
        with mcp.Client(server, folder=folder) as c:  # a new node: no person either
            c.event("ready")
            assert c.text("bad__echo")
            assert not [x for x in c.kept if x.get("event") == "login"]
        kept.write_text("{")
        with mcp.Client(server, folder=folder) as c:
            c.event("login")


for name, case in list(globals().items()):
    if name.startswith("test_") and (len(sys.argv) < 2 or sys.argv[1] in name):
        began = time.monotonic()
        case()
        print(f"{name} {time.monotonic() - began:.1f} s", flush=True)
