"""Functions and LangChain objects: as encoders of a known space, and as teachers."""

import numpy as np
import pytest
from langchain_core.embeddings import DeterministicFakeEmbedding, Embeddings

from leaf_embed import EmbeddingSpace
from leaf_embed.distill import DistillConfig, TeacherCache, Text, distill
from leaf_embed.encoders import CallableEncoder, Encoder, FunctionEncoder, Metered, langchain_encoder, one_by_one
from leaf_embed.encoders.transformer import SentenceTransformerEncoder
from leaf_embed.errors import InputError, TeacherError, VectorError
from tests.conftest import sentences, texts

PAIRS = EmbeddingSpace("pairs", 2)


def lengths(words):
    """[number of characters, number of e's, 1]: plain lists, as a user's function returns them."""
    return [[len(w), w.count("e"), 1] for w in words]


def three_and_four(texts):
    """A vector is three and four times the text's length: [3, 4] / 5 after normalisation."""
    return [[3.0 * len(text), 4.0 * len(text)] for text in texts]


def test_vectors_get_the_norm_of_the_space():
    unit = FunctionEncoder(PAIRS, document=three_and_four)
    assert unit.encode_document("ab").tolist() == pytest.approx([0.6, 0.8])
    assert unit.encode_query(["ab", "c"]).shape == (2, 2)
    long = FunctionEncoder(EmbeddingSpace("pairs", 2, unit_norm=False), document=three_and_four)
    assert long.encode_document("ab").tolist() == [6.0, 8.0]


def test_each_role_has_its_function():
    encoder = FunctionEncoder(PAIRS, document=three_and_four, query=one_by_one(lambda text: [float(len(text)), 0.0]))
    assert encoder.encode_query(["ab", "c"]).tolist() == [[1.0, 0.0], [1.0, 0.0]]


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ([[1.0, 2.0]], InputError, "returned 1 vectors for 2 texts"),
        ([[1.0], [2.0]], VectorError, "1 dimensions; expected 2"),
        ([[1.0, float("nan")], [1.0, 2.0]], VectorError, "NaN"),
    ],
)
def test_what_a_function_may_not_return(given, error, message):
    with pytest.raises(error, match=message):
        FunctionEncoder(PAIRS, document=lambda texts: given).encode_document(["a", "b"])


def test_space_is_found_by_asking():
    encoder = CallableEncoder(lengths, "lengths", query_prompt="q: ", max_tokens=9, revision="1")
    space = encoder.space
    assert (space.teacher, space.dim, space.unit_norm, space.max_tokens, space.revision) == (
        "lengths",
        3,
        False,
        9,
        "1",
    )
    assert encoder.encode_query("tree").tolist() == [7, 2, 1]
    assert encoder.encode_document(["tree", ""]).tolist() == [[4, 2, 1], [0, 0, 1]]
    assert encoder.encode_document([]).shape == (0, 3)
    assert isinstance(encoder, Encoder)
    assert isinstance(encoder, Metered)
    assert space.verify(encoder).passed
    unit = CallableEncoder(lambda words: np.eye(4)[[len(w) % 4 for w in words]], "unit")
    assert unit.space.unit_norm


def test_calls_are_bounded():
    sizes = []

    def counting(words):
        sizes.append(len(words))
        return lengths(words)

    encoder = CallableEncoder(counting, "lengths", texts_per_call=4)
    sizes.clear()
    assert encoder.encode_document(sentences(10))[:, 0].tolist() == [len(s) for s in sentences(10)]
    assert sizes == [4, 4, 2]


@pytest.mark.parametrize(
    ("function", "error", "message"),
    [
        (lambda words: lengths(words)[:-1] or [[1.0]] * 2, TeacherError, "returned 2 vectors for 1 texts"),
        (lambda words: [1, 2], VectorError, "shape"),
        (lambda words: [[0, 0]] * len(words), VectorError, "only zeros"),
        (lambda words: None, VectorError, "the teacher f"),
        (lambda words: 1 / 0, TeacherError, "failed on 1 texts: ZeroDivisionError"),
        ("text", InputError, "expected a function"),
    ],
)
def test_nonsense_is_refused_at_once(function, error, message):
    with pytest.raises(error, match=message):
        CallableEncoder(function, "f")


def test_a_later_change_of_size_is_refused():
    size = [3]
    encoder = CallableEncoder(lambda words: np.ones((len(words), size[0])), "f")
    size[0] = 4
    with pytest.raises(VectorError, match="4 dimensions; expected 3"):
        encoder.encode_document("a")


def test_what_came_before_a_failure_is_kept(tmp_path):
    asked = []

    def failing(words):
        asked.extend(words)
        if "text 9" in words:
            raise OSError("the line broke")
        return lengths(words)

    encoder = CallableEncoder(failing, "f", texts_per_call=4)
    words = [Text(f"text {i}", "query" if i % 2 else "document") for i in range(12)]
    asked.clear()
    cache = TeacherCache(tmp_path, encoder.space)
    with pytest.raises(TeacherError, match="the line broke"):
        cache.fill(words, encoder)
    assert len(cache) == 10
    asked.clear()
    with pytest.raises(TeacherError):
        cache.fill(words, encoder)
    assert len(asked) == 2, "the rest only"


def test_functions_that_treat_queries_otherwise():
    def queries(words):
        return [[0, 1, len(w)] for w in words]

    encoder = CallableEncoder(lengths, "f", query_function=queries)
    assert encoder.space.query_prompt == "query: ", "for the leaf, which must tell them apart"
    assert encoder.encode_query("tree").tolist() == [0, 1, 4], "the function gets the bare text"
    assert encoder.encode_document("tree").tolist() == [4, 2, 1]
    with pytest.raises(InputError, match="different vectors but the same prompt"):
        CallableEncoder(lengths, "f", query_function=queries, query_prompt="")


class Asymmetric(Embeddings):
    model = "org/asymmetric"

    def embed_documents(self, texts):
        return lengths(texts)

    def embed_query(self, text):
        return [1.0, 2.0, float(len(text))]


class Symmetric(Asymmetric):
    asked = 0

    def embed_query(self, text):
        self.asked += 1
        return lengths([text])[0]


def test_langchain():
    encoder = langchain_encoder(Asymmetric())
    assert (encoder.space.teacher, encoder.space.query_prompt) == ("org/asymmetric", "query: ")
    assert encoder.encode_query(["tree", "a"]).tolist() == [[1, 2, 4], [1, 2, 1]]
    assert langchain_encoder(Asymmetric(), query_prompt="ask: ").space.query_prompt == "ask: "
    same = Symmetric()
    encoder = langchain_encoder(same)
    assert encoder.space.query_prompt == ""
    asked = same.asked
    assert encoder.encode_query(["tree", "a"]).tolist() == [[4, 2, 1], [1, 0, 1]]
    assert same.asked == asked, "queries go the documents' way, in one call"
    assert langchain_encoder(DeterministicFakeEmbedding(size=8), "fake").space.dim == 8
    with pytest.raises(InputError, match="has neither model nor model_name"):
        langchain_encoder(DeterministicFakeEmbedding(size=8))
    with pytest.raises(InputError, match="expected a LangChain"):
        langchain_encoder(object())


def test_a_leaf_from_a_function(teacher_path, tmp_path):
    model = SentenceTransformerEncoder(teacher_path)
    encoder = CallableEncoder(lambda words: model.encode_document(words).tolist(), "mine")
    config = DistillConfig.quick(max_steps=20, learning_rate=2e-3, precision="float32", holdout=0.1)
    report = distill(encoder, texts(100), teacher_path, tmp_path / "leaf", config, layers=2, export_graphs=False)
    assert report.space.teacher == "mine"
    assert report.final.cosine > 0.7
