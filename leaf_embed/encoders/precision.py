"""The precision that a torch model runs in, by its weights and by what the machine multiplies natively."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Literal, TypeAlias

from leaf_embed.encoders.checks import is_one_of
from leaf_embed.errors import InputError

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer

__all__ = ["Precision", "has_bfloat16", "settle_precision", "wants_bfloat16"]

Precision: TypeAlias = Literal["auto", "float32", "bfloat16"]


def has_bfloat16(device: torch.device) -> bool:
    """Returns whether a device multiplies bfloat16 by units of its own; emulation on older GPUs does not count."""
    import torch

    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def wants_bfloat16(precision: Precision, device: torch.device) -> bool:
    """Whether to run float32 weights in bfloat16: if asked for, or with ``"auto"`` where it is native.

    Raises:
        InputError: An unknown precision.
    """
    if not is_one_of(precision, ("auto", "float32", "bfloat16")):
        raise InputError(f"unknown precision {precision!r:.80}; expected auto, float32 or bfloat16")
    return precision == "bfloat16" or (precision == "auto" and has_bfloat16(device))


def settle_precision(
    model: SentenceTransformer, precision: Precision, *, owned: bool
) -> tuple[SentenceTransformer, bool]:
    """Returns a model with weights that its device can run, and whether to run it under bfloat16 autocast.

    Weights of float32 run as :func:`wants_bfloat16` says. Weights of one half precision run as they are, as in
    sentence-transformers, except float16 on a CPU, which has no units for it, bfloat16 on a GPU that emulates it, and
    where float32 is asked for: these become float32 first, as do weights of several precisions.

    Args:
        model: The model; it is not changed unless it is ``owned``.
        precision: What was asked for.
        owned: Whether the model was loaded here, so that nobody else has it.
    """
    import torch

    autocast = wants_bfloat16(precision, model.device)
    found = {weights.dtype for weights in model.parameters() if weights.is_floating_point()}
    if found <= {torch.float32, torch.float64}:
        return model, autocast
    on_cpu = model.device.type == "cpu"
    as_they_are = {
        "auto": {torch.bfloat16} if on_cpu else {torch.float16, *([torch.bfloat16] * has_bfloat16(model.device))},
        "bfloat16": {torch.bfloat16},
        "float32": set(),
    }[precision]
    if len(found) == 1 and found <= as_they_are:
        return model, False
    return (model if owned else copy.deepcopy(model)).float(), autocast
