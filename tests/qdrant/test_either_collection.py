"""One object for blocking and awaited calls, opened or made in one step."""

from __future__ import annotations

import asyncio
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
