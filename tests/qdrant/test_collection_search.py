"""Two stages against an exhaustive ranking in NumPy, on both backends, and what the request really says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from qdrant_client import QdrantClient

from leaf_embed.errors import CollectionError, InputError, VectorError
from leaf_embed.qdrant import CollectionSpec, Document, Hit, LeafCollection
from leaf_embed.qdrant.backends import edge_requests as edge
from leaf_embed.qdrant.query.plan import Search, plan_search

GRAPH = CollectionSpec(mrl=(16,), index_from_kb=10)  # 2,000 x 16 x 4 bytes = 125 kB: a graph and codes are built


def documents(texts: list[str]) -> list[Document]:
    return [
        Document(i, text, payload={"even": i % 2 == 0, "lang": ["en", "de", "fr"][i % 3]})
        for i, text in enumerate(texts)
    ]


def exhaustive(leaf: Any, matrix: np.ndarray, query: str, limit: int) -> tuple[list[int], np.ndarray]:
    """Ids and scores by comparing with every document's vector, in plain NumPy."""
    scores = matrix @ leaf.encode_query(query)
    best = np.argsort(-scores, kind="stable")[:limit]
    return best.tolist(), scores[best]


def overlap(found: list[Hit], expected: list[int]) -> float:
    return len({hit.id for hit in found} & set(expected)) / len(expected)


def test_two_stages_find_what_an_exhaustive_ranking_finds(
    home: Any, leaf: Any, texts: list[str], queries: list[str]
) -> None:
    with LeafCollection.create("docs", leaf, spec=GRAPH, **home) as docs:
        docs.index(documents(texts))
        matrix = leaf.encode_document(texts)
        recalls, exact = [], []
        for query in queries:
            expected, scores = exhaustive(leaf, matrix, query, 10)
            recalls.append(overlap(docs.search(query, candidates=200), expected))
            hits = docs.search(query, exact=True)
            exact.append([hit.id for hit in hits] == expected)
            np.testing.assert_allclose([hit.score for hit in hits], scores, atol=1e-5)
    assert np.mean(recalls) >= 0.99
    assert all(exact)


def test_both_backends_give_the_same_ids(tmp_path: Any, leaf: Any, texts: list[str], queries: list[str]) -> None:
    client = QdrantClient(":memory:")
    with (
        LeafCollection.create("docs", leaf, spec=GRAPH, path=tmp_path) as embedded,
        LeafCollection.create("docs", leaf, spec=GRAPH, client=client) as local,
    ):
        embedded.index(documents(texts))
        local.index(documents(texts))
        assert embedded.describe()["indexed_vectors"] >= 2000  # a graph was built: this is no plain scan
        assert embedded.count() == local.count() == 2000
        for query in queries:
            assert [h.id for h in embedded.search(query, candidates=200)] == [
                h.id for h in local.search(query, candidates=200)
            ]
    client.close()


def test_codes_do_not_touch_the_scores(home: Any, leaf: Any, texts: list[str]) -> None:
    """The final ranking is by the full vectors: a document found by its own vector has a cosine of exactly 1."""
    with LeafCollection.create("docs", leaf, spec=GRAPH, **home) as docs:
        docs.index(documents(texts))
        for i in range(0, 2000, 100):
            best = docs.search(leaf.encode_document(texts[i]), limit=1)[0]
            assert best.id == i
            assert best.score == pytest.approx(1.0, abs=1e-5)


def test_hits_carry_the_document_back(home: Any, leaf: Any) -> None:
    payload = {"id": "mine", "text": 3, "nested": {"a": [1, 2.5, None, True]}}
    with LeafCollection.create("docs", leaf, **home) as docs:
        docs.index([Document("Ärger/1 ", "topic1 blue", title="Sky", payload=payload), Document(7, "topic2")])
        best, second = docs.search("topic1 blue")
        assert best == Hit("Ärger/1 ", best.score, "topic1 blue", "Sky", payload)
        assert second.id == 7
        assert second.payload == {}
        assert docs.search([float(x) for x in leaf.encode_query("topic2")], limit=1)[0].id == 7


def test_pages_join_to_one_list(home: Any, leaf: Any, texts: list[str]) -> None:
    with LeafCollection.create("docs", leaf, spec=GRAPH, **home) as docs:
        docs.index(documents(texts[:300]))
        whole = [h.id for h in docs.search("topic3", limit=60, candidates=300)]
        pages = [h.id for start in (0, 20, 40) for h in docs.search("topic3", limit=20, offset=start, candidates=300)]
        assert pages == whole
        assert len(set(whole)) == 60
        assert len(docs.search("topic3", limit=10, offset=295, candidates=305)) == 5


def test_where_filters_both_stages(home: Any, leaf: Any, texts: list[str]) -> None:
    with LeafCollection.create("docs", leaf, spec=GRAPH, **home) as docs:
        docs.index(documents(texts[:300]))
        for where, wanted in (
            ({"even": True}, lambda h: h.id % 2 == 0),
            ({"lang": "de"}, lambda h: h.id % 3 == 1),
            ({"lang": ["de", "fr"], "even": False}, lambda h: h.id % 3 != 0 and h.id % 2 == 1),
        ):
            hits = docs.search("topic3 word3", limit=40, where=where)
            assert len(hits) == 40  # filtered after the first stage alone, fewer would be left
            assert all(map(wanted, hits))
        assert docs.search("topic3", where={"lang": "nl"}) == []


@pytest.mark.parametrize("mrl", [(), (1,), (2, 5)])
def test_tiny_spaces(home: Any, make_encoder: Any, mrl: tuple[int, ...]) -> None:
    leaf = make_encoder(6)
    texts = [f"topic{i} word{i}" for i in range(30)]
    with LeafCollection.create("docs", leaf, spec=CollectionSpec(mrl=mrl), **home) as docs:
        docs.index(documents(texts))
        for dim in (None, *mrl):
            found = [hit.id for hit in docs.search("topic4 word4", limit=5, mrl=dim)]
            assert found == exhaustive(leaf, leaf.encode_document(texts), "topic4 word4", 5)[0]


def test_a_space_without_unit_norm_is_ranked_by_dot_product(home: Any, make_encoder: Any) -> None:
    leaf = make_encoder(unit=False)
    texts = [" ".join([f"topic{i % 4} word{i}"] * (1 + i % 5)) for i in range(60)]  # repeated words: longer vectors
    with LeafCollection.create("docs", leaf, spec=CollectionSpec(mrl=(16,)), **home) as docs:
        docs.index(documents(texts))
        expected, scores = exhaustive(leaf, leaf.encode_document(texts), "topic1 word5", 10)
        hits = docs.search("topic1 word5", candidates=60)
        assert [hit.id for hit in hits] == expected
        np.testing.assert_allclose([hit.score for hit in hits], scores, rtol=1e-4)
        assert docs.describe()["distance"] == "dot"


def test_an_empty_collection_answers_nothing(home: Any, leaf: Any) -> None:
    with LeafCollection.create("docs", leaf, spec=GRAPH, **home) as docs:
        assert docs.search("anything") == []
        assert docs.count() == 0


def test_the_request_to_a_client_names_its_limit_and_ignores_codes(leaf: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    client, sent = QdrantClient(":memory:"), []
    plain = client.query_points
    monkeypatch.setattr(client, "query_points", lambda *a, **k: sent.append(k) or plain(*a, **k))
    with LeafCollection.create("docs", leaf, spec=GRAPH, client=client) as docs:
        docs.index([Document(1, "topic1")])
        docs.search("topic1", limit=3)
        docs.search("topic1", limit=3, offset=4, candidates=7)
        docs.search("topic1", exact=True)
    first, second, exact = sent
    assert (first["prefetch"].using, first["prefetch"].limit, first["using"]) == ("mrl_16", 400, "full")
    assert (first["limit"], first["offset"], second["offset"]) == (3, 0, 4)
    assert first["search_params"].quantization.ignore is True
    assert second["prefetch"].limit == 7
    assert "prefetch" not in exact
    assert exact["search_params"].exact is True
    client.close()


def test_the_request_to_the_engine_names_its_limit_and_ignores_codes(leaf: Any) -> None:
    plan = plan_search(leaf.encode_query("topic1"), GRAPH, Search(limit=3, offset=4))
    request = edge.edge_request(edge.engine(), plan.body)
    assert [prefetch.limit for prefetch in request.prefetches] == [400]
    assert request.params.quantization.ignore is True
    assert (request.limit, request.offset) == (3, 4)


def test_only_the_truncated_vector_is_quantized(leaf: Any, tmp_path: Any) -> None:
    client = QdrantClient(":memory:")
    with LeafCollection.create("docs", leaf, spec=GRAPH, client=client):
        params = client.get_collection("docs").config.params.vectors
    assert params["full"].quantization_config is None
    assert params["full"].hnsw_config.m == 0
    assert params["mrl_16"].quantization_config.scalar.type == "int8"
    with LeafCollection.create("docs", leaf, spec=GRAPH, path=tmp_path):
        text = (tmp_path / "docs" / "shard" / "edge_config.json").read_text()
    assert text.count('"quantization_config"') == 1
    client.close()


def test_a_plan_settles_every_number(leaf: Any) -> None:
    spec = CollectionSpec(mrl=(16, 32))
    vector = leaf.encode_query("topic1")
    first = plan_search(vector, spec, Search()).body["prefetch"]
    assert (first["using"], first["limit"], len(first["query"]["nearest"])) == ("mrl_16", 400, 16)
    assert np.linalg.norm(first["query"]["nearest"]) == pytest.approx(1)
    assert plan_search(vector, spec, Search(limit=70)).body["prefetch"]["limit"] == 2800
    assert plan_search(vector, spec, Search(mrl=32)).body["prefetch"]["using"] == "mrl_32"
    assert plan_search(vector, spec, Search(where={"a.b": ["x"]})).body["filter"] == {
        "must": [{"key": "payload.a.b", "match": {"value": "x"}}]
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"limit": 0}, "limit must be a whole number of at least 1"),
        ({"offset": -1}, "offset must be"),
        ({"limit": 2.5}, "limit must be"),
        ({"limit": 10, "offset": 5, "candidates": 14}, r"candidates=14 cannot fill limit \+ offset = 15"),
        ({"mrl": 99}, "no vector mrl_99"),
        ({"where": {"a": b"x"}}, "cannot be used"),
        ({"where": {"a": float("nan")}}, "cannot be used"),
        ({"where": {"a": 10**30}}, "more than 64 bits"),
        ({"where": {"a..b": 1}}, "cannot be empty"),
        ({"where": {'a"b': 1}}, "hold a quotation mark"),
        ({"where": {"a": []}}, "cannot be used"),
        ({"where": {"a": ["x", 1]}}, "cannot be used"),
        ({"where": {"a": {}}}, "cannot be used"),
        ({"where": {"a": {"gte": "soon"}}}, "is no ISO date"),
        ({"where": {"a": {"gte": "2024-01-01", "lt": 3}}}, "cannot be used"),
        ({"where": {"a": {"contains": 3}}}, "takes a text"),
        ({"where": {"$hash": "x"}}, "no field begins with a dollar"),
    ],
)
def test_search_options_that_cannot_be_used(home: Any, leaf: Any, options: dict[str, Any], message: str) -> None:
    with LeafCollection.create("docs", leaf, spec=GRAPH, **home) as docs, pytest.raises(InputError, match=message):
        docs.search("topic1", **options)


def test_query_vectors_that_cannot_be_used(home: Any, leaf: Any) -> None:
    with LeafCollection.create("docs", leaf, spec=GRAPH, **home) as docs:
        with pytest.raises(VectorError, match="32 dimensions; expected 64"):
            docs.search([1.0] * 32)
        with pytest.raises(VectorError, match="NaN"):
            docs.search([float("nan")] * 64)
        with pytest.raises(VectorError, match="only zeros"):
            docs.search([0.0] * 64)


def test_a_closed_collection_says_so(home: Any, leaf: Any) -> None:
    docs = LeafCollection.create("docs", leaf, **home)
    docs.close()
    docs.close()
    with pytest.raises(CollectionError, match="is closed; open it again"):
        docs.search("topic1")
