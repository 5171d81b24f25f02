"""``leaf-embed tune``: the search settings that a collection needs for its own queries."""

from __future__ import annotations

import json
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from leaf_embed._files import write_text
from leaf_embed.cli.console import errors, many_numbers, output
from leaf_embed.cli.options import AsJson, CollectionName, Leaf, Limit, Path_, Url, place
from leaf_embed.cli.plot import tune_svg, tune_text
from leaf_embed.errors import InputError
from leaf_embed.qdrant.document_files import check_documents, read_documents

if TYPE_CHECKING:
    from leaf_embed.qdrant import CollectionSpec, TuneReport
    from leaf_embed.space import EmbeddingSpace

__all__ = ["command"]


def command(
    leaf: Leaf,
    collection: CollectionName,
    queries: Annotated[Path, typer.Option(help="Queries as users ask them: .txt, .jsonl or .csv; 50 or more.")],
    path: Path_ = None,
    url: Url = None,
    presets: Annotated[
        str | None, typer.Option(help="Presets to try too, each on a copy: small,exact. The teacher is not called.")
    ] = None,
    candidates: Annotated[str, typer.Option(help="Candidates of stage one to try.")] = "20,50,100,200,400",
    oversampling: Annotated[
        str | None, typer.Option(help="Oversampling of stage one to try beside none, as in 2,4.")
    ] = None,
    limit: Limit = 10,
    target: Annotated[float, typer.Option(help="Recall that the recommendation has to reach.")] = 0.99,
    sample: Annotated[int, typer.Option(help="Documents of a copy.")] = 20_000,
    max_queries: Annotated[int, typer.Option(help="Queries to take from the file.")] = 500,
    plot: Annotated[Path | None, typer.Option(help="Picture to write, .svg.")] = None,
    as_json: AsJson = False,
) -> None:
    """Measure recall against exact search, and milliseconds, with your documents and your queries.

    The collection is only read.
    """
    where = place(path, url)
    check_documents(queries)
    if plot is not None and plot.suffix != ".svg":
        raise InputError(f"--plot writes SVG; name a file that ends in .svg, not {plot.name!r}")
    import leaf_embed
    from leaf_embed.qdrant import LeafCollection, TuneGrid, tune

    grid = TuneGrid(
        candidates=many_numbers([candidates], "--candidates"),
        oversampling=(None, *map(float, many_numbers([oversampling] if oversampling else None, "--oversampling"))),
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
