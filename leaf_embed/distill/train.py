"""The training loop of every student, in pieces that each have a name from the literature."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from leaf_embed._files import replacing_file
from leaf_embed.distill.attention import short_text_attention
from leaf_embed.distill.config import DistillConfig
from leaf_embed.distill.dataset import TokenizedTexts, epoch_batches
from leaf_embed.distill.distributed import processes
from leaf_embed.distill.loss import squared_distances, squared_l2
from leaf_embed.distill.optimizers import Optimizers
from leaf_embed.distill.placement import on_cpu
from leaf_embed.distill.progress import Alignment, StepInfo
from leaf_embed.distill.students.base import Student
from leaf_embed.encoders.transformer import weights_digest
from leaf_embed.errors import TrainingError
from leaf_embed.progress import Progress, no_progress
from leaf_embed.teacher.cache import Rows

if TYPE_CHECKING:
    import torch

__all__ = ["TrainingResult", "TrainingRun", "align", "learning_rate", "measure_alignment"]

EVALUATIONS = 10  # times per run that the held-out texts are measured
CHECKPOINT_SECONDS = 60.0
MEASURE_BATCH = 64


@dataclass(frozen=True)
class TrainingResult:
    """The result of a training: its cost and its alignment.

    Attributes:
        steps: Optimizer steps taken now, without those that a checkpoint spared.
        seconds: Time that they took.
        warm_start: Alignment on the held-out texts before the first step; ``None`` without held-out texts.
        final: The same of the weights that were kept.
    """

    steps: int
    seconds: float
    warm_start: Alignment | None
    final: Alignment | None


def learning_rate(step: int, total: int, config: DistillConfig) -> float:
    """Returns the rate of the paper's schedule: in each cycle linear from the first to the final one, with a warm-up.

    Args:
        step: From 0 to ``total - 1``.
        total: Steps in all.
        config: Rates, cycles and warm-up steps; the warm-up takes a tenth of the run at most.
    """
    length = math.ceil(total / config.cycles)
    position = step % length / max(1, length - 1)
    rate = config.learning_rate + (config.final_learning_rate - config.learning_rate) * position
    warmup = min(config.warmup_steps, total // 10)
    return rate * min(1.0, (step + 1) / (warmup + 1))


def measure_alignment(student: Student, texts: TokenizedTexts) -> Alignment:
    """Returns loss and cosine over all of some texts."""
    import torch

    losses, cosines = [], []
    with torch.inference_mode():
        for places in texts.by_length(np.arange(len(texts)), MEASURE_BATCH):
            vectors = student.vectors(student.batch(texts, places))
            targets = texts.targets(places).to(vectors.device)
            losses.append(squared_distances(vectors, targets))
            cosines.append(torch.nn.functional.cosine_similarity(vectors, targets))
    return Alignment(float(torch.cat(losses).mean()), float(torch.cat(cosines).mean()), len(texts))


def align(
    student: Student,
    learned: TokenizedTexts,
    held_out: TokenizedTexts,
    config: DistillConfig,
    folder: Path,
    *,
    progress: Progress = no_progress,
    log: Callable[[StepInfo], object] | None = None,
) -> TrainingResult:
    """Starts a student and trains it, with a checkpoint that the same call goes on from.

    Args:
        student: A student that is not started yet; changed in place.
        learned: Texts to learn from.
        held_out: Texts to measure on; may be empty.
        config: The recipe.
        folder: Directory of the checkpoint, ``checkpoint.pt``.
        progress: Called with the stages "warm start" and "train".
        log: Called after each step, for trackers.

    Raises:
        TrainingError: The loss became NaN or infinite, or the checkpoint is damaged or of another run.
    """

    def measure() -> Alignment | None:
        return measure_alignment(student, held_out) if len(held_out) else None

    def show(at: StepInfo) -> None:
        progress("train", at.step, at.total, f"loss {at.loss:.4f}  {at.texts_per_second:.0f} texts/s")
        if log is not None:
            log(at)

    identity = _identity(student, learned, config)
    progress("warm start", 0, None, "")
    student.start(learned)
    before = measure()
    progress("warm start", 1, 1, f"held-out loss {before.loss:.4f}, cosine {before.cosine:.4f}" if before else "")
    began = time.monotonic()
    steps = TrainingRun(student, config, identity).train(learned, held_out, folder / "checkpoint.pt", show)
    return TrainingResult(steps, time.monotonic() - began, before, measure())


def _identity(student: Student, texts: TokenizedTexts, config: DistillConfig) -> str:
    """Identifies a run: a checkpoint is resumed only by the same texts, student and recipe."""
    model = student.model
    asked = len(student.start_texts())  # a start from vectors of single tokens is another than one without a teacher
    facts = [config.to_dict(), texts.cache.space.fingerprint, str(model), weights_digest(model), asked]
    digest = hashlib.sha256(json.dumps(facts).encode())
    digest.update(np.ascontiguousarray(texts.rows).data)
    digest.update(np.ascontiguousarray(texts.ids).data)
    return digest.hexdigest()


class TrainingRun:
    """One training run: student, optimizers and the best weights so far; can be saved and resumed exactly."""

    def __init__(self, student: Student, config: DistillConfig, identity: str) -> None:
        """Begins a run.

        Args:
            student: A student after :meth:`~leaf_embed.distill.students.base.Student.start`; put into evaluation mode,
                so that dropout is off: the targets are exact.
            config: The recipe.
            identity: Identifies texts, student and recipe of this run.
        """
        self.student = student
        self.model = student.model.eval()
        self.config = config
        self.identity = identity
        self.processes = processes(str(self.model.device))
        self.optimizers = Optimizers(self.model, student.tables(), config)
        self.step = 0
        self.best_loss = math.inf
        self.best_state: dict[str, torch.Tensor] | None = None
        self.smoothed = math.nan

    def save(self, file: Path) -> None:
        import torch

        state = {
            "identity": self.identity,
            "step": self.step,
            "model": on_cpu(self.model.state_dict()),
            "optimizers": on_cpu(self.optimizers.state_dict()),
            "best_loss": self.best_loss,
            "best_state": on_cpu(self.best_state),
            "smoothed": self.smoothed,
        }
        with replacing_file(file) as temporary:
            torch.save(state, temporary)

    def resume(self, file: Path) -> None:
        """Restores a checkpoint of the same run.

        Raises:
            TrainingError: It cannot be read, or is of another run, whose hours of work it may hold.
        """
        import torch

        if not file.is_file():
            return
        try:
            state: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:
            raise TrainingError(f"the checkpoint {file} cannot be read ({error}); delete it to start again") from error
        if state["identity"] != self.identity:
            raise TrainingError(
                f"{file} is the checkpoint of another run, at step {state['step']}: of other texts, another student, "
                "recipe or release. Run that command again to finish it, choose another --output, or delete the file"
            )
        self.model.load_state_dict(state["model"])
        self.optimizers.load_state_dict(state["optimizers"])
        self.step, self.smoothed = state["step"], state["smoothed"]
        self.best_loss, self.best_state = state["best_loss"], state["best_state"]

    def train_batch(self, texts: TokenizedTexts, places: Rows, total: int) -> None:
        """Takes one optimizer step; in several processes each takes its share of the texts."""
        import torch

        share = places[self.processes.rank :: self.processes.count]
        value = 0.0
        if len(share):
            vectors = self.student.vectors(self.student.batch(texts, share))
            targets = texts.targets(share).to(vectors.device)
            loss = squared_l2(vectors, targets) * (len(share) / len(places))
            torch.autograd.backward(loss)
            value = float(loss.detach())
        value = self.processes.add(value)
        if not math.isfinite(value):
            raise TrainingError(self._bad_batch(value, texts, places))
        self.processes.add_gradients(self.optimizers.weights())
        self.optimizers.step(learning_rate(self.step, total, self.config))
        self.step += 1
        self.smoothed = value if math.isnan(self.smoothed) else 0.98 * self.smoothed + 0.02 * value

    def _bad_batch(self, value: float, texts: TokenizedTexts, places: Rows) -> str:
        named = ", ".join(f"{text.text:.40}" for text in texts.cache.texts(texts.rows[places[:3]]))
        return (
            f"the loss became {value} at step {self.step}, in the batch of {len(places)} texts that begins with: "
            f"{named}. Nothing of this step was kept. Try a lower learning rate, or precision='float32'."
        )

    def keep_if_best(self, held_out: TokenizedTexts) -> None:
        """Keeps the weights if they fit the held-out texts better than any before."""
        if self.processes.rank:
            return  # only the first process writes
        loss = measure_alignment(self.student, held_out).loss
        if loss < self.best_loss:
            self.best_loss = loss
            self.best_state = {name: tensor.detach().clone() for name, tensor in self.model.state_dict().items()}

    def train(
        self,
        texts: TokenizedTexts,
        held_out: TokenizedTexts,
        checkpoint: Path,
        log: Callable[[StepInfo], object] | None = None,
    ) -> int:
        """Trains the student, in place; ends with the weights that fit the held-out texts best.

        Args:
            texts: Texts to learn from.
            held_out: Texts to measure on; may be empty, then the last weights are kept.
            checkpoint: A file that is written every minute; a run of the same identity goes on from it and ends with
                the same weights as one that was never interrupted.
            log: Called after every step.

        Returns:
            The number of steps that were taken now, without those resumed.

        Raises:
            TrainingError: The loss became NaN or infinite (the message names the batch), or the checkpoint is damaged
                or of another run.
        """
        self.resume(checkpoint)
        self.processes.same_weights(self.model)
        total, first = self.config.steps(len(texts)), self.step
        every = max(1, total // EVALUATIONS)
        began = saved = time.monotonic()
        with ExitStack() as stack:
            stack.callback(self.optimizers.release)
            stack.enter_context(short_text_attention(self.model))
            if len(held_out) and self.step == 0:
                self.keep_if_best(held_out)  # a start that training only spoils is kept
            for places in self._batches(texts, total):
                self.train_batch(texts, places, total)
                if len(held_out) and (self.step % every == 0 or self.step == total):
                    self.keep_if_best(held_out)
                now = time.monotonic()
                if log is not None:
                    done = (self.step - first) * min(self.config.batch_size, len(texts))
                    rate = learning_rate(self.step - 1, total, self.config)
                    log(StepInfo(self.step, total, self.smoothed, done / (now - began), rate, self.best_loss))
                if now - saved > CHECKPOINT_SECONDS and self.step < total and self.processes.rank == 0:
                    self.save(checkpoint)
                    saved = now
            if self.best_state is not None:
                self.model.load_state_dict(self.best_state)
            self.processes.same_weights(self.model)
        return self.step - first

    def _batches(self, texts: TokenizedTexts, total: int) -> Iterator[Rows]:
        """The batches from the current step on."""
        config = self.config
        lengths = texts.lengths() if self.student.pads else np.zeros(len(texts), dtype=np.int64)
        per_epoch = max(1, len(texts) // config.batch_size)
        epoch, batches = -1, np.empty((0, 0), dtype=np.int64)
        while self.step < total:
            if self.step // per_epoch != epoch:
                epoch = self.step // per_epoch
                batches = epoch_batches(lengths, config.batch_size, config.seed, epoch)
            yield batches[self.step % per_epoch]
