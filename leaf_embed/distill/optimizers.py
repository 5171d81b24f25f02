"""Optimizers of a student: AdamW, and for token tables that are lazy one that updates only the tokens of the batch.

A batch of 32 short texts holds some hundred of 30,000 tokens. A dense step over all of them, with its gradient of
zeros, its norm and its two moments, was an eighth of a training step (examples/LOG.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from leaf_embed.distill.config import DistillConfig

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer

__all__ = ["Optimizers"]

FUSED = ("cpu", "cuda")  # devices where torch takes AdamW's step in one kernel


class Optimizers:
    """The optimizers of all weights of a student, with one learning rate and one gradient norm."""

    def __init__(self, model: SentenceTransformer, tables: Sequence[Any], config: DistillConfig) -> None:
        """Takes the student's weights; weight decay on matrices only, as usual for transformers.

        Args:
            model: The student.
            tables: Its modules with a row per token; where the recipe is lazy with them, they are switched to sparse
                gradients until :meth:`release`.
            config: Rates, weight decay and the largest norm of a gradient.
        """
        import torch

        from leaf_embed.distill.lazy_adam import LazyAdam

        self._config = config
        self._tables = tables if config.token_embeddings == "lazy" else ()
        for table in self._tables:
            table.sparse = True
        lazy = [table.weight for table in self._tables]
        others = [p for p in model.parameters() if p.requires_grad and not any(p is one for one in lazy)]
        groups = [
            {"params": [p for p in others if p.ndim >= 2], "weight_decay": config.weight_decay},
            {"params": [p for p in others if p.ndim < 2], "weight_decay": 0.0},
        ]
        self._parameters = others + lazy
        self._all: list[torch.optim.Optimizer] = []
        if others:
            self._all.append(torch.optim.AdamW(groups, lr=config.learning_rate, fused=model.device.type in FUSED))
        if lazy:
            self._all.append(LazyAdam(lazy, lr=config.learning_rate))

    def step(self, rate: float) -> None:
        """Clips the gradients to the recipe's norm, takes a step at a learning rate, and clears the gradients."""
        self._clip()
        for optimizer in self._all:
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    def weights(self) -> Iterable[tuple[torch.nn.Parameter, bool]]:
        """Returns the weights that are trained, each with whether its gradient is sparse."""
        lazy = [table.weight for table in self._tables]
        return [(weight, any(weight is one for one in lazy)) for weight in self._parameters]

    def _clip(self) -> None:
        import torch

        for weight in self._parameters:
            if weight.grad is not None and weight.grad.is_sparse:
                weight.grad = weight.grad.coalesce()
        values = [_values(weight.grad) for weight in self._parameters if weight.grad is not None]
        norm = torch.nn.utils.get_total_norm(values)
        factor = (self._config.max_grad_norm / (norm + 1e-6)).clamp(max=1.0)
        torch._foreach_mul_(values, factor)

    def release(self) -> None:
        """Switches the tables back to dense gradients, as other programs expect them."""
        for table in self._tables:
            table.sparse = False

    def state_dict(self) -> list[dict[str, Any]]:
        """Returns the state of each optimizer, for a checkpoint."""
        return [optimizer.state_dict() for optimizer in self._all]

    def load_state_dict(self, states: list[dict[str, Any]]) -> None:
        """Restores what :meth:`state_dict` returned."""
        for optimizer, state in zip(self._all, states, strict=True):
            optimizer.load_state_dict(state)


def _values(gradient: torch.Tensor) -> torch.Tensor:
    """The values of a gradient, in place; of a sparse one those of its rows."""
    return gradient._values() if gradient.is_sparse else gradient
