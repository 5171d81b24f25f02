"""What a backend has to do, and the form in which points travel to it.

A *store* holds collections (a directory, a client); its ``points`` are those of one open collection. Both are thin:
everything is checked before it reaches them, and they know nothing of texts, documents or models.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from leaf_embed.errors import CollectionError, LeafEmbedError
from leaf_embed.qdrant.query.bm25 import SparseVector
from leaf_embed.qdrant.query.filters import Part
from leaf_embed.qdrant.query.plan import SearchPlan
from leaf_embed.qdrant.schema.layout import StoredVector
from leaf_embed.qdrant.schema.metadata import CollectionMetadata

__all__ = ["Page", "Point", "PointId", "Points", "Record", "ScoredPoint", "Store", "mapped_errors"]

PointId: TypeAlias = "str | int"


@dataclass(frozen=True)
class Point:
    """One point to write: ``vectors`` maps each vector's name to its floats, or to the words of the text."""

    id: PointId
    vectors: Mapping[str, list[float] | SparseVector]
    payload: dict[str, Any]


@dataclass(frozen=True)
class Record:
    """One point read; ``vector`` is the full one, if it was asked for."""

    id: PointId
    payload: Mapping[str, Any]
    vector: list[float] | None = None


@dataclass(frozen=True)
class ScoredPoint(Record):
    """One point found."""

    score: float = 0.0


@dataclass(frozen=True)
class Page:
    """Some points in the order of their ids; ``after`` is where the next page starts, ``None`` after the last."""

    records: list[Record]
    after: PointId | None


class Points(Protocol):
    """The points of one open collection. Errors of the engine come out as CollectionError."""

    def upsert(self, points: Sequence[Point]) -> None:
        """Write points, durably, replacing those of the same id."""

    def overwrite_payloads(self, payloads: Mapping[PointId, dict[str, Any]]) -> None:
        """Replace the whole payload of points that exist."""

    def delete(self, ids: Sequence[PointId]) -> None:
        """Remove points, durably; one that is not there is no error."""

    def payloads(self, ids: Sequence[PointId], keys: Sequence[str]) -> dict[PointId, Mapping[str, Any]]:
        """These keys of the payload of each point that exists, by point id."""
        ...

    def records(self, ids: Sequence[PointId], *, vector: bool) -> list[Record]:
        """Those of these points that exist, whole, in any order."""
        ...

    def page(self, after: PointId | None, size: int, conditions: tuple[Part, ...], *, vector: bool) -> Page:
        """Up to ``size`` points in the order of their ids."""
        ...

    def query(self, plan: SearchPlan) -> list[ScoredPoint]:
        """Carry out a search, nearest first."""
        ...

    def query_batch(self, plans: Sequence[SearchPlan]) -> list[list[ScoredPoint]]:
        """Carry out several searches."""
        ...

    def count(self, conditions: tuple[Part, ...] = ()) -> int:
        """Number of points, exact."""
        ...

    def finish(self, *, child: bool = False) -> None:
        """Called after a run of writes: build what is built by hand (perhaps in a child process), make it durable."""

    def update_vectors(self, rows: Mapping[PointId, Mapping[str, list[float]]]) -> None:
        """Write named vectors of points that exist; their other vectors and payloads stay."""

    def add_vector(self, metadata: CollectionMetadata, dim: int) -> None:
        """Make the truncated vector of ``dim`` dimensions, configured as ``metadata`` says; again does no harm."""

    def configure(self, metadata: CollectionMetadata) -> None:
        """Take over the graphs and codes of ``metadata`` for the truncated vectors."""

    def describe(self) -> dict[str, Any]:
        """What the engine says about the collection, as JSON values."""
        ...

    def close(self) -> None:
        """Let go of the collection; a second call does nothing."""


class Store(Protocol):
    """A place that holds collections."""

    @property
    def place(self) -> str:
        """What it is called in messages: ``"the directory /data"``."""
        ...

    def names(self) -> list[str]:
        """Every collection there, sorted."""
        ...

    def resolve(self, alias: str) -> str | None:
        """Name of the collection that an alias stands for; ``None`` if there is no such alias."""
        ...

    def read(self, name: str) -> Any:
        """The stored metadata as JSON, unchecked; ``None`` if the collection has none."""
        ...

    def write(self, metadata: CollectionMetadata) -> None:
        """Replace the stored metadata."""

    def layout(self, name: str) -> dict[str, StoredVector]:
        """Each named vector as the engine has it."""
        ...

    def create(self, metadata: CollectionMetadata) -> Points:
        """Make an empty collection that did not exist, and open it."""
        ...

    def open(self, metadata: CollectionMetadata) -> Points:
        """Open a collection that exists."""
        ...


@contextmanager
def mapped_errors(action: str, hint: str = "") -> Iterator[None]:
    """Turn whatever an engine raises into a CollectionError that says what was tried."""
    try:
        yield
    except LeafEmbedError:
        raise
    except Exception as error:  # the embedded engine raises bare Exception, local mode ValueError and RuntimeError
        detail = str(error).strip().rstrip(".") or type(error).__name__
        raise CollectionError(f"{action} failed: {detail}.{' ' if hint else ''}{hint}") from error
