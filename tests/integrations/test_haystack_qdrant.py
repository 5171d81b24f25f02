"""QdrantDocumentStore, the stock store with a leaf: one collection that both stores write, and what the leaf adds."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("haystack", reason="pip install haystack-ai")
pytest.importorskip("haystack_integrations.document_stores.qdrant", reason="pip install qdrant-haystack")

from haystack import Document
from haystack.dataclasses import SparseEmbedding
from haystack.document_stores.types import DuplicatePolicy
from haystack_integrations.components.retrievers.qdrant import (
    QdrantEmbeddingRetriever,
    QdrantHybridRetriever,
    QdrantSparseEmbeddingRetriever,
)
from haystack_integrations.document_stores.qdrant import QdrantDocumentStore as StockStore
from haystack_integrations.document_stores.qdrant import document_store as stock
from qdrant_client import AsyncQdrantClient, QdrantClient, models

from leaf_embed import EmbeddingSpace, LeafEncoder, vectors
from leaf_embed.encoders import FunctionEncoder
from leaf_embed.errors import CollectionError, InputError, SpaceMismatchError
from leaf_embed.qdrant import LeafCollection, read_metadata
from leaf_embed_haystack import LeafDocumentEmbedder, LeafTextEmbedder, QdrantDocumentStore
from tests.integrations.encoders import LetterEncoder, query_only

TEXTS = ["aaaa", "aaab", "bbbb", "ffff"]
OVERWRITE = DuplicatePolicy.OVERWRITE


def both() -> LeafEncoder:
    return LeafEncoder(LetterEncoder(), LetterEncoder())


@pytest.fixture(autouse=True)
def client(monkeypatch: pytest.MonkeyPatch) -> QdrantClient:
    """One client in memory for every store of a test, as one server would be."""
    shared, shared_async = QdrantClient(":memory:"), AsyncQdrantClient(":memory:")
    factories = SimpleNamespace(QdrantClient=lambda **_: shared, AsyncQdrantClient=lambda **_: shared_async)
    monkeypatch.setattr(stock, "qdrant_client", factories)

    async def stay_open() -> None: ...

    monkeypatch.setattr(shared, "close", lambda: None)  # a store that refuses closes its own connection
    monkeypatch.setattr(shared_async, "close", stay_open)
    return shared


def store(leaf: Any = None, kind: type[StockStore] = QdrantDocumentStore, **options: Any) -> Any:
    given = {} if leaf is None else {"leaf": leaf}
    return kind(":memory:", index="docs", embedding_dim=6, progress_bar=False, **given, **options)


def embedded(texts: list[str], **more: Any) -> list[Document]:
    documents = [Document(id=f"id {n}", content=text, meta={"n": n}, **more) for n, text in enumerate(texts)]
    return LeafDocumentEmbedder(both()).run(documents)["documents"]


def sparse(text: str) -> SparseEmbedding:
    return SparseEmbedding(indices=sorted({ord(letter) for letter in text}), values=[1.0] * len(set(text)))


def asked(text: str, leaf: Any = None) -> list[float]:
    return LeafTextEmbedder(leaf or both()).run(text)["embedding"]


def test_a_stock_collection_is_opened_in_place(client: QdrantClient) -> None:
    theirs = store(kind=StockStore)
    theirs.write_documents(embedded(TEXTS))
    before = client.scroll("docs", with_vectors=True)[0]
    mine = store(both())
    assert mine.filter_documents() == theirs.filter_documents()
    assert client.scroll("docs", with_vectors=True)[0] == before
    searching = store(query_only())  # its teacher cannot be built
    where = {"field": "meta.n", "operator": ">", "value": 0}
    for one in (searching, theirs):
        found = QdrantEmbeddingRetriever(one, top_k=1).run(asked("aaa", query_only()), filters=where)["documents"]
        assert [(d.id, d.content, d.meta) for d in found] == [("id 1", "aaab", {"n": 1})]
    with LeafCollection.open("docs", query_only(), client=client) as collection:
        assert collection.search("aaa", limit=1)[0].text == "aaaa"


def test_both_stores_write_one_collection(client: QdrantClient) -> None:
    """A thousand operations by both in turns, against a plain dictionary."""
    stores = [store(both()), store(kind=StockStore)]
    draw, expected = random.Random(7), dict[str, tuple[str, Any]]()
    names = [f"name {n}" for n in range(40)]
    encode = LetterEncoder().encode_document
    for _ in range(1000):
        one, name, chance = draw.choice(stores), draw.choice(names), draw.random()
        if chance < 0.6:
            text, page = "".join(draw.choices("abcdef", k=4)), draw.randint(0, 5)
            row = encode([text])[0].tolist()
            one.write_documents([Document(id=name, content=text, meta={"page": page}, embedding=row)], OVERWRITE)
            expected[name] = text, {"page": page}
        elif chance < 0.7:
            one.delete_documents([name])
            expected.pop(name, None)
        elif chance < 0.8:
            page = draw.randint(0, 5)
            one.update_by_filter({"field": "meta.page", "operator": "==", "value": page}, {"seen": page})
            expected = {
                n: (text, {**meta, "seen": page} if meta["page"] == page else meta)
                for n, (text, meta) in expected.items()
            }
        else:
            found = draw.choice(stores).filter_documents()
            assert {d.id: (d.content, d.meta) for d in found} == expected
    query = LetterEncoder().encode_query("abca")
    exact = sorted((float(vectors.cosine(query, encode(text))) for text, _ in expected.values()), reverse=True)
    for one in stores:
        documents = QdrantEmbeddingRetriever(one, top_k=5).run(query.tolist())["documents"]
        assert np.allclose([d.score for d in documents], exact[:5], atol=1e-5)


def test_two_stages_find_what_comparing_every_vector_finds(client: QdrantClient) -> None:
    words = ["".join(draw) for draw in np.random.default_rng(3).choice(list("abcdef"), (200, 5))]
    documents = embedded(words)
    first = store(both(), use_sparse_embeddings=True)
    first.write_documents(documents[:100])
    mine = store(both(), use_sparse_embeddings=True, mrl=3)  # filled from the stored vectors
    mine.write_documents(documents[100:150])
    theirs = store(kind=StockStore, use_sparse_embeddings=True)
    theirs.write_documents(documents[150:])
    mine.update_by_filter({"field": "meta.n", "operator": "==", "value": 120}, {"seen": True})
    mine = store(both(), use_sparse_embeddings=True, mrl=3)  # what the stock store wrote is filled now
    assert mine.count_documents() == 200
    points = client.scroll("docs", limit=200, with_vectors=True)[0]
    for point in points:
        assert np.allclose(point.vector["mrl_3"], vectors.truncate(point.vector["text-dense"], 3), atol=1e-6)  # type: ignore[index, call-overload]
    matrix = LetterEncoder().encode_document(words)
    sent = []
    client.query_points = lambda *a, ask=client.query_points, **o: sent.append(o) or ask(*a, **o)  # type: ignore[method-assign, func-returns-value]
    for text in ("abc", "ffe", "dd"):
        query = LetterEncoder().encode_query(text)
        exact = np.sort(vectors.cosine(query, matrix))[::-1]
        found = QdrantEmbeddingRetriever(mine, top_k=7).run(query.tolist())["documents"]
        assert np.allclose([d.score for d in found], exact[:7], atol=1e-5)
        assert (sent[-1]["prefetch"].using, sent[-1]["prefetch"].limit) == ("mrl_3", 400)
        hybrid = {"query_embedding": query.tolist(), "query_sparse_embedding": sparse("ab")}
        one, other = (QdrantHybridRetriever(s, top_k=7).run(**hybrid)["documents"] for s in (mine, theirs))
        assert [(d.id, d.score) for d in one] == [(d.id, d.score) for d in other]
    assert read_metadata("docs", client=client).spec.mrl == (3,)


def test_retrievers_of_every_kind_find_the_same() -> None:
    documents = [Document(d.id, d.content, meta=d.meta, embedding=d.embedding, sparse_embedding=sparse(d.content or ""))
                 for d in embedded(TEXTS)]  # fmt: skip
    mine, theirs = store(both(), use_sparse_embeddings=True), store(kind=StockStore, use_sparse_embeddings=True)
    mine.write_documents(documents)
    dense, words = asked("ab"), sparse("ab")
    for run in (
        lambda s: QdrantEmbeddingRetriever(s, top_k=3, return_embedding=True).run(dense),
        lambda s: QdrantEmbeddingRetriever(s, top_k=3, group_by="meta.n", group_size=1).run(dense),
        lambda s: QdrantSparseEmbeddingRetriever(s, top_k=3).run(words),
        lambda s: QdrantHybridRetriever(s, top_k=3).run(dense, words),
    ):
        assert run(mine) == run(theirs)
        assert run(mine)["documents"]


def test_another_model_is_refused() -> None:
    other = FunctionEncoder(EmbeddingSpace("other", 6), document=LetterEncoder().encode_document)
    assert store(both()).count_documents() == 0
    refused = store(other)
    for _ in range(2):  # the second call must not find an open client
        with pytest.raises(SpaceMismatchError, match="the collection 'docs'"):
            refused.count_documents()


def test_foreign_vectors_are_refused_and_nothing_is_recorded(client: QdrantClient) -> None:
    rows = np.random.default_rng(5).normal(size=(20, 6)).tolist()
    foreign = [Document(id=str(n), content="aaaa", embedding=row) for n, row in enumerate(rows)]
    store(kind=StockStore).write_documents(foreign)
    for leaf in (both(), LeafEncoder(LetterEncoder())):
        with pytest.raises(SpaceMismatchError, match="mean cosine"):
            store(leaf).count_documents()
    with pytest.raises(CollectionError, match="holds no leaf-embed metadata"):
        read_metadata("docs", client=client)


def test_foreign_vectors_are_not_written(client: QdrantClient) -> None:
    mine = store(both())
    row = (-np.asarray(asked("aaaa"))).tolist()
    with pytest.raises(SpaceMismatchError, match="the collection 'docs'"):
        mine.write_documents([Document(content="aaaa", embedding=row)])
    with pytest.raises(SpaceMismatchError, match="the collection 'docs'"):
        asyncio.run(mine.write_documents_async([Document(content="aaaa", embedding=row)]))
    assert mine.count_documents() == 0
    assert mine.write_documents([Document(content="no vector"), Document(content=None, embedding=row)]) == 2


def test_documents_without_vectors_say_nothing_about_the_model(client: QdrantClient) -> None:
    theirs = store(kind=StockStore)
    theirs.write_documents([Document(id=str(n), content="aaaa") for n in range(40)])
    assert store(both()).count_documents() == 40
    assert read_metadata("docs", client=client).space == LetterEncoder().space


def test_meta_fields_that_were_embedded() -> None:
    documents = [Document(id=str(n), content=text, meta={"title": "ffffff"}) for n, text in enumerate(TEXTS)]
    told: dict[str, Any] = {"meta_fields_to_embed": ["title", "missing"], "embedding_separator": " "}
    rows = LeafDocumentEmbedder(both(), **told).run(documents)["documents"]
    store(kind=StockStore).write_documents(rows)
    with pytest.raises(SpaceMismatchError, match="is not what was embedded"):
        store(both()).count_documents()
    assert store(both(), **told).count_documents() == 4


def test_a_recreated_collection_is_the_leafs_again(client: QdrantClient) -> None:
    mine = store(both())
    mine.write_documents(embedded(TEXTS))
    mine.delete_all_documents(recreate_index=True)
    assert read_metadata("docs", client=client).space == LetterEncoder().space
    mine.recreate_collection("docs", models.Distance.COSINE, 6)
    assert read_metadata("docs", client=client).space == LetterEncoder().space
    mine.recreate_collection("others", models.Distance.COSINE, 3)
    assert mine.write_documents(embedded(TEXTS)) == 4


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"mrl": 3}, "use_sparse_embeddings=True"),
        ({"mrl": 6, "use_sparse_embeddings": True}, "from 1 to 5"),
        ({"mrl": True, "use_sparse_embeddings": True}, "from 1 to 5"),
        ({"similarity": "l2"}, "Use 'cosine' or 'dot_product'"),
        ({"mrl": 3, "leaf": None}, "mrl needs leaf"),
    ],
)
def test_options_are_checked_before_anything_is_made(client: QdrantClient, options: dict[str, Any], said: str) -> None:
    leaf = options.pop("leaf", both())
    with pytest.raises(InputError, match=said):
        store(leaf, **options).count_documents()
    with pytest.raises(InputError, match="embedding_dim=6"):
        QdrantDocumentStore(":memory:", index="docs", leaf=both()).count_documents()
    assert not client.collection_exists("docs")


def test_a_pipeline_file_names_the_leaf(tmp_path: Path) -> None:
    mine = store(str(tmp_path), use_sparse_embeddings=True, mrl=128, meta_fields_to_embed=["title"])
    again = QdrantDocumentStore.from_dict(mine.to_dict())
    assert again.to_dict() == mine.to_dict()
    assert (again.leaf, again.mrl, again.index, again.embedding_dim) == (str(tmp_path), 128, "docs", 6)
    with pytest.raises(InputError, match="name the leaf"):
        store(both()).to_dict()
    plain = store(kind=StockStore).to_dict()
    read = QdrantDocumentStore.from_dict(plain)
    assert isinstance(read, QdrantDocumentStore)
    assert read.to_dict()["init_parameters"] == plain["init_parameters"]


def test_async_half() -> None:
    words = ["".join(draw) for draw in np.random.default_rng(4).choice(list("abcdef"), (60, 5))]

    async def run() -> None:
        theirs = store(kind=StockStore, use_sparse_embeddings=True)
        await theirs.write_documents_async(embedded(words[:50]))
        mine = store(both(), use_sparse_embeddings=True, mrl=3)
        more = [Document(f"more {d.id}", d.content, embedding=d.embedding) for d in embedded(words[50:])]
        assert await mine.write_documents_async(more) == 10
        query = LetterEncoder().encode_query("abc")
        exact = np.sort(vectors.cosine(query, LetterEncoder().encode_document(words)))[::-1]
        found = (await QdrantEmbeddingRetriever(mine, top_k=7).run_async(query.tolist()))["documents"]
        assert np.allclose([d.score for d in found], exact[:7], atol=1e-5)
        await mine.delete_all_documents_async()
        assert await theirs.count_documents_async() == 0
        other = FunctionEncoder(EmbeddingSpace("other", 6), document=LetterEncoder().encode_document)
        refused = store(other, use_sparse_embeddings=True)
        for _ in range(2):
            with pytest.raises(SpaceMismatchError, match="the collection 'docs'"):
                await refused.count_documents_async()

    asyncio.run(run())


def test_without_a_leaf_it_is_the_stock_store(client: QdrantClient) -> None:
    mine = store()
    rows = np.random.default_rng(5).normal(size=(4, 6)).tolist()
    mine.write_documents([Document(content=str(n), embedding=row) for n, row in enumerate(rows)])
    assert QdrantEmbeddingRetriever(mine, top_k=1).run(rows[2])["documents"][0].content == "2"
    with pytest.raises(CollectionError, match="holds no leaf-embed metadata"):
        read_metadata("docs", client=client)
