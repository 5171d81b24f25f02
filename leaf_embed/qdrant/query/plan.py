"""The plan of a two-stage search; its JSON is the only form in which a search travels.

Stage one takes candidates from a truncated vector; stage two ranks them by the full vector. Two defaults of Qdrant
would spoil this and are therefore always overruled: a prefetch takes only 10 candidates unless told otherwise, and the
second stage reads quantized vectors unless told to ignore them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypedDict

from leaf_embed import vectors
from leaf_embed.errors import InputError
from leaf_embed.qdrant.query.bm25 import Fusion, Hybrid, plan_hybrid
from leaf_embed.qdrant.query.filters import Filter, FilterJson, parse_filter
from leaf_embed.qdrant.schema.documents import PAYLOAD
from leaf_embed.qdrant.schema.quantization import quantization
from leaf_embed.qdrant.schema.spec import BM25, FULL, CollectionSpec, mrl_name
from leaf_embed.vectors import FloatArray

if TYPE_CHECKING:
    from leaf_embed.qdrant.schema.metadata import CollectionMetadata

__all__ = ["Prefetch", "Search", "SearchOptions", "SearchPlan", "StageParams", "plan_search"]

# At limit 10, a third of the dimensions in int8, 200 candidates give the answers of exhaustive search to 98.3 % of
# SciFact's queries in a rotated space, 400 to 99.0 %, half a millisecond later (benchmarks/qdrant_real.py).
MIN_CANDIDATES = 400
CANDIDATES_PER_HIT = 10
EF_PER_CANDIDATE = 1.5  # with a smaller ef the graph search misses whole clusters


class SearchOptions(TypedDict, total=False):
    """The keywords of :meth:`leaf_embed.qdrant.LeafCollection.search`, explained and checked by :class:`Search`."""

    limit: int
    offset: int
    where: Filter | None
    exact: bool
    mrl: int | None
    candidates: int | None
    oversampling: float | None
    hnsw_ef: int | None
    score_threshold: float | None
    hybrid: bool | Fusion
    words: str | None


@dataclass(frozen=True)
class Search:
    """The options of :meth:`leaf_embed.qdrant.LeafCollection.search`, checked.

    Attributes:
        limit: Hits to return.
        offset: Hits to skip.
        where: Fields of the payload with the value, list of values or range they must have:
            ``{"lang": "en", "year": {"gte": 1990}}``. A dot leads into a nested object. The whole language, with any,
            not and or, is in :mod:`leaf_embed.qdrant.query.filters`.
        exact: Whether to compare with every full vector, slow and complete.
        mrl: Truncated dimensions to take candidates from; the first of the spec by default.
        candidates: Candidates of stage one; ``max(400, 10 * (limit + offset))`` by default, and a multiple of it for a
            quantization below 4 bits.
        oversampling: Factor by which stage one takes more by its quantized vectors and ranks these by its own
            unquantized ones. ``None`` by default, since stage two ranks better.
        hnsw_ef: Qdrant's ``hnsw_ef`` of stage one; one and a half times the candidates by default.
        score_threshold: Least score of a hit.
        hybrid: Whether to search by BM25 too and fuse both rankings: ``"rrf"`` (or ``True``) by ranks, ``"dbsf"`` by
            scaled scores. The collection needs ``CollectionSpec(sparse="bm25")``. A hit's score is then that of the
            fusion, no cosine.
        words: Text for BM25; the query itself by default.

    Raises:
        InputError: A number out of range.
    """

    limit: int = 10
    offset: int = 0
    where: Filter | None = None
    exact: bool = False
    mrl: int | None = None
    candidates: int | None = None
    oversampling: float | None = None
    hnsw_ef: int | None = None
    score_threshold: float | None = None
    hybrid: bool | Fusion = False
    words: str | None = None

    def __post_init__(self) -> None:
        _check_int("limit", self.limit, 1)
        _check_int("offset", self.offset, 0)
        if self.hnsw_ef is not None:
            _check_int("hnsw_ef", self.hnsw_ef, 1)
        for name in ("oversampling", "score_threshold"):
            number = getattr(self, name)
            if number is not None and (isinstance(number, bool) or not isinstance(number, int | float)):
                raise InputError(f"{name} must be a number; got {number!r}")
        if self.oversampling is not None and self.oversampling < 1:
            raise InputError(f"oversampling must be at least 1; got {self.oversampling!r}")
        if self.hybrid is not False and self.score_threshold is not None:
            raise InputError("a hybrid search ranks by fused ranks, not by cosines, so score_threshold means nothing")


@dataclass(frozen=True)
class StageParams:
    """How one stage reads its vector; ``None`` leaves it to Qdrant.

    Attributes:
        exact: Compare with every vector, without the graph.
        ignore_quantization: Read the original vectors and not their quantized form.
        rescore: Rank what quantized vectors found again by the originals of the same vector.
        oversampling: How many times more to take by quantized vectors before that.
        hnsw_ef: Size of the candidate list while the graph is searched.
    """

    exact: bool = False
    ignore_quantization: bool = False
    rescore: bool | None = None
    oversampling: float | None = None
    hnsw_ef: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Returns Qdrant's ``params`` in their REST form."""
        stored = {"ignore": self.ignore_quantization, "rescore": self.rescore, "oversampling": self.oversampling}
        return _given({"exact": self.exact, "hnsw_ef": self.hnsw_ef, "quantization": _given(stored)})


@dataclass(frozen=True)
class Prefetch:
    """Stage one: how many candidates to take from which truncated vector."""

    using: str
    vector: list[float]
    limit: int
    params: StageParams = StageParams(rescore=False)


@dataclass(frozen=True)
class SearchPlan:
    """One search.

    Attributes:
        vector: The query, ``dim`` floats, compared with ``using``.
        limit: Hits to return.
        offset: Hits to skip.
        prefetch: Stage one; ``None`` searches all of ``using``.
        filter: Holds in both stages; ``None`` for none.
        using: Name of the full vector; ``""`` for the one without a name.
        params: How the full vector is read.
        score_threshold: Least score of a hit.
        with_vector: Whether hits have their full vector.
        hybrid: The search by BM25 beside; ``None`` for none.
    """

    vector: list[float]
    limit: int
    offset: int
    prefetch: Prefetch | None
    filter: FilterJson | None = None
    using: str = FULL
    params: StageParams = StageParams(ignore_quantization=True)
    score_threshold: float | None = None
    with_vector: bool = False
    hybrid: Hybrid | None = None

    def to_json(self) -> dict[str, Any]:
        """Returns the search in Qdrant's REST form, as every backend sends it.

        It is the body of ``POST /collections/{name}/points/query``, and one of the ``searches`` of ``.../query/batch``.
        """
        ranking = self._dense_json() if self.hybrid is None else self._fused_json(self.hybrid)
        return _given(
            {
                **ranking,
                "limit": self.limit,
                "score_threshold": self.score_threshold,
                "offset": self.offset,
                "with_payload": True,
                "with_vector": self.with_vector and vector_selector(self.using),
            }
        )

    def _dense_json(self) -> dict[str, Any]:
        """Returns the ranking by the full vectors, in two stages or one."""
        first = self.prefetch and _given(
            {
                "query": {"nearest": self.prefetch.vector},
                "using": self.prefetch.using,
                "limit": self.prefetch.limit,
                "params": self.prefetch.params.to_json(),
                "filter": self.filter,
            }
        )
        return _given(
            {
                "prefetch": first,
                "query": {"nearest": self.vector},
                "using": self.using or None,
                "filter": self.filter,
                "params": self.params.to_json(),
            }
        )

    def _fused_json(self, hybrid: Hybrid) -> dict[str, Any]:
        """Returns both rankings and the query that fuses them."""
        rankings = [{**self._dense_json(), "limit": hybrid.depth}]
        if hybrid.query is not None:
            query = {"nearest": hybrid.query.to_json()}
            rankings.append(_given({"query": query, "using": BM25, "limit": hybrid.depth, "filter": self.filter}))
        return {"prefetch": rankings, "query": hybrid.fusion_json()}


def vector_selector(name: str) -> list[str] | bool:
    """Returns Qdrant's ``with_vector`` for one vector: its name, or ``True`` if it has none."""
    return [name] if name else True


def plan_search(
    vector: FloatArray,
    spec: CollectionSpec,
    search: Search,
    *,
    text: str | None = None,
    prefix: str = f"{PAYLOAD}.",
    with_vector: bool = False,
) -> SearchPlan:
    """Plans a search: which vectors are read how, and how many candidates each stage takes.

    Args:
        vector: The query, shape ``(dim,)``, float32.
        spec: What the collection stores.
        search: What is asked for.
        text: Text of the query, for a hybrid search without ``words``.
        prefix: Where the caller's payload lies in the stored one.
        with_vector: Whether hits have their full vector.

    Raises:
        InputError: Too few candidates, an unknown truncated vector or fusion, or an unusable filter.
    """
    if search.mrl is not None and search.mrl not in spec.mrl:
        raise InputError(
            f"the collection has no vector {mrl_name(search.mrl)}; its truncated dimensions are {spec.mrl}"
        )
    wanted, hybrid = search.limit + search.offset, None
    if search.hybrid is not False:
        words = text if search.words is None else search.words
        hybrid = plan_hybrid(search.hybrid, words, spec.language, wanted)
        wanted = hybrid.depth
    prefetch, final = _stages(vector, spec, search, wanted)
    return SearchPlan(
        vector=vector.tolist(),
        limit=search.limit,
        offset=search.offset,
        prefetch=prefetch,
        filter=parse_filter(search.where, prefix),
        using=spec.full_name,
        params=final,
        score_threshold=search.score_threshold,
        with_vector=with_vector,
        hybrid=hybrid,
    )


def _stages(
    vector: FloatArray, spec: CollectionSpec, search: Search, wanted: int
) -> tuple[Prefetch | None, StageParams]:
    """Returns stage one, if there is one, and how stage two reads the full vectors."""
    oversampling, ef = search.oversampling, search.hnsw_ef
    if spec.mrl and not search.exact:
        dim = search.mrl or spec.mrl[0]
        number = _candidates(search.candidates, wanted, quantization(spec.quantization).candidates)
        ef = ef or round(EF_PER_CANDIDATE * number)
        first = StageParams(rescore=oversampling is not None, oversampling=oversampling, hnsw_ef=ef)
        prefetch = Prefetch(mrl_name(dim), vectors.truncate(vector, dim).tolist(), number, first)
        return prefetch, StageParams(ignore_quantization=True)
    if spec.full_graph and not search.exact:
        return None, StageParams(rescore=True, oversampling=oversampling or 2.0, hnsw_ef=ef)
    return None, StageParams(exact=True, ignore_quantization=True)


def _candidates(asked: int | None, wanted: int, factor: int) -> int:
    if asked is None:
        return factor * max(MIN_CANDIDATES, CANDIDATES_PER_HIT * wanted)
    if isinstance(asked, bool) or not isinstance(asked, int) or asked < wanted:
        raise InputError(f"candidates={asked!r} cannot fill limit + offset = {wanted}; give at least that many")
    return asked


def _check_int(name: str, number: object, least: int) -> None:
    if isinstance(number, bool) or not isinstance(number, int) or number < least:
        raise InputError(f"{name} must be a whole number of at least {least}; got {number!r}")


def filter_prefix(metadata: CollectionMetadata) -> str:
    """Returns where the caller's payload lies: beside our own fields, or at the top in a collection made elsewhere."""
    return f"{PAYLOAD}." if metadata.text_key is None else ""


def _given(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}
