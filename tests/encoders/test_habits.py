"""Our encoders where code calls a SentenceTransformer, compared with the SentenceTransformer of the same directory."""

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer

from leaf_embed import EmbeddingSpace, load
from leaf_embed.encoders import FunctionEncoder
from leaf_embed.encoders.transformer import SentenceTransformerEncoder
from leaf_embed.errors import InputError
from tests.conftest import sentences

TEXTS = sentences(9, seed=3)
OPTIONS = [
    {},
    {"batch_size": 2, "show_progress_bar": False},
    {"normalize_embeddings": True},
    {"truncate_dim": 7},
    {"truncate_dim": 7, "normalize_embeddings": True, "batch_size": 4},
    {"convert_to_tensor": True},
    {"convert_to_numpy": False},
    {"convert_to_tensor": True, "truncate_dim": 3, "convert_to_numpy": True},
]


@pytest.fixture(scope="module")
def prompted(teacher_path, tmp_path_factory):
    """The tiny teacher with a query prompt."""
    path = tmp_path_factory.mktemp("prompted") / "teacher"
    model = SentenceTransformer(str(teacher_path), device="cpu", prompts={"query": "who is ", "document": ""})
    model.save_pretrained(str(path), create_model_card=False)
    return path


def same(mine, theirs):
    assert type(mine) is type(theirs)
    assert len(mine) == len(theirs)
    for one, other in zip(mine, theirs, strict=True):
        np.testing.assert_allclose(np.asarray(one), np.asarray(other), atol=1e-5)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("texts", [TEXTS, TEXTS[0], []], ids=["many", "one", "none"])
def test_encode_with_the_options_of_sentence_transformers(prompted, options, texts):
    plain = SentenceTransformer(str(prompted), device="cpu")
    encoder = SentenceTransformerEncoder(prompted, precision="float32")
    if options.get("convert_to_numpy") is False:
        found = encoder.encode(texts, "query", **options)
        assert isinstance(found, list if texts != TEXTS[0] else np.ndarray)
        found, expected = np.array(found), plain.encode(texts, "query")
        same(found, expected)
        return
    for name in (None, "query", "document"):
        found, expected = encoder.encode(texts, name, **options), plain.encode(texts, name, **options)
        same(found, expected)
    same(encoder.encode_query(texts, **options), plain.encode_query(texts, **options))
    same(encoder.encode_document(texts, **options), plain.encode_document(texts, **options))
    assert texts == [] or np.abs(encoder.encode(texts, "query") - encoder.encode(texts)).max() > 0.1


def test_a_leaf_takes_the_place_of_a_sentence_transformer(leaf_path):
    plain, leaf = SentenceTransformer(str(leaf_path), device="cpu"), load(leaf_path, variant="float32")
    found = leaf.encode(TEXTS, batch_size=4, normalize_embeddings=True)
    np.testing.assert_allclose(found, plain.encode(TEXTS, normalize_embeddings=True), atol=1e-4)
    np.testing.assert_allclose(leaf.encode(TEXTS, "query"), plain.encode(TEXTS, "query"), atol=1e-4)
    scores = plain.similarity(found[:3], found)
    np.testing.assert_allclose(leaf.similarity(found[:3], found), scores.numpy(), atol=1e-5)
    np.testing.assert_allclose(leaf.similarity(torch.from_numpy(found[0]), found), scores.numpy()[:1], atol=1e-5)
    pairs = plain.similarity_pairwise(found[:4], found[4:8])
    np.testing.assert_allclose(leaf.similarity_pairwise(found[:4], found[4:8]), pairs.numpy(), atol=1e-5)
    assert (leaf.device, str(plain.device)) == ("cpu", "cpu")
    with pytest.raises(InputError, match="loaded for queries only"):
        leaf.encode(TEXTS, "document")


def test_documents_go_to_the_document_encoder(leaf_path, teacher_path):
    leaf = load(leaf_path, document=str(teacher_path))
    np.testing.assert_array_equal(leaf.encode(TEXTS, "document"), leaf.encode_document(TEXTS))
    assert np.abs(leaf.encode(TEXTS) - leaf.encode(TEXTS, "document")).max() > 1e-2, "the leaf, and the teacher"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batchsize": 3}, "there is no option 'batchsize' here"),
        ({"device": "cuda"}, "'device' here; an encoder stays on the device"),
        ({"precision": "int8"}, "variant='int8'"),
        ({"batch_size": 0}, "batch_size must be a whole number of at least 1; got 0"),
        ({"batch_size": 2.5}, "got 2.5"),
        ({"truncate_dim": 33}, "truncate_dim must be 1 to 32"),
        ({"truncate_dim": 0}, "truncate_dim must be 1 to 32"),
    ],
)
def test_options_that_cannot_be_are_refused_by_name(leaf_path, options, message):
    leaf = load(leaf_path)
    for encode in (leaf.encode, leaf.encode_query):
        with pytest.raises(InputError, match=message):
            encode(TEXTS, **options)
    with pytest.raises(InputError, match="'query' or 'document'; got 'passage'"):
        leaf.encode(TEXTS, prompt_name="passage")


def test_without_a_prompt_in_a_space_of_two_prompts():
    space = EmbeddingSpace("pairs", 2, query_prompt="q: ", document_prompt="d: ")
    encoder = FunctionEncoder(space, document=lambda texts: [[3.0, 4.0] for _ in texts])
    with pytest.raises(InputError, match="both have a prompt"):
        encoder.encode(TEXTS)
    assert encoder.encode(TEXTS, "query").shape == (9, 2)


@pytest.mark.parametrize(("left", "right"), [([[1, 2]], [[1, 2, 3]]), (["a"], ["b"]), ([[1], [2, 3]], [[1]])])
def test_similarity_of_what_are_no_vectors(leaf_path, left, right):
    with pytest.raises(InputError, match="vectors"):
        load(leaf_path).similarity(left, right)
