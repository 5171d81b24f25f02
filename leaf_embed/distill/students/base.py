"""The kinds of student, behind one interface: what the pipeline asks of each."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from leaf_embed.distill.config import DistillConfig
from leaf_embed.distill.dataset import TokenizedTexts, tokenize
from leaf_embed.distill.loss import Objective
from leaf_embed.distill.students import static
from leaf_embed.distill.students.backbone import build_student, missing_layers, warm_start
from leaf_embed.distill.students.from_leaf import inherited_student
from leaf_embed.distill.train import Alignment, StepInfo, measure_alignment, train
from leaf_embed.encoders.base import Encoder
from leaf_embed.encoders.transformer import wants_bfloat16, weights_digest
from leaf_embed.format import Kind
from leaf_embed.progress import Progress, no_progress
from leaf_embed.space import EmbeddingSpace
from leaf_embed.teacher.cache import Rows, TeacherCache
from leaf_embed.teacher.stored_vectors import StoredVectors

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from tokenizers import Tokenizer

__all__ = [
    "Aligned",
    "Course",
    "LayeredPlan",
    "StaticPlan",
    "StudentPlan",
    "first_batches",
]


@dataclass(frozen=True)
class Course:
    """How a student is trained, where its checkpoint lies, and who hears of it.

    Attributes:
        config: The recipe.
        objective: What each step makes small.
        work: Directory of the checkpoint.
        tell: Hears of every stage, for people; nobody by default.
        log: Hears of the steps, for a tracker; none by default.
    """

    config: DistillConfig
    objective: Objective
    work: Path
    tell: Progress = no_progress
    log: Callable[[StepInfo], object] = lambda at: None

    def step(self, at: StepInfo) -> None:
        """Tell of a training step."""
        self.tell("train", at.step, at.total, f"loss {at.loss:.4f}  {at.texts_per_second:.0f} texts/s")
        self.log(at)


@dataclass(frozen=True)
class Aligned:
    """What training took now, without what a checkpoint spared, and what it reached on the held-out texts."""

    steps: int
    seconds: float
    warm_start: Alignment | None
    final: Alignment | None


class StudentPlan(Protocol):
    """A student in the making.

    Attributes:
        kind: What ``leaf.json`` will say.
        model: What is trained and saved; complete once :meth:`align` has run.
        tokenizer: A transformers tokenizer, to cut texts with.
        max_tokens: Where the student stops reading.
    """

    kind: Kind
    model: SentenceTransformer
    tokenizer: Any
    max_tokens: int

    def tokenize(self, cache: TeacherCache, rows: Rows, max_tokens: int) -> TokenizedTexts:
        """Texts of some cache rows as the student reads them."""
        ...

    def align(self, learned: TokenizedTexts, held_out: TokenizedTexts, course: Course) -> Aligned:
        """Start the student and train it."""
        ...


class LayeredPlan:
    """A transformer: some layers of a model, with a Dense into the space."""

    kind: Kind = "transformer"

    def __init__(
        self,
        source: str | os.PathLike[str] | SentenceTransformer,
        space: EmbeddingSpace,
        layers: int | Sequence[int] | None,
        seed: int,
        head: Sequence[int] = (),
        *,
        train_on: bool = True,
    ) -> None:
        """Build the student; see :func:`leaf_embed.distill.build_student`.

        Args:
            source: Where its layers come from.
            space: The space to write into.
            layers: Which layers.
            seed: Of random weights.
            head: Widths of hidden layers; of a leaf that is trained on, those that it has, if none are named.
            train_on: Whether a leaf of the same space keeps its head; see :mod:`leaf_embed.distill.students.from_leaf`.
        """
        self._source, self._layers = source, layers
        known = inherited_student(source, space, layers, head, seed=seed) if train_on else None
        self._inherits = known is not None
        self.model = build_student(source, space, layers=layers, head=head, seed=seed) if known is None else known
        self.model.max_seq_length = min(self.model.max_seq_length or 512, space.max_tokens or 512)
        self.max_tokens = int(self.model.max_seq_length)
        self.tokenizer: Any = self.model.tokenizer

    def tokenize(self, cache: TeacherCache, rows: Rows, max_tokens: int) -> TokenizedTexts:
        return tokenize(self.tokenizer, cache, rows, max_tokens)

    def align(self, learned: TokenizedTexts, held_out: TokenizedTexts, course: Course) -> Aligned:
        config, tell = course.config, course.tell
        bfloat16 = wants_bfloat16(config.precision, self.model.device)
        identity = _identity(config, learned, self.model)

        def measure() -> Alignment | None:
            return measure_alignment(self.model, held_out, bfloat16) if len(held_out) else None

        tell("warm start", 0, None, "")
        self._start(learned, held_out, course, bfloat16)
        before = measure()
        tell("warm start", 1, 1, _note(before))
        began = time.monotonic()
        steps = train(
            self.model,
            learned,
            held_out,
            config,
            bfloat16=bfloat16,
            checkpoint=course.work / "checkpoint.pt",
            identity=identity,
            objective=course.objective,
            progress=course.step,
        )
        return Aligned(steps, time.monotonic() - began, before, measure())

    def _start(self, learned: TokenizedTexts, held_out: TokenizedTexts, course: Course, bfloat16: bool) -> None:
        """What comes before the first step; nothing, where a leaf is trained on."""
        if course.config.warm_start_texts and not self._inherits:
            lower = missing_layers(self._source, self._layers)
            if lower is not None:
                from leaf_embed.distill.students.embedding_init import random_batches, start_embeddings

                lower.to(self.model.device)
                batches = partial(random_batches, learned, course.config.seed, self.model.device)
                start_embeddings(self.model, lower, batches, bfloat16)
            warm_start(self.model, lambda: first_batches(learned, course.config, self.model), bfloat16)


class StaticPlan:
    """One vector a token; from the teacher's vectors of single tokens, or, without a teacher to ask, of its texts."""

    kind: Kind = "static"

    def __init__(self, source: Any, space: EmbeddingSpace, teacher: Encoder) -> None:
        """Take the tokenizer; the table is made once the texts are known.

        Args:
            source: Where the tokenizer comes from: a directory, hub id or loaded model.
            space: The space to write into.
            teacher: Asked for the vector of each token, unless it is only stored vectors.
        """
        self.max_tokens = space.max_tokens or 512
        self._tokens = static.load_tokenizer(source, self.max_tokens)
        self.tokenizer: Any = _for_cutting(static.load_tokenizer(source, self.max_tokens))
        self._teacher = None if isinstance(teacher, StoredVectors) else teacher
        self._space = space
        self.model: SentenceTransformer

    def tokenize(self, cache: TeacherCache, rows: Rows, max_tokens: int) -> TokenizedTexts:
        return static.tokenize_static(self._tokens, cache, rows)

    def align(self, learned: TokenizedTexts, held_out: TokenizedTexts, course: Course) -> Aligned:
        course.tell("warm start", 0, None, "one vector a token")
        table = static.start_table(self._tokens, learned, self._teacher)
        self.model = static.build_static(self._tokens, table, self._space)
        before = static.measure_static(self.model, held_out)
        course.tell("warm start", 1, 1, _note(before))
        began = time.monotonic()
        steps = static.train_static(self.model, learned, course.config, course.objective, course.step)
        return Aligned(steps, time.monotonic() - began, before, static.measure_static(self.model, held_out))


def _for_cutting(tokenizer: Tokenizer) -> Any:
    """The same tokenizer as transformers wraps it."""
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)  # type: ignore[no-untyped-call]


def _note(alignment: Alignment | None) -> str:
    return f"held-out loss {alignment.loss:.4f}, cosine {alignment.cosine:.4f}" if alignment else ""


def first_batches(texts: TokenizedTexts, config: DistillConfig, model: SentenceTransformer) -> Iterator[Any]:
    """Batches of a random sample, for the warm start."""
    sample = np.random.default_rng(config.seed).permutation(len(texts))[: config.warm_start_texts]
    return texts.by_length(sample, 64, model.device)


def _identity(config: DistillConfig, texts: TokenizedTexts, model: SentenceTransformer) -> str:
    """Names a run: a checkpoint is taken up only by the same texts, student and recipe."""
    facts = [config.to_dict(), texts.cache.space.fingerprint, str(model), weights_digest(model)]
    digest = hashlib.sha256(json.dumps(facts).encode())
    digest.update(texts.rows.tobytes())
    digest.update(texts.ids.tobytes())
    return digest.hexdigest()
