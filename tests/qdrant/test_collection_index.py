"""Documents go in once: again costs nothing, a change costs what changed, bad input costs nothing at all."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from leaf_embed.encoders import LeafEncoder
from leaf_embed.errors import InputError, LeafEmbedError, SpaceMismatchError, VectorError
from leaf_embed.qdrant import CollectionSpec, Document, IndexReport, LeafCollection

SPEC = CollectionSpec(mrl=(16,))


def counts(report: IndexReport) -> tuple[int, int, int, int]:
    return report.added, report.updated, report.payload_updated, report.unchanged


@pytest.fixture
def docs(home: Any, leaf: Any) -> Iterator[LeafCollection]:
    with LeafCollection.create("docs", leaf, spec=SPEC, **home) as collection:
        yield collection


def test_again_costs_no_embedding(docs: LeafCollection, leaf: Any) -> None:
    some = [
        Document(i, f"topic{i} word{i}", payload={"n": None, "x": [1.5, {"a": "é"}], "e": {}, "l": [[]]})
        for i in range(50)
    ]
    assert counts(docs.index(some, batch_size=7)) == (50, 0, 0, 0)
    assert len(leaf.embedded) == 50
    leaf.asked.clear()
    report = docs.index(some)
    assert counts(report) == (0, 0, 0, 50)
    assert (report.embedded, report.total) == (0, 50)
    assert leaf.asked == []
    assert docs.count() == 50


def test_only_what_changed_is_embedded(docs: LeafCollection, leaf: Any) -> None:
    docs.index([Document("a", "topic1"), Document("b", "topic2"), Document("c", "topic3"), Document("d", "topic4")])
    leaf.asked.clear()
    report = docs.index(
        [
            Document("a", "topic1"),
            Document("b", "topic9"),
            Document("c", "topic3", payload={"new": 1}),
            Document("d", "topic4", title="topic8"),
            Document("e", "topic5"),
        ]
    )
    assert counts(report) == (1, 2, 1, 1)
    assert sorted(leaf.embedded) == ["topic5", "topic8 topic4", "topic9"]
    assert docs.count() == 5
    assert docs.search("topic9", limit=1)[0].id == "b"
    third = docs.search("topic3", limit=1)[0]
    assert (third.id, third.text, third.payload) == ("c", "topic3", {"new": 1})


def test_a_payload_is_compared_as_json(docs: LeafCollection) -> None:
    docs.index([Document("a", "topic1", payload={"x": 1, "y": 2, "z": 1.0})])
    assert counts(docs.index([Document("a", "topic1", payload={"z": 1.0, "y": 2, "x": 1})])) == (0, 0, 0, 1)
    assert counts(docs.index([Document("a", "topic1", payload={"z": 1.0, "y": 2, "x": True})])) == (0, 0, 1, 0)
    assert docs.search("topic1")[0].payload["x"] is True


def test_an_unchanged_run_never_loads_the_teacher(home: Any, leaf: Any) -> None:
    some = [Document(1, "topic1")]
    with LeafCollection.create("docs", leaf, spec=SPEC, **home) as docs:
        docs.index(some)

    def teacher() -> Any:
        raise AssertionError("the teacher was loaded")

    with LeafCollection.open("docs", LeafEncoder(leaf, teacher), **home) as docs:
        assert counts(docs.index(some)) == (0, 0, 0, 1)
        assert docs.search("topic1")[0].id == 1


def test_a_generator_is_read_a_batch_at_a_time(docs: LeafCollection) -> None:
    ahead, seen = [0], []

    def stream() -> Iterator[dict[str, Any]]:
        for i in range(1000):
            ahead[0] = i + 1
            yield {"_id": f"d{i}", "text": f"topic{i}", "title": None, "year": 2000 + i}

    report = docs.index(stream(), batch_size=64, progress=lambda *step: seen.append((*step[1:3], ahead[0])))
    assert counts(report) == (1000, 0, 0, 0)
    assert docs.count() == 1000
    assert all(total is None and read == done for done, total, read in seen)
    assert [done for done, _, _ in seen] == [*range(64, 1000, 64), 1000]
    assert docs.search("topic17", limit=1)[0].payload == {"year": 2017}


def test_progress_knows_the_total_of_a_list(docs: LeafCollection) -> None:
    seen: list[Any] = []
    docs.index([Document(i, "text") for i in range(5)], batch_size=2, progress=lambda *step: seen.append(step))
    assert seen == [("index", done, 5, f"{done} embedded, rest known") for done in (2, 4, 5)]


def test_any_id_comes_back_as_it_was(docs: LeafCollection) -> None:
    ids: list[str | int] = [1, "1", "a/b c", "日本", -5, 2**62, "x" * 2000, "00000000-0000-0000-0000-000000000000"]
    docs.index([Document(name, f"topic{i}") for i, name in enumerate(ids)])
    assert [docs.search(f"topic{i}", limit=1)[0].id for i in range(len(ids))] == ids


def test_what_is_embedded_is_title_and_text(docs: LeafCollection, leaf: Any) -> None:
    docs.index([Document(1, "body", title="Title"), Document(2, "only body"), Document(3, "", title="only title")])
    assert leaf.embedded == ["Title body", "only body", "only title"]


def test_half_a_surrogate_pair_in_a_text_is_replaced(docs: LeafCollection) -> None:
    docs.index([Document(1, "topic1 \ud800")])
    assert docs.search("topic1")[0].text == "topic1 \ufffd"


BAD = {
    "not a document": [Document(1, "x"), "y"],
    "no id": [Document(1, "x"), {"text": "y"}],
    "no text": [Document(1, "x"), {"_id": "y"}],
    "text is no text": [{"_id": 1, "text": 3}],
    "id is no id": [{"_id": 1.5, "text": "x"}],
    "empty id": [{"_id": "", "text": "x"}],
    "payload is no JSON": [{"_id": 1, "text": "x", "payload": {"a": object()}}],
    "NaN in the payload": [{"_id": 1, "text": "x", "payload": {"a": float("nan")}}],
    "integer of more than 64 bits": [{"_id": 1, "text": "x", "a": {"b": [2**64]}}],
    "bytes in the payload": [{"_id": 1, "text": "x", "a": b"x"}],
    "surrogate in the id": [{"_id": "\ud800", "text": "x"}],
    "payload is no mapping": [{"_id": 1, "text": "x", "payload": [1]}],
    "nothing": [],
    "one document": Document(1, "x"),
    "one mapping": {"_id": 1, "text": "x"},
    "a text": "x",
    "no iterable": 3,
}


@pytest.mark.parametrize("batch_size", [1, 2, 3, 7])
def test_the_last_document_of_an_id_stays_wherever_batches_end(
    docs: LeafCollection, leaf: Any, batch_size: int
) -> None:
    twice = [Document("a", "first"), Document("b", "same"), Document("a", "last"), Document("b", "same")]
    report = docs.index([*twice, Document("c", "x"), Document("c", "x", payload={"n": 1})], batch_size=batch_size)
    assert counts(report) == (3, 1, 1, 1)
    assert docs.count() == 3
    assert {d.id: (d.text, d.payload) for d in docs.iter_documents()} == {
        "a": ("last", {}),
        "b": ("same", {}),
        "c": ("x", {"n": 1}),
    }
    assert sorted(leaf.embedded) == ["first", "last", "same", "x"], "the same text is embedded once"


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
def test_bad_input_writes_nothing(docs: LeafCollection, bad: Any) -> None:
    docs.index([Document("kept", "topic1")])
    with pytest.raises(InputError) as caught:
        docs.index(bad)
    assert len(str(caught.value)) > 40  # a sentence, not a repr
    assert docs.count() == 1
    assert docs.search("topic1")[0].text == "topic1"


def test_messages_name_the_document(docs: LeafCollection) -> None:
    with pytest.raises(InputError, match=r"document number 1 lacks '_id' and 'text'"):
        docs.index([Document("b", "x"), {"title": "y"}])
    with pytest.raises(InputError, match=r"document 'd7': its payload under 'b' cannot be stored as JSON"):
        Document("d7", "x", payload={"a": 1, "b": [object()]})


@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (lambda rows: rows[:, :32], VectorError),
        (lambda rows: np.where(np.arange(len(rows))[:, None] == 1, np.nan, rows), VectorError),
        (lambda rows: np.where(np.arange(len(rows))[:, None] == 1, np.inf, rows), VectorError),
        (lambda rows: rows * 0, VectorError),
        (lambda rows: rows[:-1], InputError),
        (lambda rows: rows[0], VectorError),
    ],
    ids=["wrong dim", "NaN", "infinity", "zeros", "a row short", "no matrix"],
)
def test_bad_vectors_write_nothing(home: Any, make_spoiled: Any, spoil: Any, error: type[LeafEmbedError]) -> None:
    encoder = make_spoiled(spoil)
    with LeafCollection.create("docs", encoder, spec=SPEC, **home) as docs:
        docs.index([Document("kept", "topic1")])
        with pytest.raises(error):
            docs.index([Document(i, f"spoil topic{i}") for i in range(9)])
        assert docs.count() == 1
        assert counts(docs.index([Document("kept", "topic1")])) == (0, 0, 0, 1)


def test_batches_before_a_bad_one_are_kept_and_the_rest_can_follow(docs: LeafCollection, leaf: Any) -> None:
    good: list[Any] = [Document(i, f"topic{i}") for i in range(10)]
    with pytest.raises(InputError, match="document number 7"):
        docs.index([*good[:7], 3.14, *good[7:]], batch_size=5)
    assert docs.count() == 5
    leaf.asked.clear()
    assert counts(docs.index(good)) == (5, 0, 0, 5)
    assert len(leaf.embedded) == 5


def test_a_document_encoder_of_another_model_is_refused(home: Any, leaf: Any, make_encoder: Any) -> None:
    """Right queries, wrong documents, the same fingerprint: only the canaries can tell."""

    class Mixed:
        space = leaf.space
        encode_query = staticmethod(leaf.encode_query)
        encode_document = staticmethod(make_encoder(model="b").encode_document)

    with LeafCollection.create("docs", Mixed(), spec=SPEC, **home) as docs:
        with pytest.raises(SpaceMismatchError, match="the document encoder does not write into the space"):
            docs.index([Document(1, "topic1")])
        assert docs.count() == 0


def test_a_document_is_a_copy() -> None:
    payload = {"a": (1, 2)}
    document = Document(1, "x", payload=payload)
    payload["b"] = 3  # type: ignore[assignment]
    assert document.payload == {"a": [1, 2]}


def test_none_is_no_progress(docs: LeafCollection) -> None:
    assert docs.index([Document(1, "text")], progress=None).added == 1
