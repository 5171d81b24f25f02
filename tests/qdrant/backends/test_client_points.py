"""What a search becomes on the wire: the plan's JSON, blocking and async, alone and in a batch."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from qdrant_client import AsyncQdrantClient, models

from leaf_embed.errors import CollectionError, InputError
from leaf_embed.qdrant import CollectionPairs, CollectionSpec, Document, LeafCollection, Retry
from leaf_embed.qdrant.backends.base import NewPoint
from leaf_embed.qdrant.backends.client import ClientPoints
from leaf_embed.qdrant.backends.client_calls import AsyncSender, Sender
from leaf_embed.qdrant.backends.client_points import BODY, LARGEST, PointCalls
from leaf_embed.qdrant.query.plan import Search, plan_search
from tests.qdrant.query.test_plan import SHAPES, VECTOR
from tests.qdrant.stub import Fault, Stub

ONCE = Retry(attempts=1)


@pytest.fixture
def refusing() -> Iterator[Stub]:
    """A server that records what it is sent and answers nothing."""
    with Stub(fault=lambda *_: Fault("status", status=400)) as stub:
        yield stub


@pytest.mark.parametrize("name", SHAPES)
def test_every_shape_is_sent_as_it_is(refusing: Stub, name: str) -> None:
    spec, options, expected = SHAPES[name]
    plan = plan_search(VECTOR, spec, Search(**options), text="salt")
    points = ClientPoints(Sender(refusing.client(), ONCE), "docs", spec.full_name)
    for plans in ([plan], [plan, plan]):
        with pytest.raises(CollectionError):
            points.query(plans)

    async def send() -> None:
        client = AsyncQdrantClient(refusing.url, check_compatibility=False)
        for plans in ([plan], [plan, plan]):
            with suppress(CollectionError):
                await AsyncSender(client, ONCE).send(PointCalls("docs", spec.full_name).query(plans))
        await client.close()

    asyncio.run(send())
    single = ("POST", "/collections/docs/points/query", expected)
    batch = ("POST", "/collections/docs/points/query/batch", {"searches": [expected, expected]})
    assert refusing.requests == [single, batch, single, batch]


def test_dates_numbers_and_truth_values_stay_what_they_are(refusing: Stub) -> None:
    where = {"day": {"gte": "2024-01-31"}, "n": {"lt": 3}, "on": True, "one": 1, "note": {"contains": "1"}}
    plan = plan_search(VECTOR, CollectionSpec(mrl=()), Search(where=where))
    with suppress(CollectionError):
        ClientPoints(Sender(refusing.client(), ONCE), "docs", "full").query([plan])
    ((_, _, sent),) = refusing.requests
    assert sent["filter"]["must"] == [
        {"key": "payload.day", "range": {"gte": "2024-01-31T00:00:00"}},
        {"key": "payload.n", "range": {"lt": 3.0}},
        {"key": "payload.on", "match": {"value": True}},
        {"key": "payload.one", "range": {"gte": 1.0, "lte": 1.0}},
        {"key": "payload.note", "match": {"text": "1"}},
    ]


def sent_bytes(call: Any) -> int:
    return sum(len(point.model_dump_json().encode()) for point in call.kwargs["points"])


def test_requests_are_bounded_by_bytes() -> None:
    calls = PointCalls("docs", "full")
    vectors = {"full": np.random.default_rng(0).random(3000, np.float32).tolist(), "mrl_1000": [0.5] * 1000}
    upserts = list(calls.upsert([NewPoint(i, vectors, {}) for i in range(200)]))
    assert sum(len(call.kwargs["points"]) for call in upserts) == 200
    assert len(upserts) > 1
    assert max(map(sent_bytes, upserts)) <= BODY
    long = {"id": "d", "text": "é" * 150_000}
    texts = list(calls.upsert([NewPoint(i, {"full": [0.5]}, long) for i in range(150)]))
    assert 150 * 300_000 / BODY <= len(texts) <= 8
    assert max(map(sent_bytes, texts)) <= BODY
    updates = list(calls.update_vectors({i: {"mrl_1000": [0.5] * 1000} for i in range(300)}))
    assert [len(call.kwargs["points"]) for call in updates] == [256, 44]
    payloads = list(calls.overwrite_payloads({i: {"text": "x" * 1_000_000} for i in range(20)}))
    assert [len(call.kwargs["update_operations"]) for call in payloads] == [8, 8, 4]
    assert list(calls.upsert([])) == []


def test_a_document_that_no_server_takes_is_named_before_anything_is_sent() -> None:
    calls = PointCalls("docs", "full")
    small, large = {"id": "small", "text": "x"}, {"id": "large", "text": "x" * (LARGEST + 1)}
    upserts = calls.upsert([NewPoint(1, {"full": [0.5]}, small), NewPoint(2, {"full": [0.5]}, large)])
    with pytest.raises(InputError, match=r"document 'large' takes 30\.0 MiB .* divide it"):
        next(upserts)


def foreign(stub: Stub, rows: np.ndarray[Any, Any]) -> None:
    client = stub.client()
    client.create_collection("theirs", vectors_config=models.VectorParams(size=4, distance=models.Distance.DOT))
    points = [
        models.PointStruct(id=i, vector=row.tolist(), payload={"body": f"text {i}"}) for i, row in enumerate(rows)
    ]
    client.upsert("theirs", points)


@pytest.mark.parametrize(
    "fault",
    [
        Fault("status", status=429, headers=(("Retry-After", "1"),)),
        Fault("status", status=503),
        Fault("reset"),
        Fault("half", applied=True),
    ],
    ids=["429", "503", "reset", "half"],
)
def test_a_busy_server_does_not_end_the_reading_of_a_foreign_collection(fault: Fault) -> None:
    rows = np.random.default_rng(0).standard_normal((50, 4)).astype(np.float32)
    with Stub() as stub:
        foreign(stub, rows)
        pages, failed = 0, 0

        def busy(method: str, path: str, number: int) -> Fault | None:
            nonlocal pages, failed
            pages += path.endswith("/scroll")
            if path.endswith("/scroll") and pages in (3, 4):  # the third page, and the first request for it again
                failed += 1
                return fault
            return None

        stub.fault = busy
        pairs = CollectionPairs("theirs", text="body", client=stub.client(), page=10)
        found = list(pairs)
        assert failed == 2
        assert [text for text, _ in found] == [f"text {i}" for i in range(50)]
        np.testing.assert_allclose(np.stack([row for _, row in found]), rows, rtol=1e-6)
        scrolls = [body for _, path, body in stub.requests if path.endswith("/scroll")]
        assert [body.get("offset") for body in scrolls] == [None, 10, 20, 20, 20, 30, 40]
        assert all(body["with_payload"] == ["body"] for body in scrolls)


def test_a_server_that_stays_busy_ends_it_with_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    with Stub() as stub:
        foreign(stub, np.ones((5, 4), np.float32))
        pairs = CollectionPairs("theirs", text="body", client=stub.client())
        monkeypatch.setattr("time.sleep", lambda seconds: None)
        stub.fault = lambda method, path, number: Fault("status", status=429) if path.endswith("/scroll") else None
        with pytest.raises(CollectionError, match="reading 'theirs' failed"):
            list(pairs)
        assert sum(path.endswith("/scroll") for _, path, _ in stub.requests) == 6


def test_only_the_vector_that_is_meant_is_read(leaf: Any) -> None:
    with Stub() as stub:
        with LeafCollection.create("docs", leaf, spec=CollectionSpec(mrl=(16,)), client=stub.client()) as docs:
            docs.index([Document(i, f"topic{i}") for i in range(3)])
        assert len(list(CollectionPairs("docs", client=stub.client()))) == 3
        assert stub.requests[-1][2]["with_vector"] == ["full"]
