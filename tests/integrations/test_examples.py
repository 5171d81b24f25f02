"""Each example runs, offline, on a leaf given as its argument."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
NEEDS = {"rag_haystack": "haystack", "rag_langchain": "langchain_core", "rag_llama_index": "llama_index.core"}


def test_every_example_is_tried() -> None:
    assert {file.stem for file in (ROOT / "examples").glob("*.py")} == set(NEEDS)


@pytest.mark.parametrize("example", sorted(NEEDS))
def test_example(example: str, leaf_path: Path, teacher_path: Path) -> None:
    pytest.importorskip(NEEDS[example])
    folder = Path(importlib.import_module("leaf_embed").__file__ or "").parent.parent
    paths = os.pathsep.join([str(folder), str(folder / "integrations"), os.environ.get("PYTHONPATH", "")])
    question = "The river carries cold water from the stone bridge down to the tower."  # the tiny model is no poet
    done = subprocess.run(
        [sys.executable, f"examples/{example}.py", leaf_path, "--teacher", teacher_path, "--question", question],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": paths},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("rivers.md: ")
    assert len(done.stdout.splitlines()) == 2
