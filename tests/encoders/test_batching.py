"""Token-bounded batches."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leaf_embed.encoders.batching import TokenBudget, round_up, token_batches
from leaf_embed.errors import InputError


def test_by_hand():
    batches = token_batches([1, 5, 2, 5, 3], TokenBudget(10))
    assert [batch.tolist() for batch in batches] == [[1, 3], [4, 2, 0]]


@given(st.lists(st.integers(0, 300)), st.integers(1, 1000), st.integers(1, 20), st.sampled_from([1, 8, 16]))
def test_every_row_once_and_no_batch_too_large(lengths, tokens, rows, multiple):
    batches = list(token_batches(lengths, TokenBudget(tokens, rows, multiple)))
    assert sorted(row for batch in batches for row in batch) == list(range(len(lengths)))
    for batch in batches:
        longest = round_up(max(lengths[row] for row in batch), multiple)
        assert len(batch) <= rows
        assert len(batch) == 1 or len(batch) * longest <= tokens


def test_budget_must_be_positive():
    with pytest.raises(InputError, match="positive"):
        TokenBudget(0)
