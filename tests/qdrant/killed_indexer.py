"""Indexes into a collection and says after each batch what is acknowledged; run by test_kill.py, which kills it."""

from __future__ import annotations

import sys
from typing import Any

from leaf_embed.qdrant import CollectionSpec, Document, LeafCollection

SPEC = CollectionSpec(mrl=(16,), index_from_kb=10)
DOCS = [Document(f"d{i}", f"topic{i % 20} word{i}", payload={"n": i}) for i in range(600)]
BATCH = 20


def home_of(backend: str, directory: str) -> dict[str, Any]:
    if backend == "edge":
        return {"path": directory}
    from qdrant_client import QdrantClient

    return {"client": QdrantClient(path=directory)}


def main(backend: str, directory: str) -> None:
    from tests.qdrant.conftest import WordEncoder

    leaf = WordEncoder()
    for word in (f"word{i}" for i in range(600)):
        leaf.vector(word)  # so that the kill falls into writing rather than into the encoder of the test
    with LeafCollection.open("docs", leaf, **home_of(backend, directory)) as docs:
        print("ready", flush=True)
        docs.index(DOCS, batch_size=BATCH, progress=lambda _stage, done, *_: print(done, flush=True))
        print("end", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
