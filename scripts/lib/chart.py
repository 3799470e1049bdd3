"""Charts as SVG, without a library: lines, dots with intervals, bars. A chart has a title, a name on each axis and a
legend; its colours follow the reader's scheme, light or dark (STYLE), and its size the page's."""
import math
import textwrap
from html import escape

WIDTH, PLOT, LEFT, RIGHT, TOP, BOTTOM = 480, 240, 60, 14, 34, 64
LEGEND_ROW, NOTE_ROW, NOTE_COLUMNS, BAR = 18, 16, 62, 15

STYLE = """
.chart { --ink: #1c2430; --faint: #d5dae1; --paper: #ffffff; --plain: #6b7480; --sequential: #c4570a;
  --pilotfish: #0b6bb8; --closed: #4b8b3b; --big: #0b6bb8; --little: #c4570a;
  font: 13px system-ui, sans-serif; fill: var(--ink); }
.chart .paper { fill: var(--paper); }
.chart .title { font-size: 14px; font-weight: 600; } .chart .note { font-size: 12px; }
.chart .label { font-size: 10px; }
.chart .grid { stroke: var(--faint); stroke-width: 1; }
.chart .line { fill: none; stroke-width: 2.2; }
.chart .dash { fill: none; stroke-width: 1.6; stroke-dasharray: 5 4; }
.chart .plain { stroke: var(--plain); } .chart .sequential { stroke: var(--sequential); }
.chart .pilotfish { stroke: var(--pilotfish); } .chart .closed { stroke: var(--closed); }
.chart .dot { stroke-width: 1.6; fill: var(--paper); } .chart .span { stroke-width: 1.6; }
.chart .big { fill: var(--big); } .chart .little { fill: var(--little); }
@media (prefers-color-scheme: dark) {
  .chart { --ink: #e3e8ef; --faint: #3a424d; --paper: #14181d; --plain: #9aa4b1; --sequential: #f0934a;
    --pilotfish: #5fb2f2; --closed: #8bcf79; --big: #5fb2f2; --little: #f0934a; }
}
"""


class Title:
    """What a chart shows, and of what; the second in lines of its own."""

    def __init__(self, what, of):
        self.what, self.of = what, textwrap.wrap(of.replace(",", ", "), NOTE_COLUMNS)

    def height(self):
        return TOP + NOTE_ROW * len(self.of)

    def svg(self):
        yield text(LEFT, 20, self.what, more=' class="title"')
        for i, line in enumerate(self.of):
            yield text(LEFT, 38 + NOTE_ROW * i, line, more=' class="note"')


class Series:
    """points: (x, y, low, high); low and high may be None. shape: line, dash or dots; of dots some may have labels,
    {(x, y): text}."""

    def __init__(self, name, colour, shape, points, labels=None):
        self.name, self.colour, self.shape, self.points = name, colour, shape, sorted(points)
        self.labels = labels or {}


def ticks(high, most=6):
    """From 0 to at least high, in steps of 1, 2 or 5 times a power of ten."""
    if high <= 0:
        return [0, 1]
    step = 10 ** math.floor(math.log10(high / most))
    step *= next(m for m in (1, 2, 5, 10) if high / (m * step) <= most)
    return [round(i * step, 10) for i in range(math.ceil(high / step - 1e-9) + 1)]


def text(x, y, words, anchor="start", more=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{more}>{escape(words)}</text>'


def frame(title, height, body, standalone):
    style, words = f"<style>{STYLE}</style>" if standalone else "", escape(": ".join([title.what, " ".join(title.of)]))
    return (f'<svg xmlns="http://www.w3.org/2000/svg" class="chart" role="img" viewBox="0 0 {WIDTH} {height}" '
            f'width="100%" aria-label="{words}"><title>{words}</title>{style}'
            f'<rect class="paper" width="{WIDTH}" height="{height}"/>'
            f'{"".join(title.svg())}{"".join(body)}</svg>\n')


def mark(series, x, y):
    """How a series looks, for the legend."""
    if series.shape == "dots":
        return f'<circle class="dot {series.colour}" cx="{x + 11}" cy="{y - 4}" r="4"/>'
    return f'<path class="{series.shape} {series.colour}" d="M{x} {y - 4}h22"/>'


def legend(all_series, y):
    for i, series in enumerate(all_series):
        x, row = LEFT + i % 2 * (WIDTH - LEFT) // 2, y + i // 2 * LEGEND_ROW
        yield mark(series, x, row) + text(x + 28, row, series.name)


def draw(series, at):
    points = [(at(x, y), x, low, high) for x, y, low, high in series.points]
    if series.shape != "dots":
        path = "L".join(f"{px:.1f} {py:.1f}" for (px, py), *_ in points)
        yield f'<path class="{series.shape} {series.colour}" d="M{path}"/>'
        return
    for (px, py), x, low, high in points:
        if low is not None:
            (_, bottom), (_, top) = at(x, low), at(x, high)
            yield f'<path class="span {series.colour}" d="M{px:.1f} {bottom:.1f}V{top:.1f}"/>'
        yield f'<circle class="dot {series.colour}" cx="{px:.1f}" cy="{py:.1f}" r="4"/>'
    for (x, y), words in series.labels.items():
        px, py = at(x, y)
        yield text(px, py - 8, words, "middle", ' class="label"')


def lines(title, x_name, y_name, all_series, x_high=None, standalone=False):
    """A chart of series over numbers. Both axes begin at 0."""
    highest = max(value for s in all_series for p in s.points for value in (p[1], p[3]) if value is not None)
    x_ticks, y_ticks = ticks(x_high or max(p[0] for s in all_series for p in s.points)), ticks(highest)
    top, right = title.height(), WIDTH - RIGHT
    bottom = top + PLOT

    def at(x, y):
        return (LEFT + (right - LEFT) * x / x_ticks[-1],
                bottom - PLOT * min(max(y, 0), y_ticks[-1]) / y_ticks[-1])

    body = []
    for y in y_ticks:
        body.append(f'<path class="grid" d="M{LEFT} {at(0, y)[1]:.1f}H{right}"/>')
        body.append(text(LEFT - 6, at(0, y)[1] + 4, f"{y:g}", "end"))
    for x in x_ticks:
        body.append(text(at(x, 0)[0], bottom + 17, f"{x:g}", "middle"))
    body.append(text((LEFT + right) / 2, bottom + 36, x_name, "middle", ' class="x-axis"'))
    body.append(text(14, (top + bottom) / 2, y_name, "middle",
                     f' class="y-axis" transform="rotate(-90 14 {(top + bottom) / 2:.0f})"'))
    for series in all_series:
        name = escape(series.name, quote=True)
        body.append(f'<g class="series" data-name="{name}">{"".join(draw(series, at))}</g>')
    body.extend(legend(all_series, bottom + BOTTOM))
    return frame(title, bottom + BOTTOM + (len(all_series) + 1) // 2 * LEGEND_ROW, body, standalone)


def bars(title, x_name, rows, names):
    """rows: (name, shares): for each of the named shares a bar, in 0..1."""
    left, body, y = 130, [], title.height() + 4
    for name, shares in rows:
        body.append(text(left - 8, y + BAR * len(shares) / 2 + 4, name, "end"))
        for colour, share in shares:
            width = (WIDTH - RIGHT - 40 - left) * min(share, 1)
            body.append(f'<rect class="{colour}" x="{left}" y="{y}" width="{width:.1f}" height="{BAR - 3}"/>')
            body.append(text(left + width + 5, y + BAR - 4, f"{share:.0%}"))
            y += BAR
        y += 8
    body.append(text((left + WIDTH) / 2, y + 12, x_name, "middle", ' class="x-axis"'))
    for i, (colour, name) in enumerate(names):
        x = left + i * (WIDTH - left) // 2
        body.append(f'<rect class="{colour}" x="{x}" y="{y + 22}" width="18" height="12"/>')
        body.append(text(x + 24, y + 32, name))
    return frame(title, y + 44, body, False)
