"""Output of the commands: consoles, progress bars, and parsing of whole numbers in options."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from leaf_embed.errors import InputError

__all__ = [
    "errors",
    "kilobytes",
    "many_integers",
    "integers",
    "output",
    "progress_bar",
    "quiet_transformers",
]

output = Console(soft_wrap=True)
errors = Console(stderr=True)

SECONDS_PER_LINE = 30.0  # of a log file


class ProgressBar:
    """A :data:`leaf_embed.progress.Progress` that draws one bar per stage."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, stage: str, done: int, total: int | None = None, note: str = "") -> None:
        if stage not in self._tasks:
            self._tasks[stage] = self._progress.add_task(stage, note="", total=total)
        self._progress.update(self._tasks[stage], completed=done, total=total, note=note)


class ProgressLines:
    """The same for a log file: one line per stage every half a minute, and when it is done."""

    def __init__(self) -> None:
        self._began: dict[str, float] = {}
        self._shown: dict[str, float] = {}

    def __call__(self, stage: str, done: int, total: int | None = None, note: str = "") -> None:
        now = time.monotonic()
        began = self._began.setdefault(stage, now)
        finished = total is not None and done >= total
        if finished or now - self._shown.setdefault(stage, now) >= SECONDS_PER_LINE:
            self._shown[stage] = now
            of = "" if total is None else f"/{total:,}"
            errors.print(f"{stage:>10} {done:,}{of} {now - began:.0f} s  {note}".rstrip(), highlight=False)


@contextmanager
def progress_bar() -> Iterator[ProgressBar | ProgressLines]:
    """Progress on standard error: bars in a terminal, lines in a log file."""
    if not errors.is_terminal:
        yield ProgressLines()
        return
    columns = (
        TextColumn("{task.description:>10}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=errors) as progress:
        yield ProgressBar(progress)


def quiet_transformers() -> None:
    """Keeps transformers' bars and advice off the terminal."""
    from leaf_embed._extras import require

    require("sentence_transformers", "train", "This command")
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
    from transformers.utils import logging

    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]


def integers(text: str | None, option: str) -> tuple[int, ...] | None:
    """Returns ``"0,2,5"`` as a tuple of whole numbers.

    Raises:
        InputError: Something else.
    """
    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise InputError(f"{option} takes whole numbers with commas between them, as in 0,2,5; got {text!r}") from error


def many_integers(texts: list[str] | None, option: str) -> tuple[int, ...]:
    """Returns ``["128,64", "32"]`` as a tuple of whole numbers, ``()`` for nothing."""
    return tuple(number for text in texts or [] for number in integers(text, option) or ())


def kilobytes(path: Path) -> int:
    """Returns the size of a file or of a directory's files, in kilobytes of 1,000 bytes."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files) // 1000
