"""Smaller graphs: what smoothing keeps and gains, by matrices one can check, and the ladder's choice."""

import json
import logging
import shutil
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

import leaf_embed
from leaf_embed.distill import Floor, export, write_card
from leaf_embed.errors import InputError
from leaf_embed.export.quantize import LADDER, Int8Recipe, Quantizer
from leaf_embed.export.smoothquant import channel_scale, smooth
from tests.conftest import texts

RNG = np.random.default_rng(0)
WEIGHT = RNG.normal(size=(32, 16)).astype(np.float32)
TABLE = (RNG.normal(size=(40, 32)) * np.geomspace(0.01, 10, 40)[:, None]).astype(np.float32)
STEPS = (  # each adds one thing to the recipe before it
    Int8Recipe("per channel"),
    Int8Recipe("smoothed", smooth=True),
    Int8Recipe("smoothed, row tables", smooth=True, row_tables=True),
    Int8Recipe("and a MatMul in float32", smooth=True, row_tables=True, keep_float=1),
)
LOUD = np.where(np.arange(32) == 3, 100, 1).astype(np.float32)  # one channel drowns the others


def small_graph(table=TABLE, loud=LOUD):
    """ids -> rows of a table -> times a number a channel -> MatMul."""
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["rows"], name="lookup"),
        helper.make_node("Mul", ["rows", "loud"], ["loud_rows"], name="louder"),
        helper.make_node("MatMul", ["loud_rows", "weight"], ["out"], name="product"),
    ]
    tensors = [numpy_helper.from_array(a, n) for a, n in ((table, "table"), (loud, "loud"), (WEIGHT, "weight"))]
    ids = helper.make_tensor_value_info("ids", TensorProto.INT64, ["batch", "length"])
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "small", [ids], [out], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def run(model, ids):
    data = model if isinstance(model, str) else model.SerializeToString()
    return onnxruntime.InferenceSession(data).run(None, {"ids": ids})[0]


@pytest.fixture
def source(tmp_path):
    file = tmp_path / "model.onnx"
    onnx.save(small_graph(), file)
    return file


IDS = np.arange(25, 40)[None]
FEEDS = [{"ids": IDS[:, i : i + 5]} for i in range(0, 15, 5)]


def test_smoothing_changes_no_product():
    found = smooth(small_graph(), FEEDS)
    assert [node.op_type for node in found.model.graph.node] == ["Gather", "Mul", "Mul", "MatMul"]
    np.testing.assert_allclose(run(found.model, IDS), (TABLE * LOUD)[IDS] @ WEIGHT, rtol=1e-3, atol=1e-2)
    assert found.hardest == ("product",)


def test_a_graph_without_products_stays_as_it_is():
    model = small_graph()
    del model.graph.node[1:]
    model.graph.output[0].name = "rows"
    found = smooth(model, FEEDS)
    assert found.model == model
    assert found.hardest == ()


def test_a_loud_channel_is_tamed_and_quiet_activations_are_left_alone():
    blocks = [RNG.normal(size=(50, 32)).astype(np.float32) for _ in range(4)]
    scale, error = channel_scale([block * LOUD for block in blocks], WEIGHT)
    assert int(scale.argmax()) == 3
    assert scale.min() == 1
    _, quiet = channel_scale(blocks, WEIGHT)
    assert error < 10 * quiet
    assert channel_scale([np.eye(32, dtype=np.float32)], WEIGHT)[0] is None  # nothing to win where all are alike


def test_each_recipe_keeps_what_it_says(source, tmp_path):
    """Integer MatMuls, tables and sizes are counted in the graphs; their errors fall with each."""
    quantizer = Quantizer(source, FEEDS)
    errors = {}
    for recipe in (*STEPS, Int8Recipe("rows only", row_tables=True)):
        target = tmp_path / "q.onnx"
        quantizer.write(recipe, target)
        kinds = [node.op_type for node in onnx.load(target).graph.node]
        assert kinds.count("MatMulInteger") == 1 - min(recipe.keep_float, 1)
        tables = [t for t in onnx.load(target).graph.initializer if list(t.dims) == [40, 32]]
        assert [t.data_type in (TensorProto.INT8, TensorProto.UINT8) for t in tables] == [True]
        assert not list(tmp_path.glob("*.start"))
        exact = (TABLE * LOUD)[IDS] @ WEIGHT
        errors[recipe.name] = np.abs(run(str(target), IDS) - exact).mean() / np.abs(exact).mean()
    plain, smoothed, rows, exact = [errors[recipe.name] for recipe in STEPS]
    assert plain > smoothed > rows > exact
    assert exact < 0.01


def test_rows_of_small_numbers_survive(source, tmp_path):
    """Per tensor, rows a thousandth of the largest become zero; with a scale each they keep eight bits."""
    small = np.array([[0, 1, 2]])
    exact = TABLE[small] * LOUD @ WEIGHT
    for recipe, least in ((Int8Recipe("one scale"), 0.2), (Int8Recipe("rows", row_tables=True), 0)):
        Quantizer(source, []).write(recipe, tmp_path / "q.onnx")
        error = np.abs(run(str(tmp_path / "q.onnx"), small) - exact).mean() / np.abs(exact).mean()
        assert least <= error < (least or 0.02) * 10


def test_a_loud_channel_of_the_table_leaves_the_others_their_levels(tmp_path):
    """One scale a row would leave the quiet ones two of 255 levels, and what follows hears them as loud as that."""
    onnx.save(small_graph(TABLE * LOUD, (1 / LOUD).astype(np.float32)), tmp_path / "model.onnx")
    Quantizer(tmp_path / "model.onnx", FEEDS).write(Int8Recipe("rows", True, True, keep_float=1), tmp_path / "q.onnx")
    exact = TABLE[IDS] @ WEIGHT
    error = np.abs(run(str(tmp_path / "q.onnx"), IDS) - exact).mean() / np.abs(exact).mean()
    assert error < 0.02


def test_the_engine_says_nothing_about_outputs_added_here(source, tmp_path, capfd):
    model = onnx.load(source)
    spare = numpy_helper.from_array(np.zeros(3, np.float32), "spare")
    model.graph.initializer.append(spare)  # the engine warns, in colour, that nothing uses it
    onnx.save(model, tmp_path / "spare.onnx")
    Quantizer(tmp_path / "spare.onnx", FEEDS).write(STEPS[1], tmp_path / "q.onnx")
    assert capfd.readouterr().err == ""


def test_a_product_with_a_bias_is_smoothed_too(tmp_path):
    """A Gemm, as a Dense is exported, becomes MatMul and Add first: else the quantiser makes it one after smoothing."""
    nodes = [helper.make_node("Gemm", ["x", "weight", "bias"], ["out"], name="dense", transB=1)]
    arrays = ((np.ascontiguousarray(WEIGHT.T), "weight"), (np.arange(16, dtype=np.float32), "bias"))
    x, out = (helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", d]) for n, d in (("x", 32), ("out", 16)))
    graph = helper.make_graph(nodes, "dense", [x], [out], [numpy_helper.from_array(a, n) for a, n in arrays])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.save(model, tmp_path / "model.onnx")
    loud = (RNG.normal(size=(20, 32)) * LOUD).astype(np.float32)
    quantizer = Quantizer(tmp_path / "model.onnx", [{"x": row[None]} for row in loud])
    errors = []
    for recipe in STEPS[:2]:
        quantizer.write(recipe, tmp_path / "q.onnx")
        found = onnxruntime.InferenceSession(str(tmp_path / "q.onnx")).run(None, {"x": loud})[0]
        exact = loud @ WEIGHT + np.arange(16)
        errors.append(np.abs(found - exact).mean() / np.abs(exact).mean())
    assert errors[1] < errors[0] / 2


@pytest.fixture
def copy(leaf_path, tmp_path):
    return shutil.copytree(leaf_path, tmp_path / "copy")


@pytest.fixture
def from_plain(monkeypatch):
    """A ladder that begins with a recipe that leaves something to gain on a model as small as this."""
    monkeypatch.setattr(sys.modules["leaf_embed.export.onnx"], "LADDER", STEPS)


def test_the_first_recipe_is_exact_enough_by_default(copy):
    assert export(copy, texts(60))["int8"].recipe == LADDER[0].name == STEPS[2].name


@pytest.mark.usefixtures("from_plain")
def test_the_first_recipe_that_reaches_the_goal_is_kept(copy):
    parity = export(copy, texts(60), goal=Floor(0, 0, 0))
    assert parity["int8"].recipe == STEPS[0].name
    better = export(copy, texts(60), goal=Floor(parity["int8"].mean_cosine + 1e-6, 0, 0))
    assert better["int8"].recipe != STEPS[0].name
    assert better["int8"].mean_cosine > parity["int8"].mean_cosine


@pytest.mark.usefixtures("from_plain")
def test_an_unreachable_goal_keeps_the_best_and_warns(copy, caplog):
    with caplog.at_level(logging.WARNING):
        parity = export(copy, texts(60), goal=Floor(1, 1, 1))
    assert "no int8 recipe reached the goal" in caplog.text
    assert parity["int8"].recipe in caplog.text
    first = export(copy, texts(60), goal=Floor(0, 0, 0))
    assert parity["int8"].mean_cosine > first["int8"].mean_cosine
    assert sorted(f.name for f in (copy / "onnx").iterdir()) == ["model.onnx", "model_quantized.onnx"]


def test_a_float16_graph_of_earlier_code_is_refused_and_the_leaf_still_loads(copy):
    old = copy / "onnx" / "model_fp16.onnx"
    shutil.copy(copy / "onnx" / "model.onnx", old)
    parity = json.loads((copy / "parity.json").read_text())
    (copy / "parity.json").write_text(json.dumps(parity | {"float16": parity["float32"]}))
    with pytest.raises(InputError, match="unknown graph variant 'float16'; expected auto, int8, float32"):
        leaf_embed.load(copy, variant="float16")
    assert leaf_embed.load(copy).encode_query("red stone").shape == (32,)
    (copy / "README.md").unlink()
    assert "model_fp16" not in write_card(copy).read_text()
    export(copy, texts(40))
    assert not old.exists()
