"""LeafQdrantVectorStore: LangChain's own suite without overrides on both engines, and what a store must not do."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("langchain_tests", reason="pip install langchain-tests")

from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.vectorstores import VectorStore
from langchain_tests.integration_tests import VectorStoreIntegrationTests
from qdrant_client import AsyncQdrantClient, QdrantClient, models

from leaf_embed import EmbeddingSpace, LeafEncoder
from leaf_embed.encoders import FunctionEncoder, one_by_one
from leaf_embed.errors import CollectionNotFoundError, InputError, SpaceMismatchError
from leaf_embed.qdrant import AsyncLeafCollection, CollectionSpec, LeafCollection
from leaf_embed.qdrant import Document as LeafDocument
from leaf_embed.qdrant.backends.edge_lock import lock_shard
from leaf_embed_langchain import LeafEmbeddings, LeafQdrantVectorStore
from tests.integrations.encoders import LetterEncoder, query_only

SPEC = CollectionSpec(mrl=(3,))
TEXTS = ["aaaa", "aaab", "bbbb", "ffff"]
METADATAS: list[dict[str, Any]] = [{"n": n, "kind": "vowel" if n < 2 else "other"} for n in range(4)]


def fake_embeddings() -> LeafEmbeddings:
    """The suite's own fake embeddings, as the encoder of a space of 6 dimensions."""
    fake = VectorStoreIntegrationTests.get_embeddings()
    assert isinstance(fake, DeterministicFakeEmbedding)
    space = EmbeddingSpace("langchain's fake", fake.size)
    encoder = FunctionEncoder(space, document=fake.embed_documents, query=one_by_one(fake.embed_query))
    return LeafEmbeddings(LeafEncoder(encoder, encoder))


@pytest.mark.asyncio
@pytest.mark.filterwarnings("ignore:.*is marked with '@pytest.mark.asyncio' but it is not an async function")
class Suite(VectorStoreIntegrationTests):
    """All 25, blocking and async."""


class TestLocalMode(Suite):
    @pytest.fixture
    def vectorstore(self) -> VectorStore:
        return LeafQdrantVectorStore.from_texts([], fake_embeddings(), client=QdrantClient(":memory:"), spec=SPEC)


class TestEdge(Suite):
    @pytest.fixture
    def vectorstore(self, tmp_path: Path) -> Iterator[VectorStore]:  # type: ignore[override]
        store = LeafQdrantVectorStore.from_texts([], fake_embeddings(), path=tmp_path, spec=SPEC)
        yield store
        store.collection.close()


class TestNativeAsync(Suite):
    """The awaited half over AsyncQdrantClient; the store beside it has no blocking collection at all."""

    has_sync = False

    @pytest.fixture
    def vectorstore(self) -> VectorStore:
        client = AsyncQdrantClient(":memory:")
        return asyncio.run(LeafQdrantVectorStore.afrom_texts([], fake_embeddings(), async_client=client, spec=SPEC))


@pytest.fixture
def client() -> QdrantClient:
    return QdrantClient(":memory:")


@pytest.fixture
def store(client: QdrantClient) -> LeafQdrantVectorStore:
    """Four texts, written with a teacher and opened again without one."""
    both = LeafEmbeddings(LeafEncoder(LetterEncoder(), LetterEncoder()))
    LeafQdrantVectorStore.from_texts(TEXTS, both, METADATAS, ids=list("wxyz"), client=client, spec=SPEC)
    return LeafQdrantVectorStore.from_existing_collection("langchain", query_only(), client=client)


def ids(documents: list[Document]) -> list[str | None]:
    return [document.id for document in documents]


def test_no_search_builds_the_teacher(store: LeafQdrantVectorStore) -> None:
    nearest = store.similarity_search("aaa", k=2)
    assert nearest[0] == Document(id="w", page_content="aaaa", metadata=METADATAS[0])
    assert (
        ids(nearest) == ids(store.similarity_search_by_vector(store.embeddings.embed_query("aaa"), k=2)) == ["w", "x"]
    )
    for kind in ("similarity", "mmr"):
        retriever = store.as_retriever(search_type=kind, search_kwargs={"k": 2})
        assert retriever.invoke("aaa")[0].id == "w"
        assert asyncio.run(retriever.ainvoke("aaa"))[0].id == "w"
    assert store.delete(["w"])
    with pytest.raises(AssertionError, match="the teacher was built"):
        store.add_texts(["new"])


def test_unchanged_texts_cost_nothing(store: LeafQdrantVectorStore) -> None:
    assert store.add_texts(TEXTS[:2], METADATAS[:2], ids=["w", "x"]) == ["w", "x"]  # the teacher would raise


def test_scores_and_relevance(store: LeafQdrantVectorStore) -> None:
    leaf = LetterEncoder()
    cosines = leaf.encode_document(TEXTS) @ leaf.encode_query("aaa")
    found = store.similarity_search_with_score("aaa", k=4)
    assert [score for _, score in found] == pytest.approx(sorted(cosines, reverse=True), abs=1e-5)
    relevant = store.similarity_search_with_relevance_scores("aaa", k=4)
    assert [score for _, score in relevant] == pytest.approx([(1 + score) / 2 for _, score in found])
    floor = relevant[1][1] - 1e-4
    kept = store.as_retriever(
        search_type="similarity_score_threshold", search_kwargs={"score_threshold": floor, "k": 4}
    ).invoke("aaa")
    assert ids(kept) == ["w", "x"]
    assert len(store.similarity_search("aaa", k=4, score_threshold=found[0][1] - 1e-4)) == 1
    halved = LeafQdrantVectorStore(store.collection, relevance_score_fn=lambda score: score / 2)
    assert halved.similarity_search_with_relevance_scores("aaa", k=1)[0][1] == pytest.approx(found[0][1] / 2)


def test_dot_products_have_no_relevance(client: QdrantClient) -> None:
    space = EmbeddingSpace("long", 6, unit_norm=False)
    encoder = FunctionEncoder(space, document=LetterEncoder().encode_document)
    store = LeafQdrantVectorStore(LeafCollection.create("dot", encoder, client=client, spec=SPEC))
    with pytest.raises(InputError, match="dot product, which has no bounds"):
        store.similarity_search_with_relevance_scores("aaa")


def test_filters_and_options(store: LeafQdrantVectorStore) -> None:
    assert ids(store.similarity_search("aaa", filter={"kind": "other"})) == ["y", "z"]
    assert ids(store.similarity_search("aaa", filter={"n": {"gte": 1, "lt": 3}}, exact=True)) == ["x", "y"]
    assert ids(store.similarity_search("aaa", k=1, offset=1, candidates=9, mrl=3)) == ["x"]
    assert ids(store.max_marginal_relevance_search("aaa", k=1, filter={"kind": "other"})) == ["y"]
    with pytest.raises(InputError, match="filter 'n'"):
        store.similarity_search("aaa", filter={"n": object()})


def test_mmr_prefers_difference(store: LeafQdrantVectorStore) -> None:
    assert ids(store.max_marginal_relevance_search("aaa", k=2, lambda_mult=1.0)) == ["w", "x"]
    assert ids(store.max_marginal_relevance_search("aaa", k=2, lambda_mult=0.0))[1] in ("y", "z")
    vector = store.embeddings.embed_query("aaa")
    assert ids(store.max_marginal_relevance_search_by_vector(vector, k=2, lambda_mult=1.0)) == ["w", "x"]
    found = asyncio.run(store.amax_marginal_relevance_search_by_vector(vector, k=2, fetch_k=1, lambda_mult=1.0))
    assert ids(found) == ["w", "x"]


def test_any_text_is_an_id(client: QdrantClient) -> None:
    names = ["a/b#1", "https://example.org/ü", "42", "x" * 300]
    both = LeafEmbeddings(LeafEncoder(LetterEncoder(), LetterEncoder()))
    documents = [Document(id=name, page_content=text) for name, text in zip(names, TEXTS, strict=True)]
    store = LeafQdrantVectorStore.from_documents(documents, both, client=client, collection_name="ids")
    assert ids(store.get_by_ids(names[::-1])) == names[::-1]
    assert ids(asyncio.run(store.asimilarity_search("aaaa", k=1))) == names[:1]
    store.delete(names[:2])
    assert ids(store.get_by_ids(names)) == names[2:]


def test_native_async_end_to_end() -> None:
    async def main() -> None:
        client, leaf = AsyncQdrantClient(":memory:"), LeafEncoder(LetterEncoder(), LetterEncoder())
        store = await LeafQdrantVectorStore.afrom_texts(
            TEXTS, LeafEmbeddings(leaf), METADATAS, ids=list("wxyz"), async_client=client, spec=SPEC
        )
        assert ids(await store.as_retriever(search_kwargs={"k": 1}).ainvoke("aaa")) == ["w"]
        assert ids(await store.asimilarity_search("aaa", filter={"n": 3})) == ["z"]
        assert next(s for _, s in await store.asimilarity_search_with_relevance_scores("aaa", k=1)) > 0.9
        with pytest.raises(InputError, match="await its async methods instead"):
            store.similarity_search("aaa")
        again = await LeafQdrantVectorStore.afrom_texts(["c"], LeafEmbeddings(leaf), async_client=client, ids=["v"])
        assert ids(await again.aget_by_ids(["v", "w"])) == ["v", "w"]
        opened = await AsyncLeafCollection.open("langchain", query_only(), client=client)
        assert ids(await LeafQdrantVectorStore(async_collection=opened).asimilarity_search("cc", k=1)) == ["v"]

    asyncio.run(main())


def test_what_cannot_be_used_is_refused(store: LeafQdrantVectorStore, client: QdrantClient) -> None:
    with pytest.raises(InputError, match="got neither"):
        LeafQdrantVectorStore()
    with pytest.raises(InputError, match="expected a LeafCollection"):
        LeafQdrantVectorStore(client)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="document=it"):
        LeafQdrantVectorStore.from_texts(["a"], DeterministicFakeEmbedding(size=6), client=client)
    with pytest.raises(InputError, match="either path="):
        LeafQdrantVectorStore.from_texts(["a"], LeafEmbeddings(LetterEncoder()))
    with pytest.raises(InputError, match="delete needs ids"):
        store.delete()
    with pytest.raises(InputError, match="1 metadatas came with 2 texts"):
        store.add_texts(["a", "b"], [{}])
    with pytest.raises(InputError, match="cannot be stored as JSON"):
        store.add_texts(["a"], [{"x": object()}])
    with pytest.raises(InputError, match="it was asked for with"):
        LeafQdrantVectorStore.from_texts(
            [], LeafEmbeddings(LetterEncoder()), client=client, spec=CollectionSpec(mrl=())
        )
    with pytest.raises(CollectionNotFoundError):
        LeafQdrantVectorStore.from_existing_collection("none", LetterEncoder(), client=client)
    stranger = FunctionEncoder(EmbeddingSpace("other", 6), document=LetterEncoder().encode_document)
    with pytest.raises(SpaceMismatchError):
        LeafQdrantVectorStore.from_existing_collection("langchain", stranger, client=client)


def test_ids_are_texts_here_and_come_back_as_texts(client: QdrantClient) -> None:
    """A number that another program gave as an id is shown as its digits, and found by the number alone."""
    both = LeafEncoder(LetterEncoder(), LetterEncoder())
    store = LeafQdrantVectorStore(LeafCollection.create("docs", both, client=client, spec=SPEC))
    store.collection.index([LeafDocument(7, "aaaa"), LeafDocument("7", "ffff")])
    assert [(d.id, d.page_content) for d in store.similarity_search("aaaa", k=2)] == [("7", "aaaa"), ("7", "ffff")]
    assert [d.page_content for d in store.get_by_ids(["7"])] == ["ffff"]
    assert [d.page_content for d in store.get_by_ids([7])] == ["aaaa"]  # type: ignore[list-item]
    assert store.add_texts(["bbbb"], ids=["7"]) == ["7"]
    assert sorted(d.text for d in store.collection.iter_documents()) == ["aaaa", "bbbb"]


def test_a_hybrid_search_passes_through(tmp_path: Path) -> None:
    words = ["aaaa 1701", "aaaa 4711", "aaaa 9000"]  # the letters' vectors are the same
    both = LeafEmbeddings(LeafEncoder(LetterEncoder(), LetterEncoder()))
    spec = CollectionSpec(mrl=(3,), sparse="bm25")
    store = LeafQdrantVectorStore.from_texts(words, both, path=tmp_path, spec=spec, ids=[w[-4:] for w in words])
    for word in ("1701", "4711", "9000"):
        assert ids(store.similarity_search(f"where is {word}", k=1, hybrid=True)) == [word]
        retriever = store.as_retriever(search_kwargs={"k": 1, "hybrid": "dbsf"})
        assert ids(asyncio.run(retriever.ainvoke(f"where is {word}"))) == [word]
    store.collection.close()


class TestTheStockStore:
    """What langchain_qdrant's own store can do with LeafEmbeddings, and what it cannot; see docs/frameworks.md."""

    IDS = ("00000000-0000-0000-0000-000000000001", "00000000-0000-0000-0000-000000000002")

    @pytest.fixture
    def stock(self, client: QdrantClient) -> Any:
        qdrant = pytest.importorskip("langchain_qdrant", reason="pip install langchain-qdrant")
        client.create_collection("stock", models.VectorParams(size=6, distance=models.Distance.COSINE))
        embeddings = LeafEmbeddings(LeafEncoder(LetterEncoder(), LetterEncoder()))
        store = qdrant.QdrantVectorStore(client, "stock", embeddings)
        store.add_texts(["aaaa", "ffff"], ids=list(self.IDS))
        return qdrant.QdrantVectorStore

    def test_it_asks_the_leaf_if_it_is_told_not_to_validate(self, stock: Any, client: QdrantClient) -> None:
        store = stock(client, "stock", LeafEmbeddings(query_only()), validate_collection_config=False)
        found = store.similarity_search_with_score("aaa", k=1)
        assert found[0][0].page_content == "aaaa"
        expected = LetterEncoder().encode_query("aaa") @ LetterEncoder().encode_document("aaaa")
        assert found[0][1] == pytest.approx(expected, abs=1e-5)

    def test_it_asks_the_teacher_when_made(self, stock: Any, client: QdrantClient) -> None:
        with pytest.raises(AssertionError, match="the teacher was built"):
            stock(client, "stock", LeafEmbeddings(query_only()))

    def test_it_asks_the_teacher_for_mmr(self, stock: Any, client: QdrantClient) -> None:
        store = stock(client, "stock", LeafEmbeddings(query_only()), validate_collection_config=False)
        with pytest.raises(AssertionError, match="the teacher was built"):
            store.max_marginal_relevance_search("aaa", k=1)

    def test_it_takes_no_text_as_an_id_and_sees_no_other_model(self, stock: Any, client: QdrantClient) -> None:
        store = stock(client, "stock", LeafEmbeddings(LeafEncoder(LetterEncoder(), LetterEncoder())))
        with pytest.raises(ValueError, match="not a valid"):
            store.add_texts(["bbbb"], ids=["any text"])
        other = LeafEmbeddings(FunctionEncoder(EmbeddingSpace("other", 6), document=LetterEncoder().encode_document))
        assert stock(client, "stock", other) is not None  # ours refuses it


@pytest.mark.parametrize("misplaced", [{"filter": {"n": 0}}, {"k": 2}, {"where": {"n": 0}}, {"search_kwarg": {}}])
def test_a_misplaced_option_of_a_retriever_is_refused(store: LeafQdrantVectorStore, misplaced: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=f"no option '{next(iter(misplaced))}'; .* go into search_kwargs"):
        store.as_retriever(search_kwargs={"k": 5}, **misplaced)
    assert store.as_retriever(search_kwargs={"k": 5}, tags=["t"], metadata={"a": 1}, name="n").name == "n"


def test_a_cell_that_failed_is_run_again_and_again(tmp_path: Path) -> None:
    both = LeafEmbeddings(LeafEncoder(LetterEncoder(), LetterEncoder()))

    def cell(price: float) -> LeafQdrantVectorStore:
        return LeafQdrantVectorStore.from_texts(["aaaa"], both, [{"price": price}], ids=["w"], path=tmp_path)

    with pytest.raises(InputError, match="price") as kept:  # a notebook keeps the error, and with it each frame
        cell(float("nan"))
    lock_shard(tmp_path / "langchain" / "shard").release()
    assert kept.value is not None
    first, second = cell(3.5), cell(3.5)
    first.close()
    with second:
        assert second.similarity_search("aaaa")[0].metadata == {"price": 3.5}
    lock_shard(tmp_path / "langchain" / "shard").release()
