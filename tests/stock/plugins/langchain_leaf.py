"""Pytest plugin: langchain-qdrant's tests get our store, and their embeddings as the encoder of a leaf."""

from __future__ import annotations

import importlib
from typing import Any

import langchain_import  # noqa: F401  puts our store in place

from leaf_embed import EmbeddingSpace
from leaf_embed.encoders import FunctionEncoder, one_by_one
from leaf_embed_langchain import LeafEmbeddings

common: Any = importlib.import_module("tests.integration_tests.common")
Fake: Any = common.ConsistentFakeEmbeddings


class FakeLeaf(LeafEmbeddings):
    """The tests' embeddings, which have no unit norm, as those of one space."""

    def __init__(self, dimensionality: int = 10) -> None:
        fake = Fake(dimensionality)
        space = EmbeddingSpace("consistent fake", dimensionality, unit_norm=False)
        super().__init__(FunctionEncoder(space, document=fake.embed_documents, query=one_by_one(fake.embed_query)))


common.ConsistentFakeEmbeddings = FakeLeaf
