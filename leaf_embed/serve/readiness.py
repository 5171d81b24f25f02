"""Whether a server can answer: its document encoder is loaded when it starts, not by the first request."""

from __future__ import annotations

import asyncio
import logging
import time

from leaf_embed.encoders.base import Encoder
from leaf_embed.encoders.leaf import LeafEncoder
from leaf_embed.errors import LeafEmbedError

__all__ = ["DocumentSide"]

AT_HAND = 0.5  # seconds that a start waits for a document encoder that needs no loading

log = logging.getLogger(__name__)


class DocumentSide:
    """The document encoder of a leaf, which is loaded in the background while queries are already answered.

    Attributes:
        problem: Why documents cannot be encoded now; empty if they can.
        failed: Whether loading failed. The reason is in the log.
    """

    def __init__(self, encoder: Encoder) -> None:
        self._leaf = encoder if isinstance(encoder, LeafEncoder) and encoder.can_encode_documents else None
        self.problem = "" if self._leaf is None else "the document encoder is still being loaded; try again"
        self.failed = False

    async def start(self) -> None:
        """Begins to load; returns soon, loaded or not."""
        if self._leaf is not None:
            self._loading = asyncio.create_task(self._load(self._leaf))
            await asyncio.wait([self._loading], timeout=AT_HAND)

    async def _load(self, leaf: LeafEncoder) -> None:
        began = time.perf_counter()
        try:
            await asyncio.to_thread(lambda: leaf.document_encoder)
        except Exception as error:
            self.failed = True
            self.problem = "the document encoder could not be loaded; the server's log says why"
            shown = str(error) if isinstance(error, LeafEmbedError) else type(error).__name__
            log.error("the document encoder could not be loaded: %s", shown)
        else:
            self.problem = ""
            log.info("the document encoder is loaded (%.1f s)", time.perf_counter() - began)
