#!/usr/bin/env python3
# flows_test.py: flows on the console's page: a real node and a headless Chromium: a flow is written with its
# findings, started, watched, signalled, mended and ended there. Screenshots go to build/page/. timeout: 240
# SPDX-License-Identifier: Apache-2.0
import json
import os
import pathlib
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "flows"), str(HERE.parent / "lib")]
import devtools
import flowkit as flows
import plexus

SHOTS = plexus.ROOT / "build/page"
REAL = os.path.exists(plexus.LLAMA) and os.path.exists(plexus.TINY)
LONG = """document: { dsl: 1.0.3, namespace: shop, name: library, version: 1.0.0 }
do:
  - read:
      run: { shell: { command: "printf '%s' 'one,two,three'" } }
      output: { as: '${ { parts: split(",") } }' }
  - each:
      for: { each: part, in: .parts }
      do:
        - count: { set: '${ . + { n: ((.n // 0) + 1) } }' }
  - size:
      switch:
        - small: { when: .n < 2, then: done }
        - large: { then: ask }
  - ask:
      fork:
        compete: true
        branches:
          - person:
              listen: { to: { one: { with: { type: org.example.go } } } }
              output: { as: '${ $input + .[0] }' }
          - late: { wait: { days: 2 }, then: end }
  - keep:
      try:
        - save:
            run: { shell: { command: 'test "$1" = good', arguments: ['${ .word // "bad" }'] } }
      catch:
        errors: { with: { status: 599 } }
        do:
          - tell: { emit: { event: { with: { source: https://example.org/, type: org.example.bad } } } }
      output: { as: '${ $input }' }
  - done: { set: '${ . + { done: true } }' }
"""
page = None


class Page:
    def __init__(self, path):
        self.node = flows.node(with_models=REAL, more={"slow": {
            "engine": "command", "command": plexus.scripted(name="slow"), "kind": "chat", "health": "/health", "memory": "16MiB"}})
        self.browser = devtools.Browser(path)

    def close(self):
        self.browser.close()
        self.node.__exit__(None, None, None)


def task(name):
    return "[...document.querySelectorAll('.task')].find((t) => t.dataset.task.endsWith('/%s'))" % name


def state(name):
    return "(%s || {dataset: {}}).dataset.state" % task(name)


def value(selector, text):
    page.browser.js("(() => { const e = document.querySelector(%s); e.value = %s;"
                    "e.dispatchEvent(new Event('input')); e.dispatchEvent(new Event('change')) })()" % (json.dumps(selector), json.dumps(text)))


def test_findings_come_while_it_is_written():
    b = page.browser
    b.media(prefers_color_scheme="dark")
    b.size(1500, 1300)
    b.open("http://127.0.0.1:%d/" % page.node.port)
    b.until("!document.getElementById('flows-run').hidden", "the button")
    b.click("#flows-run")
    b.until("document.getElementById('start').open", "the form")
    b.until("document.getElementById('start-state').textContent.endsWith('well')", "the starter is well")
    value("#start-text", LONG.replace("switch:", "swich:"))
    b.until("document.querySelectorAll('#start-findings li').length > 0", "findings")
    assert b.js("document.getElementById('start-go').disabled"), "a bad document can be run"
    b.click("#start-findings button")
    assert b.js("document.activeElement.id === 'start-text' && document.getElementById('start-text').selectionStart > 0")
    b.screenshot(SHOTS / "flow-start.png")


def test_it_is_started_and_drawn():
    b = page.browser
    value("#start-text", LONG)
    b.until("!document.getElementById('start-go').disabled", "it is well again")
    b.click("#start-go")
    b.until("document.querySelectorAll('.task').length === 11", "the picture")
    b.until(state("person") + " === 'waiting'", "it listens")
    assert b.js(state("read")) == "completed" and b.js(state("done")) == "pending"
    assert b.js(task("each") + ".querySelector('.sub').textContent").startswith("for")
    assert b.js(task("count") + ".textContent").find("×3") > 0, b.js(task("count") + ".textContent")
    assert b.js("location.hash").startswith("#flow/")


def test_a_task_tells_what_went_in_and_out():
    b = page.browser
    b.js(task("read") + ".focus()")
    b.press("Enter")
    b.until("document.getElementById('flow-what').textContent === 'read'", "the task")
    assert b.js("document.getElementById('flow-values').innerText").find('"three"') > 0
    b.press("Enter")
    b.until("document.getElementById('flow-what').textContent === 'The whole run'", "the run")


def signal(word):
    b = page.browser
    b.click("#flow-signal")
    b.until("document.activeElement.id === 'flow-type'", "the form")
    value("#flow-type", "org.example.go")
    value("#flow-value", json.dumps({"word": word}))
    b.js("document.getElementById('flow-form').requestSubmit()")


def test_a_signal_lets_it_go_on_and_it_fails():
    b = page.browser
    signal("bad")
    b.until("document.getElementById('flow-chip').textContent.includes('faulted')", "it failed")
    assert b.js(state("save")) == "faulted" and b.js(state("late")) == "cancelled"
    b.js(task("save") + ".dispatchEvent(new MouseEvent('click', {bubbles: true}))")
    b.until("document.getElementById('flow-values').innerText.includes('runtime')", "its error")
    b.screenshot(SHOTS / "flow-faulted.png")


def test_it_is_mended_by_another_input():
    b = page.browser
    b.click("#task-edit")
    b.until("document.activeElement.id === 'flow-value'", "the form")
    assert json.loads(b.js("document.getElementById('flow-value').value"))["word"] == "bad"
    value("#flow-value", json.dumps({"word": "good", "n": 3}))
    b.js("document.getElementById('flow-form').requestSubmit()")
    b.until("document.getElementById('flow-chip').textContent.includes('completed')", "it is done")
    assert b.js(state("done")) == "completed"


def test_history_and_document():
    b = page.browser
    b.js("document.querySelector('[data-tab=history]').click()")
    b.until("document.querySelectorAll('#flow-history tr').length > 10", "entries")
    words = b.js("document.getElementById('flow-history').innerText")
    assert "started" in words and "hand" in words and "end" in words, words[:500]
    b.js("document.querySelector('[data-tab=document]').click()")
    b.until("document.getElementById('flow-document').textContent.includes('library')", "the document")
    b.js("document.querySelector('[data-tab=graph]').click()")


def test_pause_resume_and_end():
    b = page.browser
    made = page.node.post("/api/flows", {"document": LONG, "id": "by-hand"}).json
    assert made["id"] == "by-hand", made
    b.until("Boolean(document.querySelector('[data-run=\"by-hand\"]'))", "its row")
    b.click('[data-run="by-hand"] .row-open')
    b.until(state("person") + " === 'waiting'", "it listens")
    b.click("#flow-pause")
    b.until("document.getElementById('flow-chip').textContent.includes('suspended')", "it rests")
    b.click("#flow-resume")
    b.until("/waiting|running/.test(document.getElementById('flow-chip').textContent)", "it goes on")
    b.click("#flow-terminate")
    b.until("document.getElementById('flow-chip').textContent.includes('terminated')", "it is over")
    value("#flows-status", "terminated")
    b.until("document.querySelectorAll('#flows tr').length === 1", "only that one")
    value("#flows-status", "")


def test_a_models_text_is_seen_as_it_comes():
    b = page.browser
    document = """document: { dsl: 1.0.3, namespace: default, name: writer, version: 1.0.0 }
do:
  - write:
      call: model
      with: { model: slow, prompt: '!script frames=60 gap_ms=100' }
"""
    page.node.post("/api/flows", {"document": document, "id": "writer"})
    b.until("Boolean(document.querySelector('[data-run=\"writer\"]'))", "its row")
    b.click('[data-run="writer"] .row-open')
    b.until(state("write") + " === 'running' && " + task("write") + ".textContent.includes('…')", "its text", 60)
    page.node.post("/api/flows/writer/cancel")
    b.until("document.getElementById('flow-chip').textContent.includes('cancelled')", "it is over")


def test_screens():
    b = page.browser
    if REAL:
        page.node.post("/api/flows", {"document": flows.EXAMPLES.joinpath("nightly-digest.yaml").read_text()})
    page.node.post("/api/flows", {"document": flows.EXAMPLES.joinpath("approval.yaml").read_text(), "id": "order-17"})
    page.node.post("/api/flows", {"document": LONG, "id": "library-7"})
    b.until("Boolean(document.querySelector('[data-run=\"library-7\"]'))", "its row")
    b.click('[data-run="library-7"] .row-open')
    b.until(state("person") + " === 'waiting'", "it listens")
    b.js(task("read") + ".dispatchEvent(new MouseEvent('click', {bubbles: true}))")
    SHOTS.mkdir(parents=True, exist_ok=True)
    for scheme, name in (("light", "flows-light"), ("dark", "flows")):
        b.media(prefers_color_scheme=scheme)
        b.js("document.getElementById('flows-panel').scrollIntoView()")
        b.js("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        b.screenshot(SHOTS / (name + ".png"))
    b.size(420, 900)
    b.js("document.getElementById('flow').scrollIntoView()")
    assert b.js("document.documentElement.scrollWidth <= innerWidth"), "the page is wider than a phone"
    b.screenshot(SHOTS / "flows-phone.png")


def test_console_is_clean():
    b = page.browser
    noise = [e for e in b.errors if "400 (Bad Request)" not in e]
    assert not noise, noise


def main():
    global page
    path = devtools.find()
    if not path:
        plexus.skip("no Chromium here")
    SHOTS.mkdir(parents=True, exist_ok=True)
    page = Page(path)
    try:
        for name, test in list(globals().items()):
            if name.startswith("test_"):
                began = time.monotonic()
                test()
                print("ok  %8.2f s  %s" % (time.monotonic() - began, name[5:]), flush=True)
        print("all passed")
    except BaseException:
        page.browser.screenshot(SHOTS / "flows-failure.png")
        print(page.browser.errors, page.node.log()[-3000:], file=sys.stderr)
        raise
    finally:
        page.close()


if __name__ == "__main__":
    main()
