"""What a leaf computed when it was made, which tells a changed leaf from one that learned something else.

How near a leaf is to its teacher on general texts depends on what it learned: one of a narrow domain is as far as a
model of another make. So a leaf is first compared with itself: with its own vectors of the general canary texts, and
of some texts that were held out from its training.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from leaf_embed.canaries import ROLES, Canaries, CanaryReport
from leaf_embed.errors import InputError
from leaf_embed.texts import Role, TextEncoder

__all__ = ["LEAF_FLOOR", "ROUNDING", "SAME_LEAF", "LeafRecord"]

LEAF_FLOOR = 0.5  # mean over the canaries: a student of general texts is far above, an unrelated model is near 0
SAME_LEAF = 0.98  # mean with its own vectors: int8 is above, other prompts, pooling or weights below
ROUNDING = 0.02  # below the farthest graph's mean when it was made: int8 that saturates on older CPUs measured .006
MARGIN = 0.05  # below what a leaf measured when it was made: int8 on another CPU moves the mean by less
UNRELATED = 0.3  # mean with the teacher on unknown texts: a leaf is above, with another model it is near 0
DEVIATIONS = 3.0  # the cosine of two unrelated directions has a standard deviation of 1 / sqrt(dim)


@dataclass(frozen=True, eq=False)
class LeafRecord:
    """What a leaf computed when it was made or exported last.

    Attributes:
        cosines: By role, the mean cosine with the teacher on the space's canaries; all that older leaves have.
        answers: The general canary texts, then those of ``own``, with the leaf's vectors; ``None`` in older leaves.
        own: Texts held out from the training, with the teacher's vectors; ``None`` if none are kept.
        floor: Mean cosine with ``answers`` that the leaf has to reach.
        of_documents: Whether the leaf encodes documents too; beside a teacher that does, only queries are compared.
    """

    cosines: Mapping[Role, float] = field(default_factory=dict)
    answers: Canaries | None = None
    own: Canaries | None = None
    floor: float = SAME_LEAF
    of_documents: bool = True

    def __post_init__(self) -> None:
        if not 0 < self.floor <= 1:
            raise InputError(f"the floor of a leaf's own vectors is above 0, and 1 at most; got {self.floor}")
        if not set(self.cosines) <= set(ROLES):
            raise InputError(f"canary cosines are kept by role, query or document; got {list(self.cosines)}")

    @property
    def reached(self) -> float:
        """Mean cosine with the teacher when it was made, on general or on its own texts, whichever is higher."""
        own = None if self.answers is None or self.own is None else self.answers.cosine_with(self.own)
        general = float(np.mean(list(self.cosines.values()))) if self.cosines else 0.0
        return general if own is None else max(general, own)

    def teacher_floor(self, canaries: Canaries, roles: Sequence[Role] = ROLES) -> float:
        """Mean cosine with the teacher's vectors that the leaf has to reach.

        It is :data:`LEAF_FLOOR` or, if that is less, :data:`MARGIN` below what this leaf reached when it was made.
        That may be next to nothing outside of its domain if it is known what else the leaf computed. Otherwise, and if
        it reached nothing in its domain either, the floor stays above an unrelated model, whose vectors point anywhere:
        at :data:`DEVIATIONS` standard deviations of the cosine of two random directions (.15 at 384 dimensions).

        Args:
            canaries: Texts with the teacher's vectors.
            roles: Which of them the leaf is going to be tried on.
        """
        least = min(LEAF_FLOOR, DEVIATIONS / math.sqrt(canaries.dim))
        asked = [role for role, _ in canaries.texts if role in roles]
        if not self.of_documents and "document" in asked:
            return LEAF_FLOOR
        if not set(asked) <= set(self.cosines):
            return LEAF_FLOOR if self._answers(asked) is None else least
        expected = sum(self.cosines[role] for role in asked) / len(asked) - MARGIN
        is_leaf = self.answers is not None and self.reached >= least
        return min(LEAF_FLOOR, expected if is_leaf else max(least, expected))

    def unrelated_floor(self, dim: int) -> float:
        """Mean cosine with the teacher's vectors of unknown texts, below which these are of another model."""
        least = min(UNRELATED, DEVIATIONS / math.sqrt(dim))
        return min(UNRELATED, max(least, min(self.cosines.values(), default=LEAF_FLOOR) - MARGIN))

    def check(
        self, leaf: TextEncoder, canaries: Canaries | None, roles: Sequence[Role] = ROLES, *, one_prompt: bool = False
    ) -> CanaryReport:
        """Compares a leaf's vectors with the teacher's and with those of when it was made.

        Args:
            leaf: The leaf that this is the record of.
            canaries: Texts with the teacher's vectors; ``None`` if there are none.
            roles: Roles to encode.
            one_prompt: Whether queries and documents have the same prompt, so that all texts do for either role.

        Raises:
            SpaceMismatchError: The vectors have other dimensions than the stored ones.
        """
        known = canaries and canaries.only(roles)
        floor = 0.0 if known is None else self.teacher_floor(known, roles)
        cosines = () if known is None else known.check(leaf, floor, roles).cosines
        mine = self._answers(roles, one_prompt=one_prompt)
        answers = () if mine is None else mine.check(leaf, self.floor).cosines
        return CanaryReport(cosines, floor, answers, self.floor if answers else 0.0)

    def _answers(self, roles: Sequence[Role], *, one_prompt: bool = False) -> Canaries | None:
        """The answers that a leaf can be tried on in some roles."""
        ours = [role for role in roles if role == "query" or self.of_documents]
        if self.answers is None or not ours:
            return None
        return self.answers.all_as(ours[0]) if one_prompt and len(ours) == 1 else self.answers.only(ours)

    def to_dict(self) -> dict[str, Any]:
        """Returns the JSON form, without the cosines, which ``leaf.json`` keeps beside it."""
        return {
            "floor": self.floor,
            "answers": None if self.answers is None else self.answers.to_list(),
            "own": None if self.own is None else self.own.to_list(),
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any], cosines: Mapping[Any, float]) -> LeafRecord:
        """Reads the JSON form; an empty one is an older leaf's."""
        answers, own = (value.get(name) and Canaries.from_list(value[name]) for name in ("answers", "own"))
        return cls(cosines, answers, own, float(value.get("floor", SAME_LEAF)))
