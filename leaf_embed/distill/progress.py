"""Measurements of a student in training, for progress displays, trackers and reports."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["Alignment", "StepInfo"]


@dataclass(frozen=True)
class Alignment:
    """The fit of a student to its teacher on some texts.

    Attributes:
        loss: Mean squared L2 distance.
        cosine: Mean cosine.
        texts: Number of texts.
    """

    loss: float
    cosine: float
    texts: int


@dataclass(frozen=True)
class StepInfo:
    """The state of a training after an optimizer step.

    Attributes:
        step: Steps done.
        total: Steps in all.
        loss: Smoothed training loss.
        texts_per_second: Measured over the whole run so far.
        learning_rate: Of this step.
        held_out_loss: The lowest so far on the held-out texts; infinite before the first measurement.
    """

    step: int
    total: int
    loss: float
    texts_per_second: float
    learning_rate: float = 0.0
    held_out_loss: float = math.inf
