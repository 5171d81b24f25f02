"""Every quantization makes a collection that finds what an exhaustive ranking finds; sizes are told beforehand."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import pytest
from qdrant_client import QdrantClient, models

from leaf_embed.errors import InputError
from leaf_embed.qdrant import CollectionMetadata, CollectionSpec, Document, LeafCollection, estimate
from leaf_embed.qdrant.backends.client_collections import vectors_config
from leaf_embed.qdrant.schema.quantization import QUANTIZATIONS


@pytest.mark.parametrize("name", QUANTIZATIONS)
def test_every_quantization_finds_the_nearest(
    tmp_path: Any, leaf: Any, texts: list[str], queries: list[str], name: str
) -> None:
    """On the real engine, with its graph, codes and defaults."""
    spec = CollectionSpec(mrl=(32,), quantization=name, index_from_kb=10)
    texts = texts[:1000]
    with LeafCollection.create("docs", leaf, spec=spec, path=tmp_path) as docs:
        docs.index([Document(i, text) for i, text in enumerate(texts)])
        assert docs.describe()["indexed_vectors"] >= 1000
        matrix, recalls = leaf.encode_document(texts), []
        for query, hits in zip(queries, docs.search_batch(queries), strict=True):
            expected = np.argsort(-(matrix @ leaf.encode_query(query)), kind="stable")[:10]
            recalls.append(len({hit.id for hit in hits} & set(expected.tolist())) / 10)
        assert np.mean(recalls) >= (0.9 if name in ("product64", "binary", "product32") else 0.97)
    stored = json.loads((tmp_path / "docs" / "shard" / "edge_config.json").read_text())["vectors"]
    assert "quantization_config" not in stored["full"]
    assert ("quantization_config" in stored["mrl_32"]) == (name != "none")


@pytest.mark.parametrize("name", QUANTIZATIONS)
def test_a_client_is_told_of_every_quantization(leaf: Any, name: str) -> None:
    spec = CollectionSpec(mrl=(16, 32), quantization=name, binary_query="scalar8bits")
    config = vectors_config(CollectionMetadata("docs", leaf.space, spec))
    assert config["full"].quantization_config is None
    for vector in ("mrl_16", "mrl_32"):
        codes = config[vector].quantization_config
        assert (codes is None) == (name == "none")
        if codes is not None:
            inner = next(iter(codes.model_dump(exclude_none=True, mode="json").values()))
            assert QUANTIZATIONS[name].option in inner.values()
            assert (inner["always_ram"], inner["memory"]) == (True, "pinned")
            assert ("query_encoding" in inner) == name.startswith("binary")


@pytest.mark.parametrize("name", ["default", "binary", "scalar4bits", "scalar8bits"])
def test_query_encodings_of_binary_codes(tmp_path: Any, leaf: Any, name: Any) -> None:
    with LeafCollection.create(
        "docs", leaf, spec=CollectionSpec(mrl=(16,), quantization="binary2", binary_query=name), path=tmp_path
    ):
        text = (tmp_path / "docs" / "shard" / "edge_config.json").read_text()
        assert name == "default" or f'"query_encoding":"{name}"' in text


def test_float16_memory_tiers_and_payload_indexes_reach_the_engine(home: Any, leaf: Any) -> None:
    spec = CollectionSpec(
        mrl=(16,),
        datatype="float16",
        full_memory="cached",
        codes_memory="cached",
        graph_memory="pinned",
        payload_memory="cached",
        payload_indexes={"lang": "keyword", "year": "integer", "a.b": "float"},
    )
    assert spec.index_kinds == {"lang": "keyword", "year": "integer", "a.b": "float"}
    assert CollectionSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec
    with LeafCollection.create("docs", leaf, spec=spec, **home) as docs:
        docs.index([Document(1, "topic1", payload={"lang": "en", "year": 1999, "a": {"b": 0.5}})])
        where = {"lang": "en", "year": {"gt": 1990}, "a.b": {"lte": 0.5}}
        assert docs.search("topic1", where=where)[0].score == pytest.approx(1, abs=2e-3)
    with LeafCollection.open("docs", leaf, **home) as docs:
        assert docs.spec == spec
    if "path" in home:
        text = (home["path"] / "docs" / "shard" / "edge_config.json").read_text()
        stored = json.loads(text)["vectors"]
        assert (stored["full"]["datatype"], stored["full"]["memory"]) == ("float16", "cached")
        assert stored["mrl_16"]["quantization_config"]["scalar"]["memory"] == "cached"
        assert stored["mrl_16"]["hnsw_config"]["memory"] == "pinned"
    else:
        info = home["client"].get_collection("docs")
        assert info.config.params.vectors["full"].datatype == "float16"


@pytest.mark.parametrize("name", ["balanced", "small", "exact"])
def test_presets(home: Any, leaf: Any, texts: list[str], name: Any) -> None:
    spec = dataclasses.replace(CollectionSpec.preset(name, leaf.space), index_from_kb=10)
    with LeafCollection.create("docs", leaf, spec=spec, **home) as docs:
        docs.index([Document(i, text) for i, text in enumerate(texts[:500])])
        matrix = leaf.encode_document(texts[:500])
        for query in ("topic3 word3", "topic8 question"):
            best = int(np.argmax(matrix @ leaf.encode_query(query)))
            assert docs.search(query, candidates=None if spec.mrl == () else 200)[0].id == best


def test_a_preset_takes_a_third_of_the_space(make_encoder: Any) -> None:
    dims = {
        dim: CollectionSpec.preset("balanced", make_encoder(dim).space).mrl for dim in (8, 64, 384, 768, 1024, 3072)
    }
    assert dims == {8: (), 64: (32,), 384: (128,), 768: (256,), 1024: (352,), 3072: (1024,)}
    with pytest.raises(InputError, match="presets are"):
        CollectionSpec.preset("best", make_encoder(8).space)  # type: ignore[arg-type]


def test_an_estimate_by_hand(make_encoder: Any) -> None:
    space = make_encoder(768).space
    balanced = estimate(CollectionSpec.preset("balanced", space), space, 100_000)
    small = estimate(CollectionSpec.preset("small", space), space, 100_000)
    exact = estimate(CollectionSpec.preset("exact", space), space, 100_000)
    assert (balanced.quantized, small.quantized, exact.quantized) == (26_000_000, 13_600_000, 0)
    assert balanced.float32 == 307_200_000
    assert balanced.pinned * 8 <= balanced.float32
    assert small.pinned * 16 <= small.float32
    assert exact.pinned == 0
    assert small.disk < balanced.disk
    assert str(balanced).startswith("100,000 documents: about 35 MB of memory (26 MB vectors, ")
    with pytest.raises(InputError):
        estimate(CollectionSpec.preset("exact", space), space, 0)


@pytest.mark.parametrize("dim", [256, 384, 512, 768, 1024, 1536, 3072])
def test_the_default_is_balanced_and_keeps_its_promise_of_memory(make_encoder: Any, dim: int) -> None:
    space = make_encoder(dim, canaries=False).space
    spec = CollectionSpec.for_space(space)
    assert spec == CollectionSpec.preset("balanced", space)
    size = estimate(spec, space, 1_000_000)
    assert size.pinned * (8 if dim >= 384 else 6) <= size.float32


def test_an_estimate_of_bm25_vectors(make_encoder: Any) -> None:
    space = make_encoder(768, canaries=False).space
    plain, bm25 = (estimate(CollectionSpec(sparse=kind), space, 1000, text_bytes=1200) for kind in ("none", "bm25"))
    assert (plain.bm25, bm25.bm25) == (0, 1000 * 100 * 8)  # a different word every 12 bytes, 8 bytes each
    assert bm25.memory - plain.memory == bm25.bm25
    assert "BM25" in str(bm25)
    assert "BM25" not in str(plain)


def test_explain_shows_what_is_sent_and_why(leaf: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    client, sent = QdrantClient(":memory:"), []
    plain = client.query_points
    monkeypatch.setattr(client, "query_points", lambda *a, **k: sent.append(k) or plain(*a, **k))
    spec = CollectionSpec(mrl=(16,), quantization="turbo1")
    with LeafCollection.create("docs", leaf, spec=spec, client=client) as docs:
        options: dict[str, Any] = {"limit": 3, "where": {"lang": "en"}, "score_threshold": 0.5, "oversampling": 2}
        docs.index([Document(1, "topic1")])
        explained = docs.explain("topic1", **options)
        assert sent == []
        docs.search("topic1", **options)
        exact = docs.explain("topic1", exact=True)
    stage = explained.request["prefetch"]
    assert models.Prefetch.model_validate(stage) == sent[0]["prefetch"]
    assert models.SearchParams.model_validate(explained.request["params"]) == sent[0]["search_params"]
    assert stage["limit"] == 4 * 400
    assert stage["params"]["quantization"] == {"ignore": False, "rescore": True, "oversampling": 2.0}
    text = str(explained)
    assert text.startswith("POST /collections/docs/points/query")
    for part in (
        "quantized by turbo1, 1 bits per dimension",
        "4 times more",
        "both stages",
        "quantization.ignore",
        "below 0.5",
        "64 floats",
    ):
        assert part in text
    assert "prefetch" not in exact.request
    assert "slow and complete" in str(exact)
    client.close()


@pytest.mark.parametrize(
    "options",
    [
        {"datatype": "float64"},
        {"binary_query": "x"},
        {"full_memory": "pinned"},
        {"codes_memory": "ram"},
        {"payload_indexes": {"a": "blob"}},
        {"payload_indexes": [("a",)]},
        {"shard_number": 0},
        {"replication_factor": True},
        {"quantization": 8},
    ],
    ids=str,
)
def test_specs_that_cannot_be(options: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        CollectionSpec(**options)


def test_shards_and_replicas_reach_the_client(leaf: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    client, sent = QdrantClient(":memory:"), []
    plain = client.create_collection
    monkeypatch.setattr(client, "create_collection", lambda *a, **k: sent.append(k) or plain(*a, **k))
    spec = CollectionSpec(mrl=(16,), shard_number=3, replication_factor=2, write_consistency_factor=1)
    LeafCollection.create("docs", leaf, spec=spec, client=client).close()
    assert [sent[0][k] for k in ("shard_number", "replication_factor", "write_consistency_factor")] == [3, 2, 1]
    client.close()
