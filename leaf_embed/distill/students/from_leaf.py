"""Students that start from a leaf: they keep its space, so that collections stay valid, and trained on, its head."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from leaf_embed.distill.rotation import fold
from leaf_embed.distill.students.backbone import build_student, choose_layers
from leaf_embed.distill.students.head import dense_modules, hidden_widths, set_linear
from leaf_embed.encoders.rotation import Rotation
from leaf_embed.encoders.transformer import refuse_shallow
from leaf_embed.errors import InputError, SpaceMismatchError
from leaf_embed.format import LEAF_FILE, read_leaf
from leaf_embed.space import EmbeddingSpace

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

__all__ = ["inherited_student", "kept_rotation", "rotation_of"]


def inherited_student(
    source: str | os.PathLike[str] | SentenceTransformer,
    space: EmbeddingSpace,
    layers: int | Sequence[int] | None,
    head: Sequence[int] = (),
    *,
    seed: int = 0,
) -> SentenceTransformer | None:
    """Returns a leaf to train on, in the teacher's own space; ``None`` if the student has to be built and started anew.

    The student begins exactly as that leaf if the source is the directory of a leaf of the same teacher, not truncated,
    all of its layers stay, the wanted head is the one it has, or it has a single Dense, and nothing but the head lies
    between pooling and vector.

    Args:
        source: The model that the student starts from.
        space: The teacher's own space, not rotated.
        layers: Layers that the student keeps; see :func:`leaf_embed.distill.students.backbone.choose_layers`.
        head: Widths of the hidden layers that are wanted; none for those that there are.
        seed: Of the weights of a head that is put on, beside those that carry the Dense.

    Raises:
        NotALeafError: The leaf's files are damaged.
        SpaceMismatchError: Its rotation is another than its space names.
        InputError: No such layers, or a hidden layer is too narrow.
    """
    from sentence_transformers import SentenceTransformer

    leaf = _leaf_of(source, space)
    if leaf is None or leaf.dim < space.dim:
        return None
    refuse_shallow(leaf.path)
    model = SentenceTransformer(os.fspath(leaf.path), device="cpu")
    kinds = [type(module).__name__ for module in model if not hasattr(module, "linear")]
    if kinds[:2] != ["Transformer", "Pooling"] or kinds[2:] not in ([], ["Normalize"]):
        return None
    first: Any = model[0]
    total = int(first.auto_model.config.num_hidden_layers)
    known = hidden_widths(model)
    if len(choose_layers(total, layers)) < total or (known and tuple(head) not in ((), known)):
        return None
    if leaf.rotation:
        fold(model, Rotation(leaf.rotation.matrix.T))
    return _with_head(model, space, head, seed) if head and not known else model


def _with_head(
    model: SentenceTransformer, space: EmbeddingSpace, head: Sequence[int], seed: int
) -> SentenceTransformer:
    """The model with hidden layers in the place of its single Dense, writing the same vectors."""
    deep = build_student(model, space, head=head, seed=seed)
    known = None if space.unit_norm else space.canaries
    size = 1.0 if known is None else float(np.linalg.norm(known.vectors, axis=1).mean())
    linear = dense_modules(model)[-1].linear
    set_linear(dense_modules(deep), linear.weight, linear.bias, size=size, normalized=space.unit_norm)
    return deep


def kept_rotation(source: object, space: EmbeddingSpace) -> Rotation | None:
    """Returns the rotation of the leaf that a student starts from, if it is a leaf of the same teacher.

    Args:
        source: The model that the student starts from.
        space: The teacher's own space, not rotated.

    Raises:
        NotALeafError: The leaf's files are damaged.
        SpaceMismatchError: Its rotation is another than its space names.
    """
    leaf = _leaf_of(source, space)
    return None if leaf is None else leaf.rotation


def rotation_of(leaf: str | os.PathLike[str], space: EmbeddingSpace) -> Rotation:
    """Returns the rotation of a leaf whose space a new one shares.

    Args:
        leaf: Directory of the leaf.
        space: The teacher's own space, not rotated.

    Raises:
        NotALeafError: No leaf there, or its files are damaged.
        SpaceMismatchError: It is a leaf of another teacher, or its rotation is another than its space names.
        InputError: Its space is not rotated, or truncated.
    """
    declared, known = read_leaf(leaf).space, _leaf_of(leaf, space)
    if known is None:
        raise SpaceMismatchError(f"{leaf} is a leaf of {declared.describe()}, but the teacher is {space.describe()}")
    if known.rotation is None:
        raise InputError(f"the space of {leaf} is the teacher's own; every leaf that is distilled without mrl has it")
    if known.dim < space.dim:
        raise InputError(
            f"{leaf} was truncated to {known.dim} of {space.dim} dimensions; name the leaf that it was made from, and "
            "truncate the new one alike"
        )
    return known.rotation


@dataclass(frozen=True)
class _Leaf:
    """A leaf of the teacher in question."""

    path: Path
    dim: int
    rotation: Rotation | None


def _leaf_of(source: object, space: EmbeddingSpace) -> _Leaf | None:
    """The leaf in a directory; ``None`` if it is none, or one of another teacher."""
    if not isinstance(source, (str, os.PathLike)) or not (Path(source) / LEAF_FILE).is_file():
        return None
    known = read_leaf(source).space
    rotation = Rotation.load(source, known)
    plain = rotation.plain(known) if rotation else known
    return _Leaf(Path(source), known.dim, rotation) if plain.fingerprint == space.fingerprint else None
