"""The page of a comparison of two reports."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from leaf_embed.evaluation.report.figures import MODES, SHORT, Figure
from leaf_embed.evaluation.report.page import render
from leaf_embed.evaluation.report.plots import forest
from leaf_embed.evaluation.report.styles import Series
from leaf_embed.evaluation.report.tables import SMALL, Table, metric_table, provenance, speed_table

__all__ = ["comparison_page"]

Json: TypeAlias = Mapping[str, Any]

MARKS = {"better": "\u2713 better", "worse": "\u2717 worse"}


def comparison_page(comparison: Json, first: Json, second: Json) -> str:
    """Returns the page of a comparison: its verdict, differences with intervals, every table, both provenances.

    Args:
        comparison: From :meth:`Comparison.to_dict`.
        first: The JSON form of the first report.
        second: Of the second.

    Raises:
        MissingExtraError: The extra ``eval`` is not installed.
    """
    names, deltas = comparison["names"], comparison["deltas"]
    whole = [delta for delta in deltas if delta["mode"] == "asymmetric"][-1]  # the mean, if there are several sets
    values = {
        "title": f"{names[1]} against {names[0]}",
        "status": whole["verdict"] if whole["verdict"] in MARKS else "same",
        "mark": MARKS.get(whole["verdict"], "\u25cb no difference shown"),
        "sentence": _sentence(whole, names),
        "figures": [_figure(deltas)],
        "tables": [_delta_table(deltas, names), *_point_tables(comparison["points"], names)],
        "metrics": [_named(metric_table(report), name) for report, name in zip((first, second), names, strict=True)],
        "times": [
            _named(speed_table(report), name)
            for report, name in zip((first, second), names, strict=True)
            if report.get("latency")
        ],
        "provenance": _both(first, second, names),
        "notes": comparison["notes"],
    }
    return render("compare.html.jinja", values)


def _sentence(delta: Json, names: Sequence[str]) -> str:
    change = f"{delta['first']:.4f} to {delta['second']:.4f}"
    found = f"{MODES['asymmetric']}, {delta['name']}: nDCG@10 from {change}, {_difference(delta)}"
    if delta["verdict"] in MARKS:
        return f"{names[1]} is {delta['verdict']} than {names[0]}; {found}"
    return f"{delta['verdict']}; {found}"


def _difference(delta: Json) -> str:
    found = delta["difference"]
    if found["low"] is None or found["high"] is None:
        return f"{found['value']:+.4f} (no interval) {SMALL}"
    return f"{found['value']:+.4f} ({found['low']:+.4f} to {found['high']:+.4f})"


def _figure(deltas: Sequence[Json]) -> Figure:
    names = list(dict.fromkeys(delta["name"] for delta in deltas))
    series = []
    for mode in dict.fromkeys(delta["mode"] for delta in deltas):
        here = [delta for delta in deltas if delta["mode"] == mode]
        points = [(names.index(delta["name"]), delta["difference"]["value"]) for delta in here]
        pairs = [(delta["difference"]["low"], delta["difference"]["high"]) for delta in here]
        limits = [(math.nan, math.nan) if None in pair else pair for pair in pairs]
        tips = [f"{SHORT[mode]}, {delta['name']}: {_difference(delta)}" for delta in here]
        series.append(Series(SHORT[mode], points, mode, False, tips, limits))
    title = "Difference of nDCG@10 by set"
    note = "Right of the line the second leaf is better. Bars: 95 % intervals; none where there are too few queries."
    return Figure(title, forest(series, names, title, differences=True), series, note)


def _delta_table(deltas: Sequence[Json], names: Sequence[str]) -> Table:
    rows = [
        [
            delta["name"],
            MODES[delta["mode"]],
            f"{delta['first']:.4f}",
            f"{delta['second']:.4f}",
            _difference(delta),
            f"{delta['p']:.2g}",
            MARKS.get(delta["verdict"], delta["verdict"]),
        ]
        for delta in deltas
    ]
    head = ("set", "mode", *names, "difference (95 %)", "p (Holm)", "verdict")
    return Table("nDCG@10 at full dimensions in float32", head, rows, (0, 1, 6))


def _point_tables(points: Sequence[Json], names: Sequence[str]) -> Iterator[Table]:
    rows = [
        [p["label"], MODES[p["mode"]], f"{p['first']:.4f}", f"{p['second']:.4f}", f"{p['second'] - p['first']:+.4f}"]
        for p in points
    ]
    if rows:
        head = ("point", "mode", *names, "difference")
        yield Table("nDCG@10 at the other points, mean over the sets", head, rows, (0, 1))


def _named(table: Table, name: str) -> Table:
    return Table(f"{name}: {table.caption}", table.head, table.rows, table.left)


def _both(first: Json, second: Json, names: Sequence[str]) -> list[Table]:
    """How both were measured, side by side, and their data."""
    (left, *left_data), (right, *right_data) = (list(provenance(report)) for report in (first, second))
    other = {row[0]: row[1] for row in right.rows}
    kept = [[name, value, other.pop(name, "-")] for name, value in left.rows]
    rows = [*kept, *([name, "-", value] for name, value in other.items())]
    both = Table(left.caption, ("what", *names), rows, (0, 1, 2))
    return [both, *(_named(one, names[0]) for one in left_data), *(_named(one, names[1]) for one in right_data)]
