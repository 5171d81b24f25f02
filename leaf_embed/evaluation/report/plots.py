"""Plots as SVG, drawn by matplotlib: for the page of a report, for ``tune`` and for the benchmarks.

The same values give the same bytes: no date, and ids from a fixed salt. A plot inside the page has no XML namespace and
no reference to anything outside; its colours are the page's CSS variables, so that it follows a dark theme.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from html import escape
from io import StringIO
from math import ceil, floor, isfinite, log10
from typing import Any

from leaf_embed._extras import require
from leaf_embed.evaluation.report.styles import COLOURS, CYCLE, LINES, MARKERS, SIZE, STYLE, Series

__all__ = ["Series", "bars", "curves", "forest", "scatter", "shares"]

TIP = "tip:"  # how the id of a group begins whose other part a pointer shows


def shares(series: Sequence[Series], title: str, x_label: str, y_values: Sequence[float], *, log: bool = False) -> str:
    """Shares of a whole with a line at 100 % and intervals as bands, as SVG for a page.

    Without ``log`` the few values of x that occur stand at equal distances, the largest first.

    Args:
        series: One line each.
        title: For readers who do not see the plot.
        x_label: Below it.
        y_values: Every value that it and its neighbours show, so that their axes are the same.
        log: Whether x is logarithmic, to the base 2.
    """
    with _figure(x_label, "") as (figure, axes):
        if log:
            axes.set_xscale("log", base=2)
            for number, one in enumerate(series):
                _draw(axes, one, number, [x for x, _ in one.points])
            axes.xaxis.set_major_formatter(lambda x, _: f"{x:g}")
            axes.minorticks_off()
        else:
            _over_places(axes, series)
        axes.axhline(1.0, color=COLOURS["soft"], linewidth=1.2)
        axes.set_ylim(*_range([*y_values, 1.0]))
        axes.yaxis.set_major_formatter(lambda y, _: f"{100 * y:.3g} %")
        return _svg(figure, title)


def forest(
    series: Sequence[Series],
    names: Sequence[str],
    title: str,
    marked: Sequence[tuple[float, str]] = (),
    *,
    differences: bool = False,
) -> str:
    """Shares with their intervals, one row per name and a line at 100 %, as SVG for a page.

    Args:
        series: A point ``(row, share)`` for each name that has one; one above the other within a row.
        names: Of the rows, from the top.
        title: For readers who do not see the plot.
        marked: Further lines, with a label each.
        differences: The values are differences, and the line stands at 0.
    """
    centre = 0.0 if differences else 1.0
    with _figure("", "", (SIZE[0], 0.9 + 0.42 * len(names))) as (figure, axes):
        for number, one in enumerate(series):
            shift = 0.26 * (number - (len(series) - 1) / 2)
            _draw_rows(axes, one, number, [row + shift for row, _ in one.points])
        axes.axvline(centre, color=COLOURS["soft"], linewidth=1.2)
        for place, label in marked:
            axes.axvline(place, color=COLOURS["soft"], linewidth=1.2, linestyle=":", gid=f"{TIP}{label}")
        shown = [value for one in series for pair in one.intervals for value in pair if isfinite(value)]
        points = [share for one in series for _, share in one.points]
        axes.set_xlim(
            *_range([*shown, *points, centre, *(place for place, _ in marked)], least=-1.0 if differences else 0.0)
        )
        axes.set_yticks(range(len(names)), [name if len(name) <= 24 else f"{name[:23]}\u2026" for name in names])
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.grid(visible=False, axis="y")
        axes.xaxis.set_major_formatter(lambda x, _: f"{x:+.3g}" if differences else f"{100 * x:.3g} %")
        axes.locator_params(axis="x", nbins=6)
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
    """Histograms over each other, as SVG for a page; x is the left border of a bar, dashed ones are outlines."""
    with _figure(x_label, y_label) as (figure, axes):
        for number, one in enumerate(series):
            for x, y in one.points:
                if y > 0:
                    colour = _colour(one, number)
                    look = {"fill": False, "edgecolor": colour} if one.dashed else {"color": colour, "alpha": 0.6}
                    (bar,) = axes.bar(x, y, width, align="edge", **look)
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


def _over_places(axes: Any, series: Sequence[Series]) -> None:
    places = sorted({x for one in series for x, _ in one.points}, reverse=True)
    for number, one in enumerate(series):
        _draw(axes, one, number, [places.index(x) for x, _ in one.points], band=True)
    axes.set_xticks(range(len(places)), [f"{place:g}" for place in places])


def _draw(axes: Any, one: Series, number: int, xs: Sequence[float], *, join: bool = True, band: bool = False) -> None:
    """A line with its points; each point is an artist of its own, since a pointer shows what it is."""
    colour, ys = _colour(one, number), [y for _, y in one.points]
    if join:
        line = "--" if one.dashed else LINES.get(one.style, "-")
        axes.plot(xs, ys, linestyle=line, color=colour, label=one.name)
    if one.intervals:
        low, high = zip(*one.intervals, strict=True)
        if band:
            axes.fill_between(xs, low, high, color=colour, alpha=0.18, linewidth=0)
        else:
            axes.vlines(xs, low, high, colors=colour)
    tips = one.tips or [f"{one.name}, {x:g}: {y:.4f}" for x, y in one.points]
    for x, y, tip in zip(xs, ys, tips, strict=True):
        axes.plot(x, y, markersize=5, gid=f"{TIP}{tip}", **_marker(one, colour))


def _draw_rows(axes: Any, one: Series, number: int, rows: Sequence[float]) -> None:
    """Points with intervals to their left and right."""
    colour = _colour(one, number)
    if one.intervals:
        low, high = zip(*one.intervals, strict=True)
        axes.hlines(rows, low, high, colors=colour, linewidth=5, alpha=0.3)
    tips = one.tips or [f"{one.name}: {share:.1%}" for _, share in one.points]
    for row, (_, share), tip in zip(rows, one.points, tips, strict=True):
        axes.plot(share, row, markersize=6, gid=f"{TIP}{tip}", **_marker(one, colour))


def _marker(one: Series, colour: str) -> dict[str, Any]:
    inside = {"markerfacecolor": "none"} if one.dashed else {}
    return {"marker": MARKERS.get(one.style, "o"), "linestyle": "none", "color": colour, **inside}


def _range(values: Sequence[float], least: float = 0.0) -> tuple[float, float]:
    """A little more than the values take; never below ``least``."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    margin = 0.08 * (high - low) or 0.02
    return max(least, low - margin), high + margin


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
    text = re.sub(r'<g id="[^"]*"', "<g", text)  # the same in every plot
    text = re.sub(r' clip-path="[^"]*"|<(clipPath|style).*?</\1>', "", text, flags=re.DOTALL)  # nothing lies outside
    width, height = (round(72 * inches) for inches in figure.get_size_inches())
    head = f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}"'
    head += ">" if page else f' width="{width}" height="{height}" xmlns="http://www.w3.org/2000/svg">'
    text = f"{head}\n<title>{escape(title)}</title>{text[text.index('>') + 1 :]}"
    if page:
        for name, colour in COLOURS.items():
            text = text.replace(colour, f"var(--{name})")
    return text
