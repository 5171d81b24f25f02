"""Migrations in processes that kill themselves or are killed; run by test_kill_migrations.py.

Everything is imported once, and each migration runs in a fork, which costs milliseconds. Lines of JSON come in and go
out: ``{"directory", "change", "event", "after"}`` to ``{"killed", "events"}``.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

from leaf_embed.qdrant import CollectionSpec, Document, LeafCollection, open_or_create, switch_alias
from tests.qdrant.conftest import WordEncoder

SPEC = CollectionSpec(mrl=(16,), index_from_kb=10)
DOCS = [Document(f"d{i}", f"topic{i % 12} word{i}", payload={"n": i}) for i in range(240)]
EVENTS = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.listdir", "os.chmod", "os.utime")


def local(directory: str) -> Any:
    from qdrant_client import QdrantClient

    return QdrantClient(path=directory)


def add(directory: str, leaf: Any) -> None:
    with LeafCollection.open("docs", leaf, path=directory) as docs:
        docs.add_mrl(32, page_size=40)


def quantize(directory: str, leaf: Any) -> None:
    with LeafCollection.open("docs", leaf, path=directory) as docs:
        docs.change_quantization("turbo4")


def copy(directory: str, leaf: Any) -> None:
    with (
        LeafCollection.open("docs", leaf, path=directory) as old,
        open_or_create("copy", leaf, path=directory, spec=CollectionSpec(mrl=(32,), index_from_kb=10)) as new,
    ):
        new.index_vectors(old.iter_documents(with_vectors=True, page_size=40), batch_size=40)


def add_locally(directory: str, leaf: Any) -> None:
    with contextlib.closing(local(directory)) as client:
        LeafCollection.open("docs", leaf, client=client).add_mrl(32, page_size=40)


def alias(directory: str, leaf: Any) -> None:
    with contextlib.closing(local(directory)) as client:
        switch_alias("now", "docs", client=client)


CHANGES: dict[str, Callable[[str, Any], None]] = {f.__name__: f for f in (add, quantize, copy, add_locally, alias)}


def child(job: dict[str, Any], leaf: Any, begun: int, counted: int) -> None:
    """Migrate, and die before the file operation ``event`` in the directory."""
    seen = 0

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal seen
        if event in EVENTS and any(isinstance(a, str | os.PathLike) and job["directory"] in str(a) for a in arguments):
            seen += 1
            if seen == job["event"]:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    os.write(begun, b".")
    CHANGES[job["change"]](job["directory"], leaf)
    os.write(counted, str(seen).encode())
    os._exit(0)


def main() -> None:
    leaf = WordEncoder()
    leaf.encode_document([document.text for document in DOCS])
    print("ready", flush=True)
    for line in sys.stdin:
        job = json.loads(line)
        (wait, begun), (count, counted) = os.pipe(), os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                child(job, leaf, begun, counted)
            finally:
                os._exit(1)
        os.read(wait, 1)
        if job["after"] is not None:
            time.sleep(job["after"])
            os.kill(pid, signal.SIGKILL)
        status = os.waitpid(pid, 0)[1]
        os.close(counted)
        events = int(os.read(count, 20) or 0)
        for end in (wait, begun, count):
            os.close(end)
        killed = os.WIFSIGNALED(status)
        print(json.dumps({"killed": killed, "events": events, "failed": not killed and status != 0}), flush=True)


if __name__ == "__main__":
    main()
