"""Weights beside a graph, as above two gigabytes: the same vectors at every step, and every reader finds them."""

import json
import shutil

import numpy as np
import onnx
import pytest
from sentence_transformers import SentenceTransformer

import leaf_embed
from leaf_embed.cli import run
from leaf_embed.distill import Floor, export, export_router, push_to_hub, truncate_leaf
from leaf_embed.evaluation.size import measure_leaf
from leaf_embed.export import graph_files
from leaf_embed.vectors import cosine
from tests.conftest import sentences, texts

FILES = {"model.onnx", "model.onnx_data", "model_quantized.onnx", "model_quantized.onnx_data"}


def names(folder):
    return {file.name for file in (folder / "onnx").iterdir()}


@pytest.fixture(scope="module")
def leaf(leaf_path, tmp_path_factory):
    """A leaf whose graphs have their weights beside them; of three recipes for int8 the best is kept."""
    copy = shutil.copytree(leaf_path, tmp_path_factory.mktemp("large") / "copy")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(graph_files, "EXTERNAL_ABOVE", 2_000)
        export(copy, texts(40), goal=Floor(2, 2))
    return copy


def test_every_step_and_every_reader(leaf, leaf_path, tmp_path, capsys):
    assert names(leaf) == FILES
    inside = onnx.load(leaf / "onnx" / "model.onnx", load_external_data=False).graph.initializer
    assert max(len(tensor.raw_data) for tensor in inside) < 1024
    words = sentences(12, seed=3)
    exact = SentenceTransformer(str(leaf_path), device="cpu").encode_query(words)
    for variant, floor in (("float32", 0.999999), ("int8", 0.99)):
        found = leaf_embed.load(leaf, variant=variant).encode_query(words)
        assert cosine(found, exact).min() > floor
        graph = leaf / leaf_embed.format.GRAPHS[variant]
        beside = graph.with_name(f"{graph.name}_data").stat().st_size
        measured = json.loads((leaf / "parity.json").read_text())[variant]["bytes"]
        assert measured == graph.stat().st_size + beside
        assert measure_leaf(leaf, variant).bytes > beside
    listed = {name for name, _ in push_to_hub(leaf, "org/leaf", dry_run=True).files}
    assert {f"onnx/{name}" for name in FILES} <= listed
    pair = export_router(leaf, tmp_path / "pair")
    np.testing.assert_array_equal(leaf_embed.load(pair).encode_query(words), leaf_embed.load(leaf).encode_query(words))
    assert run(["inspect", str(leaf)]) == 0
    short = truncate_leaf(leaf, tmp_path / "short", 8)
    assert leaf_embed.load(short, variant="torch").encode_query(words).shape == (12, 8)


def test_a_small_graph_replaces_a_large_one(leaf, tmp_path):
    copy = shutil.copytree(leaf, tmp_path / "copy")
    graph = copy / "onnx" / "model.onnx"
    graph_files.save_graph(graph_files.load_graph(graph), graph)
    assert names(copy) == FILES - {"model.onnx_data"}
    before, after = (leaf_embed.load(path, variant="float32").encode_query("red stone") for path in (leaf, copy))
    np.testing.assert_array_equal(after, before)
