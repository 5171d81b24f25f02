"""``leaf-embed demo``: all stages on real text."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from leaf_embed.cli.console import kilobytes, output, progress_bar, quiet_transformers

if TYPE_CHECKING:
    from leaf_embed.demo.run import Demo, HitPair, Quality
    from leaf_embed.evaluation import Latency

__all__ = ["command"]

STEPS = 900  # about one pass over the demo's texts: three to four minutes on two cores


def command(
    directory: Annotated[Path, typer.Option("--output", help="Directory to keep everything in.")] = Path("leaf-demo"),
    max_steps: Annotated[int, typer.Option(help="Optimizer steps of the distillation.")] = STEPS,
) -> None:
    """Distil a leaf from all-MiniLM-L6-v2 on the documentation of your own Python, and search with it.

    Takes some minutes on two cores and needs no network. A second run reuses what the first has made.
    """
    began = time.monotonic()
    quiet_transformers()
    from leaf_embed.demo.run import COLLECTION, Demo
    from leaf_embed.distill import DistillConfig

    with progress_bar() as progress:
        demo = Demo(directory, progress)
        output.print(f"texts        {demo.corpus.describe()}")
        made = demo.distill(DistillConfig.quick(max_steps=max_steps))
        leaf = demo.leaf()
        with demo.index(leaf) as collection:
            documents = collection.count()
            answers = demo.ask(collection)
    how = "made now" if made else f"made by an earlier run; delete {directory} to start again"
    output.print(f"leaf         {demo.leaf_path} ({how})")
    output.print(f"collection   {documents} documents in the embedded engine\n")
    _show_answers(answers)
    with progress_bar() as progress:
        demo.progress = progress
        quality, latency = demo.measure(leaf), demo.time(leaf)
    _show_summary(demo, quality, latency)
    output.print(f"\n{time.monotonic() - began:.0f} seconds in all. Ask more, without the teacher:")
    output.print(
        f'  leaf-embed search "..." --leaf {demo.leaf_path} --path {demo.collections} --collection {COLLECTION}',
        soft_wrap=True,
        highlight=False,
    )


def _show_answers(answers: list[HitPair]) -> None:
    table = Table(title="A dozen questions, answered by the teacher and by the leaf", show_lines=True)
    for column in ("question", "teacher", "leaf"):
        table.add_column(column, overflow="fold")
    for answer in answers:
        columns = ("\n".join(str(hit.id) for hit in hits) for hits in (answer.teacher, answer.leaf))
        table.add_row(answer.question, *columns)
    output.print(table)
    shared = sum(answer.shared for answer in answers)
    output.print(f"{shared} of the teacher's {sum(len(a.teacher) for a in answers)} answers are the leaf's too\n")


def _show_summary(demo: Demo, quality: Quality, latency: Latency) -> None:
    interval = f"{quality.retention_low:.1%} to {quality.retention_high:.1%}"
    output.print(
        f"nDCG@10 on {quality.queries} held-out queries over {quality.documents} held-out documents\n"
        f"  teacher                          {quality.teacher:.4f}\n"
        f"  leaf queries, teacher documents  {quality.asymmetric:.4f}   "
        f"{quality.retention:.1%} of the teacher's (95 % interval {interval})\n"
        f"  leaf queries, leaf documents     {quality.symmetric:.4f}   {quality.symmetric / quality.teacher:.1%}"
    )
    faster = f"no ratio: {latency.refused}" if latency.ratio is None else f"{latency.ratio:.1f} times faster"
    output.print(
        f"one query, milliseconds at p50, {latency.threads}\n"
        f"  teacher, SentenceTransformer     {latency.teacher_p50:.2f}\n"
        f"  leaf, int8                       {latency.leaf_p50:.2f}   {faster}"
    )
    output.print("bytes per vector")
    for name, size in demo.bytes_per_vector().items():
        output.print(f"  {name:<40} {size}", highlight=False)
    graph = demo.leaf_path / "onnx" / "model_quantized.onnx"
    output.print(f"query process  {kilobytes(graph) / 1000:.0f} MB of model, no torch, no teacher")
