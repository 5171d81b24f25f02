"""Training on: a leaf as the student of its own teacher keeps the head it has, turned back into the teacher's space."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leaf_embed.distill.rotation import fold
from leaf_embed.distill.student import choose_layers, hidden_widths
from leaf_embed.encoders.rotation import Rotation
from leaf_embed.format import LEAF_FILE, read_leaf
from leaf_embed.space import EmbeddingSpace

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

__all__ = ["inherited_student"]


def inherited_student(
    source: str | os.PathLike[str] | SentenceTransformer,
    space: EmbeddingSpace,
    layers: int | Sequence[int] | None,
    head: Sequence[int] = (),
) -> SentenceTransformer | None:
    """A leaf, writing into the teacher's own space; ``None`` if the student has to be built and started anew.

    It is taken whole if the source is the directory of a leaf of the same teacher, all of its layers stay, no other
    head is wanted, and nothing but the head lies between pooling and vector: the student begins exactly as that leaf.

    Args:
        source: Where the student comes from.
        space: The teacher's own space, not rotated.
        layers: Which layers the student keeps; see :func:`leaf_embed.distill.student.choose_layers`.
        head: Widths of the hidden layers that are wanted; none for those that there are.

    Raises:
        NotALeafError: The leaf's files are damaged.
        SpaceMismatchError: Its rotation is another than its space names.
        InputError: No such layers.
    """
    from sentence_transformers import SentenceTransformer

    if isinstance(source, SentenceTransformer) or not (Path(source) / LEAF_FILE).is_file():
        return None
    known = read_leaf(source).space
    rotation = Rotation.load(source, known)
    plain = rotation.plain(known) if rotation else known
    if plain.fingerprint != space.fingerprint:
        return None
    model = SentenceTransformer(os.fspath(source), device="cpu")
    kinds = [type(module).__name__ for module in model if not hasattr(module, "linear")]
    if kinds[:2] != ["Transformer", "Pooling"] or kinds[2:] not in ([], ["Normalize"]):
        return None
    first: Any = model[0]
    total = int(first.auto_model.config.num_hidden_layers)
    if len(choose_layers(total, layers)) < total or tuple(head) not in ((), hidden_widths(model)):
        return None
    if rotation:
        fold(model, Rotation(rotation.matrix.T))
    return model
