"""``leaf-embed cache``: the teacher's side of a distillation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from leaf_embed.cli.console import kilobytes, output, progress_bar
from leaf_embed.cli.options import (
    CorpusFiles,
    Exclude,
    FromQdrant,
    SourceCollection,
    Teacher,
    TextKey,
    Where,
    api_option,
    collection_option,
    output_option,
    teacher_option,
    texts_option,
)
from leaf_embed.cli.teacher import TeacherOptions, open_teacher

if TYPE_CHECKING:
    from leaf_embed.distill import Corpus
    from leaf_embed.encoders import Encoder

__all__ = ["command"]


def command(
    output_dir: Annotated[Path, output_option("--output", help="Cache directory; filled further if it exists.")],
    teacher: Teacher = None,
    corpus: CorpusFiles = None,
    exclude: Exclude = None,
    max_tokens: Annotated[
        int | None,
        texts_option(help="Cut texts to this many of the teacher's tokens, the same for every student. Default: 256."),
    ] = None,
    from_qdrant: FromQdrant = None,
    collection: SourceCollection = None,
    text_key: TextKey = TeacherOptions.text_key,
    title_key: Annotated[
        str | None, collection_option(help="Payload key of a title that was embedded before it.")
    ] = None,
    vector_name: Annotated[str | None, collection_option(help="Name of the vector. Default: the only one.")] = None,
    where: Where = None,
    vectors: Annotated[
        list[Path] | None,
        teacher_option(help="Vectors that exist: .parquet (text, vector), or text with a .npy beside it."),
    ] = None,
    query_prompt: Annotated[
        str, teacher_option(help="Put before queries by an API, or by what wrote the vectors.")
    ] = "",
    document_prompt: Annotated[str, teacher_option(help="The same for documents.")] = "",
    api: Annotated[str | None, api_option(help="OpenAI-compatible endpoint, as in https://api.openai.com/v1.")] = None,
    api_key_env: Annotated[
        str, api_option(help="Environment variable that holds the key.")
    ] = TeacherOptions.api_key_env,
    api_items: Annotated[
        int, api_option(help="Texts per request at most; some services take 96.")
    ] = TeacherOptions.api_items,
    budget: Annotated[int | None, api_option(help="Tokens to spend at most.")] = None,
    dimensions: Annotated[int | None, api_option(help="Ask for shorter vectors.")] = None,
) -> None:
    """Keep the teacher's vectors of texts, for distill --cache. What the cache holds already costs nothing.

    Can be interrupted at any time; the same command goes on where it stopped.
    """
    options = TeacherOptions.of(locals())
    from leaf_embed.distill import Corpus, DistillConfig

    texts = Corpus(corpus) if corpus else None
    recipe = DistillConfig() if max_tokens is None else DistillConfig(teacher_tokens=max_tokens)
    encoder = open_teacher(options, texts or (), recipe.teacher_tokens)
    _fill(output_dir, encoder, texts, recipe.teacher_tokens, exclude or [])
    if hasattr(encoder, "spent"):
        output.print(f"spent       {encoder.spent:,} tokens now")


def _fill(directory: Path, teacher: Encoder, texts: Corpus | None, max_tokens: int, exclude: list[Path]) -> None:
    """Fill the cache and print what was done."""
    from leaf_embed.canaries import Canaries
    from leaf_embed.distill import TeacherCache
    from leaf_embed.teacher.fill import as_exclusion, gather
    from leaf_embed.teacher.filled import forget, remember

    space = teacher.space.with_canaries(teacher.space.canaries or Canaries.of(teacher))
    stored = TeacherCache(directory, space)
    before = len(stored)
    forget(stored)
    with progress_bar() as progress:
        rows, roles, skipped = gather(stored, texts or (), teacher, max_tokens, as_exclusion(exclude), progress)
    remember(stored, rows, None if texts is None else max_tokens, roles)
    output.print(f"cache       {directory}  ({kilobytes(directory) / 1000:.1f} MB)")
    output.print(f"space       {space.describe()}", highlight=False)
    output.print(f"texts       {len(rows)} of these, {len(stored) - before} of them new, {len(stored)} in all")
    for name, count in skipped.items():
        output.print(f"skipped     {count} texts: {name}")
