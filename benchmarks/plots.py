"""The plots that README shows, drawn from tables: small, light SVG files whose text stays text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias, cast

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.contenders import FLOOR, OURS
from benchmarks.report import Table

Draw: TypeAlias = Callable[[Table], Figure]

_INK: Final = "#24292f"
_PALE: Final = "#8c959f"
_GRID: Final = "#eaeef2"
_OURS: Final = "#0969da"
_OURS_TOO: Final = "#54aeff"
_FLOOR: Final = "#8c959f"
_PEER: Final = "#d4a72c"
_WEAKER: Final = "#f0d58a"
_BAD: Final = "#cf222e"
_STYLE: Final[dict[str, Any]] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "zoho_async",
    "font.family": "sans-serif",
    "font.sans-serif": ["Helvetica", "Arial", "DejaVu Sans"],
    "font.size": 10,
    "text.color": _INK,
    "axes.edgecolor": _PALE,
    "axes.labelcolor": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "legend.frameon": False,
    "legend.fontsize": 9,
}


def draw(tables: Sequence[Table], folder: Path) -> list[Path]:
    """Draw what there is a plot of; the files that were written."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    with mpl.rc_context(cast(Any, _STYLE)):
        for table in tables:
            plot = _PLOTS.get(table.key)
            if plot is not None and table.rows:
                path = folder / f"{table.key}.svg"
                plot(table).savefig(path, metadata={"Date": None}, bbox_inches="tight")
                written.append(path)
    return written


def _bars(table: Table, unit: str, scale: float) -> Figure:
    """CPU of one piece of work, a bar for each; what is far off is cut and its figure written."""
    timed = [(float(row[1]), row) for row in table.rows if isinstance(row[1], float)]
    timed.sort(key=lambda each: each[0])
    values, rows = [value / scale for value, _ in timed], [row for _, row in timed]
    typical = sorted(values)[-2] * 1.15
    figure, axes = _axes(0.29 * len(rows) + 1.0)
    colors = [_color(str(row[0]), str(row[-1])) for row in rows]
    axes.barh(range(len(rows)), [min(value, typical) for value in values], 0.72, color=colors)
    for at, (value, row) in enumerate(zip(values, rows, strict=True)):
        cut = " (bar cut)" if value > typical else ""
        note = "" if table.key == "calls" or row[-1] == "equal values" else "  not exact"
        text = f" {value:.3g} {unit}{cut}"
        axes.text(min(value, typical), at, text, va="center", fontsize=9)
        axes.text(typical * 1.42, at, note, va="center", ha="right", fontsize=8, color=_PALE)
    axes.set_yticks(range(len(rows)), [str(row[0]) for row in rows])
    axes.invert_yaxis()
    axes.set_xlim(0, typical * 1.42)
    axes.set_xlabel(f"CPU time, {unit}")
    axes.tick_params(axis="y", length=0)
    axes.set_title(table.title)
    return figure


def _color(name: str, instead: str) -> str:
    if name == OURS:
        return _OURS
    if name.startswith(OURS):
        return _OURS_TOO
    if name in (FLOOR, "raw sockets + msgspec"):
        return _FLOOR
    return _PEER if instead in ("", "equal values") else _WEAKER


def _limiters(table: Table) -> Figure:
    """Calls that arrived, over the minutes."""
    figure, axes = _axes(3.6)
    colors = iter((_PEER, _WEAKER, _BAD, _OURS, _OURS_TOO, "#1b3a5c"))
    for (name, times), color in zip(table.series.items(), colors, strict=False):
        refused = table.cell(name, "refused")
        label = f"{name}: {refused} refused"
        every = max(1, len(times) // 150)
        points = [*range(0, len(times), every), len(times) - 1]
        ours = name.startswith(OURS)
        axes.plot(
            [times[at] for at in points],
            [at + 1 for at in points],
            color=color,
            linewidth=2.2 if ours else 1.6,
            label=label,
        )
        if refused:
            axes.plot([times[-1]], [len(times)], "x", color=color, markersize=9)
    axes.set_xlabel("minutes (shortened)")
    axes.set_ylabel("calls that arrived")
    axes.set_title(f"{table.title} (x: blocked)")
    axes.grid(color=_GRID)
    axes.legend(loc="upper left", bbox_to_anchor=(-0.02, -0.16), ncols=2)
    return figure


def _day(table: Table) -> Figure:
    """Calls of each minute while bulk runs, and how long people waited."""
    figure = Figure(figsize=(7.6, 3.2), facecolor="white")
    left, right = figure.subplots(1, 2, width_ratios=(2.2, 1))
    series = table.series["full"]
    minutes = range(len(series["bulk"]))
    left.stackplot(
        minutes,
        series["bulk"],
        series["people"],
        colors=(_OURS_TOO, _PEER),
        labels=("bulk: 50 callers", "people"),
    )
    left.axhline(100, color=_BAD, linewidth=1)
    left.text(0, 101, "Zoho's limit", color=_BAD, fontsize=8, va="bottom")
    left.set_ylim(0, 125)
    left.set_xlabel("minute")
    left.set_ylabel("calls in the minute")
    left.set_title("9,000 bulk calls and people's calls")
    left.legend(loc="upper right", ncols=2)
    waits = series["waits"]
    share = [(at + 1) / len(waits) * 100 for at in range(len(waits))]
    right.step(waits, share, color=_OURS, linewidth=1.8, where="post")
    right.axvline(1.0, color=_PALE, linewidth=1, linestyle=":")
    right.set_xlim(0, max(1.1, waits[-1] * 1.05))
    right.set_ylim(80, 100.5)
    right.set_xlabel("wait for a slot, s")
    right.set_ylabel("% of people's calls")
    right.set_title("How long people waited")
    for axes in (left, right):
        axes.grid(color=_GRID)
        axes.set_axisbelow(True)
    figure.tight_layout()
    return figure


def _growth(table: Table) -> Figure:
    """The cost of a row by the number of rows."""
    figure, axes = _axes(2.8)
    for (form, points), color in zip(table.series.items(), (_OURS, _OURS_TOO, _PALE), strict=False):
        sizes, costs = [point[0] for point in points], [point[1] for point in points]
        axes.plot(sizes, costs, "o-", color=color, linewidth=2, label=f"as {form}")
        peak = f"  {points[-1][2]:.0f} MB at most"
        axes.annotate(peak, (sizes[-1], costs[-1]), fontsize=8, va="center")
    axes.set_xscale("log")
    axes.set_ylim(bottom=0)
    axes.set_xlabel("rows in the list")
    axes.set_ylabel("CPU us a row")
    axes.set_title(table.title)
    axes.grid(color=_GRID)
    axes.legend(loc="center left")
    return figure


def _waiting(table: Table) -> Figure:
    """The cost of an admission by the number that waits."""
    figure, axes = _axes(2.8)
    colors = {"tasks alone, no limiter": _FLOOR, "aiolimiter": _PEER, "pyrate-limiter": _WEAKER}
    for name, points in table.series.items():
        color = colors.get(name, _OURS if "interactive" in name else _OURS_TOO)
        sizes, costs = [point[0] for point in points], [point[1] for point in points]
        axes.plot(sizes, costs, "o-", color=color, linewidth=2, label=name)
    axes.set_xscale("log")
    axes.set_ylim(bottom=0)
    axes.set_xlabel("calls waiting")
    axes.set_ylabel("CPU us an admission")
    axes.set_title(table.title)
    axes.grid(color=_GRID)
    axes.legend(loc="upper left", ncols=2)
    axes.set_ylim(top=max(p[1] for points in table.series.values() for p in points) * 1.5)
    return figure


def _axes(height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(7.6, height), facecolor="white")
    axes: Axes = figure.subplots()
    axes.set_axisbelow(True)
    return figure, axes


_PLOTS: Final[dict[str, Draw]] = {
    "page": lambda table: _bars(table, "ms", 1000),
    "lines": lambda table: _bars(table, "ms", 1000),
    "calls": lambda table: _bars(table, "us", 1),
    "limiters": _limiters,
    "day": _day,
    "growth": _growth,
    "waiting": _waiting,
}
