"""Migrations of a shard: on a copy, which takes the shard's place by a rename when it is complete.

    docs/
    ├── leaf-collection.json
    ├── .shard.new/     the copy; complete once it holds .leaf-embed.migrated, the metadata that belongs to it
    ├── .shard.old/     the former shard, for a moment
    └── shard/

A process that is killed leaves one of these states behind, and :func:`settle` ends it: an incomplete copy is removed, a
complete one takes its place, and the metadata follows the shard.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from leaf_embed._files import write_json
from leaf_embed.errors import CollectionError
from leaf_embed.qdrant.backends.base import mapped_errors
from leaf_embed.qdrant.backends.edge_handle import EdgeHandle
from leaf_embed.qdrant.backends.edge_lock import HOLDER, LENT, LOCK, lock_shard

__all__ = ["CONFIG", "SHARD", "SIDE_CAR", "migrated_copy", "settle"]

SIDE_CAR = "leaf-collection.json"
SHARD = "shard"
CONFIG = "edge_config.json"
NEW, OLD = ".shard.new", ".shard.old"
MARKER = ".leaf-embed.migrated"
BLOCK = 1 << 16


@contextmanager
def migrated_copy(handle: EdgeHandle, home: Path, metadata: dict[str, Any]) -> Iterator[EdgeHandle]:
    """Yields a handle on a copy of a shard, which becomes the shard if the block succeeds.

    Searches go on in the shard meanwhile; writes wait until the end.

    Args:
        handle: The shard.
        home: The collection's directory.
        metadata: The collection's metadata after the migration, as JSON.
    """
    action = f"migrating {home.name!r}"
    with handle.kept(), handle.writing:
        try:
            with mapped_errors(action):
                copy = _copied(handle, home / NEW)
            try:
                yield copy
            except BaseException:
                copy.shut()
                raise
            with mapped_errors(action):
                _replace(handle, copy, home, metadata)
        finally:
            shutil.rmtree(home / NEW, ignore_errors=True)
            shutil.rmtree(home / OLD, ignore_errors=True)


def settle(home: Path, shard: Path) -> None:
    """Finishes or undoes what a killed migration of a collection left behind; nothing if it goes on somewhere.

    Args:
        home: The collection's directory.
        shard: Its shard; it need not exist.

    Raises:
        CollectionError: A migration that goes on elsewhere is at its last step, or the files cannot be moved.
    """
    new, old = home / NEW, home / OLD
    if not (new.exists() or old.exists() or (home / SHARD / MARKER).exists()) or not os.access(home, os.W_OK):
        return
    left = new if (new / MARKER).is_file() else old
    effective = shard if (shard / CONFIG).is_file() else left
    try:
        guard = lock_shard(effective)
    except CollectionError:
        if effective == shard:
            return
        raise
    try:
        if not effective.is_dir():  # somebody else has settled it meanwhile
            return
        if effective != shard:
            with mapped_errors(f"finishing the migration of {home}"):
                effective.rename(home / SHARD)
        _follow(home)
        for unwritten in home.glob(f".{SIDE_CAR}.*.tmp"):
            unwritten.unlink(missing_ok=True)
        shutil.rmtree(new, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        guard.release()


def _copied(handle: EdgeHandle, new: Path) -> EdgeHandle:
    """Copies a shard, closed for as long as that takes, and opens the copy."""
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    guard = lock_shard(new)
    try:
        with handle.lock, handle.closed():
            _copy(handle.directory, new)
    except BaseException:
        guard.release()
        raise
    return EdgeHandle(new, guard)


def _replace(handle: EdgeHandle, copy: EdgeHandle, home: Path, metadata: dict[str, Any]) -> None:
    """Puts a finished copy in the shard's place; one laid out by others stays beside it."""
    new, old, shard = home / NEW, home / OLD, home / SHARD
    try:
        copy.shard.flush()
        copy.shard.close()
        write_json(new / MARKER, metadata)
        with handle.lock, handle.closed():
            if shard.exists():
                shutil.rmtree(old, ignore_errors=True)
                shard.rename(old)
            try:
                new.rename(shard)
            except OSError:
                if old.exists():
                    old.rename(shard)
                raise
            handle.take_place_of(copy, shard)
    except BaseException:
        copy.shut()
        raise
    _follow(home)


def _follow(home: Path) -> None:
    """Writes the metadata that came with a migrated shard."""
    marker = home / SHARD / MARKER
    if marker.is_file():
        with mapped_errors(f"describing {home.name!r}"):
            write_json(home / SIDE_CAR, json.loads(marker.read_text(encoding="utf-8")))
            marker.unlink()


def _copy(shard: Path, target: Path) -> None:
    """Copies the engine's files, which are mostly holes; a directory of collections may itself be the shard."""

    def ignored(directory: str, names: list[str]) -> list[str]:
        if Path(directory) != shard:
            return []
        return [n for n in names if n in (LOCK, HOLDER, LENT, SIDE_CAR, NEW, OLD) or _is_collection(shard / n)]

    shutil.copytree(shard, target, ignore=ignored, copy_function=_copy_file, dirs_exist_ok=True)


def _is_collection(path: Path) -> bool:
    return (path / SIDE_CAR).is_file() or (path / SHARD).is_dir()


def _copy_file(source: str, target: str) -> str:
    hole = bytes(BLOCK)
    with Path(source).open("rb") as read, Path(target).open("wb") as write:
        while block := read.read(BLOCK):
            if block == hole:
                write.seek(BLOCK, os.SEEK_CUR)
            else:
                write.write(block)
        write.truncate(read.tell())
    return target
