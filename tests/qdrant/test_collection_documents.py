"""Documents by id, page by page, in batches of searches, and different from each other, on both backends."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from typing import Any

import numpy as np
import pytest

from leaf_embed.errors import InputError, SpaceMismatchError, VectorError
from leaf_embed.qdrant import CollectionSpec, Document, LeafCollection, StoredDocument
from leaf_embed.vectors import max_marginal_relevance

SPEC = CollectionSpec(mrl=(16,))


@pytest.fixture
def docs(home: Any, leaf: Any) -> Iterator[LeafCollection]:
    """100 documents in 10 topics."""
    with LeafCollection.create("docs", leaf, spec=SPEC, **home) as collection:
        collection.index(
            [
                Document(
                    f"d{i}",
                    f"topic{i % 10} word{i}",
                    payload={
                        "n": i,
                        "half": i / 2,
                        "tag": "abc"[i % 3],
                        "on": i > 50,
                        "day": f"2024-01-{1 + i % 28:02}T12:00:00Z",
                        **(
                            {"note": f"part {i} of a red bridge"}
                            if i % 5 == 0
                            else {"note": None}
                            if i % 5 == 1
                            else {}
                        ),
                    },
                )
                for i in range(100)
            ]
        )
        leaf.asked.clear()
        yield collection


def test_get_gives_documents_in_the_order_asked_for(docs: LeafCollection, leaf: Any) -> None:
    found = docs.get(["d7", "missing", "d3", "d7"])
    assert [d.id for d in found] == ["d7", "d3", "d7"]
    payload = {"n": 3, "half": 1.5, "tag": "a", "on": False, "day": "2024-01-04T12:00:00Z"}
    assert found[1] == StoredDocument("d3", "topic3 word3", "", payload)
    assert found[0].vector is None
    vector = docs.get(["d7"], with_vectors=True)[0].vector
    assert vector is not None
    np.testing.assert_allclose(vector, leaf.encode_document("topic7 word7"), atol=1e-6)
    assert docs.get([]) == []
    with pytest.raises(InputError, match="list of document ids"):
        docs.get("d7")


def test_delete_says_how_many_were_there(docs: LeafCollection) -> None:
    assert docs.delete(["d1", "d2", "missing"]) == 2
    assert docs.delete(["d1"]) == 0
    assert docs.delete([]) == 0
    assert docs.count() == 98
    assert docs.get(["d1", "d3"]) == docs.get(["d3"])
    report = docs.index([Document("d1", "topic1 word1")])
    assert (report.added, docs.count()) == (1, 99)


def test_every_document_comes_once_a_page_at_a_time(docs: LeafCollection, leaf: Any) -> None:
    for size in (7, 100, 1000):
        assert sorted(d.id for d in docs.iter_documents(page_size=size)) == sorted(f"d{i}" for i in range(100))
    some = list(docs.iter_documents(with_vectors=True, where={"n": {"lt": 5}}, page_size=2))
    assert {d.payload["n"] for d in some} == {0, 1, 2, 3, 4}
    for document in some:
        assert document.vector is not None
        np.testing.assert_allclose(document.vector, leaf.encode_document(document.text), atol=1e-6)


def test_a_batch_of_searches_answers_as_single_ones(docs: LeafCollection, leaf: Any) -> None:
    queries: list[Any] = [f"topic{i} question" for i in range(70)]
    queries[3] = leaf.encode_query("topic3 question")
    leaf.asked.clear()
    together = docs.search_batch(queries, limit=4, where={"on": True})
    assert len(leaf.asked) == 1  # one batch through the encoder
    assert [[h.id for h in hits] for hits in together] == [
        [h.id for h in docs.search(query, limit=4, where={"on": True})] for query in queries
    ]
    assert docs.search_batch([]) == []
    with pytest.raises(InputError, match=r"use \[text\]|Use \[text\]"):
        docs.search_batch("topic1")


def test_a_score_threshold_cuts_the_list(docs: LeafCollection) -> None:
    whole = docs.search("topic3", limit=20)
    least = (whole[4].score + whole[5].score) / 2
    assert [h.id for h in docs.search("topic3", limit=20, score_threshold=least)] == [h.id for h in whole[:5]]


@pytest.mark.parametrize(
    ("where", "wanted"),
    [
        ({"n": {"gte": 10, "lt": 13}}, lambda p: 10 <= p["n"] < 13),
        ({"half": {"gt": 48.5}}, lambda p: p["half"] > 48.5),
        ({"tag": {"not": "a"}}, lambda p: p["tag"] != "a"),
        ({"tag": {"not": ["a", "b"]}}, lambda p: p["tag"] == "c"),
        ({"on": {"not": True}}, lambda p: not p["on"]),
        ({"$or": [{"n": 1}, {"n": 2, "tag": "c"}, {"n": 3, "tag": "c"}]}, lambda p: p["n"] in (1, 2)),
        ({"$and": [{"tag": "a"}, {"n": {"lte": 3}}]}, lambda p: p["n"] in (0, 3)),
        ({"$not": {"tag": "a", "on": True}}, lambda p: not (p["tag"] == "a" and p["on"])),
        ({"$not": {"$or": [{"tag": ["a", "b"]}, {"on": True}]}}, lambda p: p["tag"] == "c" and not p["on"]),
        ({"note": None}, lambda p: not p.get("note")),
        ({"note": {"not": None}, "n": {"lt": 50}}, lambda p: p.get("note") and p["n"] < 50),
        ({"note": {"contains": "of a red"}}, lambda p: p.get("note")),
        ({"note": {"contains": "bridge 10"}}, lambda p: p["n"] == 10),
        ({"day": {"gte": "2024-01-27"}}, lambda p: p["day"] >= "2024-01-27"),
        ({"day": {"gt": "2024-01-02T12:00:00Z", "lte": datetime(2024, 1, 4, 12)}}, lambda p: p["n"] % 28 in (2, 3)),
        ({"day": {"lt": date(2024, 1, 3)}}, lambda p: p["day"] < "2024-01-03"),
        ({"$id": ["d3", "d5", 7]}, lambda p: p["n"] in (3, 5)),
        ({"$id": {"not": ["d3", "d5"]}, "n": {"lt": 7}}, lambda p: p["n"] in (0, 1, 2, 4, 6)),
        ({"$text": "topic4 word14"}, lambda p: p["n"] == 14),
        ({"$text": {"contains": "word2"}}, lambda p: p["n"] == 2),
    ],
    ids=str,
)
def test_filters(docs: LeafCollection, where: Any, wanted: Any) -> None:
    payloads = [d.payload for d in docs.iter_documents()]
    expected = sorted(p["n"] for p in payloads if wanted(p))
    assert sorted(h.payload["n"] for h in docs.search("topic3", limit=100, where=where)) == expected
    assert docs.count(where) == len(expected) > 0


@pytest.mark.parametrize(
    "where",
    [
        {"n": {}},
        {"n": {"above": 3}},
        {"n": {"gt": "a"}},
        {"n": {"gt": True}},
        {"$or": []},
        {"$or": {"n": 1}},
        {"$not": 3},
        {"n": {"not": {"not": 1}}},
        {"n": {"contains": ""}},
        {"n": {"gte": "yesterday"}},
        {"$payload": 1},
        ["n"],
    ],
    ids=str,
)
def test_filters_that_cannot_be_used(docs: LeafCollection, where: Any) -> None:
    with pytest.raises(InputError):
        docs.search("topic3", where=where)
    with pytest.raises(InputError):
        docs.count(where)


def test_mmr_spreads_over_the_topics_without_the_document_encoder(docs: LeafCollection, leaf: Any) -> None:
    plain = docs.search_mmr("topic3 topic4", limit=6, fetch=40, diversity=0)
    assert [h.id for h in plain] == [h.id for h in docs.search("topic3 topic4", limit=6, candidates=400)]
    spread = docs.search_mmr("topic3 topic4", limit=6, fetch=40, diversity=0.7)
    assert spread[0].id == plain[0].id
    assert len({h.text.split()[0] for h in spread}) > len({h.text.split()[0] for h in plain})
    assert len(docs.search_mmr("topic3", limit=8, where={"n": {"lt": 3}})) == 3
    assert leaf.embedded == []
    for bad in ({"fetch": 3, "limit": 4}, {"diversity": 1.5}, {"limit": 0}):
        with pytest.raises(InputError):
            docs.search_mmr("topic3", **bad)


def test_mmr_by_hand() -> None:
    """Two near twins and one apart: the twin waits."""
    rows = [[1.0, 0.1], [1.0, 0.11], [0.3, -1.0]]
    assert max_marginal_relevance([1, 0], rows, 3, 0.0) == [0, 1, 2]
    assert max_marginal_relevance([1, 0], rows, 3, 0.6) == [0, 2, 1]
    assert max_marginal_relevance([1, 0], rows, 9, 0.6) == [0, 2, 1]


def test_vectors_that_are_there_need_no_teacher(home: Any, leaf: Any, docs: LeafCollection) -> None:
    stored = list(docs.iter_documents(with_vectors=True))
    matrix = np.stack([d.vector for d in stored if d.vector is not None])
    plain = [Document(d.id, d.text, d.title, d.payload) for d in stored]
    asked: list[list[str]] = []

    def lookup(texts: list[str]) -> Any:
        asked.append(texts)
        return [matrix[[d.text for d in plain].index(text)] for text in texts]

    leaf.asked.clear()
    for name, documents, source in (
        ("rows", plain, matrix),
        ("generator", plain, (row for row in matrix)),
        ("carried", stored, None),
        ("lookup", plain, lookup),
    ):
        with LeafCollection.create(name, leaf, spec=SPEC, check_canaries=False, **home) as other:
            report = other.index_vectors(documents, source, space=leaf.space, batch_size=30)
            assert (report.added, other.count()) == (100, 100)
            again = other.index_vectors(documents, matrix if name != "lookup" else lookup)
            assert again.unchanged == 100
            assert leaf.asked == []
            assert [h.id for h in other.search("topic3")] == [h.id for h in docs.search("topic3")]
            leaf.asked.clear()
    assert [len(texts) for texts in asked] == [30, 30, 30, 10]  # unchanged documents were not looked up


def test_vectors_that_do_not_fit_write_nothing(docs: LeafCollection, make_encoder: Any) -> None:
    some, rows = [Document("x", "a"), Document("y", "b")], np.eye(2, 64, dtype=np.float32)
    for bad, error in (
        (rows[:1], InputError),
        (np.eye(3, 64), InputError),
        (rows[:, :32], VectorError),
        (rows * np.nan, VectorError),
        (rows * 0, VectorError),
        (None, InputError),
    ):
        with pytest.raises(error):
            docs.index_vectors(some, bad)
    with pytest.raises(SpaceMismatchError):
        docs.index_vectors(some, rows, space=make_encoder(teacher="others").space)
    assert docs.count() == 100
