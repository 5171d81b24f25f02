"""The teacher cache: nothing is paid for twice, nothing is mixed, nothing is lost."""

import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from leaf_embed import EmbeddingSpace
from leaf_embed.distill import CachedEncoder, TeacherCache, Text
from leaf_embed.encoders import BaseEncoder
from leaf_embed.errors import CacheError, SpaceMismatchError, VectorError
from leaf_embed.teacher.shards import Shards

SPACE = EmbeddingSpace("counting", 3, query_prompt="q: ", unit_norm=False)


class Counting(BaseEncoder):
    """The vector of a text is [number of characters, number of e's, 1]; it remembers what it was asked."""

    def __init__(self, space=SPACE):
        self._space = space
        self.asked = []

    @property
    def space(self):
        return self._space

    def _encode(self, texts, role):
        self.asked.extend(texts)
        rows = [[len(t), t.count("e"), 1] for t in (self.space.prompt(role) + text for text in texts)]
        return np.array(rows, dtype=np.float32)


def some(*words):
    return [Text(word) for word in words]


def test_vectors_and_texts_come_back_in_order(tmp_path):
    cache = TeacherCache(tmp_path, SPACE, shard_rows=2)
    rows = cache.fill(some("tree", "sun", "bee", "sea", "a"), Counting())
    assert cache.vectors(rows[::-1]).tolist() == [[1, 0, 1], [3, 1, 1], [3, 2, 1], [3, 0, 1], [4, 2, 1]]
    assert [t.text for t in cache.texts(rows[::-1])] == ["a", "sea", "bee", "sun", "tree"]
    assert len(cache) == 5


def test_a_text_is_embedded_once(tmp_path):
    teacher = Counting()
    TeacherCache(tmp_path, SPACE, shard_rows=2).fill(some("a", "b", "a", "c", "b"), teacher)
    again = TeacherCache(tmp_path, SPACE)
    rows = again.fill(some("c", "d", "a"), teacher)
    assert teacher.asked == ["a", "b", "c", "d"]
    assert [t.text for t in again.texts(rows)] == ["c", "d", "a"]


def test_a_cache_knows_its_own_space(tmp_path):
    TeacherCache(tmp_path / "full", SPACE).fill(some("a"), Counting())
    found = TeacherCache.stored(tmp_path / "full")
    assert (found.space, len(found)) == (SPACE, 1)
    with pytest.raises(CacheError, match=r"no cache\.json"):
        TeacherCache.stored(tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_the_prompt_is_part_of_the_content(tmp_path):
    teacher = Counting()
    cache = TeacherCache(tmp_path, SPACE)
    rows = cache.fill([Text("sea"), Text("sea", "query"), Text("sea")], teacher)
    assert cache.vectors(rows).tolist() == [[3, 1, 1], [6, 1, 1]]
    assert [t.kind for t in cache.texts(rows)] == ["document", "query"]


def test_without_prompts_a_text_is_one_row_in_both_roles(tmp_path):
    space = replace(SPACE, query_prompt="")
    cache = TeacherCache(tmp_path, space)
    assert len(cache.fill([Text("sea"), Text("sea", "query")], Counting(space))) == 1


def test_another_teacher_never_mixes_in(tmp_path):
    TeacherCache(tmp_path, SPACE).fill(some("a"), Counting())
    other = replace(SPACE, teacher="other")
    with pytest.raises(SpaceMismatchError, match="counting"):
        TeacherCache(tmp_path, other)
    with pytest.raises(SpaceMismatchError):
        TeacherCache(tmp_path, SPACE).fill(some("b"), Counting(other))


@pytest.mark.parametrize(
    ("value", "message"), [(float("nan"), "NaN or infinity for 'bad'"), (0, "only zeros for 'bad'")]
)
def test_bad_vectors_are_rejected_with_their_text(tmp_path, value, message):
    class Broken(Counting):
        def _encode(self, texts, role):
            rows = super()._encode(texts, role)
            rows[[t == "bad" for t in texts]] = value
            return rows

    cache = TeacherCache(tmp_path, SPACE, shard_rows=2)
    with pytest.raises(VectorError, match=message):
        cache.fill(some("a", "b", "c", "bad", "d"), Broken())
    assert len(TeacherCache(tmp_path, SPACE)) == 2


def test_wrongly_sized_vectors_are_rejected(tmp_path):
    class Narrow(Counting):
        def _encode(self, texts, role):
            return super()._encode(texts, role)[:, :2]

    with pytest.raises(VectorError, match="2 dimensions; expected 3"):
        TeacherCache(tmp_path, SPACE).fill(some("a"), Narrow())


def test_float16_is_close_and_float32_exact(tmp_path):
    class Irrational(Counting):
        def _encode(self, texts, role):
            return super()._encode(texts, role) * np.float32(np.pi)

    for dtype, tolerance in (("float16", 1e-3), ("float32", 0)):
        cache = TeacherCache(tmp_path / dtype, SPACE, dtype=dtype)
        row = cache.vectors(cache.fill(some("tree"), Irrational()))[0]
        np.testing.assert_allclose(row, np.array([4, 2, 1], np.float32) * np.float32(np.pi), rtol=tolerance)


def test_a_second_writer_is_refused_and_a_reader_is_not(tmp_path):
    cache = TeacherCache(tmp_path, SPACE, shard_rows=1)
    cache.fill(some("a"), Counting())
    refused = []

    def texts():
        yield Text("b")
        with pytest.raises(CacheError, match="another process is writing"):
            TeacherCache(tmp_path, SPACE).fill(some("c"), Counting())
        assert len(TeacherCache(tmp_path, SPACE).fill(some("b", "a"), Counting())) == 2, "nothing new: no lock"
        refused.append(len(TeacherCache(tmp_path, SPACE)))

    cache.fill(texts(), Counting())
    assert refused == [2]


def test_a_cache_that_cannot_be_written_is_read(tmp_path, monkeypatch):
    TeacherCache(tmp_path, SPACE).fill(some("a", "b"), Counting())

    def refuse(self):
        raise PermissionError(".lock")

    monkeypatch.setattr(Shards, "lock", refuse)
    assert TeacherCache(tmp_path, SPACE).fill(some("b", "a"), Counting()).tolist() == [1, 0]


def test_a_writer_sees_what_another_wrote_meanwhile(tmp_path):
    first, second, teacher = TeacherCache(tmp_path, SPACE), TeacherCache(tmp_path, SPACE), Counting()
    first.fill(some("a", "b"), teacher)
    rows = second.fill(some("b", "c"), teacher)
    assert teacher.asked == ["a", "b", "c"]
    assert [t.text for t in second.texts(rows)] == ["b", "c"]


def test_many_keys_are_found_after_merging(tmp_path):
    cache = TeacherCache(tmp_path, SPACE, shard_rows=30_000)
    words = [f"word {i}" for i in range(90_000)]
    rows = cache.fill(map(Text, words), Counting())
    assert np.array_equal(rows, cache.rows(map(Text, words)))
    with pytest.raises(CacheError, match="fill it first"):
        cache.rows(some("unknown"))


def test_damage_is_named(tmp_path):
    TeacherCache(tmp_path / "a", SPACE).fill(some("a", "b"), Counting())
    shard = tmp_path / "a" / "shards" / "000000.npy"
    np.save(shard, np.ones((1, 3), np.float16))
    with pytest.raises(CacheError, match=r"holds \(1, 3\); expected \(2, 3\)"):
        TeacherCache(tmp_path / "a", SPACE)
    shard.write_bytes(b"half")
    with pytest.raises(CacheError, match="is damaged"):
        TeacherCache(tmp_path / "a", SPACE)
    (tmp_path / "a" / "cache.json").write_text("{")
    with pytest.raises(CacheError, match="cannot read"):
        TeacherCache(tmp_path / "a", SPACE)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "mine.txt").write_text("mine")
    with pytest.raises(CacheError, match="neither empty nor a teacher cache"):
        TeacherCache(tmp_path / "b", SPACE)


def test_kill_at_any_moment_loses_the_shard_in_flight_at_most(tmp_path):
    program = textwrap.dedent(
        """
        import sys, time
        sys.path.insert(0, {root!r})
        from tests.teacher.test_cache import SPACE, Counting
        from leaf_embed.distill import TeacherCache, Text
        def texts():
            for i in range(100_000):
                yield Text(f"word {{i}}")
        cache = TeacherCache({path!r}, SPACE, shard_rows=20)
        cache.fill(texts(), Counting(), lambda stage, seen, total, note: print(seen, flush=True))
        """
    ).format(root=str(Path.cwd()), path=str(tmp_path / "cache"))
    for turn in range(3):
        process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
        acknowledged = [int(process.stdout.readline()) for _ in range(5 + 3 * turn)][-1]
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        cache = TeacherCache(tmp_path / "cache", SPACE, shard_rows=20)
        assert len(cache) >= acknowledged
        assert len(cache) % 20 == 0
        words = [Text(f"word {i}") for i in range(len(cache))]
        assert cache.vectors(cache.rows(words))[:, 0].tolist() == [len(w.text) for w in words]


def test_cached_encoder_asks_once(tmp_path):
    teacher = Counting()
    encoder = CachedEncoder(TeacherCache(tmp_path, SPACE), teacher)
    assert encoder.encode_document(["sea", "a", "sea"]).tolist() == [[3, 1, 1], [1, 0, 1], [3, 1, 1]]
    assert encoder.encode_query("sea").tolist() == [6, 1, 1]
    encoder.encode_document("sea")
    assert teacher.asked == ["sea", "a", "sea"]
