"""Charts of scripts/report for what was trained or measured: the log of a trainer (scripts/train), the log of `pilotfish
plan search`, and the rows of `pilotfish eval pareto`. Each is a list of (file, its lines), and gives (chart, rows for
the CSV)."""
import math

import chart
from chart import Series


def is_of_log(row):
    """Of a trainer: what it was asked for, or a step's loss."""
    loss = any(isinstance(row.get(name), float) for name in ("loss", "held_loss"))
    return "trainer" in row and "seed" in row or isinstance(row.get("step"), int) and loss


def is_plan(row):
    numbers = ("bytes", "perplexity", "agreement")
    return "frontier" in row and all(isinstance(row.get(name), (int, float)) for name in numbers)


def is_of_search(row):
    """Of plan search: its log's, or one that it prints."""
    numbers = all(isinstance(row.get(name), (int, float)) for name in ("lp_token", "agreement", "tokens"))
    return numbers and isinstance(row.get("plan"), str) and (not row["plan"] or row["plan"].startswith("skip:"))


def curve(rows, name):
    return [(row["step"], row[name], None, None) for row in rows if isinstance(row.get(name), float)]


CURVES = [("trained rows", "plain", "loss"), ("moving mean", "pilotfish", "mean"), ("held rows", "closed", "held_loss")]


def losses(logs):
    """Of logs with steps; of one without training nothing is drawn."""
    cut = [(file, [row for row in rows if "trainer" in row], [row for row in rows if "step" in row])
           for file, rows in logs]
    columns = list(dict.fromkeys(name for _, _, rows in cut for row in rows for name in row))
    for file, asked, rows in [of for of in cut if of[2]]:
        note = ": ".join([file, *(f"{one['trainer']} with seed {one['seed']}" for one in asked)])
        named = [(name, colour, curve(rows, field)) for name, colour, field in CURVES]
        shown = [Series(name, colour, "line", points) for name, colour, points in named if points]
        like = [{"log": file, **{name: row.get(name) for name in columns}} for row in rows]
        yield chart.lines(chart.Title("Loss against steps", note), "step", "loss", shown), like
        held = curve(rows, "held_agreement")
        if held:
            yield chart.lines(chart.Title("Agreement against steps", note), "step", "share of held rows",
                              [Series("held rows", "closed", "line", held)]), like


def frontiers(lists):
    for file, rows in lists:
        like = [{"file": file, **row} for row in rows]
        for name, words in (("perplexity", "perplexity"), ("agreement", "agreement with the whole model")):
            shown = [Series("plans", "plain", "dots", [(row["bytes"], row[name], None, None) for row in rows])]
            best = [(row["bytes"], row[name], None, None) for row in rows if row["frontier"]]
            shown.append(Series("on the frontier", "pilotfish", "dots", best))
            title = chart.Title(f"{name.capitalize()} against bytes", file)
            yield chart.lines(title, "share of the whole model's bytes", words, shown, 1), like


def sub_layers_off(plan):
    """Of skip:LIST, in which a letter says which of a block's two goes."""
    off = [one for one in plan.removeprefix("skip:").split(",") if one]
    return sum(1 if one[-1] in "am" else 2 for one in off), any(one[-1] in "am" for one in off)


def searches(lists):
    """All plans that were scored, and a line through the best of each size."""
    for file, rows in lists:
        cut = [sub_layers_off(row["plan"]) for row in rows]
        unit, words = (1, "sub-layers removed") if any(half for _, half in cut) else (2, "blocks removed")
        like = [{"file": file, "off": n // unit, "plan": row["plan"], "perplexity": math.exp(-row["lp_token"]),
                 "agreement": row["agreement"], "tokens": row["tokens"]} for row, (n, _) in zip(rows, cut)]
        for name, best in (("perplexity", min), ("agreement", max)):
            sizes = {}
            for row in like:
                sizes.setdefault(row["off"], []).append(row[name])
            line = [(off, best(values), None, None) for off, values in sizes.items()]
            most = 2 * max(point[1] for point in line)  # without some blocks nothing is predicted any more
            near = [(row["off"], row[name], None, None) for row in like if row[name] <= most]
            left_out = len(like) - len(near)
            title = chart.Title(f"{name.capitalize()} against {words}",
                                file + (f"; {left_out} plans above {most:.3g} are not shown" if left_out else ""))
            yield chart.lines(title, words, name, [Series("plans", "plain", "dots", near),
                                                   Series("best of its size", "pilotfish", "line", line)]), like
