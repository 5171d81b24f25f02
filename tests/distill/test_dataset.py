"""Batches and cuts: what the student sees is what the teacher saw."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sentence_transformers import SentenceTransformer

from leaf_embed.distill import DistillConfig, TeacherCache, Text, dataset, distill
from leaf_embed.distill.dataset import TokenizedTexts, epoch_batches
from leaf_embed.distill.students.static import StaticStudent
from leaf_embed.distill.students.transformer import TransformerStudent
from leaf_embed.encoders.transformer import SentenceTransformerEncoder
from leaf_embed.errors import InputError
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


def test_an_epoch_is_sorted_bucket_by_bucket_as_by_hand():
    lengths, generator = np.random.default_rng(0).integers(1, 9, 1000), np.random.default_rng((3, 5))
    order = generator.permutation(1000)[:999].tolist()
    buckets = [sorted(order[at : at + 3 * 64], key=lengths.__getitem__) for at in range(0, 999, 3 * 64)]
    batches = [bucket[at : at + 3] for bucket in buckets for at in range(0, len(bucket), 3)]
    expected = [batches[place] for place in generator.permutation(333)]
    assert epoch_batches(lengths, 3, seed=3, epoch=5).tolist() == expected


def test_a_batch_costs_the_same_of_a_large_corpus():
    """What a batch allocates is its own size; one number for each text of the corpus would be 24 MB."""
    count = 3_000_000
    texts = TokenizedTexts(np.arange(2 * count, dtype=np.uint32), np.arange(count + 1) * 2, np.arange(count), None)
    tracemalloc.start()
    try:
        tokens, lengths = texts.tokens(np.array([2_999_999, 0, 5]))
        ordered = list(texts.by_length(np.array([7, 6, 5]), 2))
        peak = tracemalloc.get_traced_memory()[1]
        assert texts.longest == 2
        whole = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert tokens.tolist() == [5_999_998, 5_999_999, 0, 1, 10, 11]
    assert lengths.tolist() == [2, 2, 2]
    assert [block.tolist() for block in ordered] == [[7, 6], [5]]
    assert peak < 100_000
    assert whole < 1_000_000


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


@pytest.mark.parametrize("kind", ["transformer", "static"])
def test_texts_are_tokenized_block_by_block(teacher, tmp_path, monkeypatch, kind):
    monkeypatch.setattr(dataset, "BLOCK", 7)
    cache = TeacherCache(tmp_path, teacher.space)
    words = sentences(30)
    rows = cache.fill([Text(s) for s in words], teacher)
    static = kind == "static"
    if static:
        student = StaticStudent(teacher.model, teacher.space)
    else:
        student = TransformerStudent(teacher.model, teacher.space, DistillConfig())
    data = student.tokenize(cache, rows, 64)
    expected = teacher.model.tokenizer(words, add_special_tokens=not static)["input_ids"]
    assert [data.tokens(np.array([place]))[0].tolist() for place in range(30)] == expected
    assert data.lengths().tolist() == [len(ids) for ids in expected]
    assert data.longest == max(map(len, expected))
    assert len(data.ids) == data.starts[-1]
    assert len(student.tokenize(cache, rows[:0], 64).ids) == 0


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


@pytest.mark.parametrize("kind", ["transformer", "static"])
def test_a_prompt_that_leaves_no_room_for_a_text_is_refused(teacher, tmp_path, kind):
    """``what is`` is two tokens and two special ones: four are nothing but prompt, five hold a word."""
    student = "static" if kind == "static" else teacher.model
    words = [Text(s, k) for s in sentences(30) for k in ("query", "document")]
    few = DistillConfig.quick(max_tokens=4, max_steps=1, holdout=0)
    with pytest.raises(InputError, match=r"query prompt 'what is ' takes 4 tokens, and 4 are read.*max_tokens above 4"):
        distill(teacher, words, student, tmp_path / "leaf", few, layers=1, export_graphs=False)
    assert not (tmp_path / "leaf").exists()
    more = DistillConfig.quick(max_tokens=5, teacher_tokens=5, max_steps=1, holdout=0)
    assert distill(teacher, words, student, tmp_path / "leaf", more, layers=1, export_graphs=False).texts > 1
