"""Storing and streaming against one look at everything in NumPy, and against the embedded engine's own answers."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from leaf_embed import vectors
from leaf_embed.errors import InputError
from leaf_embed.evaluation.storage import Storage, StorageName, search
from leaf_embed.qdrant.backends.edge_quantization import engine_search, search_quantized

RANDOM = np.random.default_rng(11)
DOCUMENTS = vectors.normalize(RANDOM.standard_normal((900, 16)) * np.linspace(3, 0.2, 16))
QUERIES = vectors.normalize(DOCUMENTS[:40] + 0.3 * RANDOM.standard_normal((40, 16)))
ROTATION = vectors.fit_rotation(DOCUMENTS)


@pytest.fixture(params=[64, 8192], ids=["many blocks", "one block"])
def block(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(search.__kwdefaults__, "block", request.param)
    monkeypatch.setattr("leaf_embed.evaluation.storage.DOCUMENT_BLOCK", request.param)


def reduced(matrix: vectors.FloatArray, dim: int, rotation: vectors.FloatArray | None) -> vectors.FloatArray:
    turned = matrix if rotation is None else matrix @ rotation
    return turned[:, :dim] / np.linalg.norm(turned[:, :dim], axis=1, keepdims=True)


@pytest.mark.usefixtures("block")
@pytest.mark.parametrize("rotation", [None, ROTATION], ids=["plain", "rotated"])
@pytest.mark.parametrize("dim", [5, 16])
@pytest.mark.parametrize("quantization", ["float32", "int8", "binary"])
def test_every_storage_against_numpy(quantization: StorageName, dim: int, rotation: vectors.FloatArray | None) -> None:
    asked, stored = reduced(QUERIES, dim, rotation), reduced(DOCUMENTS, dim, rotation)
    exact = asked @ stored.T
    if quantization == "float32":
        scores = exact
    elif quantization == "int8":
        low, step = stored.min(), (stored.max() - stored.min()) / 127
        steps = [np.clip(np.round((rows - low) / step), 0, 127) * step + low for rows in (asked, stored)]
        scores = steps[0] @ steps[1].T
    else:
        scores = np.where(asked > 0, 1, -1) @ np.where(stored > 0, 1, -1).T
    rows = Storage(dim, quantization, rotation).search(QUERIES, DOCUMENTS, 10)
    # equal up to float noise: the scores of what was found are the best scores there are
    found = np.take_along_axis(scores, rows, axis=1)
    np.testing.assert_allclose(found, -np.sort(-scores, axis=1)[:, :10], atol=1e-5)
    assert all(len(set(row)) == 10 for row in rows.tolist())


def clustered(documents: int, dim: int, queries: int) -> tuple[vectors.FloatArray, vectors.FloatArray]:
    """Queries near documents, whose dimensions matter less and less, and documents in clusters."""
    random = np.random.default_rng(dim)
    centres, scale = random.standard_normal((60, dim)), np.linspace(2, 0.2, dim)
    noise = 0.9 * random.standard_normal((documents, dim))
    stored = vectors.normalize((centres[random.integers(60, size=documents)] + noise) * scale)
    asked = stored[random.integers(documents, size=queries)] + 0.06 * random.standard_normal((queries, dim))
    return vectors.normalize(asked), stored


def same(left: NDArray[np.intp], right: NDArray[np.intp]) -> float:
    return float(np.mean([set(one) == set(other) for one, other in zip(left.tolist(), right.tolist(), strict=True)]))


@pytest.mark.parametrize("dim", [64, 384])
@pytest.mark.parametrize("quantization", ["int8", "binary"])
def test_the_ten_best_are_those_of_the_engine(quantization: StorageName, dim: int) -> None:
    """Of equal scores at the end the engine takes the lower row, as we do without ids."""
    queries, documents = clustered(2000, dim, 200)
    ours = Storage(dim, quantization).search(queries, documents, 10)
    engine = search_quantized(queries, documents, 10, quantization=quantization)
    assert same(ours, engine) >= 0.99
    exact = Storage(dim).search(queries, documents, 10)
    assert same(engine, exact) < 0.9  # it did not look at the vectors themselves
    assert same(ours, Storage(dim, quantization).search(queries, documents, 101)[:, :10]) == 1


def test_forty_candidates_are_rescored() -> None:
    """The ten best are, by float32, those of the engine's own forty nearest by signs, however many are asked for."""
    queries, documents = clustered(1000, 64, 40)
    forty = search_quantized(queries, documents, 40, quantization="binary")
    exact = queries @ documents.T
    want = [candidates[np.argsort(-scores[candidates])][:10] for candidates, scores in zip(forty, exact, strict=True)]
    for count in (10, 101):
        found = engine_search("binary-rescored")(queries, documents, count)
        assert found.shape == (40, count)
        assert all(len(set(row)) == count for row in found.tolist())
        np.testing.assert_array_equal(found[:, :10], want)
    plain = Storage(64, "binary").search(queries, documents, 10)
    assert same(plain, np.array(want)) < 0.5


def test_rotation_keeps_more_in_few_dimensions() -> None:
    turned = DOCUMENTS @ np.linalg.qr(RANDOM.standard_normal((16, 16)))[0].astype(np.float32)  # no order left
    asked = turned[:40]
    exact = Storage(16).search(asked, turned, 10)

    def overlap(storage: Storage) -> float:
        found = storage.search(asked, turned, 10)
        return float(np.mean([len(np.intersect1d(*pair)) for pair in zip(found, exact, strict=True)]))

    assert overlap(Storage(6)) + 1 < overlap(Storage(6, rotation=vectors.fit_rotation(turned)))
    assert overlap(Storage(16, rotation=vectors.fit_rotation(turned))) > 9.9  # nothing changes but the last digits


def test_an_unknown_quantization() -> None:
    with pytest.raises(InputError, match=r"unknown quantization 'int4'.* given as engines="):
        Storage(4, "int4")
    with pytest.raises(InputError, match=r"quantization must be one of .*'turbo4'.* got 'int4'"):
        engine_search("int4-rescored")
