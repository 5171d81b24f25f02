"""What quality costs: the share of the teacher's nDCG@10 that a leaf keeps against minutes of training.

Every kind of student with several numbers of steps, and sentence-transformers' own trainer with the three-layer
student: same start, texts, teacher vectors, loss and batches of 32. A point is a whole training with a schedule of its
own. Minutes are those of warm start and training on this machine; the teacher's pass over the texts is the same for all
and left out.

    python benchmarks/minutes.py --cache CACHE --data EVAL --eval-cache EVAL_CACHE \\
        --output benchmarks/results/minutes.json --plot docs/minutes.svg

``--leaf`` adds finished leaves, such as those of the recipes, with the seconds that their training noted, which leave
out the warm start. CACHE is a teacher cache that a distillation left; EVAL holds BEIR sets, whose documents are kept in
EVAL_CACHE. The plot needs matplotlib.
"""

from __future__ import annotations

import json
import os
import platform
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from ablation import Bench
from training import their_options, their_trainer

import leaf_embed
from leaf_embed._files import write_json
from leaf_embed.distill import DistillConfig
from leaf_embed.distill.loss import Objective
from leaf_embed.distill.plans import Course, LayeredPlan, ShallowPlan, StaticPlan, StudentPlan, first_batches
from leaf_embed.distill.student import warm_start
from leaf_embed.encoders.transformer import SentenceTransformerEncoder, wants_bfloat16
from leaf_embed.format import read_leaf

SHALLOW = "one layer over static"
THEIRS = "sentence-transformers' trainer, three layers"
STEPS = {
    "static": (50, 200, 800),
    SHALLOW: (250, 1000),
    "one layer": (250, 1000),
    "two layers": (250, 1000),
    "three layers": (250, 1000),
    THEIRS: (40, 160),
}
LAYERS = {"one layer": (5,), "two layers": (4, 5), "three layers": (0, 1, 5), THEIRS: (0, 1, 5)}
QUERIES_ALONE = ("static", "one layer", "two layers")  # as in their recipes


def main(
    cache: Annotated[Path, typer.Option(help="Teacher cache with the training texts.")],
    data: Annotated[Path, typer.Option(help="Directory of BEIR sets.")],
    eval_cache: Annotated[Path, typer.Option(help="Teacher cache for the sets' documents.")],
    output: Annotated[Path, typer.Option(help="Result file; points that are in it are not measured again.")],
    plot: Annotated[Path | None, typer.Option(help="Picture to draw, .svg or .png.")] = None,
    leaf: Annotated[list[Path] | None, typer.Option(help="Finished leaf to add; several.")] = None,
    teacher: Annotated[str | None, typer.Option(help="Teacher; default: the packaged all-MiniLM-L6-v2.")] = None,
) -> None:
    """Train and measure every point, and print a line for each."""
    bench = Bench(teacher, cache, data, eval_cache)
    known: dict[str, Any] = json.loads(output.read_text(encoding="utf-8")) if output.is_file() else {}
    result = {"machine": f"{platform.machine()}, {os.cpu_count()} cores", "points": known.get("points", {})}
    for name, numbers in STEPS.items():
        points: dict[str, Any] = result["points"].setdefault(name, {})
        for steps in numbers:
            if str(steps) not in points:
                with tempfile.TemporaryDirectory() as folder:
                    points[str(steps)] = measure(bench, name, steps, Path(folder))
                write_json(output, result)
            print(name, steps, points[str(steps)], flush=True)
    for directory in leaf or ():
        name, point = finished(bench, directory)
        result["points"][name][f"the recipe {directory.name}"] = point
        write_json(output, result)
        print(name, directory.name, point, flush=True)
    if plot is not None:
        draw(result["points"], plot)


def measure(bench: Bench, name: str, steps: int, folder: Path) -> dict[str, Any]:
    """One training, and what it keeps."""
    config = DistillConfig.quick(max_steps=steps)
    if name == "static":
        config = DistillConfig.static(max_steps=steps, learning_rate=1e-3)
    plan = student(bench, name)
    rows = np.random.default_rng(config.seed).permutation(bench.learned)
    if name in QUERIES_ALONE:
        rows = rows[bench.cache.are_queries(rows)]
    if name != SHALLOW:  # whose static part reads all of them, in seconds
        rows = rows[: steps * config.batch_size]
    learned, held_out = (
        plan.tokenize(bench.cache, np.sort(some), config.max_tokens) for some in (rows, bench.held_out)
    )
    began = time.monotonic()
    if name == THEIRS:
        texts = warm_and_train(bench, plan, learned, config, folder)
    else:
        course = Course(config, Objective(), folder)
        plan.align(learned, held_out, course)
        texts = steps * config.batch_size
    minutes = (time.monotonic() - began) / 60
    leaf = SentenceTransformerEncoder(plan.model)
    return {"minutes": round(minutes, 3), "texts": texts, "kept": bench.kept(bench.scores(leaf.encode_query))}


def finished(bench: Bench, directory: Path) -> tuple[str, dict[str, Any]]:
    """Which student a leaf is, and its point."""
    info = read_leaf(directory)
    leaf = leaf_embed.load(directory, variant="auto" if info.kind == "static" else "float32")
    turn = np.eye(info.space.dim) if leaf.rotation is None else leaf.rotation.matrix.T  # back: they are orthogonal
    layers = info.recipe["layers"]
    names = {tuple(numbers): name for name, numbers in LAYERS.items() if name != THEIRS}
    name = "static" if info.kind == "static" else SHALLOW if info.recipe["student"] == "shallow" else names[(*layers,)]
    texts = info.metrics["steps"] * info.recipe["config"]["batch_size"]
    minutes = round(info.metrics["seconds"] / 60, 3)
    share = bench.kept(bench.scores(lambda queries: leaf.encode_query(queries) @ turn))
    return name, {"minutes": minutes, "texts": texts, "kept": share}


def student(bench: Bench, name: str) -> StudentPlan:
    """A new student of that kind."""
    model, space = bench.teacher.model, bench.teacher.space
    if name == "static":
        return StaticPlan(model, space, bench.teacher)
    if name in LAYERS:
        return LayeredPlan(model, space, LAYERS[name], seed=0)
    return ShallowPlan(model, space, bench.teacher, None, seed=0)


def warm_and_train(bench: Bench, plan: StudentPlan, learned: Any, config: DistillConfig, folder: Path) -> int:
    """The same start, then the other trainer; returns the number of texts."""
    bfloat16 = wants_bfloat16("auto", plan.model.device)
    warm_start(plan.model, lambda: first_batches(learned, config, plan.model), bfloat16)
    shuffled = np.random.default_rng(config.seed).permutation(learned.rows)
    their_trainer(plan.model, bench.cache, shuffled, folder, **their_options(config.batch_size, bfloat16)).train()
    plan.model.eval()
    return len(learned.rows) // config.batch_size * config.batch_size


def draw(points: dict[str, Any], target: Path) -> None:
    """Shares kept over minutes, a line a student, with their intervals."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7.2, 4.4), layout="constrained")
    for name, found in points.items():
        ordered = sorted(found.values(), key=lambda one: float(one["minutes"]))
        x = [one["minutes"] for one in ordered]
        value, low, high = (100 * np.array([one["kept"][i] for one in ordered]) for i in range(3))
        dashed = "--" if name == THEIRS else "-"
        axes.errorbar(x, value, yerr=(value - low, high - value), label=name, marker="o", linestyle=dashed, capsize=2)
    axes.set(xscale="log", xlabel="minutes of training on two CPU cores", ylabel="nDCG@10 kept, % of the teacher's")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(target, metadata={"Date": None})


if __name__ == "__main__":
    typer.run(main)
