"""A filled cache as the source of a distillation: what was gathered comes back, in order, with its vectors."""

import copy
import json
import pickle

import numpy as np
import pytest

from leaf_embed import EmbeddingSpace
from leaf_embed.distill import DistillConfig, FilledCache, TeacherCache, Text
from leaf_embed.distill.dataset import split
from leaf_embed.encoders import FunctionEncoder
from leaf_embed.errors import CacheError, CorpusError
from leaf_embed.teacher import filled
from leaf_embed.teacher.fill import gather
from leaf_embed.teacher.filled import forget, remember

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


def test_the_last_corpus_takes_the_place_of_the_one_before(cache):
    remember(cache, np.array([4, 1, 3]), 16)
    remember(cache, np.array([1, 5]), 32)
    found = FilledCache(cache.path)
    assert (found.rows.tolist(), found.max_tokens) == ([1, 5], 32)
    assert len(found.cache) == len(WORDS), "vectors of other texts stay"
    forget(cache)
    forget(cache)
    with pytest.raises(CacheError, match="not filled to the end"):
        FilledCache(cache.path)


def test_whole_texts_have_no_length(cache):
    remember(cache, np.array([0]), None)
    assert FilledCache(cache.path).max_tokens is None


def test_a_cache_that_was_filled_for_something_else_is_refused(cache):
    """By an evaluation, or by a version that did not name what was gathered to learn from."""
    with pytest.raises(CacheError, match=r"does not say which texts .* run leaf-embed cache \.\.\. --corpus"):
        FilledCache(cache.path)


def test_canaries_are_the_caches_own_or_some_of_its_texts(cache, tmp_path):
    remember(cache, np.arange(6), None)
    assert {text for _, text in FilledCache(cache.path).teacher.space.canaries.texts} == set(WORDS)
    space = FilledCache(cache.path).teacher.space
    other = TeacherCache(tmp_path / "other", space)
    remember(other, other.fill_pairs([pair("more")]), None)
    assert FilledCache(other.path).teacher.space.canaries.texts == space.canaries.texts


def test_what_cannot_be_opened(cache, tmp_path):
    with pytest.raises(CacheError, match=r"holds no teacher cache \(no cache\.json\); fill one with leaf-embed cache"):
        FilledCache(tmp_path)
    file = cache.path / "corpus.npz"
    remember(cache, np.array([0]), None)
    for damaged in (b"nothing", b"", file.read_bytes()[:200]):
        file.write_bytes(damaged)
        with pytest.raises(CacheError, match=r"cannot read .*corpus\.npz .*delete it"):
            FilledCache(cache.path)
    np.savez(file, rows=np.array([1, 99]), max_tokens=8)
    with pytest.raises(CacheError, match="names more texts than the cache holds"):
        FilledCache(cache.path)
    file.unlink()
    remember(cache, np.array([0]), None)
    header = cache.path / "cache.json"
    header.write_text(json.dumps(json.loads(header.read_text()) | {"version": 9}))
    with pytest.raises(CacheError, match="format version 9"):
        FilledCache(cache.path)
    empty = TeacherCache(tmp_path / "empty", SPACE)
    remember(empty, np.arange(0), None)
    with pytest.raises(CorpusError, match="not one text with a vector in the cache"):
        _ = FilledCache(empty.path).teacher


def test_a_text_is_of_every_role_in_which_it_was_gathered(tmp_path):
    """Whoever wrote its row first: an evaluation as documents, then a corpus as queries, and some as both."""
    cache = TeacherCache(tmp_path / "cache", SPACE)
    teacher = FunctionEncoder(SPACE, document=lambda words: [pair(word)[1] for word in words])
    cache.fill(map(Text, WORDS), teacher)
    corpus = [Text("tree", "query"), Text("sun", "query"), Text("sun"), Text("sun"), Text("see"), Text("see", "query")]
    found = gather(cache, corpus, teacher, 16)
    assert dict(zip((text.text for text in cache.texts(found.rows)), found.roles.tolist(), strict=True)) == {
        "tree": 2,
        "sun": 3,
        "see": 3,
    }
    assert found.skipped == {"the same text again": 1}
    remember(cache, found.rows, None, found.roles)
    filled = FilledCache(cache.path)
    assert list(filled) == [Text("tree", "query"), *(Text(w, k) for w in ("sun", "see") for k in ("document", "query"))]
    again = gather(TeacherCache(tmp_path / "other", SPACE), (), filled.teacher, 16)
    assert again.roles.tolist() == [2, 3, 3]
    assert again.skipped == {}
    learned, _ = split(found.rows, found.roles, DistillConfig(query_share=0.75, holdout=0), lambda rows: rows)
    assert sorted(np.bincount(learned, minlength=6)[found.rows].tolist()) == [2, 3, 3], "6 queries, 2 documents"


def test_roles_of_a_manifest_without_them_are_those_that_were_written(cache):
    np.savez(cache.path / "corpus.npz", rows=np.array([1, 0]), max_tokens=0)
    assert FilledCache(cache.path).roles.tolist() == [1, 1]
    np.savez(cache.path / "corpus.npz", rows=np.array([1, 0]), roles=np.array([1, 4]), max_tokens=0)
    with pytest.raises(CacheError, match="roles that are none"):
        FilledCache(cache.path)


def test_kinds_are_kept(tmp_path):
    cache = TeacherCache(tmp_path / "cache", SPACE)
    remember(cache, cache.fill_pairs([(Text("a", "query"), [1, 0, 1]), (Text("b"), [2, 0, 1])]), None)
    assert list(FilledCache(cache.path)) == [Text("a", "query"), Text("b")]


@pytest.mark.parametrize("move", [lambda value: pickle.loads(pickle.dumps(value)), copy.deepcopy])
def test_caches_travel_as_their_directory(cache, move, monkeypatch):
    remember(cache, np.array([4, 1]), 16)
    monkeypatch.chdir(cache.path.parent)
    one, filled = move(TeacherCache("cache", SPACE, shard_rows=3)), move(FilledCache("cache"))
    monkeypatch.chdir("/")
    assert one.vectors(np.array([0])).tolist() == [pair("tree")[1]]
    assert (one.shard_rows, filled.max_tokens, filled.rows.tolist()) == (3, 16, [4, 1])
    assert len(pickle.dumps(cache)) < 2000, "no array is sent"
    sent = pickle.dumps(cache)
    (cache.path / "cache.json").unlink()
    with pytest.raises(CacheError, match="no teacher cache at"):
        pickle.loads(sent)
