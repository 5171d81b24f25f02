"""One handle per shard in a process, shared by all that opened it: the engine opens a directory only once."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from leaf_embed.qdrant.backends.edge_lock import lock_shard
from leaf_embed.qdrant.backends.edge_requests import engine

__all__ = ["EdgeHandle"]

_OPEN: WeakValueDictionary[tuple[int, int, int], EdgeHandle] = WeakValueDictionary()
_REGISTRY = threading.RLock()  # a forgotten user may be collected, and leave, while another one enters


class EdgeHandle:
    """An open shard with its lock; closed when the last of its users leaves.

    Attributes:
        shard: The engine's own object, replaced when the shard is opened again with another configuration.
        lock: Held by the thread that uses the shard.
    """

    def __init__(self, directory: Path) -> None:
        self._guard = lock_shard(directory)
        try:
            self.shard: Any = engine().EdgeShard.load(str(directory))
        except BaseException:
            self._guard.release()
            raise
        self.lock = threading.RLock()
        self._users = 0

    @classmethod
    def of(cls, directory: Path) -> EdgeHandle:
        """Returns the handle of a directory, opened by the first who asks; call :meth:`release` once for each call.

        A child process that was forked asks for a handle of its own, and so does a directory that took the place of
        another one of its name.

        Raises:
            CollectionError: Another process has it open.
        """
        with _REGISTRY:
            there = directory.stat() if directory.is_dir() else None
            key = None if there is None else (os.getpid(), there.st_dev, there.st_ino)
            handle = None if key is None else _OPEN.get(key)
            if handle is not None and handle._users:
                handle._users += 1
                return handle
            handle = cls(directory)
            handle._users = 1
            if key is not None:
                _OPEN[key] = handle
            return handle

    def release(self) -> None:
        """Closes the shard if nobody else uses it."""
        with _REGISTRY:
            self._users -= 1
            if self._users:
                return
            try:
                with self.lock:
                    self.shard.close()
            finally:
                self._guard.release()
