"""Options as values: conditions on payloads, and where a collection lies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from leaf_embed.cli.options import conditions, place
from leaf_embed.errors import InputError


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([], {}),
        (["lang=en", "n=3", "on=true"], {"lang": "en", "n": 3, "on": True}),
        (["lang!=en"], {"lang": {"not": "en"}}),
        (["year>=1990", "year<2000"], {"$and": [{"year": {"gte": 1990}}, {"year": {"lt": 2000}}]}),
        (["half>1.5"], {"half": {"gt": 1.5}}),
        (["half=-.5"], {"half": {"gte": -0.5, "lte": -0.5}}),
        (["half!=2.5"], {"$not": {"half": {"gte": 2.5, "lte": 2.5}}}),
        (["day<=2024-01-31"], {"day": {"lte": "2024-01-31"}}),
        (['lang=["en","de"]', "n!=[1, 2]"], {"lang": ["en", "de"], "n": {"not": [1, 2]}}),
        (['number="3"'], {"number": "3"}),
        (["note", "!gone"], {"note": {"not": None}, "gone": None}),
        (["url=https://a.org/?b=c"], {"url": "https://a.org/?b=c"}),
        (["a.b=x y"], {"a.b": "x y"}),
    ],
)
def test_conditions(given: list[str], expected: dict[str, Any]) -> None:
    assert conditions(given) == expected


@pytest.mark.parametrize("given", ["=en", "", "!lang=en", "lang=[1", ">=3"])
def test_what_is_no_condition(given: str) -> None:
    with pytest.raises(InputError, match="--where"):
        conditions([given])


@pytest.mark.parametrize("given", [(None, None), (Path("a"), "http://localhost:6333")])
def test_a_collection_lies_in_one_place(given: tuple[Path | None, str | None]) -> None:
    with pytest.raises(InputError, match=r"either --path .* or --url"):
        place(*given)
    assert place(Path("a"), None) == {"path": Path("a")}
