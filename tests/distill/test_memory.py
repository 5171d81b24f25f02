"""A million rows of made-up vectors: memory of the cache and of the rotation hardly grows with them."""

from pathlib import Path

import numpy as np
import pytest

from leaf_embed.distill import TeacherCache
from leaf_embed.distill.rotation import fit_cached_rotation
from leaf_embed.space import EmbeddingSpace
from leaf_embed.vectors import normalize

ROWS, DIM, FEW = 1_000_000, 384, 100_000
BLOCK = 10_000
ROW_BYTES = 24 + 3 * 8  # a key and its place; the row number in the answer, and twice while it is put in order


def private_bytes() -> int:
    """Memory that is this process's own; mapped files can be given back at any time."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return 1024 * int(next(line.split()[1] for line in status.splitlines() if line.startswith("RssAnon")))


def pairs(count, after):
    generator = np.random.default_rng(0)
    for start in range(0, count, BLOCK):
        rows = normalize(generator.normal(size=(BLOCK, DIM)).astype(np.float32))
        yield from ((f"made-up text {start + place}", row) for place, row in enumerate(rows))
        after(start + BLOCK)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
def test_a_million_rows(tmp_path):
    seen = {}
    cache = TeacherCache(tmp_path / "cache", EmbeddingSpace("made/up", DIM))
    rows = cache.fill_pairs(pairs(ROWS, lambda done: seen.setdefault(done, private_bytes())))
    assert len(rows) == len(cache) == ROWS
    growth = seen[ROWS] - seen[FEW]
    whole = (ROWS - FEW) * DIM * 2
    print(f"\nfrom {FEW:,} to {ROWS:,} rows: {growth / 2**20:.0f} MiB more, of {whole / 2**20:.0f} MiB of vectors")
    assert growth < (ROWS - FEW) * ROW_BYTES * 2 + (32 << 20)
    before = private_bytes()
    fit_cached_rotation(cache, rows)
    assert private_bytes() - before < 64 << 20
