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
        numbers = (self.tokens, self.rows, self.multiple)
        if not all(isinstance(one, int) and not isinstance(one, bool) and one > 0 for one in numbers):
            raise InputError(f"a token budget needs positive whole numbers; got {numbers!r:.80}")


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

    Raises:
        InputError: Lengths that are no whole numbers.
    """
    try:
        known = np.asarray(lengths, dtype=np.intp).reshape(-1)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"expected the number of tokens of each text; got {lengths!r:.80} ({error})") from error
    order = np.argsort(-known, kind="stable")
    start = 0
    while start < len(order):
        longest = max(1, round_up(int(known[order[start]]), budget.multiple))
        rows = min(budget.rows, max(1, budget.tokens // longest))
        yield order[start : start + rows]
        start += rows
