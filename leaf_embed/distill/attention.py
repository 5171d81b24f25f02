"""Attention for short texts on a CPU: plain products, where torch's fused kernel takes a fifth of a training step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer

__all__ = ["short_text_attention"]

NAME = "leaf_embed_short"
LONGEST = 64  # tokens; from there on the fused kernel is faster (measured in examples/LOG.md)


@contextmanager
def short_text_attention(model: SentenceTransformer) -> Iterator[None]:
    """Replaces attention over up to 64 tokens by plain matrix products while the block runs.

    Models whose attention cannot be chosen, and models on a GPU, stay as they are.
    """
    backbone: Any = getattr(model[0], "auto_model", None)
    before = getattr(getattr(backbone, "config", None), "_attn_implementation", None)
    if before != "sdpa" or model.device.type != "cpu":
        yield
        return
    _register()
    backbone.set_attn_implementation(NAME)
    try:
        yield
    finally:
        backbone.set_attn_implementation(before)


def _register() -> None:
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    AttentionInterface.register(NAME, _attend)
    AttentionMaskInterface.register(NAME, sdpa_mask)


def _attend(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """Attention for transformers: ``(batch, heads, tokens, width)`` in, ``(batch, tokens, heads, width)`` out."""
    import torch
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    plain = query.shape[1] == key.shape[1] and not options.get("is_causal") and not getattr(module, "is_causal", False)
    if not plain or options.get("dropout") or query.shape[2] > LONGEST:
        return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **options)
    scores = query @ key.transpose(-1, -2) * (query.shape[-1] ** -0.5 if scaling is None else scaling)
    if attention_mask is not None:
        # Not minus infinity: padding beyond a sliding window sees no token at all, and would be NaN.
        scores = scores.masked_fill(~attention_mask, torch.finfo(scores.dtype).min)
    return (scores.softmax(dim=-1).to(value.dtype) @ value).transpose(1, 2).contiguous(), None
