"""How many dimensions the first stage needs: are the ten nearest among its candidates? NumPy, no graph, no codes.

    python benchmarks/first_stage.py [--documents 50000] [--queries 300]

Vectors are made up as in qdrant_presets.py: clusters whose variance falls with the dimension. The result is written to
benchmarks/results/first_stage.json.
"""

from __future__ import annotations

import argparse
import subprocess
from pathlib import Path

import numpy as np

from leaf_embed._files import write_json
from leaf_embed.vectors import FloatArray, normalize, truncate

LIMIT, CANDIDATES, CLUSTERS = 10, 200, 1000
TRIED = {256: (64, 96, 128), 384: (128,), 768: (128, 256), 1024: (256, 352), 1536: (512,)}


def made_up(documents: int, queries: int, dim: int, seed: int = 1) -> tuple[FloatArray, FloatArray]:
    """Documents in clusters and queries near some of them, unit norm, shapes ``(n, dim)``."""
    rng = np.random.default_rng(seed)
    spread = (np.arange(1, dim + 1) ** -0.5).astype(np.float32)
    centres = rng.standard_normal((CLUSTERS, dim), dtype=np.float32) * spread
    rows = centres[rng.integers(CLUSTERS, size=documents)]
    rows += 0.7 * rng.standard_normal((documents, dim), dtype=np.float32) * spread
    asked = rows[rng.choice(documents, queries, replace=False)]
    asked = asked + 0.5 * rng.standard_normal((queries, dim), dtype=np.float32) * spread
    return normalize(rows), normalize(asked)


def nearest(rows: FloatArray, queries: FloatArray, number: int) -> list[set[int]]:
    """The documents nearest to each query."""
    scores = queries @ rows.T
    return [set(best) for best in np.argpartition(-scores, number, axis=1)[:, :number].tolist()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=50_000)
    parser.add_argument("--queries", type=int, default=300)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "first_stage.json")
    options = parser.parse_args()
    results = []
    for dim, firsts in TRIED.items():
        rows, queries = made_up(options.documents, options.queries, dim)
        wanted = nearest(rows, queries, LIMIT)
        for first in firsts:
            found = nearest(truncate(rows, first), truncate(queries, first), CANDIDATES)
            complete = float(np.mean([a <= b for a, b in zip(wanted, found, strict=True)]))
            results.append({"dim": dim, "first_stage": first, "complete": round(complete, 4)})
            print(results[-1], flush=True)
    commit = subprocess.check_output(["git", "rev-parse", "--short", "HEAD"], text=True).strip()
    sizes = {"documents": options.documents, "queries": options.queries, "limit": LIMIT, "candidates": CANDIDATES}
    write_json(options.output, {"commit": commit, **sizes, "results": results})


if __name__ == "__main__":
    main()
