"""Opening leaves: leaf.json is read once; encoders that are open, and what integrations share."""

import pathlib

import numpy as np
import pytest

pytest.importorskip("sentence_transformers", reason="pip install 'leaf-embed[train]'")

from leaf_embed import EmbeddingSpace, LeafEncoder, load
from leaf_embed.encoders import FunctionEncoder, encode_lists, open_leaf
from leaf_embed.errors import InputError
from leaf_embed.format import LEAF_FILE

PAIRS = EmbeddingSpace("pairs", 2)


def three_and_four(texts):
    """A vector is three and four times the text's length: [3, 4] / 5 after normalisation."""
    return [[3.0 * len(text), 4.0 * len(text)] for text in texts]


@pytest.fixture
def reads(monkeypatch):
    """The paths of every leaf.json that is read, by whichever module."""
    found, read = [], pathlib.Path.read_text

    def counting(path, *args, **options):
        if path.name == LEAF_FILE:
            found.append(path)
        return read(path, *args, **options)

    monkeypatch.setattr(pathlib.Path, "read_text", counting)
    return found


@pytest.mark.parametrize("variant", ["auto", "float32", "torch"])
def test_leaf_json_is_read_once(leaf_path, reads, variant):
    leaf = load(leaf_path, variant=variant)
    leaf.encode_query("red stone")
    leaf.verify()
    assert reads == [leaf_path / LEAF_FILE]


def test_leaf_json_of_a_static_leaf_is_read_once(leaf_path, tmp_path, reads):
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer

    from leaf_embed.format import LeafInfo, write_leaf

    tokenizer = Tokenizer.from_file(str(leaf_path / "tokenizer.json"))
    module = StaticEmbedding(tokenizer, embedding_dim=2)
    SentenceTransformer(modules=[module], device="cpu").save_pretrained(str(tmp_path), create_model_card=False)
    write_leaf(tmp_path, LeafInfo(PAIRS, 128, kind="static"))
    assert load(tmp_path).encode_query("red stone").shape == (2,)
    assert reads == [tmp_path / LEAF_FILE]


def test_leaf_json_of_a_leaf_on_the_hub_is_read_once(leaf_path, reads, monkeypatch):
    from leaf_embed.encoders import hub

    monkeypatch.setattr(hub, "_get", lambda name, revision, patterns: leaf_path)
    load("org/leaf").encode_query("red stone")
    assert reads == [leaf_path / LEAF_FILE]


@pytest.mark.parametrize(
    ("variant", "message"),
    [
        ("int4", "unknown graph variant 'int4'; expected auto, int8, float32"),
        ("float16", "float16 weights are no longer"),
    ],
)
def test_an_unknown_variant_is_refused_before_anything_is_read(leaf_path, reads, variant, message):
    with pytest.raises(InputError, match=message):
        load(leaf_path, variant=variant)
    assert not reads


def test_a_document_encoder_is_made_when_the_first_document_comes(leaf_path):
    made = []

    def make(space: EmbeddingSpace):
        made.append(space)
        return load(leaf_path).query_encoder

    for leaf in (load(leaf_path, document=make), open_leaf(load(leaf_path), document=make)):
        leaf.encode_query("river")
        assert made == []
    query_only = FunctionEncoder(PAIRS, document=three_and_four)
    opened = open_leaf(query_only, document=lambda space: FunctionEncoder(space, document=three_and_four))
    assert isinstance(opened, LeafEncoder)
    assert opened.encode_document("a").tolist() == pytest.approx([0.6, 0.8])
    assert open_leaf(query_only) is query_only


def test_lists_of_floats_in_batches(capsys):
    sizes = []

    def encode(texts):
        sizes.append(len(texts))
        return np.ones((len(texts), 2), dtype=np.float32)

    assert encode_lists(encode, ["a", "b", "c"], batch_size=2, progress=True) == [[1.0, 1.0]] * 3
    assert sizes == [2, 1]
    printed = capsys.readouterr()
    assert (printed.out, "embedding" in printed.err) == ("", True)
    with pytest.raises(InputError, match="batch_size must be"):
        encode_lists(encode, ["a"], batch_size=0)
