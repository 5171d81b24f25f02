"""Whether vectors of unknown origin are of a collection's space, judged by a random sample of every batch.

The leaf encodes the sampled texts. Its cosine with the teacher's vectors is far above 0, and about 0 with another
model's, but a single honest text may be one that the leaf knows nothing of. So a vector near 0 is compared with the
document encoder's where there is one; where there is none, one of the kind is reported, and several are refused.
"""

from __future__ import annotations

import math
import random
import threading
import warnings
from collections import deque
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from leaf_embed import vectors
from leaf_embed.encoders.base import Encoder
from leaf_embed.errors import InputError, LeafEmbedError, SpaceMismatchError, VectorError
from leaf_embed.qdrant.schema.documents import Document, StoredDocument

__all__ = ["Voucher"]

WINDOW = 8  # cosines that the mean is taken of, at least
SHARE = 32  # one document of so many is compared
MOST = 64  # documents of one batch that are compared
DEVIATIONS = 3.0  # the cosine of two unrelated directions has a standard deviation of 1 / sqrt(dim)
LEAST = 0.15  # vectors of one model lean to one side, and are not as far from another model's as directions at random
ASKED = 4  # documents that the document encoder is asked for at once


class Voucher:
    """Compares samples of batches with a leaf, and remembers the last cosines, so that small batches can be judged.

    Args:
        leaf: The leaf; its document encoder, if it has one, settles doubts.
        name: Name of the collection.
        floor: Mean cosine with the leaf below which vectors are not of its space.
    """

    def __init__(self, leaf: Encoder, name: str, floor: float) -> None:
        self._leaf, self._name, self._floor = leaf, name, floor
        self._least = min(floor, max(LEAST, DEVIATIONS / math.sqrt(leaf.space.dim)))
        self._recent: deque[float] = deque(maxlen=WINDOW)
        self._dice = random.Random()
        self._lock = threading.Lock()

    def check(self, documents: Sequence[StoredDocument], sample: int | None = None) -> None:
        """Judges a batch; documents without a vector are skipped.

        Args:
            documents: The batch.
            sample: Documents to compare; by default one of 32, at least 2, and at least 8 of the first batches.

        Raises:
            InputError: A value that is no document, or no size of a sample.
            SpaceMismatchError: The sample's mean, or single vectors of it, are those of another model.
            VectorError: A vector has another size than the space.
        """
        known = [document for document in _checked(documents) if document.vector is not None]
        if sample is not None and (isinstance(sample, bool) or not isinstance(sample, int) or sample < 1):
            raise InputError(f"sample must be a whole number of at least 1; got {sample!r:.80}")
        if not known:
            return
        with self._lock:
            least = 2 if len(self._recent) == WINDOW else WINDOW
            size = min(MOST, max(least, math.ceil(len(known) / SHARE))) if sample is None else sample
            chosen = self._dice.sample(known, min(size, len(known)))
            self._judge(chosen, self._cosines(chosen))

    def _judge(self, chosen: list[StoredDocument], cosines: list[float]) -> None:
        doubtful = [place for place, cosine in enumerate(cosines) if cosine < self._least]
        answered = self._asked([chosen[place] for place in doubtful[:ASKED]])
        for place, cosine in zip(doubtful, answered, strict=False):
            cosines[place] = cosine
        before = list(self._recent)[max(0, len(self._recent) + len(cosines) - WINDOW) :]
        window = [*before, *cosines]
        foreign = [place for place in doubtful if cosines[place] < self._least]
        mean = float(np.mean(window))
        if mean < self._floor or (foreign and (answered or sum(c < self._least for c in window) > 1)):
            worst = min(range(len(cosines)), key=cosines.__getitem__)
            raise SpaceMismatchError(
                f"the vectors are not of the space of the collection {self._name!r}, {self._leaf.space.describe()}: "
                f"{len(cosines)} of them drawn at random have a mean cosine of {np.mean(cosines):.3f} with the leaf's "
                f"vectors of the same texts, {chosen[worst].id!r:.80} the lowest, {cosines[worst]:.3f}; an unrelated "
                f"model has about 0, the teacher above {self._floor:.2g}. Embed the documents by the leaf's own "
                "teacher. Nothing of this batch was written."
            )
        self._recent.extend(cosines)
        if foreign:
            warnings.warn(
                f"the vector of {chosen[foreign[0]].id!r:.80} has a cosine of {cosines[foreign[0]]:.3f} with the "
                f"leaf's of the same text, and no document encoder is here that could vouch for it: the collection "
                f"{self._name!r} takes it, since the others are of its space. Open it with the leaf's teacher to know.",
                UserWarning,
                stacklevel=4,
            )

    def _cosines(self, documents: list[StoredDocument]) -> list[float]:
        texts = [document.embedded_text for document in documents]
        return self._with(documents, vectors.as_vectors(self._leaf.encode_query(texts), source="the leaf"))

    def _asked(self, documents: list[StoredDocument]) -> list[float]:
        """Returns the cosines with the document encoder's vectors; empty if there is none that answers."""
        if not documents or not getattr(self._leaf, "can_encode_documents", True):
            return []
        try:
            mine = self._leaf.encode_document([document.embedded_text for document in documents])
            return self._with(documents, vectors.as_vectors(mine, source="the document encoder"))
        except VectorError:
            raise
        except LeafEmbedError:  # a teacher that is not installed here, or does not answer
            return []

    def _with(self, documents: list[StoredDocument], mine: vectors.FloatArray) -> list[float]:
        rows = [document.vector for document in documents if document.vector is not None]
        given = vectors.as_vectors(rows, self._leaf.space.dim, source="the caller")
        return list(map(float, vectors.cosine(mine, given)))


def _checked(documents: Sequence[Document]) -> list[StoredDocument]:
    """Returns the documents that may have a vector."""
    if isinstance(documents, str | bytes | Mapping) or not isinstance(documents, Iterable):
        raise InputError(f"expected a list of documents; got a single {type(documents).__name__}")
    found = list(documents)
    for value in found:
        if not isinstance(value, Document):
            raise InputError(
                f"expected Documents with vectors, from Document(...).with_vector(...); got {type(value).__name__}"
            )
    return [document for document in found if isinstance(document, StoredDocument)]
