"""Opening leaves and their teachers, from a directory or from the hub."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from leaf_embed.encoders.base import Encoder
from leaf_embed.encoders.checks import check_callable, check_kind, check_path, check_text, check_whole, is_one_of
from leaf_embed.encoders.hub import find_leaf
from leaf_embed.encoders.leaf import DocumentMaker, LeafEncoder
from leaf_embed.encoders.rotation import Rotation
from leaf_embed.encoders.torch_models import IN_MEMORY, Loading, weights_digest
from leaf_embed.errors import InputError
from leaf_embed.format import ROUTER_FILE, LeafInfo, Variant, graphs_for, read_leaf
from leaf_embed.space import EmbeddingSpace
from leaf_embed.vectors import FloatArray

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from leaf_embed.encoders.transformer import SentenceTransformerEncoder

__all__ = ["DocumentSource", "LeafSource", "Variant", "encode_lists", "load", "load_teacher", "open_leaf"]

LeafSource: TypeAlias = "str | os.PathLike[str] | Encoder"
DocumentSource: TypeAlias = "Encoder | DocumentMaker | SentenceTransformer | str | os.PathLike[str] | None"


def load(
    path: str | os.PathLike[str],
    *,
    document: DocumentSource = None,
    variant: Variant = "auto",
    threads: int = 1,
    revision: str | None = None,
    space: EmbeddingSpace | None = None,
    loading: Loading | None = None,
) -> LeafEncoder:
    """Opens a leaf.

    Args:
        path: A leaf directory, or a hub id. From the hub only the files of the query side are fetched. Also a leaf that
            others published: one of :data:`leaf_embed.encoders.published.KNOWN_SPACES`, or with ``space`` any
            sentence-transformers model that is aligned with the document encoder.
        document: The document encoder. ``None`` loads none, so only queries can be encoded. ``"teacher"`` is the
            teacher named in the space, loaded on first use; a path or hub id is the teacher from there; ``"leaf"`` is
            the leaf itself (symmetric use). Or an :class:`Encoder`, or a function that makes one from the teacher's
            own space when the first document comes, or a ``SentenceTransformer``. If the leaf's space is rotated, the
            teacher's vectors are too.
        variant: The graph to run: ``"int8"``, ``"float32"``, or ``"auto"`` (int8 if it was exported, else float32);
            ``"torch"`` runs the model itself.
        threads: Threads of ONNX Runtime.
        revision: Hub commit, branch or tag of the leaf; the teacher's is pinned in the space.
        space: The space of a directory without ``leaf.json``, as declared by the user: only its dimensions and norm
            can be checked. With a ``leaf.json`` it must be the same space.
        loading: How torch loads the teacher, and the leaf with ``variant="torch"``: dtype, attention, code that comes
            with the model, and further options of ``SentenceTransformer``.

    Returns:
        The leaf; its vectors are float32, of unit norm if the space has it.

    Raises:
        NotALeafError: There is no leaf at ``path``, or its files are damaged.
        InputError: An option that cannot be used, or vectors that do not fit the declared space.
        SpaceMismatchError: The document encoder is not the teacher of the leaf's space.
    """
    check_path("a leaf", path)
    check_whole("threads", threads)
    check_text("revision", revision, optional=True)
    check_kind("space", space, EmbeddingSpace, optional=True)
    check_kind("loading", loading, Loading, optional=True)
    document = _checked_source(document)
    if not is_one_of(variant, ("torch",)):
        graphs_for(variant)  # refuses an unknown one before anything is fetched
    directory, info = find_leaf(path, revision, variant)
    query = _open_query(directory, info, os.fspath(path), space, variant, threads, loading)
    rotation = Rotation.load(directory, query.space)
    if is_one_of(document, ("leaf",)):
        return LeafEncoder(query, query, rotation=rotation)
    if document is None or isinstance(document, Encoder):
        return LeafEncoder(query, document, rotation=rotation)
    own = query.space if rotation is None else rotation.plain(query.space)
    if callable(document) and not is_model(document):
        return LeafEncoder(query, partial(document, own), rotation=rotation)
    source: Any = own.teacher if is_one_of(document, ("teacher",)) else document
    return LeafEncoder(query, partial(load_teacher, source, own, loading), rotation=rotation)


def _checked_source(document: Any) -> DocumentSource:
    """Returns where documents' vectors come from, if it is anything that can say that."""
    if document is not None and not isinstance(document, Encoder) and not callable(document):
        check_path("document", document)
    found: DocumentSource = document
    return found


def is_model(value: object) -> bool:
    """Returns whether a value is a ``SentenceTransformer``, without loading torch to know."""
    module = sys.modules.get("sentence_transformers")
    return module is not None and isinstance(value, module.SentenceTransformer)


def _open_query(
    directory: Path,
    info: LeafInfo | None,
    name: str,
    space: EmbeddingSpace | None,
    variant: Variant,
    threads: int,
    loading: Loading | None,
) -> Encoder:
    """The query side of any kind of leaf; without torch, unless it is asked for or there is no graph."""
    if info is None and (directory / "modules.json").is_file():
        from leaf_embed.encoders.published import known_space, open_published

        declared = space or known_space(name)
        if declared is not None:
            return open_published(directory, declared, variant, threads)
    info = info or read_leaf(directory)  # raises: there is no leaf.json
    if space is not None:
        info.space.require_same(space, mine="the leaf", theirs="the declared space", advice="Leave space= out.")
    if (directory / ROUTER_FILE).is_file():
        from leaf_embed.encoders.published import open_published

        return open_published(directory, info.space, variant, threads, info)
    if variant == "torch":
        from leaf_embed.encoders.transformer import SentenceTransformerEncoder

        encoder = SentenceTransformerEncoder(directory, loading=replace(loading or Loading(), space=info.space))
        encoder.record = info.record
        return encoder
    if not info.needs_graph:
        from leaf_embed.encoders.static import StaticEncoder

        return StaticEncoder(directory, info=info)
    from leaf_embed.encoders.onnx import OnnxEncoder

    return OnnxEncoder(directory, variant=variant, threads=threads, info=info)


def load_teacher(
    source: str | os.PathLike[str] | SentenceTransformer, space: EmbeddingSpace, loading: Loading | None = None
) -> SentenceTransformerEncoder:
    """Loads the teacher of a space, with the prompts, length, dimensions and revision that the space names.

    A space without canaries was declared by the user, and its teacher is taken to write into it once its dimensions
    and norm are checked. A teacher that was a model in memory is known by its weights, wherever they lie now.

    Args:
        source: Directory or hub id of the teacher, or the model itself.
        space: The teacher's own space, not rotated.
        loading: How to load it; revision, dimensions and space are taken from ``space``.

    Raises:
        MissingExtraError: The extra ``train`` is not installed.
        InputError: It cannot be loaded from ``source``, or its vectors are not those of the declared space.
    """
    from leaf_embed.encoders.transformer import SentenceTransformerEncoder

    check_kind("space", space, EmbeddingSpace)
    check_kind("loading", loading, Loading, optional=True)
    if not is_model(source):
        check_path("a teacher", source)
    if is_one_of(source, (IN_MEMORY,)):
        raise InputError(
            "the teacher of this leaf was a model in memory that came from no directory, so it cannot be loaded by its "
            "name. Give the model itself, load(..., document=model); or save it, model.save_pretrained('teacher'), and "
            "load(..., document='teacher directory'): it is recognised by its weights. To make the next leaf find its "
            "teacher, distil from the saved directory"
        )
    by_digest = (space.revision or "").startswith("sha256:")  # of local files or of weights, so no hub commit
    chosen = loading or Loading()
    revision = chosen.revision or (None if by_digest else space.revision)
    declared = space if space.canaries is None else None
    try:
        found = SentenceTransformerEncoder(
            source,
            query_prompt=space.query_prompt,
            document_prompt=space.document_prompt,
            max_tokens=space.max_tokens,
            loading=replace(chosen, revision=revision, dim=space.dim, space=declared),
        )
    except InputError as error:
        raise InputError(
            f"{error}\nIf the teacher lies elsewhere on this machine, name it: document='path'. If it is an API or a "
            "function of yours, give a function: document=lambda space: FunctionEncoder(space, document=embed)."
        ) from error
    if by_digest and found.space.revision != space.revision and weights_digest(found.model) == space.revision:
        found.rename(space)
    return found


def open_leaf(
    leaf: LeafSource,
    *,
    document: DocumentSource = "teacher",
    variant: Variant = "auto",
    threads: int = 1,
    revision: str | None = None,
    loading: Loading | None = None,
) -> Encoder:
    """Opens a leaf, or returns one that is open; the way in for integrations.

    Args:
        leaf: A leaf directory, a hub id, or an encoder such as :func:`load` returns.
        document: As for :func:`load`. With an encoder, only a function that makes the document encoder.
        variant: The graph to run; like the next two only for a leaf that is loaded here.
        threads: Threads of ONNX Runtime.
        revision: Hub commit, branch or tag.
        loading: How torch loads the teacher.

    Raises:
        NotALeafError: There is no leaf.
        InputError: An encoder came together with an option of loading.
        SpaceMismatchError: ``document`` does not belong to the leaf's space.
    """
    if not isinstance(leaf, Encoder):
        more: dict[str, Any] = {} if loading is None else {"loading": loading}
        return load(leaf, document=document, variant=variant, threads=threads, revision=revision, **more)
    made_here = callable(document) and not isinstance(document, Encoder) and not is_model(document)
    given_here = is_one_of(variant, ("auto",)) and threads == 1 and revision is None and loading is None
    if not given_here or not (made_here or is_one_of(document, ("teacher",))):
        raise InputError(
            "document, variant, threads, revision and loading say how to load a leaf, but an encoder came that is "
            "loaded. Give the leaf's path, or give them to leaf_embed.load(...) and its result here."
        )
    if not made_here:
        return leaf
    make: Any = document
    if isinstance(leaf, LeafEncoder):
        return LeafEncoder(leaf.query_encoder, partial(make, leaf.teacher_space), rotation=leaf.rotation)
    return LeafEncoder(leaf, partial(make, leaf.space))


def encode_lists(
    encode: Callable[[list[str]], FloatArray], texts: Sequence[str], *, batch_size: int = 1024, progress: bool = False
) -> list[list[float]]:
    """Encodes texts to lists of Python floats, which frameworks expect: ``dim`` floats per text.

    Args:
        encode: ``encode_query`` or ``encode_document`` of an encoder.
        texts: The texts.
        batch_size: Texts per call.
        progress: Whether to draw a bar on standard error.

    Raises:
        InputError: One text instead of several, or a batch size below 1.
    """
    if isinstance(texts, str):
        raise InputError("expected a list of texts; got one text. Use [text], or the method for a query")
    if not isinstance(texts, Sequence):
        raise InputError(f"expected a list of texts; got {type(texts).__name__}")
    check_callable("encode", encode)
    check_whole("batch_size", batch_size)
    from rich.console import Console
    from rich.progress import track

    rows: list[list[float]] = []
    starts = range(0, len(texts), batch_size)
    for start in track(starts, "embedding", console=Console(stderr=True), disable=not progress):
        rows.extend(encode(list(texts[start : start + batch_size])).tolist())
    return rows
