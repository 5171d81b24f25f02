"""Distillation from end to end: texts and a teacher in, a leaf directory out."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from leaf_embed._extras import require
from leaf_embed._files import replacing_directory
from leaf_embed.canaries import Canaries
from leaf_embed.distill.cache import Rows, TeacherCache
from leaf_embed.distill.config import DistillConfig
from leaf_embed.distill.corpus import Corpus, Text
from leaf_embed.distill.data import TokenizedTexts, cut_texts, tokenize
from leaf_embed.distill.export import Parity, export
from leaf_embed.distill.student import build_student, warm_start
from leaf_embed.distill.train import Alignment, measure_alignment, train
from leaf_embed.encoders.base import Encoder
from leaf_embed.encoders.transformer import SentenceTransformerEncoder, wants_bfloat16, weights_digest
from leaf_embed.errors import CorpusError, InputError
from leaf_embed.format import LeafInfo, write_leaf
from leaf_embed.space import EmbeddingSpace

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

__all__ = ["DistillReport", "Progress", "distill"]

Progress: TypeAlias = Callable[[str, int, "int | None", str], object]
"""Hears (stage, done, total or None, note), where stage is "teacher", "warm start", "train" or "export"."""

MAX_HELD_OUT = 1000
PARITY_TEXTS = 256


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
    skipped: dict[str, int] = field(default_factory=dict)


def distill(
    teacher: Encoder | str | os.PathLike[str],
    corpus: Iterable[Text] | Sequence[str | os.PathLike[str]],
    student: str | os.PathLike[str] | SentenceTransformer,
    output: str | os.PathLike[str],
    config: DistillConfig | None = None,
    *,
    layers: int | Sequence[int] | None = None,
    cache: str | os.PathLike[str] | None = None,
    export_graphs: bool = True,
    progress: Progress | None = None,
) -> DistillReport:
    """Align a student with a teacher by LEAF's L2 loss and write a leaf directory.

    Everything slow survives a crash: the teacher's vectors in the cache, the training in a checkpoint beside the
    output. The same call goes on where it was stopped. The output appears only when it is whole.

    Args:
        teacher: An encoder, or the path or hub id of a sentence-transformers model.
        corpus: Texts, or the paths of corpus files; see :class:`leaf_embed.distill.Corpus`.
        student: The model whose transformer the student starts from.
        output: Directory to write; must not exist.
        config: The recipe; the paper's by default.
        layers: Which of the student's layers to keep: their numbers, how many, or ``None`` for all.
        cache: Directory of the teacher cache; ``<output>.work/cache`` by default.
        export_graphs: Whether to export ONNX graphs, which :func:`leaf_embed.load` needs.
        progress: Called as the work goes on.

    Raises:
        InputError: An option, model or corpus that cannot be used.
        CacheError: The cache is in use, damaged, or of another teacher.
        TrainingError: The loss became NaN or infinite.
        ParityError: An exported graph differs from the trained model.
    """
    require("sentence_transformers", "train", "Distillation")
    config = config or DistillConfig()
    tell = progress or _silence
    target = Path(output)
    if target.exists():
        raise InputError(f"{target} exists already; choose another --output, or move it away")
    encoder = teacher if isinstance(teacher, Encoder) else SentenceTransformerEncoder(teacher)
    space = encoder.space.with_canaries(encoder.space.canaries or Canaries.of(encoder))
    model = build_student(student, space, layers=layers, seed=config.seed)
    model.max_seq_length = min(model.max_seq_length or 512, space.max_tokens or 512)
    work = target.with_name(target.name + ".work")
    texts = _texts(corpus)
    stored = TeacherCache(cache or work / "cache", space)
    rows = _fill(stored, texts, encoder, model, config, tell)
    learned, held_out = _split(rows, stored, model, config)
    result = _align(model, learned, held_out, config, _ready(work) / "checkpoint.pt", tell)
    recipe = {"student": _student_name(student), "layers": _plain(layers), "config": config.to_dict()}
    metrics = {"texts": len(learned), **{name: value and asdict(value) for name, value in result.measured.items()}}
    info = LeafInfo(space, model.max_seq_length, recipe, metrics)
    sample = _sample(held_out if len(held_out) else learned) if export_graphs else []
    parity = _save(target, model, info, sample, tell)
    (work / "checkpoint.pt").unlink(missing_ok=True)
    return DistillReport(
        output=target,
        space=space,
        texts=len(learned),
        parameters=sum(p.numel() for p in model.parameters()),
        steps=config.steps(len(learned)),
        seconds=result.seconds,
        texts_per_second=result.steps * min(config.batch_size, len(learned)) / max(result.seconds, 1e-9),
        warm_start=result.measured["warm_start"],
        final=result.measured["final"],
        parity=parity,
        skipped=dict(texts.skipped) if isinstance(texts, Corpus) else {},
    )


@dataclass(frozen=True)
class _Aligned:
    """What training took now, without what a checkpoint spared, and what it reached."""

    steps: int
    seconds: float
    measured: dict[str, Alignment | None]


def _align(
    model: SentenceTransformer,
    learned: TokenizedTexts,
    held_out: TokenizedTexts,
    config: DistillConfig,
    checkpoint: Path,
    tell: Progress,
) -> _Aligned:
    """Warm start, then training; the student is changed in place."""
    bfloat16 = wants_bfloat16(config.precision, model.device)
    identity = _identity(config, learned, model)

    def measure() -> Alignment | None:
        return measure_alignment(model, held_out, bfloat16) if len(held_out) else None

    if config.warm_start_texts:
        tell("warm start", 0, None, "")
        warm_start(model, lambda: _first_batches(learned, config, model), bfloat16)
    before = measure()
    tell("warm start", 1, 1, f"held-out loss {before.loss:.4f}, cosine {before.cosine:.4f}" if before else "")
    began = time.monotonic()
    steps = train(
        model,
        learned,
        held_out,
        config,
        bfloat16=bfloat16,
        checkpoint=checkpoint,
        identity=identity,
        progress=lambda at: tell("train", at.step, at.total, f"loss {at.loss:.4f}  {at.texts_per_second:.0f} texts/s"),
    )
    return _Aligned(steps, time.monotonic() - began, {"warm_start": before, "final": measure()})


def _save(
    target: Path, model: SentenceTransformer, info: LeafInfo, sample: Sequence[Text], tell: Progress
) -> dict[str, Parity]:
    """Write the leaf whole or not at all; with texts to prove them on, its graphs too."""
    parity: dict[str, Parity] = {}
    with replacing_directory(target) as folder:
        model.save_pretrained(str(folder), create_model_card=False)
        for file in folder.rglob("*.safetensors"):
            file.chmod(0o644)  # safetensors makes it unreadable for a server that runs as somebody else
        write_leaf(folder, info)
        if sample:
            tell("export", 0, None, "")
            parity = export(folder, sample)
            tell("export", 1, 1, "")
    return parity


def _silence(stage: str, done: int, total: int | None, note: str) -> None:
    """The progress of somebody who does not want to hear it."""


def _texts(corpus: Any) -> Iterable[Text]:
    """Texts as they are; paths as a corpus."""
    if isinstance(corpus, (str, os.PathLike)):
        return Corpus([corpus])
    if isinstance(corpus, Sequence) and all(isinstance(item, (str, os.PathLike)) for item in corpus):
        return Corpus(corpus)
    texts: Iterable[Text] = corpus
    return texts


def _ready(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _fill(
    cache: TeacherCache,
    texts: Iterable[Text],
    teacher: Encoder,
    model: SentenceTransformer,
    config: DistillConfig,
    tell: Progress,
) -> Rows:
    """Have the teacher's vector of every text, cut to what the student will read."""
    limit = min(config.max_tokens, model.max_seq_length or config.max_tokens)
    cut = cut_texts(texts, model.tokenizer, cache.space, limit)
    total = len(texts) if isinstance(texts, Sized) else None
    rows = cache.fill(cut, teacher, lambda seen, new: tell("teacher", seen, total, f"{new} embedded, rest known"))
    if not len(rows):
        raise CorpusError("the corpus holds no text; expected at least one that is not empty")
    return rows


def _split(
    rows: Rows, cache: TeacherCache, model: SentenceTransformer, config: DistillConfig
) -> tuple[TokenizedTexts, TokenizedTexts]:
    """Texts to learn from, and texts held out to measure on."""
    shuffled = np.random.default_rng(config.seed).permutation(rows)
    held = min(MAX_HELD_OUT, int(len(rows) * config.holdout))
    limit = min(config.max_tokens, model.max_seq_length or config.max_tokens)
    learned = tokenize(model.tokenizer, cache, np.sort(shuffled[held:]), limit)
    return learned, tokenize(model.tokenizer, cache, np.sort(shuffled[:held]), limit)


def _first_batches(texts: TokenizedTexts, config: DistillConfig, model: SentenceTransformer) -> Iterator[Any]:
    """Batches of a random sample, for the warm start."""
    sample = np.random.default_rng(config.seed).permutation(len(texts))[: config.warm_start_texts]
    sample = sample[np.argsort(texts.lengths[sample], kind="stable")]
    for start in range(0, len(sample), 64):
        yield texts.batch(sample[start : start + 64], model.device)


def _sample(texts: TokenizedTexts) -> list[Text]:
    """Some of the texts, for the export's proof."""
    return texts.cache.texts(np.random.default_rng(0).permutation(texts.rows)[:PARITY_TEXTS])


def _identity(config: DistillConfig, texts: TokenizedTexts, model: SentenceTransformer) -> str:
    """Names a run: a checkpoint is taken up only by the same texts, student and recipe."""
    facts = [config.to_dict(), texts.cache.space.fingerprint, str(model), weights_digest(model)]
    digest = hashlib.sha256(json.dumps(facts).encode())
    digest.update(texts.rows.tobytes())
    digest.update(texts.ids.tobytes())
    return digest.hexdigest()


def _student_name(student: Any) -> str:
    return os.fspath(student) if isinstance(student, (str, os.PathLike)) else type(student).__name__


def _plain(layers: int | Sequence[int] | None) -> int | list[int] | None:
    return layers if layers is None or isinstance(layers, int) else list(layers)
