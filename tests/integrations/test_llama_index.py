"""LlamaIndex: who is asked for what, the cache of both roles, and a VectorStoreIndex end to end on both engines."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("llama_index.core", reason="pip install llama-index-core")

from llama_index.core import Settings, StorageContext, VectorStoreIndex
from llama_index.core.callbacks import CallbackManager, CBEventType, LlamaDebugHandler
from llama_index.core.embeddings import MockEmbedding
from llama_index.core.schema import BaseNode, NodeRelationship, RelatedNodeInfo, TextNode
from llama_index.core.storage.kvstore import SimpleKVStore
from llama_index.core.vector_stores.types import (
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryMode,
)
from qdrant_client import AsyncQdrantClient, QdrantClient

from leaf_embed import LeafEncoder
from leaf_embed.errors import InputError, SpaceMismatchError
from leaf_embed.qdrant import CollectionSpec, LeafCollection, aopen_or_create, open_or_create
from leaf_embed_llama_index import LeafEmbedding, LeafQdrantVectorStore
from tests.integrations.encoders import LetterEncoder, query_only

SPEC = CollectionSpec(mrl=(3,))
TEXTS = ["aaaa", "aaab", "bbbb", "ffff"]


def both() -> LeafEncoder:
    return LeafEncoder(LetterEncoder(), LetterEncoder())


def nodes() -> list[BaseNode]:
    """One node a text: ids w to z, of two documents, with metadata that is not embedded."""
    made: list[BaseNode] = []
    for n, (name, text) in enumerate(zip("wxyz", TEXTS, strict=True)):
        node = TextNode(id_=name, text=text, metadata={"n": n, "tags": ["all", name], "part": n / 2})
        node.metadata["name"] = f"node {name}" if n < 3 else ""
        node.excluded_embed_metadata_keys = ["n", "tags", "part", "name"]
        node.relationships[NodeRelationship.SOURCE] = RelatedNodeInfo(node_id=f"doc{n // 2}")
        made.append(node)
    return made


def ids(found: Any) -> list[str]:
    return [item.node_id for item in found]


@pytest.fixture(params=["edge", "client"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LeafQdrantVectorStore]:
    """Four nodes by a VectorStoreIndex with the teacher, then the collection opened again without it."""
    place: Any = {"path": tmp_path} if request.param == "edge" else {"client": QdrantClient(":memory:")}
    with open_or_create("docs", both(), spec=SPEC, **place) as written:
        context = StorageContext.from_defaults(vector_store=LeafQdrantVectorStore(written))
        VectorStoreIndex(nodes(), storage_context=context, embed_model=LeafEmbedding(both()))
    with LeafCollection.open("docs", query_only(), **place) as collection:
        yield LeafQdrantVectorStore(collection)


def test_queries_go_to_the_leaf_and_texts_to_the_teacher() -> None:
    leaf, teacher = LetterEncoder(), LetterEncoder()
    embedding = LeafEmbedding(LeafEncoder(leaf, teacher))
    query = embedding.get_query_embedding("abba")
    assert embedding.get_text_embedding_batch(["abba", "cab"])[0] == query == embedding.get_text_embedding("abba")
    assert {type(x) for x in query} == {float}
    assert (set(leaf.roles), set(teacher.roles)) == ({"query"}, {"document"})
    assert asyncio.run(embedding.aget_query_embedding("abba")) == query
    assert asyncio.run(embedding.aget_text_embedding("abba")) == query
    assert asyncio.run(embedding.aget_text_embedding_batch(["cab", "abba"]))[1] == query
    assert embedding.get_agg_embedding_from_queries(["abba"]) == pytest.approx(query)


def test_a_cache_never_mixes_the_roles() -> None:
    class Shifted(LetterEncoder):
        def _encode(self, texts: list[str], role: Any) -> Any:
            return super()._encode([text + "f" for text in texts], role)

    cache = SimpleKVStore()
    embedding = LeafEmbedding(LeafEncoder(LetterEncoder(), Shifted()), embeddings_cache=cache)
    query, text = embedding.get_query_embedding("abba"), embedding.get_text_embedding("abba")
    assert query != text
    assert embedding.get_query_embedding("abba") == asyncio.run(embedding.aget_query_embedding("abba")) == query
    assert embedding.get_text_embedding("abba") == embedding.get_text_embedding_batch(["abba"])[0] == text
    assert len(cache.get_all("embeddings")) == 1
    assert embedding.embeddings_cache is cache


def test_callbacks_see_queries_and_texts() -> None:
    debug = LlamaDebugHandler(print_trace_on_end=False)
    manager = CallbackManager([debug])
    embedding = LeafEmbedding(both(), callback_manager=manager, embeddings_cache=SimpleKVStore())
    embedding.get_query_embedding("abba")
    embedding.get_text_embedding("abba")
    assert len(debug.get_event_pairs(CBEventType.EMBEDDING)) == 2


def test_it_survives_a_dictionary(leaf_path: Path) -> None:
    embedding = LeafEmbedding(leaf_path, document="leaf", embed_batch_size=7)
    stored = json.loads(embedding.to_json())
    assert (stored["class_name"], stored["leaf"], stored["document"]) == ("LeafEmbedding", str(leaf_path), "leaf")
    assert embedding.encoder.space.fingerprint in stored["model_name"]
    loaded = LeafEmbedding.from_dict(stored)
    assert loaded.embed_batch_size == 7
    assert loaded.get_query_embedding("red stone") == embedding.get_query_embedding("red stone")
    if hasattr(embedding, "to_payload"):  # what instrumentation sees; older releases send to_dict
        assert set(embedding.to_payload()) == {"class_name", "model_name", "embed_batch_size"}


def test_the_teacher_may_be_another_embedding() -> None:
    embedding = LeafEmbedding(LetterEncoder(), document=LeafEmbedding(LetterEncoder()))
    assert embedding.get_text_embedding("abba") == pytest.approx(embedding.get_query_embedding("abba"))
    stranger = LeafEmbedding(LetterEncoder(canaries=True), document=MockEmbedding(embed_dim=5))
    stranger.get_query_embedding("abba")
    with pytest.raises((InputError, SpaceMismatchError)):
        stranger.get_text_embedding("abba")


def test_the_index_asks_the_leaf_alone(store: LeafQdrantVectorStore) -> None:
    index = VectorStoreIndex.from_vector_store(store, embed_model=store.embed_model)
    found = index.as_retriever(similarity_top_k=2).retrieve("aaa")
    assert ids(found) == ["w", "x"]
    assert found[0].node == nodes()[0]
    assert found[0].score == pytest.approx(LetterEncoder().encode_query("aaa") @ LetterEncoder().encode_query("aaaa"))
    assert ids(asyncio.run(index.as_retriever(similarity_top_k=2).aretrieve("aaa"))) == ["w", "x"]
    mmr = index.as_retriever(
        vector_store_query_mode="mmr", similarity_top_k=2, vector_store_kwargs={"mmr_threshold": 0.0}
    )
    assert ids(mmr.retrieve("aaa"))[1] in ("y", "z")
    exact = index.as_retriever(similarity_top_k=1, vector_store_kwargs={"exact": True, "candidates": 9})
    assert ids(exact.retrieve("ff")) == ["z"]


def test_settings_and_a_store_that_takes_vectors(store: LeafQdrantVectorStore) -> None:
    Settings.embed_model = LeafEmbedding(query_only())
    try:
        taking = LeafQdrantVectorStore(store.client, is_embedding_query=True)
        assert ids(VectorStoreIndex.from_vector_store(taking).as_retriever(similarity_top_k=1).retrieve("ff")) == ["z"]
    finally:
        Settings._embed_model = None


FILTERS: list[tuple[str, FilterOperator, Any, list[str]]] = [
    ("n", FilterOperator.EQ, 1, ["x"]),
    ("part", FilterOperator.EQ, 1.5, ["z"]),
    ("n", FilterOperator.NE, 1, ["w", "y", "z"]),
    ("n", FilterOperator.GTE, 2, ["y", "z"]),
    ("n", FilterOperator.LT, 1, ["w"]),
    ("n", FilterOperator.IN, [0, 3], ["w", "z"]),
    ("n", FilterOperator.NIN, [0, 3], ["x", "y"]),
    ("tags", FilterOperator.CONTAINS, "y", ["y"]),
    ("tags", FilterOperator.ANY, ["w", "y"], ["w", "y"]),
    ("tags", FilterOperator.ALL, ["all", "y"], ["y"]),
    ("name", FilterOperator.TEXT_MATCH, "node y", ["y"]),
    ("name", FilterOperator.TEXT_MATCH, "node", ["w", "x", "y"]),
    ("name", FilterOperator.TEXT_MATCH_INSENSITIVE, "NODE y", ["y"]),
    ("name", FilterOperator.IS_EMPTY, None, ["z"]),
    ("missing", FilterOperator.IS_EMPTY, None, ["w", "x", "y", "z"]),
]


@pytest.mark.parametrize(("key", "operator", "value", "expected"), FILTERS)
def test_filters(store: LeafQdrantVectorStore, key: str, operator: Any, value: Any, expected: list[str]) -> None:
    filters = MetadataFilters(filters=[MetadataFilter(key=key, operator=operator, value=value)])
    result = store.query(VectorStoreQuery(query_str="aaa", similarity_top_k=4, filters=filters))
    assert sorted(result.ids or []) == sorted(ids(store.get_nodes(filters=filters))) == expected


def test_filters_combine(store: LeafQdrantVectorStore) -> None:
    first, last = MetadataFilter(key="n", value=0), MetadataFilter(key="n", value=3)
    either = MetadataFilters(filters=[first, last], condition=FilterCondition.OR)
    none = MetadataFilters(filters=[first, last], condition=FilterCondition.NOT)
    nested = MetadataFilters(filters=[either, MetadataFilter(key="tags", value="z")])
    assert [sorted(ids(store.get_nodes(filters=f))) for f in (either, none, nested)] == [["w", "z"], ["x", "y"], ["z"]]
    assert ids(store.get_nodes(["w"], filters=either)) == ["w"]
    assert sorted(ids(store.get_nodes(filters=MetadataFilters(filters=[])))) == ["w", "x", "y", "z"]


def test_nodes_come_with_their_vectors(store: LeafQdrantVectorStore) -> None:
    for found in (store.get_nodes(["w", "z"]), asyncio.run(store.aget_nodes(["w", "z"]))):
        rows = {node.node_id: node.embedding for node in found}
        assert rows["w"] == pytest.approx(LetterEncoder().encode_document("aaaa"), abs=1e-6)
        assert rows["z"] == pytest.approx(LetterEncoder().encode_document("ffff"), abs=1e-6)


def test_nodes_go_away_by_document_id_filter_and_altogether(store: LeafQdrantVectorStore) -> None:
    store.delete("doc0")
    assert sorted(ids(store.get_nodes())) == ["y", "z"]
    store.delete_nodes(["y"], MetadataFilters(filters=[MetadataFilter(key="n", value=3)]))
    empty = MetadataFilters(filters=[])
    for nothing in ((), ([],), (None, empty), (None, MetadataFilters(filters=[empty])), ([], None)):
        store.delete_nodes(*nothing)
        asyncio.run(store.adelete_nodes(*nothing))
    assert store.get_nodes([]) == asyncio.run(store.aget_nodes([])) == []
    either = MetadataFilters(filters=[empty, MetadataFilter(key="n", value=99)], condition="or")  # type: ignore[arg-type]
    store.delete_nodes(filters=either)
    assert sorted(ids(store.get_nodes())) == ["y", "z"]
    store.delete_nodes(["y"])
    assert ids(asyncio.run(store.aget_nodes())) == ["z"]
    store.clear()
    assert store.query(VectorStoreQuery(query_str="aaa")).ids == []


def test_embedded_metadata_is_part_of_the_text(store: LeafQdrantVectorStore) -> None:
    node = TextNode(id_="m", text="bb", metadata={"title": "cc"})
    embedding = LeafEmbedding(both())
    node.embedding = embedding.get_text_embedding(node.get_content("embed"))  # type: ignore[arg-type]
    writer = LeafQdrantVectorStore(store.client)
    assert writer.add([node]) == ["m"]
    assert writer.get_nodes(["m"])[0].get_content() == "bb"
    node.metadata["title"] = "dd"  # changes what is embedded: the new vector must be written
    node.embedding = embedding.get_text_embedding(node.get_content("embed"))  # type: ignore[arg-type]
    writer.add([node])
    assert store.client.get(["m"], with_vectors=True)[0].vector == pytest.approx(node.embedding, abs=1e-5)


def test_vectors_of_another_model_are_refused() -> None:
    from tests.qdrant.conftest import WordEncoder

    collection = LeafCollection.create("words", WordEncoder(), client=QdrantClient(":memory:"))
    store = LeafQdrantVectorStore(collection)
    stranger = WordEncoder(model="b")
    made = [TextNode(id_=t, text=t, embedding=stranger.encode_document(t).tolist()) for t in ("river", "stone")]
    with pytest.raises(SpaceMismatchError, match="are not of the space of the collection 'words'"):
        store.add(made)
    with pytest.raises(InputError, match="came without a vector"):
        store.add([TextNode(text="river")])
    assert LeafQdrantVectorStore(collection, check_vectors=False).add(made) == ["river", "stone"]


def test_every_batch_of_vectors_is_checked(tmp_path: Path) -> None:
    from tests.qdrant.conftest import WordEncoder

    leaf, texts = WordEncoder(), [f"topic{i % 9} word{i}" for i in range(208)]
    rows = leaf.encode_document(texts[:108]).tolist() + WordEncoder(model="b").encode_document(texts[108:]).tolist()
    made = [TextNode(id_=t, text=t, embedding=row) for t, row in zip(texts, rows, strict=True)]
    with LeafQdrantVectorStore(open_or_create("docs", leaf, path=tmp_path)) as store:
        store.add(made[:8])
        with pytest.raises(SpaceMismatchError, match="are not of the space"):
            store.add(made[108:])
        with pytest.raises(SpaceMismatchError, match="are not of the space"):
            asyncio.run(store.async_add(made[108:]))
        store.add(made[8:108])
        assert store.client.count() == 108


def test_native_async_end_to_end() -> None:
    async def main() -> None:
        collection = await aopen_or_create("docs", both(), client=AsyncQdrantClient(":memory:"), spec=SPEC)
        store = LeafQdrantVectorStore(async_collection=collection)
        embedded = await LeafEmbedding(both()).acall(nodes())
        assert await store.async_add(list(embedded)) == list("wxyz")
        index = VectorStoreIndex.from_vector_store(store, embed_model=store.embed_model)
        assert ids(await index.as_retriever(similarity_top_k=1).aretrieve("ff")) == ["z"]
        await store.adelete("doc0")
        await store.adelete_nodes(["y"])
        assert ids(await store.aget_nodes()) == ["z"]
        await store.aclear()
        assert await store.aget_nodes() == []
        with pytest.raises(InputError, match="await its async methods instead"):
            store.clear()

    asyncio.run(main())


def test_what_cannot_be_asked_is_refused(store: LeafQdrantVectorStore) -> None:
    with pytest.raises(InputError, match="neither query_embedding nor query_str"):
        store.query(VectorStoreQuery())
    with pytest.raises(InputError, match="has no BM25 vectors"):
        store.query(VectorStoreQuery(query_str="a", mode=VectorStoreQueryMode.HYBRID))
    with pytest.raises(InputError, match="the mode 'sparse' is unknown here"):
        store.query(VectorStoreQuery(query_str="a", mode=VectorStoreQueryMode.SPARSE))


@pytest.mark.parametrize("encodes", [False, True])
def test_a_hybrid_query_finds_a_word_that_the_vectors_do_not_know(tmp_path: Path, encodes: bool) -> None:
    words = ["aaaa 1701", "aaaa 4711", "aaaa 9000"]  # the letters' vectors are the same
    with open_or_create("docs", both(), spec=CollectionSpec(mrl=(3,), sparse="bm25"), path=tmp_path) as collection:
        store = LeafQdrantVectorStore(collection, is_embedding_query=encodes)
        context = StorageContext.from_defaults(vector_store=store)
        made = [TextNode(id_=text[-4:], text=text) for text in words]
        index = VectorStoreIndex(made, storage_context=context, embed_model=store.embed_model)
        for word in ("1701", "4711", "9000"):
            retriever = index.as_retriever(vector_store_query_mode="hybrid", similarity_top_k=1)
            assert ids(retriever.retrieve(f"where is {word}")) == [word]


def test_a_missing_extra_names_the_command() -> None:
    code = "import sys; sys.modules['llama_index'] = None\nimport leaf_embed_llama_index"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "pip install 'leaf-embed[llama-index]'" in result.stderr
