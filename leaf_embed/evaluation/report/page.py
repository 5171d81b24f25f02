"""The report as one HTML page that needs nothing else: no script, no font, no file beside it.

It is made from the report's JSON form, so that a page can be drawn again from a saved report. Layout and style are in
``page.html.jinja``; this module computes what the template shows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any, TypeAlias

from leaf_embed._extras import require
from leaf_embed.evaluation.report.plots import Series, bars, lines, scatter

__all__ = ["grid_row", "html_page"]

Json: TypeAlias = Mapping[str, Any]

MODES = {
    "teacher": "teacher",
    "asymmetric": "leaf queries, teacher documents",
    "symmetric": "leaf on both sides",
}
SHORT = {"teacher": "teacher", "asymmetric": "leaf, asymmetric", "symmetric": "leaf, symmetric"}
COSINES = ("mean", "p50", "p5", "lowest")
ROLES = {"document": ("documents", "document"), "query": ("queries", "asymmetric")}  # name and colour


def html_page(report: Json) -> str:
    """Returns a page that a person reads in a minute: retention, speed and size; then plots; then every table.

    The same report gives the same page, byte for byte.

    Args:
        report: From :meth:`EvaluationReport.to_dict`, or read from the JSON file.

    Raises:
        MissingExtraError: The extra ``eval`` is not installed.
    """
    jinja2: Any = require("jinja2", "eval", "The page of a report")
    text = resources.files("leaf_embed.evaluation.report").joinpath("page.html.jinja").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    page: str = environment.from_string(text).render(
        report={**report, "sets": [{"worst_queries": (), **one} for one in report["sets"]]},
        title=f"{report.get('leaf') or 'A leaf'} against its teacher",
        modes=MODES,
        facts=list(_facts(report)),
        figures=list(_figures(report)) if report["sets"] else [],
        sets=[_set_row(one) for one in report["sets"]],
        tasks=[_task_row(one) for one in report.get("tasks", ())],
        grid=[grid_row(point) for point in report["mean"]],
        cosines=[_cosine_row(one["name"], row) for one in report["sets"] for row in one.get("cosines", ())],
    )
    return page + "\n"


def _facts(report: Json) -> Iterator[tuple[str, str, str]]:
    """The headline values: value, label, note."""
    for modes in [point["modes"] for point in report["mean"][:1]]:
        for mode in ("asymmetric", "symmetric"):
            yield _percent(modes[mode]), f"of the teacher's nDCG@10: {MODES[mode]}", _interval(modes[mode])
    for task in report.get("tasks", ()):
        yield _percent(task), f"of the teacher's {task['kind']}: {task['name']}", _interval(task)
    latency, sizes, canaries = report.get("latency"), report.get("sizes") or {}, report.get("canaries")
    if latency:
        note = f"{latency['leaf_p50_ms']:.2f} ms per query, teacher {latency['teacher_p50_ms']:.2f} ms"
        if latency["ratio"] is None:
            yield "no ratio", "of the times of one query", f"{latency['refused']}; {note}"
        else:
            yield f"{latency['ratio']:.1f} times", "faster, one query at a time", note
    if "leaf" in sizes:
        teacher = f"; teacher {sizes['teacher']['bytes'] / 1e6:.0f} MB" if "teacher" in sizes else ""
        note = f"{sizes['leaf']['parameters'] / 1e6:.1f} M parameters{teacher}"
        yield f"{sizes['leaf']['bytes'] / 1e6:.1f} MB", "on disk to answer queries", note
    if canaries:
        note = f"mean cosine {canaries['mean']:.3f} with the teacher"
        yield "pass" if canaries["passed"] else "FAIL", "canaries", note


@dataclass(frozen=True)
class Figure:
    """A plot of the page, or a small table instead.

    Attributes:
        title: Above it.
        svg: The plot.
        keys: Of a legend below it: colour and name.
        head: Of the table.
        rows: Of the table; no plot is shown if there are any.
    """

    title: str
    svg: str = ""
    keys: Sequence[tuple[str, str]] = ()
    head: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()


def _figures(report: Json) -> Iterator[Figure]:
    points, count = report["mean"], 0
    every = [mode["nDCG@10"] for point in points for mode in point["modes"].values()]
    if report.get("latency"):
        count += 1
        yield Figure("Speed against quality", _speed(report))
    for kind in dict.fromkeys(point["quantization"] for point in points):
        here = [point for point in points if point["quantization"] == kind]
        if len({point["dim"] for point in here}) > 1:
            count += 1
            picture = lines(_curves(here), f"nDCG@10 over dimensions, {kind}", "dimensions", "nDCG@10", every)
            yield Figure(f"Fewer dimensions, stored as {kind}", picture)
    full = [point for point in points if point["dim"] == report["dim"] and not point["rotated"]]
    if len(full) > 1 and count < 2:  # no curves over dimensions to show quantization in
        rows = [[p["quantization"], *(f"{p['modes'][mode]['nDCG@10']:.4f}" for mode in SHORT)] for p in full]
        yield Figure("Quantization at full dimensions", head=["stored as", *SHORT.values()], rows=rows)
    series = list(_histograms(report))
    if series:
        title, width = "Cosine of leaf and teacher", 1 / len(series[0].points)
        keys = [(one.style, one.name) for one in series]
        yield Figure(title, bars(series, title, "cosine", "share of texts", width), keys)


def _speed(report: Json) -> str:
    modes, latency = report["mean"][0]["modes"], report["latency"]
    times = {"teacher": "teacher_p50_ms", "asymmetric": "leaf_p50_ms", "symmetric": "leaf_p50_ms"}
    series = [Series(SHORT[m], [(latency[times[m]], modes[m]["nDCG@10"])], m) for m in SHORT]
    return scatter(series, "Milliseconds per query against nDCG@10", "milliseconds per query (log)", "nDCG@10")


def _curves(points: Sequence[Json]) -> list[Series]:
    found = []
    for rotated in (False, True):
        chosen = [point for point in points if point["rotated"] == rotated]
        chosen.sort(key=lambda point: -int(point["dim"]))
        for mode in SHORT if chosen else ():
            values = [(point["dim"], point["modes"][mode]["nDCG@10"]) for point in chosen]
            found.append(Series(f"{SHORT[mode]}{', rotated' if rotated else ''}", values, mode, rotated))
    return found


def _histograms(report: Json) -> Iterator[Series]:
    """Shares of the texts by cosine, mean over the sets, for each role."""
    for role, (name, colour) in ROLES.items():
        sets = [one["cosine_histograms"][role] for one in report["sets"] if role in one.get("cosine_histograms", {})]
        if sets:
            shares = [sum(column) / len(sets) for column in zip(*sets, strict=True)]
            yield Series(name, [(bar / len(shares), share) for bar, share in enumerate(shares)], colour)


def _set_row(one: Json) -> list[str]:
    counts = [one["name"], f"{one['queries']:,}", f"{one['documents']:,}"]
    return [*counts, *_scores(one["points"][0]["modes"]), f"{one['overlap@10'].get('asymmetric', 0):.1%}"]


def _task_row(one: Json) -> list[str]:
    scores = ["-" if one[who] is None else f"{one[who]:.4f}" for who in ("teacher", "leaf")]
    return [one["name"], one["kind"], f"{one['items']:,}", *scores, _retention(one)]


def grid_row(point: Json) -> list[str]:
    """Returns the cells of a point: dimensions, storage, nDCG@10 of each mode, and the retention of the leaf's."""
    label = f"{point['dim']}{' rotated' if point['rotated'] else ''}"
    return [label, point["quantization"], *_scores(point["modes"])]


def _cosine_row(name: str, row: Json) -> list[str]:
    return [name, row["role"], row["words"], f"{row['texts']:,}", *(f"{row[key]:.3f}" for key in COSINES)]


def _scores(modes: Json) -> list[str]:
    cells = [f"{modes['teacher']['nDCG@10']:.4f}"]
    for mode in ("asymmetric", "symmetric"):
        cells += [f"{modes[mode]['nDCG@10']:.4f}", _retention(modes[mode])]
    return cells


def _retention(found: Json) -> str:
    share = found.get("retention")
    if share and share["low"] is None:
        return f"{_percent(found)} (no interval)"
    return f"{_percent(found)} ({share['low']:.1%} to {share['high']:.1%})" if share else "-"


def _interval(found: Json) -> str:
    share = found.get("retention")
    if share and share["low"] is None:
        return "too few queries for an interval"
    return f"95 % interval {share['low']:.1%} to {share['high']:.1%}" if share else "the teacher finds nothing"


def _percent(found: Json) -> str:
    share = found.get("retention")
    return f"{share['value']:.1%}" if share else "-"
