"""tune measures against exact search, never changes the collection, and marks the fastest row that is good enough."""

from __future__ import annotations

from typing import Any

import pytest

from leaf_embed.errors import InputError
from leaf_embed.qdrant import CollectionSpec, Document, LeafCollection, TuneGrid, tune

SPEC = CollectionSpec(mrl=(16, 8), index_from_kb=10)
GRID = TuneGrid(candidates=(10, 200), oversampling=(None, 2.0), target=0.95)


def test_a_table_and_a_recommendation(home: Any, leaf: Any, texts: list[str], queries: list[str]) -> None:
    with LeafCollection.create("docs", leaf, spec=SPEC, **home) as docs:
        docs.index([Document(i, text) for i, text in enumerate(texts[:500])])
        leaf.asked.clear()
        small = CollectionSpec(mrl=(16,), quantization="turbo4", index_from_kb=10)
        report = tune(docs, [*queries[:20], leaf.encode_query("topic1")], GRID, specs={"small": small})
        assert leaf.embedded == []
        assert docs.count() == 500
        with pytest.raises(InputError, match="fifty or more"):
            tune(docs, [])
    rows = {(r.spec, r.mrl, r.candidates, r.oversampling): r for r in report.rows}
    assert len(rows) == len(report.rows) == (1 + 2 * 2 * 2) + (1 + 2 * 2)
    assert rows["as stored", None, None, None].recall == 1
    assert rows["as stored", 16, 200, None].recall > rows["as stored", 8, 10, None].recall
    assert rows["small", 16, 200, None].bytes_per_vector < rows["as stored", 16, 200, None].bytes_per_vector
    assert report.recommended.recall >= 0.95
    assert report.recommended.p50_ms == min(r.p50_ms for r in report.rows if r.recall >= 0.95)
    lines = str(report).splitlines()
    assert len(lines) == len(report.rows) + 2
    assert sum("take this" in line for line in lines) == 1
    assert lines[-1] == "21 queries; the marked row reaches a recall of 0.95."


def test_what_cannot_be_tuned(home: Any, leaf: Any) -> None:
    with LeafCollection.create("docs", leaf, spec=SPEC, **home) as docs, pytest.raises(InputError, match="is empty"):
        tune(docs, ["x"])
    for bad in ({"candidates": (5,)}, {"candidates": ()}, {"target": 0}, {"sample": 0}):
        with pytest.raises(InputError):
            TuneGrid(**bad)  # type: ignore[arg-type]
