"""Averages of a student's weights over its training, which may fit better than the last ones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from leaf_embed.distill.config import Averaging

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer

__all__ = ["WeightAverage"]

DECAY = 0.999  # of the exponential average once it is in its stride
SPAN = 9  # until then it looks back over a ninth of the steps so far, as is usual, so that the start is forgotten


class WeightAverage:
    """The mean of weights seen so far: exponential over steps, or plain over checkpoints.

    Averaging over checkpoints follows KaLM-Embedding-V2 (arXiv 2506.20923).
    """

    def __init__(self, model: SentenceTransformer, kind: Averaging) -> None:
        """Begin with nothing seen.

        Args:
            model: Whose weights are averaged.
            kind: ``"ema"``, ``"checkpoints"``, or ``"none"``, which keeps nothing and costs nothing.
        """
        self._model = model
        self.kind = kind
        self._seen = 0
        self._mean: dict[str, torch.Tensor] = {}

    def __bool__(self) -> bool:
        return self._seen > 0

    def add(self, when: Averaging) -> None:
        """See the weights as they are now, if this is when the average looks: every step or every checkpoint."""
        import torch

        if when != self.kind or self.kind == "none":
            return
        self._seen += 1
        share = 1 / self._seen if self.kind == "checkpoints" else max(1 - DECAY, SPAN / (SPAN + self._seen - 1))
        with torch.no_grad():
            for name, weight in self._model.named_parameters():
                if name in self._mean:
                    self._mean[name].lerp_(weight, share)
                else:
                    self._mean[name] = weight.detach().clone()

    @contextmanager
    def applied(self) -> Iterator[None]:
        """While it lasts, the model has the averaged weights, if there are any."""
        own = {name: weight.detach().clone() for name, weight in self._model.named_parameters()} if self else {}
        self._put(self._mean if self else own)
        try:
            yield
        finally:
            self._put(own)

    def _put(self, weights: dict[str, torch.Tensor]) -> None:
        import torch

        with torch.no_grad():
            for name, weight in self._model.named_parameters():
                if name in weights:
                    weight.copy_(weights[name])

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"seen": self._seen, "mean": self._mean}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up what :meth:`state_dict` gave."""
        self._seen, self._mean = state["seen"], state["mean"]
