"""The one shape of progress callbacks, from the teacher's pass to the indexing of documents."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

__all__ = ["Progress", "no_progress"]

Progress: TypeAlias = Callable[[str, int, "int | None", str], object]
"""``progress(stage, done, total, note)``: the name of the stage, items done, items in all (``None`` if unknown), and a
note such as ``"120 embedded"``."""


def no_progress(stage: str, done: int, total: int | None, note: str) -> None:
    """A progress callback that does nothing."""
