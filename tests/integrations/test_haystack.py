"""Haystack: its own document store suites on both engines, pipelines that survive YAML, and who is asked for what."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date, datetime, timezone
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

pytest.importorskip("haystack", reason="pip install haystack-ai")

from haystack import Document, Pipeline
from haystack.components.writers import DocumentWriter
from haystack.document_stores.errors import DuplicateDocumentError
from haystack.document_stores.types import DuplicatePolicy
from haystack.errors import FilterError
from haystack.testing import document_store as suites
from haystack.testing import document_store_async as async_suites

from leaf_embed import LeafEncoder
from leaf_embed.errors import InputError, SpaceMismatchError
from leaf_embed.qdrant import CollectionSpec
from leaf_embed_haystack import LeafDocumentEmbedder, LeafQdrantDocumentStore, LeafQdrantRetriever, LeafTextEmbedder
from tests.integrations.encoders import LetterEncoder, query_only

SPEC = CollectionSpec(mrl=(3,))
TRUSTED = ["leaf_embed_haystack"]  # Haystack loads no class from a pipeline file that its reader does not trust
DOCUMENTS = [
    Document(id=name, content=text, meta={"n": n, "part": n / 2, "kind": "vowel" if n < 2 else "other"})
    for n, (name, text) in enumerate(zip("wxyz", ["aaaa", "aaab", "bbbb", "ffff"], strict=True))
]


def both() -> LeafEncoder:
    return LeafEncoder(LetterEncoder(), LetterEncoder())


def ids(documents: list[Document]) -> list[str]:
    return [document.id for document in documents]


@pytest.fixture(params=["edge", "client"])
def document_store(request: pytest.FixtureRequest, tmp_path: Path) -> LeafQdrantDocumentStore:
    place: Any = {"path": tmp_path} if request.param == "edge" else {"url": ":memory:"}
    return LeafQdrantDocumentStore("docs", both(), spec=SPEC, **place)


def suites_of(module: ModuleType) -> list[type]:
    """The classes of tests that a module of Haystack's defines, but for those that only put others together."""
    found = [
        kind for name, kind in vars(module).items() if name.endswith("Test") and kind.__module__ == module.__name__
    ]
    assert len(found) >= 11
    return found


class TestStore(*suites_of(suites), suites.FilterableDocsFixtureMixin):  # type: ignore[misc]
    """All of Haystack's suites."""

    @pytest.fixture
    def filterable_docs(self) -> list[Document]:
        """The suite's own documents, but without their made-up vectors, some of which are only zeros."""
        return [replace(document, embedding=None) for document in suites.create_filterable_docs()]

    @staticmethod
    def assert_documents_are_equal(received: list[Document], expected: list[Document]) -> None:
        """In any order, since a collection has none; the suite asks stores to say such things here."""
        assert sorted(received, key=lambda d: d.id) == sorted(expected, key=lambda d: d.id)

    def test_write_documents(self, document_store: LeafQdrantDocumentStore) -> None:
        """The suite asks every store to say what its default policy is: ours overwrites."""
        document = Document(content="test doc")
        assert document_store.write_documents([document]) == document_store.write_documents([document]) == 1
        assert document_store.filter_documents() == [document]


class TestStoreAsync(*suites_of(async_suites), suites.FilterableDocsFixtureMixin):  # type: ignore[misc]
    """All of Haystack's suites for the async half."""

    filterable_docs = TestStore.filterable_docs
    assert_documents_are_equal = staticmethod(TestStore.assert_documents_are_equal)

    @pytest.mark.asyncio
    async def test_write_documents_async(self, document_store: LeafQdrantDocumentStore) -> None:
        """As in the sync suite."""
        document = Document(content="test doc")
        for _ in range(2):
            assert await document_store.write_documents_async([document]) == 1
        assert await document_store.filter_documents_async() == [document]


@pytest.fixture
def store(document_store: LeafQdrantDocumentStore) -> LeafQdrantDocumentStore:
    document_store.write_documents(DOCUMENTS)
    return document_store


def test_each_embedder_asks_its_own_encoder() -> None:
    leaf, teacher = LetterEncoder(), LetterEncoder()
    pair = LeafEncoder(leaf, teacher)
    query = LeafTextEmbedder(pair).run("abba")["embedding"]
    assert (leaf.roles, teacher.roles) == (["query"], [])
    embedder = LeafDocumentEmbedder(pair, batch_size=2, meta_fields_to_embed=["kind", "none"], embedding_separator="-")
    documents = embedder.run(DOCUMENTS)["documents"]
    assert documents[0].embedding == pytest.approx(LetterEncoder().encode_document("vowel-aaaa"))
    assert DOCUMENTS[0].embedding is None
    assert ids(documents) == ids(DOCUMENTS)
    assert (leaf.roles, teacher.roles) == (["query"], ["document", "document"])
    assert asyncio.run(LeafTextEmbedder(pair).run_async("abba")) == {"embedding": query}
    assert asyncio.run(embedder.run_async(DOCUMENTS))["documents"] == documents
    assert embedder.run([]) == {"documents": []}


def test_the_wrong_input_names_the_other_component() -> None:
    with pytest.raises(TypeError, match="LeafDocumentEmbedder"):
        LeafTextEmbedder(both()).run(DOCUMENTS)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="LeafTextEmbedder"):
        LeafDocumentEmbedder(both()).run("abba")  # type: ignore[arg-type]


def test_pipelines_survive_yaml(leaf_path: Path, teacher_path: Path, tmp_path: Path) -> None:
    place = str(tmp_path / "collections")
    writing = Pipeline()
    writing.add_component("embedder", LeafDocumentEmbedder(leaf_path, document=str(teacher_path)))
    store = LeafQdrantDocumentStore("docs", leaf_path, path=place, spec=CollectionSpec(mrl=(16,), quantization="none"))
    writing.add_component("writer", DocumentWriter(store))
    writing.connect("embedder.documents", "writer.documents")
    written = Pipeline.loads(writing.dumps(), allowed_modules=TRUSTED)
    texts = ["the river of cold water", "a red house on the road", "warm bread with honey"]
    assert written.run({"embedder": {"documents": [Document(content=t) for t in texts]}}) == {
        "writer": {"documents_written": 3}
    }
    written.get_component("writer").document_store.collection.close()
    for entry, inputs in (
        ("query", {"retriever": {"query": texts[1]}}),
        ("vector", {"text": {"text": texts[1]}}),
    ):
        asking = Pipeline()
        asking.add_component("retriever", LeafQdrantRetriever(store, top_k=1, filter_policy="merge"))
        if entry == "vector":
            asking.add_component("text", LeafTextEmbedder(str(leaf_path)))
            asking.connect("text.embedding", "retriever.query_embedding")
        asked = Pipeline.loads(asking.dumps(), allowed_modules=TRUSTED)
        assert asked.dumps() == asking.dumps()
        assert asked.run(inputs)["retriever"]["documents"][0].content == texts[1]
        asked.get_component("retriever").document_store.collection.close()


def test_an_open_encoder_goes_into_no_file() -> None:
    for part in (LeafTextEmbedder(both()), LeafDocumentEmbedder(both())):
        with pytest.raises(InputError, match="cannot hold a LeafEncoder"):
            part.to_dict()


def test_retrieving_never_builds_the_teacher(tmp_path: Path) -> None:
    writing = LeafQdrantDocumentStore("docs", both(), path=tmp_path, spec=SPEC)
    writing.write_documents(DOCUMENTS)
    writing.collection.close()
    store = LeafQdrantDocumentStore("docs", query_only(), path=tmp_path)
    retriever = LeafQdrantRetriever(store, top_k=2)
    retriever.warm_up()
    retriever.warm_up()
    found = retriever.run("aaa")["documents"]
    assert ids(found) == ["w", "x"]
    assert (found[0].content, found[0].meta) == ("aaaa", DOCUMENTS[0].meta)
    assert found[0].score == pytest.approx(LetterEncoder().encode_query("aaa") @ LetterEncoder().encode_query("aaaa"))
    vector = LeafTextEmbedder(store.collection.leaf).run("aaa")["embedding"]
    assert retriever.run(query_embedding=vector)["documents"] == found
    assert asyncio.run(retriever.run_async("aaa"))["documents"] == found
    with pytest.raises(InputError, match="give either query"):
        retriever.run()
    with pytest.raises(AssertionError, match="the teacher was built"):
        store.write_documents([Document(content="new")])


def condition(field: str, operator: str, value: Any) -> dict[str, Any]:
    return {"field": field, "operator": operator, "value": value}


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (None, "wxyz"),
        ({}, "wxyz"),
        (condition("meta.n", "==", 1), "x"),
        (condition("n", "!=", 1), "wyz"),
        (condition("meta.part", "==", 0.5), "x"),
        (condition("meta.part", "!=", 0.5), "wyz"),
        (condition("meta.n", ">", 1), "yz"),
        (condition("meta.n", "<=", 1), "wx"),
        (condition("meta.kind", "in", ["vowel"]), "wx"),
        (condition("meta.n", "not in", [0, 3]), "xy"),
        ({"operator": "AND", "conditions": [condition("n", ">", 0), condition("kind", "==", "vowel")]}, "x"),
        ({"operator": "OR", "conditions": [condition("n", "==", 3), condition("kind", "==", "vowel")]}, "wxz"),
        ({"operator": "NOT", "conditions": [condition("n", ">", 0), condition("kind", "==", "vowel")]}, "wyz"),
        (condition("id", "==", "x"), "x"),
        (condition("id", "not in", ["x", "y"]), "wz"),
        (condition("content", "==", "aaab"), "x"),
        (condition("content", "!=", "aaab"), "wyz"),
        (condition("meta.none", "==", None), "wxyz"),
        (condition("meta.kind", "!=", None), "wxyz"),
        (condition("meta.n", ">=", None), ""),
    ],
)
def test_filters(store: LeafQdrantDocumentStore, filters: dict[str, Any] | None, expected: str) -> None:
    assert "".join(sorted(ids(store.filter_documents(filters)))) == expected
    assert "".join(sorted(ids(LeafQdrantRetriever(store).run("aaa", filters=filters)["documents"]))) == expected


@pytest.mark.parametrize(
    "filters",
    [
        condition("n", ">", "1"),
        condition("n", "in", 1),
        condition("n", "like", 1),
        {"operator": "AND"},
        {"conditions": []},
        {"operator": "AND", "conditions": [{"field": "n"}]},
    ],
)
def test_malformed_filters(document_store: LeafQdrantDocumentStore, filters: dict[str, Any]) -> None:
    with pytest.raises(FilterError):
        document_store.filter_documents(filters)


def test_dates(document_store: LeafQdrantDocumentStore) -> None:
    days = [datetime(2024, 1, 31, 12, tzinfo=timezone.utc), date(2024, 2, 1), "2024-02-02T00:00:00", None]
    document_store.write_documents(
        [Document(id=name, content="aaa", meta={"when": day}) for name, day in zip("wxyz", days, strict=True)]
    )
    for operator, value, expected in (
        (">", "2024-01-31T12:00:00Z", "xy"),
        (">=", datetime(2024, 1, 31, 12, tzinfo=timezone.utc), "wxy"),
        ("<", date(2024, 2, 2), "wx"),
        ("==", datetime(2024, 1, 31, 12, tzinfo=timezone.utc), "w"),
        ("!=", datetime(2024, 1, 31, 12, tzinfo=timezone.utc), "xyz"),
        ("==", None, "z"),
    ):
        found = document_store.filter_documents(condition("meta.when", operator, value))
        assert "".join(sorted(ids(found))) == expected, (operator, value)
    assert document_store.filter_documents(condition("id", "==", "x"))[0].meta == {"when": "2024-02-01"}


def test_filters_of_a_retriever_are_replaced_or_merged(store: LeafQdrantDocumentStore) -> None:
    vowel, last = condition("meta.kind", "==", "vowel"), condition("meta.n", ">", 0)
    replacing = LeafQdrantRetriever(store, filters=vowel, search_options={"exact": True})
    merging = LeafQdrantRetriever(store, filters=vowel, filter_policy="merge")
    assert ids(replacing.run("aaa")["documents"]) == ["w", "x"]
    assert len(replacing.run("aaa", filters=last)["documents"]) == 3
    assert ids(merging.run("aaa", filters=last)["documents"]) == ["x"]


def test_a_retriever_may_look_for_words(tmp_path: Path) -> None:
    spec = CollectionSpec(mrl=(3,), sparse="bm25")
    store = LeafQdrantDocumentStore("docs", both(), path=tmp_path, spec=spec)
    numbers = ["1701", "4711", "9000"]  # the letters' vectors are the same
    store.write_documents([Document(id=number, content=f"aaaa {number}") for number in numbers])
    retriever = LeafQdrantRetriever(store, top_k=1, search_options={"hybrid": True})
    for number in numbers:
        assert ids(retriever.run(f"where is {number}")["documents"]) == [number]
    assert (
        LeafQdrantDocumentStore.from_dict(
            {**LeafQdrantDocumentStore("docs", "my-leaf", path="x", spec=spec).to_dict()}
        ).spec
        == spec
    )


def test_a_new_vector_is_written_when_meta_was_embedded(store: LeafQdrantDocumentStore) -> None:
    embedder = LeafDocumentEmbedder(both(), meta_fields_to_embed=["kind"])
    for kind in ("bbb", "fff"):
        document = embedder.run([Document(id="w", content="aaaa", meta={"kind": kind})])["documents"]
        assert store.write_documents(document, policy=DuplicatePolicy.OVERWRITE) == 1
        stored = store.collection.get(["w"], with_vectors=True)[0].vector
        assert stored == pytest.approx(document[0].embedding, abs=1e-5)


def test_what_cannot_be_stored_is_refused() -> None:
    from tests.qdrant.conftest import WordEncoder

    store = LeafQdrantDocumentStore("words", WordEncoder(), url=":memory:")
    vectors = WordEncoder(model="b").encode_document(["river", "stone"]).tolist()
    with pytest.raises(SpaceMismatchError, match="are not of the space"):
        store.write_documents([Document(content=t, embedding=v) for t, v in zip("ab", vectors, strict=True)])
    with pytest.raises(InputError, match="has no text"):
        store.write_documents([Document(meta={"a": 1})])
    with pytest.raises(InputError, match="give either path"):
        LeafQdrantDocumentStore("words", WordEncoder()).count_documents()


def test_every_batch_of_vectors_is_checked() -> None:
    from tests.qdrant.conftest import WordEncoder

    leaf, texts = WordEncoder(), [f"topic{i % 9} word{i}" for i in range(208)]
    rows = leaf.encode_document(texts[:108]).tolist() + WordEncoder(model="b").encode_document(texts[108:]).tolist()
    documents = [Document(id=t, content=t, embedding=row) for t, row in zip(texts, rows, strict=True)]
    store = LeafQdrantDocumentStore("words", leaf, url=":memory:")
    assert store.write_documents(documents[:8]) == 8
    with pytest.raises(SpaceMismatchError, match="are not of the space"):
        store.write_documents(documents[108:])
    assert store.write_documents(documents[8:108]) == 100
    assert store.count_documents() == 108


def test_a_missing_extra_names_the_command() -> None:
    code = "import sys; sys.modules['haystack'] = None\nimport leaf_embed_haystack"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "pip install 'leaf-embed[haystack]'" in result.stderr


@pytest.mark.parametrize(
    ("policy", "kept", "written"),
    [
        (DuplicatePolicy.SKIP, "first", 257),
        (DuplicatePolicy.OVERWRITE, "last", 257),
        (DuplicatePolicy.NONE, "last", 257),
    ],
)
def test_the_policy_settles_ids_that_come_twice_wherever_they_stand(
    document_store: LeafQdrantDocumentStore, policy: DuplicatePolicy, kept: str, written: int
) -> None:
    near = [Document(id="a", content="first"), Document(id="a", content="last")]
    far = [near[0], *(Document(id=f"line {n}", content=f"line {n}") for n in range(256)), near[1]]
    assert document_store.write_documents(near, policy) == 1
    assert [d.content for d in document_store.filter_documents()] == [kept]
    document_store.delete_documents(["a"])
    assert document_store.write_documents(far, policy) == written == document_store.count_documents()
    assert document_store.filter_documents({"field": "id", "operator": "==", "value": "a"})[0].content == kept


def test_fail_writes_nothing_if_an_id_comes_twice(document_store: LeafQdrantDocumentStore) -> None:
    with pytest.raises(DuplicateDocumentError, match="hold the id 'a' twice"):
        document_store.write_documents([Document(id="a", content="x")] * 2, DuplicatePolicy.FAIL)
    assert document_store.count_documents() == 0


def test_the_store_awaited(document_store: LeafQdrantDocumentStore) -> None:
    async def use() -> tuple[int, list[Document]]:
        await document_store.write_documents_async(DOCUMENTS)
        await document_store.delete_documents_async(["w"])
        found = await document_store.filter_documents_async({"field": "meta.kind", "operator": "==", "value": "vowel"})
        return await document_store.count_documents_async(), found

    count, found = asyncio.run(use())
    assert (count, ids(found)) == (3, ["x"])


def test_without_a_filter_nothing_is_deleted_or_updated(store: LeafQdrantDocumentStore) -> None:
    for filters in (None, {}):
        assert store.delete_by_filter(filters) == store.update_by_filter(filters, {"n": 9}) == 0
    assert sorted(store.filter_documents(), key=lambda d: d.id) == DOCUMENTS


def test_an_update_of_meta_asks_no_encoder(tmp_path: Path) -> None:
    with LeafQdrantDocumentStore("docs", both(), path=tmp_path) as store:
        store.write_documents(DOCUMENTS)
    with LeafQdrantDocumentStore("docs", query_only(), path=tmp_path) as store:
        before = {d.id: d.vector for d in store.collection.iter_documents(with_vectors=True)}
        assert store.update_by_filter(condition("meta.n", "<", 2), {"kind": None, "part": 5}) == 2
        found = store.collection.get(["w", "x", "y"], with_vectors=True)
        assert [d.payload for d in found[:2]] == [{"n": n, "part": 5, "kind": None} for n in range(2)]
        assert found[2].payload == DOCUMENTS[2].meta
        assert all((d.vector == before[d.id]).all() for d in found)  # type: ignore[union-attr, attr-defined, index]


def test_values_of_several_kinds_have_no_smallest(document_store: LeafQdrantDocumentStore) -> None:
    document_store.write_documents([Document(content=str(n), meta={"n": n}) for n in (1, "one")])
    with pytest.raises(InputError, match="'n' holds int and str"):
        document_store.get_metadata_field_min_max("n")
    assert document_store.get_metadata_fields_info() in ({"n": {"type": "long"}}, {"n": {"type": "keyword"}})


def test_a_first_use_from_many_threads_opens_one_collection(document_store: LeafQdrantDocumentStore) -> None:
    def write(n: int) -> int:
        return document_store.write_documents([Document(id=str(n), content=f"text {n}")])

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(write, range(40))) == 40 == document_store.count_documents()


def test_a_closed_store_opens_again(tmp_path: Path) -> None:
    with LeafQdrantDocumentStore("docs", both(), path=tmp_path) as store:
        store.write_documents(DOCUMENTS)
    other = LeafQdrantDocumentStore("docs", both(), path=tmp_path)
    assert other.count_documents() == 4
    other.close()
    assert store.count_documents() == 4
    store.close()
