"""Payloads of other programs: read as they mean them, written as they write them, never mixed."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from qdrant_client import QdrantClient, models

from leaf_embed.errors import InputError
from leaf_embed.qdrant import Document, LeafCollection, PayloadLayout, read_metadata
from leaf_embed.qdrant.schema.payload_layout import LANGCHAIN, OWN, find_layout

FLAT = PayloadLayout("body")
IDS = [uuid.UUID(int=n).hex for n in range(12)]  # as langchain_qdrant makes them


def written(leaf: Any, payloads: list[dict[str, Any]], key: str) -> QdrantClient:
    """A collection whose vectors are those of the texts under a key, with ids as another program gives them."""
    client = QdrantClient(":memory:")
    client.create_collection("theirs", models.VectorParams(size=64, distance=models.Distance.COSINE))
    rows = leaf.encode_document([payload[key] for payload in payloads]).tolist()
    points = zip(IDS, rows, payloads, strict=False)
    client.upsert("theirs", [models.PointStruct(id=str(uuid.UUID(i)), vector=r, payload=p) for i, r, p in points])
    return client


def payloads_of(client: QdrantClient) -> list[Any]:
    return [record.payload for record in client.scroll("theirs", limit=100)[0]]


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ({"page_content": "a", "metadata": {"page": 1}}, LANGCHAIN),
        ({"page_content": "a", "metadata": None}, LANGCHAIN),
        ({"id": "x", "content": "a", "meta": {}}, PayloadLayout("content", "meta")),
        ({"text": "a", "page": 1}, PayloadLayout("text")),
        ({"id": "x", "title": "", "text": "a", "hash": "0", "payload": {}}, OWN),
    ],
)
def test_layouts_are_recognised(payload: dict[str, Any], expected: PayloadLayout) -> None:
    assert find_layout([payload], None, None) == expected


def test_what_the_caller_names_wins() -> None:
    payload = {"page_content": "a", "metadata": {}, "body": "b"}
    assert find_layout([payload], "body", None) == PayloadLayout("body")
    assert find_layout([payload], "body", "metadata") == PayloadLayout("body", "metadata")
    assert find_layout([payload], "page_content", "") == PayloadLayout("page_content")


def test_llama_indexs_nodes_are_named() -> None:
    with pytest.raises(InputError, match=r"LlamaIndex's nodes .* leaf_embed_llama_index"):
        find_layout([{"_node_content": "{}", "doc_id": "a"}], None, None)


def test_metadata_is_what_it_was_and_writing_keeps_the_layout(leaf: Any, texts: list[str]) -> None:
    theirs: list[dict[str, Any]] = [
        {"page_content": text, "metadata": {"page": n, "none": None} if n else None}
        for n, text in enumerate(texts[:12])
    ]
    client = written(leaf, theirs, "page_content")
    docs = LeafCollection.adopt("theirs", leaf, client=client)
    assert read_metadata("theirs", client=client).payload_layout == LANGCHAIN
    found = docs.search(texts[3], where={"page": 3})
    assert [(hit.id, hit.text, hit.payload) for hit in found] == [
        (str(uuid.UUID(IDS[3])), texts[3], {"page": 3, "none": None})
    ]
    same = [Document(IDS[n], texts[n], payload=theirs[n]["metadata"] or {}) for n in range(12)]
    report = docs.index(same)
    assert (report.unchanged, report.embedded, docs.count()) == (12, 0, 12)
    report = docs.index([Document(IDS[5], texts[5], payload={"page": 50}), Document(IDS[6], "topic1 new")])
    assert (report.payload_updated, report.updated, docs.count()) == (1, 1, 12)
    docs.index([Document("my-id", "topic2 new", title="A title", payload={"page": 99})])
    payloads = payloads_of(client)
    assert all(set(p) - {"leaf_id", "leaf_title"} == {"page_content", "metadata"} for p in payloads)
    assert {p["page_content"]: p["metadata"] for p in payloads}["topic1 new"] == {}
    mine = docs.get(["my-id"])[0]
    assert (mine.id, mine.title, mine.text, mine.payload) == ("my-id", "A title", "topic2 new", {"page": 99})
    assert docs.index([Document("my-id", "topic2 new", title="A title", payload={"page": 99})]).unchanged == 1
    assert docs.delete(["my-id"]) == 1
    opened = LeafCollection.open("theirs", leaf, client=client)
    assert opened.search(texts[3], where={"page": 3})[0].payload == {"page": 3, "none": None}


def test_a_flat_payload(leaf: Any, texts: list[str]) -> None:
    client = written(leaf, [{"body": text, "page": n} for n, text in enumerate(texts[:12])], "body")
    docs = LeafCollection.adopt("theirs", leaf, client=client, text_key="body")
    assert docs.search(texts[3], where={"page": 3})[0].payload == {"page": 3}
    assert docs.index([Document(IDS[n], texts[n], payload={"page": n}) for n in range(12)]).unchanged == 12
    docs.index([Document(IDS[0], "topic1 new", payload={"page": 7})])
    assert {"body": "topic1 new", "page": 7} in payloads_of(client)
    with pytest.raises(InputError, match="a field 'body', which in this collection is the name of the text"):
        docs.index([Document("x", "a", payload={"body": 1})])
    assert docs.count() == 12


def test_haystacks_is_read_and_not_written(leaf: Any, texts: list[str]) -> None:
    client = written(leaf, [{"id": t, "content": t, "meta": {"n": n}} for n, t in enumerate(texts[:12])], "content")
    docs = LeafCollection.adopt("theirs", leaf, client=client)
    assert docs.search(texts[3], where={"n": 3})[0].payload == {"n": 3}
    before = payloads_of(client)
    with pytest.raises(InputError, match="Haystack's own store"):
        docs.index([Document("x", "topic1")])
    assert payloads_of(client) == before


@pytest.mark.parametrize("layout", [OWN, LANGCHAIN, FLAT])
def test_what_is_stored_is_read_back(layout: PayloadLayout) -> None:
    document = Document("a b", "text", title="title", payload={"n": 1, "deep": {"x": [None]}})
    stored = layout.stored(document, "00000000-0000-0000-0000-000000000001", "fingerprint")
    read = layout.fields("00000000-0000-0000-0000-000000000001", stored)
    assert Document(**read) == document
    assert layout.change(document, stored, "fingerprint") == "none"
    assert (
        layout.change(Document("a b", "text", title="other", payload=document.payload), stored, "fingerprint") == "text"
    )
    assert layout.change(Document("a b", "text", title="title"), stored, "fingerprint") == "payload"
    assert layout.embedded_text(stored) == document.embedded_text
