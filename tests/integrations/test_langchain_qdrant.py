"""QdrantVectorStore, the stock store with a leaf: one collection that both stores write, and what the leaf adds.

LangChain's own suite refuses the ``_id`` that the stock store puts into metadata; tests/stock runs the stock tests."""

from __future__ import annotations

import asyncio
import random
import re
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("langchain_tests", reason="pip install langchain-tests")
pytest.importorskip("langchain_qdrant", reason="pip install langchain-qdrant")

import langchain_qdrant as stock
from langchain_core.documents import Document
from qdrant_client import QdrantClient, models

import leaf_embed_langchain
from leaf_embed import EmbeddingSpace, LeafEncoder, load, vectors
from leaf_embed.encoders import FunctionEncoder
from leaf_embed.errors import CollectionError, InputError, SpaceMismatchError
from leaf_embed.qdrant import LeafCollection, attach, read_metadata
from leaf_embed_langchain import LeafEmbeddings, QdrantVectorStore, RetrievalMode
from tests.integrations.encoders import LetterEncoder, query_only
from tests.integrations.test_langchain_store import Suite

PAGES = [{"page": n, "file.name": f"{n}.txt", "tags": ["a", None]} for n in range(4)]
TEXTS = ["aaaa", "aaab", "bbbb", "ffff"]
IDS = [str(uuid.UUID(int=n)) for n in range(4)]


def both() -> LeafEmbeddings:
    return LeafEmbeddings(LeafEncoder(LetterEncoder(), LetterEncoder()))


def empty(client: QdrantClient, vector: str = "", **options: Any) -> QdrantClient:
    """A collection as an application makes it for the stock store."""
    params = models.VectorParams(size=6, distance=models.Distance.COSINE, **options)
    client.create_collection("docs", {vector: params} if vector else params)
    return client


@pytest.fixture
def client() -> QdrantClient:
    return QdrantClient(":memory:")


def test_the_import_line_is_all_that_changes() -> None:
    theirs = {name for name in stock.__all__ if name not in ("Qdrant", "QdrantVectorStoreError")}
    assert theirs <= set(leaf_embed_langchain.__all__)
    assert issubclass(QdrantVectorStore, stock.QdrantVectorStore)
    assert RetrievalMode is stock.RetrievalMode


def test_a_stock_collection_is_opened_in_place(client: QdrantClient) -> None:
    theirs = stock.QdrantVectorStore(empty(client), "docs", both())
    theirs.add_texts(TEXTS, PAGES, IDS)
    before = client.scroll("docs", with_vectors=True)[0]
    mine = QdrantVectorStore(client, "docs", both())
    assert client.scroll("docs", with_vectors=True)[0] == before
    where = models.Filter(must=[models.FieldCondition(key="metadata.page", match=models.MatchValue(value=1))])
    (narrow,), (expected,) = (store.similarity_search("aaa", filter=where) for store in (mine, theirs))
    assert (narrow.page_content, narrow.metadata) == (expected.page_content, expected.metadata)
    found = mine.similarity_search("aaa", k=1)[0]
    assert found.metadata == {**PAGES[0], "_id": IDS[0], "_collection_name": "docs"}
    searching = QdrantVectorStore(client, "docs", query_only())  # its teacher cannot be built
    assert searching.similarity_search("aaa", k=1)[0].page_content == "aaaa"
    assert searching.max_marginal_relevance_search("aaa", k=2)[0].page_content == "aaaa"


def test_both_stores_write_one_collection(client: QdrantClient) -> None:
    """A thousand operations by both in turns, against a plain dictionary."""
    stores = [
        QdrantVectorStore(empty(client), "docs", both()),
        stock.QdrantVectorStore(client, "docs", both(), validate_collection_config=False),
    ]
    draw, expected = random.Random(7), dict[str, tuple[str, Any]]()
    names = [str(uuid.UUID(int=n)) for n in range(40)]
    for _ in range(1000):
        store, name = draw.choice(stores), draw.choice(names)
        if draw.random() < 0.6:
            text, page = "".join(draw.choices("abcdef", k=4)), draw.choice([None, {"page": draw.randint(0, 5)}])
            store.add_texts([text], None if page is None else [page], [name])
            expected[name] = text, page
        elif draw.random() < 0.5:
            store.delete([name])
            expected.pop(name, None)
        else:
            found = {d.metadata["_id"]: d for d in draw.choice(stores).get_by_ids(names)}
            assert {n: (d.page_content, without_own(d) or None) for n, d in found.items()} == expected
    query = LetterEncoder().encode_query("abca")
    scores = {n: float(vectors.cosine(query, LetterEncoder().encode_document(t))) for n, (t, _) in expected.items()}
    for store in stores:
        found = store.similarity_search_with_score("abca", k=5)
        assert [round(s, 4) for _, s in found] == [round(s, 4) for s in sorted(scores.values(), reverse=True)[:5]]


def without_own(document: Document) -> dict[str, Any]:
    return {key: value for key, value in document.metadata.items() if key not in ("_id", "_collection_name")}


def test_two_stages_find_what_comparing_every_vector_finds(client: QdrantClient) -> None:
    words = ["".join(draw) for draw in np.random.default_rng(3).choice(list("abcdef"), (200, 5))]
    store = QdrantVectorStore(empty(client, "full"), "docs", both(), vector_name="full")
    store.add_texts(words[:150], ids=list(range(150)))
    store = QdrantVectorStore(client, "docs", both(), vector_name="full", mrl=3)  # filled from the stored vectors
    store.add_texts(words[150:], ids=list(range(150, 200)))
    points = client.scroll("docs", limit=200, with_vectors=True)[0]
    assert all(
        np.allclose(p.vector["mrl_3"], vectors.truncate(p.vector["full"], 3), atol=1e-6)  # type: ignore[index, call-overload]
        for p in points
    )
    matrix = LetterEncoder().encode_document(words)
    for text in ("abc", "ffe", "dd"):
        exact = np.sort(vectors.cosine(LetterEncoder().encode_query(text), matrix))[::-1]
        for start in (0, 7):
            found = store.similarity_search_with_score(text, k=7, offset=start)
            assert np.allclose([score for _, score in found], exact[start : start + 7], atol=1e-5)
    assert read_metadata("docs", client=client).spec.mrl == (3,)


def test_a_text_can_be_an_id(client: QdrantClient) -> None:
    store = QdrantVectorStore(empty(client), "docs", both())
    assert store.add_texts(["aaaa", "bbbb"], ids=["my-id-1", "my-id-2"]) == ["my-id-1", "my-id-2"]
    store.add_texts(["cccc"], ids=["my-id-1"])
    assert client.count("docs").count == 2
    found = store.get_by_ids(["my-id-1"])[0]
    assert (found.id, found.metadata["_id"], found.page_content) == ("my-id-1", "my-id-1", "cccc")
    assert store.delete(["my-id-1", "never-there"])
    assert store.similarity_search("cccc")[0].id == "my-id-2"
    with pytest.raises(InputError, match="delete needs ids"):
        store.delete()


def test_another_model_is_refused(client: QdrantClient) -> None:
    other = LeafEmbeddings(FunctionEncoder(EmbeddingSpace("other", 6), document=LetterEncoder().encode_document))
    QdrantVectorStore(empty(client), "docs", both())
    with pytest.raises(SpaceMismatchError, match="the collection 'docs'"):
        QdrantVectorStore(client, "docs", other)


def test_foreign_vectors_are_refused_and_nothing_is_recorded(client: QdrantClient) -> None:
    empty(client)
    rows = np.random.default_rng(5).normal(size=(20, 6))
    payload = {"page_content": "aaaa", "metadata": None}
    client.upsert(
        "docs", [models.PointStruct(id=n, vector=row.tolist(), payload=payload) for n, row in enumerate(rows)]
    )
    for leaf in (both(), LeafEmbeddings(LeafEncoder(LetterEncoder()))):
        with pytest.raises(SpaceMismatchError, match="mean cosine"):
            QdrantVectorStore(client, "docs", leaf)
    with pytest.raises(CollectionError, match="holds no leaf-embed metadata"):
        read_metadata("docs", client=client)


def test_a_leaf_without_its_teacher_compares_each_time_and_records_nothing(client: QdrantClient) -> None:
    stock.QdrantVectorStore(empty(client), "docs", both()).add_texts(TEXTS)
    alone = LeafEmbeddings(LeafEncoder(LetterEncoder()))
    assert QdrantVectorStore(client, "docs", alone).similarity_search("aaa", k=1)[0].page_content == "aaaa"
    with pytest.raises(CollectionError, match="holds no leaf-embed metadata"):
        read_metadata("docs", client=client)


def test_a_read_only_key_can_search(client: QdrantClient, monkeypatch: pytest.MonkeyPatch) -> None:
    stock.QdrantVectorStore(empty(client), "docs", both()).add_texts(TEXTS)

    def refuse(*_: Any, **__: Any) -> None:
        raise RuntimeError("403 Forbidden")

    monkeypatch.setattr(client, "update_collection", refuse)
    assert QdrantVectorStore(client, "docs", both()).similarity_search("aaa", k=1)[0].page_content == "aaaa"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"mrl": 3}, "vector_name='full'"),
        ({"mrl": 6, "vector_name": "full"}, "from 1 to 5"),
        ({"mrl": True, "vector_name": "full"}, "from 1 to 5"),
        ({"distance": models.Distance.EUCLID}, "Use Distance.COSINE or Distance.DOT"),
    ],
)
def test_options_are_checked_before_anything_is_made(tmp_path: Path, options: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        QdrantVectorStore.from_texts(TEXTS, both(), path=str(tmp_path), collection_name="docs", **options)
    assert not QdrantClient(path=str(tmp_path)).collection_exists("docs")


def test_a_failed_from_texts_keeps_no_directory_in_use(tmp_path: Path) -> None:
    def cell(texts: list[Any]) -> QdrantVectorStore:
        return QdrantVectorStore.from_texts(texts, both(), path=str(tmp_path), collection_name="docs")

    with pytest.raises(ValueError, match="None") as kept:
        cell(["aaaa", None])
    with cell(["aaaa"]) as store:
        assert store.similarity_search("aaaa")[0].page_content == "aaaa"
    assert kept.value is not None


def test_lists_and_generators_of_texts(client: QdrantClient) -> None:
    store = QdrantVectorStore(empty(client), "docs", both())
    assert len(store.add_texts(text for text in TEXTS)) == 4
    assert store.add_texts([]) == []
    with pytest.raises(InputError, match="3 metadatas came with 4 texts"):
        store.add_texts(TEXTS, PAGES[:3])
    assert client.count("docs").count == 4


def test_an_encoder_is_as_good_as_embeddings(client: QdrantClient) -> None:
    store = QdrantVectorStore(empty(client), "docs", LeafEncoder(LetterEncoder(), LetterEncoder()))
    store.add_texts(TEXTS, ids=IDS)
    assert asyncio.run(store.asimilarity_search("aaa", k=1))[0].page_content == "aaaa"
    with pytest.raises(InputError, match="no option 'filter'"):
        store.as_retriever(filter={})


def test_any_other_embeddings_are_the_stock_stores_business() -> None:
    other = Suite.get_embeddings()
    store = QdrantVectorStore.from_texts(TEXTS, other, location=":memory:", collection_name="docs")
    assert store.similarity_search("aaaa", k=1)[0].page_content == "aaaa"
    with pytest.raises(InputError, match="mrl needs LeafEmbeddings"):
        QdrantVectorStore.from_texts(TEXTS, other, location=":memory:", vector_name="full", mrl=3)


def sparse(text: str) -> Any:
    return stock.SparseVector(indices=sorted({ord(letter) for letter in text}), values=[1.0] * len(set(text)))


class Letters(stock.SparseEmbeddings):
    def embed_documents(self, texts: list[str]) -> list[Any]:
        return [sparse(text) for text in texts]

    def embed_query(self, text: str) -> Any:
        return sparse(text)


@pytest.mark.parametrize("mode", list(RetrievalMode))
def test_every_retrieval_mode(mode: RetrievalMode) -> None:
    options = {"retrieval_mode": mode, "sparse_embedding": Letters(), "location": ":memory:", "collection_name": "docs"}
    mine = QdrantVectorStore.from_texts(TEXTS, both(), PAGES, IDS, **options)
    theirs = stock.QdrantVectorStore.from_texts(TEXTS, both(), PAGES, IDS, **options)
    found, expected = (store.similarity_search_with_score("ab", k=3) for store in (mine, theirs))
    assert [(d.page_content, s) for d, s in found] == [(d.page_content, s) for d, s in expected]


def test_collections_of_ours_are_opened_by_their_own_vector(client: QdrantClient) -> None:
    leaf = both().encoder
    LeafCollection.create("docs", leaf, client=client)
    with pytest.raises(CollectionError, match="vectors as 'full', not ''"):
        attach("docs", leaf, client=client)


def test_a_text_of_several_fields(client: QdrantClient) -> None:
    empty(client)
    row = LetterEncoder().encode_document(["aabb"])[0].tolist()
    client.upsert("docs", [models.PointStruct(id=1, vector=row, payload={"first": "aa", "second": "bb"})])
    join: Callable[[Any], str] = lambda payload: payload["first"] + payload["second"]  # noqa: E731
    assert attach("docs", both().encoder, client=client, text_of=join).count() == 1


def test_the_application_of_the_docs_before_and_after(
    client: QdrantClient, leaf_path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    page = (Path(__file__).parents[2] / "docs" / "migrating.md").read_text(encoding="utf-8")
    blocks = dict(re.findall(r"<!-- (before|after) -->\n```python\n(.*?)```", page, flags=re.DOTALL))
    shutil.copytree(leaf_path, tmp_path / "my-leaf")
    monkeypatch.chdir(tmp_path)
    teacher = load("my-leaf", document="teacher").document_encoder
    size = models.VectorParams(size=teacher.space.dim, distance=models.Distance.COSINE)
    client.create_collection("handbook", size)
    for name, answers in (("before", 1), ("after", 2)):
        names: dict[str, Any] = {"client": client, "embeddings": LeafEmbeddings(teacher)}
        exec(compile(blocks[name], "docs/migrating.md", "exec"), names)
        assert len(names["answers"]) == answers
        assert names["answers"][0].metadata["page"] == 1
