"""Truncated leaves: the first dimensions of every vector, as Matryoshka retrieval uses them."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from leaf_embed._extras import require
from leaf_embed._files import check_writable, replacing_directory
from leaf_embed.encoders.rotation import Rotation
from leaf_embed.encoders.transformer import SentenceTransformerEncoder, last_layer, save_model
from leaf_embed.errors import InputError
from leaf_embed.export.onnx import write_record
from leaf_embed.format import read_leaf, write_leaf
from leaf_embed.leaf_record import LeafRecord
from leaf_embed.space import EmbeddingSpace

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

__all__ = ["truncate_leaf", "truncate_space"]


def truncate_leaf(directory: str | os.PathLike[str], output: str | os.PathLike[str], dim: int) -> Path:
    """Writes a leaf whose vectors are the first ``dim`` dimensions of another's, renormalised.

    The last layer loses its other rows, so a query gets cheaper and every library that reads the directory returns
    the same short vector. The space is another one, of ``dim`` dimensions: documents come from the teacher truncated
    alike (``document="teacher"`` does it), and a collection of full vectors refuses this leaf. For a collection that
    stores both sizes keep the whole leaf: see :class:`leaf_embed.qdrant.CollectionSpec`.

    Args:
        directory: A leaf directory.
        output: Directory to write; must not exist. Has no graphs yet: see :func:`leaf_embed.export.onnx`.
        dim: Number of dimensions to keep.

    Raises:
        NotALeafError: No leaf there.
        InputError: ``dim`` is not below the leaf's, the space has no unit norm, or ``output`` exists.
    """
    info, target = read_leaf(directory), Path(output)
    if target.exists():
        raise InputError(f"{target} exists already; choose another output, or move it away")
    check_writable(target)
    space = truncate_space(info.space, dim)
    require("sentence_transformers", "train", "Truncating a leaf")
    model = SentenceTransformerEncoder(directory, device="cpu").model
    _cut_last_layer(model, dim)
    rotation = Rotation.load(directory, info.space)
    recipe = dict(info.recipe) | {"truncated_from": info.space.dim}
    with replacing_directory(target) as folder:
        save_model(model, folder)
        own = info.record.own
        record = LeafRecord(own=None if own is None else own.truncated(dim))
        write_leaf(folder, replace(info, space=space, recipe=recipe, metrics={}, record=record))
        write_record(folder)
        if rotation is not None:
            rotation.save(folder)
    return target


def truncate_space(space: EmbeddingSpace, dim: int) -> EmbeddingSpace:
    """Returns the space of a teacher's first ``dim`` dimensions, canaries included.

    Raises:
        InputError: The space does not have more dimensions, or the vectors have no unit norm to restore.
    """
    if not 1 <= dim < space.dim:
        raise InputError(f"cannot truncate {space.dim} dimensions to {dim}; expected 1 to {space.dim - 1}")
    if not space.unit_norm:
        raise InputError(
            f"the vectors of {space.teacher} have no unit norm, so truncated ones could not be normalised alike; "
            "keep the whole leaf and truncate where you search"
        )
    known = space.canaries
    return replace(space, dim=dim, canaries=None if known is None else known.truncated(dim))


def _cut_last_layer(model: SentenceTransformer, dim: int) -> None:
    """Keeps the first ``dim`` outputs of the module that makes the vectors, in place."""
    import torch

    layer = last_layer(model)
    if layer is None:
        raise InputError("this leaf has no Dense layer to cut; only leaves made by leaf-embed distill can be truncated")
    if hasattr(layer, "linear"):
        layer.linear.weight = torch.nn.Parameter(layer.linear.weight[:dim].detach().clone())
        if layer.linear.bias is not None:
            layer.linear.bias = torch.nn.Parameter(layer.linear.bias[:dim].detach().clone())
        layer.linear.out_features = layer.out_features = dim
    else:
        table = layer.embedding.weight[:, :dim].detach().clone()
        layer.embedding = torch.nn.EmbeddingBag.from_pretrained(table, freeze=False)
        layer.embedding_dim = dim
