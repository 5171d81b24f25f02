"""What a server would be sent over gRPC: every call becomes messages of Qdrant's own protos, and says the same.

A loopback server decodes the messages and answers with nearly empty ones; no live server takes part.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pool, message_factory
from qdrant_client import QdrantClient

from leaf_embed.qdrant import CollectionMetadata, CollectionSpec, Retry
from leaf_embed.qdrant.backends.base import NewPoint
from leaf_embed.qdrant.backends.client import ClientPoints
from leaf_embed.qdrant.backends.client_calls import Sender
from leaf_embed.qdrant.backends.client_collections import creation_calls
from leaf_embed.qdrant.query.bm25 import SparseVector, bm25_query
from leaf_embed.qdrant.query.filters import parse_filter
from leaf_embed.qdrant.query.plan import Search, plan_search
from leaf_embed.qdrant.schema.quantization import QUANTIZATIONS

SPEC = CollectionSpec(mrl=(16,), payload_indexes={"n": "integer"})
ID = "6af613b6-569c-5c22-9c37-2ed93f31d3af"


class Recorder(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Takes any method of Qdrant's services."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, Any]] = []
        self.failures = 0

    def service(self, details: Any) -> Any:
        _, service, name = details.method.split("/")
        method = descriptor_pool.Default().FindServiceByName(service).methods_by_name[name]
        request, reply = map(message_factory.GetMessageClass, (method.input_type, method.output_type))

        def answer(message: Any, context: Any) -> Any:
            self.messages.append((name, message))
            if self.failures:
                self.failures -= 1
                context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "busy")
            answered = reply()
            result = answered.DESCRIPTOR.fields_by_name.get("result")
            kind = getattr(result and result.message_type, "name", None)
            if kind == "UpdateResult" and name != "UpdateBatch":
                answered.result.status = 2  # completed: the one field that the client insists on
            return answered

        return grpc.unary_unary_rpc_method_handler(answer, request.FromString, reply.SerializeToString)


@pytest.fixture
def server(leaf: Any) -> Iterator[tuple[Recorder, Sender, ClientPoints]]:
    recorder = Recorder()
    running = grpc.server(ThreadPoolExecutor(2), handlers=(recorder,))
    port = running.add_insecure_port("127.0.0.1:0")
    running.start()
    client = QdrantClient("127.0.0.1", grpc_port=port, prefer_grpc=True, check_compatibility=False, timeout=5)
    sender = Sender(client, Retry(attempts=3, first_wait=0.01, longest_wait=0.02))
    yield recorder, sender, ClientPoints(sender, "docs", SPEC.full_name)
    client.close()
    running.stop(None)


def test_a_search_says_over_grpc_what_it_says_over_rest(server: Any, leaf: Any) -> None:
    recorder, _, points = server
    where = {"n": {"gte": 3}, "lang": ["en", "de"], "$or": [{"on": True}, {"$not": {"n": 7}}]}
    plan = plan_search(
        leaf.encode_query("topic1"), SPEC, Search(limit=3, offset=4, where=where, hnsw_ef=99, oversampling=2.0)
    )
    points.query([plan])
    points.query([plan, plan])
    (_, single), (_, batch) = recorder.messages
    for message in (single, *batch.query_points):
        assert (message.using, message.limit, message.offset) == ("full", 3, 4)
        assert message.params.quantization.ignore is True
        (stage,) = message.prefetch
        assert (stage.using, stage.limit, stage.params.hnsw_ef) == ("mrl_16", 400, 99)
        assert (stage.params.quantization.rescore, stage.params.quantization.oversampling) == (True, 2.0)
        assert stage.filter == message.filter
        assert len(message.filter.must) == 3
        assert len(message.query.nearest.dense.data) == 64


@pytest.mark.parametrize("fusion", ["rrf", "dbsf"])
def test_a_hybrid_search_says_over_grpc_what_it_says_over_rest(server: Any, leaf: Any, fusion: Any) -> None:
    recorder, _, points = server
    search = Search(limit=3, offset=4, where={"n": 3}, hybrid=fusion)
    plan = plan_search(leaf.encode_query("topic1"), SPEC, search, text="the salt of the moon")
    points.query([plan])
    points.query([plan, plan])
    (_, single), (_, batch) = recorder.messages
    for message in (single, *batch.query_points):
        assert (message.limit, message.offset, message.using) == (3, 4, "")
        assert message.query.WhichOneof("variant") == ("rrf" if fusion == "rrf" else "fusion")
        assert fusion == "dbsf" or message.query.rrf.k == 60
        meaning, words = message.prefetch
        sparse = bm25_query("the salt of the moon", "english")
        assert sparse is not None
        assert (meaning.using, meaning.limit, meaning.prefetch[0].using) == ("full", 100, "mrl_16")
        assert meaning.params.quantization.ignore is True
        assert (words.using, words.limit) == ("bm25", 100)
        assert list(words.query.nearest.sparse.indices) == list(sparse.indices)
        assert words.filter == meaning.filter == meaning.prefetch[0].filter


def test_every_call_has_its_message(server: Any) -> None:
    recorder, _, points = server
    conditions = parse_filter({"n": 3}, "payload.")
    vectors = {"full": [0.5] * 64, "mrl_16": [0.25] * 16, "bm25": SparseVector((3, 9), (1.0, 0.5))}
    points.upsert([NewPoint(ID, vectors, {"text": "x", "payload": {"n": [1, 2.5, None, True, {"a": "é"}]}})])
    points.overwrite_payloads({ID: {"text": "y"}})
    points.update_vectors({ID: {"mrl_16": [0.25] * 16}})
    points.payloads([ID], ["hash"])
    points.records([ID], vector=True)
    points.page(None, 10, conditions, vector=True)
    points.count(conditions)
    points.delete([ID])
    names = [name for name, _ in recorder.messages]
    assert names == ["Upsert", "UpdateBatch", "UpdateVectors", "Get", "Get", "Scroll", "Count", "Delete"]
    upsert = recorder.messages[0][1]
    assert upsert.wait is True
    named = upsert.points[0].vectors.vectors.vectors
    assert set(named) == {"full", "mrl_16", "bm25"}
    assert list(named["bm25"].sparse.indices) == [3, 9]


@pytest.mark.parametrize("name", QUANTIZATIONS)
def test_every_quantization_has_its_message(server: Any, leaf: Any, name: str) -> None:
    recorder, sender, points = server
    spec = CollectionSpec(mrl=(16,), quantization=name, payload_indexes={"n": "integer"}, shard_number=2, sparse="bm25")
    metadata = CollectionMetadata("docs", leaf.space, spec)
    for call in creation_calls(metadata):
        sender.send(call)
    points.configure(metadata)
    (_, create), (_, index), (_, update) = recorder.messages
    params = create.vectors_config.params_map.map
    assert set(params) == {"full", "mrl_16"}
    assert not params["full"].HasField("quantization_config")
    family = QUANTIZATIONS[name].family
    changed = update.vectors_config.params_map.map["mrl_16"].quantization_config
    if family == "none":
        assert changed.HasField("disabled")
    else:
        assert params["mrl_16"].quantization_config.WhichOneof("quantization") == changed.WhichOneof("quantization")
    assert create.shard_number == 2
    assert create.sparse_vectors_config.map["bm25"].modifier == 1  # idf
    assert index.field_name == "payload.n"


def test_a_busy_server_is_asked_again(server: Any) -> None:
    recorder, _, points = server
    recorder.failures = 2
    assert points.count() == 0
    assert len(recorder.messages) == 3
