"""Jobs that wait, and what of them is encoded next."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from leaf_embed.texts import Role
from leaf_embed.vectors import FloatArray

__all__ = ["Embedded", "Job", "Lane", "OverloadError", "Piece", "Room", "estimate_tokens"]

UNCUT = 8192  # tokens of a text that no encoder cuts, for the estimate
HELD = 512  # letters of a text that cost as much as a token, read or not


class OverloadError(Exception):
    """Raised when as much waits as may."""


@dataclass(frozen=True)
class Room:
    """A number of texts, and of their tokens."""

    texts: int
    tokens: int


@dataclass(frozen=True)
class Embedded:
    """The vectors of one request's texts.

    Attributes:
        rows: Vectors, shape ``(n, dim)``, float32.
        tokens: Tokens that the encoder read for them.
        cut: Texts that are longer than what the encoder reads.
        queued: Seconds from arrival to the first call of the encoder.
        encoding: Seconds of the encoder's calls, those of neighbours in the same batch included.
    """

    rows: FloatArray
    tokens: int
    cut: int = 0
    queued: float = 0.0
    encoding: float = 0.0


def estimate_tokens(text: str, limit: int | None) -> int:
    """Returns about how many tokens a text costs, without a tokenizer.

    What is read counts four letters per token, two if not ASCII; what is only held in memory counts 512.
    """
    return min(limit or UNCUT, 2 + len(text) // (4 if text.isascii() else 2)) + len(text) // HELD


@dataclass(eq=False)
class Job:
    """Texts of one request, and where their vectors go.

    Attributes:
        texts: The texts, of one role.
        sizes: Estimated tokens of each.
        answer: Where the vectors go; cancelled if the client is gone.
    """

    texts: Sequence[str]
    role: Role
    sizes: Sequence[int]
    answer: asyncio.Future[Embedded]
    arrived: float = field(default_factory=time.perf_counter)
    queued: float | None = None
    encoding: float = 0.0
    taken: int = 0
    tokens: int = 0
    cut: int = 0
    parts: list[FloatArray] = field(default_factory=list)

    @property
    def left(self) -> Room:
        """What was not taken yet."""
        return Room(len(self.texts) - self.taken, sum(self.sizes[self.taken :]))

    def take(self, room: Room) -> Piece:
        """Returns the next texts that fit; at least one."""
        start, tokens = self.taken, 0
        while self.taken < len(self.texts) and self.taken - start < room.texts:
            tokens += self.sizes[self.taken]
            if tokens > room.tokens and self.taken > start:
                break
            self.taken += 1
        return Piece(self, start, self.taken)

    def add(self, rows: FloatArray, tokens: Sequence[int], cut: Sequence[bool], seconds: float) -> None:
        """Keeps the vectors of a piece, and answers with the last one."""
        self.parts.append(rows)
        self.tokens += sum(tokens)
        self.cut += sum(cut)
        self.encoding += seconds
        if sum(len(part) for part in self.parts) == len(self.texts) and not self.answer.done():
            rows = self.parts[0] if len(self.parts) == 1 else np.concatenate(self.parts)
            self.answer.set_result(Embedded(rows, self.tokens, self.cut, self.queued or 0.0, self.encoding))


@dataclass(frozen=True)
class Piece:
    """A part of a job's texts."""

    job: Job
    start: int
    stop: int

    @property
    def texts(self) -> Sequence[str]:
        """The texts of this piece."""
        return self.job.texts[self.start : self.stop]

    @property
    def size(self) -> Room:
        """How much it holds."""
        return Room(self.stop - self.start, sum(self.job.sizes[self.start : self.stop]))


class Lane:
    """A bounded line of jobs, which take turns piece by piece.

    Args:
        name: ``"short"`` or ``"bulk"``.
        room: What may wait.
        batch: What is encoded together.
    """

    def __init__(self, name: str, room: Room, batch: Room) -> None:
        self.name = name
        self.arrived = asyncio.Event()
        self.texts = 0
        self.tokens = 0
        self.dropped = 0
        self._room = room
        self._batch = batch
        self._jobs: deque[Job] = deque()

    @property
    def empty(self) -> bool:
        """Whether no job waits."""
        return not self._jobs

    def put(self, job: Job) -> None:
        """Adds a job at the end.

        Raises:
            OverloadError: Too much waits. A job larger than the whole room is taken when nothing waits.
        """
        size = job.left
        if self.texts and (self.texts + size.texts > self._room.texts or self.tokens + size.tokens > self._room.tokens):
            raise OverloadError
        self._jobs.append(job)
        self._count(size, 1)
        self.arrived.set()

    def take(self) -> list[Piece]:
        """Returns pieces of one role for the next batch, oldest job first; what is left of a job goes to the end.

        Jobs without anybody who waits for them are dropped. What is returned still counts as waiting: :meth:`release`.
        """
        chosen: list[Piece] = []
        unfinished: list[Job] = []
        texts = tokens = 0
        for _ in range(len(self._jobs)):
            job = self._jobs.popleft()
            if job.answer.done():  # the client is gone, or a piece failed
                self.dropped += job.left.texts
                self._count(job.left, -1)
                continue
            fits = texts < self._batch.texts and tokens < self._batch.tokens
            if not fits or (chosen and job.role != chosen[0].job.role):
                self._jobs.append(job)
                continue
            piece = job.take(Room(self._batch.texts - texts, self._batch.tokens - tokens))
            chosen.append(piece)
            texts, tokens = texts + piece.size.texts, tokens + piece.size.tokens
            if job.left.texts:
                unfinished.append(job)
        self._jobs.extend(unfinished)
        return chosen

    def release(self, piece: Piece) -> None:
        """Counts a piece out, encoded or not."""
        self._count(piece.size, -1)

    def _count(self, size: Room, sign: int) -> None:
        self.texts += sign * size.texts
        self.tokens += sign * size.tokens
