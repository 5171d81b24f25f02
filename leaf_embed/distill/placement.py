"""Where a student is trained: on a GPU of its own process, or on the CPU; and what is saved lies on the CPU."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from leaf_embed.encoders.torch_models import local_device

__all__ = ["on_cpu", "student_device"]


def student_device(asked: str | None) -> str:
    """Returns the device that a student is trained on.

    Args:
        asked: As in torch; ``None`` takes a GPU with CUDA if there is one. On Apple's ``"mps"`` a teacher runs, but not
            a training: torch has no sparse gradients there, so its student is trained on the CPU.

    Raises:
        InputError: No such device, or none for this process.
    """
    import torch

    found = local_device(asked) or ("cuda" if torch.cuda.is_available() else "cpu")
    return "cpu" if torch.device(found).type == "mps" else found


def on_cpu(state: Any) -> Any:
    """Returns a state dict, or a list or dict of such, with every tensor on the CPU."""
    import torch

    if isinstance(state, torch.Tensor):
        return state.detach().cpu()
    if isinstance(state, Mapping):
        return {name: on_cpu(value) for name, value in state.items()}
    return [on_cpu(value) for value in state] if isinstance(state, (list, tuple)) else state
