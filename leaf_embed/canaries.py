"""Canaries: a few fixed texts with the teacher's vectors, which recognise an encoder by what it computes.

A fingerprint compares declarations, so another model of the same size and name passes it; canaries detect it.
Idea: silent same-dimension model swaps reported by users of vector stores (MemPalace/mempalace#1730).
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from leaf_embed import vectors
from leaf_embed.errors import InputError, SpaceMismatchError
from leaf_embed.texts import Role, TextEncoder
from leaf_embed.vectors import FloatArray

__all__ = ["CANARY_TEXTS", "LEAF_FLOOR", "TEACHER_FLOOR", "Canaries", "CanaryReport"]

CANARY_TEXTS: tuple[tuple[Role, str], ...] = (
    ("query", "how do vaccines protect against infection"),
    ("query", "capital city of Australia"),
    ("query", "undo the last git commit without losing changes"),
    ("query", "why is the sky blue?"),
    ("document", "The mitochondrion generates most of the chemical energy that a cell needs, as ATP."),
    ("document", "def add(a, b):\n    return a + b"),
    ("document", "The contract ends on 31 December unless either party gives notice in writing."),
    ("document", "Kraków est une ville de Pologne; 東京は日本の首都です。"),
)

TEACHER_FLOOR = 0.98  # the same model in another precision or on another machine: bfloat16 measured above .999
LEAF_FLOOR = 0.5  # mean over the canaries: a student of general texts is far above, an unrelated model is near 0
MARGIN = 0.05  # below what a leaf measured when it was made: int8 on another CPU moves the mean by less
DEVIATIONS = 3.0  # the cosine of two unrelated directions has a standard deviation of 1 / sqrt(dim)


@dataclass(frozen=True)
class CanaryReport:
    """An encoder's cosines with the teacher on the canaries.

    Attributes:
        cosines: One per canary, with the teacher's vector, shape ``(n,)``.
        floor: The mean that is required.
    """

    cosines: tuple[float, ...]
    floor: float

    @property
    def mean(self) -> float:
        """Mean cosine over the canaries."""
        return float(np.mean(self.cosines))

    @property
    def passed(self) -> bool:
        """Whether the mean reaches the floor."""
        return self.mean >= self.floor

    def __str__(self) -> str:
        verdict = "pass" if self.passed else "FAIL"
        return (
            f"canaries {verdict}: mean cosine {self.mean:.4f}, lowest {min(self.cosines):.4f}, floor {self.floor:.3g}"
        )


@dataclass(frozen=True, eq=False)
class Canaries:
    """Texts with the teacher's vectors.

    Attributes:
        texts: ``(role, text)`` pairs.
        vectors: The teacher's vectors, shape ``(n, dim)``, float32.
    """

    texts: tuple[tuple[Role, str], ...]
    vectors: FloatArray

    def __post_init__(self) -> None:
        if not self.texts:
            raise InputError("canaries need at least one text; got none")
        checked = vectors.as_vectors(self.vectors, source="the canaries' teacher")
        if len(checked) != len(self.texts):
            raise InputError(f"{len(self.texts)} canary texts came with {len(checked)} vectors")
        object.__setattr__(self, "vectors", checked)

    @property
    def dim(self) -> int:
        """Number of dimensions of the vectors."""
        return int(self.vectors.shape[1])

    @classmethod
    def of(cls, teacher: TextEncoder, texts: Sequence[tuple[Role, str]] = CANARY_TEXTS) -> Canaries:
        """Encodes the canaries with the teacher."""
        return cls(tuple(texts), _encode(teacher, texts))

    def check(self, encoder: TextEncoder, floor: float, roles: Sequence[Role] = ("query", "document")) -> CanaryReport:
        """Compares an encoder's vectors of the canaries with the teacher's.

        Args:
            encoder: Anything with ``encode_query`` and ``encode_document``.
            floor: The mean cosine it has to reach.
            roles: Roles of the canaries to encode; of a query-only leaf, queries alone.
        """
        keep = [i for i, (role, _) in enumerate(self.texts) if role in roles]
        if not keep:
            raise InputError(f"there is no canary with a role in {tuple(roles)}")
        theirs = _encode(encoder, [self.texts[i] for i in keep])
        if theirs.shape[1] != self.dim:
            raise SpaceMismatchError(
                f"the encoder returns vectors of {theirs.shape[1]} dimensions; the space has {self.dim}. "
                "Use the model that belongs to this space."
            )
        return CanaryReport(tuple(map(float, vectors.cosine(theirs, self.vectors[keep]))), floor)

    def measure(self, encoder: TextEncoder) -> dict[Role, float]:
        """Mean cosine of an encoder's vectors with the teacher's by role, as ``leaf.json`` keeps it for a leaf."""
        present: dict[Role, None] = dict.fromkeys(role for role, _ in self.texts)
        return {role: round(self.check(encoder, 0, (role,)).mean, 4) for role in present}

    def leaf_floor(self, encoder: TextEncoder, roles: Sequence[Role] = ("query", "document")) -> float:
        """Mean cosine that a leaf has to reach.

        A leaf that learned a narrow domain is far from its teacher on these general texts and still a valid leaf:
        students of one domain measured .22 to .47 at 384 dimensions. So the floor is :data:`LEAF_FLOOR` or, if that is
        less, :data:`MARGIN` below what this leaf reached when it was made. It stays above an unrelated model, whose
        vectors point anywhere: at :data:`DEVIATIONS` standard deviations of the cosine of two random directions or
        more (.15 at 384 dimensions, .11 at 768), even if all its vectors are nearly the same.

        Args:
            encoder: The leaf; one that does not know what it reached (``canary_cosines``) has the default floor.
            roles: Which canaries it is going to be tried on.
        """
        known: Mapping[Role, float] = getattr(encoder, "canary_cosines", {})
        asked = [role for role, _ in self.texts if role in roles]
        if not asked or not set(asked) <= set(known):
            return LEAF_FLOOR
        least = DEVIATIONS / math.sqrt(self.dim)
        return min(LEAF_FLOOR, max(least, sum(known[role] for role in asked) / len(asked) - MARGIN))

    def verify(
        self,
        encoder: TextEncoder,
        floor: float,
        roles: Sequence[Role] = ("query", "document"),
        *,
        name: str = "the encoder",
    ) -> CanaryReport:
        """Checks an encoder as :meth:`check` does, and refuses one that does not write into the space.

        Raises:
            SpaceMismatchError: The mean cosine is below ``floor``.
        """
        report = self.check(encoder, floor, roles)
        if not report.passed:
            is_leaf = floor <= LEAF_FLOOR
            raise SpaceMismatchError(
                f"{name} does not write into the space it declares: its vectors of {len(report.cosines)} canary texts "
                f"have a mean cosine of {report.mean:.3f} with the teacher's; expected at least {floor:.3g}. "
                "The model's files or prompts were changed; use the model that the space was made with."
                + (" Or it is a leaf that learned too little: train it on more texts, for more steps." * is_leaf)
            )
        return report

    def to_list(self) -> list[dict[str, str]]:
        """Returns the JSON form: role, text, and the vector as base64 of little-endian float16."""
        return [
            {"role": role, "text": text, "vector": base64.b64encode(row.astype("<f2").tobytes()).decode("ascii")}
            for (role, text), row in zip(self.texts, self.vectors, strict=True)
        ]

    @classmethod
    def from_list(cls, value: Any) -> Canaries:
        """Reads the JSON form."""
        rows = [np.frombuffer(base64.b64decode(item["vector"]), dtype="<f2") for item in value]
        texts = tuple((item["role"], item["text"]) for item in value)
        return cls(texts, vectors.as_vectors(rows, source="the canaries"))


def _encode(encoder: TextEncoder, texts: Sequence[tuple[Role, str]]) -> FloatArray:
    """Vectors of (role, text) pairs in their order, shape ``(n, dim)``."""
    rows: dict[int, FloatArray] = {}
    for role, encode in (("query", encoder.encode_query), ("document", encoder.encode_document)):
        places = [i for i, (r, _) in enumerate(texts) if r == role]
        if places:
            rows.update(zip(places, encode([texts[i][1] for i in places]), strict=True))
    return np.stack([rows[i] for i in range(len(texts))])
