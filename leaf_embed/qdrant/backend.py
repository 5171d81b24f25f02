"""What a backend has to do, and the form in which points travel to it.

A *store* holds collections (a directory, a client); its ``points`` are those of one open collection. Both are thin:
everything is checked before it reaches them, and they know nothing of texts, documents or models.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from leaf_embed.errors import CollectionError, LeafEmbedError
from leaf_embed.qdrant.metadata import CollectionMetadata
from leaf_embed.qdrant.search import SearchPlan

__all__ = ["Point", "Points", "ScoredPoint", "Store", "mapped_errors"]


@dataclass(frozen=True)
class Point:
    """One point to write: ``vectors`` maps each vector's name to its floats."""

    id: str
    vectors: Mapping[str, list[float]]
    payload: dict[str, Any]


@dataclass(frozen=True)
class ScoredPoint:
    """One point found."""

    id: str
    score: float
    payload: Mapping[str, Any]


class Points(Protocol):
    """The points of one open collection. Errors of the engine come out as CollectionError."""

    def upsert(self, points: Sequence[Point]) -> None:
        """Write points, durably, replacing those of the same id."""

    def overwrite_payloads(self, payloads: Mapping[str, dict[str, Any]]) -> None:
        """Replace the whole payload of points that exist."""

    def payloads(self, ids: Sequence[str], keys: Sequence[str]) -> dict[str, dict[str, Any]]:
        """These keys of the payload of each point that exists, by point id."""
        ...

    def query(self, plan: SearchPlan) -> list[ScoredPoint]:
        """Carry out a search, nearest first."""
        ...

    def count(self) -> int:
        """Number of points, exact."""
        ...

    def finish(self) -> None:
        """Called once after a run of writes: build what is built by hand, make it durable."""

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

    def read(self, name: str) -> Any:
        """The stored metadata as JSON, unchecked; ``None`` if the collection has none."""
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
