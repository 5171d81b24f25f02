"""LeafEmbeddings: LangChain's own suites without overrides, and who is asked for what."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from typing import Any

import numpy as np
import pytest

pytest.importorskip("langchain_tests", reason="pip install langchain-tests")

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_tests.integration_tests import EmbeddingsIntegrationTests
from langchain_tests.unit_tests import EmbeddingsUnitTests

from leaf_embed import EmbeddingSpace, LeafEncoder
from leaf_embed.encoders import BaseEncoder
from leaf_embed.errors import InputError, NotALeafError
from leaf_embed.space import Role
from leaf_embed.vectors import FloatArray, normalize
from leaf_embed_langchain import LeafEmbeddings


class LetterEncoder(BaseEncoder):
    """Counts of the letters a to f, plus one, normalised: "abba" is [3, 3, 1, 1, 1, 1] / sqrt(22)."""

    def __init__(self) -> None:
        self.roles: list[Role] = []
        self.threads: set[int] = set()

    @property
    def space(self) -> EmbeddingSpace:
        return EmbeddingSpace("letters", 6)

    def _encode(self, texts: list[str], role: Role) -> FloatArray:
        self.roles.append(role)
        self.threads.add(threading.get_ident())
        counts: FloatArray = np.array([[t.count(c) + 1 for c in "abcdef"] for t in texts], dtype=np.float32)
        return normalize(counts)


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
    import leaf_embed_langchain.embeddings as module

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
    with pytest.raises(InputError, match="takes a list of texts; got one text"):
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


def test_a_missing_extra_names_the_command() -> None:
    code = "import sys; sys.modules['langchain_core'] = None\nimport leaf_embed_langchain"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "MissingExtraError" in result.stderr
    assert "pip install 'leaf-embed[langchain]'" in result.stderr
