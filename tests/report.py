"""scripts/report and scripts/figures network: the page that they make, read as HTML and its charts as XML.
   report.py PILOTFISH SCRIPTS
"""
import csv
import html.parser
import json
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as xml

pilotfish, scripts = sys.argv[1:]
sys.path.insert(0, os.path.join(scripts, "lib"))
from report_page import closed_forms

SVG = "{http://www.w3.org/2000/svg}"
MODES = ["plain", "sequential", "pilotfish"]


def call(*words, code=0):
    done = subprocess.run(words, capture_output=True, text=True, timeout=100)
    assert done.returncode == code, (words, done)
    return done


class Page(html.parser.HTMLParser):
    """Every tag is closed that has to be; what would be fetched."""

    ALONE = {"meta", "link", "img", "br"}

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.fetched = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        loads = ("src", "data", "href") if tag == "link" else ("src", "data")
        self.fetched += [value for name, value in attrs if name in loads]
        if tag not in self.ALONE:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, tag


def charts_of(text):
    """{section: [{title, x, y, series: {name: number of points}}]}"""
    sections = {}
    for name, body in re.findall(r'<section id="(\w+)">(.*?)</section>', text, re.S):
        for source in re.findall(r"<svg.*?</svg>", body, re.S):
            svg = xml.fromstring(source)
            label = {kind: ["".join(t.itertext()) for t in svg.iter(SVG + "text") if t.get("class") == kind]
                     for kind in ("title", "note", "x-axis", "y-axis")}
            series = {g.get("data-name"): sum(p.get("d", "M").count("L") + 1 for p in g.iter(SVG + "path"))
                      + sum(1 for _ in g.iter(SVG + "circle")) for g in svg.iter(SVG + "g")}
            legend = [t.text for t in svg.iter(SVG + "text") if t.text in series]
            assert sorted(legend) == sorted(series), (legend, series)
            for kind in ("rect", "circle", "path"):
                assert "nan" not in "".join(" ".join(e.attrib.values()) for e in svg.iter(SVG + kind)).lower()
            sections.setdefault(name, []).append({**label, "series": series, "bars": len(list(svg.iter(SVG + "rect")))})
    return sections


def check_page(path, rows, delays):
    text = open(path, encoding="utf-8").read()
    page = Page()
    page.feed(text)
    assert not page.open and "script" not in page.tags and not page.fetched, (page.open, page.fetched)
    assert "prefers-color-scheme: dark" in text and "viewport" in text
    assert not re.findall(r'(?:url\(|@import|https?://(?!www\.w3\.org/2000/svg"))', text)
    sections = charts_of(text)
    assert list(sections) == ["rtt", "acceptance", "roles", "positions"], list(sections)
    assert all(chart["title"] and chart["note"] and chart["x-axis"] for charts in sections.values() for chart in charts)
    both = next(chart for chart in sections["rtt"] if "a = 0.8; tD=1, tT=4" in chart["note"])
    assert both["x-axis"] == ["round trip, ms"] and both["y-axis"] == ["token/s"]
    for mode in MODES:
        assert both["series"][f"{mode}, simulated"] == delays, both
        assert both["series"][f"{mode}, run"] >= 1, both
    for chart in sections["acceptance"]:
        assert {"closed form: sequential", "closed form: never waiting", "pilotfish, simulated"} <= set(chart["series"])
    assert all(chart["bars"] > 1 for chart in sections["roles"])
    assert all("as given" in chart["series"] for chart in sections["positions"])
    assert text.count("<tr>") == 1 + len(rows)
    for name in sections:
        link = f"{os.path.splitext(path)[0]}-{name}.csv"
        assert f'href="{os.path.basename(link)}"' in text
        lines = list(csv.DictReader(open(link, encoding="utf-8")))
        assert lines and list(lines[0]) == list(rows[0])


def check_found(report, folder):
    """Logs of trainers and searches, plans of eval pareto: charts of their own, beside rows or alone."""
    names = "side.gguf.log", "exits.gguf.log", "pareto", "blocks.json.log", "parts.json.log"
    losses = [{"step": 10 * i, "loss": 2 / (1 + i), "mean": 3 / (1 + i)} for i in range(5)]
    held = [{"step": 0, "held_loss": 2.5, "held_agreement": .1}, {"step": 50, "loss": 1.5}, {"step": 90, "loss": 1.25},
            {"step": 99, "loss": .5, "held_loss": 1.5, "held_agreement": .25}]
    plans = [{"plan": f"skip:{i}", "bytes": 1 - .1 * i, "perplexity": 9.5 + i, "agreement": 1 - .2 * i,
              "frontier": i != 2} for i in range(4)]
    blocks, parts = ([{"plan": plan, "lp_token": -math.log(perplexity), "agreement": 1 / perplexity, "tokens": 128}
                      for plan, perplexity in scored] for scored in (
        [("", 2), ("skip:0", 900), ("skip:1", 5), ("skip:2", 4), ("skip:0,2", 50), ("skip:1,2", 8)],
        [("", 2), ("skip:0a", 3), ("skip:0m", 4), ("skip:0", 8), ("skip:0a,1", 16)]))
    asked = {"trainer": "layerskip.py", "seed": 3, "blocks": 8}
    for name, rows in zip(names, (held, [asked, *losses], plans, blocks, parts)):
        with open(os.path.join(folder, name), "w", encoding="utf-8") as out:
            out.writelines(json.dumps(row) + "\n" for row in rows)
    page = os.path.join(folder, "found.html")
    os.mkdir(os.path.join(folder, "again"))
    again = os.path.join(folder, "again", names[-1])
    shutil.copy(os.path.join(folder, names[-1]), again)
    call(report, *(os.path.join(folder, name) for name in names), again, "--out", page)
    text = open(page, encoding="utf-8").read()
    parsed = Page()
    parsed.feed(text)
    assert not parsed.open and not parsed.fetched
    sections = charts_of(text)
    assert list(sections) == ["training", "search", "plans"], list(sections)
    first, agreement, second = sections["training"]
    assert first["series"] == {"trained rows": 3, "held rows": 2} and first["note"] == ["side.gguf.log"], first
    assert first["x-axis"] == ["step"] and first["y-axis"] == ["loss"] and agreement["series"] == {"held rows": 2}
    assert second["series"] == {"trained rows": 5, "moving mean": 5} and second["note"] == [
        "exits.gguf.log: layerskip.py with seed 3"], second
    assert [c["title"][0] for c in sections["plans"]] == ["Perplexity against bytes", "Agreement against bytes"]
    assert all(c["series"] == {"plans": 4, "on the frontier": 3} for c in sections["plans"]), sections["plans"]
    by_block, agreement, by_part, *_, last = sections["search"]
    assert by_block["title"] == ["Perplexity against blocks removed"] and by_block["x-axis"] == ["blocks removed"]
    assert by_block["note"] == ["blocks.json.log; 2 plans above 16 are not shown"], by_block["note"]
    assert by_block["series"] == {"plans": 4, "best of its size": 3} and agreement["series"]["plans"] == 6, by_block
    assert by_part["x-axis"] == ["sub-layers removed"] and by_part["series"] == {"plans": 5, "best of its size": 4}
    assert len(sections["search"]) == 6 and last["series"] == by_part["series"]  # of a file of the same name
    scored = list(csv.DictReader(open(os.path.join(folder, "found-search.csv"), encoding="utf-8")))
    assert [(n["off"], n["plan"]) for n in scored[3:7]] == [("1", "skip:2"), ("2", "skip:0,2"), ("2", "skip:1,2"),
                                                           ("0", "")], scored
    numbers = list(csv.DictReader(open(os.path.join(folder, "found-training.csv"), encoding="utf-8")))
    assert [(n["log"], n["step"], n["loss"]) for n in numbers if n["log"] == names[1]] == [
        (names[1], str(row["step"]), str(row["loss"])) for row in losses]


def check_kept_logs(report, folder):
    """Each trainer's log in full is kept: with its seed, within 15 minutes of two cores, with a loss that falls; and
    the page draws all of them."""
    kept = os.path.join(scripts, "train", "logs")
    paths = [os.path.join(kept, name) for name in sorted(os.listdir(kept))]
    trainers = set()
    for path in paths:
        asked, *rows = [json.loads(line) for line in open(path, encoding="utf-8")]
        assert isinstance(asked["seed"], int) and rows[-1]["cpu_seconds"] <= 2 * 15 * 60, (path, rows[-1])
        loss = "held_loss" if "held_loss" in rows[0] else "loss"
        assert rows[-1][loss] < rows[0][loss] - .1, (path, rows[0], rows[-1])
        assert os.sep not in "".join(open(path, encoding="utf-8")), path
        trainers.add(asked["trainer"])
    assert trainers == {"balcony.py", "bild.py", "layerskip.py", "ode.py"}, trainers
    page = os.path.join(folder, "kept.html")
    call(report, *paths, "--out", page)
    notes = {chart["note"][0] for chart in charts_of(open(page, encoding="utf-8").read())["training"]}
    assert len(notes) == len(paths) and all("seed" in note for note in notes), notes


def check_quality(report, folder, simulated):
    """BiLD's rows, alone and beside others: a chart of each kind with both axes, a series of dots and a line of exact
    speculation at each round trip, and each dot's thresholds."""
    rows, path, page = [], os.path.join(folder, "bild.jsonl"), os.path.join(folder, "bild.html")
    for kind in "qa", "translation":
        for rtt_ms in 0.0, 80.0:
            rows += [{"figure": "bild", "kind": kind, "fallback": fallback, "rollback": "3", "prompts": 2,
                      "rtt_ms": rtt_ms, "speed": 1.0 + float(fallback), "speed_exact": 1.2, "over_exact": 1.1,
                      "bleu": 50.0, "rouge_l": 0.9 - float(fallback) / 2, "exact": 0.5, "lp_token": -1.0,
                      "lp_token_big": -0.5, "length_ratio": 1.0} for fallback in ("0.3", "0.6")]
    with open(path, "w", encoding="utf-8") as out:
        out.writelines(json.dumps(row) + "\n" for row in rows)
    for files, others in ([path], 0), ([simulated, path], len(open(simulated, encoding="utf-8").readlines())):
        call(report, *files, "--out", page)
        text = open(page, encoding="utf-8").read()
        charts = charts_of(text)["quality"]
        assert [chart["note"] for chart in charts] == [["qa; fallback, rollback"], ["translation; fallback, rollback"]]
        for chart in charts:
            assert chart["title"] == ["BiLD: quality against speed"], chart
            assert chart["x-axis"] == ["speed over the big model alone"]
            assert chart["y-axis"] == ["ROUGE-L against big's own text"]
            assert chart["series"] == {f"{name}, round trip {rtt} ms": 2 for name in ("BiLD", "exact")
                                       for rtt in (0, 80)}, chart
        assert text.count(">0.3, 3</text>") == 4
        assert text.count("<tr>") == 1 + len(rows) + (1 + others if others else 0)
        assert len(list(csv.DictReader(open(f"{page[:-5]}-quality.csv", encoding="utf-8")))) == len(rows)


def check_closed_forms():
    """Cores that share a memory slow down what runs beside each other: drafts ahead, no sequential ones."""
    alone, shared = (closed_forms("tD=1,tT=4:5,slope=10" + more, 0) for more in ("", ",beside=2"))
    assert shared[0] == alone[0] and all(abs(2 * b[1] - a[1]) < 1e-9 for a, b in zip(alone[1], shared[1])), shared[1]


def main():
    check_closed_forms()
    report = os.path.join(scripts, "report")
    words = ["--synthetic", "tD=1,tT=4", "--net-delay", "0,2", "-n", "24", "-o", "jsonl"]
    with tempfile.TemporaryDirectory() as folder:
        simulated, run, page = (os.path.join(folder, name) for name in ("simulated", "run", "page.html"))
        rows = ""
        for path, more in ((simulated, ["simulate", *words, "--accept-rate", "0.5,0.8"]),
                           (run, ["bench", "spec", *words, "--accept-rate", "0.8", "--texts", "1", "--repeat", "1",
                                  "--warmup", "0", "--baseline", "2"])):
            with open(path, "w", encoding="utf-8") as out:
                out.write(call(pilotfish, *more).stdout)
            rows += open(path, encoding="utf-8").read()
        call(report, simulated, run, "--out", page)
        check_page(page, [json.loads(line) for line in rows.splitlines()], 2)

        check_found(report, folder)
        check_kept_logs(report, folder)
        check_quality(report, folder, simulated)
        figures = os.path.join(folder, "figures")
        call(os.path.join(scripts, "figures"), "network", "--program", pilotfish, "--out", figures, "--net-delay",
             "0,5,20", "--run-delay", "1", "--synthetic", "tD=1,tT=4")
        svg = xml.parse(os.path.join(figures, "network.svg")).getroot()
        names = [g.get("data-name") for g in svg.iter(SVG + "g")]
        assert names == [f"{mode}, {how}" for mode in MODES for how in ("simulated", "run")], names
        assert "prefers-color-scheme: dark" in svg.find(SVG + "style").text
        assert os.path.exists(os.path.join(figures, "network.html"))

        broken = os.path.join(folder, "broken")
        for content, says in (("", "no rows"), ("{", "not lines of JSON"), ("3\n", "not lines of JSON"),
                              ('{"mode": "plain"}', ":1: no row of simulate")):
            with open(broken, "w", encoding="utf-8") as out:
                out.write(content)
            lines = call(report, broken, "--out", page, code=1).stderr.splitlines()
            assert len(lines) == 1 and lines[0].startswith("report: ") and says in lines[0], lines
        assert "No such file" in call(report, broken + "x", code=1).stderr
    print("ok")


main()
