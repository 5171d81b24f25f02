"""What teacher and student read of a text: one cut for every student, and targets of text that both have read."""

import json

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

from leaf_embed import EmbeddingSpace
from leaf_embed.distill import DistillConfig, FilledCache, StoredVectors, TeacherCache, Text, distill
from leaf_embed.distill.dataset import tokenize
from leaf_embed.distill.reading import leave_out_longer
from leaf_embed.encoders import CallableEncoder, FunctionEncoder
from leaf_embed.errors import CacheError, InputError
from leaf_embed.teacher.fill import cut_texts, gather
from leaf_embed.teacher.filled import remember
from tests.conftest import sentences

SPACE = EmbeddingSpace("lengths", 3, unit_norm=False)
LONG = "tree " * 100


def lengths(texts):
    return [[len(text), text.count("e"), 1.0] for text in texts]


class Letters:
    """A student to which every character is a token."""

    tokenizer = None

    def tokenize(self, cache, rows, max_tokens):
        return tokenize(lambda texts: [list(map(ord, text[:max_tokens])) for text in texts], cache, rows, max_tokens)


@pytest.fixture
def asked():
    return []


@pytest.fixture
def teacher(asked):
    def encode(texts):
        asked.extend(texts)
        return lengths(texts)

    return FunctionEncoder(SPACE, document=encode)


def test_another_student_or_length_makes_no_further_call(teacher_path, tmp_path):
    """Texts that each student would cut elsewhere; paid once, also where a student cannot use the long ones."""
    asked = []

    def encode(texts):
        asked.extend(texts)
        return np.random.default_rng(0).normal(size=(64, 8))[[len(text) % 64 for text in texts]]

    corpus = [*sentences(30), *(" ".join(sentences(40)[i : i + 3]) for i in range(8))]
    teacher = CallableEncoder(encode, "paid")
    cache = tmp_path / "cache"
    tokenizer = SentenceTransformer(str(teacher_path), device="cpu").tokenizer
    longer = sum(len(ids) > 24 for ids in tokenizer(corpus)["input_ids"])
    assert longer >= 8
    for place, (layers, tokens, left_out) in enumerate([(1, 256, 0), (2, 512, 0), (1, 24, longer)]):
        config = DistillConfig(max_steps=1, holdout=0, max_tokens=tokens, precision="float32")
        output = tmp_path / f"leaf-{place}"
        found = distill(teacher, corpus, teacher_path, output, config, layers=layers, cache=cache, export_graphs=False)
        if not place:
            paid = len(asked)
        assert len(asked) == paid, "nothing is asked for again"
        assert found.skipped.get("longer than the student reads", 0) == left_out
        assert found.texts == 38 - left_out


def test_texts_are_cut_by_the_teacher_alone(teacher):
    texts = [Text("short"), Text(LONG), Text("\u03b1" * 30, "query")]
    space = EmbeddingSpace("a", 3, query_prompt="q: ", max_tokens=8)
    cut = list(cut_texts(texts, None, space, 256))
    assert cut == [(Text("short"), True), (Text(LONG[:28]), False), (Text("\u03b1" * 12, "query"), False)]
    assert [len(text.text) for text, _ in cut_texts(texts, None, EmbeddingSpace("a", 3), 11)] == [5, 40, 20]


def test_a_student_learns_from_what_it_reads_whole(teacher, tmp_path):
    cache = TeacherCache(tmp_path, SPACE)
    found = gather(cache, ["a" * 7, "b" * 8, "c" * 9, "d" * 3], teacher, 256)
    kept = leave_out_longer(found, cache, teacher, Letters(), 8, 256)
    assert [text.text[0] for text in cache.texts(kept.rows)] == ["a", "b", "d"]
    assert kept.roles.tolist() == [1, 1, 1]
    assert kept.skipped == {"longer than the student reads": 1}
    with pytest.raises(
        InputError, match=r"3 of 4 texts have more than the 6 tokens .*\(max_tokens of .* teacher_tokens"
    ):
        leave_out_longer(found, cache, teacher, Letters(), 6, 256)
    stored = StoredVectors([("x" * 9, [1, 2, 3.0])], SPACE)
    assert leave_out_longer(found, cache, stored, Letters(), 6, 256) == found, "vectors that came with whole texts"


def test_a_cache_of_an_earlier_release_is_read_but_not_filled_again_in_silence(teacher, asked, tmp_path):
    cache = TeacherCache(tmp_path, SPACE)
    rows = cache.fill([Text("short"), Text(LONG[:50])], teacher)
    remember(cache, rows, 12)
    header = json.loads((tmp_path / "cache.json").read_text())
    (tmp_path / "cache.json").write_text(json.dumps(header | {"version": 1}))
    old, before = TeacherCache(tmp_path, SPACE), len(asked)
    filled = FilledCache(tmp_path)
    assert [text.text for text in filled] == ["short", LONG[:50]]
    assert len(gather(old, filled, teacher, 4).rows) == 2, "as they were cut"
    assert len(gather(old, ["short"], teacher, 4).rows) == 1
    with pytest.raises(CacheError, match=r"filled by an earlier release.* would embed them again.* another directory"):
        gather(old, ["short", LONG], teacher, 64)
    assert len(asked) == before
