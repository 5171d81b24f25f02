"""Export: the graphs compute what the model does, or nothing is written."""

import json
import shutil

import pytest

from leaf_embed.distill import Floor, Text, export
from leaf_embed.errors import InputError, NotALeafError, ParityError
from tests.conftest import texts


def test_parity_is_reported(leaf_path):
    parity = json.loads((leaf_path / "parity.json").read_text())
    assert parity["float32"]["min_cosine"] > 0.9999
    assert 0.95 < parity["int8"]["min_cosine"] <= parity["int8"]["mean_cosine"] < 1
    assert parity["int8"]["bytes"] < parity["float32"]["bytes"]
    assert parity["int8"]["texts"] == 60


def test_below_the_floor_nothing_is_written(leaf_path, tmp_path):
    copy = shutil.copytree(leaf_path, tmp_path / "copy")
    (copy / "onnx" / "model.onnx").write_bytes(b"from before")
    floors = {"float32": Floor(0.9999, 0.999), "int8": Floor(0.99999, 0.99999)}
    with pytest.raises(ParityError, match=r"the int8 graph differs from its model.*No graph was written"):
        export(copy, texts(40), floors=floors)
    assert (copy / "onnx" / "model.onnx").read_bytes() == b"from before"
    assert sorted(f.name for f in copy.iterdir()) == sorted(f.name for f in leaf_path.iterdir())


def test_export_again(leaf_path, tmp_path, capfd):
    copy = shutil.copytree(leaf_path, tmp_path / "copy")
    shutil.rmtree(copy / "onnx")
    parity = export(copy, [*texts(30), Text("", "query")])
    assert parity["float32"].texts == 31
    assert (copy / "onnx" / "model_quantized.onnx").is_file()
    assert "onnxruntime" not in capfd.readouterr().err  # it warns there of weights that no step reads


def test_what_cannot_be_exported(teacher_path, leaf_path):
    with pytest.raises(NotALeafError, match="distil it first"):
        export(teacher_path, texts(3))
    with pytest.raises(InputError, match="some real texts"):
        export(leaf_path, [])
