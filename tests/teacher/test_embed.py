"""The teacher's pass: progress every few seconds however slow the teacher is, and few calls of a quick one."""

import numpy as np
import pytest

from leaf_embed import EmbeddingSpace
from leaf_embed.distill import TeacherCache, Text
from leaf_embed.encoders import BaseEncoder
from leaf_embed.teacher import embed

SPACE = EmbeddingSpace("timed", 2, unit_norm=False)


class Clock(BaseEncoder):
    """A teacher of a known speed, and the clock that it takes its time from."""

    def __init__(self, texts_per_second):
        self.now, self.speed, self.calls = 0.0, texts_per_second, []

    @property
    def space(self):
        return SPACE

    def _encode(self, texts, role):
        self.now += len(texts) / self.speed
        self.calls.append(len(texts))
        if len(self.calls) == getattr(self, "fails_at", None):
            raise KeyboardInterrupt
        return np.array([[len(text), 1] for text in texts], dtype=np.float32)


@pytest.fixture
def timed(monkeypatch):
    def make(speed):
        teacher = Clock(speed)
        monkeypatch.setattr(embed.time, "monotonic", lambda: teacher.now)
        return teacher

    return make


def some(count):
    return [Text("x" * (1 + i % 7) + str(i)) for i in range(count)]


@pytest.mark.parametrize(("speed", "longest"), [(1.0, 32), (20.0, 2.6), (500.0, 2.6), (20_000.0, 2.6)])
def test_progress_moves_every_few_seconds(timed, tmp_path, speed, longest):
    teacher, moments = timed(speed), [(0.0, 0)]
    texts = some(5000 if speed > 1 else 200)
    rows = TeacherCache(tmp_path, SPACE).fill(
        texts, teacher, lambda stage, seen, total, note: moments.append((teacher.now, seen))
    )
    assert len(rows) == len(texts) == moments[-1][1]
    assert [seen for _, seen in moments] == sorted(seen for _, seen in moments)
    waits = np.diff([moment for moment, _ in moments])
    assert waits.max() <= longest, "the first call is a guess"
    assert waits[1:].max() <= 2.6


def test_a_quick_teacher_is_called_with_whole_shards(timed, tmp_path):
    teacher = timed(20_000.0)
    TeacherCache(tmp_path, SPACE).fill(some(10_000), teacher)
    assert teacher.calls[-3:] == [2048, 2048, 10_000 - 4 * 2048]
    assert len(teacher.calls) < 12


def test_texts_of_similar_length_come_together(timed, tmp_path):
    teacher, lengths = timed(20.0), []
    encode = teacher._encode
    teacher._encode = lambda texts, role: lengths.extend(map(len, texts)) or encode(texts, role)
    TeacherCache(tmp_path, SPACE).fill(some(300), teacher)
    assert lengths == sorted(lengths, reverse=True)


def test_what_was_embedded_before_an_interruption_is_kept(timed, tmp_path):
    teacher = timed(20.0)
    teacher.fails_at = 3
    with pytest.raises(KeyboardInterrupt):
        TeacherCache(tmp_path, SPACE).fill(some(300), teacher)
    assert len(TeacherCache(tmp_path, SPACE)) == sum(teacher.calls[:2])
