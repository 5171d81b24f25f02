"""Pages of a search: one ranking, however deep, and deep hits as exact as the first."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import pytest

from leaf_embed import EmbeddingSpace
from leaf_embed.encoders import FunctionEncoder
from leaf_embed.qdrant import CollectionSpec, Document, LeafCollection, Search
from leaf_embed.qdrant.query.pages import Pages

DIM, COUNT = 48, 1500
SPEC = CollectionSpec(mrl=(8,), quantization="none")


def letters(text: str) -> Any:
    """A vector that only its text decides, whose first dimensions say little of the whole."""
    return np.random.default_rng(zlib.crc32(text.encode())).normal(size=DIM)


@pytest.fixture(scope="module")
def docs(tmp_path_factory: pytest.TempPathFactory) -> Any:
    leaf = FunctionEncoder(EmbeddingSpace("random", DIM), document=lambda texts: np.stack([*map(letters, texts)]))
    path = tmp_path_factory.mktemp("pages")
    with LeafCollection.create("docs", leaf, path=path, spec=SPEC, check_canaries=False) as made:
        made.index([Document(n, f"word{n % 7} number{n}") for n in range(COUNT)])
        yield made


@pytest.mark.parametrize("options", [{}, {"exact": True}, {"where": {"$id": {"lt": 900}}}])
def test_no_hit_stands_on_two_pages_or_on_none(docs: LeafCollection, options: dict[str, Any]) -> None:
    for number in range(2):
        query = f"word{number} query"
        pages = [docs.search(query, limit=10, offset=start, **options) for start in range(0, 300, 10)]
        found = [hit.id for page in pages for hit in page]
        assert [len(page) for page in pages] == [10] * 30
        assert len(set(found)) == 300
        assert found[:10] == [hit.id for hit in docs.search(query, limit=10, **options)]
        assert [hit.id for hit in docs.search(query, limit=10, offset=5, **options)] == found[5:15]


def test_the_last_page_ends(docs: LeafCollection) -> None:
    found = [hit.id for start in range(0, 1600, 100) for hit in docs.search("a", limit=100, offset=start)]
    assert sorted(found) == list(range(COUNT))


@pytest.mark.parametrize("limit", [10, 50, 100])
def test_deep_hits_are_as_exact_as_the_first(docs: LeafCollection, limit: int) -> None:
    """In a space whose first stage is bad: a sixth of the dimensions of random vectors."""
    kept = [
        {hit.id for hit in docs.search(f"query {n}", limit=limit)}
        & {hit.id for hit in docs.search(f"query {n}", limit=limit, exact=True)}
        for n in range(10)
    ]
    assert np.mean([len(both) / limit for both in kept]) > {10: 0.6, 50: 0.98, 100: 0.98}[limit]


@pytest.mark.parametrize("offset", [0, 1, 9, 10, 95, 400])
def test_a_page_out_of_rankings_that_disagree(offset: int) -> None:
    """Each deeper ranking shuffles the documents anew, as other candidates may."""
    rows = np.random.default_rng(0)
    rankings = {depth: rows.permutation(500).tolist() for depth in (10, 100, 1000)}

    def page(start: int) -> list[int]:
        pages = Pages(Search(limit=10, offset=start))
        found = [rankings[depth][: search.limit] for search, depth in pages.searches()]
        return pages.page(found, int)

    every = [hit for start in range(0, 500, 10) for hit in page(start)]
    assert sorted(every) == list(range(500))
    assert page(offset) == every[offset : offset + 10]


def test_one_search_where_the_ranking_is_fixed() -> None:
    for options in ({"offset": 0}, {"offset": 20, "exact": True}, {"offset": 20, "candidates": 99}):
        search = Search(limit=10, **options)
        assert Pages(search).searches() == [(search, 10 + search.offset)]
