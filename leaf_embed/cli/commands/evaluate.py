"""``leaf-embed evaluate``: the quality and speed of a leaf, compared with its teacher."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from leaf_embed._extras import require
from leaf_embed._files import check_writable
from leaf_embed.cli.console import errors, many_integers, output, progress_bar, quiet_transformers
from leaf_embed.cli.options import Cache, Leaf, TeacherOfLeaf, output_option, panel, texts_option
from leaf_embed.cli.torch_options import chosen_loading
from leaf_embed.errors import InputError
from leaf_embed.format import Variant

if TYPE_CHECKING:
    from collections.abc import Sequence

    from leaf_embed.encoders.base import Encoder
    from leaf_embed.evaluation.agreement import OwnTexts
    from leaf_embed.evaluation.beir import RetrievalSet
    from leaf_embed.evaluation.pipeline import RotationOption
    from leaf_embed.evaluation.size import ModelSize
    from leaf_embed.evaluation.storage import EngineSearch
    from leaf_embed.evaluation.tasks import OtherSet

__all__ = ["command"]

vectors_option = panel("Vectors")
NOT_SHOWN = 3  # exit code


def command(
    leaf: Leaf,
    variant: Annotated[Variant, typer.Option(help="Which form of the leaf to measure.")] = "auto",
    data: Annotated[list[Path] | None, texts_option(help="Retrieval sets in BEIR layout; several may follow.")] = None,
    split: Annotated[
        str, texts_option(help="Which judgements of the sets: qrels/SPLIT.tsv. MS MARCO is judged on dev.")
    ] = "test",
    max_queries: Annotated[
        int | None, texts_option("--max-queries", min=1, help="Take the first so many judged queries of each set.")
    ] = None,
    sts: Annotated[
        list[Path] | None, texts_option(help="Similarity set: .jsonl or .csv with sentence1, sentence2, score.")
    ] = None,
    classification: Annotated[
        list[Path] | None, texts_option(help="Classification set: .jsonl or .csv with text, label, optional split.")
    ] = None,
    questions: Annotated[
        Path | None,
        texts_option(
            help="Questions without judgements, such as a log: .txt, .jsonl, .csv or .parquet; with --documents."
        ),
    ] = None,
    documents: Annotated[
        Path | None, texts_option(help="Documents to rank for --questions, in one of the same formats.")
    ] = None,
    teacher: TeacherOfLeaf = None,
    cache: Cache = None,
    dims: Annotated[list[str] | None, vectors_option(help="Truncated dimensions to measure too, as in 128,64.")] = None,
    quantization: Annotated[
        list[str] | None,
        vectors_option(
            help="Of the vectors: float32, int8, binary; by the engine: turbo4, binary2, product16, binary-rescored..."
        ),
    ] = None,
    rotate: Annotated[
        bool, vectors_option("--rotate", help="Measure also with a rotation fitted on the teacher's document vectors.")
    ] = False,
    rotation: Annotated[
        Path | None, vectors_option(help="Measure also with this rotation: .npy, shape (dimensions, dimensions).")
    ] = None,
    accept: Annotated[
        float | None,
        output_option(
            help="Ask whether leaf queries keep this share of the teacher's nDCG@10, 0.97 by default; if it is given, "
            "exit with 3 unless the lower bound of the 95 % interval reaches it."
        ),
    ] = None,
    report_file: Annotated[
        Path | None, output_option("--output", help="Write the report as JSON, and as .md and .html beside it.")
    ] = None,
    scores: Annotated[
        Path | None, output_option(help="Write the scores of each query, point and metric: a .parquet file.")
    ] = None,
    runs: Annotated[Path | None, output_option(help="Write a TREC run file of each set, point and mode here.")] = None,
    price: Annotated[
        float | None,
        output_option(
            help="Of one core for one hour: measure also cold start, memory and throughput of the leaf in processes of "
            "its own, and say what a million queries cost."
        ),
    ] = None,
) -> None:
    """Measure nDCG@10 of the teacher, of leaf queries on teacher documents, and of the leaf alone."""
    from leaf_embed.evaluation.size import check_price, measure_process
    from leaf_embed.evaluation.verdict import ACCEPT, check_accept

    asked = ACCEPT if accept is None else accept
    check_accept(asked)
    if price is not None:
        check_price(price)
    _check_outputs(report_file, scores, None if runs is None else runs / "run.trec")
    if not (data or questions or documents or sts or classification):
        raise InputError(
            "nothing to measure on: give --data DIR, a set with judgements (corpus.jsonl, queries.jsonl, "
            "qrels/test.tsv); or, without judgements, --questions FILE with --documents FILE; or --sts, or "
            "--classification"
        )
    import leaf_embed
    from leaf_embed.encoders.loading import load_teacher
    from leaf_embed.evaluation import evaluate, load_beir
    from leaf_embed.evaluation.report.exports import write_scores

    if scores is not None:
        require("pyarrow", "train", "Writing parquet")
    sets = [load_beir(directory, split, stream=True) for directory in data or ()]
    sets = sets if max_queries is None else [one.head(max_queries) for one in sets]
    own = _own(questions, documents)
    tasks = _tasks(sts or [], classification or [])
    student = leaf_embed.load(leaf, variant=variant)
    quiet_transformers()
    encoder = load_teacher(teacher or student.space.teacher, student.teacher_space, chosen_loading())
    kinds = [part for value in quantization or ["float32"] for part in value.split(",")]
    fitted, engines = _rotation(rotate, rotation), _engines(kinds)
    costs = None if price is None else measure_process(leaf, _queries(sets, own, tasks), price, variant)
    with progress_bar() as progress:
        report = evaluate(
            student,
            student.rotated(encoder if cache is None else _cached(encoder, cache)),
            sets,
            many_integers(dims, "--dims"),
            kinds,
            progress,
            rotation=fitted,
            timed_teacher=encoder,
            tasks=tasks,
            engines=engines,
            accept=asked,
            runs=runs,
            own=own,
        )
    sizes = _sizes(leaf, variant, teacher or student.space.teacher)
    chosen = {"variant": variant, "split": split, "max_queries": max_queries}
    provenance = {**report.provenance, "options": {**report.provenance["options"], **chosen}}
    report = replace(report, name=leaf.resolve().name, sizes=sizes, costs=costs, provenance=provenance)
    output.print(str(report), markup=False, highlight=False, soft_wrap=True)
    if report_file is not None:
        files = report.save_all(report_file)
        errors.print(f"report      {', '.join(map(str, files))}", highlight=False, soft_wrap=True)
    if scores is not None:
        write_scores(scores, report.sets)
    verdict = report.verdict()
    if accept is not None and (verdict is None or not verdict.is_shown):
        raise typer.Exit(NOT_SHOWN)


def _check_outputs(report_file: Path | None, *others: Path | None) -> None:
    """Tries where the results will be written."""
    for file in (report_file, *others):
        if file is not None:
            check_writable(file)
    if report_file is not None and report_file.suffix in (".md", ".html"):
        raise InputError(f"--output names the JSON file, beside which .md and .html are written; got {report_file}")


def _queries(sets: list[RetrievalSet], own: tuple[OwnTexts, OwnTexts] | None, tasks: list[OtherSet]) -> Sequence[str]:
    return sets[0].queries if sets else own[0].texts if own else tasks[0].texts if tasks else ()


def _own(questions: Path | None, documents: Path | None) -> tuple[OwnTexts, OwnTexts] | None:
    from leaf_embed.evaluation import load_own_texts

    if questions is None and documents is None:
        return None
    if questions is None or documents is None:
        raise InputError("--questions and --documents belong together: the agreement is of rankings of the documents")
    return load_own_texts(questions), load_own_texts(documents)


def _rotation(fitted: bool, file: Path | None) -> RotationOption:
    import numpy as np

    if file is None:
        return "fitted" if fitted else "none"
    if fitted:
        raise InputError("--rotate fits a rotation and --rotation brings one; give one of the two")
    try:
        matrix: RotationOption = np.load(file, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read the rotation {file} ({error}); expected a .npy file of NumPy's save") from error
    return matrix


def _engines(kinds: list[str]) -> dict[str, EngineSearch]:
    """Returns the searches by quantized vectors that the engine computes."""
    from leaf_embed.evaluation.storage import StorageName
    from leaf_embed.qdrant.backends.edge_quantization import engine_search

    found = {kind: engine_search(kind) for kind in kinds if kind not in get_args(StorageName)}
    if found:  # refused now, not after the encoding
        require("qdrant_edge", "qdrant", f"Quantization as {', '.join(found)}")
    return found


def _tasks(sts: list[Path], classification: list[Path]) -> list[OtherSet]:
    from leaf_embed.evaluation.tasks import load_classification, load_sts

    return [*map(load_sts, sts), *map(load_classification, classification)]


def _sizes(leaf: Path, variant: str, teacher: str) -> dict[str, ModelSize]:
    """Returns the sizes of leaf and teacher, of those that are directories of this machine."""
    from leaf_embed.evaluation.size import measure_leaf, measure_model

    found = {"leaf": measure_leaf(leaf, variant)} if leaf.is_dir() else {}
    if Path(teacher).is_dir():
        found["teacher"] = measure_model(Path(teacher))
    return found


def _cached(teacher: Encoder, directory: Path) -> Encoder:
    from leaf_embed.distill import CachedEncoder, TeacherCache

    return CachedEncoder(TeacherCache(directory, teacher.space), teacher)
