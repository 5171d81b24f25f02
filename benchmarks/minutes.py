"""What quality costs: the share of the teacher's nDCG@10 that a leaf keeps against minutes of training.

Every kind of student with several numbers of steps, and sentence-transformers' own trainer with the three-layer
student: same start, texts, teacher vectors, loss and batches of 32. A point is a whole training with a schedule of its
own. Minutes are those of warm start and training on this machine; the teacher's pass over the texts is the same for all
and left out.

    python benchmarks/minutes.py --cache CACHE --data EVAL --eval-cache EVAL_CACHE \\
        --output benchmarks/results/minutes.json --plot docs/minutes.svg

``--leaf`` adds finished leaves, such as those of the recipes, with the seconds that their training noted, which leave
out the warm start. Students made of a bigger leaf take part if that is among them; its own minutes are left out.
CACHE is a teacher cache that a distillation left; EVAL holds BEIR sets, whose documents are kept in EVAL_CACHE. The
plot needs the extra eval.
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
from leaf_embed._files import write_json, write_text
from leaf_embed.distill import DistillConfig
from leaf_embed.distill.students.base import Student
from leaf_embed.distill.students.static import StaticStudent
from leaf_embed.distill.students.transformer import TransformerStudent
from leaf_embed.distill.train import align
from leaf_embed.encoders.transformer import SentenceTransformerEncoder, wants_bfloat16
from leaf_embed.evaluation.report.plots import Series, curves
from leaf_embed.format import LEAF_FILE, read_leaf

OF_TWO, OF_THREE = "one layer, of a leaf of two", "two layers, of a leaf of three"
NO_LAYER, ONE_HEAD = "no layer, with a head", "one layer, of that leaf of one, with a head"
THEIRS = "sentence-transformers' trainer, three layers"
STEPS = {
    "static": (50, 200, 800),
    NO_LAYER: (50, 200, 800),
    "one layer": (250, 1000),
    OF_TWO: (250, 1000),
    ONE_HEAD: (250, 1000),
    "two layers": (250, 1000),
    OF_THREE: (250, 1000),
    "three layers": (250, 1000),
    THEIRS: (40, 160),
}
LAYERS = {
    NO_LAYER: (),
    "one layer": (5,),
    OF_TWO: (1,),
    ONE_HEAD: (0,),
    "two layers": (0, 5),
    OF_THREE: (0, 2),
    "three layers": (0, 1, 5),
    THEIRS: (0, 1, 5),
}
HEADS = {NO_LAYER: (1536, 1536), ONE_HEAD: (1536, 1536)}
SOURCES = {ONE_HEAD: OF_TWO, OF_TWO: OF_THREE, OF_THREE: "three layers"}
ALL_TEXTS = ("three layers", THEIRS)  # as in their recipe; the others learn from queries alone


def main(
    cache: Annotated[Path, typer.Option(help="Teacher cache with the training texts.")],
    data: Annotated[Path, typer.Option(help="Directory of BEIR sets.")],
    eval_cache: Annotated[Path, typer.Option(help="Teacher cache for the sets' documents.")],
    output: Annotated[Path, typer.Option(help="Result file; points that are in it are not measured again.")],
    plot: Annotated[Path | None, typer.Option(help="Plot to draw, .svg.")] = None,
    leaf: Annotated[list[Path] | None, typer.Option(help="Finished leaf to add; several.")] = None,
    teacher: Annotated[str | None, typer.Option(help="Teacher; default: the packaged all-MiniLM-L6-v2.")] = None,
) -> None:
    """Train and measure every point, and print a line for each."""
    bench = Bench(teacher, cache, data, eval_cache)
    known: dict[str, Any] = json.loads(output.read_text(encoding="utf-8")) if output.is_file() else {}
    result = {"machine": f"{platform.machine()}, {os.cpu_count()} cores", "points": known.get("points", {})}
    leaves = [(name_of(directory), directory) for directory in leaf or ()]
    sources = {name: str(directory) for name, directory in leaves}
    for name, numbers in STEPS.items():
        if name in SOURCES and SOURCES[name] not in sources:
            continue
        points: dict[str, Any] = result["points"].setdefault(name, {})
        for steps in numbers:
            if str(steps) not in points:
                with tempfile.TemporaryDirectory() as folder:
                    points[str(steps)] = measure(bench, name, sources, steps, Path(folder))
                write_json(output, result)
            print(name, steps, points[str(steps)], flush=True)
    for name, directory in leaves:
        point = finished(bench, directory)
        result["points"].setdefault(name, {})[f"the leaf {directory.name}"] = point
        write_json(output, result)
        print(name, directory.name, point, flush=True)
    if plot is not None:
        draw(result["points"], plot)


def measure(bench: Bench, name: str, sources: dict[str, str], steps: int, folder: Path) -> dict[str, Any]:
    """One training, and what it keeps."""
    config = DistillConfig.quick(max_steps=steps)
    if name == "static":
        config = DistillConfig.static(max_steps=steps, learning_rate=1e-3)
    if name == NO_LAYER:
        config = DistillConfig.quick(max_steps=steps, learning_rate=1e-3, batch_size=256)
    student = build(bench, name, sources, config)
    bench.cache.fill(student.start_texts(), bench.teacher)
    rows = np.random.default_rng(config.seed).permutation(bench.learned)
    if name not in ALL_TEXTS:
        rows = rows[bench.cache.are_queries(rows)]
    rows = rows[: steps * config.batch_size]
    learned, held_out = (
        student.tokenize(bench.cache, np.sort(some), config.max_tokens) for some in (rows, bench.held_out)
    )
    began = time.monotonic()
    if name == THEIRS:
        texts = warm_and_train(bench, student, learned, config, folder)
    else:
        align(student, learned, held_out, config, folder)
        texts = steps * config.batch_size
    minutes = (time.monotonic() - began) / 60
    leaf = SentenceTransformerEncoder(student.model)
    return {"minutes": round(minutes, 3), "texts": texts, "kept": bench.retention(bench.scores(leaf.encode_query))}


def name_of(directory: Path) -> str:
    """Which student a leaf is."""
    info = read_leaf(chain(directory)[-1])
    if not info.needs_graph:
        return "static"
    names = {(numbers, HEADS.get(name, ())): name for name, numbers in LAYERS.items() if name != THEIRS}
    layers, head = info.recipe["layers"], tuple(info.recipe.get("head", ()))
    name = names.get((tuple(layers), head)) if isinstance(layers, list) else None
    if name is None:
        raise typer.BadParameter(f"{directory} is none of the students compared here: {', '.join(STEPS)}")
    return name


def finished(bench: Bench, directory: Path) -> dict[str, Any]:
    """The point of a leaf."""
    info = read_leaf(directory)
    leaf = leaf_embed.load(directory, variant="float32" if info.needs_graph else "auto")
    turn = np.eye(info.space.dim) if leaf.rotation is None else leaf.rotation.matrix.T  # back: they are orthogonal
    seconds, texts = spent(directory)
    share = bench.retention(bench.scores(lambda queries: leaf.encode_query(queries) @ turn))
    return {"minutes": round(seconds / 60, 3), "texts": texts, "kept": share}


def spent(directory: Path) -> tuple[float, int]:
    """Seconds and texts of a leaf's training, with those of the leaves that it was trained on from."""
    leaves = [read_leaf(one) for one in chain(directory)]
    texts = sum(leaf.metrics["steps"] * leaf.recipe["config"]["batch_size"] for leaf in leaves)
    return sum(leaf.metrics["seconds"] for leaf in leaves), texts


def chain(directory: Path) -> list[Path]:
    """A leaf and those it was trained on from, with as many layers and the same head; the first one last."""
    recipe = read_leaf(directory).recipe
    source = Path(recipe["student"])
    if not (source / LEAF_FILE).is_file():
        return [directory]
    before = chain(source)
    first = read_leaf(before[-1]).recipe
    whole = recipe["layers"] is None or len(recipe["layers"]) == len(first["layers"])
    return [directory, *before] if whole and recipe.get("head", []) == first.get("head", []) else [directory]


def build(bench: Bench, name: str, sources: dict[str, str], config: DistillConfig) -> Student:
    """A new student of that kind, from a bigger leaf or the teacher."""
    model, space = bench.teacher.model, bench.teacher.space
    if name == "static":
        return StaticStudent(model, space)
    source = sources[SOURCES[name]] if name in SOURCES else model
    return TransformerStudent(source, space, config, layers=LAYERS[name], head=HEADS.get(name, ()))


def warm_and_train(bench: Bench, student: Student, learned: Any, config: DistillConfig, folder: Path) -> int:
    """The same start, then the other trainer; returns the number of texts."""
    student.start(learned)
    options = their_options(config.batch_size, wants_bfloat16("auto", student.model.device))
    shuffled = np.random.default_rng(config.seed).permutation(learned.rows)
    their_trainer(student.model, bench.cache, shuffled, folder, **options).train()
    student.model.eval()
    return len(learned.rows) // config.batch_size * config.batch_size


def draw(points: dict[str, Any], target: Path) -> None:
    """Retention over minutes, one curve per student, with its intervals."""
    series = []
    for name, found in points.items():
        good = [one for one in found.values() if one["kept"][0] >= 0.8]  # others: a static student after seconds
        ordered = sorted(good, key=lambda one: float(one["minutes"]))
        shares = [[100 * share for share in one["kept"]] for one in ordered]
        values = [(one["minutes"], share[0]) for one, share in zip(ordered, shares, strict=True)]
        intervals = [(low, high) for _, low, high in shares]
        series.append(Series(name, values, dashed=name == THEIRS, intervals=intervals))
    title = "Retention of the teacher's nDCG@10 against minutes of training"
    write_text(target, curves(series, title, "minutes on two CPU cores", "retention, %", log=True))


if __name__ == "__main__":
    typer.run(main)
