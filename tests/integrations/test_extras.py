"""Each extra is enough for its integration, and each thing that is missing names its pip line."""

from __future__ import annotations

import ast
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

import leaf_embed
from leaf_embed.errors import MissingExtraError

INTEGRATIONS = {
    "leaf_embed_langchain": ("langchain_core", "langchain"),
    "leaf_embed_llama_index": ("llama_index.core", "llama-index"),
    "leaf_embed_haystack": ("haystack", "haystack"),
    "leaf_embed.serve": ("starlette", "serve"),
}
HEAVY = ("torch", "transformers", "sentence_transformers", "datasets", "pyarrow", "onnx", "scipy", "ir_measures")
STORES = {
    "leaf_embed_langchain": "LeafQdrantVectorStore.from_texts(['a'], LeafEmbeddings(encoder), {place})",
    "leaf_embed_llama_index": "LeafQdrantVectorStore(open_or_create('docs', encoder, {place}))",
    "leaf_embed_haystack": "LeafQdrantDocumentStore('docs', encoder, {place}).count_documents()",
}
DROP_INS = {  # the class, the module that it needs, and what brings that
    "leaf_embed_langchain": ("QdrantVectorStore", "langchain_qdrant", "langchain-qdrant"),
    "leaf_embed_llama_index": (
        "QdrantVectorStore",
        "llama_index.vector_stores.qdrant",
        "llama-index-vector-stores-qdrant",
    ),
    "leaf_embed_haystack": (
        "QdrantDocumentStore",
        "haystack_integrations.document_stores.qdrant",
        "qdrant-haystack",
    ),
}
PLACES = {"qdrant_client": "url=':memory:'", "qdrant_edge": "path='none'"}


def run(code: str, *absent: str) -> subprocess.CompletedProcess[str]:
    """A process in which some packages cannot be imported."""
    hide = "".join(f"sys.modules[{name!r}] = None\n" for name in absent)
    return subprocess.run(
        [sys.executable, "-c", f"import sys\n{hide}{code}"], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("package", INTEGRATIONS)
def test_nothing_but_its_own_extra_is_needed(package: str) -> None:
    """Neither the other frameworks nor anything for training, nor Qdrant before a collection is made."""
    own = INTEGRATIONS[package][0]
    if importlib.util.find_spec(own.split(".")[0]) is None:
        pytest.skip(f"{own} is not installed")
    others = [module for module, _ in INTEGRATIONS.values() if module != own and module != "starlette"]
    done = run(f"import {package}", *HEAVY, *others, "qdrant_client", "qdrant_edge")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("package", INTEGRATIONS)
def test_a_missing_framework_names_its_extra(package: str) -> None:
    module, extra = INTEGRATIONS[package]
    done = run(f"import {package}", module.split(".")[0])
    assert done.returncode == 1
    assert "MissingExtraError" in done.stderr
    assert f"pip install 'leaf-embed[{extra}]'" in done.stderr


@pytest.mark.parametrize("package", DROP_INS)
def test_a_missing_stock_package_is_named(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name, module, installed = DROP_INS[package]
    ours = pytest.importorskip(package, exc_type=MissingExtraError)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=f"pip install {installed}$"):
        getattr(ours, name)


@pytest.mark.parametrize("absent", PLACES)
@pytest.mark.parametrize("package", STORES)
def test_a_store_without_qdrant_names_the_extra(package: str, absent: str) -> None:
    if importlib.util.find_spec(INTEGRATIONS[package][0].split(".")[0]) is None:
        pytest.skip("the framework is not installed")
    if absent == "qdrant_client" and package != "leaf_embed_haystack":
        pytest.skip("a client is made by the caller, so it is there")
    code = f"from {package} import *\nfrom leaf_embed.qdrant import open_or_create\n"
    code += "from tests.integrations.encoders import LetterEncoder\nencoder = LetterEncoder()\n"
    done = run(code + STORES[package].format(place=PLACES[absent]), absent)
    assert "pip install 'leaf-embed[qdrant]'" in done.stderr


def test_integrations_import_public_names() -> None:
    """No module below the packages that the documentation names; only ``__init__`` may ask for its extra."""
    public = {"leaf_embed", "leaf_embed.encoders", "leaf_embed.errors", "leaf_embed.qdrant"}
    files = list((Path(leaf_embed.__file__).parents[1] / "integrations").glob("*/*.py"))
    assert len(files) > 10
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            module = node.module or "" if isinstance(node, ast.ImportFrom) else ""
            if module.split(".")[0] == "leaf_embed":
                allowed = public | ({"leaf_embed._extras"} if file.name == "__init__.py" else set())
                assert module in allowed, f"{file} imports {module}"
