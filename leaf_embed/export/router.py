"""Leaf and teacher as one sentence-transformers Router: one route for queries, one for documents."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from leaf_embed._extras import require
from leaf_embed._files import check_writable, replacing_directory
from leaf_embed.encoders.leaf import LeafEncoder
from leaf_embed.encoders.loading import load_teacher
from leaf_embed.encoders.rotation import Rotation
from leaf_embed.encoders.transformer import SentenceTransformerEncoder, save_model
from leaf_embed.errors import InputError
from leaf_embed.format import read_leaf, write_leaf
from leaf_embed.space import EmbeddingSpace

__all__ = ["export_router"]


def export_router(
    directory: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    teacher: str | os.PathLike[str] | SentenceTransformerEncoder | None = None,
) -> Path:
    """Writes a directory that ``SentenceTransformer(output)`` and mteb encode both sides with.

    ``encode_query`` returns the leaf's vectors and ``encode_document`` the teacher's, prompts included. The teacher's
    weights are inside, as in ``MongoDB/mdbr-leaf-ir-asym``; :func:`leaf_embed.load` reads
    the leaf's part alone, by its graph.

    Args:
        directory: A leaf directory.
        output: Directory to write; must not exist.
        teacher: The teacher, its path or its hub id; by default the one named in the leaf's space.

    Raises:
        NotALeafError: No leaf there.
        InputError: ``output`` exists, or the teacher or the leaf cannot be loaded.
        SpaceMismatchError: It is not the teacher of the leaf's space.
    """
    info, target = read_leaf(directory), Path(output)
    if target.exists():
        raise InputError(f"{target} exists already; choose another output, or move it away")
    check_writable(target)
    require("sentence_transformers", "train", "A router")
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Router

    space = info.space
    leaf = LeafEncoder(SentenceTransformerEncoder(directory, device="cpu"), rotation=Rotation.load(directory, space))
    queries: Any = list(leaf.query_encoder.model.children())  # type: ignore[attr-defined]
    if isinstance(teacher, SentenceTransformerEncoder):
        documents = teacher
    else:
        documents = load_teacher(os.fspath(teacher or space.teacher), leaf.teacher_space)
    rotated = leaf.rotated(documents)
    space.require_same(
        rotated.space, mine="the leaf", theirs="the teacher", advice="Name the teacher that the leaf was made from."
    )
    if space.canaries is not None:
        space.verify(rotated, name="the teacher")
    stored: Any = [*documents.model.cpu().children(), *_tail(documents, space, leaf.rotation)]
    route = Router.for_query_document(queries, stored)  # plain encode() takes the documents' route
    prompts = {"query": space.query_prompt, "document": space.document_prompt}
    model = SentenceTransformer(modules=[route], prompts=prompts, device="cpu", similarity_fn_name="cosine")
    with replacing_directory(target) as folder:
        save_model(model, folder)
        if (Path(directory) / "onnx").is_dir():
            shutil.copytree(Path(directory) / "onnx", folder / "query_0_Transformer" / "onnx")
        write_leaf(folder, info)
        if leaf.rotation is not None:
            leaf.rotation.save(folder)
    return target


def _tail(teacher: SentenceTransformerEncoder, space: EmbeddingSpace, rotation: Rotation | None) -> list[Any]:
    """The modules that rotate and truncate the teacher's vectors like the leaf's space; empty if neither is needed."""
    import torch
    from sentence_transformers.base.modules import Dense, Normalize

    whole = int(teacher.model.get_embedding_dimension() or space.dim)
    if rotation is None and whole == space.dim:
        return []
    matrix = torch.eye(whole) if rotation is None else torch.from_numpy(rotation.matrix)
    dense = Dense(whole, space.dim, bias=False, activation_function=torch.nn.Identity())
    with torch.no_grad():
        dense.linear.weight.copy_(matrix[:, : space.dim].T)
    return [dense, Normalize()] if space.unit_norm else [dense]
