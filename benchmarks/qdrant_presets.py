"""The presets on the embedded engine against exhaustive search in NumPy: recall, identical answers, time, memory.

    python benchmarks/qdrant_presets.py [--documents 100000] [--queries 500] [--specs balanced small ...]

Vectors are made up: clusters whose variance falls with the dimension, as Matryoshka training leaves it. Recall on real
text differs; what a real collection needs is told by ``leaf_embed.qdrant.tune``. The result is written to
benchmarks/results/qdrant_presets.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from leaf_embed import EmbeddingSpace
from leaf_embed.qdrant import CollectionSpec, Document, LeafCollection, estimate
from leaf_embed.vectors import FloatArray, normalize

DIM, CLUSTERS, LIMIT = 768, 2000, 10
SPACE = EmbeddingSpace("made up", DIM)
SPECS = {
    "balanced": CollectionSpec.preset("balanced", SPACE),
    "small": CollectionSpec.preset("small", SPACE),
    "exact": CollectionSpec.preset("exact", SPACE),
    "mrl 128, int8": CollectionSpec(),
}
# What a process holds in private memory before and after it opens a shard and asks it the first time.
RESIDENT = """
import re, sys, qdrant_edge as e
def anonymous():
    return int(re.search(r"RssAnon:\\s+(\\d+)", open("/proc/self/status").read())[1]) * 1024
vector = [0.01] * int(sys.argv[2])
before = anonymous()
shard = e.EdgeShard.load(sys.argv[1])
shard.query(e.QueryRequest(limit=1, query=e.Query.Nearest(vector, using=sys.argv[3])))
print(anonymous() - before)
"""


class NoEncoder:
    """All vectors are given."""

    space = SPACE

    def encode_query(self, texts: Any) -> FloatArray:
        raise NotImplementedError

    encode_document = encode_query


def made_up(documents: int, queries: int, seed: int = 1) -> tuple[FloatArray, FloatArray]:
    """Documents in clusters and queries near some of them, unit norm, shapes ``(n, 768)``."""
    rng = np.random.default_rng(seed)
    spread = (np.arange(1, DIM + 1) ** -0.5).astype(np.float32)  # standard deviation of each dimension
    centres = rng.standard_normal((CLUSTERS, DIM), dtype=np.float32) * spread
    rows = np.empty((documents, DIM), dtype=np.float32)
    for start in range(0, documents, 10_000):
        size = min(10_000, documents - start)
        noise = rng.standard_normal((size, DIM), dtype=np.float32) * spread
        rows[start : start + size] = centres[rng.integers(CLUSTERS, size=size)] + 0.7 * noise
    asked = rows[rng.choice(documents, queries, replace=False)]
    asked = asked + 0.5 * rng.standard_normal((queries, DIM), dtype=np.float32) * spread
    return normalize(rows), normalize(asked)


def exhaustive(rows: FloatArray, queries: FloatArray) -> list[list[int]]:
    """The nearest documents of each query by comparing with every vector."""
    found = []
    for query in queries:
        scores = rows @ query
        best = np.argpartition(-scores, LIMIT)[:LIMIT]
        found.append(best[np.argsort(-scores[best], kind="stable")].tolist())
    return found


def measure(name: str, rows: FloatArray, queries: FloatArray, truth: list[list[int]]) -> dict[str, Any]:
    """Index, search and weigh one spec."""
    spec = SPECS[name]
    with tempfile.TemporaryDirectory() as directory:
        started = time.perf_counter()
        with LeafCollection.create("bench", NoEncoder(), path=directory, spec=spec) as docs:
            docs.index_vectors((Document(i, f"text {i}") for i in range(len(rows))), rows, optimize="later")
            written = time.perf_counter()
            docs.optimize()
            built = time.perf_counter()
            found, times = searches(docs, queries)
            indexed = docs.describe()["indexed_vectors"]
        size = weigh(Path(directory) / "bench" / "shard", spec)
    pairs = list(zip(found, truth, strict=True))
    expected = estimate(spec, SPACE, len(rows), text_bytes=10)
    return {
        "spec": spec.to_dict(),
        "recall_at_10": round(float(np.mean([len(set(a) & set(b)) / LIMIT for a, b in pairs])), 5),
        "identical": round(float(np.mean([a == b for a, b in pairs])), 5),
        **times,
        "indexed_vectors": indexed,
        **size,
        "estimated_pinned_bytes": expected.pinned,
        "pinned_share_of_float32": round(size["pinned_file_bytes"] / expected.float32, 5),
        "write_s": round(written - started, 1),
        "optimize_s": round(built - written, 1),
    }


def searches(docs: LeafCollection, queries: FloatArray) -> tuple[list[list[Any]], dict[str, Any]]:
    """Ids, and percentiles of milliseconds.

    ``first_ms`` is the engine's time when a query comes for the first time and reads full vectors that are not yet in
    the page cache; ``engine_ms`` the same when they are; ``search_ms`` that of the whole ``search``.
    """
    plans = [docs._translator.plan(query, limit=LIMIT) for query in queries]
    first = [timed(docs._points.query, [plan])[1] for plan in plans]
    engine = [timed(docs._points.query, [plan])[1] for plan in plans]
    answers = [timed(docs.search, query) for query in queries]
    helper = [ms for _, ms in answers]
    times = {"first_ms": percentiles(first), "engine_ms": percentiles(engine), "search_ms": percentiles(helper)}
    return [[hit.id for hit in hits] for hits, _ in answers], times


def timed(function: Callable[[Any], Any], argument: Any) -> tuple[Any, float]:
    """The answer of a call and its milliseconds."""
    started = time.perf_counter()
    answer = function(argument)
    return answer, 1000 * (time.perf_counter() - started)


def weigh(shard: Path, spec: CollectionSpec) -> dict[str, Any]:
    """Bytes of the files that are held in memory, of private memory in a fresh process, and of the whole shard."""
    pinned = [
        file.stat().st_size
        for dim in spec.mrl
        for pattern in (f"vector_storage-mrl_{dim}/quantized.data", f"vector_index-mrl_{dim}/*.bin")
        for file in shard.glob(f"segments/*/{pattern}")
    ]
    dim, using = (spec.mrl[0], f"mrl_{spec.mrl[0]}") if spec.mrl else (DIM, "full")
    command = [sys.executable, "-c", RESIDENT, str(shard), str(dim), using]
    resident = int(subprocess.check_output(command, text=True))
    disk = sum(file.stat().st_blocks * 512 for file in shard.rglob("*") if file.is_file())
    return {"pinned_file_bytes": sum(pinned), "resident_private_bytes": resident, "disk_bytes": disk}


def percentiles(times: Any) -> dict[str, float]:
    return {name: round(float(np.percentile(times, q)), 3) for name, q in (("p50", 50), ("p95", 95))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=500)
    parser.add_argument("--specs", nargs="+", choices=list(SPECS), default=list(SPECS))
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "qdrant_presets.json")
    options = parser.parse_args()
    rows, queries = made_up(options.documents, options.queries)
    truth = exhaustive(rows, queries)
    results: dict[str, Any] = {}
    for name in options.specs:
        results[name] = measure(name, rows, queries, truth)
        print(name, json.dumps({k: v for k, v in results[name].items() if k != "spec"}), flush=True)
    report = {
        "documents": options.documents,
        "queries": options.queries,
        "dim": DIM,
        "float32_bytes": 4 * DIM * options.documents,
        "engine": f"qdrant-edge-py {version('qdrant-edge-py')}",
        "machine": {"cpus": os.cpu_count(), "kind": platform.machine(), "load": [round(x, 1) for x in os.getloadavg()]},
        "commit": subprocess.check_output(["git", "rev-parse", "--short", "HEAD"], text=True).strip(),
        "results": results,
    }
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
