"""SIGKILL at random moments of indexing: nothing acknowledged is lost, and a second run ends in the same collection."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from leaf_embed.qdrant import LeafCollection
from tests.qdrant.killed_indexer import BATCH, DOCS, SPEC, home_of

ROOT = Path(__file__).parents[2]


def killed(backend: str, directory: Path, dice: random.Random) -> tuple[int, bool]:
    """Index in a child process and kill it within the batch after a random one, on a fast machine and on a slow one.

    Returns:
        The documents that it had acknowledged, and whether it had come to its end.
    """
    command = [sys.executable, "-m", "tests.qdrant.killed_indexer", backend, str(directory)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    began = time.monotonic()
    batches = dice.randrange(len(DOCS) // BATCH)
    said = [child.stdout.readline().strip() for _ in range(batches)]
    time.sleep(dice.random() * (time.monotonic() - began) / max(1, batches))
    child.kill()
    said += child.stdout.read().split()
    child.wait()
    child.stdout.close()
    return max((int(word) for word in said if word.isdigit()), default=0), "end" in said


def check_one_kill(backend: str, directory: Path, leaf: Any, dice: random.Random) -> bool:
    """Kill, look, resume, compare; whether the kill came before the end."""
    home = home_of(backend, str(directory))
    LeafCollection.create("docs", leaf, spec=SPEC, **home).close()
    release(home)
    acknowledged, ended = killed(backend, directory, dice)
    home = home_of(backend, str(directory))
    with LeafCollection.open("docs", leaf, **home) as docs:
        there = {document.id for document in docs.iter_documents()}
        assert {document.id for document in DOCS[:acknowledged]} <= there
        assert docs.count() == len(there)
        leaf.asked.clear()
        report = docs.index(DOCS)
        assert report.added + report.updated + report.payload_updated <= len(DOCS) - acknowledged
        assert len(leaf.embedded) <= len(DOCS) - acknowledged
        stored = {document.id: document for document in docs.iter_documents(with_vectors=True)}
        assert {key: (d.text, d.payload) for key, d in stored.items()} == {d.id: (d.text, d.payload) for d in DOCS}
        matrix = np.stack([stored[d.id].vector for d in DOCS])
        np.testing.assert_allclose(matrix, leaf.encode_document([d.text for d in DOCS]), atol=1e-6)
        for i in range(0, 600, 60):
            assert docs.search(DOCS[i].text, candidates=200)[0].id == f"d{i}"
        assert docs.count() == len(DOCS)
    release(home)
    return not ended


def release(home: dict[str, Any]) -> None:
    if "client" in home:
        home["client"].close()


def test_killed_twice(tmp_path: Path, leaf: Any) -> None:
    dice = random.Random(5)
    for number in range(2):
        check_one_kill("edge", tmp_path / str(number), leaf, dice)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["edge", "local"])  # local mode's SQLite takes 15 seconds a kill
def test_killed_thirty_times(backend: str, tmp_path: Path, leaf: Any) -> None:
    dice = random.Random(30)
    early = [check_one_kill(backend, tmp_path / str(n), leaf, dice) for n in range(30)]
    assert sum(early) >= 20  # most kills came in the middle
