"""``leaf-embed tune``: the search settings that a collection needs for its own queries."""

from __future__ import annotations

import json
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from leaf_embed._files import check_writable, write_text
from leaf_embed.cli.console import errors, many_integers, output
from leaf_embed.cli.options import (
    AsJson,
    CollectionName,
    Leaf,
    Limit,
    Path_,
    Url,
    output_option,
    panel,
    place,
    texts_option,
)
from leaf_embed.errors import InputError
from leaf_embed.qdrant.document_files import check_documents, read_documents

if TYPE_CHECKING:
    from leaf_embed.qdrant import CollectionSpec, TuneReport, TuneRow
    from leaf_embed.space import EmbeddingSpace

__all__ = ["command", "tune_svg", "tune_text"]

grid_option = panel("Settings to try")
COLUMNS, LINES = 60, 12
MARKS = "ox+*#@"


def command(
    leaf: Leaf,
    collection: CollectionName,
    queries: Annotated[Path, texts_option(help="Queries as users ask them: .txt, .jsonl or .csv; 50 or more.")],
    path: Path_ = None,
    url: Url = None,
    presets: Annotated[
        str | None, grid_option(help="Presets to try too, each on a copy: small,exact. The teacher is not called.")
    ] = None,
    candidates: Annotated[str, grid_option(help="Candidates of stage one to try.")] = "20,50,100,200,400",
    oversampling: Annotated[
        str | None, grid_option(help="Oversampling of stage one to try beside none, as in 2,4.")
    ] = None,
    limit: Limit = 10,
    target: Annotated[float, typer.Option(help="Recall that the recommendation has to reach.")] = 0.99,
    sample: Annotated[int, grid_option(help="Documents of a copy.")] = 20_000,
    max_queries: Annotated[int, texts_option(help="Queries to take from the file.")] = 500,
    plot: Annotated[Path | None, output_option(help="Plot to write, .svg (extra eval).")] = None,
    as_json: AsJson = False,
) -> None:
    """Measure recall against exact search, and milliseconds, with your documents and your queries.

    The collection is only read.
    """
    where = place(path, url)
    check_documents(queries)
    if plot is not None and plot.suffix != ".svg":
        raise InputError(f"--plot writes SVG; name a file that ends in .svg, not {plot.name!r}")
    if plot is not None:
        check_writable(plot)
    import leaf_embed
    from leaf_embed.qdrant import LeafCollection, TuneGrid, tune

    grid = TuneGrid(
        candidates=many_integers([candidates], "--candidates"),
        oversampling=(None, *map(float, many_integers([oversampling] if oversampling else None, "--oversampling"))),
        limit=limit,
        target=target,
        sample=sample,
    )
    texts = [str(record["text"]) for record in islice(read_documents(queries), max_queries)]
    with LeafCollection.open(collection, leaf_embed.load(leaf), **where) as found:
        errors.print(f"{found.count()} documents, {len(texts)} queries", highlight=False)
        report = tune(found, texts, grid, specs=_specs(presets, found.space))
    if plot is not None:
        write_text(plot, tune_svg(report))
    _show(report, as_json)


def _specs(presets: str | None, space: EmbeddingSpace) -> dict[str, CollectionSpec]:
    from leaf_embed.qdrant import CollectionSpec

    names: list[Any] = presets.split(",") if presets else []
    return {name: CollectionSpec.preset(name, space) for name in names}


def _show(report: TuneReport, as_json: bool) -> None:
    if as_json:
        for row in report.rows:
            typer.echo(json.dumps({**asdict(row), "recommended": row is report.recommended}))
        return
    output.print(str(report), markup=False, highlight=False)
    output.print(tune_text(report), markup=False, highlight=False)
    best = report.recommended
    if best.candidates is not None:
        extra = "" if best.oversampling is None else f", oversampling={best.oversampling:g}"
        output.print(f"search(query, candidates={best.candidates}, mrl={best.mrl}{extra})", markup=False)


def _series(report: TuneReport) -> dict[str, list[TuneRow]]:
    """The rows of each spec and first stage; the exact search of a spec is one of its own."""
    found: dict[str, list[TuneRow]] = {}
    for row in report.rows:
        found.setdefault(f"{row.spec}: {row.stage}", []).append(row)
    return found


def tune_text(report: TuneReport) -> str:
    """Recall over median milliseconds in lines of text, one mark per setting."""
    times, recalls = [row.p50_ms for row in report.rows], [row.recall for row in report.rows]
    grid = [[" "] * COLUMNS for _ in range(LINES)]
    series = _series(report)
    for number, rows in enumerate(series.values()):
        for row in rows:
            line = LINES - 1 - round(_share(row.recall, recalls) * (LINES - 1))
            grid[line][round(_share(row.p50_ms, times) * (COLUMNS - 1))] = MARKS[number % len(MARKS)]
    labels = [f"{max(recalls):.3f}", *[""] * (LINES - 2), f"{min(recalls):.3f}"]
    lines = [f"{label:>7} |{''.join(cells).rstrip()}" for label, cells in zip(labels, grid, strict=True)]
    lines.append(f"{'':>7} +{'-' * COLUMNS}")
    lines.append(f"{'recall':>7}  {min(times):<10.2f}{'p50 ms':^{COLUMNS - 20}}{max(times):>10.2f}")
    return "\n".join([*lines, *(f"{MARKS[i % len(MARKS)]:>9} {name}" for i, name in enumerate(series))])


def _share(value: float, values: list[float]) -> float:
    """Scales a value to [0, 1] by the smallest and the largest."""
    low, high = min(values), max(values)
    return 0.5 if high == low else (value - low) / (high - low)


def tune_svg(report: TuneReport) -> str:
    """Recall over median milliseconds as an SVG file; the recommended setting has a ring.

    Raises:
        MissingExtraError: The extra ``eval`` is not installed.
    """
    from leaf_embed.evaluation.report.plots import Series, curves

    series = [
        Series(name, [(row.p50_ms, row.recall) for row in rows], tips=[_tip(row) for row in rows])
        for name, rows in _series(report).items()
    ]
    title = f"recall against exact search, {report.queries} queries; the ring: take this"
    best = (report.recommended.p50_ms, report.recommended.recall)
    return curves(series, title, "median milliseconds of a search", "recall", marked=best)


def _tip(row: TuneRow) -> str:
    candidates = "exact" if row.candidates is None else f"{row.candidates} candidates"
    return f"{candidates}: recall {row.recall:.4f}, p50 {row.p50_ms:.2f} ms"
