"""Writing files and directories atomically: under a temporary name, then renamed."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from leaf_embed.errors import InputError, LeafEmbedError, StorageError

__all__ = [
    "check_new_directory",
    "check_writable",
    "make_directory",
    "parse_json",
    "read_json",
    "replacing_directory",
    "replacing_file",
    "write_json",
    "write_text",
    "writing",
]

ERRNO = re.compile(r"\(os error (\d+)\)")  # safetensors writes in Rust and raises an error of its own
TORCH = ("PytorchStreamWriter", "inline_container", "iostream error")  # torch.save raises RuntimeError


@contextmanager
def writing(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turns what a full disk or a read-only directory makes libraries raise into an error that names the path.

    Raises:
        StorageError: The block failed to write.
    """
    try:
        yield
    except LeafEmbedError:
        raise
    except Exception as error:
        reason = _reason(error)
        if reason is None:
            raise
        raise StorageError(
            f"cannot write {os.fspath(path)} ({reason}); make room, or choose a place that can be written to, and run "
            "the same again: what was written before is whole"
        ) from error


def _reason(error: Exception) -> str | None:
    """Returns why nothing could be written; ``None`` if the error is another one."""
    if isinstance(error, FileNotFoundError):
        return None  # something that was to be read
    if isinstance(error, OSError):
        return error.strerror or str(error)
    if code := ERRNO.search(str(error)):
        return os.strerror(int(code[1]))
    return "no room left, or the file may not be so large" if any(mark in str(error) for mark in TORCH) else None


def make_directory(path: str | os.PathLike[str]) -> Path:
    """Makes a directory, if it is not there, and those above it.

    Raises:
        StorageError: It cannot be made.
    """
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise StorageError(
            f"cannot make the directory {folder}: {error.filename or folder} or what lies above it is a file"
        ) from error
    except OSError as error:
        raise StorageError(f"cannot make the directory {folder} ({error.strerror}); choose another place") from error
    return folder


def check_new_directory(path: str | os.PathLike[str]) -> None:
    """Refuses a directory that could not be made later, before the work whose result it will hold.

    Raises:
        StorageError: Its parent cannot be made or written to.
    """
    target = Path(path)
    make_directory(target.parent)
    try:
        Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent)).rmdir()
    except OSError as error:
        raise StorageError(f"cannot write into {target.parent} ({error.strerror}); choose another place") from error


@contextmanager
def replacing_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yields a temporary name beside ``path``, which is renamed into place if the block succeeds.

    Raises:
        StorageError: It cannot be written; what was there stays.
    """
    target = Path(path)
    make_directory(target.parent)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        with writing(target):
            yield temporary
            with temporary.open("rb+") as stream:
                os.fsync(stream.fileno())
            temporary.replace(target)
    finally:
        with suppress(OSError):
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

    Raises:
        StorageError: It cannot be written; what was there stays.
    """
    target = Path(path)
    check_new_directory(target)
    temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent))
    temporary.chmod(0o755)
    old = temporary.with_suffix(".old")
    try:
        with writing(target):
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
