"""How long one query takes, two encoders side by side.

The two take turns on the same text, so that whatever else the machine does meanwhile slows both alike: the ratio
holds on a busy machine, the milliseconds only on a quiet one.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from leaf_embed.encoders.base import Encoder
from leaf_embed.errors import InputError

__all__ = ["Latency", "measure_latency"]

TURN = 10  # calls of one encoder before the other has its turn


@dataclass(frozen=True)
class Latency:
    """Milliseconds from a text to its vector, one text a call.

    Attributes:
        queries: Number of timed calls of each encoder.
        leaf_p50: Median of the leaf, milliseconds.
        leaf_p95: 95th percentile of the leaf, milliseconds.
        teacher_p50: Median of the teacher, milliseconds.
        teacher_p95: 95th percentile of the teacher, milliseconds.
        ratio: Median over the queries of teacher / leaf: how many times faster the leaf is.
    """

    queries: int
    leaf_p50: float
    leaf_p95: float
    teacher_p50: float
    teacher_p95: float
    ratio: float

    def to_dict(self) -> dict[str, float]:
        """The JSON form; units are in the names."""
        values = asdict(self)
        return {name if name in ("queries", "ratio") else f"{name}_ms": value for name, value in values.items()}

    def __str__(self) -> str:
        return (
            f"one query: leaf {self.leaf_p50:.2f} ms (p95 {self.leaf_p95:.2f}), teacher {self.teacher_p50:.2f} ms "
            f"(p95 {self.teacher_p95:.2f}), {self.ratio:.1f} times faster"
        )


def measure_latency(leaf: Encoder, teacher: Encoder, texts: Sequence[str], *, warmup: int = 5) -> Latency:
    """Time ``encode_query`` of two encoders, one text a call, in turns of ten.

    Both see the same machine at nearly the same moment. A turn is longer than one call because a call right after
    the other encoder finds the processor's caches full of the other's weights, which happens in no real process
    and doubled the time of a small leaf.

    Args:
        leaf: The student.
        teacher: What it is compared with.
        texts: Each is timed once by each encoder; real queries, as latency depends on their length.
        warmup: Untimed calls of each encoder at the start.

    Raises:
        InputError: No texts.
    """
    if not texts:
        raise InputError("latency needs at least one text to time; got none")
    for place in range(warmup):
        for encoder in (leaf, teacher):
            encoder.encode_query(texts[place % len(texts)])
    times = np.empty((len(texts), 2))
    for start in range(0, len(texts), TURN):
        for column, encoder in enumerate((leaf, teacher)):
            for place in range(start, min(start + TURN, len(texts))):
                times[place, column] = _milliseconds(encoder, texts[place])
    (leaf_p50, teacher_p50), (leaf_p95, teacher_p95) = np.percentile(times, [50, 95], axis=0)
    ratio = np.median(times[:, 1] / times[:, 0])
    return Latency(len(texts), float(leaf_p50), float(leaf_p95), float(teacher_p50), float(teacher_p95), float(ratio))


def _milliseconds(encoder: Encoder, text: str) -> float:
    start = time.perf_counter_ns()
    encoder.encode_query(text)
    return max(time.perf_counter_ns() - start, 1) / 1e6
