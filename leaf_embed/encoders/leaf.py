"""The leaf: queries through the student, documents through the teacher, one vector space."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from leaf_embed.canaries import TEACHER_FLOOR, CanaryReport
from leaf_embed.encoders.base import BaseEncoder, Counting, Encoder, count_tokens
from leaf_embed.encoders.hub import find_leaf
from leaf_embed.encoders.recent import RecentQueries
from leaf_embed.encoders.rotation import RotatedEncoder, Rotation
from leaf_embed.errors import InputError
from leaf_embed.format import LEAF_FILE, ROUTER_FILE, read_leaf
from leaf_embed.space import EmbeddingSpace
from leaf_embed.texts import Role
from leaf_embed.vectors import FloatArray

if TYPE_CHECKING:
    from leaf_embed.encoders.transformer import SentenceTransformerEncoder

__all__ = ["DocumentMaker", "LeafEncoder", "load"]

DocumentMaker: TypeAlias = Callable[[EmbeddingSpace], Encoder]
LeafVariant: TypeAlias = Literal["auto", "int8", "float32", "torch"]


class LeafEncoder(BaseEncoder):
    """Pairs an encoder of queries with an encoder of documents.

    The document encoder is made on first use, so that a process which only asks questions never loads the teacher.
    When it is made, its space and its canaries are checked before its first vector is given out.
    """

    def __init__(
        self,
        query: Encoder,
        document: Encoder | Callable[[], Encoder] | None = None,
        *,
        rotation: Rotation | None = None,
    ) -> None:
        """Pair two encoders.

        Args:
            query: The student.
            document: The teacher, or a function that loads it, or ``None`` for a leaf that encodes queries only.
            rotation: Of the leaf's space, if it is rotated; a teacher that is not rotated then is, as it comes.

        Raises:
            SpaceMismatchError: ``document`` is an encoder of another space.
        """
        self._query = query
        self.canary_cosines = getattr(query, "canary_cosines", {})
        self.rotation = rotation
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
    def teacher_space(self) -> EmbeddingSpace:
        """The space that the teacher itself writes into: the leaf's own, before any rotation and its truncation."""
        return self.space if self.rotation is None else self.rotation.plain(self.space)

    def turned(self, teacher: Encoder) -> Encoder:
        """A teacher of :attr:`teacher_space` as one of the leaf's space: rotated if the leaf is, else itself."""
        if self.rotation is None or teacher.space.rotation is not None:
            return teacher
        return RotatedEncoder(teacher, self.rotation, self.space.dim)

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
        document = self.turned(document)
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
        return self.space.verify_leaf(self._query)

    def count_tokens(self, texts: Sequence[str], role: Role) -> list[int]:
        """Tokens that the role's encoder reads of each text; by the leaf's tokenizer if the teacher has none to ask."""
        document = self._document if role == "document" else None
        return count_tokens(document if isinstance(document, Counting) else self._query, texts, role)

    def _encode(self, texts: list[str], role: Role) -> FloatArray:
        if role == "query":
            return self._query.encode_query(texts)
        return self.document_encoder.encode_document(texts)


def load(
    path: str | os.PathLike[str],
    *,
    document: Literal["teacher", "leaf"] | Encoder | DocumentMaker | str | os.PathLike[str] | None = None,
    variant: LeafVariant = "auto",
    threads: int = 1,
    cache_size: int = 0,
    revision: str | None = None,
    space: EmbeddingSpace | None = None,
) -> LeafEncoder:
    """Open a leaf.

    Args:
        path: A leaf directory, or a hub id. From the hub only the query side's files are fetched. Also a leaf that
            others published: one of :data:`leaf_embed.encoders.published.KNOWN_SPACES`, or with ``space`` any
            sentence-transformers model that is aligned with the document encoder.
        document: Who encodes documents. ``None``: nobody, the leaf answers queries only. ``"teacher"``: the teacher
            named in the space, loaded on first use. A path or hub id: the teacher from there. ``"leaf"``: the leaf
            itself (symmetric use). An :class:`Encoder`: that one. A function: makes it from the teacher's own space
            when the first document comes. If the leaf's space is rotated, the teacher's vectors are, too.
        variant: ``"int8"``, ``"float32"``, ``"auto"`` (int8 if it was exported, else float32), or ``"torch"``.
        threads: Threads of ONNX Runtime.
        cache_size: Number of query vectors kept in memory, for queries that come again; 0 keeps none.
        revision: Hub commit, branch or tag of the leaf; the teacher's is pinned in the space.
        space: The space that a directory without ``leaf.json`` writes into: the user's word, of which only size and
            norm can be checked. A leaf of ours knows its own, and refuses another.

    Raises:
        NotALeafError: No leaf there.
        SpaceMismatchError: The document encoder is not the teacher of the leaf's space.
    """
    directory = find_leaf(path, revision, variant)
    query = _open_query(directory, os.fspath(path), space, variant, threads)
    if cache_size:
        query = RecentQueries(query, cache_size)
    rotation = Rotation.load(directory, query.space)
    if document == "leaf":
        return LeafEncoder(query, query, rotation=rotation)
    if document is None or isinstance(document, Encoder):
        return LeafEncoder(query, document, rotation=rotation)
    if callable(document):
        make = document
    else:
        source = query.space.teacher if document == "teacher" else os.fspath(document)

        def make(space: EmbeddingSpace) -> Encoder:
            return load_teacher(source, space)

    leaf = LeafEncoder(query, lambda: make(leaf.teacher_space), rotation=rotation)
    return leaf


def _open_query(
    directory: Path, name: str, space: EmbeddingSpace | None, variant: LeafVariant, threads: int
) -> Encoder:
    """The query side of a leaf, whatever its kind; without torch, unless it is asked for or there is no graph."""
    if not (directory / LEAF_FILE).is_file() and (directory / "modules.json").is_file():
        from leaf_embed.encoders.published import known_space, open_published

        declared = space or known_space(name)
        if declared is not None:
            return open_published(directory, declared, variant, threads)
    info = read_leaf(directory)
    if space is not None:
        info.space.require_same(space, mine="the leaf", theirs="the declared space", advice="Leave space= out.")
    if (directory / ROUTER_FILE).is_file():
        from leaf_embed.encoders.published import open_published

        return open_published(directory, info.space, variant, threads, info)
    if variant == "torch":
        from leaf_embed.encoders.transformer import SentenceTransformerEncoder

        return SentenceTransformerEncoder(directory)
    if info.kind == "static":
        from leaf_embed.encoders.static import StaticEncoder

        return StaticEncoder(directory)
    from leaf_embed.encoders.onnx import OnnxEncoder

    return OnnxEncoder(directory, variant=variant, threads=threads)


def load_teacher(source: str, space: EmbeddingSpace) -> SentenceTransformerEncoder:
    """Load the teacher of a space, with the space's prompts, length, size and revision.

    A space without canaries was declared, and so is its teacher: what can be seen of it is checked, its revision is
    the one that was asked for.

    Raises:
        InputError: It cannot be loaded from ``source``, or its vectors are not those of the declared space.
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
            space=space if space.canaries is None else None,
        )
    except InputError as error:
        raise InputError(
            f"{error}\nIf the teacher lies elsewhere on this machine, name it: document='path'. If it is an API or a "
            "function of yours, give a function: document=lambda space: FunctionEncoder(space, document=embed)."
        ) from error


def _commit(space: EmbeddingSpace) -> str | None:
    """The hub commit that the space was made with; a digest of local files is none."""
    return None if space.revision is None or space.revision.startswith("sha256:") else space.revision
