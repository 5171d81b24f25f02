"""Two backends and encoders of a few lines, for every test of a collection.

Both stand-ins for a server are asked the same questions: the embedded engine in a temporary directory, and the
client's local mode in memory.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
import pytest
from qdrant_client import QdrantClient

from leaf_embed import EmbeddingSpace
from leaf_embed.canaries import Canaries
from leaf_embed.encoders import BaseEncoder
from leaf_embed.space import Role
from leaf_embed.vectors import FloatArray, normalize
from tests.qdrant.server import SERVER, empty_server


@cache
def word_vector(word: str, dim: int, model: str) -> FloatArray:
    """A fixed random direction for each word; topics (``topic7``) weigh most, so that texts form clusters."""
    seed = int.from_bytes(hashlib.sha256(f"{model} {word}".encode()).digest()[:8], "big")
    weight = 3.0 if word.startswith("topic") else 1.0
    vector: FloatArray = (weight * np.random.default_rng(seed).standard_normal(dim)).astype(np.float32)
    return vector


class WordEncoder(BaseEncoder):
    """The vector of a text is the sum of its words' vectors; ``model`` is what the weights are in a real one."""

    def __init__(
        self, dim: int = 64, *, teacher: str = "words", model: str = "a", unit: bool = True, canaries: bool = True
    ) -> None:
        self._model, self._unit, self._dim = model, unit, dim
        self.asked: list[tuple[Role, list[str]]] = []
        self._space = EmbeddingSpace(teacher, dim, unit_norm=unit)
        if canaries:
            self._space = self._space.with_canaries(Canaries.of(self))
            self.asked.clear()

    @property
    def space(self) -> EmbeddingSpace:
        return self._space

    def _encode(self, texts: list[str], role: Role) -> FloatArray:
        self.asked.append((role, texts))
        rows = np.stack([self.vector(text) for text in texts])
        return normalize(rows) if self._unit else rows

    def vector(self, text: str) -> FloatArray:
        words = text.split() or [""]
        total: FloatArray = np.sum([word_vector(w, self._dim, self._model) for w in words], axis=0, dtype=np.float32)
        return total

    @property
    def embedded(self) -> list[str]:
        """The documents it was asked for, canaries left out."""
        canaries = {text for _, text in self.space.canaries.texts} if self.space.canaries else set()
        return [text for role, texts in self.asked if role == "document" for text in texts if text not in canaries]


class SpoiledEncoder(WordEncoder):
    """Right in its queries, and in the documents' canaries, but not in other documents."""

    def __init__(self, spoil: Callable[[FloatArray], FloatArray], **options: Any) -> None:
        super().__init__(**options)
        self._spoil = spoil

    def _encode(self, texts: list[str], role: Role) -> FloatArray:
        rows = super()._encode(texts, role)
        return self._spoil(rows) if any(text.startswith("spoil") for text in texts) else rows


@pytest.fixture(params=["edge", "client", *(["server"] if os.environ.get(SERVER) else [])])
def home(request: pytest.FixtureRequest, tmp_path: Any) -> Iterator[dict[str, Any]]:
    """The arguments that say where collections lie: a directory, a client in local mode, or a server's client."""
    if request.param == "edge":
        yield {"path": tmp_path / "collections"}
    elif request.param == "server":
        with empty_server() as client:
            yield {"client": client}
    else:
        client = QdrantClient(":memory:")
        yield {"client": client}
        client.close()


@pytest.fixture
def make_encoder() -> type[WordEncoder]:
    return WordEncoder


@pytest.fixture
def make_spoiled() -> type[SpoiledEncoder]:
    return SpoiledEncoder


@pytest.fixture
def leaf() -> WordEncoder:
    """An encoder of 64 dimensions, whose space has canaries."""
    return WordEncoder()


@pytest.fixture
def texts() -> list[str]:
    """2,000 texts in 40 clusters."""
    return [f"topic{i % 40} word{i} word{i // 7}" for i in range(2000)]


@pytest.fixture
def queries() -> list[str]:
    """60 queries near the clusters."""
    return [f"topic{i % 40} word{i * 31} question{i}" for i in range(60)]
