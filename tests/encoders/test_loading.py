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


@pytest.fixture
def in_memory_leaf(teacher_path, tmp_path):
    """A function that distils from a model in memory, and its leaf's directory."""
    from leaf_embed.distill import DistillConfig, distill
    from tests.conftest import texts

    def make(model):
        config = DistillConfig.quick(max_steps=30, learning_rate=2e-3, precision="float32", holdout=0.1)
        distill(model, texts(300), teacher_path, tmp_path / "leaf", config, layers=1, export_graphs=False)
        return tmp_path / "leaf"

    return make


def plain_model(path, **options):
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(path), device="cpu", **options)


def test_the_teacher_of_a_model_in_memory_is_found_where_it_came_from(in_memory_leaf, teacher_path):
    leaf = load(in_memory_leaf(plain_model(teacher_path)), document="teacher", variant="torch")
    assert leaf.space.teacher == str(teacher_path.resolve())
    expected = plain_model(teacher_path).encode(["red stone"])
    np.testing.assert_allclose(leaf.encode_document(["red stone"]), expected, atol=0.02)


def test_a_model_that_was_changed_in_memory_is_known_by_its_weights(in_memory_leaf, teacher_path, tmp_path):
    import torch

    model = plain_model(teacher_path)
    with torch.no_grad():
        model[0].auto_model.embeddings.word_embeddings.weight.mul_(-1)
    path = in_memory_leaf(model)
    with pytest.raises(InputError, match=r"was a model in memory.*save_pretrained"):
        load(path, document="teacher", variant="torch").encode_document("red stone")
    model.save_pretrained(str(tmp_path / "saved"), create_model_card=False)
    for source in (model, str(tmp_path / "saved"), tmp_path / "saved"):
        found = load(path, document=source, variant="torch").encode_document(["red stone"])
        np.testing.assert_allclose(found, model.encode(["red stone"]), atol=0.02)
    from leaf_embed.errors import SpaceMismatchError

    with pytest.raises(SpaceMismatchError):
        load(path, document=teacher_path, variant="torch").encode_document("red stone")


def test_options_of_loading_reach_the_teacher_and_the_torch_leaf(leaf_path, teacher_path):
    from leaf_embed.encoders.transformer import Loading

    leaf = load(leaf_path, document="teacher", variant="torch", loading=Loading(attention="eager", dtype="float32"))
    for encoder in (leaf.query_encoder, leaf.document_encoder):
        assert encoder.model[0].auto_model.config._attn_implementation == "eager"
    with pytest.raises(InputError, match="loading say how to load"):
        open_leaf(leaf, loading=Loading())


def remote_code_teacher(teacher_path, path):
    """The tiny teacher with a module whose code lies in its directory."""
    import json
    import shutil

    shutil.copytree(teacher_path, path)
    modules = json.loads((path / "modules.json").read_text())
    (path / "modules.json").write_text(json.dumps([*modules, {"idx": 9, "name": "9", "path": "", "type": "flip.Flip"}]))
    (path / "flip.py").write_text(
        "import torch\n\n\nclass Flip(torch.nn.Module):\n"
        "    def forward(self, features):\n"
        "        return features | {'sentence_embedding': -features['sentence_embedding']}\n\n"
        "    @classmethod\n    def load(cls, *args, **options):\n        return cls()\n\n"
        "    def save(self, *args, **options):\n        pass\n"
    )
    return path


def test_code_that_comes_with_a_teacher_runs_when_it_is_trusted(leaf_path, teacher_path, tmp_path):
    from leaf_embed.encoders.loading import load_teacher
    from leaf_embed.encoders.transformer import Loading

    path = remote_code_teacher(teacher_path, tmp_path / "flip")
    space = EmbeddingSpace(str(path), 32, max_tokens=64)
    with pytest.raises(InputError, match="third-party code"):
        load_teacher(str(path), space)
    expected = -plain_model(teacher_path).encode(["red stone"])
    found = load_teacher(str(path), space, Loading(trust_remote_code=True)).encode_document(["red stone"])
    np.testing.assert_allclose(found, expected, atol=0.02)
    from leaf_embed.distill import DistillConfig, TeacherCache, Text, distill

    config = DistillConfig.quick(max_steps=2, precision="float32", holdout=0)
    more = {"layers": 1, "export_graphs": False, "loading": Loading(trust_remote_code=True)}
    corpus = [Text("red stone"), Text("cold river")]
    distill(path, corpus, teacher_path, tmp_path / "leaf", config, cache=tmp_path / "cache", **more)
    with pytest.raises(InputError, match="an encoder came, which is loaded"):
        distill(load(leaf_path, document="leaf"), corpus, teacher_path, tmp_path / "refused", config, **more)
    stored = TeacherCache.stored(tmp_path / "cache").document_vectors(["red stone"])
    np.testing.assert_allclose(stored, expected, atol=0.02)


@pytest.mark.parametrize("name", ["a/b..c", "a/b--c", "-a/b", "a/" + "b" * 200, "a/b.git", "./x/y", "a/..", "no/leaf"])
def test_a_name_that_cannot_be_on_the_hub(name):
    from leaf_embed.errors import NotALeafError

    with pytest.raises(NotALeafError, match=r"there is no (leaf|directory)"):
        load(name)
