"""``leaf-embed distill``: the student's side of a distillation, from a filled cache or from a teacher."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from leaf_embed._files import parse_json, read_json
from leaf_embed.canaries import CANARY_TEXTS
from leaf_embed.cli.console import integers, kilobytes, output, progress_bar
from leaf_embed.cli.options import (
    Cache,
    CorpusFiles,
    Exclude,
    FromQdrant,
    SourceCollection,
    Teacher,
    TextKey,
    output_option,
    student_option,
    training_option,
)
from leaf_embed.cli.teacher import TeacherOptions, open_teacher
from leaf_embed.cli.torch_options import chosen_loading, load_torch_encoder
from leaf_embed.errors import InputError
from leaf_embed.format import LEAF_FILE, read_leaf
from leaf_embed.leaf_record import LEAF_FLOOR

if TYPE_CHECKING:
    from leaf_embed.distill import DistillConfig, DistillReport

__all__ = ["command"]

RECIPES = ("paper", "quick", "static")


def command(
    output_dir: Annotated[Path, output_option("--output", help="Leaf directory to write; must not exist.")],
    cache: Cache = None,
    teacher: Teacher = None,
    corpus: CorpusFiles = None,
    exclude: Exclude = None,
    from_qdrant: FromQdrant = None,
    collection: SourceCollection = None,
    text_key: TextKey = TeacherOptions.text_key,
    student: Annotated[
        str | None,
        student_option(
            help="Model the student starts from; a leaf of this teacher is trained on; 'static': one vector per "
            "token. Default: the teacher with half its layers."
        ),
    ] = None,
    layers: Annotated[
        str | None,
        student_option(help="Layers of the student to keep, as in 0,2,5; none: no layer. Default: all of --student's."),
    ] = None,
    head: Annotated[
        str | None, student_option(help="Hidden layers between the mean of the tokens and the vector, as in 1536,1536.")
    ] = None,
    tokenizer: Annotated[
        str | None, student_option(help="Of a static student: the model of its tokenizer. Default: the teacher.")
    ] = None,
    space_of: Annotated[
        Path | None,
        student_option(
            help="Write into the rotated space of this leaf, so that its collections serve. Default: a --student's."
        ),
    ] = None,
    mrl: Annotated[
        Literal["none", "rotate"] | None, student_option(help="rotate: make any teacher's vectors truncatable.")
    ] = None,
    recipe: Annotated[
        str | None,
        training_option(
            help="paper: 30 epochs. quick: 3 epochs at a higher rate. static. Or a JSON file, or a leaf.json. "
            "Default: paper, or static for --student static."
        ),
    ] = None,
    fields: Annotated[
        list[str] | None,
        training_option(
            "--set",
            help="Fields of the recipe, as in batch_size=64 query_share=0.5 (see DistillConfig); several may follow.",
        ),
    ] = None,
    max_steps: Annotated[
        int | None, training_option(help="Optimizer steps at most; the schedule adapts to it.")
    ] = None,
    seed: Annotated[int | None, training_option(help="Of the order of the texts.")] = None,
    track: Annotated[
        list[str] | None, output_option(help="Trackers of accelerate, such as tensorboard or wandb.")
    ] = None,
    export: Annotated[bool, output_option(help="Export ONNX graphs when done.")] = True,
) -> None:
    """Distil a leaf: a small student aligned to a teacher by an L2 loss on plain text.

    Give --cache alone, a directory that leaf-embed cache has filled; or --teacher and --corpus; or a collection.
    Can be interrupted at any time; the same command goes on where it stopped.
    """
    named = locals()
    changes = {"max_steps": max_steps, "seed": seed, "mrl": mrl}
    config, cut = read_recipe(recipe, student, fields or (), changes)
    chosen = () if layers == "none" else integers(layers, "--layers")
    from_cache = cache is not None and not corpus and from_qdrant is None
    if student is None and (from_qdrant is not None or (from_cache and teacher is None)):
        raise InputError("name a --student: without a --teacher on this machine there are no layers to start from")
    if from_cache and exclude:
        raise InputError(
            f"--exclude compares whole texts, and those of {cache} may be cut. Run leaf-embed "
            "cache with --exclude again: nothing is embedded twice"
        )
    from leaf_embed.distill import Corpus, distill

    texts: Any
    encoder: Any
    if cache is not None and from_cache:
        encoder, texts, limit = _filled(cache, teacher)
        config = replace(config, max_tokens=config.max_tokens if cut else limit or config.max_tokens)
    else:
        options = TeacherOptions.of(named)
        texts = Corpus(corpus) if corpus else None
        encoder = open_teacher(options, texts or (), config.teacher_tokens)
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
            head=integers(head, "--head") or (),
            tokenizer=tokenizer,
            space_of=space_of,
            cache=cache,
            exclude=exclude or (),
            device=chosen_loading().device,
            export_graphs=export,
            track=track or (),
            progress=progress,
        )
    if int(os.environ.get("RANK", "0")) == 0:  # of several processes one prints
        show(report)


def _filled(cache: Path, teacher: str | None) -> tuple[Any, Any, int | None]:
    """Returns the teacher, the texts and where they were cut, of a cache that was filled before.

    The teacher is the one that is named, for what the cache lacks; or the cached vectors, which need no texts beside
    them.
    """
    from leaf_embed.distill import FilledCache

    filled = FilledCache(cache)
    if teacher is None:
        return filled.teacher, None, filled.max_tokens
    return load_torch_encoder(teacher), filled, filled.max_tokens


def read_recipe(
    recipe: str | None, student: str | None, fields: Sequence[str], changes: Mapping[str, Any]
) -> tuple[DistillConfig, bool]:
    """Returns the recipe that the options describe, and whether they say where texts are cut.

    Args:
        recipe: A name, a JSON file with fields of :class:`leaf_embed.distill.DistillConfig`, a ``leaf.json``, or a leaf
            directory.
        student: The student, which selects the default recipe.
        fields: ``NAME=VALUE`` each.
        changes: Further fields by name; ``None`` leaves one as it is.

    Raises:
        InputError: No such recipe, or a field that cannot be.
    """
    from leaf_embed.distill import DistillConfig
    from leaf_embed.distill.students import student_class

    if student == "shallow":
        raise InputError(
            "there is no shallow student: a model without layers is better and quicker. "
            "Name one with --student, with --layers none --head 1536,1536"
        )
    if recipe is None:
        known = student_class(student).recipe().to_dict()
    else:
        known = getattr(DistillConfig, recipe)().to_dict() if recipe in RECIPES else _recipe_file(Path(recipe))
    set_here = dict(map(_field, fields))
    given = {field: value for field, value in changes.items() if value is not None}
    return DistillConfig.from_dict(known | set_here | given), "max_tokens" in set_here


def _recipe_file(file: Path) -> dict[str, Any]:
    """Returns the fields of a recipe in a JSON file, or of that which a leaf was made by."""
    if not file.exists():
        raise InputError(f"--recipe is {', '.join(RECIPES)}, a JSON file, or a leaf; got {str(file)!r}")
    value: Any
    try:
        if file.is_dir() or file.name == LEAF_FILE:
            value = read_leaf(file if file.is_dir() else file.parent).recipe.get("config")
        else:
            value = read_json(file)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read the recipe {file} ({error}); expected a JSON object") from error
    if not isinstance(value, dict):
        raise InputError(f"{file} holds no recipe; expected an object with fields of DistillConfig, or a leaf.json")
    return value


def _field(text: str) -> tuple[str, Any]:
    name, sign, value = text.partition("=")
    if not name or not sign:
        raise InputError(f"--set takes NAME=VALUE, as in batch_size=64; got {text!r}")
    try:
        read = parse_json(f"[{value}]" if "," in value and not value.startswith("[") else value)
    except ValueError:
        read = value
    return name.replace("-", "_"), read


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
    if report.outside is not None and report.outside < LEAF_FLOOR:
        output.print(
            f"outside     cosine {report.outside:.4f} with the teacher on general texts: the leaf is weak outside "
            "the domain of its texts. If queries of other kinds will come, add texts of such kinds to --corpus, or "
            "train for more steps"
        )
    for point in report.truncation:
        output.print(
            f"{point.dim:>4} d      {point.rotated:.1%} of the ten nearest neighbours retained; "
            f"{point.plain:.1%} without the rotation"
        )
    for variant, parity in report.parity.items():
        output.print(
            f"{variant:<11} {parity.bytes / 1e6:.0f} MB, cosine with the torch model: "
            f"mean {parity.mean_cosine:.4f}, lowest {parity.min_cosine:.4f}"
        )
    canaries = report.space.canaries
    if canaries is not None and canaries.texts != CANARY_TEXTS:
        count = len(canaries.texts)
        output.print(f"canaries    {count} texts of yours, readable in leaf.json: they recognise the teacher")
    own = report.record.own
    if own is not None:
        output.print(
            f"kept        {len(own.texts)} held-out texts of yours, readable in leaf.json: they recognise the leaf "
            "(--set kept_texts=0 keeps none)"
        )
