"""The report as one HTML page that needs nothing else: no script, no font, no file beside it.

It is made from the report's JSON form, so that a page can be drawn again from a saved report.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from leaf_embed.evaluation.report import page_tables
from leaf_embed.evaluation.report.page_tables import Json, interval, percent
from leaf_embed.evaluation.report.plots import Series, bars, lines, scatter
from leaf_embed.evaluation.report.style import STYLE

__all__ = ["html_page"]


NAMES = {
    "teacher": "teacher",
    "asymmetric": "leaf queries, teacher documents",
    "symmetric": "leaf on both sides",
}
SHORT = {"teacher": "teacher", "asymmetric": "leaf, asymmetric", "symmetric": "leaf, symmetric"}


def html_page(report: Json) -> str:
    """A page a person can read in a minute: what is kept, how fast, how big; then plots; then everything.

    Args:
        report: From :meth:`EvaluationReport.to_dict`, or read from the JSON file.
    """
    title = f"{report.get('leaf') or 'A leaf'} against its teacher"
    parts = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="sub">space <code>{escape(report["fingerprint"])}</code>, {report["dim"]} dimensions; '
        f"teacher <code>{escape(report['teacher'])}</code></p>",
        _facts(report),
        *(_retrieval_plots(report) if report["sets"] else ()),
        page_tables.tasks(report.get("tasks", ())),
        *(_retrieval_details(report) if report["sets"] else ()),
    ]
    head = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<link rel="icon" href="data:,"><title>{escape(title)}</title><style>{STYLE}</style></head>'
    )
    return f"{head}\n<body><main>\n" + "\n".join(part for part in parts if part) + "\n</main></body></html>\n"


def _retrieval_plots(report: Json) -> list[str]:
    plots = f'<div class="plots">{"".join(_plots(report))}</div>'
    return [_legend(), plots, "<h2>Every set at full size</h2>", page_tables.sets(report)]


def _retrieval_details(report: Json) -> list[str]:
    return [
        "<h2>Every number of dimensions and quantization</h2>",
        f'<p class="sub">nDCG@10, mean over {len(report["sets"])} sets; in brackets the 95 % interval of a paired '
        "bootstrap over the queries.</p>",
        page_tables.grid(report),
        "<h2>How near the vectors are</h2>",
        page_tables.cosines(report),
        "<h2>Queries that lose most</h2>",
        *[page_tables.worst(one) for one in report["sets"]],
    ]


def _facts(report: Json) -> str:
    """The few numbers that one came for."""
    cards = [
        (
            percent(modes[mode].get("retention")),
            f"of the teacher's nDCG@10: {NAMES[mode]}",
            interval(modes[mode]),
        )
        for modes in [point["modes"] for point in report["mean"][:1]]
        for mode in ("asymmetric", "symmetric")
    ]
    cards += [
        (
            percent(task["retention"]),
            f"of the teacher's {task['kind']}: {task['name']}",
            interval(task),
        )
        for task in report.get("tasks", ())
    ]
    latency, sizes, canaries = report.get("latency"), report.get("sizes") or {}, report.get("canaries")
    if latency:
        note = f"{latency['leaf_p50_ms']:.2f} ms a query, teacher {latency['teacher_p50_ms']:.2f} ms"
        cards.append((f"{latency['ratio']:.1f} times", "faster, one query at a time", note))
    if "leaf" in sizes:
        teacher = f"; teacher {sizes['teacher']['bytes'] / 1e6:.0f} MB" if "teacher" in sizes else ""
        note = f"{sizes['leaf']['parameters'] / 1e6:.1f} M parameters{teacher}"
        cards.append((f"{sizes['leaf']['bytes'] / 1e6:.1f} MB", "on disk to answer queries", note))
    if canaries:
        note = f"mean cosine {canaries['mean']:.3f} with the teacher"
        cards.append(("pass" if canaries["passed"] else "FAIL", "canaries", note))
    items = [f"<li><b>{escape(a)}</b><span>{escape(b)}</span><small>{escape(c)}</small></li>" for a, b, c in cards]
    return f'<ul class="facts">{"".join(items)}</ul>'


def _legend() -> str:
    keys = [f'<span><i class="key {mode}"></i>{escape(name)}</span>' for mode, name in NAMES.items()]
    return f'<p class="legend">{"".join(keys)}<span><i class="key dashed"></i>rotated before truncation</span></p>'


def _plots(report: Json) -> list[str]:
    points, found = report["mean"], []
    every = [mode["nDCG@10"] for point in points for mode in point["modes"].values()]
    if report.get("latency"):
        found.append(_figure("Speed against quality", _speed(report)))
    for kind in dict.fromkeys(point["quantization"] for point in points):
        here = [point for point in points if point["quantization"] == kind]
        if len({point["dim"] for point in here}) > 1:
            picture = lines(_curves(here), f"nDCG@10 over dimensions, {kind}", "dimensions", "nDCG@10", every)
            found.append(_figure(f"Fewer dimensions, stored as {kind}", picture))
    full = [point for point in points if point["dim"] == report["dim"] and not point["rotated"]]
    if len(full) > 1 and len(found) < 2:  # no curves over dimensions to show quantization in
        found.append(_figure("Quantization at full dimensions", page_tables.table(*_quantized(full))))
    histogram = _histogram(report)
    return found + ([_figure("Cosine of leaf and teacher", histogram)] if histogram else [])


def _speed(report: Json) -> str:
    modes, latency = report["mean"][0]["modes"], report["latency"]
    times = {"teacher": "teacher_p50_ms", "asymmetric": "leaf_p50_ms", "symmetric": "leaf_p50_ms"}
    series = [Series(SHORT[m], [(latency[times[m]], modes[m]["nDCG@10"])], m) for m in SHORT]
    return scatter(series, "Milliseconds a query against nDCG@10", "milliseconds a query (log)", "nDCG@10")


def _curves(points: Sequence[Json]) -> list[Series]:
    found = []
    for rotated in (False, True):
        chosen = [point for point in points if point["rotated"] == rotated]
        for mode in SHORT if chosen else ():
            values = [(point["dim"], point["modes"][mode]["nDCG@10"]) for point in chosen]
            found.append(Series(f"{SHORT[mode]}{', rotated' if rotated else ''}", values, mode, rotated))
    return found


def _quantized(points: Sequence[Json]) -> tuple[Sequence[str], list[list[str]]]:
    rows = [[p["quantization"], *(f"{p['modes'][mode]['nDCG@10']:.4f}" for mode in SHORT)] for p in points]
    return ["stored as", *SHORT.values()], rows


def _histogram(report: Json) -> str:
    series = []
    for role in ("document", "query"):
        sets = [one["cosine_histograms"][role] for one in report["sets"] if role in one.get("cosine_histograms", {})]
        if sets:
            shares = [sum(column) / len(sets) for column in zip(*sets, strict=True)]
            points = [(place / len(shares), share) for place, share in enumerate(shares)]
            series.append(Series({"document": "documents", "query": "queries"}[role], points, role))
    if not series:
        return ""
    keys = "".join(f'<span><i class="key {one.style}"></i>{one.name}</span>' for one in series)
    picture = bars(series, "Cosine of leaf and teacher", "cosine", "share of texts", 1 / len(series[0].points))
    return f'{picture}<p class="legend">{keys}</p>'


def _figure(title: str, content: str) -> str:
    return f"<figure><figcaption>{escape(title)}</figcaption>{content}</figure>"
