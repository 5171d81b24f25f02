"""Storing and streaming against one look at everything in NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from leaf_embed import vectors
from leaf_embed.errors import InputError
from leaf_embed.evaluation.storage import OVERSAMPLING, Storage, StorageName, search, search_rescored

RANDOM = np.random.default_rng(11)
DOCUMENTS = vectors.normalize(RANDOM.standard_normal((900, 16)) * np.linspace(3, 0.2, 16))
QUERIES = vectors.normalize(DOCUMENTS[:40] + 0.3 * RANDOM.standard_normal((40, 16)))
ROTATION = vectors.fit_rotation(DOCUMENTS)


@pytest.fixture(params=[64, 8192], ids=["many blocks", "one block"])
def block(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    for function in (search, search_rescored):
        monkeypatch.setitem(function.__kwdefaults__, "block", request.param)
    monkeypatch.setattr("leaf_embed.evaluation.storage.DOCUMENT_BLOCK", request.param)


def reduced(matrix: vectors.FloatArray, dim: int, rotation: vectors.FloatArray | None) -> vectors.FloatArray:
    turned = matrix if rotation is None else matrix @ rotation
    return turned[:, :dim] / np.linalg.norm(turned[:, :dim], axis=1, keepdims=True)


@pytest.mark.usefixtures("block")
@pytest.mark.parametrize("rotation", [None, ROTATION], ids=["plain", "rotated"])
@pytest.mark.parametrize("dim", [5, 16])
@pytest.mark.parametrize("quantization", ["float32", "int8", "binary", "binary-rescored"])
def test_every_storage_against_numpy(quantization: StorageName, dim: int, rotation: vectors.FloatArray | None) -> None:
    asked, stored = reduced(QUERIES, dim, rotation), reduced(DOCUMENTS, dim, rotation)
    exact = asked @ stored.T
    if quantization == "float32":
        scores = exact
    elif quantization == "int8":
        scale = np.abs(stored).max() / 127
        scores = asked @ (np.round(stored / scale) * scale).T
    else:
        scores = asked @ np.where(stored >= 0, 1, -1).T
        if quantization == "binary-rescored":
            candidates = np.argsort(-scores, axis=1, kind="stable")[:, : 10 * OVERSAMPLING]
            scores = np.full_like(exact, -9)
            np.put_along_axis(scores, candidates, np.take_along_axis(exact, candidates, axis=1), axis=1)
    rows = Storage(dim, quantization, rotation).search(QUERIES, DOCUMENTS, 10)
    # equal up to float noise: the scores of what was found are the best scores there are
    found = np.take_along_axis(scores, rows, axis=1)
    np.testing.assert_allclose(found, -np.sort(-scores, axis=1)[:, :10], atol=1e-5)
    assert all(len(set(row)) == 10 for row in rows.tolist())


def test_rescoring_finds_more_than_binary_alone() -> None:
    exact = Storage(16).search(QUERIES, DOCUMENTS, 10)
    recall = {
        name: np.mean([len(np.intersect1d(*pair)) for pair in zip(rows, exact, strict=True)]) / 10
        for name in ("binary", "binary-rescored")
        if (rows := Storage(16, name).search(QUERIES, DOCUMENTS, 10)) is not None  # type: ignore[arg-type]
    }
    assert recall["binary"] + 0.1 < recall["binary-rescored"] <= 1


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
    with pytest.raises(InputError, match="unknown quantization 'int4'"):
        Storage(4, "int4")  # type: ignore[arg-type]
