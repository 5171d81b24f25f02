"""Leaves as others publish them: our vectors against sentence-transformers' on directories of the same layout."""

import json
import shutil

import numpy as np
import onnx
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Dense, Normalize, Router
from sentence_transformers.sentence_transformer.modules import Pooling, StaticEmbedding

import leaf_embed
from leaf_embed import EmbeddingSpace
from leaf_embed.encoders import hub as fetching
from leaf_embed.encoders.published import KNOWN_SPACES
from leaf_embed.errors import InputError, NotALeafError, SpaceMismatchError
from leaf_embed.export.graph import write_graph
from tests.conftest import make_model, sentences

ASKED = [*sentences(8, seed=31), ""]
BFLOAT16 = 1e-2  # torch encoders run in it where the CPU has it
PROMPT = KNOWN_SPACES["MongoDB/mdbr-leaf-ir"].query_prompt


def student(folder, dim=768, unit_norm=True):
    """Transformer, mean pooling, Dense(32, dim), Normalize: the published leaves, but tiny."""
    backbone = SentenceTransformer(str(make_model(folder / "backbone", layers=2, normalize=False)), device="cpu")
    torch.manual_seed(0)
    dense = Dense(32, dim, bias=unit_norm, activation_function=torch.nn.Identity())
    modules = [backbone[0], Pooling(32, "mean"), dense] + ([Normalize()] if unit_norm else [])
    return SentenceTransformer(modules=modules, prompts={"query": PROMPT, "document": ""}, device="cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("published")


@pytest.fixture(scope="module")
def leaf_ir(folder):
    """The layout of MongoDB/mdbr-leaf-ir, without graphs."""
    path = folder / "mdbr-leaf-ir"
    student(folder).save_pretrained(str(path), create_model_card=False)
    return path


@pytest.fixture(scope="module")
def asym(folder):
    """The layout of MongoDB/mdbr-leaf-ir-asym: a Router of two routes."""
    path = folder / "mdbr-leaf-ir-asym"
    teacher = SentenceTransformer(str(make_model(folder / "teacher", width=768, layers=1)), device="cpu")
    router = Router.for_query_document(list(student(folder).children()), list(teacher.children()))
    model = SentenceTransformer(modules=[router], prompts={"query": PROMPT, "document": ""}, device="cpu")
    model.save_pretrained(str(path), create_model_card=False)
    return path


def by_sentence_transformers(path):
    return SentenceTransformer(str(path), device="cpu").encode_query(ASKED)


def with_graph(path, copy):
    """The directory with a graph of everything, as it should be published."""
    shutil.copytree(path, copy)
    (copy / "onnx").mkdir()
    write_graph(SentenceTransformer(str(path), device="cpu"), copy / "onnx" / "model.onnx")
    return copy


def test_without_a_graph_torch_runs_it(leaf_ir):
    leaf = leaf_embed.load(leaf_ir)
    np.testing.assert_allclose(leaf.encode_query(ASKED), by_sentence_transformers(leaf_ir), atol=BFLOAT16)
    assert leaf.space == KNOWN_SPACES["MongoDB/mdbr-leaf-ir"]
    assert leaf.space.revision


def test_with_a_graph_no_torch_is_needed(leaf_ir, tmp_path):
    import subprocess
    import sys

    path = with_graph(leaf_ir, tmp_path / "mdbr-leaf-ir")
    np.testing.assert_allclose(leaf_embed.load(path).encode_query(ASKED), by_sentence_transformers(leaf_ir), atol=1e-5)
    code = f"import sys, leaf_embed; leaf_embed.load({str(path)!r}).encode_query('x'); print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


@pytest.mark.parametrize("keeps_pooled", [True, False])
def test_a_graph_that_stops_before_the_dense_is_finished(leaf_ir, tmp_path, keeps_pooled):
    """The field's silent 384-d vector: here 32 numbers called sentence_embedding, or none of that name."""
    path = shutil.copytree(leaf_ir, tmp_path / "mdbr-leaf-ir")
    whole = SentenceTransformer(str(leaf_ir), device="cpu")
    (path / "onnx").mkdir()
    write_graph(SentenceTransformer(modules=[whole[0], whole[1]], device="cpu"), path / "onnx" / "model.onnx")
    model = onnx.load(path / "onnx" / "model.onnx")
    states = [node for node in model.graph.node if node.op_type == "LayerNormalization"][-1].output[0]
    model.graph.output[1].CopyFrom(onnx.helper.make_empty_tensor_value_info(states))
    if not keeps_pooled:
        del model.graph.output[0]
    onnx.save(model, path / "onnx" / "model.onnx")
    found = leaf_embed.load(path).encode_query(ASKED)
    assert found.shape == (len(ASKED), 768)
    np.testing.assert_allclose(found, by_sentence_transformers(leaf_ir), atol=1e-5)


def test_a_leaf_without_a_norm(folder, tmp_path):
    path = tmp_path / "mdbr-leaf-mt"
    student(folder, 1024, unit_norm=False).save_pretrained(str(path), create_model_card=False)
    whole = with_graph(path, tmp_path / "graph" / "mdbr-leaf-mt")
    expected = by_sentence_transformers(path)
    assert np.ptp(np.linalg.norm(expected, axis=1)) > 0.01
    np.testing.assert_allclose(leaf_embed.load(whole).encode_query(ASKED), expected, atol=1e-4)


def test_of_a_router_only_the_querys_route_is_read(asym, tmp_path):
    expected = by_sentence_transformers(asym)
    path = shutil.copytree(asym, tmp_path / "mdbr-leaf-ir-asym")
    for file in path.glob("document_*/*"):
        file.unlink()
    np.testing.assert_allclose(leaf_embed.load(path).encode_query(ASKED), expected, atol=BFLOAT16)


class Hub:
    """A hub of one repository that remembers which files it gave."""

    def __init__(self, source, root):
        self.source, self.given = source, set()
        self.snapshot = root / "snapshots" / ("ab" * 20)
        self.revisions = []

    def snapshot_download(self, name, revision=None, allow_patterns=None):
        from huggingface_hub.utils import filter_repo_objects

        self.revisions.append(revision)
        files = [f.relative_to(self.source).as_posix() for f in self.source.rglob("*") if f.is_file()]
        for file in filter_repo_objects(files, allow_patterns=allow_patterns):
            (self.snapshot / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(self.source / file, self.snapshot / file)
            self.given.add(file)
        return str(self.snapshot)


def hub_of(source, tmp_path, monkeypatch):
    hub = Hub(source, tmp_path / "cache")
    monkeypatch.setattr("huggingface_hub.snapshot_download", hub.snapshot_download)
    return hub


def test_from_the_hub_comes_the_querys_route_only(asym, tmp_path, monkeypatch):
    hub = hub_of(asym, tmp_path, monkeypatch)
    leaf = leaf_embed.load("MongoDB/mdbr-leaf-ir-asym", revision="v1")
    np.testing.assert_allclose(leaf.encode_query(ASKED), by_sentence_transformers(asym), atol=BFLOAT16)
    assert not [file for file in hub.given if file.startswith("document_")]
    assert "query_0_Transformer/model.safetensors" in hub.given
    assert hub.revisions[0] == "v1"
    assert set(hub.revisions[1:]) == {"ab" * 20}  # one commit, though a branch may move


def test_from_the_hub_comes_one_graph_and_no_weights(leaf_path, leaf_ir, tmp_path, monkeypatch):
    hub = hub_of(leaf_path, tmp_path, monkeypatch)
    leaf_embed.load("org/leaf").encode_query("red stone")
    assert hub.given >= {"leaf.json", "tokenizer.json", "onnx/model_quantized.onnx"}
    assert not hub.given & {"onnx/model.onnx", "model.safetensors"}
    leaf_embed.load("org/leaf", variant="float32")
    assert "onnx/model.onnx" in hub.given
    other = hub_of(with_graph(leaf_ir, tmp_path / "g"), tmp_path / "2", monkeypatch)
    found = leaf_embed.load("MongoDB/mdbr-leaf-ir").encode_query(ASKED)
    np.testing.assert_allclose(found, by_sentence_transformers(leaf_ir), atol=1e-5)
    assert "onnx/model.onnx" in other.given
    assert "model.safetensors" not in other.given


def static(dim=16, routed=False):
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(["[UNK]", *"red stone tree".split()])}, "[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    table = np.random.default_rng(0).normal(size=(4, dim)).astype(np.float32)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]")
    modules = [StaticEmbedding(fast, embedding_weights=table), Normalize()]
    if routed:
        modules = [Router.for_query_document(modules, [StaticEmbedding(fast, embedding_weights=-table), Normalize()])]
    return SentenceTransformer(modules=modules, device="cpu")


@pytest.mark.parametrize("routed", [False, True])
def test_a_declared_static_model_needs_no_torch(tmp_path, routed):
    """NIFE's: a static query model in the space of a teacher that the user names."""
    model = static(routed=routed)
    model.save_pretrained(str(tmp_path / "nife"), create_model_card=False)
    space = EmbeddingSpace("org/teacher", 16, revision="a" * 40)
    leaf = leaf_embed.load(tmp_path / "nife", space=space)
    asked = ["red stone", "tree", "red red tree"]
    np.testing.assert_allclose(leaf.encode_query(asked), model.encode_query(asked), atol=1e-6)
    assert type(leaf.query_encoder).__name__ == "StaticEncoder"
    assert leaf.space is space


def test_a_declared_pair(folder, tmp_path):
    """Voyage 4's: a small query model and a large document model of one space, by the user's word."""
    small, large = make_model(tmp_path / "nano", layers=1), make_model(tmp_path / "large", layers=3, seed=4)
    space = EmbeddingSpace("org/large", 32, query_prompt="what ", max_tokens=64)
    leaf = leaf_embed.load(small, document=str(large), space=space)
    plain = SentenceTransformer(str(small), device="cpu")
    np.testing.assert_allclose(leaf.encode_query(ASKED), plain.encode([f"what {t}" for t in ASKED]), atol=BFLOAT16)
    documents = SentenceTransformer(str(large), device="cpu").encode(ASKED)
    np.testing.assert_allclose(leaf.encode_document(ASKED), documents, atol=BFLOAT16)
    assert leaf.document_encoder.space == space


def test_the_declared_revision_reaches_the_teacher(leaf_ir, monkeypatch):
    from leaf_embed.encoders import transformer

    leaf = leaf_embed.load(leaf_ir, document="teacher")
    asked = []

    def refuse(name, device, loading):
        asked.append((name, loading.revision))
        raise InputError("offline")

    monkeypatch.setattr(transformer, "load_model", refuse)
    with pytest.raises(InputError, match="offline"):
        leaf.encode_document("red stone")
    assert asked == [("Snowflake/snowflake-arctic-embed-m-v1.5", KNOWN_SPACES["MongoDB/mdbr-leaf-ir"].revision)]


def test_what_is_declared_wrongly(leaf_ir, leaf_path, tmp_path):
    with pytest.raises(InputError, match="writes vectors of 768 dimensions"):
        leaf_embed.load(with_graph(leaf_ir, tmp_path / "a"), space=EmbeddingSpace("org/teacher", 1024))
    with pytest.raises(InputError, match="unit_norm=False"):
        leaf_embed.load(leaf_ir, space=EmbeddingSpace("org/teacher", 768, unit_norm=False))
    with pytest.raises(SpaceMismatchError, match="the leaf and the declared space"):
        leaf_embed.load(leaf_path, space=EmbeddingSpace("org/teacher", 32))
    unknown = shutil.copytree(leaf_ir, tmp_path / "unknown")
    with pytest.raises(NotALeafError, match="space=EmbeddingSpace"):
        leaf_embed.load(unknown)
    leaf = leaf_embed.load(leaf_ir, document=str(make_model(tmp_path / "small")))
    with pytest.raises(InputError, match="the model writes 32 dimensions"):
        leaf.encode_document("red stone")


def test_damaged_layouts(asym, tmp_path):
    path = shutil.copytree(asym, tmp_path / "mdbr-leaf-ir-asym")
    config = json.loads((path / "router_config.json").read_text())
    config["structure"] = {"image": []}
    (path / "router_config.json").write_text(json.dumps(config))
    with pytest.raises(NotALeafError, match=r"no route named 'query'; it has \['image'\]"):
        leaf_embed.load(path)
    (path / "modules.json").write_text("{")
    with pytest.raises(NotALeafError, match="cannot read"):
        leaf_embed.load(path)
    with pytest.raises(NotALeafError, match="no float32 graph"):
        leaf_embed.load(asym, variant="float32")


def test_patterns_of_a_plain_model_name_no_graph(leaf_ir):
    from leaf_embed.encoders.st_modules import read_modules

    assert not [p for p in fetching._torch_patterns(read_modules(leaf_ir)) if "onnx" in p]


def positions_graph(file, extra=(), kind=onnx.TensorProto.INT64):
    """A graph that writes the mean of one-hot rows of its position_ids over real tokens, shape (n, 64)."""
    from onnx import TensorProto, helper, numpy_helper

    names = ["input_ids", "attention_mask", "position_ids", *extra]
    inputs = [helper.make_tensor_value_info(name, kind, ["n", "length"]) for name in names]
    output = helper.make_tensor_value_info("sentence_embedding", TensorProto.FLOAT, ["n", 64])
    table = numpy_helper.from_array(np.eye(64, dtype=np.float32), "table")
    axis, last = (numpy_helper.from_array(np.array([n], dtype=np.int64), f"axis{n}") for n in (1, 2))
    nodes = [
        helper.make_node("Gather", ["table", "position_ids"], ["rows"]),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask", "axis2"], ["wide"]),
        helper.make_node("Mul", ["rows", "wide"], ["kept"]),
        helper.make_node("ReduceSum", ["kept", "axis1"], ["total"], keepdims=0),
        helper.make_node("ReduceSum", ["mask", "axis1"], ["count"], keepdims=1),
        helper.make_node("Div", ["total", "count"], ["sentence_embedding"]),
    ]
    graph = helper.make_graph(nodes, "positions", inputs, [output], [table, axis, last])
    file.parent.mkdir()
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), file)


@pytest.mark.parametrize(
    ("config", "first"), [({"model_type": "bert"}, 0), ({"model_type": "roberta", "pad_token_id": 1}, 2), (None, 0)]
)
@pytest.mark.parametrize("kind", [onnx.TensorProto.INT64, onnx.TensorProto.INT32])
def test_positions_that_a_graph_asks_for_are_given(leaf_ir, tmp_path, config, first, kind):
    path = shutil.copytree(leaf_ir, tmp_path / "graph")
    parts = json.loads((path / "modules.json").read_text())
    (path / "modules.json").write_text(json.dumps([p for p in parts if not p["type"].endswith(("Dense", "Normalize"))]))
    if config is not None:
        (path / "config.json").write_text(json.dumps(config))
    else:
        (path / "config.json").unlink()
    positions_graph(path / "onnx" / "model.onnx", kind=kind)
    leaf = leaf_embed.load(path, space=EmbeddingSpace("someone", 64, unit_norm=False))
    texts = ["red green stone", "river"]  # with [CLS] and [SEP]: five tokens and three
    expected = np.zeros((2, 64), dtype=np.float32)
    for row, count in enumerate(leaf.count_tokens(texts, "query")):
        expected[row, first : first + count] = 1 / count
    np.testing.assert_allclose(leaf.encode_query(texts), expected, atol=1e-6)


def test_a_graph_reads_no_more_than_it_has_positions_for(leaf_ir, tmp_path):
    path = shutil.copytree(leaf_ir, tmp_path / "graph")
    (path / "config.json").write_text(
        json.dumps({"model_type": "roberta", "pad_token_id": 1, "max_position_embeddings": 42})
    )
    (path / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 42}))
    parts = json.loads((path / "modules.json").read_text())
    (path / "modules.json").write_text(json.dumps([p for p in parts if not p["type"].endswith(("Dense", "Normalize"))]))
    positions_graph(path / "onnx" / "model.onnx")
    leaf = leaf_embed.load(path, space=EmbeddingSpace("someone", 64, unit_norm=False, max_tokens=512))
    assert leaf.count_tokens([" ".join(sentences(20))], "query") == [40]
    assert np.flatnonzero(leaf.encode_query(" ".join(sentences(20)))).tolist() == list(range(2, 42))


def test_a_graph_with_an_input_that_nobody_knows_is_refused(leaf_ir, tmp_path):
    path = shutil.copytree(leaf_ir, tmp_path / "graph")
    positions_graph(path / "onnx" / "model.onnx", extra=["task_id"])
    with pytest.raises(NotALeafError, match="wants the inputs task_id, which are not known here"):
        leaf_embed.load(path, space=EmbeddingSpace("someone", 768))
