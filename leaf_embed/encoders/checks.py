"""Checks of values at the doors of encoders: a wrong one is named, with what was expected."""

from __future__ import annotations

import os
from typing import Any

from leaf_embed.errors import InputError

__all__ = ["check_callable", "check_kind", "check_path", "check_text", "check_whole", "is_one_of"]


LONGEST = 255  # bytes of a name, by the limit of common file systems


def check_whole(name: str, value: Any, *, optional: bool = False) -> None:
    """Refuses what is no whole number of 1 to 2³¹ - 1, and ``None`` unless it is ``optional``.

    Raises:
        InputError: The message names the value.
    """
    if optional and value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value < 1 << 31:
        raise InputError(f"{name} must be a whole number of at least 1; got {value!r:.80}")


def check_text(name: str, value: Any, *, optional: bool = False) -> None:
    """Refuses what is no ``str``, and ``None`` unless it is ``optional``.

    Raises:
        InputError: The message names the value.
    """
    if not (isinstance(value, str) or (optional and value is None)):
        raise InputError(f"{name} must be a text; got {type(value).__name__}")


def check_path(name: str, value: Any) -> None:
    """Refuses what is neither a ``str`` nor a path, and what no file system takes.

    Raises:
        InputError: The message names the value.
    """
    if not isinstance(value, str | os.PathLike):
        raise InputError(f"{name} must be a path or a hub id; got {type(value).__name__}")
    try:
        text = os.fsencode(value)
    except UnicodeEncodeError:  # half a surrogate pair
        text = b""
    if not text or b"\0" in text or max(map(len, text.split(os.fsencode(os.sep)))) > LONGEST:
        raise InputError(f"{name} is no path or hub id: {os.fspath(value)[:80]!r}")


def check_kind(name: str, value: Any, kind: type, *, optional: bool = False) -> None:
    """Refuses what is not of a kind, and ``None`` unless it is ``optional``.

    Raises:
        InputError: The message names the value.
    """
    if not (isinstance(value, kind) or (optional and value is None)):
        raise InputError(f"{name} must be of type {kind.__name__}; got {type(value).__name__}")


def check_callable(name: str, value: Any, *, optional: bool = False) -> None:
    """Refuses what cannot be called, and ``None`` unless it is ``optional``.

    Raises:
        InputError: The message names the value.
    """
    if not (callable(value) or (optional and value is None)):
        raise InputError(f"{name} must be a function; got {type(value).__name__}")


def is_one_of(value: Any, names: tuple[str, ...]) -> bool:
    """Returns whether a value is one of some names; anything may be asked about, arrays too."""
    return isinstance(value, str) and value in names
