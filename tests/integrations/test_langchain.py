"""LeafEmbeddings: LangChain's own suites without overrides, and who is asked for what."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("langchain_tests", reason="pip install langchain-tests")

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_tests.integration_tests import EmbeddingsIntegrationTests
from langchain_tests.unit_tests import EmbeddingsUnitTests

from leaf_embed import LeafEncoder
from leaf_embed.errors import InputError, NotALeafError, SpaceMismatchError
from leaf_embed.space import Role
from leaf_embed.vectors import FloatArray, normalize
from leaf_embed_langchain import LeafEmbeddings
from tests.integrations.encoders import LetterEncoder


class TestUnit(EmbeddingsUnitTests):
    @property
    def embeddings_class(self) -> type[Embeddings]:
        return LeafEmbeddings

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        return {"leaf": LeafEncoder(LetterEncoder(), LetterEncoder())}


@pytest.mark.asyncio
@pytest.mark.filterwarnings("ignore:.*is marked with '@pytest.mark.asyncio' but it is not an async function")
class TestIntegration(EmbeddingsIntegrationTests):
    @property
    def embeddings_class(self) -> type[Embeddings]:
        return LeafEmbeddings

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        return {"leaf": LeafEncoder(LetterEncoder(), LetterEncoder())}


def test_queries_go_to_the_leaf_and_documents_to_the_teacher() -> None:
    leaf, teacher = LetterEncoder(), LetterEncoder()
    embeddings = LeafEmbeddings(LeafEncoder(leaf, teacher))
    query = embeddings.embed_query("abba")
    documents = embeddings.embed_documents(["abba", "cab"])
    assert query == pytest.approx(np.array([3, 3, 1, 1, 1, 1]) / 22**0.5)
    assert documents[0] == query
    assert {type(x) for x in query} | {type(x) for row in documents for x in row} == {float}
    assert (leaf.roles, teacher.roles) == (["query"], ["document"])
    assert embeddings.embed_documents([]) == []
    assert repr(embeddings) == f"LeafEmbeddings({leaf.space.describe()})"


def test_questions_never_build_the_teacher() -> None:
    def teacher() -> Any:
        raise AssertionError("the teacher was built")

    embeddings = LeafEmbeddings(LeafEncoder(LetterEncoder(), teacher))
    embeddings.embed_query("abba")
    asyncio.run(embeddings.aembed_query("abba"))
    with pytest.raises(AssertionError, match="the teacher was built"):
        embeddings.embed_documents(["abba"])


def test_async_calls_leave_the_event_loop_alone() -> None:
    leaf, teacher = LetterEncoder(), LetterEncoder()
    embeddings = LeafEmbeddings(LeafEncoder(leaf, teacher))

    async def main() -> tuple[Any, Any]:
        return await asyncio.gather(embeddings.aembed_query("abba"), embeddings.aembed_documents(["cab", "fed"]))

    query, documents = asyncio.run(main())
    assert query == embeddings.embed_query("abba")
    assert documents == embeddings.embed_documents(["cab", "fed"])
    assert any(ident != threading.get_ident() for ident in leaf.threads)
    assert any(ident != threading.get_ident() for ident in teacher.threads)


def test_options_reach_the_loader(monkeypatch: pytest.MonkeyPatch) -> None:
    import leaf_embed.encoders.loading as module

    asked: list[Any] = []
    leaf = LetterEncoder()

    def load(path: Any, **options: Any) -> LeafEncoder:
        asked.append((path, options))
        return LeafEncoder(leaf, leaf if options["document"] == "leaf" else None)

    monkeypatch.setattr(module, "load", load)
    LeafEmbeddings("org/leaf")
    symmetric = LeafEmbeddings(leaf="org/leaf", document="leaf", variant="int8", threads=2, revision="v1")
    assert asked[0] == ("org/leaf", {"document": "teacher", "variant": "auto", "threads": 1, "revision": None})
    assert asked[1] == ("org/leaf", {"document": "leaf", "variant": "int8", "threads": 2, "revision": "v1"})
    assert symmetric.embed_documents(["abba"]) == [symmetric.embed_query("abba")]
    with pytest.raises(InputError, match="document='teacher'"):
        LeafEmbeddings("org/leaf", document=None).embed_documents(["abba"])


def test_what_cannot_be_used_is_refused(tmp_path: Any) -> None:
    embeddings = LeafEmbeddings(LetterEncoder())
    with pytest.raises(InputError, match="expected a list of texts; got one text"):
        embeddings.embed_documents("abba")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="item 0 is of type list"):
        embeddings.embed_query(["abba"])  # type: ignore[arg-type]
    with pytest.raises(InputError, match="an encoder came that is loaded"):
        LeafEmbeddings(LetterEncoder(), document="leaf")
    with pytest.raises(NotALeafError):
        LeafEmbeddings(tmp_path / "nothing")


def test_it_serves_a_vector_store() -> None:
    store = InMemoryVectorStore(LeafEmbeddings(LeafEncoder(LetterEncoder(), LetterEncoder())))
    store.add_documents([Document("aaaa"), Document("bbbb"), Document("cccc")])
    assert store.similarity_search("bb", k=1)[0].page_content == "bbbb"


class LetterEmbeddings(Embeddings):
    """LetterEncoder's vectors as another library's object gives them: lists, and not of unit norm."""

    def __init__(self, *, scale: float = 2.0, wrong: bool = False) -> None:
        self.scale, self.wrong, self.batches = scale, wrong, [0][:0]

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        self.batches.append(len(texts))
        rows: list[list[float]] = (self.scale * LetterEncoder().encode_document(texts)).tolist()
        return [row[::-1] for row in rows] if self.wrong else rows

    def embed_query(self, text: str) -> list[float]:
        return self.embed_documents([text])[0]


def test_the_teacher_may_be_any_embeddings_object() -> None:
    teacher = LetterEmbeddings()
    embeddings = LeafEmbeddings(LetterEncoder(canaries=True), document=teacher, batch_size=2, show_progress=True)
    embeddings.embed_query("abba")
    assert teacher.batches == []  # not asked, not even for canaries
    rows = embeddings.embed_documents(["abba", "cab", "fed"])
    assert rows == pytest.approx(LetterEncoder().encode_document(["abba", "cab", "fed"]))
    assert teacher.batches[-2:] == [2, 1]
    assert LeafEmbeddings(LetterEncoder(), document=LetterEmbeddings()).embed_documents([]) == []


def test_an_embeddings_object_of_another_model_is_refused() -> None:
    embeddings = LeafEmbeddings(LetterEncoder(canaries=True), document=LetterEmbeddings(wrong=True))
    with pytest.raises(SpaceMismatchError, match="does not write into the space"):
        embeddings.embed_documents(["abba"])


@pytest.mark.filterwarnings("ignore::langchain_core._api.beta_decorator.LangChainBetaWarning")
def test_it_survives_langchain_json(leaf_path: Path) -> None:
    from langchain_core.load import dumps, loads

    embeddings = LeafEmbeddings(str(leaf_path), document="leaf", batch_size=7)
    loaded = loads(dumps(embeddings), valid_namespaces=["leaf_embed_langchain"], allowed_objects=[LeafEmbeddings])
    assert isinstance(loaded, LeafEmbeddings)
    assert (loaded.document, loaded.batch_size) == ("leaf", 7)
    assert loaded.embed_query("red stone") == embeddings.embed_query("red stone")


class ScaledEncoder(LetterEncoder):
    """A leaf whose vectors are not quite its teacher's, as real ones are."""

    def _encode(self, texts: list[str], role: Role) -> FloatArray:
        rows = super()._encode(texts, role)
        rows[:, 0] += 0.01
        return normalize(rows)


def test_a_cache_keeps_the_roles_apart_as_documented() -> None:
    caching = pytest.importorskip("langchain_classic.embeddings", reason="pip install langchain-classic")
    from langchain_core.stores import InMemoryByteStore

    embeddings = LeafEmbeddings(LeafEncoder(ScaledEncoder(), LetterEncoder()))
    query, (document,) = embeddings.embed_query("abba"), embeddings.embed_documents(["abba"])
    assert query != document
    namespace = embeddings.encoder.space.fingerprint
    made = caching.CacheBackedEmbeddings.from_bytes_store
    apart = {"namespace": namespace, "query_embedding_cache": InMemoryByteStore(), "key_encoder": "sha256"}
    cached = made(embeddings, InMemoryByteStore(), **apart)
    for _ in range(2):
        assert cached.embed_query("abba") == pytest.approx(query)
        assert cached.embed_documents(["abba"])[0] == pytest.approx(document)
    shared = made(embeddings, InMemoryByteStore(), **{**apart, "query_embedding_cache": True})
    shared.embed_query("abba")
    mixed_up = shared.embed_documents(["abba"])[0]
    assert mixed_up == pytest.approx(query)  # what the docstring warns of; should it ever change, so should the warning


def test_a_missing_extra_names_the_command() -> None:
    code = "import sys; sys.modules['langchain_core'] = None\nimport leaf_embed_langchain"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "MissingExtraError" in result.stderr
    assert "pip install 'leaf-embed[langchain]'" in result.stderr
