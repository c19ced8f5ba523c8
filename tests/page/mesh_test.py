#!/usr/bin/env python3
# mesh_test.py: the mesh on the console's page: three real nodes and a headless Chromium; machines come, drain,
# die and are removed while the page stays open. Screenshots go to build/page/. timeout: 240
# SPDX-License-Identifier: Apache-2.0
import json
import os
import pathlib
import signal
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "lib")]
import devtools
import plexus

SHOTS = plexus.ROOT / "build/page"
NAMES = ("one", "two", "three")


def configuration(name, port):
    return {"node": {"name": name, "context": "dev.aipc." + name}, "memory": {"budget": "256MiB"},
            "listen": {"api": "127.0.0.1:%d" % port, "mesh": "127.0.0.1:%d" % plexus.free_port()},
            "models": {"of-" + name: {"engine": "command", "kind": "chat", "health": "/health", "memory": "16MiB",
                                      "command": plexus.scripted(name="of-" + name), "idle": "5m"}}}


class Page:
    def __init__(self, path):
        self.nodes = {name: plexus.Node(configuration(name, plexus.free_port())) for name in NAMES}
        self.browser = devtools.Browser(path)

    def close(self):
        self.browser.close()
        for node in self.nodes.values():
            node.__exit__(None, None, None)


page = None


def hub(name):
    return "document.querySelector('.hub[data-node=\"%s\"]')" % name


def card(name):
    return "document.querySelector('[data-card=\"%s\"]')" % name


def state(name):
    return "(%s || {dataset: {}}).dataset.state" % card(name)


def wait_cards(count):
    page.browser.until("document.querySelectorAll('.hub').length === %d" % count, "%d nodes in the picture" % count)


def join(name, line):
    words = line.split()
    assert words[:2] == ["plexus", "join"], line
    page.nodes[name].command(*words[1:])


def test_alone_it_is_calm():
    b = page.browser
    b.media(prefers_color_scheme="dark")
    b.size(1440, 1000)
    b.open("http://127.0.0.1:%d/" % page.nodes["one"].port)
    b.until("document.documentElement.dataset.mesh === 'one'", "the mesh of one")
    assert b.js("document.querySelectorAll('.hub').length") == 1
    assert b.js("%s.getAttribute('aria-label').startsWith('one, this node, alive')" % hub("one"))
    assert b.js("!document.getElementById('mesh-alone').hidden && document.getElementById('nodes-box').hidden")
    assert b.js("document.getElementById('mesh-add').hidden"), "no authority yet: nothing to join with"
    assert b.js("document.querySelector('#mesh-picture').innerHTML.includes('of-one')")
    b.screenshot(SHOTS / "mesh-one.png")
    b.navigations = 0


def test_a_machine_is_added_by_the_button():
    b = page.browser
    page.nodes["one"].command("mesh", "init", "--domain", "home.internal")
    b.until("document.getElementById('mesh-name').textContent === 'home.internal'", "the mesh's name")
    b.click("#mesh-add")
    b.until("document.getElementById('join-line').value.startsWith('plexus join 127.0.0.1:')", "the line to run")
    join("two", b.js("document.getElementById('join-line').value"))
    wait_cards(2)
    assert b.js("document.documentElement.dataset.mesh") == "many"
    b.click("#join-close")
    assert b.js("document.getElementById('join').hidden && !document.getElementById('join-line').value"), "the token stays"
    token = page.nodes["one"].command("token", "new")
    join("three", token.stderr.split("once: ")[1])
    wait_cards(3)
    b.until(state("three") + " === 'alive'", "its card")
    assert b.navigations == 0, "the page was loaded again"


def test_another_nodes_model_answers_here():
    b = page.browser
    b.until("[...document.querySelectorAll('#try-model option')].some((o) => o.value === 'of-three')", "it can be chosen")
    b.js("(() => { const s = document.getElementById('try-model'); s.value = 'of-three';"
         "s.dispatchEvent(new Event('change')) })()")
    b.js("document.getElementById('prompt').focus()")
    b.type("!script frames=30 gap_ms=100")
    b.press("Enter")
    b.until("Boolean(document.querySelector('.line.traffic.cognitive.busy .beads.moving'))", "the traffic moves")
    b.until(card("three") + ".innerText.includes('1 active') || " + card("three") + ".innerText.includes('1 of')", "its load")
    b.screenshot(SHOTS / "mesh-three.png")
    b.until("document.getElementById('chat-stop').hidden", "the answer ended")
    last = "[...document.querySelectorAll('.bubble.assistant')].pop()"
    assert not b.js(last + ".querySelector('.error')"), b.js(last + ".innerText")
    b.until("!document.querySelector('.line.traffic.busy')", "and rests")
    assert b.js("document.querySelector('.line.traffic').getAttribute('class').includes('async')"), "lately: dashed"


def test_keyboard_goes_through_the_picture():
    b = page.browser
    assert b.js("document.querySelectorAll('.hub[tabindex=\"0\"]').length") == 1, "one stop for Tab"
    b.js("document.activeElement.blur()")
    b.js(hub("one") + ".focus()")
    b.press("ArrowRight")
    right = b.js("document.activeElement.dataset.node")
    assert right in ("two", "three"), right
    b.until("!document.querySelector('.tip').hidden && document.querySelector('.tip').innerText.includes('%s')" % right, "what it is")
    b.press("ArrowLeft")
    assert b.js("document.activeElement.dataset.node") == "one"
    b.press("ArrowRight")
    b.press("Enter")
    b.until("%s.classList.contains('open')" % card(right), "its card opens")
    assert "spiffe://home.internal/node/" + right in b.js(card(right) + ".innerText")
    b.click("[data-card=%s] [data-act=more]" % right)
    assert not b.js("%s.classList.contains('open')" % card(right))


def test_drain_and_undrain():
    b = page.browser
    b.click("[data-card=two] [data-act=drain]")
    b.until(state("two") + " === 'draining'", "draining is told")
    assert "draining" in b.js(hub("two") + ".getAttribute('class')")
    nodes = page.nodes["three"].get("/api/mesh").json["nodes"]
    plexus.wait_until("the others know", lambda: next(n for n in page.nodes["three"].get("/api/mesh").json["nodes"]
                                                      if n["name"] == "two")["draining"])
    assert len(nodes) == 3
    b.until("!document.querySelector('[data-card=two] [data-act=drain]').disabled", "it can be taken back")
    b.click("[data-card=two] [data-act=drain]")
    b.until(state("two") + " === 'alive'", "work again")


def test_a_dead_node_is_seen_and_found():
    b = page.browser
    page.nodes["three"].process.send_signal(signal.SIGKILL)
    page.nodes["three"].process.wait()
    b.until(state("three") + " === 'dead'", "dead is told", 10)
    assert b.js("document.querySelector('.hub[data-node=three] .mark').getAttribute('d').length > 5"), "not by colour alone"
    b.until("document.getElementById('announce').textContent.includes('three is dead')", "and said aloud", 5)
    b.click('#mesh-states [data-state="dead"]')
    b.until("document.querySelectorAll('.node').length === 1", "only the dead")
    b.click('#mesh-states [data-state="dead"]')
    b.until("document.querySelectorAll('.node').length === 3", "all again")


def test_removing_asks_first():
    b = page.browser
    b.click("[data-card=three] [data-act=remove]")
    b.until("document.getElementById('remove').open", "the question")
    b.press("Escape")
    b.until("!document.getElementById('remove').open", "it is closed by Escape")
    assert [n["state"] for n in page.nodes["one"].get("/api/mesh").json["nodes"] if n["name"] == "three"] == ["dead"]
    b.click("[data-card=three] [data-act=remove]")
    b.click("#remove-yes")
    b.until("!%s || %s === 'removed'" % (hub("three"), state("three")), "it is gone")
    states = {n["name"]: n["state"] for n in page.nodes["two"].get("/api/mesh").json["nodes"]}
    assert states.get("three", "removed") == "removed", states


def test_layout_is_readable_at_every_size():
    """No two hubs overlap, all stay inside, and the same nodes give the same picture."""
    got = page.browser.js("""import('/assets/layout.js').then(({layout}) => {
      const bad = [];
      for (const n of [1, 2, 3, 5, 7, 8, 12, 24, 40, 64]) for (const width of [310, 350, 600, 700, 930, 1300]) {
        const nodes = Array.from({length: n}, (_, i) => ({name: `node${i}`, context: `dev.c${i % 3}.n${i}`,
          models: Array.from({length: i % 9}, (_, k) => ({name: `m${k}`, state: 'WARM'})), engines: [{name: 'e'}]}));
        const l = layout(nodes, 'node0', width), again = layout([...nodes].reverse(), 'node0', width);
        if (JSON.stringify(l) !== JSON.stringify(again)) bad.push(`${n} at ${width}: not the same`);
        if (l.places.length !== n) bad.push(`${n} at ${width}: ${l.places.length} placed`);
        l.places.forEach((p, i) => {
          if (p.x - p.r < 0 || p.x + p.r > width || p.y - p.r < 0 || p.y + p.r > l.height) bad.push(`${n} at ${width}: ${p.node.name} outside`);
          for (const q of l.places.slice(0, i))
            if (Math.hypot(p.x - q.x, p.y - q.y) < p.r + q.r + 8) bad.push(`${n} at ${width}: ${p.node.name} on ${q.node.name}`);
          for (const s of p.spots) if (s.y < 0 || s.y > l.height) bad.push(`${n} at ${width}: a name outside`);
        });
      }
      return bad;
    })""")
    assert got == [], got


def test_it_fits_a_phone_and_rests_when_asked():
    b = page.browser
    for width in (390, 320):
        b.size(width, 844, mobile=True, scale=2)
        wide = b.until("document.documentElement.clientWidth === %d && document.documentElement.scrollWidth" % width, "the phone's size")
        assert wide <= width, "%d wide on a phone of %d" % (wide, width)
        b.until("document.querySelector('.picture').getAttribute('width') < %d" % width, "the picture is drawn anew")
    b.screenshot(SHOTS / "mesh-phone.png")
    b.size(1440, 1000)
    b.media(prefers_color_scheme="light", prefers_reduced_motion="reduce")
    moving = """(() => { const p = document.createElementNS('http://www.w3.org/2000/svg', 'path');
      p.setAttribute('class', 'beads moving'); document.querySelector('.picture').append(p);
      const name = getComputedStyle(p).animationName; p.remove(); return name })()"""
    assert b.js(moving) == "none"
    b.media(prefers_color_scheme="light")
    assert b.js(moving) == "beads"
    b.screenshot(SHOTS / "mesh-light.png")


def test_console_is_clean():
    b = page.browser
    assert b.navigations == 0, "the page was loaded again"
    assert not b.errors, b.errors
    hosts = {u.split("/")[2] for u in b.hosts if not u.startswith(("data:", "about:", "blob:"))}
    assert hosts == {"127.0.0.1:%d" % page.nodes["one"].port}, hosts


def test_who_may_only_look_is_told_so():
    b = page.browser
    node = page.nodes["one"]
    key = node.new_key("looker", scopes=["read"])["key"]
    node.config["listen"]["api"] = [node.config["listen"]["api"], {"address": "127.0.0.1:%d" % plexus.free_port(), "keys": "required"}]
    node.write()
    node.command("config", "reload")
    b.open("http://%s/" % node.config["listen"]["api"][1]["address"])
    b.until("document.documentElement.dataset.link === 'locked'", "a key is asked for")
    b.js("document.getElementById('key-input').focus()")
    b.type(key)
    b.press("Enter")
    wait_cards(2)
    b.click("[data-card=two] [data-act=drain]")
    b.until("document.getElementById('toasts').innerText.includes('scope admin')", "why not")
    assert not json.loads(node.owner("GET", "/api/mesh").body)["nodes"][1]["draining"]


if __name__ == "__main__":
    chromium = devtools.find()
    if not chromium:
        plexus.skip("no Chromium here (CHROMIUM=PATH names one)")
    if not os.path.exists(plexus.SCRIPTED):
        plexus.skip("build/tests/scripted is not built (make scripted)")
    SHOTS.mkdir(parents=True, exist_ok=True)
    page = Page(chromium)
    try:
        plexus.main(globals())
    finally:
        page.close()
