"""``leaf-embed overlap``: training texts that occur in evaluation sets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from leaf_embed.cli.console import output, progress_bar

if TYPE_CHECKING:
    from leaf_embed.distill import Overlap

__all__ = ["command"]


def command(
    train: Annotated[list[str], typer.Option(help="Training texts: files as of distill --corpus; several may follow.")],
    data: Annotated[list[Path], typer.Option(help="Evaluation sets in BEIR layout; several may follow.")],
    result: Annotated[Path | None, typer.Option("--output", help="Write the counts as JSON.")] = None,
) -> None:
    """Count training texts that equal an evaluation text, or share thirteen words in a row with one."""
    from dataclasses import asdict

    from leaf_embed._files import check_writable, write_json
    from leaf_embed.distill import Corpus, EvaluationIndex, count_overlap
    from leaf_embed.reports import markdown
    from leaf_embed.teacher.corpus import evaluation_files

    if result is not None:
        check_writable(result)
    texts = [Corpus(evaluation_files([path])) for path in data]
    sets = [
        EvaluationIndex(path.resolve().name, (text.text for text in of_set))
        for path, of_set in zip(data, texts, strict=True)
    ]
    found = []
    with progress_bar() as progress:
        for number, file in enumerate(train):
            found += count_overlap(file, Corpus([file]), sets)
            progress("overlap", number + 1, len(train))
    rows = [("training texts", "set", "texts", "equal", "13 words"), *map(_row, found)]
    output.print(markdown(rows, left=(0, 1)), markup=False, highlight=False, soft_wrap=True)
    for one in found:
        for example in one.examples:
            output.print(f"{one.evaluation}: {example}", markup=False, highlight=False)
    if result is not None:
        write_json(result, [asdict(one) for one in found])


def _row(one: Overlap) -> tuple[str, ...]:
    return (Path(one.source).name, one.evaluation, f"{one.texts:,}", f"{one.equal:,}", f"{one.near:,}")
