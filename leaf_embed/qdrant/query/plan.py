"""The two stages of a search, as a plan that a backend carries out.

Stage one takes candidates from a truncated vector; stage two ranks them by the full vector. Two defaults of Qdrant
would spoil this and are therefore always overruled: a prefetch takes only 10 candidates unless told otherwise, and the
second stage reads quantized vectors unless told to ignore them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypedDict

from leaf_embed import vectors
from leaf_embed.errors import InputError
from leaf_embed.qdrant.query.bm25 import BM25, Fusion, Hybrid
from leaf_embed.qdrant.query.filters import Condition, Filter, Part, filter_json, parse_filter
from leaf_embed.qdrant.schema.documents import PAYLOAD
from leaf_embed.qdrant.schema.quantization import quantization
from leaf_embed.qdrant.schema.spec import FULL, CollectionSpec, mrl_name
from leaf_embed.vectors import FloatArray

if TYPE_CHECKING:
    from leaf_embed.qdrant.schema.metadata import CollectionMetadata

__all__ = ["Condition", "Filter", "Prefetch", "SearchOptions", "SearchPlan", "StageParams", "plan_search"]

# At limit 10, a third of the dimensions in int8, 200 candidates give the answers of exhaustive search to 98.3 % of
# SciFact's queries in a rotated space, 400 to 99.0 %, half a millisecond later (benchmarks/qdrant_real.py).
MIN_CANDIDATES = 400
CANDIDATES_PER_HIT = 10
WALK = 1.5  # hnsw_ef a candidate: a narrower walk misses whole clusters


class SearchOptions(TypedDict, total=False):
    """The options of :meth:`leaf_embed.qdrant.LeafCollection.search` and its variants.

    Attributes:
        limit: Hits to return; 10 by default.
        offset: Hits to skip; 0 by default.
        where: Fields of the payload with the value, list of values or range they must have:
            ``{"lang": "en", "year": {"gte": 1990}}``. A dot leads into a nested object. The whole language, with any,
            not and or, is in :mod:`leaf_embed.qdrant.query.filters`.
        exact: Whether to compare with every full vector, slow and complete; false by default.
        mrl: Truncated dimensions to take candidates from; the first of the spec by default.
        candidates: Candidates of stage one; ``max(400, 10 * (limit + offset))`` by default, and a multiple of it for a
            quantization below 4 bits.
        oversampling: Factor by which stage one takes more by its quantized vectors and ranks these by its own
            unquantized ones. ``None`` by default, since stage two ranks better.
        hnsw_ef: The search's ``ef`` in the graph; one and a half times the candidates by default.
        score_threshold: Least score of a hit.
        hybrid: Whether to search by BM25 too and fuse both rankings: ``"rrf"`` (or ``True``) by ranks, ``"dbsf"`` by
            scaled scores. The collection needs ``CollectionSpec(sparse="bm25")``. A hit's score is then that of the
            fusion, no cosine.
        words: Text for BM25; the query itself by default.
    """

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
class StageParams:
    """How one stage reads its vector; ``None`` leaves it to Qdrant.

    Attributes:
        exact: Compare with every vector, by no graph.
        ignore_codes: Read the original vectors and not their quantized codes.
        rescore: Rank what the codes found again by the originals of the same vector.
        oversampling: How many times more the codes bring before that.
        hnsw_ef: Width of the walk through the graph.
    """

    exact: bool = False
    ignore_codes: bool = False
    rescore: bool | None = None
    oversampling: float | None = None
    hnsw_ef: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Qdrant's ``params`` in their REST form."""
        codes = {"ignore": self.ignore_codes, "rescore": self.rescore, "oversampling": self.oversampling}
        params = {"exact": self.exact, "hnsw_ef": self.hnsw_ef, "quantization": _given(codes)}
        return _given(params)


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
        conditions: All of them must hold, in both stages.
        using: Name of the full vector.
        params: How the full vector is read.
        score_threshold: Least score of a hit.
        with_vector: Whether hits carry their full vector.
        hybrid: Words that are looked for too; ``None`` looks for meaning alone.
    """

    vector: list[float]
    limit: int
    offset: int
    prefetch: Prefetch | None
    conditions: tuple[Part, ...] = ()
    using: str = FULL
    params: StageParams = StageParams(ignore_codes=True)
    score_threshold: float | None = None
    with_vector: bool = False
    hybrid: Hybrid | None = None

    def to_json(self) -> dict[str, Any]:
        """The request in Qdrant's REST form: the body of ``POST /collections/{name}/points/query``."""
        ranking = self._fused_json(self.hybrid) if self.hybrid else {**self._dense_json(), "limit": self.limit}
        rest = {"score_threshold": self.score_threshold, "offset": self.offset, "with_payload": True}
        return _given({**ranking, **rest, "with_vector": self.with_vector and vector_selector(self.using)})

    def _dense_json(self) -> dict[str, Any]:
        """The ranking by the full vectors, in two stages or one."""
        conditions = filter_json(self.conditions)
        stage = self.prefetch
        first = stage and {
            "query": stage.vector,
            "using": stage.using,
            "limit": stage.limit,
            "params": stage.params.to_json(),
            "filter": conditions,
        }
        return _given(
            {
                "prefetch": first and _given(first),
                "query": self.vector,
                "using": self.using or None,
                "filter": conditions,
                "params": self.params.to_json(),
            }
        )

    def _fused_json(self, hybrid: Hybrid) -> dict[str, Any]:
        """Both rankings, and what fuses them."""
        rankings = [{**self._dense_json(), "limit": hybrid.depth}]
        if hybrid.words is not None:
            words = {"query": hybrid.words.to_json(), "using": BM25, "limit": hybrid.depth}
            rankings.append(_given({**words, "filter": filter_json(self.conditions)}))
        return {"prefetch": rankings, "query": hybrid.fusion_json(), "limit": self.limit}


def vector_selector(name: str) -> list[str] | bool:
    """How Qdrant is asked for one vector: by its name, or by ``true`` if it has none."""
    return [name] if name else True


def plan_search(
    vector: FloatArray,
    spec: CollectionSpec,
    *,
    limit: int = 10,
    offset: int = 0,
    exact: bool = False,
    mrl: int | None = None,
    candidates: int | None = None,
    where: Filter | None = None,
    oversampling: float | None = None,
    hnsw_ef: int | None = None,
    score_threshold: float | None = None,
    prefix: str = f"{PAYLOAD}.",
    with_vector: bool = False,
    hybrid: Hybrid | None = None,
) -> SearchPlan:
    """Settle every number of a search.

    Args:
        vector: The query, shape ``(dim,)``, float32.
        spec: What the collection stores.
        limit: Hits to return.
        offset: Hits to skip.
        exact: Compare with every full vector.
        mrl: Truncated dimensions of stage one; the spec's first by default.
        candidates: Candidates of stage one; by default ``max(400, 10 * (limit + offset))``, and more for coarse codes.
        where: See :mod:`leaf_embed.qdrant.query.filters`.
        oversampling: Let stage one rescore by its own originals, after taking this many times more by the codes.
        hnsw_ef: Width of the walk through the graph; one and a half times the candidates by default.
        score_threshold: Least score of a hit.
        prefix: What leads to the caller's payload in the stored one.
        with_vector: Whether hits carry their full vector.
        hybrid: The word part of a hybrid search.

    Raises:
        InputError: A number out of range, an unknown truncated vector, or an unusable filter.
    """
    _check_numbers(limit, offset, oversampling, hnsw_ef, score_threshold)
    conditions = parse_filter(where, prefix)
    if mrl is not None and mrl not in spec.mrl:
        raise InputError(f"the collection has no vector {mrl_name(mrl)}; its truncated dimensions are {spec.mrl}")
    if hybrid is not None and score_threshold is not None:
        raise InputError("a hybrid search ranks by places, not by cosines, so score_threshold means nothing in it")
    wanted = limit + offset if hybrid is None else hybrid.depth
    prefetch = None
    final = StageParams(exact=True, ignore_codes=True)
    if spec.mrl and not exact:
        dim = spec.mrl[0] if mrl is None else mrl
        number = _candidates(candidates, wanted, quantization(spec.quantization).candidates)
        first = StageParams(
            rescore=oversampling is not None, oversampling=oversampling, hnsw_ef=hnsw_ef or round(WALK * number)
        )
        prefetch = Prefetch(mrl_name(dim), vectors.truncate(vector, dim).tolist(), number, first)
        final = StageParams(ignore_codes=True)
    elif spec.full_graph and not exact:
        final = StageParams(rescore=True, oversampling=oversampling or 2.0, hnsw_ef=hnsw_ef)
    using, row = spec.full_name, vector.tolist()
    return SearchPlan(row, limit, offset, prefetch, conditions, using, final, score_threshold, with_vector, hybrid)


def _candidates(asked: int | None, wanted: int, factor: int) -> int:
    if asked is None:
        return factor * max(MIN_CANDIDATES, CANDIDATES_PER_HIT * wanted)
    if isinstance(asked, bool) or not isinstance(asked, int) or asked < wanted:
        raise InputError(f"candidates={asked!r} cannot fill limit + offset = {wanted}; give at least that many")
    return asked


def _check_numbers(
    limit: object, offset: object, oversampling: object, hnsw_ef: object, score_threshold: object
) -> None:
    for name, number, least in (("limit", limit, 1), ("offset", offset, 0), ("hnsw_ef", hnsw_ef, 1)):
        if name == "hnsw_ef" and number is None:
            continue
        if isinstance(number, bool) or not isinstance(number, int) or number < least:
            raise InputError(f"{name} must be a whole number of at least {least}; got {number!r}")
    for name, number in (("oversampling", oversampling), ("score_threshold", score_threshold)):
        if number is not None and (isinstance(number, bool) or not isinstance(number, int | float)):
            raise InputError(f"{name} must be a number; got {number!r}")
    if isinstance(oversampling, int | float) and oversampling < 1:
        raise InputError(f"oversampling must be at least 1; got {oversampling!r}")


def filter_prefix(metadata: CollectionMetadata) -> str:
    """Where the caller's payload lies: beside our own fields, or at the top in a collection made elsewhere."""
    return f"{PAYLOAD}." if metadata.text_key is None else ""


def _given(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}
