"""QdrantVectorStore, the stock store with a leaf: one collection that both stores write, and what the leaf adds."""

from __future__ import annotations

import asyncio
import copy
import random
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("llama_index.core", reason="pip install llama-index-core")
pytest.importorskip("llama_index.vector_stores.qdrant", reason="pip install llama-index-vector-stores-qdrant")

from llama_index.core import StorageContext, VectorStoreIndex
from llama_index.core.schema import MetadataMode, NodeRelationship, RelatedNodeInfo, TextNode
from llama_index.core.vector_stores.types import MetadataFilter, MetadataFilters, VectorStoreQuery, VectorStoreQueryMode
from llama_index.vector_stores.qdrant import QdrantVectorStore as StockStore
from qdrant_client import AsyncQdrantClient, QdrantClient, models

from leaf_embed import EmbeddingSpace, LeafEncoder, vectors
from leaf_embed.encoders import FunctionEncoder
from leaf_embed.errors import CollectionError, InputError, SpaceMismatchError
from leaf_embed.qdrant import Document, LeafCollection, read_metadata
from leaf_embed_llama_index import LeafEmbedding, QdrantVectorStore
from tests.integrations.encoders import LetterEncoder, query_only

TEXTS = ["aaaa", "aaab", "bbbb", "ffff"]


def both() -> LeafEmbedding:
    return LeafEmbedding(LeafEncoder(LetterEncoder(), LetterEncoder()))


@pytest.fixture
def client() -> QdrantClient:
    return QdrantClient(":memory:")


def node(text: str, number: int, source: str = "book", **metadata: Any) -> TextNode:
    """A node as an index hands it over: its vector is of its text with its metadata."""
    made = TextNode(text=text, id_=str(uuid.UUID(int=number)), metadata=metadata)
    made.relationships[NodeRelationship.SOURCE] = RelatedNodeInfo(node_id=source)
    made.embedding = both().get_text_embedding(made.get_content(MetadataMode.EMBED))
    return made


def asked(text: str, k: int = 3, **options: Any) -> VectorStoreQuery:
    return VectorStoreQuery(both().get_query_embedding(text), similarity_top_k=k, query_str=text, **options)


def found(store: StockStore, query: VectorStoreQuery, **options: Any) -> list[tuple[str, str, float]]:
    answer = store.query(query, **options)
    return [
        (n.node_id, n.get_content(), round(score, 5))
        for n, score in zip(answer.nodes or [], answer.similarities or [], strict=True)
    ]


def test_a_stock_collection_is_opened_in_place(client: QdrantClient) -> None:
    theirs = StockStore("docs", client=client)
    theirs.add([node(text, n, page=n, title="deed") for n, text in enumerate(TEXTS)])
    before = client.scroll("docs", with_vectors=True)[0]
    mine = QdrantVectorStore("docs", client=client, leaf=both())
    assert client.scroll("docs", with_vectors=True)[0] == before
    where = MetadataFilters(filters=[MetadataFilter(key="page", value=1)])
    searching = QdrantVectorStore("docs", client=client, leaf=query_only())  # its teacher cannot be built
    for store in (mine, searching):
        for query in (asked("aaa"), asked("aaa", filters=where)):
            assert found(store, query) == found(theirs, query)
    native = models.Filter(must=[models.FieldCondition(key="page", match=models.MatchValue(value=2))])
    assert [text for _, text, _ in found(searching, asked("aaa"), qdrant_filters=native)] == ["bbbb"]
    assert mine.client is copy.copy(mine._client).raw is client  # type: ignore[attr-defined]
    with LeafCollection.open("docs", query_only(), client=client) as collection:
        assert collection.search("aaa", limit=1)[0].text == "aaaa"
        with pytest.raises(InputError, match="LlamaIndex's own store"):
            collection.index_vectors([Document("x", "aaaa")], [[1.0] * 6])


def test_both_stores_write_one_collection(client: QdrantClient) -> None:
    """A thousand operations by both in turns, against a plain dictionary."""
    stores = [QdrantVectorStore("docs", client=client, leaf=both())]
    stores[0].add([node("aaaa", 0, "book 0", page=0)])  # creates the collection
    stores.append(StockStore("docs", client=client))  # type: ignore[arg-type]
    draw = random.Random(7)
    expected: dict[str, tuple[str, str, Any]] = {str(uuid.UUID(int=0)): ("aaaa", "book 0", {"page": 0})}
    for _ in range(1000):
        store, number, chance = draw.choice(stores), draw.randrange(40), draw.random()
        name, source = str(uuid.UUID(int=number)), f"book {draw.randrange(8)}"
        if chance < 0.6:
            text, page = "".join(draw.choices("abcdef", k=4)), draw.randint(0, 5)
            store.add([node(text, number, source, page=page)])
            expected[name] = text, source, {"page": page}
        elif chance < 0.7:
            store.delete_nodes([name])
            expected.pop(name, None)
        elif chance < 0.73:
            store.delete(source)
            expected = {n: kept for n, kept in expected.items() if kept[1] != source}
        elif chance < 0.85:
            nodes = store.get_nodes([name])
            assert [n.get_content() for n in nodes] == ([expected[name][0]] if name in expected else [])
        elif chance < 0.9:
            nodes = draw.choice(stores).get_nodes()
            assert {n.node_id: (n.get_content(), n.ref_doc_id, n.metadata) for n in nodes} == expected
    encode = LetterEncoder().encode_document
    texts = [node(text, 0, source, **meta).get_content(MetadataMode.EMBED) for text, source, meta in expected.values()]
    exact = np.sort(vectors.cosine(LetterEncoder().encode_query("abca"), encode(texts)))[::-1]
    for store in stores:
        assert np.allclose([score for *_, score in found(store, asked("abca", 5))], exact[:5], atol=1e-4)


@pytest.mark.parametrize("hybrid", [False, True])
def test_two_stages_find_what_comparing_every_vector_finds(client: QdrantClient, hybrid: bool) -> None:
    words = ["".join(draw) for draw in np.random.default_rng(3).choice(list("abcdef"), (200, 5))]
    more: dict[str, Any] = {"sparse_doc_fn": sparse, "sparse_query_fn": sparse} if hybrid else {}
    options = {"client": client, "enable_hybrid": hybrid, **more}
    mine = QdrantVectorStore("docs", leaf=both(), mrl=3, **options)
    nodes = [node(word, n) for n, word in enumerate(words)]
    mine.add(nodes[:100])
    theirs = StockStore("docs", **options)
    theirs.add(nodes[100:])
    mine = QdrantVectorStore("docs", leaf=both(), mrl=3, **options)  # what the stock store wrote is filled now
    points = client.scroll("docs", limit=200, with_vectors=True)[0]
    assert len(points) == 200
    for point in points:
        assert np.allclose(point.vector["mrl_3"], vectors.truncate(point.vector["text-dense"], 3), atol=1e-6)  # type: ignore[index, call-overload]
    matrix = LetterEncoder().encode_document(words)
    for text in ("abc", "ffe", "dd"):
        exact = np.sort(vectors.cosine(LetterEncoder().encode_query(text), matrix))[::-1]
        scores = [score for *_, score in found(mine, asked(text, 7))]
        assert np.allclose(scores, exact[:7], atol=1e-4)
        scores = [score for *_, score in found(mine, asked(text, 7), search_params=models.SearchParams(exact=True))]
        assert np.allclose(scores, exact[:7], atol=1e-4)
    assert read_metadata("docs", client=client).spec.mrl == (3,)
    if hybrid:
        for mode in (VectorStoreQueryMode.HYBRID, VectorStoreQueryMode.SPARSE):
            query = asked("abc", 7, mode=mode)
            one, other = (sorted(score for *_, score in found(store, query)) for store in (mine, theirs))
            assert one == other


def test_a_first_stage_is_sent(client: QdrantClient, monkeypatch: pytest.MonkeyPatch) -> None:
    store = QdrantVectorStore("docs", client=client, leaf=both(), mrl=3)
    store.add([node(text, n) for n, text in enumerate(TEXTS)])
    sent: list[dict[str, Any]] = []
    ask = client.query_points
    monkeypatch.setattr(client, "query_points", lambda *args, **options: sent.append(options) or ask(*args, **options))
    where = MetadataFilters(filters=[MetadataFilter(key="page", value=1)])
    store.query(asked("aaa", filters=where))
    first = sent[0]["prefetch"]
    assert (first.using, first.limit, first.filter) == ("mrl_3", 400, sent[0]["query_filter"])
    assert (sent[0]["using"], sent[0]["limit"]) == ("text-dense", 3)


def sparse(texts: list[str]) -> tuple[list[list[int]], list[list[float]]]:
    return [sorted({ord(c) for c in text}) for text in texts], [[1.0] * len(set(text)) for text in texts]


def test_an_index_over_the_store(client: QdrantClient) -> None:
    model = both()
    store = QdrantVectorStore("docs", client=client, leaf=model)
    context = StorageContext.from_defaults(vector_store=store)
    VectorStoreIndex([TextNode(text=text) for text in TEXTS], storage_context=context, embed_model=model)
    index = VectorStoreIndex.from_vector_store(store, embed_model=LeafEmbedding(query_only()))
    assert index.as_retriever(similarity_top_k=1).retrieve("bbb")[0].get_content() == "bbbb"
    assert read_metadata("docs", client=client).space == LetterEncoder().space


def test_a_cleared_store_is_the_leafs_again(client: QdrantClient) -> None:
    store = QdrantVectorStore("docs", client=client, leaf=both(), mrl=3)
    for _ in range(2):
        store.add([node("aaaa", 1)])
        assert read_metadata("docs", client=client).spec.mrl == (3,)
        store.clear()
        assert not client.collection_exists("docs")


def test_another_model_is_refused(client: QdrantClient) -> None:
    other = FunctionEncoder(EmbeddingSpace("other", 6), document=LetterEncoder().encode_document)
    waiting = QdrantVectorStore("docs", client=client, leaf=other)  # there is no collection yet
    QdrantVectorStore("docs", client=client, leaf=both()).add([node("aaaa", 1)])
    with pytest.raises(SpaceMismatchError, match="the collection 'docs'"):
        QdrantVectorStore("docs", client=client, leaf=other)
    with pytest.raises(SpaceMismatchError, match="the collection 'docs'"):
        waiting.query(asked("aaa"))
    with pytest.raises(SpaceMismatchError, match="the collection 'docs'"):
        waiting.add([node("aaaa", 2)])


def test_foreign_vectors_are_refused_and_nothing_is_recorded(client: QdrantClient) -> None:
    rows = np.random.default_rng(5).normal(size=(20, 6)).tolist()
    foreign = [TextNode(text="aaaa", embedding=row) for row in rows]
    StockStore("docs", client=client).add(foreign)  # type: ignore[arg-type]
    for leaf in (both(), LeafEmbedding(LeafEncoder(LetterEncoder()))):
        with pytest.raises(SpaceMismatchError, match="mean cosine"):
            QdrantVectorStore("docs", client=client, leaf=leaf)
    with pytest.raises(CollectionError, match="holds no leaf-embed metadata"):
        read_metadata("docs", client=client)


def test_foreign_vectors_are_not_written(client: QdrantClient) -> None:
    store = QdrantVectorStore("docs", client=client, leaf=both())
    row = both().get_text_embedding("aaaa")
    with pytest.raises(SpaceMismatchError, match="the collection 'docs'"):
        store.add([TextNode(text="aaaa", embedding=[-value for value in row])])
    with pytest.raises(InputError, match="have 3 dimensions"):
        store.add([TextNode(text="", embedding=row[:3])])
    assert not client.collection_exists("docs")


def test_a_leaf_without_its_teacher_compares_each_time_and_records_nothing(client: QdrantClient) -> None:
    StockStore("docs", client=client).add([node(text, n, title="deed") for n, text in enumerate(TEXTS)])
    alone = LeafEmbedding(LeafEncoder(LetterEncoder()))
    assert found(QdrantVectorStore("docs", client=client, leaf=alone), asked("ffff", 1))[0][1] == "ffff"
    with pytest.raises(CollectionError, match="holds no leaf-embed metadata"):
        read_metadata("docs", client=client)


EUCLID = models.VectorParams(size=6, distance=models.Distance.EUCLID)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"mrl": 6}, "from 1 to 5"),
        ({"mrl": True}, "from 1 to 5"),
        ({"mrl": 3, "leaf": None}, "mrl needs leaf"),
        ({"dense_config": EUCLID}, "Use Distance.COSINE or Distance.DOT"),
    ],
)
def test_options_are_checked_before_anything_is_made(client: QdrantClient, options: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        QdrantVectorStore("docs", client=client, **{"leaf": both(), **options})
    assert not client.collection_exists("docs")


def test_a_vector_without_a_name_takes_no_second_one(client: QdrantClient) -> None:
    StockStore("docs", client=client).add([node("aaaa", 1)])
    with pytest.raises(InputError, match="Make the collection with a named vector"):
        QdrantVectorStore("docs", client=client, leaf=both(), mrl=3)
    with pytest.raises(CollectionError, match="holds no leaf-embed metadata"):
        read_metadata("docs", client=client)


def test_async_half() -> None:
    words = ["".join(draw) for draw in np.random.default_rng(4).choice(list("abcdef"), (60, 5))]
    nodes: Any = [node(word, n) for n, word in enumerate(words)]

    async def run() -> None:
        aclient = AsyncQdrantClient(":memory:")
        mine = QdrantVectorStore("docs", aclient=aclient, leaf=both(), mrl=3)
        await mine.async_add(nodes[:30])
        await StockStore("docs", aclient=aclient).async_add(nodes[30:])
        mine = QdrantVectorStore("docs", aclient=aclient, leaf=both(), mrl=3)
        exact = np.sort(vectors.cosine(LetterEncoder().encode_query("abc"), LetterEncoder().encode_document(words)))
        answer = await mine.aquery(asked("abc", 7))
        assert np.allclose(answer.similarities or [], exact[::-1][:7], atol=1e-5)
        other = FunctionEncoder(EmbeddingSpace("other", 6), document=LetterEncoder().encode_document)
        refused = QdrantVectorStore("docs", aclient=aclient, leaf=other)
        for _ in range(2):
            with pytest.raises(SpaceMismatchError, match="the collection 'docs'"):
                await refused.aquery(asked("abc"))
        with pytest.raises(SpaceMismatchError, match="the collection 'docs'"):
            await refused.async_add(nodes[:1])
        await mine.aclear()
        await mine.async_add(nodes[:2])
        assert len(await mine.aget_nodes()) == 2

    asyncio.run(run())


def test_its_form_names_the_leaf(client: QdrantClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("leaf_embed_llama_index.qdrant.open_leaf", lambda _: LetterEncoder())
    form = QdrantVectorStore("docs", client=client, leaf=Path("my-leaf"), mrl=3).to_dict()
    assert (form["leaf"], form["mrl"], form["class_name"]) == ("my-leaf", 3, "QdrantVectorStore")
    assert QdrantVectorStore("docs", client=client, leaf=both()).to_dict()["leaf"] is None


def test_without_a_leaf_it_is_the_stock_store(client: QdrantClient) -> None:
    plain = QdrantVectorStore("docs", client=client)
    plain.add([TextNode(text="any", embedding=[0.1, -0.2])])
    assert plain.query(VectorStoreQuery([0.1, -0.2], similarity_top_k=1)).nodes[0].get_content() == "any"  # type: ignore[index]
    with pytest.raises(CollectionError, match="holds no leaf-embed metadata"):
        read_metadata("docs", client=client)
