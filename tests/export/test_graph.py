"""Rewritten graphs compute the same, and ONNX Runtime fuses what it did not before."""

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from scipy.special import erf
from sentence_transformers import SentenceTransformer

from leaf_embed.export.graph import plain_attention, tidy


def gelu_graph(file, *, shared=False):
    """GELU as the exporter writes it; ``shared``: its inner part is an output too and must stay."""
    nodes = [
        helper.make_node("Div", ["x", "root"], ["a"], name="div"),
        helper.make_node("Erf", ["a"], ["b"], name="erf", doc_string="notes"),
        helper.make_node("Add", ["b", "one"], ["c"], name="plus"),
        helper.make_node("Mul", ["half", "c"], ["d"], name="half"),
        helper.make_node("Mul", ["x", "d"], ["y"], name="last"),
        *([helper.make_node("Neg", ["c"], ["z"], name="other")] if shared else []),
    ]
    constants = {"root": np.sqrt(2), "one": 1.0, "half": 0.5}
    tensors = [numpy_helper.from_array(np.float32(value), name) for name, value in constants.items()]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 8])
    names = ["y", "z"] if shared else ["y"]
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 8]) for name in names]
    graph = helper.make_graph(nodes, "gelu", [x], outputs, tensors)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), file)
    return file


def run(file, x):
    return onnxruntime.InferenceSession(str(file)).run(None, {"x": x})


def kinds_as_run(file, tmp_path):
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(str(file), options)
    return [node.op_type for node in onnx.load(tmp_path / "optimized.onnx").graph.node]


def test_gelu_is_the_same_and_one_step(tmp_path):
    file = gelu_graph(tmp_path / "g.onnx")
    assert "Erf" in kinds_as_run(file, tmp_path)
    tidy(file)
    assert kinds_as_run(file, tmp_path) == ["Gelu"]
    x = np.linspace(-4, 4, 16, dtype=np.float32).reshape(2, 8)
    np.testing.assert_allclose(run(file, x)[0], 0.5 * x * (1 + erf(x / np.sqrt(2))), atol=1e-5)
    assert not any(node.doc_string for node in onnx.load(file).graph.node)


def test_what_something_else_reads_is_left_alone(tmp_path):
    file = gelu_graph(tmp_path / "g.onnx", shared=True)
    before = onnx.load(file).graph.node[3].input[:]
    tidy(file)
    assert onnx.load(file).graph.node[3].input[:] == before


def test_a_leafs_graph_is_fused_and_carries_no_notes(leaf_path, tmp_path):
    for name in ("model.onnx", "model_quantized.onnx"):
        kinds = kinds_as_run(leaf_path / "onnx" / name, tmp_path)
        assert kinds.count("Gelu") + kinds.count("BiasGelu") == 2
        assert "Erf" not in kinds
        assert "IsNaN" not in kinds
    assert b"stack_trace" not in (leaf_path / "onnx" / "model.onnx").read_bytes()


def test_the_model_keeps_its_attention(leaf_path):
    model = SentenceTransformer(str(leaf_path), device="cpu")
    before = model[0].auto_model.config._attn_implementation
    with plain_attention(model):
        assert model[0].auto_model.config._attn_implementation == "eager"
    assert model[0].auto_model.config._attn_implementation == before != "eager"
