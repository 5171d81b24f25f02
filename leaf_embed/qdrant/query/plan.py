"""The plan of a two-stage search; its JSON is the only form in which a search travels.

Stage one takes candidates from a truncated vector; stage two ranks them by the full vector. Two defaults of Qdrant
would spoil this and are therefore always overruled: a prefetch takes only 10 candidates unless told otherwise, and the
second stage reads quantized vectors unless told to ignore them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypedDict

from leaf_embed import vectors
from leaf_embed.errors import InputError
from leaf_embed.qdrant.query.bm25 import Fusion, Hybrid, plan_hybrid
from leaf_embed.qdrant.query.filters import Filter, FilterJson, parse_filter
from leaf_embed.qdrant.schema.documents import PAYLOAD
from leaf_embed.qdrant.schema.quantization import quantization
from leaf_embed.qdrant.schema.spec import BM25, CollectionSpec, mrl_name
from leaf_embed.vectors import FloatArray

__all__ = ["Search", "SearchOptions", "SearchPlan", "plan_search"]

# At limit 10, a third of the dimensions in int8, 200 candidates give the answers of exhaustive search to 98.3 % of
# SciFact's queries in a rotated space, 400 to 99.0 %, half a millisecond later (benchmarks/qdrant_real.py). Of 300
# queries on the demo's 6,044 documents, 40 for each hit give exactly the best 10, 50 and 100 to 99.7 %; ten for each
# gave the best 50 to 76 %. Beyond some thousand fewer suffice: 20 for each of 200 hits give 98 %. A fusion, which takes
# ranks alone, has ten for each.
MIN_CANDIDATES = 400
CANDIDATES_PER_HIT = 40
MANY = 4000  # candidates
LEAST_PER_HIT = 10
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
    """The options of one search: :class:`SearchOptions` with their defaults, checked.

    Attributes:
        limit: Hits to return.
        offset: Hits to skip. Pages of one limit come from one ranking: no hit stands on two of them or on none (but for
            ``hybrid``, where the engine orders equal scores anew each time).
        where: Fields of the payload with the value, list of values or range they must have:
            ``{"lang": "en", "year": {"gte": 1990}}``. A dot leads into a nested object. The whole language, with any,
            not and or, is in :mod:`leaf_embed.qdrant.query.filters`.
        exact: Whether to compare with every full vector, slow and complete.
        mrl: Truncated dimensions to take candidates from; the first of the spec by default.
        candidates: Candidates of stage one; by default 40 for each of ``limit`` hits, at least 400 and from 4,000 on 10
            for each hit, and a multiple of it for a quantization below 4 bits.
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
        if not isinstance(self.exact, bool):
            raise InputError(f"exact must be True or False; got {self.exact!r:.80}")
        for name, number in (("hnsw_ef", self.hnsw_ef), ("mrl", self.mrl), ("candidates", self.candidates)):
            if number is not None:
                _check_int(name, number, 1)
        if self.oversampling is not None and _number("oversampling", self.oversampling) < 1:
            raise InputError(f"oversampling must be at least 1; got {self.oversampling!r}")
        if self.score_threshold is not None:
            _number("score_threshold", self.score_threshold)
        if self.hybrid is not False and self.score_threshold is not None:
            raise InputError("a hybrid search ranks by fused ranks, not by cosines, so score_threshold means nothing")


@dataclass(frozen=True)
class SearchPlan:
    """One search, as Qdrant's REST API takes it.

    Attributes:
        vector: The query, ``dim`` floats.
        body: The body of ``POST /collections/{name}/points/query``, and one of the ``searches`` of ``.../query/batch``.
            Every backend sends it as it is.
        hybrid: The search by BM25 in it; ``None`` for none.
    """

    vector: list[float]
    body: dict[str, Any]
    hybrid: Hybrid | None = None


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
    depth: int | None = None,
) -> SearchPlan:
    """Plans a search: which vectors are read how, and how many candidates each stage takes.

    Args:
        vector: The query, shape ``(dim,)``, float32.
        spec: What the collection stores.
        search: The options of the search.
        text: Text of the query, for a hybrid search without ``words``.
        prefix: Where the caller's payload lies in the stored one.
        with_vector: Whether hits have their full vector.
        depth: Number of hits that the ranking is made for; limit and offset by default.

    Raises:
        InputError: Too few candidates, an unknown truncated vector or fusion, or an unusable filter.
    """
    if search.mrl is not None and search.mrl not in spec.mrl:
        asked = mrl_name(search.mrl)
        raise InputError(f"the collection has no vector {asked}; its truncated dimensions are {spec.mrl}")
    wanted, hybrid = depth or search.limit + search.offset, None
    if search.hybrid is not False:
        words = text if search.words is None else search.words
        hybrid = plan_hybrid(search.hybrid, words, spec.language, wanted)
        wanted = hybrid.depth
    where = parse_filter(search.where, prefix)
    row: list[float] = vector.tolist()
    first, params = _stages(vector, spec, search, wanted, where)
    full = {"query": {"nearest": row}, "using": spec.full_name or None, "params": params}
    ranking = {"prefetch": first, **full, "filter": where}
    if hybrid is not None:
        ranking = _fused(ranking, hybrid)
    hits = {"limit": search.limit, "offset": search.offset, "score_threshold": search.score_threshold}
    selected = with_vector and vector_selector(spec.full_name)
    body = _given({**ranking, **hits, "with_payload": True, "with_vector": selected})
    return SearchPlan(row, body, hybrid)


def _stages(
    vector: FloatArray, spec: CollectionSpec, search: Search, wanted: int, where: FilterJson | None
) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    """Returns stage one, if there is one, and the params of stage two."""
    if search.exact or not (spec.mrl or spec.full_graph):
        return None, {"exact": True, "quantization": {"ignore": True}}
    oversampling, ef = search.oversampling, search.hnsw_ef
    if not spec.mrl:
        rescored = {"ignore": False, "rescore": True, "oversampling": oversampling or 2.0}
        return None, _given({"exact": False, "hnsw_ef": ef, "quantization": rescored})
    dim = search.mrl or spec.mrl[0]
    factor = quantization(spec.quantization).candidates
    number = factor * _candidates(search, wanted) if search.candidates is None else _asked(search.candidates, wanted)
    quantized = {"ignore": False, "rescore": oversampling is not None, "oversampling": oversampling}
    first = {
        "query": {"nearest": vectors.truncate(vector, dim).tolist()},
        "using": mrl_name(dim),
        "limit": number,
        "params": {
            "exact": False,
            "hnsw_ef": ef or round(EF_PER_CANDIDATE * number),
            "quantization": _given(quantized),
        },
        "filter": where,
    }
    return _given(first), {"exact": False, "quantization": {"ignore": True}}


def _fused(dense: dict[str, Any], hybrid: Hybrid) -> dict[str, Any]:
    """Returns the rankings by full vectors and by BM25, each with the filter, and the query that fuses them."""
    rankings = [{**dense, "limit": hybrid.depth}]
    if hybrid.query is not None:
        sparse = {"query": {"nearest": hybrid.query.to_json()}, "using": BM25, "filter": dense["filter"]}
        rankings.append({**sparse, "limit": hybrid.depth})
    return {"prefetch": [_given(ranking) for ranking in rankings], "query": hybrid.fusion_json()}


def _candidates(search: Search, wanted: int) -> int:
    precise = 0 if search.hybrid is not False else min(MANY, CANDIDATES_PER_HIT * wanted)
    return max(MIN_CANDIDATES, LEAST_PER_HIT * wanted, precise)


def _asked(candidates: int, wanted: int) -> int:
    if isinstance(candidates, bool) or not isinstance(candidates, int) or candidates < wanted:
        raise InputError(f"candidates={candidates!r} cannot fill limit + offset = {wanted}; give at least that many")
    return candidates


def _check_int(name: str, number: object, least: int) -> None:
    if isinstance(number, bool) or not isinstance(number, int) or number < least:
        raise InputError(f"{name} must be a whole number of at least {least}; got {number!r}")


def _number(name: str, number: object) -> float:
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise InputError(f"{name} must be a number; got {number!r}")
    return number


def _given(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}
