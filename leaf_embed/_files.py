"""Writing files and directories atomically, under a temporary name, then renamed; and what keeps them from it."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from leaf_embed.errors import LeafEmbedError, StorageError

__all__ = [
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

NO_ROOM = {getattr(errno, name) for name in ("ENOSPC", "EDQUOT", "EFBIG", "EROFS", "EIO") if hasattr(errno, name)}
NUMBERED = re.compile(r"(?:os error|errno) (\d+)", re.IGNORECASE)  # as Rust and Arrow write it
BLOCK = 4096  # bytes that a writable place must have room for
CUT_SHORT = re.compile(r"\d+ requested and \d+ written|PytorchStreamWriter failed writing|unexpected pos \d+")


def _reason(error: BaseException | None, place: str | os.PathLike[str]) -> str | None:
    """Returns why the disk refused something, if an error or what caused it says so; ``None`` for any other error.

    safetensors, tokenizers and torch have exceptions of their own, which hold the reason in their text alone.

    Args:
        error: Whatever was raised.
        place: A directory, outside which a file that is refused for another reason than a lack of room was only read.
    """
    while error is not None:
        named = NUMBERED.search(str(error))
        number = error.errno if isinstance(error, OSError) and error.errno else int(named[1]) if named else None
        here = isinstance(error, OSError) and number != errno.ENOENT and str(place) in str(error)
        if number is not None and (here or number in NO_ROOM):
            return os.strerror(number)
        if CUT_SHORT.search(str(error)):
            return "it could not be written to its end; the disk may be full"
        error = error.__cause__ or error.__context__
    return None


@contextmanager
def writing(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turns the failures to write a file or directory, of whichever library, into one of our errors.

    Raises:
        StorageError: The disk is full, or the place cannot be written to.
    """
    try:
        yield
    except LeafEmbedError:
        raise
    except Exception as error:  # each library has its own
        reason = _reason(error, Path(path).parent)
        if reason is None:
            raise
        raise _refused(path, reason) from error


def _refused(path: str | os.PathLike[str], reason: str) -> StorageError:
    advice = "Make room there, or name another, writable place; then run the same again"
    return StorageError(f"cannot write {path}: {reason}. {advice}")


def make_directory(path: str | os.PathLike[str]) -> Path:
    """Makes a directory and those above it, if they are not there.

    Raises:
        StorageError: It cannot be made.
    """
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        found = isinstance(error, FileExistsError | NotADirectoryError)
        raise _refused(path, "it is not in a directory, but below a file" if found else str(error.strerror)) from error
    return folder


@contextmanager
def replacing_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yields a temporary name beside ``path``, which is renamed into place if the block succeeds.

    Raises:
        StorageError: The disk refused it; what was at ``path`` is there still.
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
    """Refuses a file or directory that could not be written later, before the work whose result it will hold.

    Raises:
        StorageError: Its directory cannot be made or written to, or it is there and is no file.
    """
    target = Path(path)
    if target.is_dir():
        raise StorageError(f"cannot write {target}: it is a directory; expected the name of a file")
    make_directory(target.parent)
    with writing(target), tempfile.TemporaryFile(dir=target.parent) as stream:
        stream.write(b"\0" * BLOCK)
        stream.flush()


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
        StorageError: The disk refused it; what was at ``path`` is there still.
    """
    target = Path(path)
    make_directory(target.parent)
    with writing(target):
        temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent))
        temporary.chmod(0o755)
    with writing(target), _taking_its_place(temporary, target):
        yield temporary


@contextmanager
def _taking_its_place(temporary: Path, target: Path) -> Iterator[None]:
    """Renames a directory to ``target`` if the block succeeds, and deletes it otherwise."""
    old = temporary.with_suffix(".old")
    try:
        yield
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


def read_json(path: str | os.PathLike[str]) -> Any:
    """Returns the value of a JSON file, in UTF-8.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is no UTF-8, no JSON, or nested more deeply than Python can follow.
    """
    return parse_json(Path(path).read_text(encoding="utf-8"))


def parse_json(text: str | bytes) -> Any:
    """Returns the value of a JSON text.

    Raises:
        ValueError: It is no JSON, or nested more deeply than Python can follow.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
