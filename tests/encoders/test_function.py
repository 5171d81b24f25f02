"""FunctionEncoder and open_leaf: other libraries' models as encoders of a space."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from leaf_embed import EmbeddingSpace, LeafEncoder, load
from leaf_embed.encoders import FunctionEncoder
from leaf_embed.encoders.function import one_by_one
from leaf_embed.encoders.loading import encode_lists, open_leaf
from leaf_embed.errors import InputError, VectorError

SPACE = EmbeddingSpace("pairs", 2)


def lengths(texts: list[str]) -> list[list[float]]:
    """A vector is three and four times the text's length: [3, 4] / 5 after normalisation."""
    return [[3.0 * len(text), 4.0 * len(text)] for text in texts]


def test_vectors_get_the_norm_of_the_space() -> None:
    unit = FunctionEncoder(SPACE, document=lengths)
    assert unit.encode_document("ab").tolist() == pytest.approx([0.6, 0.8])
    assert unit.encode_query(["ab", "c"]).shape == (2, 2)
    long = FunctionEncoder(EmbeddingSpace("pairs", 2, unit_norm=False), document=lengths)
    assert long.encode_document("ab").tolist() == [6.0, 8.0]


def test_each_role_has_its_function() -> None:
    encoder = FunctionEncoder(SPACE, document=lengths, query=one_by_one(lambda text: [float(len(text)), 0.0]))
    assert encoder.encode_query(["ab", "c"]).tolist() == [[1.0, 0.0], [1.0, 0.0]]


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ([[1.0, 2.0]], InputError, "gave 1 vectors for 2 texts"),
        ([[1.0], [2.0]], VectorError, "1 dimensions; expected 2"),
        ([[1.0, float("nan")], [1.0, 2.0]], VectorError, "NaN"),
    ],
)
def test_what_a_function_may_not_give(given: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        FunctionEncoder(SPACE, document=lambda texts: given).encode_document(["a", "b"])


def test_a_document_encoder_is_made_when_the_first_document_comes(leaf_path: Any) -> None:
    made: list[EmbeddingSpace] = []

    def make(space: EmbeddingSpace) -> Any:
        made.append(space)
        return load(leaf_path).query_encoder

    for leaf in (load(leaf_path, document=make), open_leaf(load(leaf_path), document=make)):
        leaf.encode_query("river")
        assert made == []
    query_only = FunctionEncoder(SPACE, document=lengths)
    opened = open_leaf(query_only, document=lambda space: FunctionEncoder(space, document=lengths))
    assert isinstance(opened, LeafEncoder)
    assert opened.encode_document("a").tolist() == pytest.approx([0.6, 0.8])
    assert open_leaf(query_only) is query_only


def test_lists_of_floats_in_batches(capsys: pytest.CaptureFixture[str]) -> None:
    sizes: list[int] = []

    def encode(texts: list[str]) -> Any:
        sizes.append(len(texts))
        return np.ones((len(texts), 2), dtype=np.float32)

    assert encode_lists(encode, ["a", "b", "c"], batch_size=2, progress=True) == [[1.0, 1.0]] * 3
    assert sizes == [2, 1]
    printed = capsys.readouterr()
    assert (printed.out, "embedding" in printed.err) == ("", True)
    with pytest.raises(InputError, match="batch_size must be"):
        encode_lists(encode, ["a"], batch_size=0)
