"""Training in several processes: each takes its share of every batch, and all take the same step.

Started by ``torchrun`` or ``accelerate launch``. The gradients are summed, so the processes together do what one
process does with the whole batch, up to the order of additions.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from leaf_embed._extras import require

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer

__all__ = ["Alone", "Processes", "Several", "processes"]

PATIENCE = timedelta(weeks=2)  # the others wait while the first has the teacher embed a corpus
T = TypeVar("T")


class Processes(Protocol):
    """The processes that train together, as the training loop sees them.

    Attributes:
        rank: Number of this process; process 0 writes the files.
        count: Number of processes.
    """

    rank: int
    count: int

    def first(self, make: Callable[[], T]) -> T:
        """Calls a function in the first process alone, and returns its result in every process."""
        ...

    def wait(self) -> None:
        """Waits until every process is here."""
        ...

    def same_weights(self, model: SentenceTransformer) -> None:
        """Copies the first process's weights to every process."""
        ...

    def add_gradients(self, weights: Iterable[tuple[torch.nn.Parameter, bool]]) -> None:
        """Replaces each gradient by its sum over the processes; takes weights with whether their gradient is sparse."""
        ...

    def add(self, value: float) -> float:
        """Returns the sum of a number over the processes."""
        ...


class Alone:
    """A single process: nothing to agree on."""

    rank = 0
    count = 1

    def first(self, make: Callable[[], T]) -> T:
        return make()

    def wait(self) -> None:
        pass

    def same_weights(self, model: SentenceTransformer) -> None:
        pass

    def add_gradients(self, weights: Iterable[tuple[torch.nn.Parameter, bool]]) -> None:
        pass

    def add(self, value: float) -> float:
        return value


class Several:
    """Several processes that a launcher started; NCCL where the student is on a GPU, else gloo."""

    def __init__(self, device: str) -> None:
        """Joins the other processes, which train on devices of the same type."""
        accelerate = require("accelerate", "train", "Training in several processes")
        on_gpu = device.startswith("cuda")
        self._state: Any = accelerate.PartialState(cpu=not on_gpu, timeout=PATIENCE)
        self._device = device if on_gpu else "cpu"
        self.rank: int = self._state.process_index
        self.count: int = self._state.num_processes

    def first(self, make: Callable[[], T]) -> T:
        import torch

        held: list[Any] = [None if self.rank else make()]
        torch.distributed.broadcast_object_list(held)
        result: T = held[0]
        return result

    def wait(self) -> None:
        self._state.wait_for_everyone()

    def same_weights(self, model: SentenceTransformer) -> None:
        import torch

        for tensor in model.state_dict().values():
            torch.distributed.broadcast(tensor, 0)

    def add_gradients(self, weights: Iterable[tuple[torch.nn.Parameter, bool]]) -> None:
        import torch

        pairs = list(weights)
        # A share may be empty, or hold nothing that a weight takes part in: then it has no gradient here.
        whole = [torch.zeros_like(w) if w.grad is None else w.grad.to_dense() for w, _ in pairs]
        flat = torch.cat([gradient.reshape(-1) for gradient in whole])
        torch.distributed.all_reduce(flat)
        for (weight, sparse), part in zip(pairs, torch.split(flat, [w.numel() for w, _ in pairs]), strict=True):
            gradient = part.view_as(weight)
            weight.grad = gradient.to_sparse(1) if sparse else gradient

    def add(self, value: float) -> float:
        import torch

        total = torch.tensor(value, dtype=torch.float64, device=self._device)
        torch.distributed.all_reduce(total)
        return float(total)


def processes(device: str) -> Processes:
    """Returns the processes that this one was started with: alone, unless a launcher says otherwise.

    Args:
        device: That this process trains on; tensors on it are what the processes exchange.
    """
    return Several(device) if int(os.environ.get("WORLD_SIZE", "1")) > 1 else Alone()
