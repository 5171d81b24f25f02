"""The leaf directory: an ordinary sentence-transformers model plus ``leaf.json`` and ``onnx/``.

leaf.json                  format version, space with canaries, recipe, metrics
modules.json, ...          what SentenceTransformer(directory) reads
tokenizer.json             what the query path reads
onnx/model.onnx            float32 graph, output "sentence_embedding"
onnx/model_quantized.onnx  int8 graph
parity.json                how far each graph is from the torch model
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from leaf_embed._files import read_json, write_json
from leaf_embed.errors import InputError, NotALeafError
from leaf_embed.leaf_record import LeafRecord
from leaf_embed.space import EmbeddingSpace

__all__ = [
    "GRAPHS",
    "GRAPH_OUTPUT",
    "LEAF_FILE",
    "PARITY_FILE",
    "ROUTER_FILE",
    "TOKEN_OUTPUT",
    "GraphVariant",
    "Kind",
    "LeafInfo",
    "Variant",
    "graphs_for",
    "read_leaf",
    "read_parity",
    "write_leaf",
]

Kind: TypeAlias = Literal["transformer", "static"]
GraphVariant: TypeAlias = Literal["auto", "int8", "float32"]
Variant: TypeAlias = Literal["auto", "int8", "float32", "torch"]

FORMAT = "leaf-embed/leaf"
VERSION = 1
GRAPH_OUTPUT = "sentence_embedding"
TOKEN_OUTPUT = "token_embeddings"  # the same vector for each token, for runtimes that insist on pooling
LEAF_FILE = "leaf.json"
PARITY_FILE = "parity.json"
ROUTER_FILE = "router_config.json"  # there if leaf and teacher are one model
GRAPHS: Mapping[str, str] = {  # preferred first; the names are those that transformers.js looks for
    "int8": "onnx/model_quantized.onnx",
    "float32": "onnx/model.onnx",
}


@dataclass(frozen=True)
class LeafInfo:
    """The content of ``leaf.json``.

    Attributes:
        space: The space that the leaf writes into.
        max_tokens: Number of tokens that the leaf reads, special tokens included.
        recipe: The settings that it was made with: student, layers, optimizer, number of texts.
        metrics: What was measured while it was made.
        kind: ``"transformer"`` or ``"static"`` (one vector per token, no graph).
        record: What it computed when it was made; empty in older leaves.
    """

    space: EmbeddingSpace
    max_tokens: int
    recipe: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    kind: Kind = "transformer"
    record: LeafRecord = field(default_factory=LeafRecord)

    @property
    def needs_graph(self) -> bool:
        """Whether queries are answered by an ONNX graph; a static leaf answers by its table."""
        return self.kind != "static"

    def to_dict(self) -> dict[str, Any]:
        """Returns the versioned JSON form."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "kind": self.kind,
            "space": self.space.to_dict(),
            "max_tokens": self.max_tokens,
            "recipe": dict(self.recipe),
            "metrics": dict(self.metrics),
            "canary_cosines": dict(self.record.cosines),
            "record": None if self.record.answers is None and self.record.own is None else self.record.to_dict(),
        }


def graphs_for(variant: str) -> list[str]:
    """Returns the graph files that serve a variant, ``"auto"`` or a key of :data:`GRAPHS`; preferred first.

    Raises:
        InputError: An unknown variant.
    """
    if not isinstance(variant, str):
        raise InputError(f"expected the name of a graph variant; got {type(variant).__name__}")
    names = ("int8", "float32") if variant == "auto" else (variant,)
    if not set(names) <= set(GRAPHS):
        old = "; graphs of float16 weights are no longer read, take int8 or float32" if variant == "float16" else ""
        raise InputError(f"unknown graph variant {variant!r}; expected auto, {', '.join(GRAPHS)}{old}")
    return [GRAPHS[name] for name in names]


def _kind(name: Any) -> Kind:
    if name not in get_args(Kind):
        raise ValueError(f"unknown kind {name!r}")
    kind: Kind = name
    return kind


def read_parity(directory: str | os.PathLike[str]) -> dict[str, dict[str, Any]]:
    """Returns the content of ``parity.json``: what was measured of each graph by its variant; empty without the file.

    Raises:
        NotALeafError: The file is damaged.
    """
    file = Path(directory) / PARITY_FILE
    if not file.is_file():
        return {}
    try:
        value: dict[str, dict[str, Any]] = read_json(file)
    except (OSError, ValueError) as error:
        raise NotALeafError(f"cannot read {file} ({error}); the file is damaged: export the leaf again") from error
    return value


def write_leaf(directory: str | os.PathLike[str], info: LeafInfo) -> None:
    """Writes ``leaf.json`` into a model directory."""
    write_json(Path(directory) / LEAF_FILE, info.to_dict())


def read_leaf(directory: str | os.PathLike[str]) -> LeafInfo:
    """Reads ``leaf.json`` of a model directory.

    Raises:
        NotALeafError: The directory is missing, holds no leaf, or one of an unknown version.
    """
    path = Path(directory)
    file = path / LEAF_FILE
    if not path.is_dir():
        raise NotALeafError(f"{path} is no directory; expected a leaf made by: leaf-embed distill --output {path}")
    if not file.is_file():
        hint = ""
        if (path / "modules.json").is_file():
            hint = (
                " It is a sentence-transformers model: distil it first, with leaf-embed distill --teacher "
                f"{path} --corpus TEXTS --output LEAF; or, if it is aligned with another model already, declare that "
                "in Python: load(..., space=EmbeddingSpace(teacher=..., dim=...))."
            )
        raise NotALeafError(f"{path} holds no {LEAF_FILE}, so it is no leaf.{hint}")
    try:
        value = read_json(file)
    except (OSError, ValueError) as error:
        raise NotALeafError(f"cannot read {file} ({error}); the file is damaged") from error
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise NotALeafError(f"{file} is not of the format {FORMAT!r}")
    if value.get("version") != VERSION:
        raise NotALeafError(
            f"{file} has format version {value.get('version')!r}; this release reads {VERSION}. Update leaf-embed."
        )
    try:
        space = EmbeddingSpace.from_dict(value["space"], source=str(file))
        cosines: dict[Any, float] = {role: float(mean) for role, mean in value.get("canary_cosines", {}).items()}
        kind, limit = _kind(value["kind"]), int(value["max_tokens"])
        record = LeafRecord.from_dict(value.get("record") or {}, cosines)
        return LeafInfo(space, limit, value["recipe"], value["metrics"], kind, record)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise NotALeafError(f"{file} lacks a field or holds a wrong one ({error!r}); the file is damaged") from error
