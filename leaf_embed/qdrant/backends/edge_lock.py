"""The lock on a shard of the embedded engine, taken before the engine is called.

The engine refuses a second open too, but only after it has deleted a file that the first one needs to write.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from leaf_embed._extras import require
from leaf_embed.errors import CollectionError
from leaf_embed.qdrant.backends.base import mapped_errors

__all__ = ["HOLDER", "LENT", "LOCK", "in_use", "lent_lock", "lock_shard"]

LOCK = ".leaf-embed.lock"
HOLDER = ".leaf-embed.holder"  # not in the lock: older filelocks empty it when refused, Windows lets no one read it
LENT = ".leaf-embed.lent"  # locked while a child process has the shard, which may outlive the process that lent it
UNKNOWN = "another process or earlier in this one"


def lock_shard(shard: Path) -> Any:
    """Returns the lock on a shard's directory; ``release()`` it when the shard is closed.

    The operating system releases it with its process, however that ends. A directory that cannot be written to, or is
    not there, is left to the engine, which can neither open nor damage it: the lock is then not taken.

    Raises:
        CollectionError: The shard is open already, or cannot be locked.
        MissingExtraError: The extra ``qdrant`` is not installed.
    """
    filelock = require("filelock", "qdrant", "A collection in a directory")
    # one thread may close what another one opened
    lock = filelock.FileLock(shard / LOCK, timeout=0, thread_local=False)
    if os.access(shard, os.W_OK):
        with mapped_errors(f"locking {shard}"):
            try:
                lock.acquire()
            except filelock.Timeout as error:
                raise in_use(shard, _holder(shard)) from error
            if _is_lent(shard):
                lock.release()
                raise in_use(shard, f"a child process that optimizes it for {_holder(shard)}")
        with suppress(OSError):  # without it, the error names no process
            (shard / HOLDER).write_text(_this_process(), encoding="utf-8")
    return lock


@contextmanager
def lent_lock(shard: Path) -> Iterator[tuple[int, ...]]:
    """Yields the file descriptors with which a child process holds a second lock on a shard, until it ends itself.

    There are none on Windows, where a lock cannot be inherited.
    """
    if sys.platform == "win32":
        yield ()
        return
    import fcntl

    file = os.open(shard / LENT, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield (file,)
    finally:
        os.close(file)


def _is_lent(shard: Path) -> bool:
    if sys.platform == "win32" or not (shard / LENT).is_file():
        return False
    try:
        with lent_lock(shard):
            return False
    except BlockingIOError:
        return True


def in_use(shard: Path, holder: str = UNKNOWN) -> CollectionError:
    """The error that says what has a shard open, and what to do."""
    return CollectionError(
        f"the collection in {shard} is open already, in {holder}. Close it there: the embedded engine lets "
        "one process use a collection at a time. For several, use a Qdrant server."
    )


def _holder(shard: Path) -> str:
    try:
        holder = (shard / HOLDER).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return UNKNOWN
    return f"this {holder}" if holder == _this_process() else holder


def _this_process() -> str:
    return f"process {os.getpid()} on {platform.node() or 'this machine'}"
