"""What every integration does: open a leaf or take one that is open, and give out lists of floats."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from leaf_embed.encoders.base import Encoder
from leaf_embed.encoders.leaf import DocumentMaker, LeafEncoder, load
from leaf_embed.errors import InputError
from leaf_embed.vectors import FloatArray

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["DocumentSource", "LeafSource", "Variant", "encode_lists", "open_leaf"]

LeafSource: TypeAlias = "str | os.PathLike[str] | Encoder"
DocumentSource: TypeAlias = "Encoder | DocumentMaker | str | os.PathLike[str] | None"
Variant: TypeAlias = Literal["auto", "int8", "float32", "torch"]


def open_leaf(
    leaf: LeafSource,
    *,
    document: DocumentSource = "teacher",
    variant: Variant = "auto",
    threads: int = 1,
    revision: str | None = None,
) -> Encoder:
    """Open a leaf, or take one that is open.

    Args:
        leaf: A leaf directory, a hub id, or an encoder such as what :func:`leaf_embed.load` gives.
        document: As for :func:`leaf_embed.load`. Beside an encoder only a function that makes the document encoder.
        variant: Graph to run; like the next two for a leaf that is loaded here.
        threads: Threads of ONNX Runtime.
        revision: Hub commit, branch or tag.

    Raises:
        NotALeafError: There is no leaf.
        InputError: An encoder came together with an option of loading.
        SpaceMismatchError: ``document`` does not belong to the leaf's space.
    """
    if not isinstance(leaf, Encoder):
        return load(leaf, document=document, variant=variant, threads=threads, revision=revision)
    made_here = callable(document) and not isinstance(document, Encoder)
    if (variant, threads, revision) != ("auto", 1, None) or not (made_here or document == "teacher"):
        raise InputError(
            "document, variant, threads and revision say how to load a leaf, but an encoder came that is loaded. "
            "Give the leaf's path, or give them to leaf_embed.load(...) and its result here."
        )
    if not made_here:
        return leaf
    make: Any = document
    if isinstance(leaf, LeafEncoder):
        return LeafEncoder(leaf.query_encoder, lambda: make(leaf.teacher_space), rotation=leaf.rotation)
    return LeafEncoder(leaf, lambda: make(leaf.space))


def encode_lists(
    encode: Callable[[list[str]], FloatArray], texts: Sequence[str], *, batch_size: int = 1024, progress: bool = False
) -> list[list[float]]:
    """Vectors as lists of Python floats, which frameworks expect; ``dim`` of them a text.

    Args:
        encode: ``encode_query`` or ``encode_document`` of an encoder.
        texts: Texts.
        batch_size: Texts of one call.
        progress: Whether to draw a bar on standard error.

    Raises:
        InputError: One text instead of several, or a batch size below 1.
    """
    if isinstance(texts, str):
        raise InputError("expected a list of texts; got one text. Use [text], or the method for a query")
    if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
        raise InputError(f"batch_size must be a whole number of at least 1; got {batch_size!r}")
    from rich.console import Console
    from rich.progress import track

    rows: list[list[float]] = []
    starts = range(0, len(texts), batch_size)
    for start in track(starts, "embedding", console=Console(stderr=True), disable=not progress):
        rows.extend(encode(list(texts[start : start + batch_size])).tolist())
    return rows
