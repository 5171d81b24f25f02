"""``leaf-embed export``: ONNX graphs of a leaf, compared with the torch model, and its model card."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from leaf_embed.cli.console import output, quiet_transformers
from leaf_embed.cli.options import LeafArgument, Report, TeacherOfLeaf
from leaf_embed.errors import InputError
from leaf_embed.format import read_leaf

if TYPE_CHECKING:
    from leaf_embed.distill import Text

__all__ = ["command"]

TEXTS = 1024


def command(
    leaf: LeafArgument,
    corpus: Annotated[
        list[Path] | None,
        typer.Option(help="Texts to compare on. Default: the documentation of Python's standard library."),
    ] = None,
    dim: Annotated[
        int | None, typer.Option(help="First make a leaf of the first so many dimensions, in --output.")
    ] = None,
    router: Annotated[
        bool, typer.Option("--router", help="Write leaf and --teacher as one sentence-transformers Router to --output.")
    ] = False,
    teacher: TeacherOfLeaf = None,
    report: Report = None,
    target: Annotated[Path | None, typer.Option("--output", help="Directory for --dim or --router.")] = None,
) -> None:
    """Export a leaf's float32 and int8 ONNX graphs and write parity.json and README.md, the model card.

    The int8 graph is made by the fastest recipe that is exact enough on this machine. Fails, and writes nothing, if a
    graph's vectors differ too much from the torch model's.
    """
    info = read_leaf(leaf)
    if (dim is not None or router) != (target is not None) or (dim is not None and router):
        raise InputError("--output goes with either --dim or --router, which write another directory")
    quiet_transformers()
    if router:
        from leaf_embed.distill import export_router

        output.print(f"router       {export_router(leaf, target or leaf, teacher=teacher)}", highlight=False)
        return
    from leaf_embed.distill import export, read_report, truncate_leaf, write_card
    from leaf_embed.export.onnx import write_record
    from leaf_embed.reports import CARD_VERSIONS

    if dim is not None:
        leaf = truncate_leaf(leaf, target or leaf, dim)
    if info.needs_graph:
        for variant, parity in export(leaf, _texts(corpus)).items():
            output.print(
                f"{variant:<8} {parity.bytes / 1e6:6.1f} MB   cosine mean {parity.mean_cosine:.5f}, "
                f"lowest {parity.min_cosine:.5f}, same top ten {parity.top10_overlap:.1%}, {parity.texts} texts, "
                f"{parity.recipe}"
            )
    else:
        write_record(leaf)
    write_card(leaf, name=str(leaf), report=None if report is None else read_report(report, CARD_VERSIONS))


def _texts(corpus: list[Path] | None) -> list[Text]:
    from leaf_embed.demo import load_demo_corpus
    from leaf_embed.distill import Corpus, Text

    if corpus:
        return list(islice(Corpus(corpus), TEXTS))
    demo = load_demo_corpus().train
    step = max(1, len(demo) // TEXTS)
    return [Text(text, kind) for kind, text in demo[::step]][:TEXTS]
