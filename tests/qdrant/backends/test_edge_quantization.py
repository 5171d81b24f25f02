"""The engine's codes against the vectors they were made of."""

from __future__ import annotations

import numpy as np
import pytest

from leaf_embed import vectors
from leaf_embed.errors import InputError
from leaf_embed.qdrant.backends.edge_quantization import search_quantized

RANDOM = np.random.default_rng(3)
DOCUMENTS = vectors.normalize(RANDOM.standard_normal((600, 64)))
QUERIES = vectors.normalize(DOCUMENTS[:30] + 0.1 * RANDOM.standard_normal((30, 64)))
EXACT = np.argsort(-(QUERIES @ DOCUMENTS.T), axis=1)[:, :10]


def overlap(quantization: str) -> float:
    rows = search_quantized(QUERIES, DOCUMENTS, 10, quantization=quantization)
    assert rows.shape == (30, 10)
    return float(np.mean([len(np.intersect1d(*pair)) / 10 for pair in zip(rows, EXACT, strict=True)]))


def test_codes_rank_worse_the_coarser_they_are() -> None:
    """If the engine looked at the vectors themselves, all would be perfect."""
    assert overlap("none") == 1
    assert 1 > overlap("turbo4") > overlap("turbo1") > 0.1
    assert overlap("turbo8") > 0.9


def test_fewer_documents_than_wanted() -> None:
    assert search_quantized(QUERIES, DOCUMENTS[:4], 10, quantization="turbo4").shape == (30, 4)


def test_an_unknown_code() -> None:
    with pytest.raises(InputError, match="turbo3"):
        search_quantized(QUERIES, DOCUMENTS, 10, quantization="turbo3")
