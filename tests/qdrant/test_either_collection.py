"""One object for blocking and awaited calls, opened or made in one step."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from qdrant_client import AsyncQdrantClient, QdrantClient

from leaf_embed.errors import InputError, SpaceMismatchError
from leaf_embed.qdrant import (
    AsyncLeafCollection,
    CollectionSpec,
    Document,
    EitherCollection,
    LeafCollection,
    aopen_or_create,
    open_or_create,
)
from tests.qdrant.stub import Stub

SPEC = CollectionSpec(mrl=(16,))
DOCS = [Document("a", "topic1 word", payload={"n": 1}), Document("b", "topic2 word", payload={"n": 2})]


def test_made_then_opened(home: dict[str, Any], leaf: Any) -> None:
    with open_or_create("docs", leaf, spec=SPEC, **home) as made:
        made.index(DOCS)
    for spec in (None, SPEC):
        with open_or_create("docs", leaf, spec=spec, **home) as opened:
            assert (opened.count(), opened.spec) == (2, SPEC)
    with pytest.raises(InputError, match="it was asked for with"):
        open_or_create("docs", leaf, spec=CollectionSpec(mrl=(8,)), **home)
    with open_or_create("docs", leaf, **home) as opened:  # the refused one is closed
        assert opened.count() == 2


def test_awaited_calls_give_the_same_either_way(leaf: Any) -> None:
    async def main() -> None:
        blocking = LeafCollection.create("docs", leaf, client=QdrantClient(":memory:"), spec=SPEC)
        native = await aopen_or_create("docs", leaf, client=AsyncQdrantClient(":memory:"), spec=SPEC)
        answers = []
        for either in (EitherCollection(blocking), EitherCollection(async_collection=native)):
            await either.call("index", DOCS)
            hits = await either.call("search", "topic1", limit=1)
            answers.append((hits, await either.adocuments({"n": 2}), len(await either.adocuments())))
        assert answers[0] == answers[1]
        assert answers[0][0][0].id == "a"
        assert [d.id for d in EitherCollection(blocking, native).documents({"n": 2})] == ["b"]

    asyncio.run(main())


def test_two_spaces_do_not_meet(leaf: Any, make_encoder: Any) -> None:
    async def main() -> None:
        blocking = LeafCollection.create("docs", leaf, client=QdrantClient(":memory:"), spec=SPEC)
        other = make_encoder(teacher="others")
        native = await AsyncLeafCollection.create("docs", other, client=AsyncQdrantClient(":memory:"), spec=SPEC)
        with pytest.raises(SpaceMismatchError, match="the async collection"):
            EitherCollection(blocking, native)

    asyncio.run(main())


def at_once(count: int, start: Callable[[int], Any]) -> list[Any]:
    barrier = threading.Barrier(count)

    def run(number: int) -> Any:
        barrier.wait()
        return start(number)

    with ThreadPoolExecutor(count) as pool:
        return [future.result() for future in [pool.submit(run, number) for number in range(count)]]


def test_threads_that_start_at_once_share_one_collection(home: dict[str, Any], leaf: Any) -> None:
    def write(number: int) -> LeafCollection:
        docs = open_or_create("docs", leaf, spec=SPEC, **home)
        docs.index([Document(number, f"topic{number}")], optimize="later")
        return docs

    opened = at_once(16, write)
    assert [docs.count() for docs in opened] == [16] * 16
    for docs in opened:
        docs.close()


def test_clients_of_one_server_that_start_at_once_share_one_collection(leaf: Any) -> None:
    with Stub() as server:
        opened = at_once(16, lambda _: open_or_create("docs", leaf, spec=SPEC, client=server.client()))
        opened[0].index(DOCS)
        assert [docs.count() for docs in opened] == [2] * 16


def test_tasks_that_start_at_once_share_one_collection(leaf: Any) -> None:
    async def main() -> None:
        client = AsyncQdrantClient(":memory:")
        opened = await asyncio.gather(*[aopen_or_create("docs", leaf, client=client, spec=SPEC) for _ in range(16)])
        await opened[0].index(DOCS)
        assert [await docs.count() for docs in opened] == [2] * 16

    asyncio.run(main())


@pytest.mark.slow
def test_processes_that_start_at_once_have_one_winner(leaf: Any, tmp_path: Any) -> None:
    """Each keeps the collection until the others have tried."""
    code = """
import sys
from leaf_embed.errors import CollectionError
from leaf_embed.qdrant import open_or_create
from tests.qdrant.conftest import WordEncoder
leaf = WordEncoder()
print("ready", flush=True)
sys.stdin.readline()
try:
    docs = open_or_create("docs", leaf, path=sys.argv[1])
    print("open", flush=True)
except CollectionError as error:
    print(error, flush=True)
sys.stdin.readline()
"""
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", code, str(tmp_path)]
    root = Path(__file__).parents[2]
    children = [subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=root) for _ in range(3)]
    try:
        for child in children:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
        said = at_once(3, lambda number: _told(children[number]))
    finally:
        for child in children:
            child.communicate()
    assert sorted(line == "open\n" for line in said) == [False, False, True]
    assert all("is open already, in process" in line for line in said if line != "open\n")
    with open_or_create("docs", leaf, path=tmp_path) as docs:
        assert docs.count() == 0


def _told(child: subprocess.Popen[str]) -> str:
    assert child.stdin is not None
    assert child.stdout is not None
    print(file=child.stdin, flush=True)
    return child.stdout.readline()
