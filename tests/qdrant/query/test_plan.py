"""The JSON of every shape of a search, against requests written by hand from Qdrant's REST documentation."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import pytest

from leaf_embed.errors import InputError
from leaf_embed.qdrant import CollectionSpec
from leaf_embed.qdrant.query.bm25 import bm25_query
from leaf_embed.qdrant.query.plan import Search, plan_search

SPEC = CollectionSpec(mrl=(2,), sparse="bm25")
VECTOR = np.array([0.75, 1.0, 0.5, 0.25], dtype=np.float32)
ROW = [0.75, 1.0, 0.5, 0.25]
HALF = [pytest.approx(0.6), pytest.approx(0.8)]  # the first two dimensions, unit norm
UNQUANTIZED = {"exact": False, "quantization": {"ignore": True}}
SALT = bm25_query("salt", "english")
assert SALT is not None


def first(limit: int = 400, **params: Any) -> dict[str, Any]:
    quantized = {"ignore": False, "rescore": False}
    return {
        "query": {"nearest": HALF},
        "using": "mrl_2",
        "limit": limit,
        "params": {"exact": False, "hnsw_ef": limit * 3 // 2, "quantization": quantized, **params},
    }


def two_stages(**rest: Any) -> dict[str, Any]:
    return {"prefetch": first(), "query": {"nearest": ROW}, "using": "full", "params": UNQUANTIZED, **rest}


TAIL = {"limit": 10, "offset": 0, "with_payload": True, "with_vector": False}
ENGLISH = {"must": [{"key": "payload.lang", "match": {"value": "en"}}]}
SPARSE = {
    "query": {"nearest": {"indices": list(SALT.indices), "values": [1.0]}},
    "using": "bm25",
    "limit": 100,
}
RRF, DBSF = {"rrf": {"k": 60}}, {"fusion": "dbsf"}
SHAPES: dict[str, tuple[CollectionSpec, dict[str, Any], dict[str, Any]]] = {
    "two stages": (SPEC, {}, {**two_stages(), **TAIL}),
    "exact": (
        SPEC,
        {"exact": True},
        {
            "query": {"nearest": ROW},
            "using": "full",
            "params": {"exact": True, "quantization": {"ignore": True}},
            **TAIL,
        },
    ),
    "without a first stage": (
        CollectionSpec(mrl=(), full_name=""),
        {},
        {"query": {"nearest": ROW}, "params": {"exact": True, "quantization": {"ignore": True}}, **TAIL},
    ),
    "a graph made elsewhere": (
        CollectionSpec(mrl=(), full_name="dense", full_graph=True),
        {"hnsw_ef": 7},
        {
            "query": {"nearest": ROW},
            "using": "dense",
            "params": {
                "exact": False,
                "hnsw_ef": 7,
                "quantization": {"ignore": False, "rescore": True, "oversampling": 2.0},
            },
            **TAIL,
        },
    ),
    "oversampling, a page, a threshold": (
        SPEC,
        {"oversampling": 3, "hnsw_ef": 99, "limit": 5, "offset": 50, "score_threshold": 0.25},
        {
            **two_stages(
                prefetch=first(2200, hnsw_ef=99, quantization={"ignore": False, "rescore": True, "oversampling": 3})
            ),
            **TAIL,
            "limit": 5,
            "offset": 50,
            "score_threshold": 0.25,
        },
    ),
    "a filter": (
        SPEC,
        {"where": {"lang": "en"}},
        {**two_stages(prefetch={**first(), "filter": ENGLISH}, filter=ENGLISH), **TAIL},
    ),
    "rrf": (
        SPEC,
        {"hybrid": True, "where": {"lang": "en"}},
        {
            "prefetch": [
                {**two_stages(prefetch={**first(1000), "filter": ENGLISH}, filter=ENGLISH), "limit": 100},
                {**SPARSE, "filter": ENGLISH},
            ],
            "query": RRF,
            **TAIL,
        },
    ),
    "dbsf": (
        SPEC,
        {"hybrid": "dbsf", "limit": 200},
        {
            "prefetch": [{**two_stages(prefetch=first(4000)), "limit": 400}, {**SPARSE, "limit": 400}],
            "query": DBSF,
            **TAIL,
            "limit": 200,
        },
    ),
    "stop words alone": (
        SPEC,
        {"hybrid": True, "words": "the"},
        {"prefetch": [{**two_stages(prefetch=first(1000)), "limit": 100}], "query": RRF, **TAIL},
    ),
}


@pytest.mark.parametrize("name", SHAPES)
def test_the_body_of_every_shape(name: str) -> None:
    spec, options, expected = SHAPES[name]
    assert plan_search(VECTOR, spec, Search(**options), text="salt").body == expected


def test_vectors_are_asked_for_by_name() -> None:
    for spec, selector in ((SPEC, ["full"]), (CollectionSpec(mrl=(), full_name=""), True)):
        assert plan_search(VECTOR, spec, Search(), with_vector=True).body["with_vector"] == selector


@pytest.mark.parametrize(
    ("where", "clause"),
    [
        ({"a": 3}, {"key": "payload.a", "range": {"gte": 3.0, "lte": 3.0}}),
        ({"a": True}, {"key": "payload.a", "match": {"value": True}}),
        ({"a.b": ["x", "y"]}, {"key": "payload.a.b", "match": {"any": ["x", "y"]}}),
        ({"a": ["x"]}, {"key": "payload.a", "match": {"value": "x"}}),
        ({"a": {"gte": 1, "lt": 2.5}}, {"key": "payload.a", "range": {"gte": 1.0, "lt": 2.5}}),
        ({"a": {"gt": date(2024, 1, 31)}}, {"key": "payload.a", "range": {"gt": "2024-01-31T00:00:00"}}),
        ({"a": {"lte": "2024-01-31T12:00:00Z"}}, {"key": "payload.a", "range": {"lte": "2024-01-31T12:00:00+00:00"}}),
        ({"a": None}, {"is_empty": {"key": "payload.a"}}),
        ({"a": {"contains": "red bridge"}}, {"key": "payload.a", "match": {"text": "red bridge"}}),
        ({"a": {"not": "x"}}, {"must_not": [{"key": "payload.a", "match": {"value": "x"}}]}),
        ({"a": {"not": None}}, {"must_not": [{"is_empty": {"key": "payload.a"}}]}),
        (
            {"$or": [{"a": 1}, {"a": 2, "b": 3}]},
            {
                "should": [
                    {"must": [{"key": "payload.a", "range": {"gte": 1.0, "lte": 1.0}}]},
                    {
                        "must": [
                            {"key": "payload.a", "range": {"gte": 2.0, "lte": 2.0}},
                            {"key": "payload.b", "range": {"gte": 3.0, "lte": 3.0}},
                        ]
                    },
                ]
            },
        ),
        ({"$and": [{"a": 1}]}, {"must": [{"must": [{"key": "payload.a", "range": {"gte": 1.0, "lte": 1.0}}]}]}),
        ({"$not": {"a": 1}}, {"must_not": [{"must": [{"key": "payload.a", "range": {"gte": 1.0, "lte": 1.0}}]}]}),
        (
            {"$id": ["a", 7]},
            {"should": [{"key": "id", "match": {"value": "a"}}, {"key": "id", "match": {"value": 7}}]},
        ),
    ],
    ids=str,
)
def test_the_body_of_every_operator(where: dict[str, Any], clause: dict[str, Any]) -> None:
    body = plan_search(VECTOR, SPEC, Search(where=where)).body
    assert body["filter"] == body["prefetch"]["filter"] == {"must": [clause]}


def test_a_filter_of_nothing_is_not_sent() -> None:
    assert "filter" not in plan_search(VECTOR, SPEC, Search(where={})).body


def test_keywords_that_there_are_not() -> None:
    with pytest.raises(TypeError, match="ef"):
        Search(ef=3)  # type: ignore[call-arg]


@pytest.mark.parametrize("value", [True, "3", None])
def test_numbers_that_are_none(value: Any) -> None:
    with pytest.raises(InputError, match="limit must be a whole number"):
        Search(limit=value)
    if value is not None:
        for name in ("oversampling", "score_threshold"):
            with pytest.raises(InputError, match=f"{name} must be a number"):
                Search(**{name: value})
