"""``leaf-embed cache``: embed texts by the teacher, once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from leaf_embed.cli.console import kilobytes, load_torch_encoder, output, progress_bar

__all__ = ["command"]


def command(
    teacher: Annotated[str, typer.Option(help="Teacher: a sentence-transformers directory or hub id.")],
    corpus: Annotated[
        list[str], typer.Option(help="Texts: .txt, .jsonl, .csv, .parquet, or hub:org/name?split=train; several.")
    ],
    output_dir: Annotated[Path, typer.Option("--output", help="Cache directory; filled further if it exists.")],
    max_tokens: Annotated[
        int | None, typer.Option(help="Cut texts to this many tokens, as distill --max-tokens will.")
    ] = None,
) -> None:
    """Fill a teacher cache, for distill --cache. Texts that are there already cost nothing."""
    encoder = load_torch_encoder(teacher)
    from leaf_embed.distill import Corpus, TeacherCache
    from leaf_embed.teacher.fill import cut_texts

    texts = Corpus(corpus)
    space = encoder.space
    limit = min(max_tokens or 256, space.max_tokens or 512)
    with progress_bar() as progress:
        stored = TeacherCache(output_dir, space)
        before = len(stored)
        rows = stored.fill(
            cut_texts(texts, encoder.model.tokenizer, space, limit),
            encoder,
            progress,
        )
    output.print(f"cache       {output_dir}  ({kilobytes(output_dir) / 1000:.1f} MB)")
    output.print(f"space       {space.describe()}", highlight=False)
    output.print(f"texts       {len(rows)} of this corpus, {len(stored) - before} of them new, {len(stored)} in all")
    for name, count in texts.skipped.items():
        output.print(f"skipped     {count} texts: {name}")
