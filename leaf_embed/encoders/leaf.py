"""The leaf: queries through the student, documents through the teacher, one vector space."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from leaf_embed.canaries import LEAF_FLOOR, TEACHER_FLOOR, CanaryReport
from leaf_embed.encoders.base import BaseEncoder, Encoder
from leaf_embed.encoders.recent import RecentQueries
from leaf_embed.errors import InputError, NotALeafError
from leaf_embed.format import read_leaf
from leaf_embed.space import EmbeddingSpace, Role
from leaf_embed.vectors import FloatArray

if TYPE_CHECKING:
    from leaf_embed.encoders.transformer import SentenceTransformerEncoder

__all__ = ["DocumentMaker", "LeafEncoder", "load"]

DocumentMaker: TypeAlias = Callable[[EmbeddingSpace], Encoder]

QUERY_FILES = ["leaf.json", "tokenizer.json", "onnx/*"]


class LeafEncoder(BaseEncoder):
    """Pairs an encoder of queries with an encoder of documents.

    The document encoder is made on first use, so that a process which only asks questions never loads the teacher.
    When it is made, its space and its canaries are checked before its first vector is given out.
    """

    def __init__(self, query: Encoder, document: Encoder | Callable[[], Encoder] | None = None) -> None:
        """Pair two encoders.

        Args:
            query: The student.
            document: The teacher, or a function that loads it, or ``None`` for a leaf that encodes queries only.

        Raises:
            SpaceMismatchError: ``document`` is an encoder of another space.
        """
        self._query = query
        self._lock = threading.Lock()
        self._document: Encoder | None = None
        self._make_document: Callable[[], Encoder] | None = None
        if document is None or isinstance(document, Encoder):
            self._document = None if document is None else self._checked(document)
        else:
            self._make_document = document

    @property
    def space(self) -> EmbeddingSpace:
        return self._query.space

    @property
    def query_encoder(self) -> Encoder:
        """The student."""
        return self._query

    @property
    def can_encode_documents(self) -> bool:
        """Whether there is a document encoder, loaded or not."""
        return self._document is not None or self._make_document is not None

    @property
    def document_encoder(self) -> Encoder:
        """The teacher, loaded now if it was not before.

        Raises:
            InputError: The leaf was loaded for queries only.
            SpaceMismatchError: What was loaded is not the teacher of this leaf's space.
        """
        with self._lock:
            if self._document is None:
                if self._make_document is None:
                    raise InputError(
                        "this leaf was loaded for queries only, so it cannot encode documents. Load it with "
                        f"document='teacher' (teacher: {self.space.teacher}), or with document='leaf' to encode "
                        "documents by the leaf itself, which costs some quality."
                    )
                self._document = self._checked(self._make_document())
            return self._document

    def _checked(self, document: Encoder) -> Encoder:
        if document is self._query:
            return document
        self.space.require_same(
            document.space,
            mine="the leaf",
            theirs="the document encoder",
            advice="Use the teacher that the leaf was distilled from, with the same prompts.",
        )
        if self.space.canaries is not None:
            self.space.verify(document, floor=TEACHER_FLOOR, name="the document encoder")
        return document

    def verify(self) -> CanaryReport:
        """Prove with the space's canaries that the query side writes into the space.

        Raises:
            SpaceMismatchError: It does not.
            InputError: The space has no canaries.
        """
        return self.space.verify(self._query, floor=LEAF_FLOOR, name="the leaf")

    def _encode(self, texts: list[str], role: Role) -> FloatArray:
        if role == "query":
            return self._query.encode_query(texts)
        return self.document_encoder.encode_document(texts)


def load(
    path: str | os.PathLike[str],
    *,
    document: Literal["teacher", "leaf"] | Encoder | DocumentMaker | str | os.PathLike[str] | None = None,
    variant: Literal["auto", "int8", "float32", "float16", "torch"] = "auto",
    threads: int = 1,
    cache_size: int = 0,
    revision: str | None = None,
) -> LeafEncoder:
    """Open a leaf.

    Args:
        path: A leaf directory, or a hub id. From the hub only the query side's files are fetched.
        document: Who encodes documents. ``None``: nobody, the leaf answers queries only. ``"teacher"``: the teacher
            named in the space, loaded on first use. A path or hub id: the teacher from there. ``"leaf"``: the leaf
            itself (symmetric use). An :class:`Encoder`: that one. A function: makes it from the leaf's space when the
            first document comes.
        variant: ``"int8"``, ``"float32"``, ``"float16"`` (its weights), ``"auto"`` (int8 if it was exported, else
            float32), or ``"torch"``.
        threads: Threads of ONNX Runtime.
        cache_size: Number of query vectors kept in memory, for queries that come again; 0 keeps none.
        revision: Hub commit, branch or tag.

    Raises:
        NotALeafError: No leaf there.
        SpaceMismatchError: The document encoder is not the teacher of the leaf's space.
    """
    directory = _find(path, revision, whole=variant == "torch")
    query: Encoder
    if variant == "torch":
        from leaf_embed.encoders.transformer import SentenceTransformerEncoder

        read_leaf(directory)
        query = SentenceTransformerEncoder(directory)
    else:
        query = _open_leaf(directory, variant, threads)
    if cache_size:
        query = RecentQueries(query, cache_size)
    if document == "leaf":
        return LeafEncoder(query, query)
    if document is None or isinstance(document, Encoder):
        return LeafEncoder(query, document)
    if callable(document):
        make = document
        return LeafEncoder(query, lambda: make(query.space))
    source = query.space.teacher if document == "teacher" else os.fspath(document)
    return LeafEncoder(query, lambda: load_teacher(source, query.space))


def _open_leaf(directory: Path, variant: Literal["auto", "int8", "float32", "float16"], threads: int) -> Encoder:
    """The query side of a leaf, whatever its kind, without torch."""
    if read_leaf(directory).kind == "static":
        from leaf_embed.encoders.static import StaticEncoder

        return StaticEncoder(directory)
    from leaf_embed.encoders.onnx import OnnxEncoder

    return OnnxEncoder(directory, variant=variant, threads=threads)


def load_teacher(source: str, space: EmbeddingSpace) -> SentenceTransformerEncoder:
    """Load the teacher of a space, with the space's prompts and length.

    Raises:
        InputError: It cannot be loaded from ``source``.
    """
    from leaf_embed.encoders.transformer import SentenceTransformerEncoder

    try:
        return SentenceTransformerEncoder(
            source,
            query_prompt=space.query_prompt,
            document_prompt=space.document_prompt,
            max_tokens=space.max_tokens,
            dim=space.dim,
            revision=_commit(space),
        )
    except InputError as error:
        raise InputError(
            f"{error}\nIf the teacher lies elsewhere on this machine, name it: document='path'."
        ) from error


def _commit(space: EmbeddingSpace) -> str | None:
    """The hub commit that the space was made with; a digest of local files is none."""
    return None if space.revision is None or space.revision.startswith("sha256:") else space.revision


def _find(path: str | os.PathLike[str], revision: str | None, whole: bool) -> Path:
    """A local leaf directory, fetched from the hub if need be."""
    local = Path(path)
    if local.exists():
        return local
    if not isinstance(path, str) or not re.fullmatch(r"[\w.-]+/[\w.-]+", path):
        raise NotALeafError(f"there is no leaf at {path}; expected a leaf directory, or a hub id such as 'org/leaf'")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        found = Path(snapshot_download(path, revision=revision, allow_patterns=None if whole else QUERY_FILES))
        if not whole and read_leaf(found).kind == "static":  # its table is in the place of a graph
            snapshot_download(path, revision=revision, allow_patterns=["model.safetensors"])
        return found
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise NotALeafError(
            f"there is no directory {path}, and the hub did not give a leaf of this name ({error})"
        ) from error
