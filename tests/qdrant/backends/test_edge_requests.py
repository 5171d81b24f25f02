"""Searches in the classes of the embedded engine, against requests built by hand from its own classes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import qdrant_edge as e

from leaf_embed.qdrant import CollectionSpec, Document, LeafCollection
from leaf_embed.qdrant.backends.edge_requests import edge_filter, edge_request
from leaf_embed.qdrant.query.filters import parse_filter
from leaf_embed.qdrant.query.plan import Search, plan_search
from tests.qdrant.query.test_plan import SALT, SPEC, VECTOR

assert SALT is not None
ROW = VECTOR.tolist()
HALF = (VECTOR[:2] / np.linalg.norm(VECTOR[:2])).tolist()
ENGLISH = e.Filter(must=[e.FieldCondition("payload.lang", match=e.MatchValue("en"))])
UNQUANTIZED = e.SearchParams(exact=False, quantization=e.QuantizationSearchParams(ignore=True))


def first(limit: int, ef: int, where: Any = None, **quantized: Any) -> Any:
    stored = e.QuantizationSearchParams(**{"ignore": False, "rescore": False, **quantized})
    params = e.SearchParams(exact=False, hnsw_ef=ef, quantization=stored)
    return e.Prefetch(limit=limit, query=e.Query.Nearest(HALF, using="mrl_2"), params=params, filter=where)


def dense(prefetch: Any, where: Any = None) -> dict[str, Any]:
    query = e.Query.Nearest(ROW, using="full")
    return {"query": query, "prefetches": [prefetch], "params": UNQUANTIZED, "filter": where}


def bm25(limit: int, where: Any = None) -> Any:
    sparse = e.SparseVector(list(SALT.indices), list(SALT.values))
    return e.Prefetch(limit=limit, query=e.Query.Nearest(sparse, using="bm25"), filter=where)


def fused(fusion: Any, depth: int, candidates: int, where: Any = None, **rest: Any) -> Any:
    ranking = e.Prefetch(limit=depth, **dense(first(candidates, candidates * 3 // 2, where), where))
    return e.QueryRequest(query=fusion, prefetches=[ranking, bm25(depth, where)], with_payload=True, **rest)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, e.QueryRequest(limit=10, with_payload=True, **dense(first(400, 600)))),
        (
            {"limit": 5, "offset": 2, "oversampling": 3, "hnsw_ef": 9, "score_threshold": 0.5, "where": {"lang": "en"}},
            e.QueryRequest(
                limit=5,
                offset=2,
                score_threshold=0.5,
                with_payload=True,
                **dense(first(400, 9, ENGLISH, rescore=True, oversampling=3), ENGLISH),
            ),
        ),
        (
            {"exact": True},
            e.QueryRequest(
                limit=10,
                with_payload=True,
                query=e.Query.Nearest(ROW, using="full"),
                params=e.SearchParams(exact=True, quantization=e.QuantizationSearchParams(ignore=True)),
            ),
        ),
        ({"hybrid": True, "where": {"lang": "en"}}, fused(e.Fusion.Rrf(k=60), 100, 1000, ENGLISH, limit=10)),
        ({"hybrid": "dbsf", "limit": 200}, fused(e.Fusion.Dbsf(), 400, 4000, limit=200)),
    ],
    ids=["two stages", "every number", "exact", "rrf", "dbsf"],
)
def test_every_shape_in_the_engines_classes(options: dict[str, Any], expected: Any) -> None:
    body = plan_search(VECTOR, SPEC, Search(**options), text="salt").body
    assert repr(edge_request(e, body)) == repr(expected)


def test_every_operator_in_the_engines_classes() -> None:
    where = {
        "a": ["x", "y"],
        "b": {"gte": 1, "lt": 2.5},
        "c": {"gt": "2024-01-31T12:00:00"},
        "d": None,
        "e": {"contains": "red"},
        "$or": [{"f": 1}, {"f": {"not": 2}}],
        "$not": {"g": "x"},
    }
    condition = e.FieldCondition
    expected = e.Filter(
        must=[
            condition("a", match=e.MatchAny(["x", "y"])),
            condition("b", range=e.RangeFloat(gte=1.0, lt=2.5)),
            condition("c", range=e.RangeDateTime(gt="2024-01-31T12:00:00")),
            e.IsEmptyCondition("d"),
            condition("e", match=e.MatchText("red")),
            e.Filter(
                should=[
                    e.Filter(must=[condition("f", range=e.RangeFloat(gte=1.0, lte=1.0))]),
                    e.Filter(must=[e.Filter(must_not=[condition("f", range=e.RangeFloat(gte=2.0, lte=2.0))])]),
                ]
            ),
            e.Filter(must_not=[e.Filter(must=[condition("g", match=e.MatchValue("x"))])]),
        ]
    )
    assert repr(edge_filter(e, parse_filter(where, ""))) == repr(expected)
    assert edge_filter(e, None) is None
    assert edge_filter(e, expected) is expected


def test_the_only_vector_without_a_name(leaf: Any, tmp_path: Any) -> None:
    """A shard made elsewhere is adopted, searched and read by its vector without a name."""
    texts = [f"topic{i % 5} word{i}" for i in range(40)]
    shard = tmp_path / "docs" / "shard"
    shard.mkdir(parents=True)
    made = e.EdgeShard.create(str(shard), e.EdgeConfig(vectors=e.EdgeVectorParams(size=64, distance=e.Distance.Cosine)))
    rows = leaf.encode_document(texts).tolist()
    points = [e.Point(i, row, {"text": text}) for i, (row, text) in enumerate(zip(rows, texts, strict=True))]
    made.update(e.UpdateOperation.upsert_points(points))
    made.flush()
    made.close()
    with LeafCollection.adopt("docs", leaf, path=tmp_path) as docs:
        assert docs.spec == CollectionSpec(
            mrl=(), quantization="none", distance="cosine", full_name="", full_graph=True
        )
        assert docs.search(texts[7], limit=1)[0].id == 7
        assert len(docs.search_mmr("topic3", limit=3)) == 3
        docs.index([Document("new", "topic9 entirely new")])
        assert docs.count() == 41
