"""What all encoders share: shapes, roles and refusal of what is no text."""

import asyncio
import time

import numpy as np
import pytest

from leaf_embed import EmbeddingSpace, Encoder
from leaf_embed.encoders import BaseEncoder
from leaf_embed.errors import InputError


class Lengths(BaseEncoder):
    """The vector of a text is [its number of characters, 1 for a query]."""

    space = EmbeddingSpace("lengths", 2, unit_norm=False)

    def _encode(self, texts, role):
        return np.array([[len(text), role == "query"] for text in texts], dtype=np.float32)


def test_one_text_gives_a_vector():
    assert Lengths().encode_query("abc").tolist() == [3, 1]


def test_many_texts_give_a_matrix_in_order():
    assert Lengths().encode_document(["abc", "", "ab"]).tolist() == [[3, 0], [0, 0], [2, 0]]


def test_any_sequence_will_do():
    assert Lengths().encode_query(("a", "bb")).shape == (2, 2)


def test_no_texts_give_no_rows():
    empty = Lengths().encode_query([])
    assert (empty.shape, empty.dtype) == ((0, 2), np.float32)


def test_lone_surrogates_become_the_replacement_character():
    seen = []

    class Spy(Lengths):
        def _encode(self, texts, role):
            seen.extend(texts)
            return super()._encode(texts, role)

    Spy().encode_query(["a\ud800b", "smile \ud83d\ude00"])
    assert seen == ["a\ufffdb", "smile \U0001f600"]


@pytest.mark.parametrize("bad", [None, 3, b"bytes"])
def test_what_is_no_text(bad):
    with pytest.raises(InputError, match="expected a text or a sequence of texts"):
        Lengths().encode_query(bad)


def test_the_item_that_is_no_text_is_named():
    with pytest.raises(InputError, match="item 1 is of type NoneType"):
        Lengths().encode_query(["a", None])


def test_is_an_encoder():
    assert isinstance(Lengths(), Encoder)


def test_waiting_does_not_block_the_loop():
    """While one slow text is encoded, the loop turns."""

    class Slow(Lengths):
        def _encode(self, texts, role):
            time.sleep(0.2)
            return super()._encode(texts, role)

    async def ask():
        turns = 0
        task = asyncio.ensure_future(asyncio.gather(Slow().aencode_query("abc"), Slow().aencode_document(["a", "bb"])))
        while not task.done():
            await asyncio.sleep(0.005)
            turns += 1
        return turns, await task

    turns, (query, documents) = asyncio.run(ask())
    assert turns > 5
    assert query.tolist() == [3, 1]
    assert documents.tolist() == [[1, 0], [2, 0]]
