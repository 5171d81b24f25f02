"""The vectors of a set: each text is encoded once, into files that are read block by block."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from leaf_embed import vectors
from leaf_embed._files import writing
from leaf_embed.encoders.base import Encoder
from leaf_embed.errors import VectorError
from leaf_embed.evaluation.alignment import CosineCounter
from leaf_embed.evaluation.beir import RetrievalSet
from leaf_embed.progress import Progress, no_progress
from leaf_embed.texts import Role
from leaf_embed.vectors import FloatArray

__all__ = ["EncodedSet", "encode_set", "encode_texts"]

ENCODE_BLOCK = 1024  # texts between two progress reports; also bounds what an encoder tokenizes at a time


@dataclass(frozen=True, eq=False)
class EncodedSet:
    """A set with the vectors of both encoders.

    Attributes:
        dataset: The set.
        leaf_queries: Shape ``(queries, dim)``, float32, as are the others.
        teacher_queries: Shape ``(queries, dim)``.
        leaf_documents: Shape ``(documents, dim)``, memory-mapped.
        teacher_documents: Shape ``(documents, dim)``, memory-mapped.
        cosines: Leaf against teacher, of the queries and of the documents.

    A text without content, such as an empty one, may have a vector of zeros: its cosine with everything is 0.
    """

    dataset: RetrievalSet
    leaf_queries: FloatArray
    teacher_queries: FloatArray
    leaf_documents: FloatArray
    teacher_documents: FloatArray
    cosines: tuple[CosineCounter, CosineCounter]

    @property
    def zeros(self) -> dict[str, int]:
        """The number of vectors of zeros, by the words of a report; without those that are 0."""
        matrices = {
            "queries with a zero vector of the leaf": self.leaf_queries,
            "queries with a zero vector of the teacher": self.teacher_queries,
            "documents with a zero vector of the leaf": self.leaf_documents,
            "documents with a zero vector of the teacher": self.teacher_documents,
        }
        return {what: count for what, matrix in matrices.items() if (count := _zeros(matrix))}


@contextmanager
def encode_set(
    student: Encoder, teacher: Encoder, dataset: RetrievalSet, progress: Progress = no_progress
) -> Iterator[EncodedSet]:
    """Encodes every text of a set once, by both encoders; the files are removed when the block ends.

    Args:
        student: Encodes both sides.
        teacher: Encodes both sides.
        dataset: Its documents may be read lazily.
        progress: Called after each block of texts; its stage names the set, the side and the encoder.

    Raises:
        VectorError: An encoder returned something that is no vector; the message names it and the text's id.
    """
    roles = (("queries", dataset.queries, dataset.query_ids), ("documents", dataset.documents, dataset.document_ids))
    with tempfile.TemporaryDirectory(prefix="leaf-embed-") as directory:
        found: dict[str, FloatArray] = {}
        for what, texts, ids in roles:
            for who, encoder in (("leaf", student), ("teacher", teacher)):
                encode = encoder.encode_query if what == "queries" else encoder.encode_document
                name, label = f"{who}_{what}", f"{dataset.name}: {what}, {who}"
                file = _File(Path(directory) / f"{name}.npy", (len(texts), encoder.space.dim))
                found[name] = _encode(file, encode, texts, ids, label, progress)
        queries, documents = CosineCounter("query"), CosineCounter("document")
        _count(queries, dataset.queries, found["leaf_queries"], found["teacher_queries"])
        _count(documents, dataset.documents, found["leaf_documents"], found["teacher_documents"])
        yield EncodedSet(dataset, **found, cosines=(queries, documents))
        found.clear()  # before the files go: Windows does not remove a mapped one


@dataclass(frozen=True)
class _File:
    path: Path
    shape: tuple[int, int]

    def open(self) -> FloatArray:
        with writing(self.path):
            matrix: FloatArray = np.lib.format.open_memmap(self.path, mode="w+", dtype=np.float32, shape=self.shape)
            if hasattr(os, "posix_fallocate") and matrix.nbytes:  # a mapped file on a full disk ends the process
                with self.path.open("rb+") as stream:
                    os.posix_fallocate(stream.fileno(), 0, self.path.stat().st_size)
        return matrix


def _encode(
    file: _File,
    encode: Callable[[Sequence[str]], FloatArray],
    texts: Sequence[str],
    ids: Sequence[str],
    label: str,
    progress: Progress,
) -> FloatArray:
    """Vectors of all texts, shape ``(n, dim)``, a block at a time."""
    matrix = file.open()
    for start in range(0, len(texts), ENCODE_BLOCK):
        block = slice(start, start + ENCODE_BLOCK)
        rows = vectors.as_vectors(encode(texts[block]), file.shape[1], source=label, ids=ids[block], zeros=True)
        matrix[block] = rows
        progress(label, min(start + ENCODE_BLOCK, len(texts)), len(texts), "")
    if len(texts) and _zeros(matrix) == len(texts):
        raise VectorError(f"vectors from {label} hold only zeros for all {len(texts)} texts; is the model whole?")
    return matrix


class _Texts(Protocol):
    @property
    def ids(self) -> Sequence[str]: ...
    @property
    def texts(self) -> Sequence[str]: ...


def encode_texts(
    encoder: Encoder, role: Role, given: _Texts, path: Path, label: str, progress: Progress = no_progress
) -> FloatArray:
    """Encodes texts of one role into a file, a block at a time.

    Args:
        encoder: Encodes them.
        role: ``"query"`` or ``"document"``.
        given: The texts, with their ids for messages.
        path: Of the file, a .npy.
        label: Names encoder and texts, in progress and messages.
        progress: Called after each block.

    Returns:
        Shape ``(texts, dim)``, float32, memory-mapped.

    Raises:
        VectorError: The encoder returned something that is no vector.
    """
    encode = encoder.encode_query if role == "query" else encoder.encode_document
    return _encode(_File(path, (len(given.texts), encoder.space.dim)), encode, given.texts, given.ids, label, progress)


def _zeros(matrix: FloatArray) -> int:
    """The number of rows of zeros, counted block by block."""
    starts = range(0, len(matrix), ENCODE_BLOCK)
    return sum(int((~matrix[start : start + ENCODE_BLOCK].any(axis=1)).sum()) for start in starts)


def _count(counter: CosineCounter, texts: Sequence[str], leaf: FloatArray, teacher: FloatArray) -> None:
    for start in range(0, len(texts), ENCODE_BLOCK):
        block = slice(start, start + ENCODE_BLOCK)
        counter.add(texts[block], leaf[block], teacher[block])
