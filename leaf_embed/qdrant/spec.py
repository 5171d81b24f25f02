"""What a collection stores: which vectors, how compressed, compared by which distance."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from leaf_embed.errors import InputError
from leaf_embed.space import EmbeddingSpace

__all__ = ["FULL", "CollectionSpec", "mrl_name"]

FULL = "full"  # the teacher's vectors as they are, read only to rescore candidates
DEFAULT_MRL = 128


def mrl_name(dim: int) -> str:
    """Name of the vector that holds the first ``dim`` dimensions."""
    return f"mrl_{dim}"


@dataclass(frozen=True)
class CollectionSpec:
    """The shape of a collection.

    Every point has the named vector ``full``: shape ``(dim,)``, float32, on disk, without a graph. It is never
    quantized, since the final ranking would then read the codes (measured: recall@10 .935 with int8, .221 with binary).
    For each dimension ``d`` of ``mrl`` it also has ``mrl_<d>``: the first d dimensions, unit norm, with a graph and
    int8 codes kept in memory. A search takes candidates from ``mrl_<d>`` and ranks them by ``full``.

    Attributes:
        mrl: Dimensions of the truncated vectors, each below that of the space. The first one answers searches by
            default. ``()`` means no first stage: every search is exact, over all of ``full``.
        quantization: Of the truncated vectors: ``"int8"`` (a quarter of the memory) or ``"none"``.
        distance: Of ``full``. ``"auto"``: cosine if the space's vectors have unit norm, else dot product, because
            Qdrant normalises what it stores under cosine and the teacher's norms would be lost. If your teacher has no
            unit norm but is meant to be compared by cosine, say ``"cosine"``. Truncated vectors always use cosine, so
            under a dot product raise ``candidates`` when you search.
        m: Edges per node of the graph over the truncated vectors.
        ef_construct: Neighbours considered while the graph is built.
        index_from_kb: Kilobytes of truncated vectors per segment from which a graph is built and used; below it a scan
            is as fast. Qdrant's own default is 10,000.

    Raises:
        InputError: A field holds a value that no collection can have.
    """

    mrl: tuple[int, ...] = (DEFAULT_MRL,)
    quantization: Literal["int8", "none"] = "int8"
    distance: Literal["auto", "cosine", "dot"] = "auto"
    m: int = 16
    ef_construct: int = 100
    index_from_kb: int = 10_000

    def __post_init__(self) -> None:
        if isinstance(self.mrl, int) or any(isinstance(d, bool) or not isinstance(d, int) for d in self.mrl):
            raise InputError(f"mrl must be a tuple of whole numbers, such as (128,) or (); got {self.mrl!r}")
        object.__setattr__(self, "mrl", tuple(self.mrl))
        if len(set(self.mrl)) != len(self.mrl) or any(d < 1 for d in self.mrl):
            raise InputError(f"mrl dimensions must be positive and different; got {self.mrl}")
        if self.quantization not in ("int8", "none"):
            raise InputError(f"quantization must be 'int8' or 'none'; got {self.quantization!r}")
        if self.distance not in ("auto", "cosine", "dot"):
            raise InputError(f"distance must be 'auto', 'cosine' or 'dot'; got {self.distance!r}")
        if self.m < 1 or self.ef_construct < 4 or self.index_from_kb < 10:  # Qdrant's own lower bounds
            raise InputError(
                f"expected m ≥ 1, ef_construct ≥ 4 and index_from_kb ≥ 10; "
                f"got m={self.m}, ef_construct={self.ef_construct}, index_from_kb={self.index_from_kb}"
            )

    @classmethod
    def for_space(cls, space: EmbeddingSpace) -> CollectionSpec:
        """The default for a space: 128 truncated dimensions where it has more than 128, else none."""
        return cls(mrl=(DEFAULT_MRL,) if space.dim > DEFAULT_MRL else ())

    def require_fit(self, space: EmbeddingSpace) -> None:
        """Check the truncated dimensions against the space.

        Raises:
            InputError: One is not below the dimensions of the space.
        """
        too_large = [d for d in self.mrl if d >= space.dim]
        if too_large:
            raise InputError(
                f"mrl dimensions {too_large} are not below the {space.dim} dimensions of the space {space.teacher}; "
                "choose smaller ones, or mrl=() for exact search"
            )

    def distance_for(self, space: EmbeddingSpace) -> Literal["cosine", "dot"]:
        """The distance of ``full`` in a collection of this space."""
        if self.distance == "auto":
            return "cosine" if space.unit_norm else "dot"
        return self.distance

    def vector_dims(self, space: EmbeddingSpace) -> dict[str, int]:
        """Every named vector with its dimensions, ``full`` first."""
        return {FULL: space.dim, **{mrl_name(d): d for d in self.mrl}}

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {**asdict(self), "mrl": list(self.mrl)}

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> CollectionSpec:
        """Read the JSON form back."""
        return cls(**{**value, "mrl": tuple(value["mrl"])})
