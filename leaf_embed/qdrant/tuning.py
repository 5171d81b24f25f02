"""Tuning: recall against exact search, and latency, of search settings on a collection's own queries."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, product
from typing import TYPE_CHECKING

import numpy as np

from leaf_embed.errors import InputError
from leaf_embed.qdrant.collection import LeafCollection
from leaf_embed.qdrant.query.plan import SearchOptions
from leaf_embed.qdrant.schema.sizes import estimate
from leaf_embed.qdrant.schema.spec import CollectionSpec, mrl_name
from leaf_embed.qdrant.translator import Query
from leaf_embed.vectors import FloatArray

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["TuneGrid", "TuneReport", "TuneRow", "tune"]

STORED = "as stored"


@dataclass(frozen=True)
class TuneGrid:
    """The settings to try.

    Attributes:
        candidates: Numbers of candidates of stage one.
        oversampling: Oversampling of stage one; ``None`` for none.
        limit: Hits that are compared: the k of recall@k.
        target: Recall that the recommendation has to reach.
        sample: Number of documents that are copied to try another spec.

    Raises:
        InputError: A value is out of range.
    """

    candidates: tuple[int, ...] = (20, 50, 100, 200, 400, 800)
    oversampling: tuple[float | None, ...] = (None,)
    limit: int = 10
    target: float = 0.99
    sample: int = 20_000

    def __post_init__(self) -> None:
        if not self.candidates or min(self.candidates) < self.limit or self.limit < 1:
            raise InputError(f"expected candidates of at least limit={self.limit}; got {self.candidates}")
        if not self.oversampling or not 0 < self.target <= 1 or self.sample < 1:
            raise InputError(f"expected some oversampling, 0 < target ≤ 1 and sample ≥ 1; got {self}")


@dataclass(frozen=True)
class TuneRow:
    """The measurement of one setting.

    Attributes:
        spec: Name of the spec: ``"as stored"``, or one that was tried on a copy.
        mrl: Truncated dimensions of stage one; ``None`` for exact search.
        quantization: Quantization of stage one.
        candidates: Candidates of stage one; ``None`` for exact search.
        oversampling: Oversampling of stage one.
        recall: Mean share of the exact hits that were found.
        identical: Share of queries whose hits are those of exact search in the same order.
        p50_ms: Median latency of a search in milliseconds, without the encoding of the query.
        p95_ms: 95th percentile of the latency in milliseconds.
        bytes_per_vector: Estimated bytes in memory.
    """

    spec: str
    mrl: int | None
    quantization: str
    candidates: int | None
    oversampling: float | None
    recall: float
    identical: float
    p50_ms: float
    p95_ms: float
    bytes_per_vector: float

    @property
    def stage(self) -> str:
        """Stage one: ``"mrl_128 turbo4"``, or ``"exact"``."""
        return "exact" if self.mrl is None else f"{mrl_name(self.mrl)} {self.quantization}"


@dataclass(frozen=True)
class TuneReport:
    """The measurements of all settings, and the recommended one.

    Attributes:
        rows: Measurements in the order tried; exact search is the first of each spec.
        recommended: The fastest of those that reach the target; else the one with the best recall.
        queries: Number of queries.
        target: Recall that was asked for.
    """

    rows: tuple[TuneRow, ...]
    recommended: TuneRow
    queries: int
    target: float

    def __str__(self) -> str:
        lines = [
            f"{'spec':<12} {'stage one':<16} {'candidates':>10} {'oversampl.':>10} {'recall':>7} {'identical':>9} "
            f"{'p50 ms':>7} {'p95 ms':>7} {'B/vector':>8}"
        ]
        lines += [_line(row) + ("  <- take this" if row is self.recommended else "") for row in self.rows]
        reached = "reaches" if self.recommended.recall >= self.target else "comes nearest to"
        lines.append(f"{self.queries} queries; the marked row {reached} a recall of {self.target:g}.")
        return "\n".join(lines)


def _line(row: TuneRow) -> str:
    oversampling = "-" if row.oversampling is None else f"{row.oversampling:g}"
    return (
        f"{row.spec:<12} {row.stage:<16} {row.candidates or '-':>10} {oversampling:>10} {row.recall:7.4f} "
        f"{row.identical:9.1%} {row.p50_ms:7.2f} {row.p95_ms:7.2f} {row.bytes_per_vector:8.0f}"
    )


def tune(
    collection: LeafCollection,
    queries: Sequence[Query],
    grid: TuneGrid | None = None,
    *,
    specs: Mapping[str, CollectionSpec] | None = None,
) -> TuneReport:
    """Measures search settings with a collection's own documents and queries.

    Args:
        collection: Collection to search; it is never changed.
        queries: Texts or vectors; fifty or more, of the kind that users ask.
        grid: Settings to try.
        specs: Other specs to try by their names, such as ``CollectionSpec.preset("small", space)``: each on a copy of
            up to ``grid.sample`` documents in a temporary directory of the embedded engine, without the teacher.

    Raises:
        InputError: No query, or no document.
        CollectionError: The engine or the server refused.
    """
    grid = grid or TuneGrid()
    if isinstance(queries, str) or not len(queries):
        raise InputError("tune needs a list of queries, fifty or more; got none")
    vectors = list(collection._translator.query_vectors(queries))
    rows = list(_measure(STORED, collection, vectors, grid))
    for name, spec in (specs or {}).items():
        with tempfile.TemporaryDirectory() as directory:
            copy = LeafCollection.create("copy", collection.leaf, path=directory, spec=spec, check_canaries=False)
            with copy:
                copy.index_vectors(islice(collection.iter_documents(with_vectors=True), grid.sample))
                rows += _measure(name, copy, vectors, grid)
    return TuneReport(tuple(rows), _recommended(rows, grid.target), len(vectors), grid.target)


def _measure(name: str, collection: LeafCollection, queries: list[FloatArray], grid: TuneGrid) -> Iterator[TuneRow]:
    """Yields the measurement of exact search, then of every setting that the collection's spec allows."""
    documents = collection.count()
    if not documents:
        raise InputError(f"the collection {collection.name!r} is empty; index its documents first")
    size = estimate(collection.spec, collection.space, documents).bytes_per_vector
    quantization = collection.spec.quantization
    truth, times = _run(collection, queries, limit=grid.limit, exact=True)
    yield TuneRow(name, None, quantization, None, None, 1.0, 1.0, *_percentiles(times), 0.0)
    for dim, oversampling, candidates in product(collection.spec.mrl, grid.oversampling, grid.candidates):
        options = SearchOptions(limit=grid.limit, mrl=dim, candidates=candidates, oversampling=oversampling)
        found, times = _run(collection, queries, **options)
        pairs = list(zip(found, truth, strict=True))
        recall = float(np.mean([len(set(a) & set(b)) / len(b) for a, b in pairs]))
        identical = float(np.mean([a == b for a, b in pairs]))
        settings = (name, dim, quantization, candidates, oversampling)
        yield TuneRow(*settings, recall, identical, *_percentiles(times), size)


def _run(
    collection: LeafCollection, queries: list[FloatArray], **options: Unpack[SearchOptions]
) -> tuple[list[list[str | int]], list[float]]:
    """Returns the ids that each query finds, and its milliseconds."""
    found, times = [], []
    for query in queries:
        started = time.perf_counter()
        hits = collection.search(query, **options)
        times.append(1000 * (time.perf_counter() - started))
        found.append([hit.id for hit in hits])
    return found, times


def _percentiles(times: list[float]) -> tuple[float, float]:
    return float(np.percentile(times, 50)), float(np.percentile(times, 95))


def _recommended(rows: list[TuneRow], target: float) -> TuneRow:
    good = [row for row in rows if row.recall >= target]
    return min(good, key=lambda row: row.p50_ms) if good else max(rows, key=lambda row: row.recall)
