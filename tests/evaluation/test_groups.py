"""Groups of queries and routing, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from leaf_embed.evaluation.beir import RetrievalSet
from leaf_embed.evaluation.groups import kind_of, query_groups, rarest_words, routing

QUERIES = ("what is rain", "red river", "the long way from the old town to the sea", "zebra", "rain?")
SET = RetrievalSet(
    "tiny",
    tuple("abcd"),
    ("The rain in town", "red rain", "river", "what rain is"),
    tuple("vwxyz"),
    QUERIES,
    {query: {"a": 1} for query in "vwxyz"},
)
TEACHER = np.array([1.0, 0.8, 0.6, 0.4, 0.2])
LEAF = np.array([1.0, 0.4, 0.6, 0.0, 0.3])


def test_every_query_is_in_one_group_of_each_kind() -> None:
    found = query_groups(SET, LEAF, TEACHER)
    rows = {(one.by, one.group): (one.queries, one.teacher, one.leaf) for one in found}
    assert rows[("length", "1-2 words")] == pytest.approx((3, 1.4 / 3, 0.7 / 3))
    assert rows[("length", "6-10 words")] == pytest.approx((1, 0.6, 0.6))
    assert rows[("kind", "question")] == pytest.approx((2, 0.6, 0.65))
    assert rows[("kind", "sentence")][0] == 1
    assert rows[("rarity", "in no document")] == pytest.approx((2, 0.5, 0.3))
    for by in ("length", "rarity", "kind"):
        assert sum(one.queries for one in found if one.by == by) == 5
    shares = [one.retention for one in found if one.group == "6-10 words"]
    assert shares[0] is not None
    assert not shares[0].has_interval
    assert found[0].to_dict()["retention"]["low"] is None


def test_the_rarest_word() -> None:
    assert rarest_words(SET).tolist() == [0.25, 0.25, 0, 0, 0.75]


def test_routing_from_none_to_all() -> None:
    curves = routing(SET, LEAF, TEACHER)
    for curve in curves.values():
        assert curve[0] == (0.0, pytest.approx(2.3 / 3.0))
        assert curve[-1] == (1.0, pytest.approx(1.0))
    at_a_fifth = {name: dict(curve)[0.2] for name, curve in curves.items()}
    assert at_a_fifth["largest loss first"] == pytest.approx(2.7 / 3)
    assert at_a_fifth["longest first"] == pytest.approx(2.3 / 3)
    assert at_a_fifth["shortest first"] == pytest.approx(2.7 / 3)  # "zebra"
    assert routing(SET, LEAF, np.zeros(5)) == {}


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("How to swim", "question"),
        ("swimming lessons?", "question"),
        ("", "keywords"),
        ("swim lessons berlin", "keywords"),
        ("a b c d e f g h", "sentence"),
    ],
)
def test_kinds(text: str, kind: str) -> None:
    assert kind_of(text) == kind
