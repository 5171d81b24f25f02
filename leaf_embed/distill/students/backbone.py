"""Building a student: some layers of a model, mean pooling, and a Dense into the teacher's space."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from leaf_embed._extras import require
from leaf_embed.distill.students.head import build_head, set_linear
from leaf_embed.encoders.transformer import refuse_shallow
from leaf_embed.errors import InputError
from leaf_embed.space import EmbeddingSpace

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer

__all__ = [
    "build_student",
    "choose_layers",
    "dense_modules",
    "forward",
    "half_the_layers",
    "hidden_widths",
    "missing_layers",
    "warm_start",
]

RIDGE = 1e-3  # of the mean eigenvalue of the features' second moment: steadies it without biasing the fit


def choose_layers(available: int, wanted: int | Sequence[int] | None) -> tuple[int, ...]:
    """Which layers of a model a student keeps.

    Args:
        available: Number of layers that the model has.
        wanted: Their numbers from 0, or none of them: token embeddings alone are left; or how many to keep: the
            bottom ones and the top one, the best cheap start (QED, arXiv 2306.11550); or ``None`` for all.

    Raises:
        InputError: A layer that is not there.
    """
    if wanted is None:
        return tuple(range(available))
    if isinstance(wanted, int):
        if not 0 <= wanted <= available:
            raise InputError(f"cannot keep {wanted} layers; the model has {available}")
        return (*range(wanted - 1), available - 1) if wanted else ()
    chosen = tuple(wanted)
    if list(chosen) != sorted(set(chosen)) or not set(chosen) <= set(range(available)):
        raise InputError(f"layers {list(chosen)} are not a rising list of numbers from 0 to {available - 1}")
    return chosen


def half_the_layers(model: SentenceTransformer) -> tuple[int, ...]:
    """The default student of a teacher: the bottom layers and the top one, half of them in all."""
    total = int(_transformer(model).auto_model.config.num_hidden_layers)
    return choose_layers(total, max(1, total // 2))


def build_student(
    source: str | os.PathLike[str] | SentenceTransformer,
    space: EmbeddingSpace,
    *,
    layers: int | Sequence[int] | None = None,
    head: Sequence[int] = (),
    seed: int = 0,
) -> SentenceTransformer:
    """A student that writes vectors of ``space.dim`` dimensions, not trained yet.

    Args:
        source: The model whose transformer is copied: a directory, hub id, or a loaded model (left unchanged).
        space: The teacher's space: gives the dimension, the prompts, and whether vectors are normalised.
        layers: Which layers to keep; see :func:`choose_layers`.
        head: Widths of hidden Dense layers with GELU before the last Dense; see
            :mod:`leaf_embed.distill.students.head`.
        seed: Of the Dense layers' random weights.

    Returns:
        Transformer → mean pooling → Dense → Normalize iff ``space.unit_norm``, as in the paper's section on the
        student; the Dense has a bias iff it is followed by Normalize (leaf-ir has one, leaf-mt has none). With a head,
        which the paper does not have, several Dense.

    Raises:
        InputError: ``source`` has no transformer, or no such layers; or a hidden layer is too narrow.
    """
    require("torch", "train", "A student")
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Normalize
    from sentence_transformers.sentence_transformer.modules import Pooling

    transformer = _transformer(source)
    _keep_layers(transformer.auto_model, layers)
    width = transformer.get_embedding_dimension()
    dense = build_head(width, space.dim, head, bias=space.unit_norm, seed=seed)
    modules = [transformer, Pooling(width, "mean"), *dense]
    if space.unit_norm:
        modules.append(Normalize())
    prompts = {"query": space.query_prompt, "document": space.document_prompt}
    return SentenceTransformer(modules=modules, prompts=prompts, device="cpu")


def dense_modules(model: SentenceTransformer) -> list[Any]:
    """The head of a model: its Dense modules, the last of which writes the vectors."""
    return [module for module in model if hasattr(module, "linear")]


def hidden_widths(model: SentenceTransformer) -> tuple[int, ...]:
    """Of the hidden layers of a model's head, as ``head`` of :func:`build_student` names them."""
    return tuple(int(dense.linear.out_features) for dense in dense_modules(model)[:-1])


def missing_layers(
    source: str | os.PathLike[str] | SentenceTransformer, layers: int | Sequence[int] | None
) -> Any | None:
    """The backbone below the lowest layer kept; see :func:`leaf_embed.distill.students.embedding_init.below`.

    Where the lowest layer stays, ``source`` is not loaded again.
    """
    from leaf_embed.distill.students.embedding_init import below

    if layers is None or (layers > 1 if isinstance(layers, int) else 0 in layers):
        return None
    transformer = _transformer(source)
    available = int(transformer.auto_model.config.num_hidden_layers)
    chosen = choose_layers(available, layers)
    return below(transformer, min(chosen, default=available))


def _transformer(source: str | os.PathLike[str] | SentenceTransformer) -> Any:
    """A transformer module of its own."""
    import copy

    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Transformer

    if isinstance(source, SentenceTransformer):
        first = copy.deepcopy(source[0])
    else:
        name = os.fspath(source)
        if Path(name).is_absolute() and not Path(name).is_dir():
            raise InputError(f"there is no student model at {name}; expected a directory or a hub id")
        refuse_shallow(Path(name))
        try:
            first = SentenceTransformer(name, device="cpu")[0]
        except (OSError, ValueError) as error:
            raise InputError(f"cannot load the student's backbone from {name!r}: {error}") from error
    if not isinstance(first, Transformer):
        raise InputError(f"a student needs a transformer; {type(first).__name__} came")
    first.auto_model.float()
    return first


def _keep_layers(backbone: Any, wanted: int | Sequence[int] | None) -> None:
    """Drop the other layers in place, wherever the architecture keeps them."""
    import torch

    total = backbone.config.num_hidden_layers
    chosen = choose_layers(total, wanted)
    if len(chosen) == total:
        return
    for parent in backbone.modules():
        for name, child in list(parent.named_children()):
            if isinstance(child, torch.nn.ModuleList) and len(child) == total:
                setattr(parent, name, torch.nn.ModuleList(child[i] for i in chosen))
                backbone.config.num_hidden_layers = len(chosen)
                if getattr(backbone.config, "layer_types", None):
                    backbone.config.layer_types = [backbone.config.layer_types[i] for i in chosen]
                return
    raise InputError(f"cannot find the {total} layers of a {type(backbone).__name__}; use it whole (no --layers)")


def forward(model: SentenceTransformer, features: dict[str, torch.Tensor], bfloat16: bool) -> torch.Tensor:
    """Vectors of a batch, shape ``(n, dim)``, float32.

    Only the transformer runs in bfloat16: what comes after it is cheap, and its rounding would reach the loss whole.
    """
    import torch

    with torch.autocast(features["input_ids"].device.type, torch.bfloat16, enabled=bfloat16):
        features = model[0](features)
    features["token_embeddings"] = features["token_embeddings"].float()
    for module in list(model)[1:]:
        features = module(features)
    return features["sentence_embedding"]


def warm_start(
    model: SentenceTransformer,
    batches: Callable[[], Iterator[tuple[dict[str, torch.Tensor], torch.Tensor]]],
    bfloat16: bool,
) -> None:
    """Set the head to the ridge regression from pooled features to teacher vectors, in closed form.

    It spares the thousands of steps in which a random head would drag the transformer away from what it knows: a
    ridge start alone kept half of a teacher's score where a random head had an eighth after 2,000 steps. Only sums
    of products are kept, so memory does not depend on the number of texts.

    Args:
        model: A student from :func:`build_student`; changed in place.
        batches: Gives ``(features, teacher vectors (n, dim))``.
        bfloat16: Precision of the transformer.
    """
    import torch

    head = dense_modules(model)
    inputs, dim, biased = head[0].linear.in_features, head[-1].linear.out_features, head[-1].linear.bias is not None
    width = inputs + biased
    gram: NDArray[np.float64] = np.zeros((width, width))
    cross: NDArray[np.float64] = np.zeros((width, dim))
    squares = count = 0.0
    with torch.inference_mode():
        for features, targets in batches():
            pooled = _pooled(model, features, bfloat16)
            if biased:
                pooled = torch.cat([pooled, torch.ones(len(pooled), 1, device=pooled.device)], dim=1)
            x = pooled.double().cpu().numpy()
            gram += x.T @ x
            cross += x.T @ targets.double().cpu().numpy()
            squares, count = squares + float(targets.square().sum()), count + len(targets)
    scale = RIDGE * np.trace(gram) / width
    solution = torch.from_numpy(np.linalg.solve(gram + scale * np.eye(width), cross)).float()
    bias = solution[-1] if biased else None
    size, normalized = (squares / count) ** 0.5, type(model[-1]).__name__ == "Normalize"
    set_linear(head, solution[:inputs].T, bias, size=size, normalized=normalized)


def _pooled(model: SentenceTransformer, features: dict[str, torch.Tensor], bfloat16: bool) -> torch.Tensor:
    """Mean-pooled token vectors, shape ``(n, width)``."""
    import torch

    with torch.autocast(features["input_ids"].device.type, torch.bfloat16, enabled=bfloat16):
        features = model[0](features)
    features["token_embeddings"] = features["token_embeddings"].float()
    pooled: torch.Tensor = model[1](features)["sentence_embedding"]
    return pooled
