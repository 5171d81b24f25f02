"""A leaf as a model of mteb 2.x, so that any of its tasks runs on it unchanged. Needs the extra ``mteb``.

    model = MtebEncoder(leaf_embed.load("my-leaf", document="teacher"), "me/my-leaf")
    mteb.evaluate(model, mteb.get_tasks(["SciFact", "STSBenchmark"]))

In retrieval mteb passes the role of every text: queries are embedded by the leaf, documents
by the teacher. Tasks with one kind of text (STS, classification, clustering) are the leaf's alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leaf_embed import vectors
from leaf_embed._extras import require
from leaf_embed.canaries import CANARY_TEXTS
from leaf_embed.encoders.base import Encoder
from leaf_embed.encoders.leaf import LeafEncoder
from leaf_embed.errors import InputError
from leaf_embed.vectors import FloatArray

__all__ = ["MtebEncoder"]

DIGITS = 4  # of a vector's values: less than training changes, more than threads do


class MtebEncoder:
    """An ``mteb.EncoderProtocol`` around any encoder of ours.

    Prompts are those of the space, whatever instruction a task brings: a leaf imitates its teacher under these alone.
    """

    def __init__(self, encoder: Encoder, name: str, *, revision: str | None = None) -> None:
        """Wrap an encoder.

        Args:
            encoder: A :class:`LeafEncoder` with a document side, a teacher, or a leaf alone.
            name: Under which mteb files the results, ``"organisation/model"``.
            revision: Of the model; mteb keeps results of different revisions apart. Default: the fingerprint of the
                space and a digest of what the encoder computes, so that a leaf that was trained again, or another
                variant of it, is measured again.

        Raises:
            MissingExtraError: The extra ``mteb`` is not installed.
            InputError: A name without a slash, which mteb would refuse.
        """
        if "/" not in name:
            raise InputError(f"mteb wants a name such as 'organisation/model'; got {name!r}")
        meta = require("mteb.models.model_meta", "mteb", "A model for mteb")
        self._encoder = encoder
        space = encoder.space
        self.mteb_model_meta: Any = meta.ModelMeta.create_empty(
            overwrites={
                "name": name,
                "revision": revision or f"{space.fingerprint}-{_digest(encoder)}",
                "embed_dim": space.dim,
                "max_tokens": space.max_tokens,
                "similarity_fn_name": meta.ScoringFunction.COSINE,
                "use_instructions": bool(space.query_prompt or space.document_prompt),
            }
        )

    def encode(self, inputs: Iterable[Mapping[str, Any]], *, prompt_type: Any = None, **_: Any) -> NDArray[np.float32]:
        """Vectors of batches ``{"text": [...]}``, shape ``(n, dim)``, float32.

        Args:
            inputs: mteb's data loader.
            prompt_type: ``"query"``, ``"document"``, or ``None`` for texts that are neither.

        Raises:
            InputError: Batches without text, as of image tasks; or documents for a leaf loaded for queries only.
        """
        role = None if prompt_type is None else str(getattr(prompt_type, "value", prompt_type))
        found = [self._encode_batch(batch, role) for batch in inputs]
        return np.concatenate(found) if found else np.empty((0, self._encoder.space.dim), dtype=np.float32)

    def _encode_batch(self, batch: Mapping[str, Any], role: str | None) -> FloatArray:
        if "text" not in batch:
            raise InputError(
                f"a leaf embeds text; the task brought {', '.join(batch) or 'nothing'}. Choose a text task"
            )
        texts = list(batch["text"])
        if role == "document":
            return self._encoder.encode_document(texts)
        if role is None and isinstance(self._encoder, LeafEncoder):
            return self._encoder.query_encoder.encode_query(texts)
        return self._encoder.encode_query(texts)

    def similarity(self, embeddings1: Any, embeddings2: Any) -> Any:
        """Cosine of every row with every row, shape ``(n, m)``, as a torch tensor, which is what mteb sorts."""
        torch = require("torch", "mteb", "mteb's ranking")
        left, right = (vectors.normalize(np.atleast_2d(np.asarray(rows))) for rows in (embeddings1, embeddings2))
        return torch.from_numpy(left @ right.T)

    def similarity_pairwise(self, embeddings1: Any, embeddings2: Any) -> Any:
        """Cosine of each row with the same row, shape ``(n,)``, as a torch tensor."""
        torch = require("torch", "mteb", "mteb's ranking")
        return torch.from_numpy(np.atleast_1d(vectors.cosine(np.asarray(embeddings1), np.asarray(embeddings2))))


def _digest(encoder: Encoder) -> str:
    """16 hexadecimal digits of an encoder's vectors of the canary texts, and of who encodes documents.

    The teacher itself is not loaded for it: the fingerprint says which one it is.
    """
    rows = encoder.encode_query([text for _, text in CANARY_TEXTS])
    found = hashlib.sha256(np.round(np.asarray(rows, dtype=np.float64), DIGITS).tobytes())
    if isinstance(encoder, LeafEncoder):
        found.update(b"leaf" if encoder.is_symmetric else b"teacher" if encoder.can_encode_documents else b"nobody")
    return found.hexdigest()[:16]
