"""Leaves that others published: they have no ``leaf.json``, so their space is known here or declared by the user.

load("MongoDB/mdbr-leaf-ir")                                    known: teacher, prompts, size
load("org/nano", document=encoder, space=encoder.space)         any aligned pair, for example Voyage 4's
load("org/nife", document="teacher", space=EmbeddingSpace(...)) static models, as NIFE's
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from leaf_embed import vectors
from leaf_embed._files import read_json
from leaf_embed.encoders.base import BaseEncoder
from leaf_embed.encoders.checks import check_path
from leaf_embed.encoders.onnx import OnnxEncoder
from leaf_embed.encoders.st_modules import Modules, read_modules
from leaf_embed.errors import InputError, NotALeafError
from leaf_embed.format import GRAPH_OUTPUT, LeafInfo, Variant, graphs_for
from leaf_embed.space import EmbeddingSpace
from leaf_embed.vectors import FloatArray

__all__ = ["KNOWN_SPACES", "known_space", "open_published"]

SEARCH_PROMPT = "Represent this sentence for searching relevant passages: "
ARCTIC = EmbeddingSpace(
    teacher="Snowflake/snowflake-arctic-embed-m-v1.5",
    revision="97eab2e17fcb7ccb8bb94d6e547898fa1a6a0f47",
    dim=768,
    query_prompt=SEARCH_PROMPT,
    max_tokens=512,
)
MXBAI = EmbeddingSpace(
    teacher="mixedbread-ai/mxbai-embed-large-v1",
    revision="990580e27d329c7408b3741ecff85876e128e203",
    dim=1024,
    query_prompt=SEARCH_PROMPT,
    unit_norm=False,
    max_tokens=512,
)
KNOWN_SPACES: Mapping[str, EmbeddingSpace] = {
    "MongoDB/mdbr-leaf-ir": ARCTIC,
    "MongoDB/mdbr-leaf-ir-asym": ARCTIC,
    "MongoDB/mdbr-leaf-mt": MXBAI,
    "MongoDB/mdbr-leaf-mt-asym": MXBAI,
}
"""Spaces of published leaves by hub id; a local directory of the same last name counts as its copy."""

AFTER_PADDING = ("roberta", "xlm-roberta", "xlm-roberta-xl", "camembert", "mpnet", "longformer", "data2vec-text")
PROBE = "The quick brown fox"


def known_space(name: str) -> EmbeddingSpace | None:
    """Returns the space of a published leaf, by hub id or by the last part of a path; ``None`` for an unknown one."""
    check_path("a leaf", name)
    last = Path(name).name
    return next((space for known, space in KNOWN_SPACES.items() if known.rsplit("/", 1)[1] == last), None)


def open_published(
    directory: Path,
    space: EmbeddingSpace,
    variant: Variant,
    threads: int,
    info: LeafInfo | None = None,
) -> BaseEncoder:
    """Opens the query side of a sentence-transformers directory that writes into ``space``.

    A static model needs NumPy only. A transformer is run by its ONNX graph if there is one; Pooling and Dense are then
    applied here if the graph stops at the tokens, since graphs that leave the Dense out are the field's most frequent
    silent error. Without a graph it is run by torch, from the modules of the Router's query route alone.

    Args:
        directory: The model's directory.
        space: The space that it is known or declared to write into.
        variant: The graph to run, ``"auto"`` for the best there is, or ``"torch"``.
        threads: Threads of ONNX Runtime.
        info: What its ``leaf.json`` says, if it has one.

    Raises:
        NotALeafError: The directory is missing, or has modules that are not supported.
        InputError: Its vectors do not have the declared dimensions and norm.
        MissingExtraError: It has no graph, and the extra ``train`` is not installed.
    """
    modules = read_modules(directory)
    if modules.first("Normalize") is not None and not space.unit_norm:
        raise InputError(f"{directory} normalises its vectors; the declared space says unit_norm=False")
    info = info or LeafInfo(space, _max_tokens(directory, modules, space))
    encoder: BaseEncoder
    graph = None if variant == "torch" else _graph(directory, modules, variant)
    if modules.items[0].kind == "StaticEmbedding" and variant != "torch":
        from leaf_embed.encoders.static import StaticEncoder

        encoder = StaticEncoder(directory / modules.items[0].folder, info=info)
    elif graph is not None:
        encoder = PublishedGraph(directory, modules, info, graph, threads)
    elif variant in ("auto", "torch"):
        encoder = _torch(directory, modules, info)
    else:
        raise NotALeafError(f"{directory} has no {variant} graph; take another variant, 'auto' or 'torch'")
    _check(encoder.encode_query(PROBE), space, directory)
    encoder.record = info.record
    return encoder


class PublishedGraph(OnnxEncoder):
    """A graph that others made; if it ends at token states, these are pooled and projected here."""

    def __init__(self, directory: Path, modules: Modules, info: LeafInfo, graph: Path, threads: int) -> None:
        """Opens the graph; see :func:`open_published`."""
        self._tail: Tail | None = None
        self._parts = directory, modules, graph
        self._first_position = _first_position(directory / modules.items[0].folder)
        super().__init__(directory / modules.items[0].folder, threads=threads, graph=graph, info=info)
        outputs = [node.name for node in self._session.get_outputs()]
        if GRAPH_OUTPUT in outputs and modules.first("Dense") is None:
            return
        tail = Tail(directory, modules, info.space.unit_norm)
        if GRAPH_OUTPUT not in outputs or tail.width not in (
            None,
            self._run([self._tokenizer.encode(PROBE)]).shape[-1],
        ):
            self._tail = tail
            self._tokens = next((name for name in outputs if name != GRAPH_OUTPUT), outputs[0])

    def _opening(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        directory, modules, graph = self._parts
        return (directory.absolute(), modules, self.info, graph.absolute(), self.threads), {}

    def _run(self, tokens: Sequence[Any]) -> FloatArray:
        if self._tail is None:
            return super()._run(tokens)
        feeds = self._feeds(tokens)
        states: Any = self._session.run([self._tokens], feeds)[0]
        return self._tail(np.asarray(states, dtype=np.float32), feeds["attention_mask"])


def _first_position(folder: Path) -> int:
    """Number of the first token's position: of models of RoBERTa's family the one after the padding token's."""
    config = _config(folder)
    return int(config.get("pad_token_id") or 0) + 1 if config.get("model_type") in AFTER_PADDING else 0


def _positions(folder: Path) -> int | None:
    """Number of tokens that there are positions for; ``None`` if the model does not say it."""
    rows = _config(folder).get("max_position_embeddings")
    return rows - _first_position(folder) if isinstance(rows, int) and rows > _first_position(folder) else None


def _config(folder: Path) -> dict[str, Any]:
    """The transformer's ``config.json``; empty if it cannot be read."""
    try:
        value = read_json(folder / "config.json")
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


class Tail:
    """The modules after the transformer in NumPy: pooling, Dense layers without activation, and the norm."""

    def __init__(self, directory: Path, modules: Modules, unit_norm: bool) -> None:
        """Reads the modules.

        Raises:
            NotALeafError: A module, pooling or activation that is not supported here; torch reads it.
        """
        self._mode, self._unit_norm = "mean", unit_norm
        self._layers: list[tuple[FloatArray, FloatArray]] = []
        for part in modules.items[1:]:
            folder = directory / part.folder
            if part.kind == "Pooling":
                self._mode = _pooling(_module_config(folder))
            elif part.kind == "Dense":
                self._layers.append(_dense(folder))
            elif part.kind != "Normalize":
                raise NotALeafError(f"{directory} has a module {part.kind}, which only variant='torch' can run")

    @property
    def width(self) -> int | None:
        """Dimensions of a finished vector, if there is a Dense layer."""
        return len(self._layers[-1][0]) if self._layers else None

    def __call__(self, states: FloatArray, mask: Any) -> FloatArray:
        """Returns vectors ``(n, dim)`` of token states ``(n, length, width)`` and their mask ``(n, length)``."""
        if self._mode == "cls":
            pooled = states[:, 0]
        else:
            share = mask[:, :, None].astype(np.float32)
            pooled = (states * share).sum(axis=1) / np.maximum(share.sum(axis=1), 1e-9)
        for weight, bias in self._layers:
            pooled = pooled @ weight.T + bias
        return vectors.normalize(pooled) if self._unit_norm else pooled


def _module_config(folder: Path) -> dict[str, Any]:
    return _object(folder / "config.json")


def _object(file: Path) -> dict[str, Any]:
    """The object in a JSON file of a model.

    Raises:
        NotALeafError: The file is missing or damaged.
    """
    try:
        value = read_json(file)
    except (OSError, ValueError) as error:
        raise NotALeafError(f"cannot read {file} ({error}); the model is damaged: fetch or save it again") from error
    if not isinstance(value, dict):
        raise NotALeafError(f"{file} holds {type(value).__name__}; expected an object: fetch or save the model again")
    return value


def _pooling(config: Mapping[str, Any]) -> str:
    """``"mean"`` or ``"cls"``, from either of sentence-transformers' two notations."""
    marked = {"cls": "pooling_mode_cls_token", "mean": "pooling_mode_mean_tokens"}
    mode = config.get("pooling_mode") or next((name for name, key in marked.items() if config.get(key)), None)
    if mode not in marked:
        raise NotALeafError(f"pooling {mode!r} can only be run with variant='torch'; expected mean or cls")
    return str(mode)


def _dense(folder: Path) -> tuple[FloatArray, FloatArray]:
    """Weight ``(outputs, inputs)`` and bias ``(outputs,)`` of a Dense module."""
    from safetensors.numpy import load_file

    activation = str(_module_config(folder).get("activation_function", ""))
    if not activation.endswith("Identity"):
        raise NotALeafError(f"{folder} has the activation {activation}, which only variant='torch' can run")
    tensors = load_file(folder / "model.safetensors")
    weight = tensors["linear.weight"].astype(np.float32)
    return weight, tensors.get("linear.bias", np.zeros(len(weight))).astype(np.float32)


def _torch(directory: Path, modules: Modules, info: LeafInfo) -> BaseEncoder:
    """The query side through torch; the weights of a Router's document route are never read."""
    from leaf_embed._extras import require
    from leaf_embed.encoders.transformer import Loading, SentenceTransformerEncoder, load_modules

    require("sentence_transformers", "train", f"The model in {directory} has no ONNX graph, and running it with torch")
    model = load_modules(directory, [(part.kind, part.folder) for part in modules.items])
    loading = Loading(dim=info.space.dim, space=info.space)
    return SentenceTransformerEncoder(model, max_tokens=info.max_tokens, loading=loading)


def _graph(directory: Path, modules: Modules, variant: str) -> Path | None:
    """The first graph there is, beside the transformer or at the top of the directory."""
    places = [directory / modules.items[0].folder, *([] if modules.routed else [directory])]
    files = (place / name for name in graphs_for(variant) for place in places)
    return next((file for file in files if file.is_file()), None)


def _max_tokens(directory: Path, modules: Modules, space: EmbeddingSpace) -> int:
    """Tokens that the model reads: by its own files, else as many as the teacher, else 512."""
    folder = directory / modules.items[0].folder
    for name, key in (("sentence_bert_config.json", "max_seq_length"), ("tokenizer_config.json", "model_max_length")):
        if (folder / name).is_file():
            found = _object(folder / name).get(key)
            if isinstance(found, int) and 0 < found < 1 << 20:  # some tokenizers have 10**30 for "no limit"
                return min(found, _positions(folder) or found)
    return min(space.max_tokens or 512, _positions(folder) or space.max_tokens or 512)


def _check(found: FloatArray, space: EmbeddingSpace, directory: Path) -> None:
    if found.shape != (space.dim,):
        raise InputError(
            f"{directory} writes vectors of {found.shape[-1]} dimensions; "
            f"the declared space of {space.teacher} has {space.dim}"
        )
    if space.unit_norm and not vectors.is_unit_norm(found[None]):
        raise InputError(
            f"{directory} writes vectors of norm {np.linalg.norm(found):.3f}; the space says unit_norm=True"
        )
