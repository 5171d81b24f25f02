"""Canaries: a few fixed texts with the teacher's vectors, which recognise an encoder by what it computes.

A fingerprint compares declarations, so another model of the same size and name passes it; canaries detect it.
Idea: silent same-dimension model swaps reported by users of vector stores (MemPalace/mempalace#1730).
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from leaf_embed import vectors
from leaf_embed.errors import InputError, SpaceMismatchError
from leaf_embed.texts import Role, TextEncoder
from leaf_embed.vectors import FloatArray

__all__ = ["CANARY_TEXTS", "ROLES", "TEACHER_FLOOR", "Canaries", "CanaryReport"]

ROLES: tuple[Role, Role] = ("query", "document")

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


@dataclass(frozen=True)
class CanaryReport:
    """An encoder's cosines on the canaries: with the teacher, and with what the encoder computed when it was made.

    Attributes:
        cosines: One per canary of the space, with the teacher's vector; empty if the space has none of the role.
        floor: The mean of them that is required.
        answers: One per text of the leaf's record, with the leaf's own vector of when it was made; empty without one.
        answers_floor: The mean of them that is required.
    """

    cosines: tuple[float, ...]
    floor: float
    answers: tuple[float, ...] = ()
    answers_floor: float = 0.0

    @property
    def mean(self) -> float:
        """Mean cosine with the teacher's vectors; NaN without any."""
        return float(np.mean(self.cosines)) if self.cosines else float("nan")

    @property
    def is_same(self) -> bool:
        """Whether the encoder computes what it computed when it was made; true if nobody knows what that was."""
        return not self.answers or float(np.mean(self.answers)) >= self.answers_floor

    @property
    def passed(self) -> bool:
        """Whether both means reach their floors."""
        return self.is_same and (not self.cosines or self.mean >= self.floor)

    def __str__(self) -> str:
        parts = []
        if self.cosines:
            parts.append(f"mean cosine {self.mean:.4f}, lowest {min(self.cosines):.4f}, floor {self.floor:.3g}")
        if self.answers:
            mean = float(np.mean(self.answers))
            parts.append(f"{mean:.4f} with its own vectors of when it was made, floor {self.answers_floor:.3g}")
        return f"canaries {'pass' if self.passed else 'FAIL'}: {'; '.join(parts)}"


@dataclass(frozen=True, eq=False)
class Canaries:
    """Texts with the vectors of one encoder: the teacher's in a space, the leaf's own in its record.

    Attributes:
        texts: ``(role, text)`` pairs.
        vectors: The encoder's vectors, shape ``(n, dim)``, float32.
    """

    texts: tuple[tuple[Role, str], ...]
    vectors: FloatArray

    def __post_init__(self) -> None:
        if not self.texts:
            raise InputError("canaries need at least one text; got none")
        if any(role not in ROLES for role, _ in self.texts):
            raise InputError(f"the role of a canary is query or document; got {[role for role, _ in self.texts]}")
        checked = vectors.as_vectors(self.vectors, source="the canaries' teacher")
        if len(checked) != len(self.texts):
            raise InputError(f"{len(self.texts)} canary texts came with {len(checked)} vectors")
        object.__setattr__(self, "vectors", checked)

    @property
    def dim(self) -> int:
        """Number of dimensions of the vectors."""
        return int(self.vectors.shape[1])

    @classmethod
    def of(
        cls, encoder: TextEncoder, texts: Sequence[tuple[Role, str]] = CANARY_TEXTS, *, skip_zeros: bool = False
    ) -> Canaries:
        """Encodes the canaries with the teacher, or another encoder.

        Args:
            encoder: Anything with ``encode_query`` and ``encode_document``.
            texts: ``(role, text)`` pairs.
            skip_zeros: Whether to leave out texts whose vector is zero: those that a static leaf knows no token of.
        """
        rows = _encode(encoder, texts)
        keep = [place for place, row in enumerate(rows) if row.any() or not skip_zeros]
        return cls(tuple(texts[place] for place in keep), rows[keep])

    def only(self, roles: Sequence[Role]) -> Canaries | None:
        """Returns the canaries of some roles; ``None`` if there are none."""
        keep = [i for i, (role, _) in enumerate(self.texts) if role in roles]
        return Canaries(tuple(self.texts[i] for i in keep), self.vectors[keep]) if keep else None

    def all_as(self, role: Role) -> Canaries:
        """Returns the canaries with all texts in one role, for an encoder that has the same prompt for both."""
        return replace(self, texts=tuple((role, text) for _, text in self.texts))

    def truncated(self, dim: int) -> Canaries:
        """Returns the canaries with the first ``dim`` dimensions of each vector, renormalised."""
        return replace(self, vectors=vectors.truncate(self.vectors, dim))

    def cosine_with(self, other: Canaries) -> float | None:
        """Returns the mean cosine of two sets of vectors over the texts that both have; ``None`` if there are none."""
        places = {text: place for place, text in enumerate(other.texts)}
        pairs = [(place, places[text]) for place, text in enumerate(self.texts) if text in places]
        if not pairs or self.dim != other.dim:
            return None
        mine, theirs = (list(side) for side in zip(*pairs, strict=True))
        return float(np.mean(vectors.cosine(self.vectors[mine], other.vectors[theirs])))

    def check(self, encoder: TextEncoder, floor: float, roles: Sequence[Role] = ROLES) -> CanaryReport:
        """Compares an encoder's vectors of the canaries with the stored ones.

        Args:
            encoder: Anything with ``encode_query`` and ``encode_document``.
            floor: The mean cosine it has to reach.
            roles: Roles of the canaries to encode; of a query-only leaf, queries alone.
        """
        kept = self.only(roles)
        if kept is None:
            raise InputError(f"there is no canary with a role in {tuple(roles)}")
        theirs = _encode(encoder, kept.texts)
        if theirs.shape[1] != self.dim:
            raise SpaceMismatchError(
                f"the encoder returns vectors of {theirs.shape[1]} dimensions; the space has {self.dim}. "
                "Use the model that belongs to this space."
            )
        return CanaryReport(tuple(map(float, vectors.cosine(theirs, kept.vectors))), floor)

    def measure(self, encoder: TextEncoder) -> dict[Role, float]:
        """Mean cosine of an encoder's vectors with the teacher's by role, as ``leaf.json`` keeps it for a leaf."""
        present: dict[Role, None] = dict.fromkeys(role for role, _ in self.texts)
        return {role: round(self.check(encoder, 0, (role,)).mean, 4) for role in present}

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
