"""``leaf-embed distill``: make a leaf."""

from __future__ import annotations

import os
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from leaf_embed.cli.console import kilobytes, numbers, output, progress_bar
from leaf_embed.cli.teacher import (
    Api,
    ApiItems,
    ApiKeyEnv,
    ApiModel,
    Budget,
    Collection,
    Dimensions,
    DocumentPrompt,
    FromQdrant,
    QueryPrompt,
    TeacherOptions,
    TextKey,
    TitleKey,
    VectorName,
    Vectors,
    Where,
    open_teacher,
)
from leaf_embed.errors import InputError

if TYPE_CHECKING:
    from leaf_embed.distill import DistillReport

__all__ = ["command"]


class Mrl(str, Enum):
    """How vectors become truncatable."""

    none = "none"
    rotate = "rotate"


class Recipe(str, Enum):
    """Named settings; see ``leaf_embed.distill.DistillConfig``."""

    paper = "paper"
    quick = "quick"
    static = "static"


def command(
    output_dir: Annotated[Path, typer.Option("--output", help="Leaf directory to write; must not exist.")],
    teacher: Annotated[
        str | None,
        typer.Option(help="Teacher: a sentence-transformers directory or hub id. Beside stored vectors, its name."),
    ] = None,
    corpus: Annotated[
        list[str] | None,
        typer.Option(help="Texts: .txt, .jsonl, .csv, .parquet, or hub:org/name?split=train&text=column; several."),
    ] = None,
    exclude: Annotated[
        list[Path] | None, typer.Option(help="Files or BEIR directories whose texts must not be learned from.")
    ] = None,
    query_share: Annotated[
        float | None, typer.Option(help="Share of queries in an epoch, by repeating the rarer role; 1: queries alone.")
    ] = None,
    student: Annotated[
        str | None,
        typer.Option(
            help="Model the student starts from; a leaf of this teacher is trained on; 'static': one vector per "
            "token. Default: the teacher with half its layers."
        ),
    ] = None,
    layers: Annotated[
        str | None,
        typer.Option(help="Layers of the student to keep, as in 0,2,5; none: no layer. Default: all of --student's."),
    ] = None,
    head: Annotated[
        str | None,
        typer.Option(help="Hidden layers between the mean of the tokens and the vector, as in 1536,1536."),
    ] = None,
    tokenizer: Annotated[
        str | None, typer.Option(help="For a static student: the model of its tokenizer. Default: the teacher.")
    ] = None,
    recipe: Annotated[
        Recipe | None,
        typer.Option(
            help="paper: 30 epochs (default). quick: 3 epochs at a higher rate. static: for --student static."
        ),
    ] = None,
    max_steps: Annotated[int | None, typer.Option(help="Optimiser steps at most; the schedule fits itself.")] = None,
    max_tokens: Annotated[int | None, typer.Option(help="Cut training texts to this many tokens.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Texts a step.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="At the start of a cycle.")] = None,
    mrl: Annotated[
        Mrl, typer.Option(help="rotate: turn the space so that any teacher's vectors can be truncated.")
    ] = Mrl.none,
    space_of: Annotated[
        Path | None,
        typer.Option(
            help="Write into the rotated space of this leaf, so that its collections serve. Default: a --student's."
        ),
    ] = None,
    prefixes: Annotated[
        str | None, typer.Option(help="Align these leading dimensions too, as in 64,128 (Matryoshka loss).")
    ] = None,
    track: Annotated[
        list[str] | None, typer.Option(help="Log the training to tensorboard, wandb, ... (accelerate's trackers).")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the order of the texts.")] = 0,
    cache: Annotated[Path | None, typer.Option(help="Teacher cache to use. Default: OUTPUT.work/cache.")] = None,
    export: Annotated[bool, typer.Option(help="Export ONNX graphs when done.")] = True,
    from_qdrant: FromQdrant = None,
    collection: Collection = None,
    text_key: TextKey = "text",
    title_key: TitleKey = None,
    vector_name: VectorName = None,
    where: Where = None,
    vectors: Vectors = None,
    query_prompt: QueryPrompt = "",
    document_prompt: DocumentPrompt = "",
    api: Api = None,
    api_model: ApiModel = None,
    api_key_env: ApiKeyEnv = "OPENAI_API_KEY",
    api_items: ApiItems = 256,
    budget: Budget = None,
    dimensions: Dimensions = None,
) -> None:
    """Distil a leaf: a small student aligned to a teacher by an L2 loss on plain text.

    Can be interrupted at any time; the same command goes on where it stopped.
    """
    given = {
        "max_steps": max_steps,
        "max_tokens": max_tokens,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "query_share": query_share,
        "prefixes": numbers(prefixes, "--prefixes"),
    }
    chosen = () if layers == "none" else numbers(layers, "--layers")
    options = TeacherOptions(
        teacher,
        bool(corpus),
        from_qdrant=from_qdrant,
        collection=collection,
        text_key=text_key,
        title_key=title_key,
        vector_name=vector_name,
        where=tuple(where or ()),
        vectors=tuple(vectors or ()),
        query_prompt=query_prompt,
        document_prompt=document_prompt,
        api=api,
        api_model=api_model,
        api_key_env=api_key_env,
        api_items=api_items,
        budget=budget,
        dimensions=dimensions,
    )
    if student is None and not options.is_model:
        raise InputError("name a --student: this teacher is no model whose layers could become one")
    from leaf_embed.distill import Corpus, DistillConfig, distill

    changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    named = recipe or (Recipe.static if student == "static" else Recipe.paper)
    config: DistillConfig = getattr(DistillConfig, named.value)(seed=seed, mrl=mrl.value, **changes)
    texts = Corpus(corpus) if corpus else None
    encoder: Any = open_teacher(options, texts or (), config.max_tokens)
    if student is None and chosen is None:
        from leaf_embed.distill.students.backbone import half_the_layers

        chosen = half_the_layers(encoder.model)
    with progress_bar() as progress:
        report = distill(
            encoder,
            texts,
            student or encoder.model,
            output_dir,
            config,
            layers=chosen,
            head=numbers(head, "--head") or (),
            tokenizer=tokenizer,
            space_of=space_of,
            cache=cache,
            exclude=exclude or (),
            export_graphs=export,
            track=track or (),
            progress=progress,
        )
    if int(os.environ.get("RANK", "0")):
        return  # of several processes one speaks
    show(report)
    if api is not None and hasattr(encoder, "spent"):
        output.print(f"spent       {encoder.spent:,} tokens now")
    if options.stored:
        kept = len(report.space.canaries.texts) if report.space.canaries else 0
        output.print(f"canaries    {kept} texts of yours, readable in leaf.json: they recognise the teacher")


def show(report: DistillReport) -> None:
    """Print a report's facts."""
    output.print(f"leaf        {report.output}  ({kilobytes(report.output) / 1000:.0f} MB)")
    output.print(f"space       {report.space.describe()}", highlight=False)
    output.print(f"student     {report.parameters / 1e6:.1f}M weights")
    output.print(
        f"training    {report.texts} texts, {report.steps} steps, {report.seconds:.0f} s, "
        f"{report.texts_per_second:.0f} texts/s"
    )
    for name, count in report.skipped.items():
        output.print(f"skipped     {count} texts: {name}")
    if report.warm_start is not None and report.final is not None:
        output.print(f"warm start  held-out cosine {report.warm_start.cosine:.4f}, loss {report.warm_start.loss:.4f}")
        output.print(f"final       held-out cosine {report.final.cosine:.4f}, loss {report.final.loss:.4f}")
    for point in report.truncation:
        output.print(
            f"{point.dim:>4} d      {point.rotated:.1%} of the ten nearest neighbours kept; "
            f"{point.plain:.1%} without the rotation"
        )
    for variant, parity in report.parity.items():
        output.print(
            f"{variant:<11} {parity.bytes / 1e6:.0f} MB, cosine with the torch model: "
            f"mean {parity.mean_cosine:.4f}, lowest {parity.min_cosine:.4f}"
        )
