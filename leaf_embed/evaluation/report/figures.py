"""The plots of a report's page, made from its JSON form."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from leaf_embed.evaluation.report.plots import bars, forest, scatter, shares
from leaf_embed.evaluation.report.styles import KINDS, Series

__all__ = ["MODES", "SHORT", "Figure", "bytes_per_vector", "cost_figures", "cosine_figures", "quality_figures", "speed"]

Json: TypeAlias = Mapping[str, Any]

MODES = {
    "teacher": "teacher",
    "asymmetric": "leaf queries, teacher documents",
    "symmetric": "leaf on both sides",
}
SHORT = {"teacher": "teacher", "asymmetric": "leaf, asymmetric", "symmetric": "leaf, symmetric"}
LEAF = ("asymmetric", "symmetric")
ROLES = {"document": ("documents", "document"), "query": ("queries", "asymmetric")}  # name and style
BITS = {"float32": 32.0, "int8": 8.0}  # of one dimension; others are named by them
RESCORED = "-rescored"  # such a vector is chosen by its codes in memory
NONE = (math.nan, math.nan)


@dataclass(frozen=True)
class Figure:
    """A plot of the page.

    Attributes:
        title: Above it.
        svg: The plot.
        keys: What its legend names.
        note: Below it.
    """

    title: str
    svg: str
    keys: Sequence[Series] = ()
    note: str = ""


def quality_figures(report: Json) -> Iterator[Figure]:
    """Yields the retention by set, and over dimensions for each quantization that has several."""
    rows = [(one["name"], one["points"][0]["modes"]) for one in report["sets"]]
    if len(rows) > 1:
        rows.append((f"mean of {len(rows)}", report["mean"][0]["modes"]))
    verdict = report.get("verdict") or {}
    marked = [(verdict["accept"], f"asked for: {verdict['accept']:.4g}")] if verdict else []
    series = [_series(SHORT[mode], mode, [(row, modes[mode]) for row, (_, modes) in enumerate(rows)]) for mode in LEAF]
    title = "Retention of nDCG@10 by set"
    note = "Bars: 95 % intervals; none where there are too few queries."
    if marked:
        note += f" Dotted: the {100 * verdict['accept']:.4g} % asked for."
    yield Figure(title, forest(series, [name for name, _ in rows], title, marked), series, note)
    values = [value for point in report["mean"] for mode in LEAF for value in _values(point["modes"][mode])]
    for kind in dict.fromkeys(point["quantization"] for point in report["mean"]):
        here = [point for point in report["mean"] if point["quantization"] == kind]
        if len({point["dim"] for point in here}) > 1:
            found = list(_curves(here))
            title = f"Retention over dimensions, {kind}"
            has_bands = any(math.isfinite(low) for one in found for low, _ in one.intervals)
            note = "Bands: 95 % intervals." if has_bands else "No intervals: a set has too few queries."
            yield Figure(title, shares(found, title, "dimensions", values), found, note)


def _series(name: str, style: str, rows: Sequence[tuple[float, Json]], *, dashed: bool = False) -> Series:
    """Retentions with their intervals; of the rows that have one."""
    kept = [(x, mode["retention"]) for x, mode in rows if mode.get("retention")]
    points = [(x, share["value"]) for x, share in kept]
    intervals = [NONE if share["low"] is None else (share["low"], share["high"]) for _, share in kept]
    tips = [
        f"{name}: {share['value']:.1%}"
        + ("" if share["low"] is None else f" ({share['low']:.1%} to {share['high']:.1%})")
        for _, share in kept
    ]
    return Series(name, points, style, dashed, tips, intervals)


def _values(mode: Json) -> list[float]:
    share = mode.get("retention") or {}
    return [share[name] for name in ("value", "low", "high") if share.get(name) is not None]


def _curves(points: Sequence[Json]) -> Iterator[Series]:
    for rotated in (False, True):
        chosen = sorted((p for p in points if p["rotated"] == rotated), key=lambda point: -int(point["dim"]))
        for mode in LEAF if chosen else ():
            name = f"{SHORT[mode]}{', rotated' if rotated else ''}"
            yield _series(name, mode, [(p["dim"], p["modes"][mode]) for p in chosen], dashed=rotated)


def bytes_per_vector(dim: int, quantization: str) -> float | None:
    """Returns the bytes in memory of one vector, by the name of its quantization; ``None`` if the name tells nothing.

    Of rescored vectors they are those of the codes; the float32 vectors lie on disk.
    """
    name = quantization.removesuffix(RESCORED)
    bits = BITS.get(name)
    if bits is None:
        found = re.fullmatch(r"(turbo|binary|product)([0-9.]*)", name)
        if found is None:
            return None
        number = float(found[2] or 1)
        bits = 32 / number if found[1] == "product" else number
    return dim * bits / 8


def cost_figures(report: Json) -> Iterator[Figure]:
    """Yields leaf queries on teacher documents against bytes per vector, as a share of two teachers."""
    points = [(p, bytes_per_vector(p["dim"], p["quantization"])) for p in report["mean"]]
    known = [(point, size) for point, size in points if size is not None]
    full = report["mean"][0]["modes"]["teacher"]["nDCG@10"]
    if len({size for _, size in known}) < 2 or not full:
        return
    ways = {
        "of the full teacher": lambda modes: full,
        "of the teacher at this point": lambda modes: modes["teacher"]["nDCG@10"],
    }
    drawn = {way: [_by_kind(known, whole, kind) for kind in _kinds(known)] for way, whole in ways.items()}
    values = [y for found in drawn.values() for one in found for _, y in one.points]
    for way, found in drawn.items():
        title = f"Share {way}"
        note = (
            "What a smaller vector costs, leaf and storage together."
            if way == "of the full teacher"
            else "What the leaf costs at the same storage; the teacher has lost too."
        )
        yield Figure(title, shares(found, title, "bytes per vector in memory", values, log=True), found, note)


def _kinds(points: Sequence[tuple[Json, float]]) -> list[tuple[str, bool]]:
    return list(dict.fromkeys((point["quantization"], point["rotated"]) for point, _ in points))


def _by_kind(points: Sequence[tuple[Json, float]], whole: Any, kind: tuple[str, bool]) -> Series:
    names = list(dict.fromkeys(point["quantization"] for point, _ in points))
    here = [(p, size) for p, size in points if (p["quantization"], p["rotated"]) == kind]
    here.sort(key=lambda pair: pair[1])
    values = [(size, p["modes"]["asymmetric"]["nDCG@10"] / (whole(p["modes"]) or math.nan)) for p, size in here]
    name = f"{kind[0]}{', rotated' if kind[1] else ''}"
    tips = [
        f"{name}, {p['dim']} dimensions, {size:g} bytes: {y:.1%}"
        for (p, size), (_, y) in zip(here, values, strict=True)
    ]
    return Series(name, values, KINDS[names.index(kind[0]) % len(KINDS)], kind[1], tips)


def speed(report: Json) -> Figure:
    """Returns milliseconds per query against nDCG@10."""
    modes, latency = report["mean"][0]["modes"], report["latency"]
    times = {"teacher": "teacher_p50_ms", "asymmetric": "leaf_p50_ms", "symmetric": "leaf_p50_ms"}
    series = [Series(SHORT[m], [(latency[times[m]], modes[m]["nDCG@10"])], m) for m in SHORT]
    title = "Milliseconds per query against nDCG@10"
    return Figure(title, scatter(series, title, "milliseconds per query (log)", "nDCG@10"))


def cosine_figures(report: Json) -> Iterator[Figure]:
    """Yields shares of the texts by cosine, mean over the sets, for each role."""
    series = []
    for role, (name, style) in ROLES.items():
        sets = [one["cosine_histograms"][role] for one in report["sets"] if role in one.get("cosine_histograms", {})]
        if sets:
            means = [sum(column) / len(sets) for column in zip(*sets, strict=True)]
            series.append(
                Series(name, [(bar / len(means), share) for bar, share in enumerate(means)], style, role == "query")
            )
    if series:
        title = "Cosine of leaf and teacher"
        yield Figure(title, bars(series, title, "cosine", "share of texts", 1 / len(series[0].points)), series)
