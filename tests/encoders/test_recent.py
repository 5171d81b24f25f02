"""The memory of query vectors: what is asked twice is computed once, and roles never meet."""

import threading

import numpy as np
import pytest

import leaf_embed
from leaf_embed import EmbeddingSpace
from leaf_embed.encoders import BaseEncoder
from leaf_embed.encoders.recent import RecentQueries
from leaf_embed.errors import InputError


class Counting(BaseEncoder):
    """The vector of a text is [its number of characters, 1 for a query]; remembers what it was asked."""

    space = EmbeddingSpace("lengths", 2, unit_norm=False)

    def __init__(self):
        self.asked = []

    def _encode(self, texts, role):
        self.asked.extend(texts)
        return np.array([[len(text), role == "query"] for text in texts], dtype=np.float32)


def test_asked_twice_computed_once():
    inner = Counting()
    memory = RecentQueries(inner, 8)
    assert memory.encode_query("abc").tolist() == [3, 1]
    assert memory.encode_query(["ab", "abc", "ab", ""]).tolist() == [[2, 1], [3, 1], [2, 1], [0, 1]]
    assert inner.asked == ["abc", "ab", ""]


def test_the_least_recently_asked_goes_first():
    inner = Counting()
    memory = RecentQueries(inner, 2)
    for text in ("a", "b", "a", "c", "a", "b"):
        memory.encode_query(text)
    assert inner.asked == ["a", "b", "c", "b"]
    assert len(memory) == 2
    memory.clear()
    assert len(memory) == 0


def test_a_document_never_gets_a_querys_vector():
    memory = RecentQueries(Counting(), 8)
    memory.encode_query("abc")
    assert memory.encode_document("abc").tolist() == [3, 0]
    assert memory.encode_query("abc").tolist() == [3, 1]
    assert len(memory) == 1


def test_a_caller_may_write_into_what_it_gets():
    memory = RecentQueries(Counting(), 8)
    memory.encode_query("abc")[:] = 7
    memory.encode_query("abc")[:] = 8
    assert memory.encode_query("abc").tolist() == [3, 1]


def test_more_queries_than_room():
    assert RecentQueries(Counting(), 1).encode_query(["a", "bb", "ccc"]).tolist() == [[1, 1], [2, 1], [3, 1]]


def test_many_threads():
    memory, wrong = RecentQueries(Counting(), 5), []

    def ask(seed):
        for number in np.random.default_rng(seed).integers(0, 12, 400):
            if memory.encode_query("x" * number).tolist() != [number, 1]:
                wrong.append(number)

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert len(memory) == 5


def test_a_leaf_with_a_memory(leaf_path):
    plain, memory = leaf_embed.load(leaf_path), leaf_embed.load(leaf_path, document="leaf", cache_size=4)
    for _ in range(2):
        np.testing.assert_array_equal(memory.encode_query("red stone"), plain.encode_query("red stone"))
    assert memory.encode_document("red stone").shape == (32,)


def test_no_room():
    with pytest.raises(InputError, match="at least one vector"):
        RecentQueries(Counting(), 0)
