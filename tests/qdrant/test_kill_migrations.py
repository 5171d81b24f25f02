"""SIGKILL at aimed and random moments of every migration: the collection opens, whole, as before or as after."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from leaf_embed.errors import CollectionNotFoundError
from leaf_embed.qdrant import CollectionSpec, Document, LeafCollection, list_collections, read_metadata
from tests.qdrant.killed_migrator import CHANGES, DOCS, SPEC, local

ROOT = Path(__file__).parents[2]
QUERIES = ["topic3 question", "topic7 word7", "topic11"]
AFTER: dict[str, CollectionSpec] = {
    "add": CollectionSpec(mrl=(16, 32), index_from_kb=10),
    "quantize": CollectionSpec(mrl=(16,), index_from_kb=10, quantization="turbo4"),
}


class Killer:
    """A process that migrates in forks of itself; see killed_migrator.py."""

    def __init__(self) -> None:
        pipe = subprocess.PIPE
        command = [sys.executable, "-m", "tests.qdrant.killed_migrator"]
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=ROOT)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"

    def __call__(
        self, directory: Path, change: str, *, event: int | None = None, after: float | None = None
    ) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        job = {"directory": str(directory), "change": change, "event": event, "after": after}
        print(json.dumps(job), file=self.process.stdin, flush=True)
        done: dict[str, Any] = json.loads(self.process.stdout.readline())
        assert not done["failed"]
        return done


@pytest.fixture(scope="module")
def killer() -> Iterator[Killer]:
    one = Killer()
    yield one
    one.process.communicate()


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A collection as it is before a migration: one segment that is optimized, and one that is not."""
    from tests.qdrant.conftest import WordEncoder

    path = tmp_path_factory.mktemp("template")
    with LeafCollection.create("docs", WordEncoder(), spec=SPEC, path=path) as docs:
        docs.index(DOCS[:200])
        docs.index(DOCS[200:], optimize="later")
    return path


def stage(template: Path, directory: Path, change: str, leaf: Any) -> None:
    if change in ("add_locally", "alias"):
        with_client(directory, leaf)
    else:
        subprocess.run(["cp", "-r", "--sparse=always", str(template), str(directory)], check=True)


def with_client(directory: Path, leaf: Any) -> None:
    client = local(str(directory))
    LeafCollection.create("docs", leaf, spec=SPEC, client=client).index(DOCS[:40])
    client.close()


def answers(docs: LeafCollection, mrl: int) -> list[list[str | int]]:
    return [[hit.id for hit in docs.search(query, limit=5, mrl=mrl, candidates=200)] for query in QUERIES]


def check_documents(docs: LeafCollection, leaf: Any, expected: list[Document]) -> None:
    stored = {d.id: d for d in docs.iter_documents(with_vectors=True)}
    assert docs.count() == len(stored)
    assert {key: (d.text, d.payload) for key, d in stored.items()} == {d.id: (d.text, d.payload) for d in expected}
    matrix = leaf.encode_document([d.text for d in expected])
    np.testing.assert_allclose(np.stack([stored[d.id].vector for d in expected]), matrix, atol=1e-6)
    for dim in docs.spec.mrl:
        for query, found in zip(QUERIES, answers(docs, dim), strict=True):
            scores = matrix @ leaf.encode_query(query)
            assert found == [expected[i].id for i in np.argsort(-scores, kind="stable")[:5]]


def check_migrated(directory: Path, change: str, leaf: Any) -> str:
    """Open what a kill left, repeat the migration and compare; whether it was as before or as after."""
    after = AFTER[change]
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # metadata and engine agree
        docs = LeafCollection.open("docs", leaf, path=directory)
    with docs:
        state = "after" if docs.spec == after else "before"
        assert docs.spec in (SPEC, after)
        check_documents(docs, leaf, DOCS)
        if state == "before":
            CHANGES[change](str(directory), leaf)  # shares the open shard
    with LeafCollection.open("docs", leaf, path=directory) as docs:
        assert docs.spec == after
        docs.index([Document("new", "topic3 new")])
        check_documents(docs, leaf, [*DOCS, Document("new", "topic3 new")])
    assert sorted(path.name for path in (directory / "docs").iterdir()) == ["leaf-collection.json", "shard"]
    return state


def check_copied(directory: Path, leaf: Any) -> str:
    there = "copy" in list_collections(path=directory)
    if there:
        with LeafCollection.open("copy", leaf, path=directory) as new:
            state = "after" if new.count() == len(DOCS) else "during"
    CHANGES["copy"](str(directory), leaf)
    for name in ("docs", "copy"):
        with LeafCollection.open(name, leaf, path=directory) as docs:
            check_documents(docs, leaf, DOCS)
    return state if there else "before"


def check_local(directory: Path, change: str, leaf: Any) -> str:
    client = local(str(directory))
    try:
        docs = LeafCollection.open("docs", leaf, client=client)
        check_documents(docs, leaf, DOCS[:40])
        if change == "add_locally":
            state = "after" if docs.spec.mrl == (16, 32) else "before"
            docs.add_mrl(32)
            check_documents(docs, leaf, DOCS[:40])
            return state
        try:
            assert read_metadata("now", client=client).name == "docs"
        except CollectionNotFoundError:
            return "before"
        return "after"
    finally:
        client.close()


def kill_once(killer: Killer, template: Path, directory: Path, change: str, leaf: Any, **moment: Any) -> str:
    stage(template, directory, change, leaf)
    killed = killer(directory, change, **moment)["killed"]
    if change in AFTER:
        state = check_migrated(directory, change, leaf)
    elif change == "copy":
        state = check_copied(directory, leaf)
    else:
        state = check_local(directory, change, leaf)
    shutil.rmtree(directory)
    assert killed or state == "after"
    return f"killed, {state}" if killed else "ended"


def measure(killer: Killer, template: Path, directory: Path, change: str, leaf: Any) -> tuple[int, float]:
    """The file operations of a migration that nobody kills, and its seconds."""
    stage(template, directory, change, leaf)
    began = time.monotonic()
    done = killer(directory, change)
    return done["events"], time.monotonic() - began


def test_a_killed_migration_is_as_before_or_as_after(killer: Killer, template: Path, leaf: Any, tmp_path: Path) -> None:
    dice, states = random.Random(3), Counter[str]()
    events, seconds = measure(killer, template, tmp_path / "whole", "add", leaf)
    moments: list[dict[str, Any]] = [{"event": n} for n in range(events - 11, events, 2)]  # the renames, what follows
    moments += [{"event": dice.randrange(1, events - 11)}, {"after": dice.random() * seconds}]
    for number, moment in enumerate(moments):
        states[kill_once(killer, template, tmp_path / str(number), "add", leaf, **moment)] += 1
    assert {"killed, before", "killed, after"} <= set(states)


@pytest.mark.chaos
@pytest.mark.parametrize("change", sorted(CHANGES))
def test_migrations_are_killed_two_hundred_times(
    change: str, killer: Killer, template: Path, leaf: Any, tmp_path: Path
) -> None:
    dice, states = random.Random(change), Counter[str]()
    events, seconds = measure(killer, template, tmp_path / "whole", change, leaf)
    kills = 240 if change in AFTER else 40
    aimed = [*range(1, events + 1)][-20:] + [dice.randint(1, events) for _ in range(kills // 2 - min(20, events))]
    moments: list[dict[str, Any]] = [{"event": event} for event in aimed]
    moments += [{"after": dice.random() * (seconds if n % 2 else min(seconds, 0.5))} for n in range(kills // 2)]
    for number, moment in enumerate(moments):
        states[kill_once(killer, template, tmp_path / str(number), change, leaf, **moment)] += 1
    print(f"\n{change}: {events} file operations, {seconds:.2f} s; {dict(states)}")
    assert sum(states[key] for key in states if key.startswith("killed")) >= kills * 3 // 4
