"""Building a student: some layers of a model, mean pooling, and a Dense into the teacher's space."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leaf_embed._extras import require
from leaf_embed.distill.students.head import build_head
from leaf_embed.encoders.transformer import refuse_shallow
from leaf_embed.errors import InputError
from leaf_embed.space import EmbeddingSpace

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

__all__ = [
    "build_student",
    "choose_layers",
    "half_the_layers",
    "load_transformer",
]


def choose_layers(available: int, wanted: int | Sequence[int] | None) -> tuple[int, ...]:
    """Returns the layers of a model that a student keeps.

    Args:
        available: Number of layers that the model has.
        wanted: Their numbers from 0, or none of them: token embeddings alone are left; or the number to keep: the
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
    """Returns the layers of a teacher's default student: the bottom ones and the top one, half of them in all."""
    total = int(load_transformer(model).auto_model.config.num_hidden_layers)
    return choose_layers(total, max(1, total // 2))


def build_student(
    source: str | os.PathLike[str] | SentenceTransformer,
    space: EmbeddingSpace,
    *,
    layers: int | Sequence[int] | None = None,
    head: Sequence[int] = (),
    seed: int = 0,
) -> SentenceTransformer:
    """Builds a student that writes vectors of ``space.dim`` dimensions, not trained yet.

    Args:
        source: The model whose transformer is copied: a directory, hub id, or a loaded model (left unchanged).
        space: The teacher's space: dimensions, prompts, and whether vectors are normalised.
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

    transformer = load_transformer(source)
    _keep_layers(transformer, layers)
    width = transformer.get_embedding_dimension()
    dense = build_head(width, space.dim, head, bias=space.unit_norm, seed=seed)
    modules = [transformer, Pooling(width, "mean"), *dense]
    if space.unit_norm:
        modules.append(Normalize())
    prompts = {"query": space.query_prompt, "document": space.document_prompt}
    return SentenceTransformer(modules=modules, prompts=prompts, device="cpu")


def load_transformer(source: str | os.PathLike[str] | SentenceTransformer) -> Any:
    """Returns the transformer module of a model as a copy.

    Raises:
        InputError: The model cannot be loaded, or has no transformer.
    """
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


def _keep_layers(transformer: Any, wanted: int | Sequence[int] | None) -> None:
    """Drops the other layers, wherever the architecture keeps them."""
    import torch

    backbone = transformer.auto_model
    total = backbone.config.num_hidden_layers
    chosen = choose_layers(total, wanted)
    if len(chosen) == total:
        return
    whole = backbone.state_dict()
    for parent in backbone.modules():
        for name, child in list(parent.named_children()):
            if isinstance(child, torch.nn.ModuleList) and len(child) == total:
                setattr(parent, name, torch.nn.ModuleList(child[i] for i in chosen))
                _describe_layers(backbone.config, total, chosen)
                transformer.model = _as_reloaded(backbone, whole)
                return
    raise InputError(f"cannot find the {total} layers of a {type(backbone).__name__}; use it whole (no --layers)")


def _describe_layers(config: Any, total: int, chosen: Sequence[int]) -> None:
    """Cuts a configuration's lists of one entry per layer, such as ``layer_types``, like the layers."""
    config.num_hidden_layers = len(chosen)
    for name, value in list(vars(config).items()):
        if "layer" in name and isinstance(value, list | tuple) and len(value) == total:
            setattr(config, name, [value[i] for i in chosen])


def _as_reloaded(cut: Any, whole: Mapping[str, Any]) -> Any:
    """Returns the model that the configuration describes, with the weights that are left.

    Some architectures build a layer by its number: the first one of ModernBERT has no norm before its attention, and
    the first one of T5 alone holds the table of relative positions. A model that is only cut would be trained in one
    form and read from its files in another.

    Args:
        cut: A backbone that has lost some layers.
        whole: The weights that it had: what a layer needs in its new place, the one that stood there had.
    """
    built = type(cut)(cut.config)
    left = cut.state_dict()
    try:
        missing = built.load_state_dict(left, strict=False).missing_keys
        built.load_state_dict({**left, **{name: whole[name] for name in missing}}, strict=False)
    except (KeyError, RuntimeError) as error:
        raise InputError(
            f"the layers of a {type(cut).__name__} cannot be renumbered ({error}); use it whole (no --layers)"
        ) from error
    return built.train(cut.training)
