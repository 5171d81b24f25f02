"""A bounded queue, whose waiting texts are encoded together, by one thread."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from leaf_embed.encoders.base import Encoder, count_tokens
from leaf_embed.texts import Role
from leaf_embed.vectors import FloatArray

__all__ = ["Batcher", "Embedded", "OverloadError"]


class OverloadError(Exception):
    """Raised when as many texts wait as may."""


@dataclass(frozen=True)
class Embedded:
    """The vectors of one request's texts.

    Attributes:
        rows: Vectors, shape ``(n, dim)``, float32.
        tokens: Tokens that the encoder read for them.
    """

    rows: FloatArray
    tokens: int


@dataclass
class Job:
    """Texts of one request, and where their vectors go."""

    texts: Sequence[str]
    role: Role
    answer: asyncio.Future[Embedded]


class Batcher:
    """Encodes the texts of several requests together.

    While a batch is encoded, requests gather; the next batch takes those of one role together. A request that would
    make more than ``max_waiting`` texts wait is refused at once.
    """

    def __init__(self, encoder: Encoder, *, max_waiting: int = 4096, batch_texts: int = 256) -> None:
        self._encoder = encoder
        self._max_waiting = max_waiting
        self._batch_texts = batch_texts
        self._jobs: list[Job] = []
        self._arrived = asyncio.Event()
        self._closing = False
        self.waiting = 0

    async def encode(self, texts: Sequence[str], role: Role) -> Embedded:
        """Returns the vectors of texts, and the number of tokens read for them.

        Raises:
            OverloadError: The queue is full. A request larger than the whole queue is taken when nothing waits.
        """
        if self._closing or (self.waiting and self.waiting + len(texts) > self._max_waiting):
            raise OverloadError
        job = Job(texts, role, asyncio.get_running_loop().create_future())
        self.waiting += len(texts)
        self._jobs.append(job)
        self._arrived.set()
        return await job.answer

    async def run(self) -> None:
        """Encode until :meth:`close`, and then what still waits."""
        while not self._closing or self._jobs:
            if not self._jobs:
                self._arrived.clear()
                await self._arrived.wait()
                continue
            batch = self._next()
            texts = [text for job in batch for text in job.texts]
            try:
                if texts:
                    _hand_out(batch, *await asyncio.to_thread(self._encode, texts, batch[0].role))
            except Exception as error:  # whatever an encoder raises belongs to the requests, not to this loop
                for job in batch:
                    if not job.answer.done():
                        job.answer.set_exception(error)
            finally:
                self.waiting -= len(texts)

    def close(self) -> None:
        """Take no more; :meth:`run` ends when nothing waits."""
        self._closing = True
        self._arrived.set()

    def _encode(self, texts: list[str], role: Role) -> tuple[FloatArray, list[int]]:
        rows = self._encoder.encode_query(texts) if role == "query" else self._encoder.encode_document(texts)
        return rows, count_tokens(self._encoder, texts, role)

    def _next(self) -> list[Job]:
        """The oldest job, and those of its role that fit into a batch with it."""
        chosen: list[Job] = []
        left: list[Job] = []
        size = 0
        for job in self._jobs:
            if job.answer.cancelled():  # the client is gone
                self.waiting -= len(job.texts)
            elif not chosen or (job.role == chosen[0].role and size + len(job.texts) <= self._batch_texts):
                chosen.append(job)
                size += len(job.texts)
            else:
                left.append(job)
        self._jobs = left
        return chosen


def _hand_out(batch: Sequence[Job], rows: FloatArray, tokens: Sequence[int]) -> None:
    start = 0
    for job in batch:
        end = start + len(job.texts)
        if not job.answer.done():
            job.answer.set_result(Embedded(rows[start:end], sum(tokens[start:end])))
        start = end
