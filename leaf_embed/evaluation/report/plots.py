"""Plots as SVG, drawn by matplotlib: for the page of a report, for ``tune`` and for the benchmarks.

The same values give the same bytes: no date, and ids from a fixed salt. A plot inside the page has no XML namespace and
no reference to anything outside; its colours are the page's CSS variables, so that it follows a dark theme.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from io import StringIO
from math import ceil, floor, log10
from typing import Any

from leaf_embed._extras import require

__all__ = ["COLOURS", "Series", "bars", "curves", "lines", "scatter"]

COLOURS = {  # on light ground; the page redefines them for a dark one
    "soft": "#5c6963",
    "line": "#dbe2de",
    "teacher": "#33415c",
    "asymmetric": "#1a7f4b",
    "symmetric": "#c9711a",
    "document": "#6b7fd7",
}
CYCLE = ("#1b6ca8", "#d1495b", "#2e933c", "#8d5a97", "#e08e1b", "#444444", "#17a2b8", "#b5838d", "#6a994e", "#000000")
TIP = "tip:"  # how the id of a group begins whose other part a pointer shows
SIZE = (5, 3.33)  # inches of 72 units: near what a plot takes on a telephone, so that its letters are readable there
STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib; also what the space for letters is computed by
    "font.size": 10,
    "svg.fonttype": "none",
    "text.parse_math": False,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": COLOURS["line"],
    **dict.fromkeys(("axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color", "text.color"), COLOURS["soft"]),
}


@dataclass(frozen=True)
class Series:
    """Values to draw together.

    Attributes:
        name: For the legend and for what a pointer shows.
        points: ``(x, y)`` pairs.
        style: A key of :data:`COLOURS`; ``""`` takes the next colour of a cycle.
        dashed: Whether a line is dashed.
        tips: What a pointer shows for each point; by default its name and values.
        intervals: ``(low, high)`` of the y of each point; none are drawn if there are none.
    """

    name: str
    points: Sequence[tuple[float, float]]
    style: str = ""
    dashed: bool = False
    tips: Sequence[str] = ()
    intervals: Sequence[tuple[float, float]] = ()


def lines(
    series: Sequence[Series], title: str, x_label: str, y_label: str, y_values: Sequence[float] | None = None
) -> str:
    """Lines over the few values of x that occur, at equal distances, the largest first, as SVG for a page.

    Plots that are to be compared take the same ``y_values``, those of all of them.
    """
    with _figure(x_label, y_label) as (figure, axes):
        places = sorted({x for one in series for x, _ in one.points}, reverse=True)
        for number, one in enumerate(series):
            _draw(axes, one, number, [places.index(x) for x, _ in one.points])
        axes.set_xticks(range(len(places)), [f"{place:g}" for place in places])
        axes.set_ylim(*_range([y for one in series for _, y in one.points] if y_values is None else y_values))
        return _svg(figure, title)


def scatter(series: Sequence[Series], title: str, x_label: str, y_label: str) -> str:
    """Named points over a logarithmic x, as SVG for a page."""
    with _figure(x_label, y_label) as (figure, axes):
        axes.set_xscale("log")
        xs, ys = ([point[axis] for one in series for point in one.points] for axis in (0, 1))
        low, high = floor(log10(min(xs)) - 0.1), ceil(log10(max(xs)) + 0.1)  # whole decades, which have ticks
        axes.set_xlim(10.0**low, 10.0**high)
        axes.set_ylim(*_range(ys))
        axes.xaxis.set_major_formatter(lambda x, _: f"{x:g}")
        axes.minorticks_off()
        for number, one in enumerate(series):
            _draw(axes, one, number, [x for x, _ in one.points], join=False)
            for x, y in one.points:
                side = -1 if log10(x) > low + 0.6 * (high - low) else 1  # so that the name stays on the picture
                place = {"xytext": (8 * side, -3), "textcoords": "offset points", "ha": "right" if side < 0 else "left"}
                axes.annotate(one.name, (x, y), **place)
        return _svg(figure, title)


def bars(series: Sequence[Series], title: str, x_label: str, y_label: str, width: float) -> str:
    """Histograms over each other, as SVG for a page; x is the left border of a bar, ``width`` its width."""
    with _figure(x_label, y_label) as (figure, axes):
        for number, one in enumerate(series):
            for x, y in one.points:
                if y > 0:
                    (bar,) = axes.bar(x, y, width, align="edge", color=_colour(one, number), alpha=0.6)
                    bar.set_gid(f"{TIP}{one.name}, {x:.2f} to {x + width:.2f}: {y:.1%}")
        axes.yaxis.set_major_formatter(lambda y, _: f"{y:.0%}")
        axes.locator_params(axis="x", nbins=5)
        return _svg(figure, title)


def curves(
    series: Sequence[Series],
    title: str,
    x_label: str,
    y_label: str,
    *,
    marked: tuple[float, float] | None = None,
    log: bool = False,
) -> str:
    """Curves with a legend, as an SVG file.

    Args:
        series: One curve each, in the order of their points.
        title: Above the plot.
        x_label: Below it.
        y_label: Beside it.
        marked: A point of the series to put a ring around.
        log: Whether x is logarithmic.
    """
    with _figure(x_label, y_label, (10, 5.5)) as (figure, axes):
        for number, one in enumerate(series):
            _draw(axes, one, number, [x for x, _ in one.points])
        if log:
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter(lambda x, _: f"{x:g}")
        if marked is not None:
            axes.plot(*marked, "o", markersize=11, fillstyle="none", color="black", gid=f"{TIP}marked")
        axes.set_title(title, loc="left", fontsize="medium")
        axes.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
        return _svg(figure, title, page=False)


@contextmanager
def _figure(x_label: str, y_label: str, size: tuple[float, float] = SIZE) -> Iterator[tuple[Any, Any]]:
    """An empty figure and its axes, in our style while the block runs, whatever matplotlibrc or MPLBACKEND say."""
    backend = os.environ.pop("MPLBACKEND", None)  # the import fails where it names a notebook's that is not installed
    try:
        matplotlib: Any = require("matplotlib", "eval", "A plot")
    finally:
        if backend is not None:
            os.environ["MPLBACKEND"] = backend
    from matplotlib.figure import Figure

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        figure = Figure(figsize=size, layout="constrained")
        yield figure, figure.add_subplot(xlabel=x_label, ylabel=y_label)


def _colour(one: Series, number: int) -> str:
    return COLOURS[one.style] if one.style else CYCLE[number % len(CYCLE)]


def _draw(axes: Any, one: Series, number: int, xs: Sequence[float], join: bool = True) -> None:
    """A line with its points; each point is an artist of its own, since a pointer shows what it is."""
    colour, ys = _colour(one, number), [y for _, y in one.points]
    if join:
        axes.plot(xs, ys, "--" if one.dashed else "-", color=colour, label=one.name)
    if one.intervals:
        low, high = zip(*one.intervals, strict=True)
        axes.vlines(xs, low, high, colors=colour)
    tips = one.tips or [f"{one.name}, {x:g}: {y:.4f}" for x, y in one.points]
    for x, y, tip in zip(xs, ys, tips, strict=True):
        axes.plot(x, y, "o", markersize=5, color=colour, gid=f"{TIP}{tip}")


def _range(values: Sequence[float]) -> tuple[float, float]:
    """A little more than the values take; never below 0."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    margin = 0.08 * (high - low) or 0.02
    return max(0.0, low - margin), high + margin


def _svg(figure: Any, title: str, *, page: bool = True) -> str:
    """The figure as SVG, without matplotlib's ids of groups, some of which become what a pointer shows."""
    import matplotlib

    file = StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with matplotlib.rc_context({"svg.hashsalt": title}):  # ids differ between the plots of a page
        figure.savefig(file, format="svg", metadata=nothing, transparent=page)
    text = file.getvalue()
    text = text[text.index("<svg") :].replace("xlink:href", "href")
    text = re.sub(rf'<g id="{TIP}([^"]*)">', r"<g><title>\1</title>", text)
    text = re.sub(r'<g id="[^"]*">', "<g>", text)  # the same in every plot
    text = re.sub(r' clip-path="[^"]*"|<(clipPath|style).*?</\1>', "", text, flags=re.DOTALL)  # nothing lies outside
    width, height = (round(72 * inches) for inches in figure.get_size_inches())
    head = f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}"'
    head += ">" if page else f' width="{width}" height="{height}" xmlns="http://www.w3.org/2000/svg">'
    text = f"{head}\n<title>{escape(title)}</title>{text[text.index('>') + 1 :]}"
    if page:
        for name, colour in COLOURS.items():
            text = text.replace(colour, f"var(--{name})")
    return text
