"""Good clients beside slow, broken, greedy and vanished ones: their vectors are right, and nothing piles up."""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

pytest.importorskip("starlette", reason="pip install starlette uvicorn")

import leaf_embed
from tests.conftest import sentences
from tests.serve.clients import Tally, good
from tests.serve.helpers import get


@contextmanager
def command(leaf: Path, log: Path) -> Iterator[tuple[int, psutil.Process]]:
    """``leaf-embed serve`` as users start it, with short time-outs; its port and its process."""
    options = ["--leaf", str(leaf), "--document", "leaf", "--port", "0", "--timeout", "2", "--vocabulary", "none"]
    code = f"from leaf_embed.cli import main; main({['serve', *options]!r})"
    with log.open("w") as file, subprocess.Popen([sys.executable, "-c", code], stderr=file) as process:
        while "/v1\n" not in log.read_text():
            assert process.poll() is None
            time.sleep(0.05)
        try:
            yield int(log.read_text().split("/v1\n")[0].rsplit(":", 1)[1]), psutil.Process(process.pid)
        finally:
            process.terminate()
            process.wait(timeout=40)


@contextmanager
def hostile_clients(port: int, seconds: float, count: int) -> Iterator[None]:
    arguments = [sys.executable, "-m", "tests.serve.clients", str(port), str(seconds), str(count)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        yield
        rounds = json.loads(process.communicate(timeout=60 + seconds)[0])
    assert set(rounds) == {"slow", "broken", "greedy", "vanished"}


@pytest.mark.parametrize(
    ("seconds", "count"), [(2, 2), pytest.param(60, 8, marks=pytest.mark.chaos, id="8 of each kind")]
)
def test_good_clients_beside_hostile_ones(leaf_path: Path, tmp_path: Path, seconds: int, count: int) -> None:
    leaf = Path(os.environ.get("LEAF_EMBED_SOAK_LEAF", leaf_path))
    texts = sentences(200)
    vectors = leaf_embed.load(leaf).encode_query(texts)

    def measure(port: int, time_: float) -> Tally:
        return asyncio.run(good(port, time_, texts, vectors))

    with command(leaf, tmp_path / "log") as (port, server):
        alone = measure(port, max(1.0, seconds / 6))
        connections, memory = server.num_fds(), []
        with hostile_clients(port, seconds, count):
            tallies = []
            for _ in range(max(1, seconds // 10)):
                tallies.append(measure(port, seconds / max(1, seconds // 10)))
                memory.append(server.memory_info().rss)
        statuses = sum((tally.statuses for tally in tallies), start=alone.statuses)
        assert set(statuses) == {200}
        assert sum(tally.wrong for tally in [alone, *tallies]) == 0
        for _ in range(100):  # the time-out, and what was under way
            page = get(f"http://127.0.0.1:{port}/metrics")
            if server.num_fds() <= connections and "leaf_embed_waiting_texts 0.0" in page:
                break
            time.sleep(0.1)
        assert server.num_fds() <= connections
        assert "leaf_embed_waiting_texts 0.0" in page
        assert 'status="500"' not in page
        assert not any(word in (tmp_path / "log").read_text() for word in ("river", "Traceback"))
        if len(memory) > 3:
            beside = statistics.median(tally.p95 for tally in tallies)  # one interval may be the machine's, not ours
            print(f"p95 alone {alone.p95:.4f} s, beside {[round(t.p95, 4) for t in tallies]}; memory {memory}")
            assert beside <= 2 * alone.p95 + 0.01
            assert memory[-1] <= 1.2 * memory[1]
