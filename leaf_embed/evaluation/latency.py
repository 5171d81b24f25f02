"""The latency of one query, two encoders side by side.

Both encode the same texts in alternating blocks, so that whatever else the machine does slows both alike: the ratio
holds on a busy machine, the milliseconds only on an idle one.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from leaf_embed.encoders.base import Encoder
from leaf_embed.errors import InputError

__all__ = ["Latency", "measure_latency"]

BLOCK = 10  # calls of one encoder before the other is called


@dataclass(frozen=True)
class Latency:
    """Milliseconds from a text to its vector, one text per call.

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
    """Measures ``encode_query`` of two encoders, one text per call, in alternating blocks of ten calls.

    Both are measured at nearly the same moment. Interleaving call by call doubles the measured latency of a small
    leaf: each call then finds the processor's caches full of the other encoder's weights, which happens in no real
    process.

    Args:
        leaf: The student.
        teacher: The encoder that it is compared with.
        texts: Real queries, as latency depends on their length; each is timed once per encoder.
        warmup: Untimed calls of each encoder at the start.

    Raises:
        InputError: No texts.
    """
    if not texts:
        raise InputError("latency needs at least one text to time; got none")
    for row in range(warmup):
        for encoder in (leaf, teacher):
            encoder.encode_query(texts[row % len(texts)])
    times = np.empty((len(texts), 2))
    for start in range(0, len(texts), BLOCK):
        for column, encoder in enumerate((leaf, teacher)):
            for row in range(start, min(start + BLOCK, len(texts))):
                times[row, column] = _milliseconds(encoder, texts[row])
    (leaf_p50, teacher_p50), (leaf_p95, teacher_p95) = np.percentile(times, [50, 95], axis=0)
    ratio = np.median(times[:, 1] / times[:, 0])
    return Latency(len(texts), float(leaf_p50), float(leaf_p95), float(teacher_p50), float(teacher_p95), float(ratio))


def _milliseconds(encoder: Encoder, text: str) -> float:
    start = time.perf_counter_ns()
    encoder.encode_query(text)
    return max(time.perf_counter_ns() - start, 1) / 1e6
