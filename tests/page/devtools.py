# devtools.py: a headless Chromium driven by the DevTools protocol over a WebSocket (RFC 6455) of
# our own. Standard library only.
# SPDX-License-Identifier: Apache-2.0
import base64
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync",
         "--disable-default-apps", "--disable-extensions", "--disable-dev-shm-usage", "--hide-scrollbars",
         "--remote-debugging-port=0", "about:blank")


def find():
    """Path of a Chromium, or None. CHROMIUM in the environment wins."""
    if os.environ.get("CHROMIUM"):
        return os.environ["CHROMIUM"]
    return next((p for p in map(shutil.which, NAMES) if p), None)


class WebSocket:
    def __init__(self, port, path):
        self.s = socket.create_connection(("127.0.0.1", port), 20)
        self.held = b""
        key = base64.b64encode(os.urandom(16)).decode()
        self.s.sendall(("GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\n"
                        "Connection: Upgrade\r\nSec-WebSocket-Key: %s\r\n"
                        "Sec-WebSocket-Version: 13\r\n\r\n" % (path, port, key)).encode())
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += self._take(1)
        if b" 101 " not in head.split(b"\r\n")[0]:
            raise OSError("no WebSocket: %r" % head[:100])

    def _take(self, n):
        while len(self.held) < n:
            more = self.s.recv(65536)
            if not more:
                raise OSError("the browser closed its WebSocket")
            self.held += more
        taken, self.held = self.held[:n], self.held[n:]
        return taken

    def _frame(self, opcode, data):
        mask = os.urandom(4)
        n = len(data)
        head = bytes([0x80 | opcode])
        head += (bytes([0x80 | n]) if n < 126 else
                 struct.pack("!BH", 0xFE, n) if n < 65536 else struct.pack("!BQ", 0xFF, n))
        self.s.sendall(head + mask + bytes(b ^ mask[i & 3] for i, b in enumerate(data)))

    def send(self, text):
        self._frame(1, text.encode())

    def receive(self, timeout):
        """One message, or None when none came in time."""
        self.s.settimeout(timeout)
        try:  # a part of a frame would be lost by a timeout: only the first byte may be awaited
            if not self.held:
                self.held = self.s.recv(65536)
        except (socket.timeout, BlockingIOError):
            return None
        self.s.settimeout(20)
        message = b""
        while True:
            first, second = self._take(2)
            n = second & 127
            if n == 126:
                n = struct.unpack("!H", self._take(2))[0]
            elif n == 127:
                n = struct.unpack("!Q", self._take(8))[0]
            data = self._take(n)
            if first & 15 == 9:
                self._frame(10, data)
            elif first & 15 == 8:
                raise OSError("the browser closed its WebSocket")
            elif first & 15 in (0, 1, 2):
                message += data
                if first & 128:
                    return message.decode()

    def close(self):
        self.s.close()


class Browser:
    """One browser with one page. .errors: what the page's console complained of; .hosts: where it
    sent requests; .requests: (method, url, status) of those that were answered."""

    def __init__(self, path):
        self.dir = tempfile.mkdtemp(prefix="plexus-page-")
        self.process = subprocess.Popen([path, "--user-data-dir=" + self.dir, *FLAGS],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)
        self.errors, self.hosts, self.requests, self.navigations = [], [], [], 0
        self.last, self.answers, self.sent = 0, {}, {}
        try:
            self._attach()
        except BaseException:
            self.close()
            raise

    def _attach(self):
        port_file = os.path.join(self.dir, "DevToolsActivePort")
        until = time.monotonic() + 60
        while not (os.path.exists(port_file) and "\n" in open(port_file).read()):
            if self.process.poll() is not None or time.monotonic() > until:
                raise OSError("the browser did not start")
            time.sleep(0.05)
        port, path = open(port_file).read().split("\n")[:2]
        self.socket, self.session = WebSocket(int(port), path), None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(domain + ".enable")

    def _event(self, m):
        p, method = m.get("params", {}), m["method"]
        if method == "Runtime.exceptionThrown":
            d = p["exceptionDetails"]
            self.errors.append(d.get("exception", {}).get("description") or d["text"])
        elif method == "Runtime.consoleAPICalled" and p["type"] in ("error", "assert", "warning"):
            self.errors.append(" ".join(str(a.get("value", a.get("description"))) for a in p["args"]))
        elif method == "Log.entryAdded" and p["entry"]["level"] in ("error", "warning"):
            self.errors.append("%s %s" % (p["entry"]["text"], p["entry"].get("url", "")))
        elif method == "Network.requestWillBeSent":
            self.hosts.append(p["request"]["url"])
            self.sent[p["requestId"]] = p["request"]["method"]
        elif method == "Network.responseReceived":
            r = p["response"]
            self.requests.append((self.sent.get(p["requestId"]), r["url"], r["status"]))
        elif method == "Page.frameNavigated":
            self.navigations += 1

    def pump(self, timeout):
        raw = self.socket.receive(timeout)
        if raw is None:
            return False
        m = json.loads(raw)
        if "id" in m:
            self.answers[m["id"]] = m
        else:
            self._event(m)
        return True

    def call(self, method, **params):
        self.last += 1
        message = {"id": self.last, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        self.socket.send(json.dumps(message))
        until = time.monotonic() + 60
        while self.last not in self.answers:
            self.pump(1)
            if time.monotonic() > until:
                raise TimeoutError(method)
        answer = self.answers.pop(self.last)
        if "error" in answer:
            raise RuntimeError("%s: %s" % (method, answer["error"]["message"]))
        return answer["result"]

    def js(self, expression):
        r = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in r:
            d = r["exceptionDetails"]
            raise RuntimeError("%s in %s" % (d.get("exception", {}).get("description", d["text"]), expression))
        return r["result"].get("value")

    def until(self, expression, what, seconds=20):
        """Waits until the expression is true in the page; gives its value."""
        until = time.monotonic() + seconds
        while True:
            try:
                value, why = self.js(expression), ""
            except RuntimeError as e:  # the page is between two documents
                value, why = None, "; " + str(e)
            if value:
                return value
            if time.monotonic() > until:
                raise AssertionError("after %g s still not: %s%s" % (seconds, what, why))
            self.pump(0.05)

    def open(self, url):
        self.call("Page.navigate", url=url)

    def size(self, width, height, mobile=False, scale=1):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height,
                  deviceScaleFactor=scale, mobile=mobile)
        self.call("Emulation.setTouchEmulationEnabled", enabled=mobile)

    def media(self, **features):
        self.call("Emulation.setEmulatedMedia",
                  features=[{"name": k.replace("_", "-"), "value": v} for k, v in features.items()])

    def click(self, selector):
        """A real click in the middle of the element, as soon as it can be clicked."""
        self.until("(() => { const e = document.querySelector(%s); return e && !e.disabled })()"
                   % json.dumps(selector), selector + " can be clicked", 10)
        box = self.js("(() => { const e = document.querySelector(%s); if (!e) return null;"
                      "e.scrollIntoView({block: 'center'}); const r = e.getBoundingClientRect();"
                      "return [r.x + r.width / 2, r.y + r.height / 2, r.width * r.height] })()"
                      % json.dumps(selector))
        if not box or not box[2]:
            raise AssertionError("nothing to click: " + selector)
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=box[0], y=box[1], button="left", clickCount=1)

    def type(self, text):
        self.call("Input.insertText", text=text)

    def press(self, key, shift=False):
        code = {"Enter": 13, "Tab": 9, "Escape": 27}.get(key, 0)
        common = {"key": key, "code": key, "windowsVirtualKeyCode": code, "modifiers": 8 if shift else 0}
        text = {"text": "\r"} if key == "Enter" else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", **common, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    def screenshot(self, path, whole=False):
        png = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole,
                        **({"clip": self._whole()} if whole else {}))["data"]
        with open(path, "wb") as f:
            f.write(base64.b64decode(png))

    def _whole(self):
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        return {"x": 0, "y": 0, "width": size["width"], "height": min(size["height"], 6000), "scale": 1}

    def close(self):
        try:  # asked first: its helpers then end with it
            self.session = None
            self.call("Browser.close")
            self.process.wait(10)
        except (OSError, AttributeError, RuntimeError, TimeoutError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait()
        if hasattr(self, "socket"):
            self.socket.close()
        shutil.rmtree(self.dir, ignore_errors=True)


if __name__ == "__main__":  # devtools.py URL FILE [WIDTHxHEIGHT [light]]: a picture of the console
    url, file = sys.argv[1:3]
    width, height = map(int, (sys.argv[3] if len(sys.argv) > 3 else "1440x900").split("x"))
    browser = Browser(find())
    try:
        browser.media(prefers_color_scheme="light" if "light" in sys.argv[4:] else "dark")
        browser.size(width, height, mobile=width < 500, scale=2 if width < 500 else 1)
        browser.open(url)
        browser.until("document.documentElement.dataset.link === 'live'", "the page is live")
        browser.screenshot(file)
    finally:
        browser.close()
