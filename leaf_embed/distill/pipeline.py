"""Distillation from end to end: texts and a teacher in, a leaf directory out."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from leaf_embed._extras import require
from leaf_embed._files import replacing_directory
from leaf_embed.canaries import Canaries
from leaf_embed.distill.config import DistillConfig
from leaf_embed.distill.dataset import TokenizedTexts, sample, split
from leaf_embed.distill.distributed import processes
from leaf_embed.distill.loss import Objective
from leaf_embed.distill.rotation import Truncation, compare_truncation, fit_rotation, fold
from leaf_embed.distill.students.backbone import hidden_widths
from leaf_embed.distill.students.base import (
    Aligned,
    Course,
    LayeredPlan,
    StaticPlan,
    StudentPlan,
)
from leaf_embed.distill.students.from_leaf import kept_rotation, rotation_of
from leaf_embed.distill.tracking import tracking
from leaf_embed.distill.train import Alignment
from leaf_embed.encoders.base import Encoder
from leaf_embed.encoders.rotation import Rotation
from leaf_embed.encoders.transformer import SentenceTransformerEncoder
from leaf_embed.errors import CorpusError, InputError
from leaf_embed.export.card import write_card
from leaf_embed.export.onnx import Parity, export, write_measured
from leaf_embed.format import LeafInfo, write_leaf
from leaf_embed.progress import Progress, no_progress
from leaf_embed.space import EmbeddingSpace
from leaf_embed.teacher.cache import Rows, TeacherCache
from leaf_embed.teacher.fill import as_exclusion, as_texts, gather
from leaf_embed.teacher.filtering import Exclusion
from leaf_embed.texts import Text

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

__all__ = ["DistillReport", "Progress", "distill"]

STATIC = "static"


@dataclass(frozen=True)
class DistillReport:
    """What a distillation did.

    Attributes:
        output: The leaf directory.
        space: The space that the leaf writes into.
        texts: Distinct texts trained on.
        parameters: Number of the student's weights.
        steps: Optimiser steps in all.
        seconds: Time spent training.
        texts_per_second: While training.
        warm_start: Alignment on the held-out texts before the first step; ``None`` without held-out texts.
        final: Alignment on the held-out texts of the weights that were kept.
        parity: Of each exported graph; empty if none was exported.
        truncation: With ``mrl="rotate"``, what truncation leaves of the teacher's neighbours, plain and rotated.
        skipped: Reasons for which texts were left out, with their number.
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


def distill(
    teacher: Encoder | str | os.PathLike[str],
    corpus: Iterable[Text] | Sequence[str | os.PathLike[str]] | None,
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
    export_graphs: bool = True,
    track: Sequence[Any] = (),
    progress: Progress | None = None,
) -> DistillReport:
    """Align a student with a teacher by LEAF's L2 loss and write a leaf directory.

    Everything slow survives a crash: the teacher's vectors in the cache, the training in a checkpoint beside the
    output. The same call goes on where it was stopped. The output appears only when it is whole. Started by
    ``torchrun`` or ``accelerate launch``, the processes share every batch; they need one file system.

    Args:
        teacher: An encoder, or the path or hub id of a sentence-transformers model; or vectors that exist already,
            as :class:`leaf_embed.distill.StoredVectors`, with which no teacher is called.
        corpus: Texts, or the paths of corpus files; see :class:`leaf_embed.distill.Corpus`. With stored vectors
            ``None``, or further texts for the teacher behind them.
        student: The model whose transformer the student starts from, where a leaf of the same teacher keeps its space
            and its head and is trained on; or ``"static"``: one vector per token, trained in seconds and
            evaluated in microseconds, for some points of quality.
        output: Directory to write; must not exist.
        config: The recipe; by default the paper's, or :meth:`DistillConfig.static` for a static student.
        layers: Which of the student's layers to keep: their numbers, how many, or ``None`` for all. ``0`` or ``()``
            leaves the token embeddings alone.
        head: Widths of hidden layers between the mean of the tokens and the vector, at least twice the teacher's
            dimensions each: their work is done once a text, and a student of few layers gains by it. A leaf that is
            trained on has its own.
        tokenizer: For a static student the model that its tokenizer comes from; the teacher's own by default.
        space_of: A leaf of the same teacher whose rotated space the new one shall share, so that the same collections
            serve both; by default a leaf as student is such a one, and every other student has what ``mrl`` gives.
        cache: Directory of the teacher cache; ``<output>.work/cache`` by default.
        exclude: Corpus files, or BEIR directories, whose texts must not be learned from: evaluation sets.
        export_graphs: Whether to export ONNX graphs, which :func:`leaf_embed.load` needs.
        track: Trackers for the training curve: names that accelerate knows, such as ``"tensorboard"``.
        progress: Called as the work goes on.

    Raises:
        InputError: An option, model or corpus that cannot be used.
        SpaceMismatchError: ``space_of`` is a leaf of another teacher.
        CacheError: The cache is in use, damaged, or of another teacher.
        TrainingError: The loss became NaN or infinite.
        ParityError: An exported graph differs from the trained model.
    """
    require("sentence_transformers", "train", "Distillation")
    config = config or (DistillConfig.static() if student == STATIC else DistillConfig())
    group = processes()
    tell = progress if progress and not group.rank else no_progress
    target = Path(output)
    if target.exists():
        raise InputError(f"{target} exists already; choose another --output, or move it away")
    group.wait()
    encoder = teacher if isinstance(teacher, Encoder) else SentenceTransformerEncoder(teacher)
    space = encoder.space.with_canaries(encoder.space.canaries or Canaries.of(encoder))
    _check_prefixes(config, space)
    kept = _kept(student, space_of, space)
    plan = _plan(student, space, encoder, layers=layers, head=head, tokenizer=tokenizer, seed=config.seed)
    limit = min(config.max_tokens, plan.max_tokens)
    work = _ready(target.with_name(target.name + ".work"))
    filled: tuple[Rows, dict[str, int]] | None = None
    if group.rank == 0:
        stored = TeacherCache(cache or work / "cache", space)
        filled = gather(stored, as_texts(corpus), encoder, plan.tokenizer, limit, as_exclusion(exclude), tell)
    rows, skipped = group.first(filled) or _nothing()
    stored = TeacherCache(cache or work / "cache", space)
    learned, held_out = split(rows, stored, config, lambda rows: plan.tokenize(stored, rows, limit))
    rotation, truncation = _rotation(np.setdiff1d(rows, held_out.rows), held_out, config, kept)
    with tracking([] if group.rank else track, work, config.to_dict()) as log:
        result = plan.align(learned, held_out, Course(config, _objective(config, rotation), work, tell, log))
    if rotation is not None:
        fold(plan.model, rotation)
    space = rotation.rotated(space) if rotation else space
    count = len(np.unique(learned.rows))
    recipe = {
        "student": _student_name(student),
        "layers": layers if layers is None or isinstance(layers, int) else list(layers),
        "head": list(hidden_widths(plan.model)),
        "config": config.to_dict(),
    }
    info = LeafInfo(space, plan.max_tokens, recipe, _metrics(count, result, truncation), plan.kind)
    proof = sample(held_out if len(held_out) else learned) if export_graphs else []
    parity = {} if group.rank else _save(target, plan, info, proof, tell, rotation)
    group.wait()
    (work / "checkpoint.pt").unlink(missing_ok=True)
    return DistillReport(
        output=target,
        space=space,
        texts=count,
        parameters=sum(p.numel() for p in plan.model.parameters()),
        steps=config.steps(len(learned)),
        seconds=result.seconds,
        texts_per_second=result.steps * min(config.batch_size, len(learned)) / max(result.seconds, 1e-9),
        warm_start=result.warm_start,
        final=result.final,
        parity=parity,
        truncation=truncation,
        skipped=skipped,
    )


def _check_prefixes(config: DistillConfig, space: EmbeddingSpace) -> None:
    beyond = [dim for dim in config.prefixes if dim >= space.dim]
    if beyond:
        raise InputError(f"prefixes {beyond} are no shorter than the teacher's {space.dim} dimensions")


def _nothing() -> tuple[Rows, dict[str, int]]:
    raise CorpusError("the first process gave no texts")


def _kept(student: Any, space_of: str | os.PathLike[str] | None, space: EmbeddingSpace) -> Rotation | None:
    """The rotation of the leaf that is named, or of the one that the student starts from."""
    if space_of is not None:
        return rotation_of(space_of, space)
    return None if student == STATIC else kept_rotation(student, space)


def _rotation(
    rows: Rows, held_out: TokenizedTexts, config: DistillConfig, kept: Rotation | None
) -> tuple[Rotation | None, tuple[Truncation, ...]]:
    """The rotation that is kept, or the one that the recipe wants; and what it is worth, on held-out texts."""
    if kept is None and config.mrl != "rotate":
        return None, ()
    cache = held_out.cache
    rotation = kept or fit_rotation(cache, rows)
    return rotation, compare_truncation(cache.vectors(held_out.rows), rotation)


def _objective(config: DistillConfig, rotation: Rotation | None) -> Objective:
    import torch

    turn = torch.from_numpy(rotation.matrix) if rotation is not None and config.prefixes else None
    return Objective(config.prefixes, turn)


def _save(
    target: Path, plan: StudentPlan, info: LeafInfo, sample: Sequence[Text], tell: Progress, rotation: Rotation | None
) -> dict[str, Parity]:
    """Write the leaf whole or not at all; with texts to prove them on, the graphs of a transformer too."""
    parity: dict[str, Parity] = {}
    with replacing_directory(target) as folder:
        plan.model.save_pretrained(str(folder), create_model_card=False)
        for file in folder.rglob("*.safetensors"):
            file.chmod(0o644)  # safetensors makes it unreadable for a server that runs as somebody else
        write_leaf(folder, info)
        if rotation is not None:
            rotation.save(folder)
        if sample and plan.kind == "transformer":
            tell("export", 0, None, "")
            parity = export(folder, sample)
            tell("export", 1, 1, "")
        else:
            write_measured(folder)
        write_card(folder)
    return parity


def _ready(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _student_name(student: Any) -> str:
    return os.fspath(student) if isinstance(student, (str, os.PathLike)) else type(student).__name__


def _metrics(texts: int, result: Aligned, truncation: Sequence[Truncation]) -> dict[str, Any]:
    """What ``leaf.json`` keeps of the training."""
    return {
        "texts": texts,
        "steps": result.steps,
        "seconds": round(result.seconds, 1),
        "warm_start": _plain(result.warm_start),
        "final": _plain(result.final),
        "truncation": [asdict(point) for point in truncation],
    }


def _plain(alignment: Alignment | None) -> dict[str, Any] | None:
    return None if alignment is None else asdict(alignment)


def _plan(
    student: Any,
    space: EmbeddingSpace,
    teacher: Encoder,
    *,
    layers: Any,
    head: Sequence[int],
    tokenizer: Any,
    seed: int,
) -> StudentPlan:
    """The student in the making."""
    if student != STATIC:
        return LayeredPlan(student, space, layers, seed, head)
    if head:
        raise InputError(f"a {student} student has no head; name a model as student, with head= and layers= 0 or more")
    source = tokenizer or getattr(teacher, "model", None)
    if source is None:
        raise InputError(
            f"a {student} student needs a tokenizer, and this teacher shows none; name a model with tokenizer="
        )
    return StaticPlan(source, space, teacher)
