#!/usr/bin/env python3
# page_test.py: the console in a headless Chromium against a running node: real clicks and keys, no
# reload, no other host. Screenshots go to build/page/. timeout: 240
# SPDX-License-Identifier: Apache-2.0
import http.client
import json
import os
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "lib")]
import devtools
import plexus

SHOTS = plexus.ROOT / "build/page"
REAL = os.path.exists(plexus.LLAMA) and os.path.exists(plexus.TINY)
MARKUP = "<img src=/nowhere onerror=document.title='broken'>"


def configuration(port, keyed_port):
    def command(*words, **more):
        return {"engine": "command", "command": list(words), "kind": "chat", "idle": "5m", "health": "/health", **more}
    models = {
        "steady": command(*plexus.scripted("--health-delay-ms", 1200, "--memory", 24, name="steady"), memory="48MiB"),
        "slow": command(*plexus.scripted("--health-delay-ms", 5500, name="slow"), memory="16MiB"),
        "vectors": command(*plexus.scripted(name="vectors"), kind="embedding", memory="32MiB"),
        "broken": command("sh", "-c", 'echo "no weights: $1" >&2; exit 3', "sh", MARKUP,
                          restarts={"max": 1, "pause": "10ms"}),
        "fetched": command(*plexus.scripted(name="fetched"), file="made.gguf", prepare=[
            "sh", "-c", 'while [ ! -e go ]; do echo "31 of 83 MB"; sleep 0.1; done; : > "$1"', "sh", "{file}"]),
    }
    if REAL:
        models["tiny-chat"] = {"engine": "llama.cpp", "file": plexus.TINY, "kind": "chat", "context": 1024,
                               "program": plexus.LLAMA, "threads": 1}
    return {"node": {"name": "aipc", "context": "dev.aipc.node1"}, "memory": {"budget": "256MiB"}, "models": models,
            "listen": {"api": ["127.0.0.1:%d" % port, {"address": "127.0.0.1:%d" % keyed_port, "keys": "required"}]}}


def chip(name):
    return "document.querySelector('[data-model=\"%s\"] .chip').textContent" % name


def row(name):
    return "document.querySelector('[data-model=\"%s\"]').innerText" % name


LAST = "[...document.querySelectorAll('.bubble.assistant')].pop()"
WATCH = """(() => { window.seen = []; const chip = document.querySelector('[data-model="%s"] .chip');
  new MutationObserver(() => window.seen.push(chip.textContent)).observe(chip, {childList: true, characterData: true, subtree: true}); })()"""


class Page:
    """The node and the browser that all cases share."""

    def __init__(self, path):
        self.port, self.keyed_port = plexus.free_port(), plexus.free_port()
        self.node = plexus.Node(configuration(self.port, self.keyed_port))
        try:
            self.browser = devtools.Browser(path)
        except BaseException:
            self.node.stop()
            raise

    def close(self):
        self.browser.close()
        self.node.__exit__(None, None, None)


page = None


def choose(name):
    page.browser.js("(() => { const s = document.getElementById('try-model'); s.value = %s;"
                    "s.dispatchEvent(new Event('change')) })()" % json.dumps(name))


def say(text):
    page.browser.js("document.getElementById('prompt').focus()")
    page.browser.type(text)
    page.browser.press("Enter")


def answered(seconds=30):
    page.browser.until("document.getElementById('chat-stop').hidden", "the answer ended", seconds)


def complaints(*expected):
    """What the console said, but for the loads that were meant to be refused."""
    return [e for e in page.browser.errors if not any(x in e for x in expected)]


def test_files_have_tag_and_guards():
    def ask(method, path, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", page.port, timeout=20)
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        return answer.status, answer.headers, body
    status, headers, body = ask("GET", "/")
    assert status == 200 and b"<!doctype html>" in body, (status, body[:80])
    assert headers["Content-Type"] == "text/html; charset=utf-8", headers["Content-Type"]
    assert headers["Cache-Control"] == "no-cache", headers["Cache-Control"]
    assert headers["X-Content-Type-Options"] == "nosniff" and headers["Referrer-Policy"] == "no-referrer"
    policy = headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy, policy
    tag = headers["ETag"]
    for sent in (tag, "W/" + tag, '"x", ' + tag, "*"):
        status, headers, body = ask("GET", "/", **{"If-None-Match": sent})
        assert (status, headers["ETag"], body) == (304, tag, b""), (sent, status, body[:80])
    assert ask("GET", "/", **{"If-None-Match": '"x"'})[0] == 200
    status, headers, body = ask("HEAD", "/assets/app.js")
    assert (status, body) == (200, b"") and int(headers["Content-Length"]) > 1000, (status, headers.items())
    assert headers["Content-Type"].startswith("text/javascript"), headers["Content-Type"]
    status, headers, body = ask("POST", "/assets/app.js")
    assert (status, headers["Allow"]) == (405, "GET, HEAD"), (status, headers.items())
    for path in ("/assets/", "/assets/none.js", "/assets/../index.html", "/index.html", "/assets/app.js/x"):
        assert ask("GET", path)[0] in (400, 404), (path, ask("GET", path)[0])


def test_opens_live():
    b = page.browser
    b.media(prefers_color_scheme="dark")
    b.size(1440, 900)
    b.open("http://127.0.0.1:%d/" % page.port)
    b.until("document.documentElement.dataset.link === 'live'", "the page is live")
    assert b.js("document.documentElement.dataset.env") == "dev"
    assert b.js("document.getElementById('node-name').textContent") == "aipc"
    assert "256 MiB" in b.js("document.getElementById('memory-of').textContent")
    assert b.js("document.querySelectorAll('.model').length") == len(page.node.config["models"])
    assert b.js("document.querySelectorAll('#machine div').length") >= 3
    assert b.js(chip("steady")) == "UNLOADED"
    b.navigations = 0


def test_load_is_seen_and_unload_too():
    b = page.browser
    b.js(WATCH % "steady")
    b.click('[data-model="steady"] [data-act=load]')
    b.until(chip("steady") + " === 'LOADING'", "LOADING is seen")
    assert b.js("!document.querySelector('[data-model=\"steady\"] .progress').hidden")
    b.until(chip("steady") + " === 'WARM'", "WARM is seen")
    seen = b.js("window.seen")
    assert [s for i, s in enumerate(seen) if i == 0 or seen[i - 1] != s] == ["LOADING", "WARM"], seen
    b.until(row("steady") + ".includes('leaves in')", "the idle countdown")
    b.until("document.querySelector('#memory-legend').innerText.includes('steady')", "its share of the memory")
    assert b.js("document.querySelector('[data-model=\"steady\"] [data-act=load]').disabled")
    b.click('[data-model="steady"] [data-act=unload]')
    b.until(chip("steady") + " === 'UNLOADED'", "UNLOADED is seen")
    assert page.node.model("steady")["state"] == "UNLOADED"
    assert b.navigations == 0, "the page was loaded again"


def test_pin_and_unpin():
    b = page.browser
    b.click('[data-model="steady"] [data-act=pin]')
    b.until(row("steady") + ".includes('pinned')", "it is told as pinned")
    b.until(chip("steady") + " === 'WARM'", "a pinned model is loaded")
    b.click('[data-model="steady"] [data-act=unpin]')
    b.until("!" + row("steady") + ".includes('pinned')", "it is not pinned any more")
    assert page.node.model("steady")["pinned"] is False


def test_failure_shows_its_reason_as_text():
    b = page.browser
    b.click('[data-model="broken"] [data-act=load]')
    b.until(chip("broken") + " === 'FAILED'", "FAILED is seen")
    b.until("document.querySelector('[data-model=\"broken\"] .why pre').innerText.includes('no weights')", "the reason")
    assert MARKUP in b.js("document.querySelector('[data-model=\"broken\"] .why pre').textContent")
    b.until("document.getElementById('log').textContent.includes(%s)" % json.dumps(MARKUP), "the engine's line in the log")
    assert b.js("document.querySelectorAll('main img, main script').length") == 0, "text became markup"
    assert b.js("document.title").startswith("aipc"), b.js("document.title")


def test_fetching_is_told():
    b = page.browser
    b.click('[data-model="fetched"] [data-act=load]')
    b.until(row("fetched") + ".includes('31 of 83 MB')", "the progress line of the prepare command")
    (page.node.folder / "go").touch()
    b.until(chip("fetched") + " === 'WARM'", "it is loaded after that")


def test_chat_by_keyboard():
    b = page.browser
    choose("steady")
    b.js("document.activeElement.blur()")
    for _ in range(120):
        b.press("Tab")
        if b.js("document.activeElement.id") == "prompt":
            break
    assert b.js("document.activeElement.id") == "prompt", "Tab does not reach the message"
    assert b.js("getComputedStyle(document.activeElement).outlineStyle") != "none", "the focus cannot be seen"
    b.js("""(() => { window.lengths = new Set(); const t = document.getElementById('talk');
      new MutationObserver(() => { const s = document.querySelector('.bubble.assistant .thinking + .said');
        if (s) window.lengths.add(s.textContent.length); }).observe(t, {childList: true, subtree: true}); })()""")
    b.type("!script frames=12 gap_ms=60")
    b.press("Enter")
    b.until(LAST + " && getComputedStyle(document.getElementById('chat-stop')).display !== 'none'", "the stop button")
    b.until("[...document.querySelectorAll('#requests tr')].some((r) => r.innerText.includes('steady'))", "the request in flight")
    answered()
    assert b.js("window.lengths.size") >= 5, "the answer came in one piece: %s" % b.js("[...window.lengths]")
    note = b.js(LAST + ".querySelector('.note').textContent")
    assert "first token after" in note and "tokens/s" in note, note
    assert b.js("document.activeElement.id") == "prompt", "the focus was lost"
    b.press("Enter", shift=True)
    b.type("x")
    assert b.js("document.getElementById('prompt').value") == "\nx", "Shift+Enter makes a line"
    b.js("document.getElementById('prompt').value = ''")


def test_stop_ends_the_answer():
    b = page.browser
    choose("steady")
    say("!script frames=400 gap_ms=50")
    b.until(LAST + ".querySelector('.thinking + .said').textContent.length > 10", "the answer began")
    b.click("#chat-stop")
    answered(5)
    assert "stopped" in b.js(LAST + ".querySelector('.note').textContent")
    plexus.wait_until("the engine's work ended", lambda: page.node.model("steady")["active"] == 0, 5)
    b.until("!" + row("steady") + ".includes('busy')", "it is not busy any more")


def test_errors_stand_in_their_place():
    b = page.browser
    b.click("#chat-clear")
    choose("broken")
    say("hello")
    answered()
    shown = b.js(LAST + ".querySelector('.error').textContent")
    assert "no weights" in shown, shown
    choose("steady")
    say("!script frames=8 gap_ms=20 cut_at_frame=3")
    answered()
    assert b.js(LAST + ".querySelector('.error').textContent")
    assert b.js(LAST + ".querySelector('.thinking + .said').textContent.length") > 0, "what had come is kept"


def test_waiting_is_honest():
    b = page.browser
    b.click("#chat-clear")
    choose("slow")
    say("!script frames=3")
    b.until(LAST + ".querySelector('.wait').offsetParent && /starting|loading/.test(" + LAST + ".querySelector('.wait').textContent)", "what it waits for")
    answered()
    assert b.js(LAST + ".querySelector('.thinking + .said').textContent.length") > 0


def test_two_texts_are_compared():
    b = page.browser
    choose("vectors")
    assert b.js("document.getElementById('chat').hidden") is True
    b.click("#compare-send")
    b.until("!document.getElementById('compare-send').disabled", "it is compared")
    assert b.js("Boolean(document.getElementById('cosine'))"), b.js("document.getElementById('compare-result').innerText")
    assert -1 <= float(b.js("document.getElementById('cosine').textContent")) <= 1


def test_log_is_filtered_and_paused():
    b = page.browser
    levels = "[...document.querySelectorAll('#log li')].map((l) => l.className)"
    pick = ("(() => { const s = document.getElementById('%s'); s.value = '%s'; s.dispatchEvent(new Event('change')) })()")
    assert "info" in b.js(levels)
    b.js(pick % ("log-level", "2"))
    assert set(b.js(levels)) <= {"warn", "error"}, b.js(levels)
    b.js(pick % ("log-level", "0"))
    b.js(pick % ("log-model", "fetched"))
    lines = b.js("[...document.querySelectorAll('#log li')].map((l) => l.textContent)")
    assert lines and all("fetched" in line for line in lines), lines
    b.js(pick % ("log-model", ""))
    b.js(pick % ("log-level", "1"))
    b.click("#log-pause")
    shown = b.js("document.querySelectorAll('#log li').length")
    page.node.post("/api/models/vectors/unload")
    b.until("/new/.test(document.getElementById('log-pause').textContent)", "new lines are counted")
    assert b.js("document.querySelectorAll('#log li').length") == shown, "a paused log moved"
    b.click("#log-pause")
    b.until("document.querySelectorAll('#log li').length > %d" % shown, "the log goes on")
    assert b.js("document.querySelectorAll('#log li').length") <= 500


def test_real_model_answers():
    if not REAL:
        return
    b = page.browser
    choose("tiny-chat")
    b.click("#chat-clear")
    prompt = json.loads((plexus.ROOT / "models/tiny-chat.prompts.jsonl").read_text().splitlines()[0])
    say(prompt["prompt"])
    answered(90)
    assert not b.js(LAST + ".querySelector('.error')"), b.js(LAST + ".innerText")
    assert b.js(LAST + ".querySelector('.thinking + .said').textContent").strip() == prompt["answer"]


def test_screens():
    b = page.browser
    SHOTS.mkdir(parents=True, exist_ok=True)
    if not REAL:
        choose("steady")
        say("!script frames=5")
        answered()
    b.until("!document.getElementById('models').innerText.includes('busy')", "all models are idle")
    b.js("scrollTo(0, 0)")
    for scheme, name in (("light", "light"), ("dark", "console")):
        b.media(prefers_color_scheme=scheme)
        b.js("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        b.screenshot(SHOTS / (name + ".png"))
    for width in (390, 320):
        b.size(width, 844, mobile=True, scale=2)
        wide = b.until("document.documentElement.clientWidth === %d && document.documentElement.scrollWidth" % width, "the phone's size")
        assert wide <= width, "%d wide on a phone of %d" % (wide, width)
    b.size(390, 844, mobile=True, scale=2)
    b.screenshot(SHOTS / "phone.png", whole=True)
    b.size(1440, 900)


def test_console_is_clean_and_stays_at_home():
    b = page.browser
    assert b.navigations == 0, "the page was loaded again"
    assert not complaints("/v1/chat/completions"), complaints("/v1/chat/completions")
    hosts = {u.split("/")[2] for u in b.hosts if not u.startswith(("data:", "about:", "blob:"))}
    assert hosts == {"127.0.0.1:%d" % page.port}, hosts


def test_a_lost_node_is_told_and_found_again():
    b = page.browser
    page.node.stop()
    b.until("document.documentElement.dataset.link === 'lost'", "disconnected is told")
    b.until("!document.getElementById('lost').hidden", "the banner")
    b.screenshot(SHOTS / "lost.png")
    page.node.start()
    b.until("document.documentElement.dataset.link === 'live'", "live again")
    assert b.js(chip("steady")) == "UNLOADED"
    assert b.navigations == 0, "the page was loaded again"


def test_a_listener_with_keys_asks_for_one():
    b = page.browser
    made = page.node.post("/api/keys", {"name": "page", "scopes": ["read", "models", "admin"]})
    assert made.status in (200, 201), made
    b.open("http://127.0.0.1:%d/" % page.keyed_port)
    b.until("document.documentElement.dataset.link === 'locked'", "a key is asked for")
    b.js("document.getElementById('key-input').focus()")
    b.type(made.json["key"])
    b.press("Enter")
    b.until("document.documentElement.dataset.link === 'live'", "live with the key")
    b.click('[data-model="steady"] [data-act=load]')
    b.until(chip("steady") + " === 'WARM'", "the key also changes things")
    choose("steady")
    say("!script frames=3")
    answered()
    assert not b.js(LAST + ".querySelector('.error')"), b.js(LAST + ".innerText")
    b.click("#forget-key")
    b.until("document.documentElement.dataset.link === 'locked'", "locked again")


if __name__ == "__main__":
    chromium = devtools.find()
    if not chromium:
        plexus.skip("no Chromium here (CHROMIUM=PATH names one)")
    if not os.path.exists(plexus.SCRIPTED):
        plexus.skip("build/tests/scripted is not built (make scripted)")
    page = Page(chromium)
    try:
        plexus.main(globals())
    finally:
        page.close()
