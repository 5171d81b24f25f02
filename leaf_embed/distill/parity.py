"""The proof that a graph computes what its model does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from leaf_embed import vectors
from leaf_embed.distill.corpus import Text
from leaf_embed.encoders.base import Encoder
from leaf_embed.errors import ParityError
from leaf_embed.vectors import FloatArray

__all__ = ["FLOORS", "Floor", "Parity", "compare", "require_floor", "role_vectors"]


@dataclass(frozen=True)
class Floor:
    """The least parity that a graph must have with its model; an export below it fails.

    Attributes:
        mean: Of the cosines.
        lowest: Of the cosines.
    """

    mean: float
    lowest: float


FLOORS: Mapping[str, Floor] = {"float32": Floor(0.9999, 0.999), "int8": Floor(0.98, 0.95)}


@dataclass(frozen=True)
class Parity:
    """How a graph's vectors compare with the torch model's on real texts.

    Attributes:
        mean_cosine: Over the texts.
        min_cosine: The worst text's.
        max_difference: Of any single number of any vector.
        texts: Number of texts.
        bytes: Size of the graph's file.
    """

    mean_cosine: float
    min_cosine: float
    max_difference: float
    texts: int
    bytes: int


def compare(found: FloatArray, expected: FloatArray, graph: Path) -> Parity:
    """Compare vectors of the same texts, both of shape ``(n, dim)``."""
    cosines = vectors.cosine(found, expected)
    return Parity(
        mean_cosine=float(cosines.mean()),
        min_cosine=float(cosines.min()),
        max_difference=float(np.abs(found - expected).max()),
        texts=len(expected),
        bytes=graph.stat().st_size,
    )


def require_floor(parity: Parity, floor: Floor, variant: str) -> None:
    """Refuse a graph below its floor.

    Raises:
        ParityError: It is.
    """
    if not (parity.mean_cosine >= floor.mean and parity.min_cosine >= floor.lowest):  # NaN must fail too
        raise ParityError(
            f"the {variant} graph differs from its model: over {parity.texts} texts the cosine is "
            f"{parity.mean_cosine:.5f} in the mean and {parity.min_cosine:.5f} at worst; expected at least "
            f"{floor.mean} and {floor.lowest}. Nothing was written. This CPU or ONNX Runtime may lack an exact kernel: "
            "try another release of onnxruntime, or accept less by passing floors."
        )


def role_vectors(encoder: Encoder, texts: Sequence[Text]) -> FloatArray:
    """Vectors of queries, then of documents, shape ``(len(texts), dim)``."""
    queries = [text.text for text in texts if text.kind == "query"]
    documents = [text.text for text in texts if text.kind == "document"]
    return np.concatenate([encoder.encode_query(queries), encoder.encode_document(documents)])
