"""Writing files and directories atomically: under a temporary name, then renamed."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from leaf_embed.errors import InputError

__all__ = [
    "check_writable",
    "parse_json",
    "read_json",
    "replacing_directory",
    "replacing_file",
    "write_json",
    "write_text",
]


@contextmanager
def replacing_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yields a temporary name beside ``path``, which is renamed into place if the block succeeds."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        with temporary.open("rb+") as stream:
            os.fsync(stream.fileno())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def check_writable(path: str | os.PathLike[str]) -> None:
    """Refuses a file that could not be written later, before the work whose result it will hold.

    Raises:
        InputError: Its directory cannot be made or written to, or the path is a directory.
    """
    target = Path(path)
    try:
        if target.is_dir():
            raise IsADirectoryError("it is a directory")
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=target.parent):
            pass
    except OSError as error:
        raise InputError(f"cannot write {target} ({error}); expected the name of a file in a writable place") from error


def parse_json(text: str | bytes) -> Any:
    """Returns the value of a JSON text.

    Raises:
        ValueError: It is no JSON, or nested more deeply than Python can follow.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def read_json(path: str | os.PathLike[str]) -> Any:
    """Returns the value of a JSON file, in UTF-8.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is no UTF-8, no JSON, or nested more deeply than Python can follow.
    """
    return parse_json(Path(path).read_text(encoding="utf-8"))


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Writes a text as UTF-8, atomically."""
    with replacing_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="replace")  # half an emoji, which JSON may hold


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Writes ``value`` as indented JSON, atomically."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    if not _is_utf8(text):  # half an emoji, which JSON can hold as an escape
        text = json.dumps(value, indent=2)
    with replacing_file(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


@contextmanager
def replacing_directory(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yields an empty directory beside ``path``, which takes the place of ``path`` if the block succeeds.

    An existing directory at ``path`` stays until the new one is complete.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent))
    temporary.chmod(0o755)
    old = temporary.with_suffix(".old")
    try:
        yield temporary
        if target.exists():
            target.rename(old)
        try:
            temporary.rename(target)
        except OSError:
            if old.exists():
                old.rename(target)
            raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
