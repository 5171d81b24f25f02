"""Vectors that exist already: no teacher is called, nothing wrong gets in."""

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sentence_transformers import SentenceTransformer

import leaf_embed
from leaf_embed import EmbeddingSpace
from leaf_embed.distill import DistillConfig, StoredVectors, TeacherCache, Text, VectorFiles, distill
from leaf_embed.encoders.transformer import SentenceTransformerEncoder
from leaf_embed.errors import CacheError, CorpusError, InputError, SpaceMismatchError, VectorError
from leaf_embed.format import read_leaf
from tests.conftest import make_model, sentences

SPACE = EmbeddingSpace("declared", 3, unit_norm=False)
CONFIG = DistillConfig.quick(max_steps=60, learning_rate=2e-3, precision="float32", holdout=0.1)


def pairs(*words):
    """The vector of a text is [number of characters, number of e's, 1]."""
    return [(word, [len(word), word.count("e"), 1.0]) for word in words]


@pytest.fixture(scope="module")
def stored_rows(teacher_path):
    words = sentences(300, seed=3)
    return words, SentenceTransformer(str(teacher_path), device="cpu").encode(words)


def write_parquet(file, words, rows, **columns):
    lists = [None if row is None else list(map(float, row)) for row in rows]
    pq.write_table(pa.table({"text": words, "vector": lists, **columns}), file)
    return file


# --- the cache takes pairs -------------------------------------------------------------------------------------------


def test_pairs_are_kept_once_and_in_order(tmp_path):
    cache = TeacherCache(tmp_path, SPACE, shard_rows=2)
    seen = []
    rows = cache.fill_pairs(pairs("tree", "sun", "tree", "bee"), lambda *at: seen.append(at))
    assert [t.text for t in cache.texts(rows)] == ["tree", "sun", "bee"]
    assert cache.vectors(rows).tolist() == [[4, 2, 1], [3, 0, 1], [3, 2, 1]]
    assert seen == [
        ("vectors", 2, None, "2 taken over, rest known"),
        ("vectors", 4, None, "3 taken over, rest known"),
    ]
    again = TeacherCache(tmp_path, SPACE)
    assert again.fill_pairs(pairs("bee", "sea")).tolist() == [2, 3]


def test_of_a_text_that_comes_twice_the_first_vector_stays(tmp_path):
    cache = TeacherCache(tmp_path, SPACE)
    rows = cache.fill_pairs([("a", [1, 2, 3]), ("a", [4, 5, 6])])
    assert cache.vectors(rows).tolist() == [[1, 2, 3]]


def test_kinds_are_kept_apart_by_their_prompts(tmp_path):
    cache = TeacherCache(tmp_path, replace(SPACE, query_prompt="q: "))
    rows = cache.fill_pairs([(Text("a", "query"), [1, 2, 3]), ("a", [4, 5, 6])])
    assert {(t.kind, tuple(v)) for t, v in zip(cache.texts(rows), cache.vectors(rows).tolist(), strict=True)} == {
        ("query", (1, 2, 3)),
        ("document", (4, 5, 6)),
    }


@pytest.mark.parametrize(
    ("vector", "message"),
    [
        ([1, float("nan"), 1], "NaN or infinity for 'bad'"),
        ([0, 0, 0], "only zeros for 'bad'"),
        ([1, 2], r"'bad' has shape \(2,\); expected \(3,\)"),
        ([[1, 2, 3]], r"'bad' has shape \(1, 3\)"),
        ("text", r"'bad' has shape \(\)"),
        ([1e6, 1, 1], "beyond float16"),
    ],
)
def test_a_bad_vector_is_named_and_what_came_before_stays(tmp_path, vector, message):
    cache = TeacherCache(tmp_path, SPACE, shard_rows=2)
    with pytest.raises(VectorError, match=message):
        cache.fill_pairs([*pairs("a", "b", "c"), ("bad", vector)])
    assert len(TeacherCache(tmp_path, SPACE)) == 2


def test_a_vector_that_breaks_the_unit_norm_is_named(tmp_path):
    cache = TeacherCache(tmp_path, replace(SPACE, unit_norm=True))
    with pytest.raises(VectorError, match="'long' has norm 3"):
        cache.fill_pairs([("unit", [1, 0, 0]), ("long", [0, 3, 0])])


def test_two_writers_of_pairs(tmp_path):
    def slow():
        yield from pairs("a")
        with pytest.raises(CacheError, match="another process is writing"):
            TeacherCache(tmp_path, SPACE).fill_pairs(pairs("b"))

    assert len(TeacherCache(tmp_path, SPACE, shard_rows=1).fill_pairs(slow())) == 1


# --- what is declared, and what is found -----------------------------------------------------------------------------


def test_size_and_norm_are_found_and_canaries_are_the_texts_themselves():
    stored = StoredVectors(pairs(*sentences(100)), "org/model", query_prompt="q: ", max_tokens=99)
    space = stored.space
    assert (space.teacher, space.dim, space.unit_norm, space.query_prompt, space.max_tokens) == (
        "org/model",
        3,
        False,
        "q: ",
        99,
    )
    assert len(space.canaries.texts) == 8
    for (kind, text), vector in zip(space.canaries.texts, space.canaries.vectors, strict=True):
        assert kind == "document"
        assert vector.tolist() == [len(text), text.count("e"), 1]
    unit = StoredVectors([(t, np.array(v) / np.linalg.norm(v)) for t, v in pairs("a", "bee")], "org/model")
    assert unit.space.unit_norm
    assert len(unit.space.canaries.texts) == 2


def test_the_space_does_not_change_when_documents_are_added():
    few, many = (StoredVectors(pairs(*sentences(n)), "org/model") for n in (50, 100))
    assert few.space.fingerprint == many.space.fingerprint


def test_short_texts_are_preferred_for_canaries():
    stored = StoredVectors(pairs(*["x" * 1000 + str(i) for i in range(20)], *sentences(8)), "org/model")
    assert max(len(text) for _, text in stored.space.canaries.texts) <= 400


def test_an_iterator_is_read_once_and_whole():
    stored = StoredVectors(iter(pairs(*sentences(1000))), "org/model")
    assert [text.text for text, _ in stored] == sentences(1000)
    with pytest.raises(InputError, match="came from an iterator"):
        iter(stored)


def test_no_encoder_is_given_to_embed():
    with pytest.raises(InputError, match="no encoder is given to embed 'a question'"):
        StoredVectors(pairs("a", "b"), "org/model").encode_query("a question")


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ([], CorpusError, "not one text with a vector"),
        ([("a", [1, 2]), ("b", [1, 2, 3])], VectorError, "'b' has shape"),
        ([("a", [0, 0])], VectorError, "only zeros for 'a'"),
        ([(3, [1, 2])], InputError, "got int for a text"),
    ],
)
def test_bad_pairs_are_refused_at_the_door(given, error, message):
    with pytest.raises(error, match=message):
        StoredVectors(given, "org/model")


def test_the_teacher_itself_has_to_give_the_vectors_again(teacher_path, stored_rows, tmp_path):
    words, rows = stored_rows
    encoder = SentenceTransformerEncoder(teacher_path)
    stored = StoredVectors(list(zip(words, rows, strict=True)), encoder)
    assert stored.space.fingerprint == encoder.space.fingerprint
    np.testing.assert_allclose(stored.encode_query("red stone"), encoder.encode_query("red stone"))
    other = SentenceTransformerEncoder(make_model(tmp_path / "other", seed=7))
    with pytest.raises(SpaceMismatchError, match="the teacher given does not write"):
        StoredVectors(list(zip(words, rows, strict=True)), other)
    with pytest.raises(VectorError, match=r"has shape \(3,\); expected \(32,\)"):
        StoredVectors(pairs("a"), encoder)
    with pytest.raises(InputError, match="query_prompt='q: ' came beside a teacher that has a space"):
        StoredVectors(list(zip(words, rows, strict=True)), encoder, query_prompt="q: ")


# --- files -----------------------------------------------------------------------------------------------------------


def test_parquet(tmp_path):
    file = write_parquet(
        tmp_path / "a.parquet",
        ["stone", "where", "", "gone"],
        [[1, 2], [3, 4], [5, 6], None],
        kind=["document", "query", None, None],
        title=["Red", None, None, None],
    )
    files = VectorFiles([file])
    assert [(t, v.tolist()) for t, v in files] == [(Text("Red stone"), [1, 2]), (Text("where", "query"), [3, 4])]
    assert files.skipped == {"empty text": 1, "no vector": 1}
    assert len(files) == 4


def test_parquet_with_vectors_of_fixed_size_and_many_row_groups(tmp_path):
    rows = np.arange(1, 10_001, dtype=np.float32).reshape(-1, 2)
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel(), pa.float32()), 2)
    table = pa.table({"text": [f"t{i}" for i in range(5000)], "vector": vectors})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=700)
    found = list(VectorFiles([tmp_path / "a.parquet"]))
    assert [t.text for t, _ in found] == [f"t{i}" for i in range(5000)]
    assert np.array_equal(np.stack([v for _, v in found]), rows)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.txt", "red\n\nblue\n"),
        ("a.jsonl", "".join(json.dumps({"text": t}) + "\n" for t in ("red", "", "blue"))),
        ("a.csv", 'text\nred\n""\nblue\n'),
    ],
)
def test_a_text_file_with_vectors_beside_it(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    np.save(tmp_path / "a.npy", np.array([[1, 2], [3, 4], [5, 6]], np.float16))
    files = VectorFiles([tmp_path / name])
    assert [(t.text, v.tolist()) for t, v in files] == [("red", [1, 2]), ("blue", [5, 6])]
    assert files.skipped == {"empty text": 1}


def test_files_that_do_not_fit(tmp_path):
    (tmp_path / "a.txt").write_text("red\nblue\n")
    with pytest.raises(CorpusError, match=r"cannot read the vectors of .*a\.txt from .*a\.npy"):
        VectorFiles([tmp_path / "a.txt"])
    np.save(tmp_path / "a.npy", np.ones((3, 2)))
    with pytest.raises(CorpusError, match=r"holds 2 texts, .* 3 vectors"):
        VectorFiles([tmp_path / "a.txt"])
    np.save(tmp_path / "a.npy", np.array([["x"], ["y"]]))
    with pytest.raises(VectorError, match="expected numbers"):
        VectorFiles([tmp_path / "a.txt"])
    pq.write_table(pa.table({"text": ["a"], "embedding": [[1.0]]}), tmp_path / "a.parquet")
    with pytest.raises(CorpusError, match=r"lacks \['vector'\].*it has \['text', 'embedding'\]"):
        VectorFiles([tmp_path / "a.parquet"])
    (tmp_path / "b.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(CorpusError, match="as parquet"):
        VectorFiles([tmp_path / "b.parquet"])
    with pytest.raises(CorpusError, match="there is no file"):
        VectorFiles([tmp_path / "none.parquet"])
    with pytest.raises(CorpusError, match="no file of vectors given"):
        VectorFiles([])


@pytest.mark.parametrize(("row", "message"), [([0.0, 0.0], "only zeros"), ([1.0], "unequal size"), ([1, None], "NaN")])
def test_a_bad_row_is_named_by_file_and_row(tmp_path, row, message):
    write_parquet(tmp_path / "a.parquet", ["a", "b"], [[1.0, 2.0], [1.0, 1.0]])
    pq.write_table(pa.table({"text": ["a", "b"], "vector": [[1.0, 2.0], row]}), tmp_path / "a.parquet")
    with pytest.raises(VectorError, match=rf"a\.parquet.*{message}|{message}.*a\.parquet"):
        list(VectorFiles([tmp_path / "a.parquet"]))


# --- from end to end -------------------------------------------------------------------------------------------------


def test_a_leaf_from_vectors_alone(teacher_path, stored_rows, tmp_path):
    words, rows = stored_rows
    file = write_parquet(tmp_path / "docs.parquet", [*words, words[0], ""], [*rows, rows[0], rows[0]])
    stored = StoredVectors(VectorFiles([file]), "org/teacher")
    report = distill(stored, None, teacher_path, tmp_path / "leaf", CONFIG, layers=2)
    assert report.texts == 270
    assert report.skipped == {"the same text again": 1, "empty text": 1}
    assert report.final.cosine > 0.9
    info = read_leaf(tmp_path / "leaf")
    assert info.space.fingerprint == stored.space.fingerprint
    leaf = leaf_embed.load(tmp_path / "leaf")
    assert leaf.verify().passed
    new = sentences(50, seed=77)
    expected = SentenceTransformer(str(teacher_path), device="cpu").encode(new)
    assert (leaf.encode_query(new) * expected).sum(axis=1).mean() > 0.8


def test_further_texts_by_the_teacher_behind_the_vectors(teacher_path, stored_rows, tmp_path):
    words, rows = stored_rows
    stored = StoredVectors(list(zip(words, rows, strict=True)), SentenceTransformerEncoder(teacher_path))
    queries = [Text(text, "query") for text in [*sentences(20, seed=50), words[0], "  "]]
    report = distill(stored, queries, teacher_path, tmp_path / "leaf", CONFIG, layers=2, export_graphs=False)
    assert report.texts == 288, "300 + 20, less a tenth"
    assert report.skipped == {"empty text": 1}


def test_texts_without_anybody_to_embed_them(teacher_path, stored_rows, tmp_path):
    words, rows = stored_rows
    stored = StoredVectors(list(zip(words, rows, strict=True)), "org/teacher")
    with pytest.raises(InputError, match="no encoder is given"):
        distill(stored, [Text("where", "query")], teacher_path, tmp_path / "leaf", CONFIG)
    assert not (tmp_path / "leaf").exists()
