"""Sizes against the files themselves."""

import time
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from leaf_embed.errors import InputError
from leaf_embed.evaluation.size import SECONDS, ProcessCosts, measure_leaf, measure_model, measure_process, per_million


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


def test_a_million_queries_at_a_price() -> None:
    """3.6 ms each are 3,600 seconds, one hour of one core."""
    assert per_million(3.6, 0.05) == pytest.approx(0.05)
    costs = ProcessCosts(1, 0.25, 99.0, 1200.0, 0.36, 0.5)
    assert costs.to_dict()["per_million_in_batches"] == pytest.approx(0.05)
    assert str(costs) == (
        "a process with 1 thread(s): first vector after 0.25 s, 99 MiB; 1,200 queries per second in batches, "
        "0.05 per million at 0.5 per core and hour"
    )


def test_a_process_is_measured_from_outside(leaf_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("leaf_embed.evaluation.size.STARTS", 1)
    began = time.perf_counter()
    found = measure_process(leaf_path, ["a question", "another one"], 0.5)
    assert SECONDS < found.cold_start + SECONDS < time.perf_counter() - began
    assert found.peak_mib is None or 20 < found.peak_mib < 1000
    assert found.per_second * found.cpu_ms / 1000 < 1.3  # cores, of one thread
    assert found.per_second > 10
    assert (found.threads, found.price) == (1, 0.5)


def test_a_process_that_fails_says_why(leaf_path: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a new process cannot ask the leaf .*empty: .*NotALeafError"):
        measure_process(tmp_path / "empty", ["a question"], 1)
    with pytest.raises(InputError, match="price of one core for one hour must be 0 or more; got -1"):
        measure_process(leaf_path, ["a question"], -1)
    with pytest.raises(InputError, match="price of one core for one hour must be 0 or more; got nan"):
        measure_process(leaf_path, ["a question"], float("nan"))
    with pytest.raises(InputError, match="at least one query"):
        measure_process(leaf_path, [], 1)
