"""A shallow student: a static one that already knows, and a layer or two that learn what it cannot.

The vector is the static student's plus a correction by the transformer, which begins as a ridge regression on what the
static student misses, or as nothing where that does not help: so it is never worse than static on the held-out texts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from sentence_transformers.base.modules import Module
from torch.nn.functional import normalize

from leaf_embed.vectors import FloatArray

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

__all__ = ["StaticSum", "add_static"]


class StaticSum(Module):
    """Adds the mean of the text's token vectors, of unit norm if the space has it, to the sentence embedding."""

    config_keys: list[str] = ["tokens", "dim", "special_ids", "unit_norm"]  # noqa: RUF012

    def __init__(self, tokens: int, dim: int, special_ids: list[int], unit_norm: bool) -> None:
        """Make a table of zeros.

        Args:
            tokens: Size of the vocabulary.
            dim: Dimensions of the space.
            special_ids: Tokens that do not count, such as the padding.
            unit_norm: Whether to scale the mean to norm 1.
        """
        super().__init__()  # type: ignore[no-untyped-call]
        self.tokens, self.dim, self.special_ids, self.unit_norm = tokens, dim, list(special_ids), unit_norm
        self.embedding = torch.nn.Embedding(tokens, dim, _weight=torch.zeros(tokens, dim))

    def forward(self, features: dict[str, torch.Tensor], **options: Any) -> dict[str, torch.Tensor]:
        """Add :meth:`base` to the sentence embedding."""
        features["sentence_embedding"] = features["sentence_embedding"] + self.base(features)
        return features

    def base(self, features: dict[str, torch.Tensor]) -> torch.Tensor:
        """The static student's vectors, shape ``(n, dim)``."""
        ids = features["input_ids"]
        counts = features["attention_mask"].to(self.embedding.weight.dtype)
        for special in self.special_ids:
            counts = counts * (ids != special)
        total = (self.embedding(ids) * counts.unsqueeze(-1)).sum(dim=1)
        return normalize(total) if self.unit_norm else total / counts.sum(dim=1, keepdim=True).clamp_min(1.0)

    def save(self, output_path: str, *args: Any, safe_serialization: bool = True, **kwargs: Any) -> None:
        """Write configuration and table."""
        self.save_config(output_path)
        self.save_torch_weights(output_path, safe_serialization=safe_serialization)

    @classmethod
    def load(  # type: ignore[override]
        cls, model_name_or_path: str, subfolder: str = "", **kwargs: Any
    ) -> StaticSum:
        """Read what :meth:`save` wrote."""
        hub = {
            name: kwargs[name] for name in ("token", "cache_folder", "revision", "local_files_only") if name in kwargs
        }
        module = cls(**cls.load_config(model_name_or_path, subfolder=subfolder, **hub))
        cls.load_torch_weights(model_name_or_path, subfolder=subfolder, model=module, **hub)
        return module


def add_static(model: SentenceTransformer, table: FloatArray, unit_norm: bool) -> StaticSum:
    """Put a trained static student under a transformer, in place, right after its Dense.

    Args:
        model: A student from :func:`leaf_embed.distill.build_student`.
        table: Token vectors, shape ``(tokens, dim)``; more rows than the transformer's vocabulary do no harm.
        unit_norm: Of the space.
    """
    tokenizer: Any = model.tokenizer
    module = StaticSum(len(table), table.shape[1], sorted(set(tokenizer.all_special_ids)), unit_norm)
    with torch.no_grad():
        module.embedding.weight.copy_(torch.from_numpy(np.ascontiguousarray(table)))
    stages = list(model)
    model._modules.clear()
    for place, stage in enumerate([*stages[:3], module, *stages[3:]]):
        model.add_module(str(place), stage)
    return module
