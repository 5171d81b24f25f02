"""Sizes against the files themselves."""

from pathlib import Path

import pytest
from safetensors.numpy import load_file

from leaf_embed.errors import InputError
from leaf_embed.evaluation.size import measure_leaf, measure_model


def test_a_leaf_weighs_what_its_variant_loads(leaf_path: Path) -> None:
    tokenizer, weights = (leaf_path / "tokenizer.json").stat().st_size, list(leaf_path.rglob("*.safetensors"))
    parameters = sum(array.size for file in weights for array in load_file(file).values())
    sizes = {
        "int8": (leaf_path / "onnx" / "model_quantized.onnx").stat().st_size,
        "float32": (leaf_path / "onnx" / "model.onnx").stat().st_size,
        "torch": sum(file.stat().st_size for file in weights),
    }
    for variant, size in (*sizes.items(), ("auto", sizes["int8"])):
        found = measure_leaf(leaf_path, variant)
        assert (found.bytes, found.parameters) == (size + tokenizer, parameters)
    assert measure_model(leaf_path) == measure_leaf(leaf_path, "torch")
    assert str(measure_model(leaf_path)).endswith("M parameters")


def test_unknown_variants_and_empty_directories_are_refused(leaf_path: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unknown graph variant 'float16'"):
        measure_leaf(leaf_path, "float16")
    with pytest.raises(InputError, match=r"no \*.safetensors"):
        measure_model(tmp_path)
