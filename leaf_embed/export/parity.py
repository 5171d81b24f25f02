"""The proof that a graph computes what its model does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from leaf_embed import vectors
from leaf_embed.encoders.base import Encoder
from leaf_embed.errors import ParityError
from leaf_embed.export.graph_files import graph_bytes
from leaf_embed.texts import Text
from leaf_embed.vectors import FloatArray

__all__ = ["FLOORS", "GOAL", "Floor", "Parity", "Proof", "require_floor"]

TOP = 10
FEW = 2 * TOP  # documents below which the corpus holds the queries too: ten of eleven always overlap


@dataclass(frozen=True)
class Floor:
    """The least parity that a graph must have with its model.

    Attributes:
        mean: Of the cosines.
        lowest: Of the cosines.
        overlap: Share of the model's ten best documents of a query that the graph finds too.
    """

    mean: float
    lowest: float
    overlap: float = 0.0


FLOORS: Mapping[str, Floor] = {
    "float32": Floor(0.9999, 0.999),
    "int8": Floor(0.98, 0.95),
}
"""Below these an export fails."""

GOAL = Floor(0.995, 0.98, 0.95)
"""An int8 recipe that reaches this is kept without trying a slower one."""


@dataclass(frozen=True)
class Parity:
    """The difference of a graph's vectors from the torch model's on real texts.

    Attributes:
        mean_cosine: Over the texts.
        min_cosine: The worst text's.
        max_difference: Largest absolute difference in any dimension of any vector.
        top10_overlap: Share of the model's ten best documents of a query that the graph's query vector finds too, among
            the texts' documents (all texts where there are few), whose vectors are the model's.
        texts: Number of texts.
        bytes: Size of the graph's file, and of the weights beside a large one.
        recipe: How the graph was made.
    """

    mean_cosine: float
    min_cosine: float
    max_difference: float
    top10_overlap: float
    texts: int
    bytes: int
    recipe: str = "as trained"

    def reaches(self, floor: Floor) -> bool:
        """True if no value is below the floor; NaN counts as below."""
        return (
            self.mean_cosine >= floor.mean and self.min_cosine >= floor.lowest and self.top10_overlap >= floor.overlap
        )


class Proof:
    """Real texts with the vectors that a graph has to return."""

    def __init__(self, texts: Sequence[Text], reference: Encoder) -> None:
        """Encodes the texts by the model.

        Args:
            texts: Queries and documents.
            reference: The model that the graphs come from.
        """
        self.queries = [text.text for text in texts if text.kind == "query"]
        self.documents = [text.text for text in texts if text.kind == "document"]
        self._expected = np.concatenate(
            [reference.encode_query(self.queries), reference.encode_document(self.documents)]
        )

    def judge(self, encoder: Encoder, graph: Path, recipe: str = "as trained") -> Parity:
        """Compares a graph's vectors; queries one by one, as in use, since int8 scales depend on the batch."""
        queries = [encoder.encode_query(text) for text in self.queries]
        found = np.concatenate([*(row[None] for row in queries), encoder.encode_document(self.documents)])
        cosines = vectors.cosine(found, self._expected)
        return Parity(
            mean_cosine=float(cosines.mean()),
            min_cosine=float(cosines.min()),
            max_difference=float(np.abs(found - self._expected).max()),
            top10_overlap=self._overlap(found),
            texts=len(found),
            bytes=graph_bytes(graph),
            recipe=recipe,
        )

    def _overlap(self, found: FloatArray) -> float:
        """Mean share of common documents in the two top tens; without queries the first half stands for them."""
        count = len(self.queries) or len(found) // 2
        start = 0 if len(found) - count < FEW else count
        if count == 0 or len(found) - start <= TOP:
            return 1.0
        corpus = self._expected[start:]
        shares: list[float] = []
        for first in range(0, count, 256):
            rows = slice(first, min(first + 256, count))
            right, got = (_best(block[rows], corpus) for block in (self._expected, found))
            shares.extend(len(set(a) & set(b)) / TOP for a, b in zip(right, got, strict=True))
        return float(np.mean(shares))


def _best(queries: FloatArray, corpus: FloatArray) -> list[list[int]]:
    """Row numbers of the ten best documents of each query, by inner product."""
    best: list[list[int]] = np.argpartition(-(queries @ corpus.T), TOP - 1, axis=1)[:, :TOP].tolist()
    return best


def require_floor(parity: Parity, floor: Floor, variant: str) -> None:
    """Refuses a graph below its floor.

    Raises:
        ParityError: The graph is below it.
    """
    if not parity.reaches(floor):
        raise ParityError(
            f"the {variant} graph differs from its model: over {parity.texts} texts the cosine is "
            f"{parity.mean_cosine:.5f} in the mean and {parity.min_cosine:.5f} at worst, and "
            f"{parity.top10_overlap:.1%} of the ten best documents are the same; expected at least {floor.mean}, "
            f"{floor.lowest} and {floor.overlap:.0%}. No graph was written. This CPU or ONNX Runtime may lack an exact "
            "kernel: try another release of onnxruntime, or accept less by passing floors."
        )
