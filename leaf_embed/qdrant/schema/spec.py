"""The spec of a collection: its vectors, their quantization, distance and place in memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias, get_args, get_origin, get_type_hints

from leaf_embed.errors import InputError
from leaf_embed.qdrant.schema.quantization import quantization
from leaf_embed.space import EmbeddingSpace

__all__ = ["BM25", "FULL", "CollectionSpec", "mrl_name"]

FULL = "full"  # name of the teacher's unchanged vectors, read only to rescore candidates
BM25 = "bm25"  # name of the sparse vectors
DEFAULT_MRL = 128
SMALL_SPACE = 128  # up to here a comparison with every full vector costs hardly more than a first stage
# 200 candidates of the first third of the dimensions hold all of the 10 nearest for 99.8 % of queries at 256 and 384
# dimensions, and for all at 768 and above; of the first quarter for 98.0 % at 256; of the first sixth for 99.4 % at
# 768, of which graph and quantization leave 98.2 % (50,000 synthetic vectors: benchmarks/first_stage.py and
# qdrant_presets.py).
STEP = 16
LARGEST = 2**31 - 1

Disk: TypeAlias = Literal["cold", "cached"]
Memory: TypeAlias = Literal["cold", "cached", "pinned"]
INDEX_KINDS = ("keyword", "integer", "float", "bool", "datetime", "text", "uuid", "geo")


def mrl_name(dim: int) -> str:
    """Returns the name of the vector that holds the first ``dim`` dimensions."""
    return f"mrl_{dim}"


@dataclass(frozen=True)
class CollectionSpec:
    """The vectors of a collection, and how they are stored.

    Every point has the named vector ``full``: shape ``(dim,)``, on disk, without a graph. It is never quantized, since
    the final ranking would then read the quantized vectors (measured: recall@10 .935 with int8, .221 with binary). For
    each dimension ``d`` of ``mrl`` it also has ``mrl_<d>``: the first d dimensions, unit norm, quantized and with a
    graph, in memory. A search takes candidates from ``mrl_<d>`` and ranks them by ``full``.

    Attributes:
        mrl: Dimensions of the truncated vectors, each below that of the space. Searches use the first one by default.
            ``()`` means no first stage: every search is exact, over all of ``full``.
        quantization: Quantization of the truncated vectors, with bits per dimension in memory: ``"none"`` 32;
            ``"int8"`` or ``"turbo8"`` 8 (the latter is missing in Qdrant's published OpenAPI, so perhaps in your
            server); ``"turbo4"`` 4; ``"turbo2"`` or ``"binary2"`` 2; ``"turbo1.5"`` or ``"binary1.5"``; ``"turbo1"``
            or ``"binary"`` 1; ``"product4"``, ``8``, ``16``, ``32`` or ``64``: 32 divided by this number.
        distance: Distance of ``full``. ``"auto"``: cosine if the space's vectors have unit norm, else dot product,
            because Qdrant normalises vectors under cosine and the teacher's norms would be lost. If your teacher's
            vectors have no unit norm but are meant for cosine, set ``"cosine"``. Truncated vectors always use cosine,
            so with a dot product raise ``candidates`` when you search.
        m: Edges per node of the graph over the truncated vectors.
        ef_construct: Neighbours considered while the graph is built. Qdrant's own default of 100 leaves clusters that
            a search does not reach (measured: 98.0 % of answers as by exhaustive search, 99.0 % with 200).
        index_from_kb: Kilobytes of truncated vectors per segment from which a graph is built and used; below it a scan
            is as fast. Qdrant's own default is 10,000.
        datatype: Datatype of ``full``: ``"float16"`` halves its disk and changes a cosine by less than 1e-3.
        binary_query: Encoding of a query against binary vectors; ``"scalar8bits"`` loses least.
        full_memory: ``"cold"`` reads ``full`` from disk, ``"cached"`` fills the page cache with it.
        codes_memory: Memory of the quantized vectors (of the truncated ones without quantization): ``"pinned"`` never
            leaves memory; the engines treat unquantized vectors as cached.
        graph_memory: Memory of the graph.
        payload_memory: Disk of texts and payloads.
        sparse: ``"bm25"`` also stores a sparse BM25 vector of each document, for searches with ``hybrid=True``;
            ``"none"`` does not.
        language: Language of stop words and stems for BM25: ``"english"``, ``"german"``, and so on.
        payload_indexes: Fields of the payload that filters use, and their kind: ``{"lang": "keyword"}``. Kinds:
            keyword, integer, float, bool, datetime, text, uuid, geo. Local mode filters without them.
        shard_number: Shards; like the next two for a server alone. Candidates are taken per shard.
        replication_factor: Copies of each shard.
        write_consistency_factor: Copies that must have a write before it counts.
        full_name: Name of the full vector: another than ``"full"`` only in an adopted collection.
        full_graph: Whether ``full`` has a graph of its own, and perhaps a quantization: only in an adopted collection.

    Raises:
        InputError: A field holds a value that no collection can have.
    """

    mrl: tuple[int, ...] = (DEFAULT_MRL,)
    quantization: str = "int8"
    distance: Literal["auto", "cosine", "dot"] = "auto"
    m: int = 16
    ef_construct: int = 200
    index_from_kb: int = 10_000
    datatype: Literal["float32", "float16"] = "float32"
    binary_query: Literal["default", "binary", "scalar4bits", "scalar8bits"] = "default"
    full_memory: Disk = "cold"
    codes_memory: Memory = "pinned"
    graph_memory: Memory = "cached"
    payload_memory: Disk = "cold"
    sparse: Literal["none", "bm25"] = "none"
    language: str = "english"
    payload_indexes: tuple[tuple[str, str], ...] | Mapping[str, str] = ()
    shard_number: int | None = None
    replication_factor: int | None = None
    write_consistency_factor: int | None = None
    full_name: str = FULL
    full_graph: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.mrl, Iterable) or not all(map(_is_whole, self.mrl)):
            raise InputError(f"mrl must be a tuple of whole numbers, such as (128,) or (); got {self.mrl!r:.200}")
        object.__setattr__(self, "mrl", tuple(self.mrl))
        if len(set(self.mrl)) != len(self.mrl) or any(d < 1 for d in self.mrl):
            raise InputError(f"mrl dimensions must be positive and different; got {self.mrl}")
        quantization(self.quantization)
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise InputError(f"{name} must be one of {', '.join(map(repr, choices))}; got {getattr(self, name)!r}")
        numbers = (self.m, self.ef_construct, self.index_from_kb)
        if not all(map(_is_whole, numbers)) or max(numbers) > LARGEST:
            raise InputError(
                f"m, ef_construct and index_from_kb are whole numbers up to {LARGEST}; got {numbers!r:.200}"
            )
        if self.m < 1 or self.ef_construct < 4 or self.index_from_kb < 10:  # Qdrant's own lower bounds
            raise InputError(
                f"expected m ≥ 1, ef_construct ≥ 4 and index_from_kb ≥ 10; "
                f"got m={self.m}, ef_construct={self.ef_construct}, index_from_kb={self.index_from_kb}"
            )
        for name in ("shard_number", "replication_factor", "write_consistency_factor"):
            number = getattr(self, name)
            if number is not None and not (_is_whole(number) and 1 <= number <= LARGEST):
                raise InputError(f"{name} must be a whole number from 1 to {LARGEST}, or None; got {number!r:.80}")
        object.__setattr__(self, "payload_indexes", _indexes(self.payload_indexes))

    @property
    def has_bm25(self) -> bool:
        """Whether documents have a sparse BM25 vector."""
        return self.sparse != "none"

    @property
    def index_kinds(self) -> dict[str, str]:
        """``payload_indexes`` as a dictionary."""
        return dict(self.payload_indexes)

    @classmethod
    def for_space(cls, space: EmbeddingSpace) -> CollectionSpec:
        """Returns the default for a space: the preset ``balanced``, or no first stage up to 128 dimensions."""
        return cls.preset("balanced", space) if space.dim > SMALL_SPACE else cls(mrl=())

    @classmethod
    def preset(cls, name: Literal["balanced", "small", "exact"], space: EmbeddingSpace) -> CollectionSpec:
        """Returns a preset.

        Bytes are those of vectors and graph in memory at 768 dimensions; the rest was measured on 100,000 synthetic
        vectors in clusters (benchmarks/qdrant_presets.py), against exhaustive search in NumPy.

        ``balanced``: a third of the dimensions (rounded up to a multiple of 16) as int8, then ``full`` as float32. 305
        bytes per vector, 1/10 of float32; recall@10 .9998, 99.8 % of answers identical, 1.0 ms. 5.0 kB on disk.

        ``small``: the same dimensions as 4-bit TurboQuant, then ``full`` as float16. 182 bytes per vector, 1/17 of
        float32; recall@10 .997, 95 % of answers identical (float16 swaps near ties), 1.0 ms. 3.3 kB on disk.

        ``exact``: every search compares with every full vector. No memory and no graph, 14 ms, and latency grows with
        the collection: for up to some ten thousand documents, or as a reference for the others. 3.9 kB on disk.

        Raises:
            InputError: There is no preset of this name.
        """
        third = STEP * -(-space.dim // (3 * STEP))
        dims = (third,) if third < space.dim else ()
        if name == "balanced":
            return cls(mrl=dims)
        if name == "small":
            return cls(mrl=dims, quantization="turbo4", datatype="float16")
        if name == "exact":
            return cls(mrl=(), quantization="none")
        raise InputError(f"presets are 'balanced', 'small' and 'exact'; got {name!r}")

    def require_fit(self, space: EmbeddingSpace) -> None:
        """Checks the truncated dimensions against the space.

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
        """Returns the distance of ``full`` in a collection of this space."""
        if self.distance == "auto":
            return "cosine" if space.unit_norm else "dot"
        return self.distance

    def vector_dims(self, space: EmbeddingSpace) -> dict[str, int]:
        """Returns every named vector with its dimensions, ``full`` first."""
        return {self.full_name: space.dim, **{mrl_name(d): d for d in self.mrl}}

    def to_dict(self) -> dict[str, Any]:
        """Returns the JSON form."""
        return {**asdict(self), "mrl": list(self.mrl), "payload_indexes": self.index_kinds}

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> CollectionSpec:
        """Reads the JSON form."""
        return cls(**{**value, "mrl": tuple(value["mrl"])})


CHOICES = {name: get_args(kind) for name, kind in get_type_hints(CollectionSpec).items() if get_origin(kind) is Literal}


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _indexes(value: Any) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, Iterable):
        raise InputError(f"payload_indexes must map fields to kinds, such as {{'lang': 'keyword'}}; got {value!r:.80}")
    pairs = tuple(value.items()) if isinstance(value, Mapping) else tuple(value)
    for pair in pairs:
        named = isinstance(pair, tuple | list) and len(pair) == 2 and isinstance(pair[0], str) and pair[0]
        if not named or pair[1] not in INDEX_KINDS:
            raise InputError(
                f"payload_indexes must map fields to one of {', '.join(INDEX_KINDS)}; got {pair!r}, "
                "expected such as {'lang': 'keyword'}"
            )
    return tuple((str(field), str(kind)) for field, kind in pairs)
