"""The async collection gives what the blocking one gives, and the event loop goes on meanwhile."""

from __future__ import annotations

import asyncio
import functools
import os
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import numpy as np
import pytest
from qdrant_client import AsyncQdrantClient, QdrantClient, models

from leaf_embed.errors import (
    CollectionError,
    CollectionExistsError,
    CollectionNotFoundError,
    InputError,
    SpaceMismatchError,
)
from leaf_embed.qdrant import AsyncLeafCollection, CollectionSpec, Document, LeafCollection
from tests.qdrant.server import SERVER, empty_server

SPEC = CollectionSpec(mrl=(16,))
DOCS = [Document(f"d{i}", f"topic{i % 10} word{i}", payload={"n": i}) for i in range(120)]


def in_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a test in an event loop of its own."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(test(*args, **kwargs))

    return run


@pytest.fixture(params=["local", *(["server"] if os.environ.get(SERVER) else [])])
def client(request: pytest.FixtureRequest) -> Iterator[AsyncQdrantClient]:
    """A client in local mode, and that of a server if ``LEAF_EMBED_QDRANT_URL`` names one."""
    if request.param == "local":
        yield AsyncQdrantClient(":memory:")
        return
    with empty_server() as blocking:
        yield AsyncQdrantClient(os.environ[SERVER], api_key=os.environ.get("QDRANT_API_KEY"), timeout=60)
        assert blocking.get_collections()


@in_loop
async def test_both_give_the_same(client: AsyncQdrantClient, leaf: Any) -> None:
    blocking = QdrantClient(":memory:")
    queries: list[Any] = ["topic3", "topic4 word14", leaf.encode_query("topic5")]
    with LeafCollection.create("docs", leaf, spec=SPEC, client=blocking) as one:
        one.index(DOCS)
        async with await AsyncLeafCollection.create("docs", leaf, spec=SPEC, client=client) as docs:
            report = await docs.index(DOCS, batch_size=50)
            assert (report.added, report.unchanged) == (120, 0)
            assert (await docs.index(DOCS)).unchanged == 120
            for options in ({}, {"limit": 3, "offset": 2, "where": {"n": {"lt": 60}}}, {"exact": True}):
                assert await docs.search("topic3", **options) == one.search("topic3", **options)  # type: ignore[arg-type]
            assert await docs.search_batch(queries, limit=4) == one.search_batch(queries, limit=4)
            assert await docs.search_mmr("topic3 topic4") == one.search_mmr("topic3 topic4")
            assert await docs.get(["d3", "no", "d1"]) == one.get(["d3", "no", "d1"])
            assert await docs.count({"n": {"lt": 7}}) == 7
            pages = [d async for d in docs.iter_documents(with_vectors=True, page_size=50)]
            assert sorted(pages, key=lambda d: d.id) == sorted(one.iter_documents(), key=lambda d: d.id)
            assert all(d.vector is not None for d in pages)
            assert await docs.delete(["d1", "no"]) == one.delete(["d1", "no"]) == 1
            described, other = await docs.describe(), one.describe()
            assert described == other
            assert docs.verify().passed
    blocking.close()


@in_loop
async def test_given_vectors_need_no_teacher(client: AsyncQdrantClient, leaf: Any) -> None:
    matrix = leaf.encode_document([d.text for d in DOCS])
    docs = await AsyncLeafCollection.create("docs", leaf, spec=SPEC, client=client)
    leaf.asked.clear()
    assert (await docs.index_vectors(DOCS, matrix, space=leaf.space)).added == 120
    assert leaf.asked == []
    assert (await docs.search("topic3 word3"))[0].id == "d3"


@in_loop
async def test_the_guard_is_the_same(client: AsyncQdrantClient, leaf: Any, make_encoder: Any) -> None:
    docs = await AsyncLeafCollection.create("docs", leaf, spec=SPEC, client=client)
    await docs.close()
    with pytest.raises(CollectionError, match="is closed"):
        await docs.search("x")
    with pytest.raises(CollectionExistsError):
        await AsyncLeafCollection.create("docs", leaf, client=client)
    with pytest.raises(CollectionNotFoundError, match="collections there: 'docs'"):
        await AsyncLeafCollection.open("others", leaf, client=client)
    for other in (make_encoder(teacher="others"), make_encoder(32), make_encoder(model="b")):
        with pytest.raises(SpaceMismatchError):
            await AsyncLeafCollection.open("docs", other, client=client)
    await client.update_collection_aliases(
        [models.CreateAliasOperation(create_alias=models.CreateAlias(collection_name="docs", alias_name="alias"))]
    )
    assert (await AsyncLeafCollection.open("alias", leaf, client=client)).name == "docs"
    await client.create_collection("theirs", vectors_config={})
    with pytest.raises(CollectionError, match="does not say which model"):
        await AsyncLeafCollection.open("theirs", leaf, client=client)
    with pytest.raises(InputError, match=r"must be a qdrant_client\.AsyncQdrantClient"):
        await AsyncLeafCollection.open("docs", leaf, client=QdrantClient(":memory:"))  # type: ignore[arg-type]


@in_loop
async def test_the_loop_goes_on_while_a_model_thinks(client: AsyncQdrantClient, leaf: Any) -> None:
    class Slow:
        space = leaf.space

        def encode_query(self, texts: Any) -> Any:
            time.sleep(0.3)
            return leaf.encode_query(texts)

        encode_document = encode_query

    ticks: list[float] = []

    async def tick() -> None:
        while True:
            ticks.append(time.perf_counter())
            await asyncio.sleep(0.01)

    docs = await AsyncLeafCollection.create("docs", Slow(), spec=SPEC, client=client, check_canaries=False)
    task = asyncio.create_task(tick())
    await docs.index(DOCS[:5])
    await asyncio.gather(*(docs.search(f"topic{i}") for i in range(3)))
    task.cancel()
    assert max(np.diff(ticks)) < 0.2
