"""Batches and cuts: what the student sees is what the teacher saw."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sentence_transformers import SentenceTransformer

from leaf_embed.distill import DistillConfig, TeacherCache, Text
from leaf_embed.distill.dataset import epoch_batches
from leaf_embed.distill.students.static import StaticStudent
from leaf_embed.distill.students.transformer import TransformerStudent
from leaf_embed.encoders.transformer import SentenceTransformerEncoder
from leaf_embed.teacher.fill import cut_texts
from tests.conftest import sentences


@given(st.lists(st.integers(1, 50), min_size=1, max_size=300), st.integers(1, 40), st.integers(0, 9))
def test_an_epoch_is_whole_batches_without_repeats(lengths, size, epoch):
    batches = epoch_batches(lengths, size, seed=0, epoch=epoch)
    rows = [row for batch in batches for row in batch]
    assert len(set(rows)) == len(rows) == (len(lengths) // size * size or len(lengths))
    assert {len(batch) for batch in batches} == {min(size, len(lengths))}


def test_the_order_follows_from_seed_and_epoch():
    def order(seed, epoch):
        return [row for batch in epoch_batches(range(100), 8, seed, epoch) for row in batch]

    assert order(1, 2) == order(1, 2)
    assert order(1, 2) != order(1, 3) != order(2, 3)


def test_batches_hold_similar_lengths():
    lengths = np.random.default_rng(0).integers(1, 500, size=3200)
    padding = sum(int((lengths[b].max() - lengths[b]).sum()) for b in epoch_batches(lengths, 32, 0, 0))
    assert padding < 0.05 * lengths.sum()


@pytest.fixture(scope="module")
def teacher(teacher_path):
    return SentenceTransformerEncoder(teacher_path, query_prompt="what is ", precision="float32")


def test_cut_texts_hold_what_the_teacher_is_to_read(teacher):
    texts = [Text(s, k) for s in sentences(40) for k in ("query", "document")] + [Text("  ")]
    tokenizer = teacher.model.tokenizer
    cut = [text for text, _ in cut_texts(texts, tokenizer, teacher.space, 12)]
    assert len(cut) == 80
    for before, after in zip(texts, cut, strict=False):
        prompt = teacher.space.prompt(before.kind)
        expected = tokenizer(prompt + before.text, truncation=True, max_length=12)["input_ids"]
        assert tokenizer(prompt + after.text)["input_ids"] == expected
        assert before.text.startswith(after.text)


def test_tokenized_batches_hold_ids_masks_and_targets(teacher, tmp_path):
    cache = TeacherCache(tmp_path, teacher.space, dtype="float32")
    texts = [Text(s, "query" if i % 2 else "document") for i, s in enumerate(sentences(20))]
    rows = cache.fill(texts, teacher)
    student = TransformerStudent(teacher.model, teacher.space, DistillConfig())
    data, places = student.tokenize(cache, rows, 16), np.array([3, 0])
    features, targets = student.batch(data, places), data.targets(places)
    words = ["what is " + texts[3].text, texts[0].text]
    expected = teacher.model.tokenizer(words, padding="max_length", truncation=True, max_length=16, return_tensors="pt")
    assert features["input_ids"].tolist() == expected["input_ids"].tolist()
    assert features["attention_mask"].tolist() == expected["attention_mask"].tolist()
    assert set(features) == set(teacher.model.tokenizer.model_input_names)
    np.testing.assert_array_equal(targets[0], teacher.encode_query(texts[3].text))
    np.testing.assert_allclose(targets[1], teacher.encode_document(texts[0].text), atol=1e-6)


def test_bags_hold_the_ids_of_one_text_after_another(teacher, tmp_path):
    cache = TeacherCache(tmp_path, teacher.space)
    words = sentences(5)
    rows = cache.fill([Text(s, "query") for s in words], teacher)
    student = StaticStudent(teacher.model, teacher.space)
    bag = student.batch(student.tokenize(cache, rows, 64), np.array([4, 1, 2]))
    prompted = ["what is " + words[place] for place in (4, 1, 2)]
    expected = teacher.model.tokenizer(prompted, add_special_tokens=False)["input_ids"]
    assert bag["input_ids"].tolist() == [*expected[0], *expected[1], *expected[2]]
    assert bag["offsets"].tolist() == [0, len(expected[0]), len(expected[0]) + len(expected[1])]


def test_a_student_with_the_teachers_weights_gives_the_teachers_vectors(teacher):
    student = SentenceTransformer(modules=list(teacher.model), device="cpu")
    assert np.allclose(student.encode("red stone"), teacher.encode_document("red stone"), atol=1e-6)
