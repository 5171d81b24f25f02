"""What becomes of values that JSON does not have, and which are refused."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import pathlib
import uuid
from typing import Any

import numpy as np
import pytest

from leaf_embed.errors import InputError
from leaf_embed.qdrant import Document, LeafCollection


class Colour(enum.Enum):
    RED = "red"


DAY = dt.date(2024, 5, 2)
NOON = dt.datetime(2024, 5, 2, 12, tzinfo=dt.timezone.utc)
STORED: dict[str, tuple[Any, Any]] = {
    "day": (DAY, "2024-05-02"),
    "moment": (NOON, "2024-05-02T12:00:00+00:00"),
    "clock": (dt.time(9, 30), "09:30:00"),
    "uuid": (uuid.UUID(int=7), "00000000-0000-0000-0000-000000000007"),
    "path": (pathlib.PurePosixPath("a/b"), "a/b"),
    "decimal": (decimal.Decimal("0.75"), 0.75),
    "whole decimal": (decimal.Decimal("5.00"), 5),
    "enum": (Colour.RED, "red"),
    "int64": (np.int64(5), 5),
    "float32": (np.float32(0.5), 0.5),
    "array": (np.array([[1, 2]]), [[1, 2]]),
    "truth": (np.bool_(True), True),
    "tuple": ((1, (DAY,)), [1, ["2024-05-02"]]),
    "set": ({3, 1, "a"}, [1, 3, "a"]),
    "half an emoji": ("a\ud83d", "a\ufffd"),
    "null": (None, None),
}


@pytest.fixture
def docs(home: Any, leaf: Any) -> Any:
    with LeafCollection.create("docs", leaf, **home) as collection:
        yield collection


def test_each_value_comes_back_as_the_table_says(docs: LeafCollection) -> None:
    docs.index([Document("a", "topic1", payload={name: value for name, (value, _) in STORED.items()})])
    assert docs.get(["a"])[0].payload == {name: stored for name, (_, stored) in STORED.items()}


@pytest.mark.parametrize(
    "name", ["day", "moment", "uuid", "path", "decimal", "whole decimal", "enum", "int64", "float32", "half an emoji"]
)
def test_what_was_stored_is_found_by_the_same_value(docs: LeafCollection, name: str) -> None:
    value = STORED[name][0]
    docs.index([Document("a", "topic1", payload={name: value}), Document("b", "topic2", payload={name: "other"})])
    assert [found.id for found in docs.iter_documents(where={name: value})] == ["a"]
    assert [found.id for found in docs.iter_documents(where={name: [value]})] == ["a"]
    assert [found.id for found in docs.iter_documents(where={name: {"not": value}})] == ["b"]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (float("nan"), "payload under 'bad'"),
        (decimal.Decimal("Infinity"), "payload under 'bad'"),
        (np.float32("inf"), "payload under 'bad'"),
        (b"bytes", "an object of type bytes is not JSON"),
        (2**63, "more than 64 bits"),
        ({"deep": [object()]}, "an object of type object is not JSON"),
        ({(1, 2): "x"}, "keys must be str"),
    ],
)
def test_what_cannot_be_stored_is_named(value: Any, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        Document("d7", "x", payload={"fine": 1, "bad": value})
    assert "document 'd7'" in str(caught.value)


def test_keys_that_are_no_text_and_half_characters_in_keys(docs: LeafCollection) -> None:
    docs.index([Document("a", "topic1", payload={1: "x", "k\ud800": "y"})])  # type: ignore[dict-item]
    assert docs.get(["a"])[0].payload == {"1": "x", "k\ufffd": "y"}


@pytest.mark.parametrize("where", [{"n": 5}, {"n": 5.0}, {"n": [5, 7]}, {"n": {"gte": np.int64(5), "lte": 5.0}}])
def test_a_number_finds_its_whole_and_its_decimal_form(docs: LeafCollection, where: Any) -> None:
    rows = {"whole": 5, "decimal": 5.0, "near": 5.5, "text": "5", "truth": True}
    docs.index([Document(name, f"topic {name}", payload={"n": value}) for name, value in rows.items()])
    assert {found.id for found in docs.iter_documents(where=where)} == {"whole", "decimal"}
    assert {found.id for found in docs.iter_documents(where={"n": [5.5, 0.75]})} == {"near"}


@pytest.mark.parametrize(
    ("where", "found"),
    [
        ({"First Name": "x"}, "space"),
        ({"a/b": "x"}, "slash"),
        ({"A&B": "x"}, "sign"),
        ({"größe": "x"}, "umlaut"),
        ({'"file.name"': "x"}, "dot"),
        ({"file.name": "x"}, "nested"),
        ({"tags[0]": "x"}, "list"),
        ({"tags": "x"}, "list"),
    ],
)
def test_names_of_fields_with_any_characters(docs: LeafCollection, where: Any, found: str) -> None:
    payloads: dict[str, dict[str, Any]] = {
        "space": {"First Name": "x"},
        "slash": {"a/b": "x"},
        "sign": {"A&B": "x"},
        "umlaut": {"größe": "x"},
        "dot": {"file.name": "x"},
        "nested": {"file": {"name": "x"}},
        "list": {"tags": ["x", "y"]},
    }
    docs.index([Document(name, f"topic {name}", payload=payload) for name, payload in payloads.items()])
    assert [document.id for document in docs.iter_documents(where=where)] == [found]
