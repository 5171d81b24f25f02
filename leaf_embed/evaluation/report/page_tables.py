"""The tables of the report's page, from its JSON form."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any, TypeAlias

__all__ = ["Json", "cosines", "grid", "interval", "percent", "sets", "table", "tasks", "worst"]

Json: TypeAlias = Mapping[str, Any]

COSINES = ("mean", "p50", "p5", "lowest")


def sets(report: Json) -> str:
    """Every set at full dimensions in float32."""
    head = ["set", "queries", "documents", "teacher", "asymmetric", "kept", "symmetric", "kept", "same top ten"]
    rows = []
    for one in report["sets"]:
        modes = one["points"][0]["modes"]
        cells = [one["name"], f"{one['queries']:,}", f"{one['documents']:,}", f"{modes['teacher']['nDCG@10']:.4f}"]
        for mode in ("asymmetric", "symmetric"):
            cells += [f"{modes[mode]['nDCG@10']:.4f}", _kept(modes[mode])]
        rows.append([*cells, f"{one['overlap@10'].get('asymmetric', 0):.1%}"])
    return table(head, rows)


def tasks(found: Sequence[Json]) -> str:
    """Similarity and classification sets, with a heading; empty if there are none."""
    rows = [
        [one["name"], one["kind"], f"{one['items']:,}", f"{one['teacher']:.4f}", f"{one['leaf']:.4f}", _kept(one)]
        for one in found
    ]
    head = ["set", "score", "items", "teacher", "leaf", "kept"]
    return f"<h2>Other tasks</h2>{table(head, rows, left=(0, 1))}" if rows else ""


def grid(report: Json) -> str:
    """Means over the sets at every point, folded if there are many."""
    rows = []
    for point in report["mean"]:
        modes = point["modes"]
        cells = [f"{point['dim']}{' rotated' if point['rotated'] else ''}", point["quantization"]]
        cells.append(f"{modes['teacher']['nDCG@10']:.4f}")
        for mode in ("asymmetric", "symmetric"):
            cells += [f"{modes[mode]['nDCG@10']:.4f}", _kept(modes[mode])]
        rows.append(cells)
    head = ["dims", "stored as", "teacher", "asymmetric", "kept", "symmetric", "kept"]
    found = table(head, rows, left=(0, 1))
    return f"<details><summary>{len(rows)} points</summary>{found}</details>" if len(rows) > 8 else found


def cosines(report: Json) -> str:
    """Cosines by set, role and length, folded."""
    rows = [
        [one["name"], row["role"], row["words"], f"{row['texts']:,}", *(f"{row[k]:.3f}" for k in COSINES)]
        for one in report["sets"]
        for row in one.get("cosines", ())
    ]
    head = ["set", "role", "words", "texts", "mean", "median", "5th percentile", "lowest"]
    return f"<details><summary>By role and length of the text</summary>{table(head, rows, left=(0, 1, 2))}</details>"


def worst(one: Json) -> str:
    """The queries of a set that lose most, both rankings side by side, folded."""
    queries = one.get("worst_queries", ())
    if not queries:
        return f'<p class="sub">{escape(one["name"])}: no query loses anything.</p>'
    items = []
    for query in queries:
        sides = [("teacher", query["teacher_hits"]), ("leaf", query["leaf_hits"])]
        lists = "".join(f"<div><h4>{who}</h4><ol>{''.join(map(_hit, hits))}</ol></div>" for who, hits in sides)
        score = f"{query['teacher']:.2f} → {query['leaf']:.2f}"
        items.append(f"<h3>{escape(query['text'])} <small>{score}</small></h3><div class='two'>{lists}</div>")
    return f"<details><summary>{escape(one['name'])}: {len(queries)} queries</summary>{''.join(items)}</details>"


def _hit(hit: Json) -> str:
    mark = ' class="relevant"' if hit["grade"] > 0 else ""
    return f"<li{mark}><code>{escape(hit['id'])}</code> {escape(hit['text'])}</li>"


def _kept(mode: Json) -> str:
    share = mode.get("retention")
    return f"{percent(share)} ({share['low']:.1%} to {share['high']:.1%})" if share else "-"


def interval(mode: Json) -> str:
    """The interval of a share in words."""
    share = mode.get("retention")
    return f"95 % interval {share['low']:.1%} to {share['high']:.1%}" if share else "the teacher finds nothing"


def percent(share: Json | None) -> str:
    """A share, or a dash."""
    return "-" if share is None else f"{share['value']:.1%}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]], left: Sequence[int] = (0,)) -> str:
    """A table that scrolls by itself where the window is narrow; ``left`` columns hold names."""

    def line(cells: Sequence[str], tag: str) -> str:
        style: Callable[[int], str] = lambda column: ' class="name"' if column in left else ""  # noqa: E731
        return "<tr>" + "".join(f"<{tag}{style(i)}>{escape(c)}</{tag}>" for i, c in enumerate(cells)) + "</tr>"

    body = "".join(line(row, "td") for row in rows)
    return f'<div class="scroll"><table><thead>{line(head, "th")}</thead><tbody>{body}</tbody></table></div>'
