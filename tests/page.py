"""Ranks: 1. The live page in headless Chromium, driven by its DevTools: a question is typed and answered, tokens show
where they come from, nothing is wider than the window, keys do what they say, and both colour schemes differ. And the
page of scripts/report, as it is drawn.
   page.py PILOTFISH TINY SCRIPTS
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

pilotfish, tiny, scripts = map(os.path.abspath, sys.argv[1:4])


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
        return self.call("Runtime.evaluate", expression=expression, returnByValue=True,
                         awaitPromise=True)["result"].get("value")

    def picture(self, box):
        return self.call("Page.captureScreenshot", clip={**box, "scale": 1}, captureBeyondViewport=True)["data"]

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
    eventually(lambda: all(page.js(f"at('spans').querySelectorAll('.{kind}').length")
                           for kind in ("draft", "flight", "verify")), "drafts, flights and verifies are drawn")
    said = page.js("at('spans-now').textContent")
    assert re.search(r"\d+ × draft, [0-9.]+ ms each; \d+ × flight, [0-9.]+ ms each; \d+ × verify", said), said
    eventually(lambda: "% of" in page.js("at('accepted-now').textContent"), "drafts are counted")
    page.js("at('tokens').value = 100000")
    page.ask("second question")
    eventually(lambda: page.js("document.querySelectorAll('.turn.user').length === 2 && !at('stop').disabled"),
               "a turn")
    page.press("Escape", 27)
    eventually(lambda: page.js("at('talk').lastChild.textContent === 'stopped'"), "Escape stops")
    page.js("drawMap([{role: 'verifier', rank: 12, group: 1, stage: 3, shard: 2, host: 'host-of-16-chars', "
            "rtt_ms: 123.4, weights_bytes: 1e11}])")
    texts = page.js("[...at('map').querySelectorAll('text')]"
                    ".map(t => [t.textContent, t.getBBox().x + t.getBBox().width])")
    assert all(end < 396 for _, end in texts), f"beyond their box: {texts}"
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


def report_rows():
    """Simulated; the same as if run; and of scripts/figures bild."""
    words = ["simulate", "--synthetic", "tD=8,tT=30", "--accept-rate", "0.5,0.9", "--net-delay", "0,20", "-n", "64",
             "--texts", "2", "-o", "jsonl"]
    text = subprocess.run([pilotfish, *words], capture_output=True, text=True, check=True, timeout=60).stdout
    rows = [json.loads(line) for line in text.splitlines()]
    rows += [{**row, "source": "timed"} for row in rows]
    for rtt_ms in 0.0, 80.0:
        rows += [{"figure": "bild", "kind": "qa", "fallback": fallback, "rollback": "3", "prompts": 2, "rtt_ms": rtt_ms,
                  "speed": 1.5 - float(fallback), "speed_exact": 1.2 - rtt_ms / 100, "over_exact": 1.1, "bleu": 50.0,
                  "rouge_l": .3 + float(fallback), "exact": .5, "lp_token": -1.0, "lp_token_big": -.5,
                  "length_ratio": 1.0} for fallback in ("0.3", "0.6")]
    return rows


DRAWN = ".title, .x-axis, .y-axis, g[data-name]"


def at_rest(page, box):
    """The picture once what was changed is drawn: two frames later."""
    page.js("new Promise(f => requestAnimationFrame(() => requestAnimationFrame(() => f(true))))")
    return page.picture(box)


def check_report(page, folder):
    """Each chart's title, axes and series are seen: a picture without one of them is another. Nothing is loaded."""
    rows, path = os.path.join(folder, "rows.jsonl"), os.path.join(folder, "report.html")
    with open(rows, "w", encoding="utf-8") as out:
        out.writelines(json.dumps(row) + "\n" for row in report_rows())
    subprocess.run([os.path.join(scripts, "report"), rows, "--out", path], check=True, stdout=subprocess.DEVNULL)
    page.size(1200, 900)
    page.call("Page.navigate", url="file://" + path)
    eventually(lambda: page.js("document.readyState === 'complete' && !!document.querySelector('svg')"), "a chart")
    assert page.js("performance.getEntriesByType('resource').length") == 0, "it loads something"
    assert page.js("document.documentElement.scrollWidth") <= 1200, "it is wider than the window"
    page.js(f"drawn = {json.dumps(DRAWN)}; all = document.querySelectorAll('svg')")
    seen = set()
    for i in range(page.js("all.length")):
        parts = page.js(f"chart = all[{i}]; parts = [...chart.querySelectorAll(drawn)]; parts"
                        ".map(e => e.dataset.name || e.getAttribute('class'))")
        box = page.js("(b => ({x: b.x + scrollX, y: b.y + scrollY, width: b.width, height: b.height}))"
                      "(chart.getBoundingClientRect())")
        whole = at_rest(page, box)
        for k, name in enumerate(parts):
            page.js(f"parts[{k}].style.visibility = 'hidden'")
            assert at_rest(page, box) != whole, f"chart {i}: {name} is not to be seen"
            page.js(f"parts[{k}].style.visibility = ''")
        assert at_rest(page, box) == whole and {"title", "x-axis"} <= set(parts), (i, parts)
        seen.update(parts)
    ways = {f"{mode}, {how}" for mode in ("plain", "sequential", "pilotfish") for how in ("simulated", "run")}
    quality = {f"{what}, round trip {rtt} ms" for what in ("BiLD", "exact") for rtt in (0, 80)}
    assert seen >= ways | quality | {"closed form: sequential", "closed form: never waiting", "as given"}, seen
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
            check_report(page, folder)
        finally:
            page.browser.terminate()
            page.browser.wait(20)
            server.terminate()
        assert server.wait(20) == 0, "the server"
    print("both pages are right")


main()
