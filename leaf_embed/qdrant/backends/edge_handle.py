"""One handle per shard in a process, shared by all that opened it: the engine opens a directory only once."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias
from weakref import WeakValueDictionary

from leaf_embed.errors import CollectionError
from leaf_embed.qdrant.backends.edge_lock import lock_shard
from leaf_embed.qdrant.backends.edge_requests import engine

__all__ = ["EdgeHandle"]

_OPEN: WeakValueDictionary[tuple[int, int, int], EdgeHandle] = WeakValueDictionary()
Key: TypeAlias = "tuple[int, int, int] | None"
_REGISTRY = threading.RLock()  # a forgotten user may be collected, and leave, while another one enters


class EdgeHandle:
    """An open shard with its lock; closed when the last of its users leaves.

    Attributes:
        directory: The shard's files.
        shard: The engine's own object, replaced when the shard is opened again.
        lock: Held by the thread that uses the shard.
        writing: Held by the thread that changes the shard, and taken before ``lock``.
    """

    def __init__(self, directory: Path, guard: Any = None) -> None:
        """Opens a shard, whose lock is ``guard`` if it is held already."""
        self.directory = directory
        self._guard = guard or lock_shard(directory)
        try:
            self.shard: Any = engine().EdgeShard.load(str(directory))
        except BaseException:
            self._guard.release()
            raise
        self.lock = threading.RLock()
        self.writing = threading.RLock()
        self._users = 0
        self._key: Key = None

    @classmethod
    def of(cls, directory: Path) -> EdgeHandle:
        """Returns the handle of a directory, opened by the first who asks; call :meth:`release` once for each call.

        A child process that was forked asks for a handle of its own, and so does a directory that took the place of
        another one of its name.

        Raises:
            CollectionError: Another process has it open.
        """
        with _REGISTRY:
            key = _key(directory)
            handle = None if key is None else _OPEN.get(key)
            if handle is not None and handle._users:
                handle._users += 1
                return handle
            guard = lock_shard(directory)
            if _key(directory) != key:  # a migration elsewhere has moved it, and its lock, meanwhile
                guard.release()
                return cls.of(directory)
            handle = cls(directory, guard)
            handle._users = 1
            handle._known_by(key)
            return handle

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Counts as a user for the length of a block."""
        with _REGISTRY:
            if not self._users:
                raise CollectionError(f"the collection in {self.directory} is closed")
            self._users += 1
        try:
            yield
        finally:
            self.release()

    @contextmanager
    def closed(self) -> Iterator[None]:
        """Closes the shard for the length of a block and opens it again, where it is then; hold ``lock``."""
        self.shard.close()
        try:
            yield
        finally:
            self.shard = engine().EdgeShard.load(str(self.directory))

    def take_place_of(self, copy: EdgeHandle, directory: Path) -> None:
        """Takes over the lock of a closed copy, which is this shard now, in another directory."""
        with _REGISTRY:
            self._guard.release()
            self.directory, self._guard = directory, copy._guard
            self._known_by(_key(directory))

    def release(self) -> None:
        """Closes the shard if nobody else uses it."""
        with _REGISTRY:
            self._users -= 1
            if not self._users:
                self.shut()

    def shut(self) -> None:
        """Closes the shard and releases its lock."""
        try:
            with self.lock:
                self.shard.close()
        finally:
            self._guard.release()

    def _known_by(self, key: Key) -> None:
        if self._key is not None:
            _OPEN.pop(self._key, None)
        self._key = key
        if key is not None:
            _OPEN[key] = self


def _key(directory: Path) -> Key:
    if not directory.is_dir():
        return None
    there = directory.stat()
    return os.getpid(), there.st_dev, there.st_ino
