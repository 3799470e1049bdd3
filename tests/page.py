"""Ranks: 1. The live page in headless Chromium, driven by its DevTools: a question is typed and answered, tokens show
where they come from, nothing is wider than the window, keys do what they say, and both colour schemes differ.
   page.py PILOTFISH TINY
"""
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request

import websocket

pilotfish, tiny = sys.argv[1:3]


def eventually(holds, what, patience_s=30):
    end = time.monotonic() + patience_s
    while not (value := holds()):
        assert time.monotonic() < end, f"not within {patience_s} s: {what}"
        time.sleep(0.05)
    return value


class Page:
    def __init__(self, folder):
        command = ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0",
                   "--remote-allow-origins=*", f"--user-data-dir={folder}", "about:blank"]
        self.browser = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        found = next(m for m in (re.search(r"ws://([^/]+)/", line) for line in self.browser.stderr) if m)
        tabs = json.load(urllib.request.urlopen(f"http://{found[1]}/json", timeout=30))
        self.socket = websocket.create_connection(
            next(t for t in tabs if t["type"] == "page")["webSocketDebuggerUrl"], timeout=120)
        self.n, self.errors = 0, []
        for part in ("Runtime", "Log", "Page"):
            self.call(f"{part}.enable")

    def call(self, method, **parameters):
        self.n += 1
        self.socket.send(json.dumps({"id": self.n, "method": method, "params": parameters}))
        while (reply := json.loads(self.socket.recv())).get("id") != self.n:
            if reply["method"] in ("Runtime.exceptionThrown", "Log.entryAdded"):
                self.errors.append(reply["params"])
        return reply["result"]

    def js(self, expression):
        return self.call("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def size(self, width, height):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def scheme(self, name):
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": name}])

    def press(self, key, code):
        text = {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **text)

    def ask(self, text):
        self.call("Input.insertText", text=text)
        self.press("Enter", 13)


def check_page(page, url):
    page.size(1400, 900)
    page.call("Page.navigate", url=url)
    eventually(lambda: page.js("at('state')?.textContent.startsWith('big: 0 of 2 running')"), "the cluster's state")
    boxes = page.js("at('map').querySelectorAll('rect').length")
    assert boxes == 3, f"{boxes} boxes: a coordinator, a drafter, a verifier"
    page.js("at('tokens').value = 60")
    assert page.js("document.activeElement.id") == "message", "the focus is where one types"
    page.ask("first question")
    eventually(lambda: page.js("!at('send').disabled && at('talk').querySelectorAll('span').length > 20"), "an answer")
    for origin in ("draft", "correction", "big"):
        assert page.js(f"at('talk').querySelectorAll('.{origin}').length"), f"no token of {origin}"
    title = page.js("at('talk').querySelector('.correction').title")
    assert re.fullmatch(r"correction, probability [0-9.]+ %, rank 1", title), title
    assert re.search(r"drafts accepted, [1-9]\d* judged wrong and taken back", page.js("at('verifies').textContent"))
    eventually(lambda: "% of" in page.js("at('accepted-now').textContent"), "drafts are counted")
    page.js("at('tokens').value = 100000")
    page.ask("second question")
    eventually(lambda: page.js("document.querySelectorAll('.turn.user').length === 2 && !at('stop').disabled"), "a turn")
    page.press("Escape", 27)
    eventually(lambda: page.js("at('talk').lastChild.textContent === 'stopped'"), "Escape stops")
    colours = set()
    for width, scheme in ((1400, "light"), (400, "dark")):
        page.size(width, 900)
        page.scheme(scheme)
        wide = page.js("document.documentElement.scrollWidth")
        assert wide <= width, f"{wide} pixels are wider than {width}"
        colours.add(page.js("getComputedStyle(document.body).backgroundColor"))
    assert len(colours) == 2, colours
    page.press("Tab", 9)
    assert page.js("document.activeElement.id") == "tokens", "Tab goes on to the settings"
    assert not page.errors, page.errors


def main():
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        os.chdir(folder)
        subprocess.run([tiny, "big.gguf", "--ctx", "4096"], check=True)
        subprocess.run([tiny, "little.gguf", "--ctx", "4096", "--left-out", "2"], check=True)
        command = [pilotfish, "serve", "--big", "big.gguf", "--little", "little.gguf", "--port", "0", "--parallel", "2",
                   "--net-delay", "2", "--guard", "off", "--ignore-eos"]
        server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        url = next(m for m in (re.match(r"ready: .* on (\S+)", line) for line in server.stderr) if m)[1]
        page = Page(os.path.join(folder, "browser"))
        try:
            check_page(page, url + "/")
        finally:
            page.browser.terminate()
            page.browser.wait(20)
            server.terminate()
        assert server.wait(20) == 0, "the server"
    print("the page is right")


main()
