#!/usr/bin/env python3
# tools_test.py: tools on the console's page: a real node and a headless Chromium: what may be called, a call that is
# refused, a person's yes, calls as they happen, and taking it back. Screenshots go to build/page/. timeout: 120
# SPDX-License-Identifier: Apache-2.0
import json
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "lib")]
import devtools
import plexus

SHOTS = plexus.ROOT / "build/page"
page = None


class Page:
    def __init__(self, path):
        self.node = plexus.Node({"node": {"name": "here", "context": "dev.here.tools"}, "models": {},
                                 "tools": {"folders": [{"path": "work", "write": True}]}}, start=False)
        (self.node.folder / "work").mkdir()
        (self.node.folder / "work/list.txt").write_text("remember the milk\n")
        self.node.start()
        self.browser = devtools.Browser(path)

    def close(self):
        self.browser.close()
        self.node.__exit__(None, None, None)


def row(name):
    return "document.querySelector('#tools tr[data-tool=\"%s\"]')" % name


def fill(selector, text):
    page.browser.js("(() => { const e = document.querySelector(%s); e.value = %s; e.dispatchEvent(new Event('input')) })()"
                    % (json.dumps(selector), json.dumps(text)))


def test_the_list():
    b = page.browser
    b.media(prefers_color_scheme="dark")
    b.size(1400, 1300)
    b.open("http://127.0.0.1:%d/" % page.node.port)
    b.until(row("read_file") + " !== null", "the list")
    assert "allowed" in b.js(row("read_file") + ".textContent"), "reading needs no yes"
    assert "asks" in b.js(row("bash") + ".textContent"), "bash does"
    fill("#tools-find", "bash")
    b.until("document.querySelectorAll('#tools tr').length === 1", "one fits")
    fill("#tools-find", "")
    b.until("document.querySelectorAll('#tools tr').length > 5", "all again")


def test_a_call():
    b = page.browser
    b.js(row("read_file") + ".click()")
    b.until("!document.getElementById('tool').hidden", "the tool")
    assert b.js("document.getElementById('tool-about').textContent").strip()
    fill("#tool-input", '{"path": "list.txt"}')
    b.click("#tool-call")
    b.until("document.getElementById('tool-answer').textContent.startsWith('remember the milk')", "its answer")
    b.until("document.querySelector('#tool-calls tr').textContent.includes('read_file')", "the call")
    fill("#tool-input", '{"path": ')
    b.click("#tool-call")
    b.until("document.querySelector('.toast.bad') !== null", "what is no JSON is said")


def test_refused_then_allowed():
    b = page.browser
    b.js(row("bash") + ".click()")
    b.until("document.getElementById('tool-h').textContent === 'bash'", "the tool")
    assert b.js("document.querySelectorAll('#tool-permissions li').length") >= 3
    fill("#tool-input", '{"command": "wc -w list.txt"}')
    b.click("#tool-call")
    b.until("document.getElementById('tool-answer').textContent.includes('nobody granted bash')", "it is refused")
    b.until("document.querySelector('#tool-calls tr .chip').textContent === 'denied'", "and told so")
    b.js("document.getElementById('tool-yes').click()")
    b.click("#tool-call")
    b.until("document.getElementById('tool-answer').textContent.includes('3 list.txt')", "once, with a yes")
    b.click("#tool-grant")
    b.until("!document.getElementById('tool-revoke').hidden", "it is allowed")
    b.until(row("bash") + ".textContent.includes('allowed')", "the list says so")
    b.click("#tool-call")
    b.until("document.querySelectorAll('#tool-calls tr').length >= 4", "it runs")
    b.until("document.querySelector('#tool-calls tr .chip').textContent === 'ok'", "and is well")
    b.screenshot(SHOTS / "tools.png")
    b.click("#tool-revoke")
    b.until("!document.getElementById('tool-grant').hidden", "it is taken back")


def test_a_name_is_text():
    b = page.browser
    page.node.ask("POST", "/api/tools/read_file/call", {"input": {"path": "<img src=x onerror=alert(1)>"}})
    b.until("document.querySelectorAll('#tool-calls tr').length >= 5", "the call")
    assert b.js("document.querySelector('#tools-panel img') === null")


def test_on_a_phone():
    b = page.browser
    b.size(390, 1400)
    b.until("document.documentElement.scrollWidth <= 390", "nothing is wider than the screen")
    b.screenshot(SHOTS / "tools-phone.png")


def main():
    global page
    path = devtools.find()
    if not path:
        plexus.skip("there is no Chromium here")
    SHOTS.mkdir(parents=True, exist_ok=True)
    page = Page(path)
    try:
        plexus.main(globals())
    finally:
        page.close()


if __name__ == "__main__":
    main()
