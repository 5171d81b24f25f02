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

__all__ = ["ParentLeaf", "inherited_student", "parent_leaf", "rotation_of"]


@dataclass(frozen=True)
class ParentLeaf:
    """A leaf that another one starts from.

    Attributes:
        path: Its directory.
        space: Its space.
        rotation: Of its space; ``None`` if that is the teacher's own.
    """

    path: Path
    space: EmbeddingSpace
    rotation: Rotation | None

    @classmethod
    def read(cls, directory: str | os.PathLike[str]) -> ParentLeaf:
        """Reads what is needed before the model is loaded.

        Raises:
            NotALeafError: No leaf there, or its files are damaged.
            SpaceMismatchError: Its rotation is another than its space names.
        """
        space = read_leaf(directory).space
        return cls(Path(directory), space, Rotation.load(directory, space))

    def is_of(self, teacher: EmbeddingSpace) -> bool:
        """Whether it is a leaf of the teacher with a space, not rotated."""
        plain = self.rotation.plain(self.space) if self.rotation else self.space
        return plain.fingerprint == teacher.fingerprint


def parent_leaf(source: object, space: EmbeddingSpace) -> ParentLeaf | None:
    """Returns the leaf that a student starts from; ``None`` if its source is no directory of a leaf of the teacher.

    Args:
        source: The model that the student starts from.
        space: The teacher's own space, not rotated.

    Raises:
        NotALeafError: The leaf's files are damaged.
        SpaceMismatchError: Its rotation is another than its space names.
    """
    if not isinstance(source, (str, os.PathLike)) or not (Path(source) / LEAF_FILE).is_file():
        return None
    leaf = ParentLeaf.read(source)
    return leaf if leaf.is_of(space) else None


def inherited_student(
    leaf: ParentLeaf,
    space: EmbeddingSpace,
    layers: int | Sequence[int] | None,
    head: Sequence[int] = (),
    *,
    seed: int = 0,
) -> SentenceTransformer | None:
    """Returns a leaf to train on, in the teacher's own space; ``None`` if the student has to be built and started anew.

    The student begins exactly as that leaf if it is not truncated, all of its layers stay, the wanted head is the one
    it has, or it has a single Dense, and nothing but the head lies between pooling and vector.

    Args:
        leaf: The leaf that the student starts from.
        space: The teacher's own space, not rotated.
        layers: Layers that the student keeps; see :func:`leaf_embed.distill.students.backbone.choose_layers`.
        head: Widths of the hidden layers that are wanted; none for those that there are.
        seed: Of the weights of a head that is put on, beside those that carry the Dense.

    Raises:
        InputError: No such layers, a hidden layer is too narrow, or the leaf cannot be loaded by torch.
    """
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Normalize, Transformer
    from sentence_transformers.sentence_transformer.modules import Pooling

    if leaf.space.dim < space.dim:
        return None
    refuse_shallow(leaf.path)
    model = SentenceTransformer(os.fspath(leaf.path), device="cpu")
    others: list[type] = [type(module) for module in model if not hasattr(module, "linear")]
    if others not in ([Transformer, Pooling], [Transformer, Pooling, Normalize]):
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
    known = ParentLeaf.read(leaf)
    if not known.is_of(space):
        raise SpaceMismatchError(f"{leaf} is a leaf of {known.space.describe()}, but the teacher is {space.describe()}")
    if known.rotation is None:
        raise InputError(f"the space of {leaf} is the teacher's own; every leaf that is distilled without mrl has it")
    if known.space.dim < space.dim:
        raise InputError(
            f"{leaf} was truncated to {known.space.dim} of {space.dim} dimensions; name the leaf that it was made "
            "from, and truncate the new one alike"
        )
    return known.rotation
