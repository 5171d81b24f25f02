"""What other tools read: TREC run files, and the scores of every query as a parquet table."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from leaf_embed._extras import require
from leaf_embed._files import replacing_file, write_text
from leaf_embed.errors import InputError
from leaf_embed.evaluation.report.results import GridPoint, Mode, SetReport
from leaf_embed.evaluation.retrieval import METRICS
from leaf_embed.texts import clean

__all__ = ["check_ids", "run_name", "write_run", "write_scores"]

TAG = "leaf-embed"


def check_ids(name: str, *ids: Sequence[str]) -> None:
    """Refuses ids that a run file cannot hold, whose fields stand between blanks.

    Raises:
        InputError: An id is empty or holds white space.
    """
    for one in (one for some in ids for one in some):
        if not one or re.search(r"\s", one):
            raise InputError(f"the id {one!r} of the set {name!r} is empty or holds a blank: a TREC run cannot name it")


def run_name(dataset: str, dim: int, quantization: str, rotated: bool, mode: Mode) -> str:
    """Returns a file name such as ``scifact.128-rotated.int8.asymmetric.trec``."""
    return f"{dataset}.{dim}{'-rotated' if rotated else ''}.{quantization}.{mode}.trec"


def write_run(
    file: str | os.PathLike[str], queries: Sequence[str], documents: Sequence[str], rankings: Sequence[Sequence[int]]
) -> None:
    """Writes rankings in TREC's form: query id, Q0, document id, rank from 1, score, tag.

    A score is 1 / rank, so that trec_eval, which sorts by it, keeps the order.

    Args:
        file: Where to.
        queries: Id of each query.
        documents: Id of each document.
        rankings: Rows of the documents of each query, best first.
    """
    lines = (
        f"{query} Q0 {documents[row]} {rank} {1 / rank:.6f} {TAG}\n"
        for query, ranking in zip(queries, rankings, strict=True)
        for rank, row in enumerate(ranking, 1)
    )
    write_text(file, "".join(lines))


def write_scores(file: str | os.PathLike[str], sets: Sequence[SetReport]) -> Path:
    """Writes the score of each query at each point: one row per set, point, mode and query, one column per metric.

    Columns: ``set``, ``query_id``, ``dim``, ``quantization``, ``rotated``, ``mode``, and float64 ``nDCG@10``,
    ``Recall@100``, ``MRR@10`` and ``MAP@100``.

    Raises:
        MissingExtraError: pyarrow, of the extra ``train``, is not installed.
    """
    arrow: Any = require("pyarrow", "train", "Writing parquet")
    parquet: Any = require("pyarrow.parquet", "train", "Writing parquet")
    tables = [arrow.table(columns) for one in sets for columns in _columns(one)]
    with replacing_file(file) as temporary:
        parquet.write_table(arrow.concat_tables(tables) if tables else arrow.table({}), temporary)
    return Path(file)


def _columns(one: SetReport) -> Iterator[dict[str, Any]]:
    for point in one.points:
        for mode in point.results:
            yield {**_labels(one, point, mode), **{name: point.results[mode].scores[name] for name in METRICS}}


def _labels(one: SetReport, point: GridPoint, mode: Mode) -> dict[str, list[Any]]:
    same = {"dim": point.dim, "quantization": point.quantization, "rotated": point.rotated, "mode": mode}
    count = len(one.query_ids)
    names: dict[str, list[Any]] = {"set": [one.name] * count, "query_id": list(map(clean, one.query_ids))}
    return {**names, **{name: [value] * count for name, value in same.items()}}
