"""The retention of each leaf, over every set of a directory, every number of dimensions and quantization.

    python benchmarks/retention.py --leaf LEAF --leaf OTHER --data EVAL_SETS --cache CACHE \\
        --output benchmarks/results/retention.json

The teacher's vectors are cached: the second leaf, and the second run, cost only the leaf. The result file is written
after each leaf, and a leaf that is in it already, with the same files and settings, is not measured again.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

import leaf_embed
from leaf_embed._files import write_json
from leaf_embed.cli.console import integers, progress_bar, quiet_transformers
from leaf_embed.distill import CachedEncoder, TeacherCache
from leaf_embed.encoders.loading import load_teacher
from leaf_embed.evaluation import RetrievalSet, evaluate, load_beir
from leaf_embed.evaluation.size import measure_leaf, measure_model
from leaf_embed.qdrant.backends.edge_quantization import engine_search
from leaf_embed.reports import markdown

QUANTIZATION, BY_ENGINE = ("float32", "int8", "binary"), ("binary-rescored",)
HEADER = ("leaf", "dims", "stored as", "teacher", "asymmetric", "retention (95 %)", "symmetric", "retention (95 %)")
CURVE_TOLERANCE = 0.015  # nDCG@10 that a leaf's curve may lie below the teacher's at the same point


def main(
    leaf: Annotated[list[Path], typer.Option(help="Leaf directory; repeat for several.")],
    data: Annotated[Path, typer.Option(help="Directory whose folders are retrieval sets in BEIR layout.")],
    cache: Annotated[Path, typer.Option(help="Where the teacher's vectors are kept.")],
    output: Annotated[Path, typer.Option(help="Result file to write.")],
    teacher: Annotated[
        str | None, typer.Option(help="Teacher's directory. Default: the one named in the leaf.")
    ] = None,
    dims: Annotated[str, typer.Option(help="Truncated dimensions, besides the full ones.")] = "256,128,64",
    variant: Annotated[str, typer.Option(help="Leaf to run: auto, int8, float32 or torch.")] = "auto",
    max_queries: Annotated[int, typer.Option(help="Take the first so many queries of a set; 0 for all.")] = 2000,
) -> None:
    """Measure every leaf, write the results and print them as Markdown."""
    sets = _load_sets(data, max_queries)
    settings = {"dims": dims, "variant": variant, "queries": {one.name: len(one.queries) for one in sets}}
    known = json.loads(output.read_text(encoding="utf-8"))["leaves"] if output.is_file() else {}
    leaves: dict[str, Any] = {}
    for directory in leaf:
        key = {"leaf": _digest(directory), **settings}
        if known.get(directory.name, {}).get("key") == key:
            leaves[directory.name] = known[directory.name]
        else:
            leaves[directory.name] = {"key": key, **_measure(directory, teacher, cache, sets, dims, variant)}
        write_json(output, {"commit": _commit(), "machine": _machine(), "leaves": {**known, **leaves}})
    print(table(leaves))
    for name, result in leaves.items():
        print(f"\n{name}: {summary(result)}")


def _load_sets(data: Path, max_queries: int) -> list[RetrievalSet]:
    folders = sorted(file.parent for file in data.glob("*/corpus.jsonl"))
    sets = [load_beir(folder, stream=True) for folder in folders]
    return [one.head(max_queries) if max_queries else one for one in sets]


def _measure(
    directory: Path, teacher: str | None, cache: Path, sets: list[RetrievalSet], dims: str, variant: str
) -> dict[str, Any]:
    """The report of one leaf as JSON, without its per-query parts."""
    student = leaf_embed.load(directory, variant=variant)  # type: ignore[arg-type]
    quiet_transformers()
    bare = load_teacher(teacher or student.space.teacher, student.teacher_space)
    cached = student.rotated(CachedEncoder(TeacherCache(cache, bare.space), bare))
    rotation: Literal["none", "fitted"] = "fitted" if student.rotation is None else "none"  # once is enough
    wanted = [dim for dim in integers(dims, "--dims") or () if dim < student.space.dim]
    engines, kinds = {name: engine_search(name) for name in BY_ENGINE}, [*QUANTIZATION, *BY_ENGINE]
    with progress_bar() as progress:
        report = evaluate(
            student, cached, sets, wanted, kinds, progress, rotation=rotation, timed_teacher=bare, engines=engines
        )
    result = report.to_dict()
    for one in result["sets"]:
        del one["per_query"], one["worst_queries"], one["cosine_histograms"]
    result["sizes"] = {"leaf": measure_leaf(directory, variant).to_dict()}
    source = Path(teacher or student.space.teacher)
    result["teacher"] = "/".join(source.parts[-2:])  # a hub id, or the end of a path, whose rest is private
    if source.is_dir():
        result["sizes"]["teacher"] = measure_model(source).to_dict()
    return result


def table(leaves: dict[str, Any]) -> str:
    """Mean nDCG@10 over the sets of every leaf at every point, with intervals."""
    rows = [HEADER]
    for name, result in leaves.items():
        for point in result["mean"]:
            modes = point["modes"]
            label = f"{point['dim']} rotated" if point["rotated"] else str(point["dim"])
            cells = [name, label, point["quantization"], f"{modes['teacher']['nDCG@10']:.4f}"]
            for mode in ("asymmetric", "symmetric"):
                cells += [f"{modes[mode]['nDCG@10']:.4f}", _share(modes[mode].get("retention"))]
            rows.append(tuple(cells))
    return markdown(rows, left=(0, 2))


def summary(result: dict[str, Any]) -> str:
    """Retention set by set, and where the leaf's curve lies furthest below the teacher's."""
    parts = [
        f"{one['name']} {_share(one['points'][0]['modes']['asymmetric'].get('retention'))}" for one in result["sets"]
    ]
    gaps = {
        f"{point['dim']}{' rotated' if point['rotated'] else ''} {point['quantization']}": (
            point["modes"]["teacher"]["nDCG@10"] - point["modes"]["asymmetric"]["nDCG@10"]
        )
        for point in result["mean"]
    }
    worst = max(gaps, key=lambda label: gaps[label])
    verdict = "within" if gaps[worst] <= CURVE_TOLERANCE else "beyond"
    return (
        f"asymmetric, full float32: {'; '.join(parts)}. Furthest below the teacher's curve: "
        f"{100 * gaps[worst]:.2f} points at {worst}, {verdict} {100 * CURVE_TOLERANCE:g}."
    )


def _share(retention: dict[str, Any] | None) -> str:
    if retention is None:
        return "-"
    limits = "no interval" if retention["low"] is None else f"{retention['low']:.1%} to {retention['high']:.1%}"
    return f"{retention['value']:.1%} ({limits})"


def _digest(directory: Path) -> str:
    """What the leaf is: its description and weights."""
    found = hashlib.sha256()
    for file in sorted([directory / "leaf.json", *directory.glob("*.safetensors"), *directory.glob("onnx/*.onnx")]):
        found.update(file.read_bytes())
    return found.hexdigest()[:16]


def _machine() -> str:
    return f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"


def _commit() -> str:
    done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


if __name__ == "__main__":
    typer.run(main)
