"""Two lanes, each encoded by a thread of its own: short requests never wait for documents or for large requests."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext

import numpy as np

from leaf_embed import _telemetry
from leaf_embed.encoders.base import Encoder, count_tokens, texts_cut
from leaf_embed.encoders.leaf import LeafEncoder
from leaf_embed.serve.lanes import Embedded, Job, Lane, OverloadError, Piece, Room, estimate_tokens
from leaf_embed.texts import Role
from leaf_embed.vectors import FloatArray

__all__ = ["Batcher", "Embedded", "EncodingError", "OverloadError"]

SHORT_TOKENS = 512  # of a request in the lane of short ones: one batch of the ONNX encoder
BATCH_TOKENS = 2048  # encoded together: a tenth of a second of a small leaf on one core
NICE = 10  # of the thread that encodes documents and large requests


class EncodingError(Exception):
    """Raised when an encoder failed in a way of its own, or returned something else than finite rows."""


class Batcher:
    """Encodes the texts of several requests together, in two lanes.

    Queries of few tokens have a lane of their own; documents and large requests share the other, a batch at a time in
    turns. While a batch is encoded, requests gather; the next batch takes those of one role together. If a batch fails,
    its requests are encoded one by one, so that only the one at fault fails. A request that finds its lane full is
    refused at once.

    The encoder is called from two threads, one at a time unless it is ``threadsafe``.
    """

    def __init__(
        self, encoder: Encoder, *, max_waiting: int = 4096, max_waiting_tokens: int = 131_072, batch_texts: int = 256
    ) -> None:
        self._encoder = encoder
        self._limit = encoder.space.max_tokens
        self._closing = False
        self._longest: dict[Role, int] = {"query": 1, "document": 1}
        self._locks: defaultdict[int, threading.Lock] = defaultdict(threading.Lock)
        batch = Room(batch_texts, BATCH_TOKENS)
        self.short = Lane("short", Room(max_waiting, max(1, max_waiting_tokens // 4)), batch)
        self.bulk = Lane("bulk", Room(max_waiting, max_waiting_tokens), batch)

    @property
    def waiting(self) -> int:
        """Texts that wait or are being encoded."""
        return self.short.texts + self.bulk.texts

    def lane(self, role: Role, sizes: Sequence[int]) -> Lane:
        """Returns the lane for texts of these estimated tokens."""
        return self.short if role == "query" and sum(sizes) <= SHORT_TOKENS else self.bulk

    async def encode(self, texts: Sequence[str], role: Role) -> Embedded:
        """Returns the vectors of texts, and the number of tokens read for them. A cancelled call is not encoded.

        Raises:
            OverloadError: The lane is full, or the batcher is closed.
            EncodingError: The encoder failed; errors of this package are passed on as they are.
        """
        sizes = [estimate_tokens(text, self._limit) for text in texts]
        if self._closing:
            raise OverloadError
        job = Job(texts, role, sizes, asyncio.get_running_loop().create_future())
        lane = self.lane(role, sizes)
        lane.put(job)
        made = await job.answer
        _telemetry.record("leaf_embed.queue", made.queued, lane=lane.name)
        return made

    async def run(self) -> None:
        """Encode until :meth:`close`, and then what still waits."""
        await asyncio.gather(self._work(self.short), self._work(self.bulk, _be_nice))

    def close(self) -> None:
        """Take no more; :meth:`run` ends when nothing waits."""
        self._closing = True
        self.short.arrived.set()
        self.bulk.arrived.set()

    async def _work(self, lane: Lane, initializer: Callable[[], None] | None = None) -> None:
        with ThreadPoolExecutor(1, f"leaf-embed-{lane.name}", initializer) as thread:
            while not self._closing or not lane.empty:
                if batch := lane.take():
                    await self._encode(batch, thread)
                    for piece in batch:
                        lane.release(piece)
                elif not self._closing:
                    lane.arrived.clear()
                    await lane.arrived.wait()

    async def _encode(self, batch: Sequence[Piece], thread: ThreadPoolExecutor) -> None:
        began = time.perf_counter()
        for piece in batch:
            if piece.job.queued is None:
                piece.job.queued = began - piece.job.arrived
        texts = [text for piece in batch for text in piece.texts]
        call = asyncio.get_running_loop().run_in_executor(thread, self._call, texts, batch[0].job.role)
        try:
            rows, tokens, cut = await call
        except Exception as error:  # whatever an encoder raises belongs to the request, not to this loop
            if len(batch) > 1:
                for piece in batch:
                    await self._encode([piece], thread)
            elif not batch[0].job.answer.done():
                batch[0].job.answer.set_exception(error)
            return
        start, seconds = 0, time.perf_counter() - began
        for piece in batch:
            end = start + len(piece.texts)
            piece.job.add(rows[start:end], tokens[start:end], cut[start:end], seconds)
            start = end

    def _call(self, texts: list[str], role: Role) -> tuple[FloatArray, list[int], list[bool]]:
        """Vectors, tokens and whether it was cut, of each text."""
        try:
            encode = self._encoder.encode_query if role == "query" else self._encoder.encode_document
            with self._alone(role):
                rows = encode(texts)
                tokens = count_tokens(self._encoder, texts, role)
                cut = self._cut(texts, tokens, role)
        except Exception:
            raise
        except BaseException as error:  # a panic of a library in Rust is none of Exception's children
            raise EncodingError(f"the encoder failed with {type(error).__name__}") from error
        if len(rows) != len(texts):
            raise EncodingError(f"the encoder returned {len(rows)} rows for {len(texts)} texts")
        if not np.isfinite(rows).all():
            raise EncodingError("the encoder returned a vector with NaN or infinity")
        return rows, tokens, cut

    def _alone(self, role: Role) -> AbstractContextManager[object]:
        """Keeps the other thread out of the encoder of a role, unless that one lets several in."""
        encoder = self._encoder
        if isinstance(encoder, LeafEncoder):
            encoder = encoder.query_encoder if role == "query" else encoder.document_encoder
        return nullcontext() if getattr(encoder, "threadsafe", False) else self._locks[id(encoder)]

    def _cut(self, texts: Sequence[str], tokens: Sequence[int], role: Role) -> list[bool]:
        """Whether each text is cut; only those with the most tokens so far are tokenized again.

        A leaf may read fewer tokens than its teacher, whose limit may be unknown: its own is taken from what it read.
        """
        self._longest[role] = max(self._longest[role], max(tokens, default=0))
        full = [count >= self._longest[role] for count in tokens]
        asked = [text for text, is_full in zip(texts, full, strict=True) if is_full]
        found = iter(texts_cut(self._encoder, asked, role) if asked else [])
        return [is_full and next(found) for is_full in full]


def _be_nice() -> None:
    """Lets the other lane's thread go first where cores are short; Linux alone knows this of threads."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
