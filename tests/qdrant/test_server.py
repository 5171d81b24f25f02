"""What a server would be sent, against Qdrant's OpenAPI; faults on the way: no loss, no duplicates, bounded retries.

A loopback stub stands in for the server; no live server takes part.
"""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from qdrant_client import AsyncQdrantClient

from leaf_embed.errors import CollectionError, InputError
from leaf_embed.qdrant import (
    AsyncLeafCollection,
    CollectionSpec,
    Document,
    LeafCollection,
    Retry,
    switch_alias,
)
from leaf_embed.qdrant.schema.quantization import QUANTIZATIONS
from tests.qdrant.openapi import OpenApi
from tests.qdrant.stub import Fault, Stub

SPEC = CollectionSpec(mrl=(16,), payload_indexes={"lang": "keyword", "n": "integer"}, sparse="bm25")
DOCS = [Document(f"d{i}", f"topic{i % 10} word{i}", payload={"n": i, "lang": "en"}) for i in range(90)]
QUICK = Retry(attempts=5, first_wait=0.01, longest_wait=0.05)


def everything(stub: Stub, leaf: Any) -> None:
    """Every request that the helpers can send."""
    client = stub.client()
    wide = CollectionSpec(mrl=(8, 16), datatype="float16", shard_number=2, replication_factor=2, full_memory="cached")
    LeafCollection.create("wide", leaf, spec=wide, client=client).close()
    with LeafCollection.create("docs", leaf, spec=SPEC, client=client) as docs:
        docs.index(DOCS, batch_size=40)
        docs.index([Document("d1", "topic1 word1", payload={"n": 5}), Document("d2", "changed")])
        where: dict[str, Any] = {
            "lang": ["en", "de"],
            "n": {"gte": 3, "lt": 80.5},
            "$or": [{"on": True}, {"n": {"not": 7}}],
            "$not": {"lang": "nl"},
        }
        best = docs.search("topic3", where=where, limit=3, offset=1, score_threshold=0.1, oversampling=3, hnsw_ef=99)
        assert len(best) == 3
        docs.search("topic3", exact=True)
        docs.search_batch(["topic3", "topic4"], where={"n": 4})
        docs.search_mmr("topic3", limit=3)
        for fusion in ("rrf", "dbsf"):
            docs.search("topic3", where={"n": 4}, hybrid=fusion, limit=2)
            docs.search_batch(["topic3", "the"], hybrid=fusion)
            request = docs.explain("topic3", limit=3, where={"n": 3}, hybrid=fusion).request
            docs.search("topic3", limit=3, where={"n": 3}, hybrid=fusion)
            assert stub.requests[-1][2] == request
        assert len(list(docs.iter_documents(with_vectors=True, where={"n": {"gt": 50}}, page_size=20))) == 39
        assert [d.id for d in docs.get(["d3", "no"])] == ["d3"]
        assert docs.delete(["d3", "no"]) == 1
        assert docs.count({"lang": "en"}) == 87
        docs.add_mrl(8)
        for name in set(QUANTIZATIONS) - {"turbo8"}:  # the client and the engine have it, the OpenAPI has not
            docs.change_quantization(name)
        docs.describe()
        request = docs.explain("topic3", limit=3, where={"n": 3}).request
        docs.search("topic3", limit=3, where={"n": 3})
        assert stub.requests[-1][2] == request
    switch_alias("alias", "docs", client=client)
    switch_alias("alias", "wide", client=client)
    LeafCollection.open("alias", leaf, client=client, check_canaries=False).close()
    foreign = stub.client()
    foreign.create_collection("theirs", vectors_config={"dense": {"size": 64, "distance": "Cosine"}})  # type: ignore[dict-item]
    row = leaf.encode_document("topic1").tolist()
    foreign.upsert("theirs", [{"id": 7, "vector": {"dense": row}, "payload": {"text": "topic1"}}])  # type: ignore[list-item]
    LeafCollection.adopt("theirs", leaf, client=client).close()


async def everything_async(stub: Stub, leaf: Any) -> None:
    client = AsyncQdrantClient(stub.url, check_compatibility=False)
    docs = await AsyncLeafCollection.create("async", leaf, spec=SPEC, client=client, retry=QUICK)
    await docs.index(DOCS)
    docs = await AsyncLeafCollection.open("async", leaf, client=client, retry=QUICK)
    assert (await docs.search("topic3 word3", where={"n": 3}))[0].id == "d3"
    await docs.search_batch(["a", "b"])
    await docs.search_mmr("topic3")
    assert (await docs.search("topic3 word3", hybrid=True))[0].id == "d3"
    assert len([d async for d in docs.iter_documents(page_size=40)]) == 90
    assert await docs.delete(["d1"]) == 1
    assert len(await docs.get(["d1", "d2"])) == 1
    assert await docs.count() == 89
    await client.close()


def test_every_request_obeys_the_openapi(leaf: Any) -> None:
    openapi = OpenApi.from_environment()
    if openapi is None:
        pytest.skip("set LEAF_EMBED_OPENAPI to a copy of Qdrant's openapi.json")
    assert openapi.problems("POST", "/collections/docs/points/query", {}, {"limit": "ten", "fields": 1})
    assert openapi.problems("PUT", "/collections/docs", {}, {"vectors": {"a": {"size": 3, "distance": "Cos"}}})
    with Stub(openapi) as stub:
        everything(stub, leaf)
        asyncio.run(everything_async(stub, leaf))
        assert stub.problems == []
        assert len({(method, path.count("/"), path.split("/")[-1]) for method, path, _ in stub.requests}) >= 15


def test_every_request_works_without_the_openapi(leaf: Any) -> None:
    with Stub() as stub:
        everything(stub, leaf)
        asyncio.run(everything_async(stub, leaf))


BUSY = Fault("status", status=429, headers=(("Retry-After", "1"),))
FAULTS = {
    "429 with Retry-After": BUSY,
    "429": Fault("status", status=429),
    "429 with a date": Fault("status", status=429, headers=(("Retry-After", "Fri, 31 Dec 1999 23:59:59 GMT"),)),
    "500": Fault("status"),
    "503 after the write": Fault("status", applied=True, status=503),
    "reset": Fault("reset"),
    "reset after the write": Fault("reset", applied=True),
    "half a body": Fault("half", applied=True),
    "time-out after the write": Fault("slow", applied=True, seconds=0.6),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
def test_a_fault_costs_neither_a_loss_nor_a_duplicate(leaf: Any, fault: Fault) -> None:
    with Stub() as stub:
        client = stub.client(timeout=0.3 if fault.kind == "slow" else 5)
        LeafCollection.create("docs", leaf, spec=SPEC, client=client).close()
        stub.requests.clear()
        stub.fault = lambda method, path, number: fault if number % 4 == 1 else None
        with LeafCollection.open("docs", leaf, client=client, retry=QUICK) as docs:
            report = docs.index(DOCS, batch_size=30)
            assert (report.added, docs.count()) == (90, 90)
            assert len({d.id for d in docs.iter_documents()}) == 90
            assert len(leaf.embedded) == 90  # a repeated write costs no embedding
            assert docs.search("topic3 word3")[0].id == "d3"
            assert docs.delete(["d3"]) == 1
        client.close()


def test_random_faults_end_in_the_same_collection(leaf: Any) -> None:
    dice = random.Random(7)
    with Stub() as stub, Stub() as calm:
        for server in (stub, calm):
            LeafCollection.create("docs", leaf, spec=SPEC, client=server.client()).close()
        stub.fault = lambda *_: dice.choice([*FAULTS.values()][3:8]) if dice.random() < 0.3 else None
        ends = []
        for server in (stub, calm):
            retry = Retry(attempts=15, first_wait=0.005, longest_wait=0.02)
            with LeafCollection.open("docs", leaf, client=server.client(), retry=retry) as docs:
                docs.index(DOCS, batch_size=10)
                docs.index([Document(f"d{i}", "changed") for i in range(0, 90, 3)], batch_size=10)
                docs.delete([f"d{i}" for i in range(0, 90, 9)])
                ends.append({d.id: (d.text, d.payload) for d in docs.iter_documents(page_size=17)})
        assert ends[0] == ends[1]
        assert len(ends[0]) == 80


def test_retries_are_bounded_and_say_what_was_tried(leaf: Any) -> None:
    with Stub() as stub:
        client = stub.client()
        with LeafCollection.create("docs", leaf, spec=SPEC, client=client, retry=QUICK) as docs:
            stub.fault = lambda method, path, number: BUSY
            before = len(stub.requests)
            with pytest.raises(CollectionError, match=r"counting 'docs' failed.*Is the server there"):
                docs.count()
            assert len(stub.requests) - before == 5
            stub.fault = lambda method, path, number: Fault("status") if method == "PUT" else None
            with pytest.raises(CollectionError, match="Do the same again to go on where it stopped"):
                docs.index(DOCS)
            stub.fault = lambda *_: None
            assert docs.index(DOCS).added == 90


def test_what_cannot_pass_is_not_tried_again(leaf: Any) -> None:
    with Stub() as stub:
        with LeafCollection.create("docs", leaf, spec=SPEC, client=stub.client(), retry=QUICK) as docs:
            stub.fault = lambda *_: Fault("status", status=400)
            before = len(stub.requests)
            with pytest.raises(CollectionError, match="400"):
                docs.count()
            assert len(stub.requests) - before == 1
        stub.fault = lambda method, path, number: Fault("status") if method == "PUT" else None
        before = len(stub.requests)
        with pytest.raises(CollectionError):  # a collection that was made after all would look like another's
            LeafCollection.create("other", leaf, spec=SPEC, client=stub.client(), retry=QUICK)
        assert [method for method, _, _ in stub.requests[before:]].count("PUT") == 1


def test_the_async_client_asks_again_too(leaf: Any) -> None:
    async def run(stub: Stub) -> None:
        client = AsyncQdrantClient(stub.url, check_compatibility=False)
        docs = await AsyncLeafCollection.create("docs", leaf, spec=SPEC, client=client, retry=QUICK)
        stub.fault = lambda method, path, number: [*FAULTS.values()][number % 8] if number % 3 == 1 else None
        assert (await docs.index(DOCS, batch_size=20)).added == 90
        assert await docs.count() == 90
        stub.fault = lambda *_: Fault("reset")
        before = len(stub.requests)
        with pytest.raises(CollectionError):
            await docs.count()
        assert len(stub.requests) - before == 5
        await client.close()

    with Stub() as stub:
        asyncio.run(run(stub))


@pytest.mark.parametrize("options", [{"attempts": 0}, {"first_wait": -1}, {"first_wait": 5, "longest_wait": 1}])
def test_retries_that_cannot_be(options: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        Retry(**options)
