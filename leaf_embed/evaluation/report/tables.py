"""The tables of a report's page, made from its JSON form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from leaf_embed.evaluation.report.figures import MODES, bytes_per_vector

__all__ = [
    "SMALL",
    "Table",
    "grid_row",
    "grid_table",
    "metric_table",
    "percent",
    "provenance",
    "retention",
    "set_table",
]

Json: TypeAlias = Mapping[str, Any]

LEAST = 30  # queries below which a cell is marked, and below which no interval is given
SMALL = "\u2020"  # marks a cell that rests on few queries
METRICS = ("nDCG@10", "Recall@100", "MRR@10", "MAP@100")
COSINES = ("mean", "p50", "p5", "lowest")
DASH = "-"


@dataclass(frozen=True)
class Table:
    """A table of the page.

    Attributes:
        caption: Above it.
        head: Names of the columns.
        rows: Cells; the first of each names its row.
        left: Columns of text.
    """

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    left: Sequence[int] = (0,)

    @property
    def marks_small(self) -> bool:
        """Whether a cell is marked as small."""
        return any(SMALL in cell for row in self.rows for cell in row)


def percent(found: Json) -> str:
    """Returns the retention of a mode or task as a percentage."""
    share = found.get("retention")
    return f"{share['value']:.1%}" if share else DASH


def retention(found: Json) -> str:
    """Returns the retention with its interval; marked if it has none."""
    share = found.get("retention")
    if share and share["low"] is None:
        return f"{percent(found)} (no interval) {SMALL}"
    return f"{percent(found)} ({share['low']:.1%} to {share['high']:.1%})" if share else DASH


def grid_row(point: Json) -> list[str]:
    """Returns the cells of a point: dimensions, storage, nDCG@10 of each mode, and the retention of the leaf's."""
    label = f"{point['dim']}{' rotated' if point['rotated'] else ''}"
    modes = point["modes"]
    cells = [label, point["quantization"], f"{modes['teacher']['nDCG@10']:.4f}"]
    for mode in ("asymmetric", "symmetric"):
        cells += [f"{modes[mode]['nDCG@10']:.4f}", retention(modes[mode]).removesuffix(f" {SMALL}")]
    return cells


def grid_table(report: Json) -> Table:
    """Returns every point: its bytes, and leaf queries on teacher documents as a share of both teachers."""
    full = report["mean"][0]["modes"]["teacher"]["nDCG@10"]
    rows = []
    for point in report["mean"]:
        size, modes = bytes_per_vector(point["dim"], point["quantization"]), point["modes"]
        label, stored, teacher, leaf, _, alone, _ = grid_row(point)
        whole = f"{modes['asymmetric']['nDCG@10'] / full:.1%}" if full else DASH
        shares = [retention(modes[mode]) for mode in ("asymmetric", "symmetric")]
        rows.append(
            [label, stored, DASH if size is None else f"{size:g}", teacher, leaf, whole, shares[0], alone, shares[1]]
        )
    head = (
        "dims",
        "stored as",
        "bytes",
        "teacher",
        "asymmetric",
        "of the full teacher",
        "of the teacher at this point",
        "symmetric",
        "of the teacher at this point",
    )
    return Table(f"nDCG@10, mean over {len(report['sets'])} sets", head, rows, (0, 1))


def set_table(report: Json) -> Table:
    """Returns every set at the first point, and their mean."""
    rows = [_set_row(one) for one in report["sets"]]
    if len(rows) > 1:
        mean = report["mean"][0]["modes"]
        sums = [f"{sum(one[name] for one in report['sets']):,}" for name in ("queries", "documents")]
        row = [f"mean of {len(rows)}", *sums, _score(mean["teacher"], "nDCG@10")]
        for mode in ("asymmetric", "symmetric"):
            counts = [one["points"][0]["modes"][mode].get("queries") for one in report["sets"]]
            known = [count for count in counts if count]
            total = {name: sum(count[name] for count in known) for name in ("lost", "equal", "won")}
            row += [_score(mean[mode], "nDCG@10"), retention(mean[mode]), _counts(total if known else None)]
        overlaps = [one["overlap@10"].get("asymmetric", 0) for one in report["sets"]]
        rows.append([*row, f"{sum(overlaps) / len(overlaps):.1%}"])
    changed = "lost / equal / won"
    leaf = ("retention (95 %)", changed)
    head = ("set", "queries", "documents", "teacher", "asymmetric", *leaf, "symmetric", *leaf, "same top ten")
    return Table("nDCG@10 at full dimensions in float32, and the number of queries that changed", head, rows)


def _set_row(one: Json) -> list[str]:
    modes = one["points"][0]["modes"]
    few = f" {SMALL}" if one["queries"] < LEAST else ""
    row = [one["name"], f"{one['queries']:,}{few}", f"{one['documents']:,}", _score(modes["teacher"], "nDCG@10")]
    for mode in ("asymmetric", "symmetric"):
        row += [_score(modes[mode], "nDCG@10"), retention(modes[mode]), _counts(modes[mode].get("queries"))]
    return [*row, f"{one['overlap@10'].get('asymmetric', 0):.1%}"]


def _counts(found: Json | None) -> str:
    return f"{found['lost']:,} / {found['equal']:,} / {found['won']:,}" if found else DASH


def _score(modes: Json, metric: str) -> str:
    return f"{modes[metric]:.4f}" if metric in modes else DASH


def metric_table(report: Json) -> Table:
    """Returns all four metrics of every set and mode at the first point, and their means."""
    named = [(one["name"], one["points"][0]["modes"], one["queries"] < LEAST) for one in report["sets"]]
    if len(named) > 1:
        named.append((f"mean of {len(named)}", report["mean"][0]["modes"], False))
    rows = [
        [name, MODES[mode], *(_score(modes[mode], metric) + (f" {SMALL}" if few else "") for metric in METRICS)]
        for name, modes, few in named
        for mode in MODES
    ]
    return Table("All metrics at full dimensions in float32", ("set", "mode", *METRICS), rows, (0, 1))


def task_table(report: Json) -> Table:
    """Returns similarity and classification sets."""
    rows = []
    for one in report.get("tasks", ()):
        scores = [DASH if one[who] is None else f"{one[who]:.4f}" for who in ("teacher", "leaf")]
        rows.append([one["name"], one["kind"], f"{one['items']:,}", *scores, retention(one)])
    head = ("set", "score", "items", "teacher", "leaf", "retention (95 %)")
    return Table("Other tasks, by the leaf alone and by the teacher alone", head, rows, (0, 1))


def cosine_table(report: Json) -> Table:
    """Returns cosines by role and length of the text."""
    rows = [
        [
            one["name"],
            row["role"],
            row["words"],
            f"{row['texts']:,}{_few(row['texts'])}",
            *(f"{row[k]:.3f}" for k in COSINES),
        ]
        for one in report["sets"]
        for row in one.get("cosines", ())
    ]
    head = ("set", "role", "words", "texts", "mean", "median", "5th percentile", "lowest")
    return Table("Cosine of leaf and teacher by role and length of the text", head, rows, (0, 1, 2))


def group_tables(report: Json) -> Iterator[Table]:
    """Yields of each set where leaf queries lose, and what sending some of them to the teacher would keep."""
    for one in report["sets"]:
        rows = []
        for group in one.get("groups", ()):
            scores = [f"{group[who]:.4f}" for who in ("teacher", "leaf")]
            count = f"{group['queries']:,}{_few(group['queries'])}"
            rows.append([group["group"], group["by"], count, *scores, retention(group)])
        if rows:
            head = ("group", "by", "queries", "teacher", "leaf", "retention (95 %)")
            yield Table(f"{one['name']}: leaf queries on teacher documents by kind of query", head, rows, (0, 1))
        routes = one.get("routing") or {}
        if routes:
            sent = ("sent to the teacher", *(f"{share:.0%}" for share, _ in next(iter(routes.values()))))
            kept = [[name, *(f"{value:.1%}" for _, value in curve)] for name, curve in routes.items()]
            yield Table(f"{one['name']}: retention if a share of the queries is sent to the teacher", sent, kept)


def _few(count: int) -> str:
    return f" {SMALL}" if count < LEAST else ""


def speed_table(report: Json) -> Table:
    """Returns wall and processor milliseconds and threads of both encoders."""
    found, threads = report["latency"], report["latency"].get("threads") or {}
    rows = []
    for who in ("leaf", "teacher"):
        times = [found.get(f"{who}_{name}_ms") for name in ("p50", "p95", "cpu")]
        cells = [DASH if value is None else f"{value:.2f}" for value in times]
        rows.append([who, str(threads.get(who) or "unknown"), *cells])
    head = ("encoder", "threads", "median ms", "95th percentile ms", "processor ms")
    return Table(f"One query per call, {found['queries']} queries", head, rows)


def cost_table(found: Json) -> Table:
    """Returns what a process costs that asks the leaf, and a million queries."""
    price = f"at {found['price_per_core_hour']:g} per core and hour"
    rows = [
        ["threads", str(found["threads"])],
        ["new process to first vector", f"{found['cold_start_s']:.2f} s"],
        ["peak memory", DASH if found["peak_mib"] is None else f"{found['peak_mib']:.0f} MiB"],
        ["queries per second, in batches", f"{found['queries_per_second']:,.0f}"],
        [f"a million queries in batches, {price}", f"{found['per_million_in_batches']:.4g}"],
    ]
    for who, cost in (found.get("per_million_one_by_one") or {}).items():
        rows.append([f"a million queries one by one, {who}, {price}", f"{cost:.4g}"])
    if found["refused"]:
        rows.append(["measured on a busy machine", found["refused"]])
    return Table("What a process costs that asks the leaf", ("what", "value"), rows)


def agreement_table(found: Json) -> Table:
    """Returns how far leaf and teacher rank alike on questions without judgements."""
    names = {
        "top_ten": "the teacher's ten best among the leaf's ten best",
        "rank_biased": "rank-biased overlap of the hundred best",
        "first_changed": "another first document",
    }
    rows = []
    for key, name in names.items():
        share = found[key]
        limits = f"no interval {SMALL}" if share["low"] is None else f"{share['low']:.1%} to {share['high']:.1%}"
        rows.append([name, f"{share['value']:.1%}", limits])
    caption = f"{found['questions']:,} questions without judgements, {found['documents']:,} documents"
    return Table(caption, ("agreement of leaf and teacher", "mean", "95 % interval"), rows)


def provenance(report: Json) -> Iterator[Table]:
    """Yields how the report was made, and from what data."""
    found = report.get("provenance") or {}
    latency, options = report.get("latency") or {}, dict(found.get("options") or {})
    threads, watched = latency.get("threads") or {}, latency.get("machine") or {}
    values = {
        "date": found.get("date"),
        "leaf": report.get("leaf"),
        "variant": options.pop("variant", None),
        "space": report["fingerprint"],
        "dimensions": report["dim"],
        "teacher": report["teacher"],
        "precision of the leaf": found.get("leaf_precision"),
        "precision of the teacher": found.get("teacher_precision"),
        "threads while timed": ", ".join(f"{who} {count or 'unknown'}" for who, count in threads.items()),
        "machine": report.get("machine"),
        "machine while timed": ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in watched.items()),
        "leaf-embed": report.get("release"),
        "format": f"{report.get('format')}, version {report.get('version')}",
        **{f"option {name}": _option(value) for name, value in options.items()},
    }
    rows = [[name, DASH if value in (None, "") else str(value)] for name, value in values.items()]
    yield Table("How it was measured", ("what", "value"), rows, (0, 1))
    data = []
    for one in report["sets"]:
        source = one.get("data") or {}
        counts = "; ".join(f"{count:,} {reason}" for reason, count in (source.get("counts") or {}).items() if count)
        unknown = one.get("unknown_documents", 0)
        missing = f"{unknown:,} judgements of documents that the corpus lacks" if unknown else ""
        cells = [source.get("split") or DASH, f"{one['queries']:,}", f"{one['documents']:,}"]
        digest = source.get("qrels_digest") or DASH
        data.append([one["name"], *cells, digest, "; ".join(filter(None, (counts, missing))) or DASH])
    if data:
        head = ("set", "split", "queries", "documents", "digest of the judgements", "odd or left out")
        yield Table("The data", head, data, (0, 1, 4, 5))


def _option(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else DASH if value is None else str(value)
