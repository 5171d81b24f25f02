"""Distillation from end to end: from texts and a teacher to a leaf directory."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from leaf_embed._extras import require
from leaf_embed._files import make_directory
from leaf_embed.canaries import CANARY_TEXTS
from leaf_embed.distill.config import DistillConfig
from leaf_embed.distill.dataset import TokenizedTexts, own_canaries, sample, split
from leaf_embed.distill.distributed import processes
from leaf_embed.distill.output import Output, require_reloadable
from leaf_embed.distill.placement import student_device
from leaf_embed.distill.progress import Alignment
from leaf_embed.distill.rotation import Truncation, compare_truncation, fit_cached_rotation, fold
from leaf_embed.distill.students import student_class
from leaf_embed.distill.students.base import StudentOptions
from leaf_embed.distill.students.from_leaf import rotation_of
from leaf_embed.distill.students.head import hidden_widths
from leaf_embed.distill.teacher_side import TeacherSide
from leaf_embed.distill.tracking import tracking
from leaf_embed.distill.train import TrainingResult, align
from leaf_embed.encoders.base import Encoder
from leaf_embed.encoders.rotation import Rotation
from leaf_embed.encoders.torch_models import Loading
from leaf_embed.export.onnx import Parity
from leaf_embed.format import LeafInfo, read_leaf
from leaf_embed.leaf_record import LeafRecord
from leaf_embed.progress import Progress, no_progress
from leaf_embed.space import EmbeddingSpace
from leaf_embed.teacher.cache import Rows
from leaf_embed.teacher.filtering import Exclusion
from leaf_embed.texts import Text

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

__all__ = ["DistillReport", "distill"]


@dataclass(frozen=True)
class DistillReport:
    """The result of a distillation.

    Attributes:
        output: The leaf directory.
        space: The space that the leaf writes into.
        texts: Distinct texts trained on.
        parameters: Number of weights of the student.
        steps: Optimizer steps in all.
        seconds: Time spent training.
        texts_per_second: While training.
        warm_start: Alignment on the held-out texts before the first step; ``None`` without held-out texts.
        final: Alignment on the held-out texts of the weights that were kept.
        parity: Of each exported graph; empty if none was exported.
        truncation: In a rotated space, the share of neighbours that truncated vectors find, plain and rotated.
        skipped: Reasons for which texts were left out, with their number.
        record: What the leaf computes on general texts and on some of the held-out ones.
    """

    output: Path
    space: EmbeddingSpace
    texts: int
    parameters: int
    steps: int
    seconds: float
    texts_per_second: float
    warm_start: Alignment | None
    final: Alignment | None
    parity: dict[str, Parity] = field(default_factory=dict)
    truncation: tuple[Truncation, ...] = ()
    skipped: dict[str, int] = field(default_factory=dict)
    record: LeafRecord = field(default_factory=LeafRecord)

    @property
    def outside(self) -> float | None:
        """Mean cosine with the teacher on the general canary texts; ``None`` if the canaries are the corpus's own."""
        known, cosines = self.space.canaries, self.record.cosines
        general = known is not None and known.texts == CANARY_TEXTS
        return float(np.mean(list(cosines.values()))) if general and cosines else None


def distill(
    teacher: Encoder | str | os.PathLike[str],
    corpus: Iterable[Text | str | os.PathLike[str]] | None,
    student: str | os.PathLike[str] | SentenceTransformer,
    output: str | os.PathLike[str],
    config: DistillConfig | None = None,
    *,
    layers: int | Sequence[int] | None = None,
    head: Sequence[int] = (),
    tokenizer: str | os.PathLike[str] | SentenceTransformer | None = None,
    space_of: str | os.PathLike[str] | None = None,
    cache: str | os.PathLike[str] | None = None,
    exclude: Sequence[str | os.PathLike[str]] | Exclusion = (),
    loading: Loading | None = None,
    device: str | None = None,
    export_graphs: bool = True,
    track: Sequence[Any] = (),
    progress: Progress | None = None,
) -> DistillReport:
    """Aligns a student with a teacher by LEAF's L2 loss and writes a leaf directory.

    Everything slow survives a crash: the teacher's vectors in the cache, the training in a checkpoint beside the
    output. The same call goes on where it was stopped. The output appears when the leaf is whole, and its graphs
    follow; :func:`leaf_embed.distill.export` makes them if that was interrupted. Started by ``torchrun`` or
    ``accelerate launch``, the processes share every batch; they need one file system.

    Args:
        teacher: An encoder, or the path or hub id of a sentence-transformers model; or vectors that exist already,
            as :class:`leaf_embed.distill.StoredVectors`, with which no teacher is called.
        corpus: Texts (a ``str`` is a document), or the paths of corpus files; see
            :class:`leaf_embed.distill.Corpus`. Items that exist as files, end like a corpus file (``"docs.jsonl"``) or
            begin with ``hub:`` are paths. With stored vectors ``None``, or further texts for the teacher behind them.
        student: The model whose transformer the student starts from, where a leaf of the same teacher keeps its space
            and its head and is trained on; or ``"static"``: one vector per token, trained in seconds and
            evaluated in microseconds, for some points of quality.
        output: Directory to write; must not exist.
        config: The recipe; by default the paper's, or :meth:`DistillConfig.static` for a static student.
        layers: Which of the student's layers to keep: their numbers, how many, or ``None`` for all. ``0`` or ``()``
            leaves the token embeddings alone.
        head: Widths of hidden layers between the mean of the tokens and the vector, at least twice the teacher's
            dimensions each: they run once per text, and a student of few layers gains most by them. A leaf that is
            trained on has its own.
        tokenizer: For a static student the model that its tokenizer comes from; the teacher's own by default.
        space_of: A leaf of the same teacher whose rotated space the new one shall share, so that the same collections
            serve both; by default that of a leaf as student, and for every other student the one that ``mrl`` asks for.
        cache: Directory of the teacher cache; ``<output>.work/cache`` by default.
        exclude: Corpus files, or BEIR directories, whose texts must not be learned from: evaluation sets.
        loading: How torch loads a teacher that is named: device, dtype, attention, code that comes with the model.
        device: Of the student, and of a teacher that is named without ``loading``, as in torch: ``"cuda"`` is the GPU
            of the process's local rank. ``None`` takes that of ``loading``, or a GPU if there is one.
        export_graphs: Whether to export ONNX graphs, which :func:`leaf_embed.load` needs.
        track: Trackers for the training curve: names that accelerate knows, such as ``"tensorboard"``.
        progress: Called as the work goes on.

    Raises:
        InputError: An option, model or corpus that cannot be used.
        SpaceMismatchError: ``space_of`` is a leaf of another teacher.
        CacheError: The cache is in use, damaged, or of another teacher.
        TrainingError: The loss became NaN or infinite, or there is a checkpoint of another run beside the output.
        StorageError: A place that cannot be written to, tried before the work begins, or a disk that is full.
        ExportError: A graph could not be made, or differs from the trained model; the leaf is there without graphs.
    """
    require("sentence_transformers", "train", "Distillation")
    options = StudentOptions(student, layers, head, tokenizer, space_of)
    if loading is None and not isinstance(teacher, Encoder):
        loading = Loading(device=device)
    if export_graphs and student_class(options.source).needs_graph:
        require("onnxscript", "train", "An export")
    place = student_device(device or (loading.device if loading else None))
    kind = student_class(options.source)
    config = config or kind.recipe()
    group = processes(place)
    progress = progress if progress and not group.rank else no_progress
    out = Output(Path(output), export_graphs)
    group.wait()
    side = TeacherSide.of(teacher, corpus, exclude, cache or out.work / "cache", loading)
    shared = None if space_of is None else rotation_of(space_of, side.space)
    built = kind.build(options, side.encoder, side.space, config)
    make_directory(out.work)
    group.first(lambda: require_reloadable(built.model, out.work))
    built.model.to(place)
    limit = min(config.max_tokens, built.max_tokens)
    rows, roles, skipped = group.first(lambda: side.fill(built, config, limit, progress))
    stored = side.open()
    learned, held_out = split(rows, roles, config, lambda rows: built.tokenize(stored, rows, limit))
    learned_rows = np.setdiff1d(rows, held_out.rows)
    rotation, truncation = _rotation(learned_rows, held_out, config, shared or built.rotation)
    with tracking([] if group.rank else track, out.work, config.to_dict()) as log:
        result = align(built, learned, held_out, config, out.work, progress=progress, log=log)
    built.model.to("cpu")
    if rotation is not None:
        fold(built.model, rotation)
    report = DistillReport(
        output=out.target,
        space=rotation.rotated(side.space) if rotation else side.space,
        texts=len(np.unique(learned.rows)),
        parameters=sum(p.numel() for p in built.model.parameters()),
        steps=config.steps(len(learned)),
        seconds=result.seconds,
        texts_per_second=result.steps * min(config.batch_size, len(learned)) / max(result.seconds, 1e-9),
        warm_start=result.warm_start,
        final=result.final,
        truncation=truncation,
        skipped=skipped,
    )
    recipe = options.to_dict() | {"head": list(hidden_widths(built.model)), "config": config.to_dict()}
    record = LeafRecord(own=own_canaries(held_out, config, rotation))
    info = LeafInfo(report.space, built.max_tokens, recipe, _metrics(report, result), built.kind, record)
    if group.rank == 0:
        proof = sample(held_out if len(held_out) else learned)
        out.publish(built, info, rotation)
        (out.work / "checkpoint.pt").unlink(missing_ok=True)
        parity = out.export(built, proof, progress)
        report = replace(report, parity=parity, record=read_leaf(out.target).record)
    group.wait()
    return report


def _rotation(
    rows: Rows, held_out: TokenizedTexts, config: DistillConfig, shared: Rotation | None
) -> tuple[Rotation | None, tuple[Truncation, ...]]:
    """Returns the rotation, and how well truncated vectors retain neighbours, on held-out texts."""
    if shared is None and config.mrl != "rotate":
        return None, ()
    rotation = shared or fit_cached_rotation(held_out.cache, rows)
    return rotation, compare_truncation(held_out.cache.vectors(held_out.rows), rotation)


def _metrics(report: DistillReport, result: TrainingResult) -> dict[str, Any]:
    """The ``metrics`` of ``leaf.json``."""
    return {
        "texts": report.texts,
        "steps": result.steps,
        "seconds": round(result.seconds, 1),
        "warm_start": result.warm_start and asdict(result.warm_start),
        "final": result.final and asdict(result.final),
        "truncation": [asdict(point) for point in report.truncation],
    }
