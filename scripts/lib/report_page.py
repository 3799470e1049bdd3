"""The page of scripts/report: rows of `pilotfish simulate` and `bench spec` as charts and tables. The charts are in one
HTML file, which needs nothing else; the numbers of each section are beside it as CSV."""
import csv
import json
import os
from html import escape

import chart
import report_found
from chart import Series
from fetch import Failure

MODES = ("plain", "sequential", "pilotfish")
SOURCES = {"simulated": "simulated", "timed": "run", "measured": "pair"}
PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Pilotfish: {heading}</title>
<style>
body {{ margin: 0 auto; max-width: 1360px; padding: 16px; font: 16px/1.5 system-ui, sans-serif; color: #1c2430;
  background: #ffffff; }}
.charts {{ display: grid; gap: 20px; grid-template-columns: repeat(auto-fit, minmax(min(100%, 400px), 1fr)); }}
figure {{ margin: 0; max-width: 640px; }}
h1 {{ font-size: 24px; line-height: 1.25; }} h2 {{ font-size: 19px; margin-top: 32px; }}
.table {{ overflow-x: auto; }} table {{ border-collapse: collapse; font-size: 14px; white-space: nowrap; }}
th, td {{ padding: 2px 10px; text-align: right; border-bottom: 1px solid #d5dae1; }}
th:nth-child(-n+4), td:nth-child(-n+4) {{ text-align: left; }}
@media (prefers-color-scheme: dark) {{
  body {{ color: #e3e8ef; background: #14181d; }} th, td {{ border-color: #3a424d; }}
}}
{style}</style>
</head>
<body>
<h1>{heading}</h1>
<p>{intro}</p>
{sections}
</body>
</html>
"""
INTRO = ("Plain is the big model alone. Sequential drafts one length, verifies, and drafts again; each point has the "
         "length that was best in hindsight. Pilotfish is the default. Networks are emulated. Lines are simulated in "
         "virtual time; circles are runs of the cluster, with 95 % intervals over the texts: with timed waits in place "
         "of models (run), or with a pair of models (pair). BiLD's text is not the big model's own; each of its "
         "circles is a pair of thresholds, and a dashed line the speed of exact speculation over the same network.")


def is_quality(row):
    return row.get("figure") == "bild" and all(isinstance(row.get(name), float) for name in QUALITY[4:])


class Found:
    """What the files have: rows of the simulator and of runs, and of figures bild; by file, logs of trainers and of
    searches, and lists of plans."""

    def __init__(self):
        self.rows, self.qualities = [], []
        self.logs, self.searches, self.plans = {}, {}, {}

    def add(self, path, number, row):
        kinds = [kind for kind, is_one in ((self.logs, report_found.is_of_log), (self.plans, report_found.is_plan),
                                           (self.searches, report_found.is_of_search)) if is_one(row)]
        if kinds:
            kinds[0].setdefault(path, []).append(row)
        elif is_quality(row):
            self.qualities.append(row)
        elif row.get("mode") in MODES and isinstance(row.get("tokens_per_s"), float):
            self.rows.append(row)
        else:
            raise Failure(f"{path}:{number}: no row of simulate or bench spec, of figures bild, of eval pareto, or of "
                          "the log of plan search or of a trainer")


def read_files(paths):
    found = Found()
    for path in paths:
        try:
            with open(path, encoding="utf-8") as lines:
                for number, line in enumerate(lines, 1):
                    found.add(path, number, json.loads(line))
        except (ValueError, AttributeError) as error:
            raise Failure(f"{path}: not lines of JSON, as simulate -o jsonl prints them: {error}") from error
    if not (found.rows or found.qualities or found.logs or found.searches or found.plans):
        raise Failure("no rows: pilotfish simulate ... -o jsonl > rows.jsonl makes some")
    return found


def groups(rows, names):
    """Rows that are alike in these fields, in the order of their first."""
    found = {}
    for row in rows:
        found.setdefault(tuple(row[name] for name in names), []).append(row)
    return found.items()


def network(row):
    words = [f"round trip {row['rtt_ms']:g} ms"]
    if row["net_jitter_ms"]:
        words.append(f"jitter {row['net_jitter_ms']:g} ms")
    if row["net_mbit_per_s"]:
        words.append(f"{row['net_mbit_per_s']:g} Mbit/s")
    if row["net_drafter_delay_ms"]:
        words.append(f"drafter {2 * row['net_drafter_delay_ms']:g} ms")
    return ", ".join(words)


def right_words(row):
    if row["right"] is None:
        return os.path.basename(row["prompts"]) + ("" if row["accept"] == "exact" else f", {row['accept']}")
    return ("S = " if "," in row["right"] else "a = ") + row["right"]


def pair_words(row):
    return row["synthetic"] or f"{os.path.basename(row['big'])}, {os.path.basename(row['little'])}"


def series_of(rows, x_of, y_name):
    """A line for each mode of the simulator, dots for each of the runs."""
    for mode in MODES:
        for source, word in SOURCES.items():
            mine = [row for row in rows if row["mode"] == mode and row["source"] == source]
            points = {x_of(row): (row[y_name], row[y_name + "_low"], row[y_name + "_high"]) for row in mine}
            if points:
                yield Series(f"{mode}, {word}", mode, "line" if source == "simulated" else "dots",
                             [(x, *values) for x, values in points.items()])


LIKE = ["synthetic", "big", "little", "prompts", "accept", "fallback", "rollback", "net_drafter_delay_ms",
        "net_jitter_ms", "net_mbit_per_s", "draft_max", "draft_ahead", "draft_block"]


def against_rtt(rows, standalone=False):
    for _, like in groups(rows, LIKE + ["right"]):
        if len({row["rtt_ms"] for row in like}) < 2:
            continue
        title = chart.Title("Speed against round trip", f"{right_words(like[0])}; {pair_words(like[0])}")
        yield chart.lines(title, "round trip, ms", "token/s",
                          list(series_of(like, lambda row: row["rtt_ms"], "tokens_per_s")),
                          standalone=standalone), like


def pair_of(spelled):
    """tD; T(n) as a function; how many times as long they take beside each other."""
    parts = dict(part.split("=") for part in spelled.split(","))
    listed, slope = [float(ms) for ms in parts["tT"].split(":")], float(parts.get("slope", 0)) / 100

    def pass_ms(n):
        return listed[min(n, len(listed)) - 1] + max(n - len(listed), 0) * slope * listed[0]

    return float(parts["tD"]), pass_ms, float(parts.get("beside", 1))


def closed_forms(spelled, rtt_ms):
    """Over plain, by acceptance: the best sequential length, and drafts that never wait (a flight for each)."""
    draft_ms, pass_ms, beside = pair_of(spelled)
    k = max(pass_ms(1) / draft_ms, 1)
    sequential, ahead = [], []
    for a in (i / 50 for i in range(1, 50)):
        best = max((1 + sum(a**j for j in range(1, g + 1))) / (g * draft_ms + pass_ms(g + 1) + rtt_ms)
                   for g in range(1, 65))
        sequential.append((a, best * pass_ms(1), None, None))
        token_ms = (1 - a) * (beside * pass_ms(1) + rtt_ms) + a * beside * draft_ms * k * (1 - a) / (1 - a**k)
        ahead.append((a, pass_ms(1) / token_ms, None, None))
    return sequential, ahead


def against_acceptance(rows):
    rates = [row for row in rows if row["right"] and "," not in row["right"]]
    for _, like in groups(rates, LIKE + ["net_delay_ms"]):
        if len({row["right"] for row in like}) < 2:
            continue
        title = chart.Title("Speed against acceptance", f"{network(like[0])}; {pair_words(like[0])}")
        sequential, ahead = closed_forms(like[0]["synthetic"], like[0]["rtt_ms"])
        shown = list(series_of(like, lambda row: float(row["right"]), "over_plain"))
        highest = max(point[1] for series in shown for point in series.points)
        shown.append(Series("closed form: sequential", "sequential", "dash", sequential))
        shown.append(Series("closed form: never waiting", "closed", "dash",
                            [point for point in ahead if point[1] <= 1.5 * highest]))
        yield chart.lines(title, "chance that a draft is right", "speed over plain", shown, 1), like


def time_by_role(rows):
    for _, like in groups(rows, ["source"] + LIKE + ["right"]):
        title = chart.Title(f"Time by role, {SOURCES[like[0]['source']]}",
                            f"{right_words(like[0])}; {pair_words(like[0])}")
        bars = [(f"{row['mode']}, {row['rtt_ms']:g} ms", [("big", row["big_busy"]), ("little", row["little_busy"])])
                for row in like if row["mode"] != "plain"]
        yield chart.bars(title, "share of the time", bars, [("big", "verifiers"), ("little", "drafter")]), like


def against_quality(rows, standalone=False):
    """BiLD's thresholds, at each round trip in a colour of its own, beside the speed of exact speculation there."""
    for (kind,), like in groups(rows, ["kind"]):
        title = chart.Title("BiLD: quality against speed", f"{kind}; fallback,rollback")
        shown = []
        for i, ((rtt_ms,), points) in enumerate(groups(like, ["rtt_ms"])):
            colour, exact = QUALITY_COLOURS[i % len(QUALITY_COLOURS)], points[0]["speed_exact"]
            labels = {(row["speed"], row["rouge_l"]): f"{row['fallback']}, {row['rollback']}" for row in points}
            shown.append(Series(f"BiLD, round trip {rtt_ms:g} ms", colour, "dots",
                                [(row["speed"], row["rouge_l"], None, None) for row in points], labels))
            shown.append(Series(f"exact, round trip {rtt_ms:g} ms", colour, "dash",
                                [(exact, 0, None, None), (exact, 1, None, None)]))
        yield chart.lines(title, "speed over the big model alone", "ROUGE-L against big's own text", shown,
                          standalone=standalone), like


def survival(right, j):
    listed = [float(s) for s in right.split(",")]
    if j <= len(listed):
        return listed[j - 1]
    last = listed[-1] / listed[-2] if len(listed) > 1 and listed[-2] else listed[-1]
    return listed[-1] * last ** (j - len(listed))


def by_position(rows):
    for _, like in groups(rows, ["synthetic", "big", "little", "prompts", "right"]):
        title = chart.Title("Acceptance by position", f"{right_words(like[0])}; {pair_words(like[0])}")
        given = [(j, survival(like[0]["right"], j), None, None) for j in range(1, 9)] if like[0]["right"] else []
        shown = [Series("as given", "closed", "dash", given)] if given else []
        for mode in MODES[1:]:
            means = []
            for j in range(1, 9):
                values = [row[f"s{j}"] for row in like if row["mode"] == mode and row[f"s{j}"] is not None]
                if values:
                    means.append((j, sum(values) / len(values), None, None))
            if means:
                shown.append(Series(f"{mode}, mean of its rows", mode, "line", means))
        yield chart.lines(title, "drafts in a row", "chance that all are right", shown, 8), like


SECTIONS = [("Speed against round trip", "rtt", against_rtt), ("Speed against acceptance", "acceptance",
                                                               against_acceptance),
            ("Time by role", "roles", time_by_role), ("Acceptance by position", "positions", by_position)]
NETWORKS = "Speculative decoding over networks: plain, sequential, Pilotfish"
QUALITY = ["kind", "fallback", "rollback", "prompts", "rtt_ms", "speed", "speed_exact", "over_exact", "bleu", "rouge_l",
           "exact", "lp_token", "lp_token_big", "length_ratio"]
QUALITY_COLOURS = ["pilotfish", "sequential", "closed", "plain"]
SHOWN = ["source", "mode", "synthetic", "right", "rtt_ms", "net_jitter_ms", "draft_length", "tokens_per_s",
         "over_plain", "over_sequential", "verifies_per_token", "bytes_up_per_token", "bytes_down_per_token",
         "drafted_per_token", "wasted_per_token", "big_busy", "little_busy"]


def cell(value):
    return "" if value is None else f"{value:.3g}" if isinstance(value, float) and abs(value) < 10 else \
        f"{value:.1f}" if isinstance(value, float) else escape(str(value))


def table(rows, names):
    head = "".join(f"<th>{name.replace('_', ' ')}</th>" for name in names)
    lines = "".join("<tr>" + "".join(f"<td>{cell(row[name])}</td>" for name in names) + "</tr>\n" for row in rows)
    return f'<div class="table"><table><thead><tr>{head}</tr></thead><tbody>\n{lines}</tbody></table></div>'


def write_csv(path, rows):
    with open(path, "w", encoding="utf-8", newline="") as out:
        writer = csv.DictWriter(out, list(rows[0]), extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)


def by_name(files):
    """Several may have one name, in folders of their own."""
    return [(os.path.basename(path), rows) for path, rows in files.items()]


def write_page(out, found):
    stem, parts = os.path.splitext(out)[0], []
    sections = [(heading, name, charts_of(found.rows)) for heading, name, charts_of in SECTIONS]
    sections.append(("Quality against speed", "quality", against_quality(found.qualities)))
    sections.append(("Training", "training", report_found.losses(by_name(found.logs))))
    sections.append(("What can be left out", "search", report_found.searches(by_name(found.searches))))
    sections.append(("What plans cost and what they are worth", "plans", report_found.frontiers(by_name(found.plans))))
    for heading, name, charts in sections:
        figures, used = [], []
        for svg, like in charts:
            figures.append(f"<figure>{svg}</figure>")
            used += [row for row in like if row not in used]
        if not figures:
            continue
        write_csv(f"{stem}-{name}.csv", used)
        link = f'<a href="{escape(os.path.basename(stem))}-{name}.csv">as CSV</a>'
        parts.append(f'<section id="{name}"><h2>{heading}</h2><p>The numbers {link}.</p>\n<div class="charts">\n'
                     f'{"".join(figures)}</div></section>\n')
    tables = [table(mine, names) for mine, names in ((found.rows, SHOWN), (found.qualities, QUALITY)) if mine]
    if tables:
        parts.append(f'<section id="rows"><h2>All rows</h2>{"".join(tables)}</section>')
    heading, intro = (NETWORKS, INTRO) if tables else ("Training and plans", "")
    with open(out, "w", encoding="utf-8") as page:
        page.write(PAGE.format(style=chart.STYLE, heading=heading, intro=intro, sections="".join(parts)))
