"""The report as one HTML page that needs nothing else: no script, no font, no file beside it.

It is made from the report's JSON form, so that a page can be drawn again from a saved report. Layout is in
``page.html.jinja``, style in ``style.css``; ``figures`` and ``tables`` compute what the template shows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import resources
from typing import Any, TypeAlias

from leaf_embed._extras import require
from leaf_embed.evaluation.report import figures, tables
from leaf_embed.evaluation.report.tables import SMALL, percent

__all__ = ["html_page", "render"]

Json: TypeAlias = Mapping[str, Any]

VERDICTS = {
    "shown": "\u2713 shown",
    "not shown": "\u25cb not shown",
    "below": "\u2717 shown to keep less",
    "unknown": "? no verdict",
}


def html_page(report: Json) -> str:
    """Returns a page that a person reads in a minute: verdict, quality, bytes, speed; then every table.

    The same report gives the same page, byte for byte.

    Args:
        report: From :meth:`EvaluationReport.to_dict`, or read from the JSON file.

    Raises:
        MissingExtraError: The extra ``eval`` is not installed.
    """
    has_sets = bool(report["sets"])
    values: dict[str, Any] = {
        "report": {"verdict": None, "agreement": None, "latency": None, **report}
        | {"sets": [{"worst_queries": (), **one} for one in report["sets"]]},
        "title": f"{report.get('leaf') or 'A leaf'} against its teacher",
        "verdicts": VERDICTS,
        "facts": list(_facts(report)),
        "tasks": tables.task_table(report),
        "groups": list(tables.group_tables(report)),
        "provenance": list(tables.provenance(report)),
        "speed": None,
    }
    if has_sets:
        values |= {
            "quality": list(figures.quality_figures(report)),
            "costs": list(figures.cost_figures(report)),
            "cosines": list(figures.cosine_figures(report)),
            "sets": tables.set_table(report),
            "metrics": tables.metric_table(report),
            "grid": tables.grid_table(report),
            "cosine_rows": tables.cosine_table(report),
        }
    if report.get("agreement"):
        values["agreement"] = tables.agreement_table(report["agreement"])
    if report.get("latency"):
        values["times"] = tables.speed_table(report)
        values["speed"] = figures.speed(report) if has_sets and report["latency"]["ratio"] is not None else None
    values["costs_table"] = tables.cost_table(report["costs"]) if report.get("costs") else None
    return render("page.html.jinja", values)


def render(template: str, values: Mapping[str, Any]) -> str:
    """Returns a page from one of the templates of this folder; everything but plots is escaped.

    Raises:
        MissingExtraError: The extra ``eval`` is not installed.
    """
    jinja2: Any = require("jinja2", "eval", "The page of a report")
    folder = resources.files("leaf_embed.evaluation.report")
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda name: folder.joinpath(name).read_text(encoding="utf-8")),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["small"] = SMALL
    page: str = environment.get_template(template).render(values)
    return page + "\n"


def _facts(report: Json) -> Iterator[tuple[str, str, str]]:
    """The headline values: value, label, note."""
    for modes in [point["modes"] for point in report["mean"][:1]]:
        for mode in ("asymmetric", "symmetric"):
            yield percent(modes[mode]), f"of the teacher's nDCG@10: {figures.MODES[mode]}", _interval(modes[mode])
    for task in report.get("tasks", ()):
        yield percent(task), f"of the teacher's {task['kind']}: {task['name']}", _interval(task)
    latency, sizes, canaries = report.get("latency"), report.get("sizes") or {}, report.get("canaries")
    if latency:
        note = (
            f"{latency['leaf_p50_ms']:.2f} ms per query, teacher {latency['teacher_p50_ms']:.2f} ms{_threads(latency)}"
        )
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


def _threads(latency: Json) -> str:
    found = latency.get("threads") or {}
    return f"; threads {found['leaf'] or 'unknown'} and {found['teacher'] or 'unknown'}" if found else ""


def _interval(found: Json) -> str:
    share = found.get("retention")
    if share and share["low"] is None:
        return "too few queries for an interval"
    return f"95 % interval {share['low']:.1%} to {share['high']:.1%}" if share else "the teacher finds nothing"
