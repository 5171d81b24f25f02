"""The latency of one query, two encoders side by side, with as many threads each, on a machine that is being watched.

A call of the leaf is shorter than a time slice and rarely interrupted; a call of the teacher is interrupted in the
middle, and with several threads it waits for the last of them. Other work on the machine therefore slows the teacher
far more than the leaf, and no ratio of the two can be given: it is refused, with the reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leaf_embed.encoders.base import Encoder, threads_of
from leaf_embed.encoders.checks import check_whole
from leaf_embed.errors import InputError
from leaf_embed.evaluation.machine import Clocks, Watch, pinned_threads

__all__ = ["Latency", "measure_latency"]

BLOCK = 10  # calls of one encoder before the other is called
ROUNDS = 2  # at least: the texts are timed twice, and both times must give one ratio
SECONDS = 0.5  # at least: the kernel counts the processor time of a machine in hundredths of a second
OVER = 1.25  # times the threads that were asked for: more cores in use are threads that were not
AGREE = 0.1  # between the ratios of the even and the odd rounds


@dataclass(frozen=True)
class Latency:
    """Milliseconds from a text to its vector, one text per call.

    Attributes:
        queries: Number of different calls of each encoder; each is timed twice or more.
        leaf_p50: Median of the leaf, milliseconds.
        leaf_p95: 95th percentile of the leaf, milliseconds.
        teacher_p50: Median of the teacher, milliseconds.
        teacher_p95: 95th percentile of the teacher, milliseconds.
        ratio: Median over the calls of teacher / leaf: how many times faster the leaf is. ``None`` if it is refused.
        refused: Why no ratio is given, and why the milliseconds are not those of an idle machine; ``""`` otherwise.
        leaf_cpu: Processor time of all threads, median of the leaf, milliseconds.
        teacher_cpu: The same of the teacher.
        leaf_threads: Threads of the leaf's runtime; ``None`` if the encoder does not say.
        teacher_threads: Threads that the teacher was held to.
        machine: From :meth:`Watch.seen`.
    """

    queries: int
    leaf_p50: float
    leaf_p95: float
    teacher_p50: float
    teacher_p95: float
    ratio: float | None
    refused: str = ""
    leaf_cpu: float = 0.0
    teacher_cpu: float = 0.0
    leaf_threads: int | None = None
    teacher_threads: int | None = None
    machine: Mapping[str, float | None] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The JSON form; units are in the names."""
        milliseconds = ("leaf_p50", "leaf_p95", "teacher_p50", "teacher_p95", "leaf_cpu", "teacher_cpu")
        return {
            "queries": self.queries,
            **{f"{name}_ms": round(getattr(self, name), 5) for name in milliseconds},
            "threads": {"leaf": self.leaf_threads, "teacher": self.teacher_threads},
            "ratio": None if self.ratio is None else round(self.ratio, 3),
            "refused": self.refused,
            "machine": dict(self.machine),
        }

    @property
    def threads(self) -> str:
        """The threads of both, in words."""
        if self.leaf_threads == self.teacher_threads:
            return f"{self.leaf_threads or 'unknown'} thread{'' if self.leaf_threads == 1 else 's'} each"
        return f"threads: leaf {self.leaf_threads or 'unknown'}, teacher {self.teacher_threads or 'unknown'}"

    def __str__(self) -> str:
        verdict = f"no ratio: {self.refused}" if self.ratio is None else f"{self.ratio:.1f} times faster"
        return (
            f"one query, {self.threads}: leaf {self.leaf_p50:.2f} ms (p95 {self.leaf_p95:.2f}; processor "
            f"{self.leaf_cpu:.2f}), teacher {self.teacher_p50:.2f} ms (p95 {self.teacher_p95:.2f}; processor "
            f"{self.teacher_cpu:.2f}); {verdict}"
        )


def measure_latency(
    leaf: Encoder,
    teacher: Encoder,
    texts: Sequence[str],
    *,
    warmup: int = 5,
    threads: int | None = None,
    clocks: Clocks | None = None,
) -> Latency:
    """Measures ``encode_query`` of two encoders, one text per call, in alternating blocks of ten calls.

    Both are measured at nearly the same moment. Interleaving call by call doubles the measured latency of a small
    leaf: each call then finds the processor's caches full of the other encoder's weights, which happens in no real
    process. The texts are timed at least twice and for half a second.

    The ratio is refused if other processes use more than half of the cores that are left, if this process is
    interrupted more than 50 times per second, if an encoder uses more cores than it was given threads, or if the even
    and the odd rounds differ by more than 10 %.

    Args:
        leaf: The student. Its runtime's threads were settled when it was opened.
        teacher: The encoder that it is compared with.
        texts: Real queries, as latency depends on their length.
        warmup: Untimed calls of each encoder at the start.
        threads: Of torch, for whichever of the two runs on it; ``None`` takes as many as the leaf says it has, else 1.
        clocks: What to read times from; ``None`` takes those of this machine.

    Raises:
        InputError: No texts, or a number of threads that cannot be.
    """
    if not texts:
        raise InputError("latency needs at least one text to time; got none")
    check_whole("threads", threads, optional=True)
    count = threads or threads_of(leaf) or 1
    with pinned_threads(count):
        for row in range(warmup):
            for encoder in (leaf, teacher):
                encoder.encode_query(texts[row % len(texts)])
        watch = Watch(clocks)
        wall, cpu, passed = _rounds((leaf, teacher), texts, watch)
        seen = watch.seen()
        own = threads_of(leaf), threads_of(teacher) or count
    ratios = wall[..., 1] / wall[..., 0]
    refused = watch.refusal(seen, count) or _too_many_threads(cpu, passed, own, count) or _unsteady(ratios)
    (leaf_p50, teacher_p50), (leaf_p95, teacher_p95) = np.percentile(wall, [50, 95], axis=(0, 1)).tolist()
    leaf_cpu, teacher_cpu = np.median(cpu, axis=(0, 1)).tolist()
    ratio = None if refused else float(np.median(ratios))
    numbers = (leaf_p50, leaf_p95, teacher_p50, teacher_p95, ratio, refused, leaf_cpu, teacher_cpu)
    return Latency(len(texts), *numbers, *own, machine=seen)


def _rounds(
    encoders: Sequence[Encoder], texts: Sequence[str], watch: Watch
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """An even number of rounds over the texts.

    Returns:
        Milliseconds of each call, shape ``(rounds, texts, encoders)``; and, as means over its block, processor
        milliseconds and those that passed between their readings, of the same shape.
    """
    found: list[NDArray[np.float64]] = []
    while len(found) < ROUNDS or len(found) % 2 or watch.seconds < SECONDS:
        times = np.empty((3, len(texts), len(encoders)))
        for start in range(0, len(texts), BLOCK):
            rows = slice(start, min(start + BLOCK, len(texts)))
            for column, encoder in enumerate(encoders):
                times[:, rows, column] = _block(encoder, texts[rows], watch.clocks)
        found.append(times)
    wall, cpu, passed = np.stack(found, axis=1)
    return wall, cpu, passed


def _block(encoder: Encoder, texts: Sequence[str], clocks: Clocks) -> NDArray[np.float64]:
    """Milliseconds of each call; the block's processor time and duration per call, in every column."""
    times = np.empty((3, len(texts)))
    began, cpu = clocks.wall(), clocks.cpu()
    for row, text in enumerate(texts):
        start = clocks.wall()
        encoder.encode_query(text)
        times[0, row] = max(clocks.wall() - start, 1)
    times[1] = (clocks.cpu() - cpu) / len(texts)
    times[2] = max(clocks.wall() - began, 1) / len(texts)
    return times / 1e6


def _too_many_threads(
    cpu: NDArray[np.float64], passed: NDArray[np.float64], own: tuple[int | None, int], count: int
) -> str:
    """A complaint if one of the two used more cores than it has threads."""
    for column, (who, threads) in enumerate(zip(("leaf", "teacher"), own, strict=True)):
        used, asked = float(cpu[..., column].sum() / passed[..., column].sum()), threads or count
        if used > OVER * asked:
            return f"the {who} used {used:.1f} cores, where {asked} thread(s) were asked for; set OMP_NUM_THREADS"
    return ""


def _unsteady(ratios: NDArray[np.float64]) -> str:
    """A complaint if the rounds, taken alternately, give two ratios."""
    even, odd = float(np.median(ratios[::2])), float(np.median(ratios[1::2]))
    if abs(even - odd) > AGREE * min(even, odd):
        return f"two measurements in turns gave ratios of {even:.1f} and {odd:.1f}"
    return ""
