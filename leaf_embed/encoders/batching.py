"""Batches bounded by tokens, since the cost of a batch is its rows times its longest row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from leaf_embed.errors import InputError

__all__ = ["TokenBudget", "round_up", "token_batches"]


@dataclass(frozen=True)
class TokenBudget:
    """The largest batch.

    Attributes:
        tokens: Maximum of rows times padded length; a single longer text still makes a batch of its own.
        rows: Maximal number of rows.
        multiple: Lengths are padded to a multiple of this, so that few shapes occur.
    """

    tokens: int
    rows: int = 1024
    multiple: int = 1

    def __post_init__(self) -> None:
        if min(self.tokens, self.rows, self.multiple) < 1:
            raise InputError(f"a token budget needs positive numbers; got {self}")


def round_up(value: int, multiple: int) -> int:
    """Returns the smallest multiple of ``multiple`` that is at least ``value``."""
    return -(-value // multiple) * multiple


def token_batches(lengths: Sequence[int], budget: TokenBudget) -> Iterator[NDArray[np.intp]]:
    """Splits texts into batches of similar length.

    Args:
        lengths: Number of tokens of each text.
        budget: The largest batch.

    Yields:
        Row numbers of one batch, longest texts first, so that a lack of memory shows at once, not at the end.
        Every row occurs exactly once; the order of equal lengths is kept.
    """
    order = np.argsort(-np.asarray(lengths, dtype=np.intp), kind="stable")
    start = 0
    while start < len(order):
        longest = max(1, round_up(int(lengths[order[start]]), budget.multiple))
        rows = min(budget.rows, max(1, budget.tokens // longest))
        yield order[start : start + rows]
        start += rows
