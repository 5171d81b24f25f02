"""``leaf-embed export``: ONNX graphs of a leaf, with proof."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from leaf_embed.cli.console import output, quiet_transformers
from leaf_embed.format import read_leaf

if TYPE_CHECKING:
    from leaf_embed.distill import Text

__all__ = ["command"]

TEXTS = 256


def command(
    leaf: Annotated[Path, typer.Argument(help="Leaf directory.", metavar="DIR")],
    corpus: Annotated[
        list[Path] | None,
        typer.Option(help="Texts to compare on. Default: the documentation of Python's standard library."),
    ] = None,
) -> None:
    """Export a leaf's float32 and int8 ONNX graphs and write parity.json.

    Fails, and writes nothing, if a graph's vectors differ too much from the torch model's.
    """
    read_leaf(leaf)
    quiet_transformers()
    from leaf_embed.distill import export

    found = export(leaf, _texts(corpus))
    for variant, parity in found.items():
        output.print(
            f"{variant:<8} {parity.bytes / 1e6:6.1f} MB   cosine mean {parity.mean_cosine:.5f}, "
            f"lowest {parity.min_cosine:.5f}, largest difference {parity.max_difference:.2g}, {parity.texts} texts"
        )


def _texts(corpus: list[Path] | None) -> list[Text]:
    from leaf_embed.demo import load_demo_corpus
    from leaf_embed.distill import Corpus, Text

    if corpus:
        return list(islice(Corpus(corpus), TEXTS))
    demo = load_demo_corpus().train
    step = max(1, len(demo) // TEXTS)
    return [Text(text, kind) for kind, text in demo[::step]][:TEXTS]
