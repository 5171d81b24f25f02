"""One query on a CPU: the leaf's int8 graph against the same teacher through ``SentenceTransformer.encode``.

Measured in one run: latency paired query by query, cold start and peak memory in new processes of each kind.

    python benchmarks/query_path.py --leaf .demo/leaf --output benchmarks/results/query_path.json
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from leaf_embed import load
from leaf_embed._files import write_json
from leaf_embed.demo import QUESTIONS, load_demo_corpus
from leaf_embed.demo.run import PlainTeacher
from leaf_embed.evaluation import measure_latency

STARTS = 7
QUERIES = 300
LEAF = "import leaf_embed; leaf_embed.load({path!r}).encode_query({text!r})"
TEACHER = "from sentence_transformers import SentenceTransformer as S; S({path!r}, device='cpu').encode({text!r})"
# VmHWM and not ru_maxrss: a new process inherits the latter from the one that started it.
MEMORY = "; print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"


def main(
    leaf: Annotated[Path, typer.Option(help="Leaf directory; its teacher must be on this machine.")],
    output: Annotated[Path, typer.Option(help="Result file to write.")],
) -> None:
    """Measure and print the ratios."""
    encoder = load(leaf)
    teacher = encoder.space.teacher
    queries = [question.text for question in QUESTIONS] + list(load_demo_corpus().evaluation.queries)
    latency = measure_latency(encoder, _sentence_transformer(teacher, encoder), queries[:QUERIES])
    starts = {name: [] for name in ("leaf", "teacher")}
    for _ in range(STARTS):  # interleaved, so that both see the same machine
        starts["leaf"].append(_start(LEAF.format(path=str(leaf), text=queries[0])))
        starts["teacher"].append(_start(TEACHER.format(path=teacher, text=queries[0])))
    cold = {name: _summary(runs) for name, runs in starts.items()}
    result = {
        "commit": _commit(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "latency": latency.to_dict(),
        "cold_start": cold,
        "cold_start_ratio": round(cold["teacher"]["seconds"] / cold["leaf"]["seconds"], 1),
    }
    write_json(output, result)
    print(json.dumps(result, indent=2))


def _sentence_transformer(path: str, encoder: Any) -> PlainTeacher:
    from sentence_transformers import SentenceTransformer

    return PlainTeacher(SentenceTransformer(path, device="cpu"), encoder.space)


def _start(code: str) -> tuple[float, float]:
    """Seconds from a new process to its first vector and its end, and its peak memory in MiB."""
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code + MEMORY], capture_output=True, text=True, check=True)
    return time.perf_counter() - began, int(done.stdout.split()[-1]) / 1024


def _summary(runs: list[tuple[float, float]]) -> dict[str, float]:
    seconds, memory = zip(*runs, strict=True)
    return {
        "seconds": round(statistics.median(seconds), 3),
        "slowest": round(max(seconds), 3),
        "peak_mib": round(max(memory), 1),
    }


def _commit() -> str:
    done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


if __name__ == "__main__":
    typer.run(main)
