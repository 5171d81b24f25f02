"""``leaf-embed evaluate``: what a leaf keeps of its teacher, measured."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from leaf_embed.cli.console import many_numbers, output, progress_bar, quiet_transformers
from leaf_embed.errors import InputError

__all__ = ["command"]


def command(
    leaf: Annotated[Path, typer.Option(help="Leaf directory.")],
    data: Annotated[list[Path], typer.Option(help="Retrieval sets in BEIR layout; several may follow.")],
    teacher: Annotated[
        str | None, typer.Option(help="Teacher's directory or hub id. Default: the one named in the leaf.")
    ] = None,
    dims: Annotated[list[str] | None, typer.Option(help="Truncated dimensions to measure too, as in 128,64.")] = None,
    quantization: Annotated[
        list[str] | None, typer.Option(help="Of the document vectors: float32, int8, binary.")
    ] = None,
    variant: Annotated[str, typer.Option(help="Leaf to run: auto, int8, float32, float16 or torch.")] = "auto",
    report_file: Annotated[Path | None, typer.Option("--output", help="Write the report as JSON.")] = None,
) -> None:
    """Measure nDCG@10 of the teacher, of leaf queries on teacher documents, and of the leaf alone."""
    import leaf_embed
    from leaf_embed.encoders.leaf import load_teacher
    from leaf_embed.evaluation import evaluate, load_beir

    sets = [load_beir(directory) for directory in data]
    student = leaf_embed.load(leaf, variant=_variant(variant))
    quiet_transformers()
    encoder = load_teacher(teacher or student.space.teacher, student.space)
    kinds: Any = [part for value in quantization or ["float32"] for part in value.split(",")]
    with progress_bar() as progress:
        report = evaluate(student, encoder, sets, many_numbers(dims, "--dims"), kinds, progress)
    if report_file is not None:
        report.save(report_file)
    output.print(str(report), markup=False, highlight=False, soft_wrap=True)


def _variant(name: str) -> Any:
    if name not in ("auto", "int8", "float32", "float16", "torch"):
        raise InputError(f"unknown --variant {name!r}; expected auto, int8, float32, float16 or torch")
    return name
