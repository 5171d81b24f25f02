"""A filled cache as the source of a distillation: what was gathered comes back, in order, with its vectors."""

import json

import numpy as np
import pytest

from leaf_embed import EmbeddingSpace
from leaf_embed.distill import FilledCache, TeacherCache, Text
from leaf_embed.errors import CacheError, CorpusError
from leaf_embed.teacher import filled
from leaf_embed.teacher.filled import remember

SPACE = EmbeddingSpace("declared", 3, unit_norm=False)
WORDS = ["tree", "sun", "bee", "see", "a", "queue"]


def pair(word):
    """The vector of a text is [number of characters, number of e's, 1]."""
    return word, [len(word), word.count("e"), 1.0]


@pytest.fixture
def cache(tmp_path):
    cache = TeacherCache(tmp_path / "cache", SPACE, shard_rows=2)
    cache.fill_pairs(map(pair, WORDS))
    return cache


def test_texts_come_back_in_the_order_in_which_they_were_gathered(cache, monkeypatch):
    monkeypatch.setattr(filled, "BLOCK", 2)
    remember(cache, np.array([4, 1, 0]), 16)
    found = FilledCache(cache.path)
    assert [text.text for text in found] == ["a", "sun", "tree"]
    assert [text.text for text in found] == ["a", "sun", "tree"], "more than once"
    assert (len(found), found.max_tokens) == (3, 16)
    teacher = found.teacher
    assert teacher.total == 3
    assert [(text.text, list(row)) for text, row in teacher] == [pair(word) for word in ("a", "sun", "tree")]


def test_what_is_gathered_later_is_added_and_nothing_twice(cache):
    remember(cache, np.array([4, 1]), 16)
    remember(cache, np.array([1, 5, 4, 0]), 32)
    found = FilledCache(cache.path)
    assert found.rows.tolist() == [4, 1, 5, 0]
    assert found.max_tokens == 32
    before = (cache.path / "corpus.npz").read_bytes()
    remember(cache, np.array([5, 4]), None)
    assert (cache.path / "corpus.npz").read_bytes() == before


def test_whole_texts_have_no_length(cache):
    remember(cache, np.array([0]), None)
    assert FilledCache(cache.path).max_tokens is None


def test_a_cache_made_before_is_taken_whole(cache):
    found = FilledCache(cache.path)
    assert [text.text for text in found] == WORDS
    assert found.max_tokens is None


def test_canaries_are_the_caches_own_or_some_of_its_texts(cache, tmp_path):
    assert {text for _, text in FilledCache(cache.path).teacher.space.canaries.texts} == set(WORDS)
    space = FilledCache(cache.path).teacher.space
    other = TeacherCache(tmp_path / "other", space)
    other.fill_pairs([pair("more")])
    assert FilledCache(other.path).teacher.space.canaries.texts == space.canaries.texts


def test_what_cannot_be_opened(cache, tmp_path):
    with pytest.raises(CacheError, match=r"holds no teacher cache \(no cache\.json\); fill one with leaf-embed cache"):
        FilledCache(tmp_path)
    file = cache.path / "corpus.npz"
    file.write_text("nothing")
    with pytest.raises(CacheError, match=r"cannot read .*corpus\.npz .*delete it"):
        FilledCache(cache.path)
    np.savez(file, rows=np.array([1, 99]), max_tokens=8)
    with pytest.raises(CacheError, match="names more texts than the cache holds"):
        FilledCache(cache.path)
    file.unlink()
    header = cache.path / "cache.json"
    header.write_text(json.dumps(json.loads(header.read_text()) | {"version": 9}))
    with pytest.raises(CacheError, match="format version 9"):
        FilledCache(cache.path)
    empty = TeacherCache(tmp_path / "empty", SPACE)
    with pytest.raises(CorpusError, match="not one text with a vector in the cache"):
        _ = FilledCache(empty.path).teacher


def test_kinds_are_kept(tmp_path):
    cache = TeacherCache(tmp_path / "cache", SPACE)
    cache.fill_pairs([(Text("a", "query"), [1, 0, 1]), (Text("b"), [2, 0, 1])])
    assert list(FilledCache(cache.path)) == [Text("b"), Text("a", "query")]
