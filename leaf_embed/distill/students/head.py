"""A head with hidden layers, computed once per text instead of once per token.

A deep averaging network (Iyyer et al., ACL 2015) on top of the pooled tokens. A transformer's layer costs its weights
at every token; these cost theirs once per text, so that a student of few layers, or of none, gains most by them
(examples/LOG.md). They start as the exact identity: gelu(x) - gelu(-x) = x, so neurons in pairs carry every dimension
through, and the other neurons read random mixtures and have output weights of zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from leaf_embed.errors import InputError

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer

__all__ = ["build_head", "dense_modules", "hidden_widths", "set_linear"]


def build_head(width: int, dim: int, hidden: Sequence[int], *, bias: bool, seed: int) -> list[Any]:
    """Returns Dense modules from pooled features to vectors, with random weights.

    Args:
        width: Dimensions of the pooled features.
        dim: Dimensions of a vector.
        hidden: Width of each hidden layer, none for a single Dense; at least ``2 * dim``, a pair per dimension.
        bias: Of the last Dense; hidden ones have one.
        seed: Of the weights.

    Raises:
        InputError: A hidden layer too narrow.
    """
    import torch
    from sentence_transformers.base.modules import Dense

    narrow = [size for size in hidden if size < 2 * dim]
    if narrow:
        raise InputError(f"hidden layers {narrow} are too narrow; vectors of {dim} dimensions need {2 * dim} at least")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        sizes = [width, *hidden]
        head = [Dense(a, b, activation_function=torch.nn.GELU()) for a, b in zip(sizes, hidden, strict=False)]
        return [*head, Dense(sizes[-1], dim, bias=bias, activation_function=torch.nn.Identity())]


def dense_modules(model: SentenceTransformer) -> list[Any]:
    """Returns the head of a model: its Dense modules, the last of which writes the vectors."""
    return [module for module in model if hasattr(module, "linear")]


def hidden_widths(model: SentenceTransformer) -> tuple[int, ...]:
    """Returns the widths of the hidden layers of a model's head, as ``head`` of :func:`build_head` names them."""
    return tuple(int(dense.linear.out_features) for dense in dense_modules(model)[:-1])


def set_linear(
    head: Sequence[Any], weight: torch.Tensor, bias: torch.Tensor | None, *, size: float, normalized: bool
) -> None:
    """Makes a head compute ``x @ weight.T + bias``, in place; the neurons beside the pairs contribute nothing at first.

    Args:
        head: From :func:`build_head`.
        weight: Shape ``(dim, width)``.
        bias: Shape ``(dim,)``.
        size: Typical norm of the vectors; the pairs carry values of size 1, where a GELU bends most.
        normalized: Whether a Normalize follows. Then the vectors keep the scale of the hidden layers, and an optimizer
            step is as small to the last layer as to the others.
    """
    import torch

    dim, hidden, last = len(weight), [dense.linear for dense in head[:-1]], head[-1].linear
    bias = torch.zeros(dim) if bias is None else bias
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        if hidden:
            scale = dim**0.5 / size
            pairs = torch.cat([torch.eye(dim), -torch.eye(dim)])
            mixed = torch.randn(hidden[0].out_features - 2 * dim, dim, generator=random) / dim**0.5
            spread = scale * torch.cat([pairs, mixed])
            hidden[0].weight.copy_(spread @ weight)
            hidden[0].bias.copy_(spread @ bias)
            for linear in hidden[1:]:
                linear.weight.copy_(torch.randn(linear.weight.shape, generator=random) / linear.in_features**0.5)
                linear.weight[: 2 * dim] = pairs @ _whole(dim, linear.in_features)
                linear.bias.zero_()
            weight, bias = _whole(dim, last.in_features) / (1.0 if normalized else scale), torch.zeros(dim)
        last.weight.copy_(weight)
        if last.bias is not None:
            last.bias.copy_(bias)


def _whole(dim: int, width: int) -> torch.Tensor:
    """The matrix that joins the pairs of a hidden layer again, shape ``(dim, width)``."""
    import torch

    half = torch.eye(dim, width)
    return half - half.roll(dim, dims=1)
