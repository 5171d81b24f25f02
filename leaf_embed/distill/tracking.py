"""Training curves in TensorBoard, Weights & Biases and the like, through accelerate's trackers."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from leaf_embed._extras import require
from leaf_embed.distill.progress import StepInfo
from leaf_embed.errors import InputError

__all__ = ["tracking"]

EVERY = 10  # steps
PROJECT = "leaf-embed"


@contextmanager
def tracking(
    trackers: Sequence[Any], folder: str | os.PathLike[str], config: Mapping[str, Any]
) -> Iterator[Callable[[StepInfo], object]]:
    """Logs every tenth step and the last one while the block runs.

    Args:
        trackers: Names that accelerate knows, such as ``"tensorboard"`` or ``"wandb"``, or trackers of its
            ``GeneralTracker``; none logs nothing.
        folder: Where trackers with files of their own put them.
        config: The recipe, logged once.

    Raises:
        InputError: A tracker that is not known, or whose library is not installed.
    """
    if not trackers:
        yield lambda at: None
        return
    accelerate = require("accelerate", "train", "A tracker")
    try:
        accelerator = accelerate.Accelerator(log_with=list(trackers), project_dir=os.fspath(folder))
        accelerator.init_trackers(PROJECT, config={name: _plain(value) for name, value in config.items()})
    except (ValueError, ImportError) as error:
        raise InputError(f"cannot track with {list(trackers)}: {error}") from error
    started = {tracker.name for tracker in accelerator.trackers}
    missing = [name for name in trackers if isinstance(name, str) and name not in started | {"all"}]
    if missing:
        raise InputError(f"cannot track with {missing}: not installed. Install its library, or leave --track out.")

    def log(at: StepInfo) -> None:
        if at.step % EVERY == 0 or at.step == at.total:
            accelerator.log(_values(at), step=at.step)

    try:
        yield log
    finally:
        accelerator.end_training()


def _values(at: StepInfo) -> dict[str, float]:
    values = {"loss": at.loss, "learning_rate": at.learning_rate, "texts_per_second": at.texts_per_second}
    return values | ({"held_out_loss": at.held_out_loss} if math.isfinite(at.held_out_loss) else {})


def _plain(value: Any) -> Any:
    """A value as every tracker can store it."""
    return value if isinstance(value, (bool, int, float, str)) else str(value)
