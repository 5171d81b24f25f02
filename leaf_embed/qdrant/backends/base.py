"""The protocols of a backend, and the values in which points are written and read.

A *store* holds collections (a directory, a client); its ``points`` are those of one open collection. Both are thin:
everything is checked before it reaches them, and they know nothing of texts, documents or models.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from leaf_embed.errors import CollectionError, InputError, LeafEmbedError
from leaf_embed.qdrant.query.bm25 import SparseVector
from leaf_embed.qdrant.query.filters import FilterJson
from leaf_embed.qdrant.query.plan import SearchPlan
from leaf_embed.qdrant.schema.layout import StoredVector
from leaf_embed.qdrant.schema.metadata import CollectionMetadata

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = [
    "NewPoint",
    "Page",
    "PointId",
    "Points",
    "Record",
    "ScoredPoint",
    "Selection",
    "Store",
    "mapped_errors",
    "read_pages",
    "require_page_size",
]

PointId: TypeAlias = "str | int"
LARGEST_PAGE = 2**31 - 1

Selection: TypeAlias = "FilterJson | Any | None"
"""A choice of points: a filter in Qdrant's REST form, a ``Filter`` of the engine's own, or ``None`` for all."""


@dataclass(frozen=True)
class NewPoint:
    """One point to write: ``vectors`` maps the name of each vector to its floats, or to a sparse vector."""

    id: PointId
    vectors: Mapping[str, list[float] | SparseVector]
    payload: dict[str, Any]

    def named(self, sparse: Callable[..., Any]) -> Any:
        """Returns the vectors by name, or the only one if it has none; ``sparse`` makes the engine's sparse vectors."""
        found = {k: sparse(**v.to_json()) if isinstance(v, SparseVector) else v for k, v in self.vectors.items()}
        return found.get("") or found


@dataclass(frozen=True)
class Record:
    """One point that was read; ``vector`` is that which the points were opened with, if it was asked for."""

    id: PointId
    payload: Mapping[str, Any]
    vector: list[float] | None = None

    @classmethod
    def of(cls, point: Any, vector: str, **more: Any) -> Self:
        """Returns an engine's record or scored point as one of ours, with its vector ``vector``."""
        name = point.id if isinstance(point.id, int) else str(point.id)
        row = point.vector.get(vector) if isinstance(point.vector, dict) else point.vector
        return cls(name, point.payload or {}, row, **more)


@dataclass(frozen=True)
class ScoredPoint(Record):
    """One point that a search found."""

    score: float = 0.0


@dataclass(frozen=True)
class Page:
    """Some points in the order of their ids; ``after`` is where the next page starts, ``None`` for the last page."""

    records: list[Record]
    after: PointId | None


class Points(Protocol):
    """The points of one open collection, with one of its vectors. Errors of the engine come out as CollectionError."""

    def upsert(self, points: Sequence[NewPoint]) -> None:
        """Writes points durably, replacing those of the same id."""

    def overwrite_payloads(self, payloads: Mapping[PointId, dict[str, Any]]) -> None:
        """Replaces the whole payload of points that exist."""

    def delete(self, ids: Sequence[PointId]) -> None:
        """Removes points durably; one that is not there is no error."""

    def payloads(self, ids: Sequence[PointId], keys: Sequence[str] | None) -> dict[PointId, Mapping[str, Any]]:
        """Reads these keys of the payload of each point that exists (by default all), by point id."""
        ...

    def records(self, ids: Sequence[PointId], *, vector: bool) -> list[Record]:
        """Reads those of these points that exist, whole, in any order."""
        ...

    def page(
        self,
        after: PointId | None,
        size: int,
        where: Selection,
        *,
        vector: bool,
        keys: Sequence[str] | None = None,
    ) -> Page:
        """Reads up to ``size`` points in the order of their ids, with these keys of the payload (by default all)."""
        ...

    def sample(self, size: int) -> list[Record]:
        """Reads up to ``size`` points drawn at random from the whole collection, with their vectors."""
        ...

    def query(self, plans: Sequence[SearchPlan]) -> list[list[ScoredPoint]]:
        """Carries out searches in one request; the points that each one finds, nearest first."""
        ...

    def count(self, where: Selection = None) -> int:
        """Counts points exactly."""
        ...

    def finish(self, *, child: bool = False) -> None:
        """Builds graphs and quantized vectors where the engine does not by itself, and makes all writes durable.

        It is called after a run of writes; ``child`` builds in a child process.
        """

    def update_vectors(self, rows: Mapping[PointId, Mapping[str, list[float]]]) -> None:
        """Writes named vectors of points that exist; their other vectors and payloads stay."""

    def add_vector(self, metadata: CollectionMetadata, dim: int) -> None:
        """Creates the truncated vector of ``dim`` dimensions, as in ``metadata``; repeating it does no harm."""

    def configure(self, metadata: CollectionMetadata) -> None:
        """Applies the graphs and the quantization of ``metadata`` to the truncated vectors."""

    def describe(self) -> dict[str, Any]:
        """Returns the engine's state of the collection, as JSON values."""
        ...

    def close(self) -> None:
        """Closes the collection; a second call does nothing."""


class Store(Protocol):
    """A place that holds collections."""

    @property
    def place(self) -> str:
        """Its name in messages: ``"the directory /data"``."""
        ...

    def names(self) -> list[str]:
        """Lists the collections, sorted."""
        ...

    def holds(self, name: str) -> bool:
        """Returns whether there is a collection of this name, also one that another program made."""
        ...

    def resolve(self, alias: str) -> str | None:
        """Returns the name of the collection that an alias stands for; ``None`` if there is no such alias."""
        ...

    def read(self, name: str) -> Any:
        """Reads the stored metadata as JSON, unchecked; ``None`` if the collection has none."""
        ...

    def write(self, metadata: CollectionMetadata) -> None:
        """Replaces the stored metadata."""

    def layout(self, name: str) -> dict[str, StoredVector]:
        """Returns each named vector as the engine has it."""
        ...

    def create(self, metadata: CollectionMetadata) -> Points:
        """Creates an empty collection that did not exist, and opens it."""
        ...

    def migration(self, points: Any, metadata: CollectionMetadata) -> AbstractContextManager[Points]:
        """Yields the points to migrate, and stores the metadata when the block has succeeded.

        Args:
            points: Points that this store opened; searches go on in them.
            metadata: The metadata after the migration.
        """
        ...

    def open(self, name: str, vector: str) -> Points:
        """Opens a collection, also one that another program made, to read and rank by its vector ``vector``."""
        ...


def read_pages(
    points: Points, size: int, where: Selection, *, vector: bool, keys: Sequence[str] | None = None
) -> Iterator[list[Record]]:
    """Reads all points, ``size`` at a time; see :meth:`Points.page`."""
    require_page_size(size)
    after = None
    while True:
        page = points.page(after, size, where, vector=vector, keys=keys)
        yield page.records
        after = page.after
        if after is None:
            return


def require_page_size(size: int) -> None:
    """Refuses pages that hold no document.

    Raises:
        InputError: Not a whole number between 1 and the largest that the engines take.
    """
    if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= LARGEST_PAGE:
        raise InputError(
            f"page_size must be a whole number of at least 1, and at most {LARGEST_PAGE}; got {size!r:.80}"
        )


@contextmanager
def mapped_errors(action: str, hint: str = "") -> Iterator[None]:
    """Turns whatever an engine raises into a CollectionError that says what was tried."""
    try:
        yield
    except LeafEmbedError:
        raise
    except Exception as error:  # the embedded engine raises bare Exception, local mode ValueError and RuntimeError
        detail = str(error).strip().rstrip(".") or type(error).__name__
        raise CollectionError(f"{action} failed: {detail}.{' ' if hint else ''}{hint}") from error
