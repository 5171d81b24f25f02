"""Hybrid searches: words against BM25 in plain Python, fusion against its formula, and what is refused."""

from __future__ import annotations

import asyncio
import dataclasses
import math
from collections import Counter
from typing import Any

import pytest
import qdrant_edge
from qdrant_client import AsyncQdrantClient, QdrantClient, models

from leaf_embed.errors import CollectionError, InputError
from leaf_embed.qdrant import AsyncLeafCollection, CollectionSpec, Document, LeafCollection
from leaf_embed.qdrant.query.bm25 import RRF_K, bm25_documents, bm25_query
from leaf_embed.qdrant.schema.spec import BM25

SPEC = CollectionSpec(mrl=(16,), sparse="bm25", index_from_kb=10)
# Words that no stemmer changes and no stop word list holds, so that plain Python can count them.
WORDS = ["iron", "salt", "milk", "glass", "wood", "fish", "moon", "rain"]


def texts(count: int = 200) -> list[str]:
    return [f"topic{i % 9} " + " ".join(WORDS[(i * k) % 8] for k in range(1, 2 + i % 6)) for i in range(count)]


def bm25(documents: list[str], query: str, k: float = 1.2, b: float = 0.75, mean_length: float = 256) -> list[float]:
    """Robertson's BM25 with Lucene's idf, over words between spaces."""
    bags = [Counter(text.split()) for text in documents]
    scores = []
    for bag in bags:
        total, length = 0.0, sum(bag.values())
        for word in set(query.split()):
            holders = sum(word in other for other in bags)
            idf = math.log(1 + (len(bags) - holders + 0.5) / (holders + 0.5))
            total += idf * bag[word] * (k + 1) / (bag[word] + k * (1 - b + b * length / mean_length))
        scores.append(total)
    return scores


def fused(*rankings: list[int]) -> list[float]:
    """The scores of reciprocal rank fusion, best first; places count from 0."""
    scores: dict[int, float] = {}
    for ranking in rankings:
        for place, name in enumerate(ranking):
            scores[name] = scores.get(name, 0.0) + 1 / (RRF_K + place)
    return sorted(scores.values(), reverse=True)


def engine_words(docs: LeafCollection, query: str) -> list[tuple[int, float]]:
    """What the engine itself finds for the words alone: ids and scores."""
    words = bm25_query(query, "english")
    assert words is not None
    points: Any = docs._points
    if hasattr(points, "_handle"):
        sparse = qdrant_edge.SparseVector(list(words.indices), list(words.values))
        nearest = qdrant_edge.Query.Nearest(sparse, using=BM25)
        found = points._handle.shard.query(qdrant_edge.QueryRequest(limit=100, query=nearest, with_payload=True))
    else:
        query_vector = models.SparseVector(indices=list(words.indices), values=list(words.values))
        found = points._sender._client.query_points(docs.name, query=query_vector, using=BM25, limit=100).points
    return [(point.payload["id"], point.score) for point in found]


def test_the_words_of_a_text() -> None:
    (river,) = bm25_documents(["The rivers are RUNNING, river!"], "english")
    asked = bm25_query("the running river", "english")
    assert river is not None
    assert asked is not None
    assert set(asked.indices) == set(river.indices)
    assert set(asked.values) == {1.0}
    assert bm25_documents(["", "the of a"], "english") == [None, None]
    assert bm25_query("and the", "english") is None
    assert bm25_query("die Häuser", "german") == bm25_query("Haus", "german")
    with pytest.raises(InputError, match="no BM25 for the language 'klingon'"):
        bm25_query("x", "klingon")


def test_words_are_scored_by_bm25(home: Any, leaf: Any) -> None:
    with LeafCollection.create("docs", leaf, spec=SPEC, **home) as docs:
        docs.index([Document(i, text) for i, text in enumerate(texts())])
        for query in ("salt moon", "glass", "rain fish wood"):
            expected = bm25(texts(), query)
            words = engine_words(docs, query)
            assert [score for _, score in words] == pytest.approx([expected[i] for i, _ in words], rel=1e-4)
            best = sorted(expected, reverse=True)[: len(words)]
            assert [score for _, score in words] == pytest.approx(best, rel=1e-4)


def test_both_rankings_are_fused_by_ranks(home: Any, leaf: Any) -> None:
    documents = [f"salt topic{i % 9}" + " moon" * i for i in range(60)]  # no two of one length: no two scores are equal
    with LeafCollection.create("docs", leaf, spec=SPEC, **home) as docs:
        docs.index([Document(i, text) for i, text in enumerate(documents)])
        words = [i for i, _ in engine_words(docs, "topic3 salt")]
        assert len(words) == 60
        meaning: Any = [hit.id for hit in docs.search("topic3 salt", limit=100)]
        hits = docs.search("topic3 salt", limit=60, hybrid=True)
        assert [hit.score for hit in hits] == pytest.approx(fused(words, meaning), rel=1e-4)


def test_a_rare_word_brings_its_document_to_the_front(home: Any, make_encoder: Any) -> None:
    """The encoder knows nothing of "xk4000"; its hash decides. Words do."""
    leaf = make_encoder()
    parts = [f"topic1 part xk{i}000 in a box" for i in range(300)]
    with LeafCollection.create("docs", leaf, spec=SPEC, **home) as docs:
        docs.index([Document(i, text, payload={"odd": i % 2 == 1}) for i, text in enumerate(parts)])
        query = "please topic5 where can the xk217000 lie"
        plain = [hit.id for hit in docs.search(query, limit=10)]
        for fusion in (True, "rrf", "dbsf"):
            found = docs.search(query, limit=10, hybrid=fusion)  # type: ignore[arg-type]
            assert found[0].id == 217, (fusion, plain)
            assert found[0].score > found[1].score
        assert docs.search_batch([query, "xk3000"], hybrid=True, limit=1)[1][0].id == 3
        assert all(hit.id % 2 == 0 for hit in docs.search(query, hybrid=True, where={"odd": False}))  # type: ignore[operator]
        by_vector = docs.search(leaf.encode_query(query), words="xk217000", hybrid=True, limit=1)
        assert by_vector[0].id == 217
        assert [h.id for h in docs.search("the of", hybrid=True, limit=3)] == [
            h.id for h in docs.search("the of", limit=3)
        ]
        pages = [docs.search(query, hybrid=True, limit=5, offset=start) for start in (0, 5)]
        assert [h.id for page in pages for h in page] == [h.id for h in docs.search(query, hybrid=True, limit=10)]


def test_both_backends_fuse_alike(tmp_path: Any, leaf: Any) -> None:
    with (
        LeafCollection.create("docs", leaf, spec=SPEC, path=tmp_path) as embedded,
        LeafCollection.create("docs", leaf, spec=SPEC, client=QdrantClient(":memory:")) as local,
    ):
        for docs in (embedded, local):
            docs.index([Document(i, f"{text} unique{i}") for i, text in enumerate(texts())])
        for number in range(0, 200, 9):
            query = f"topic{number % 9} unique{number} {WORDS[number % 8]}"
            for fusion in ("rrf", "dbsf"):
                best = [docs.search(query, hybrid=fusion, limit=1)[0] for docs in (embedded, local)]  # type: ignore[arg-type]
                assert best[0].id == best[1].id == number
                assert best[0].score == pytest.approx(best[1].score, rel=1e-3)


def test_words_survive_reopening_changes_and_deletions(home: Any, leaf: Any) -> None:
    with LeafCollection.create("docs", leaf, spec=SPEC, **home) as docs:
        docs.index([Document("a", "topic1 alpha"), Document("b", "topic1 beta"), Document("c", "the")])
        docs.add_mrl(8)
        docs.change_quantization("none")
    with LeafCollection.open("docs", leaf, **home) as docs:
        assert docs.spec.sparse == "bm25"
        docs.index([Document("a", "topic1 gamma"), Document("b", "topic1 beta", payload={"n": 1})])
        assert docs.search("gamma", hybrid=True)[0].id == "a"
        assert docs.search("beta", hybrid=True)[0].id == "b"
        docs.delete(["b"])
        assert {hit.id for hit in docs.search("beta", hybrid=True)} == {"a", "c"}
        assert docs.describe()["spec"]["sparse"] == "bm25"


def test_explain_shows_both_rankings(leaf: Any) -> None:
    with LeafCollection.create("docs", leaf, spec=SPEC, client=QdrantClient(":memory:")) as docs:
        shown = docs.explain("the salt and the moon", limit=3, hybrid="rrf", where={"n": 1})
        meaning, words = shown.request["prefetch"]
        assert shown.request["query"] == {"rrf": {"k": 60}}
        assert (meaning["using"], meaning["limit"], meaning["prefetch"]["limit"]) == ("full", 100, 1000)
        assert (words["using"], words["limit"], len(words["query"]["nearest"]["indices"])) == ("bm25", 100, 2)
        assert words["filter"] == meaning["filter"] == meaning["prefetch"]["filter"]
        assert "2 words (english" in str(shown)
        assert "Scores are no cosines" in str(shown)
        assert "no words but stop words" in str(docs.explain("the", hybrid="dbsf"))
        assert docs.explain("the", hybrid="dbsf").request["query"] == {"fusion": "dbsf"}


def test_what_cannot_be_searched_for_words(home: Any, leaf: Any) -> None:
    with LeafCollection.create("plain", leaf, spec=CollectionSpec(mrl=(16,)), **home) as docs:
        with pytest.raises(InputError, match=r"has no BM25 vectors.*CollectionSpec\(sparse='bm25'\)"):
            docs.search("salt", hybrid=True)
        docs.index([Document("a", "topic1 alpha"), Document("b", "topic1 beta")])
        with LeafCollection.create("words", leaf, spec=SPEC, **home) as new:  # as the message says
            new.index_vectors(docs.iter_documents(with_vectors=True))
            assert new.search("beta", hybrid=True, limit=1)[0].id == "b"
            for options, message in (
                ({"hybrid": "sum"}, "hybrid must be True, 'rrf' or 'dbsf'"),
                ({"hybrid": True, "score_threshold": 0.5}, "score_threshold means nothing"),
                ({"hybrid": True, "candidates": 50}, "cannot fill"),
                ({"hybrid": True, "limit": "ten"}, "limit must be a whole number"),
            ):
                with pytest.raises(InputError, match=message):
                    new.search("salt", **options)  # type: ignore[arg-type]
            with pytest.raises(InputError, match="give its text too"):
                new.search(leaf.encode_query("salt"), hybrid=True)
    klingon = dataclasses.replace(SPEC, language="klingon")
    for _ in range(2):  # the second would say that it exists, had the first made it
        with pytest.raises(InputError, match="no BM25 for the language 'klingon'"):
            LeafCollection.create("klingon", leaf, spec=klingon, **home)
    with pytest.raises(InputError, match="sparse must be one of"):
        CollectionSpec(sparse="splade")  # type: ignore[arg-type]


def test_words_that_the_engine_does_not_hold_are_noticed(leaf: Any) -> None:
    client = QdrantClient(":memory:")
    docs = LeafCollection.create("docs", leaf, spec=SPEC, client=client)
    said = docs._metadata.to_dict()
    client.delete_collection("docs")
    params = {
        "full": models.VectorParams(size=64, distance=models.Distance.COSINE),
        "mrl_16": models.VectorParams(size=16, distance=models.Distance.COSINE),
    }
    client.create_collection("docs", vectors_config=params, metadata={"leaf_embed": said})
    with pytest.raises(CollectionError, match=r"vector 'bm25' has 0 dimensions under sparse, idf.*holds nothing"):
        LeafCollection.open("docs", leaf, client=client)


def test_a_hybrid_search_awaited(leaf: Any) -> None:
    async def main() -> None:
        client = AsyncQdrantClient(":memory:")
        docs = await AsyncLeafCollection.create("docs", leaf, client=client, spec=SPEC)
        await docs.index([Document(i, f"topic1 unique{i}") for i in range(50)])
        assert (await docs.search("unique7", hybrid=True, limit=1))[0].id == 7
        assert (await docs.search_batch(["unique7", "unique8"], hybrid="dbsf", limit=1))[1][0].id == 8

    asyncio.run(main())
