"""Two reports side by side."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import leaf_embed.distill
import leaf_embed.evaluation
import leaf_embed.export
from leaf_embed.errors import InputError
from leaf_embed.evaluation import RetrievalSet, evaluate
from leaf_embed.evaluation.compare import compare_reports
from leaf_embed.evaluation.intervals import difference
from leaf_embed.evaluation.randomisation import holm
from leaf_embed.evaluation.report.comparison import comparison_page
from leaf_embed.reports import read_report
from tests.conftest import sentences
from tests.evaluation.test_page import Balance, tables_of
from tests.evaluation.words import Words

DOCUMENTS = sentences(90, seed=3)


def make_set(name: str, start: int, queries: int = 40) -> RetrievalSet:
    asked = [" ".join(text.split()[:3]) for text in DOCUMENTS[start : start + queries]]
    return RetrievalSet(
        name,
        tuple(f"d{i}" for i in range(90)),
        tuple(DOCUMENTS),
        tuple(f"q{i}" for i in range(queries)),
        tuple(asked),
        {f"q{i}": {f"d{start + i}": 1} for i in range(queries)},
    )


SETS = [make_set("one", 0), make_set("two", 45)]


def report(noise: float, sets: list[RetrievalSet] = SETS, name: str = "leaf") -> dict[str, Any]:
    found = evaluate(Words(noise=noise), Words(), sets, [16], latency_queries=0)
    value: dict[str, Any] = json.loads(json.dumps(replace(found, name=name).to_dict()))
    return value


def test_a_worse_leaf_is_told_from_chance() -> None:
    good, bad = report(1, name="good"), report(6, name="bad")
    found = compare_reports(good, bad)
    assert found.names == ("good", "bad")
    assert [(delta.name, delta.mode) for delta in found.deltas] == [
        (name, mode) for mode in ("asymmetric", "symmetric") for name in ("one", "two", "mean of 2")
    ]
    first = found.deltas[0]
    left, right = (np.array(value["sets"][0]["per_query"]["asymmetric"]) for value in (good, bad))
    assert first.difference == difference(left, right)
    assert first.first == pytest.approx(good["sets"][0]["points"][0]["modes"]["asymmetric"]["nDCG@10"], abs=1e-4)
    mean = found.deltas[2]
    assert mean.second - mean.first == pytest.approx(mean.difference.value)
    assert mean.difference.high < 0
    assert {point.label for point in found.points} == {"16 float32"}
    assert "worse" in str(found)


def test_the_page_of_a_comparison() -> None:
    good, bad = report(1, name="good"), report(6, name="<bad> & worse")
    found = compare_reports(good, bad)
    page = comparison_page(found.to_dict(), good, bad)
    checker = Balance()
    checker.feed(page)
    assert checker.open == []
    assert "script" not in checker.seen
    assert "<bad>" not in page
    assert '<p class="verdict worse"><b>\u2717 worse</b>&lt;bad&gt; &amp; worse is worse than good; ' in page
    assert page.count("<svg") == 1
    tables = tables_of(page)
    head, rows = tables["nDCG@10 at full dimensions in float32"]
    assert head[2:] == ["good", "&lt;bad&gt; &amp; worse", "difference (95 %)", "p (Holm)", "verdict"]
    assert len(rows) == len(found.deltas) == 6
    for row, delta in zip(rows, found.deltas, strict=True):
        assert row[2:4] == [f"{delta.first:.4f}", f"{delta.second:.4f}"]
        assert row[4].startswith(f"{delta.difference.value:+.4f} ({delta.difference.low:+.4f} to ")
        assert row[6].endswith(delta.verdict)
    assert len(tables["nDCG@10 at the other points, mean over the sets"][1]) == len(found.points)
    measured = {row[0]: row[1:] for row in tables["How it was measured"][1]}
    assert measured["leaf"] == ["good", "&lt;bad&gt; &amp; worse"]
    assert measured["date"] == [good["provenance"]["date"], bad["provenance"]["date"]]
    same = compare_reports(good, good)
    again = comparison_page(same.to_dict(), good, good)
    assert f'<p class="verdict same"><b>\u25cb no difference shown</b>{same.deltas[2].verdict}; ' in again


def test_a_leaf_against_itself() -> None:
    value = report(2)
    found = compare_reports(value, value)
    assert all(delta.difference.value == 0 and not delta.difference.is_clear for delta in found.deltas)
    assert found.names == ("leaf (A)", "leaf (B)")
    for delta in found.deltas:
        assert delta.p == 1
        assert delta.verdict == f"no difference larger than ±{delta.difference.high:.4f} shown"


def test_different_sets_are_refused() -> None:
    whole = report(1)
    with pytest.raises(InputError, match="different sets: one, two and one"):
        compare_reports(whole, report(1, SETS[:1]))
    with pytest.raises(InputError, match="'one' has 40 queries and 90 documents in one report, 30 and 90"):
        compare_reports(report(1, SETS[:1]), report(1, [make_set("one", 0, 30)]))


def test_p_values_are_adjusted_over_all_sets_and_modes() -> None:
    found = compare_reports(report(2), report(3))
    assert [delta.p for delta in found.deltas] == holm([delta.difference.p for delta in found.deltas])
    assert all(("worse" in delta.verdict) == (delta.p <= 0.05) for delta in found.deltas)
    text = json.dumps(found.to_dict(), allow_nan=False)
    assert json.loads(text)["deltas"][0]["verdict"] == found.deltas[0].verdict


def test_other_judgements_are_refused() -> None:
    one = make_set("one", 0)
    other = replace(one, qrels={query: {f"d{i + 1}": 1} for i, query in enumerate(one.query_ids)})
    with pytest.raises(InputError, match="'one' has other queries or judgements"):
        compare_reports(report(1, [one]), report(1, [other]))
    asked = replace(one, queries=tuple(f"{text} x" for text in one.queries))
    with pytest.raises(InputError, match="'one' has other queries or judgements"):
        compare_reports(report(1, [one]), report(1, [asked]))


def test_one_teacher_has_one_score() -> None:
    first, second = report(1), report(1)
    second["sets"][0]["per_query"]["teacher"] = [score * 0.9 for score in second["sets"][0]["per_query"]["teacher"]]
    with pytest.raises(InputError, match=r"of one teacher on 'one' differs by 0"):
        compare_reports(first, second)
    compare_reports(first, {**second, "fingerprint": "another"})


def test_reports_of_an_earlier_release_are_compared_with_a_note() -> None:
    first = report(1)
    old = {**first, "version": 2, "sets": [{k: v for k, v in one.items() if k != "data"} for one in first["sets"]]}
    assert any("does not say which judgements" in note for note in compare_reports(old, first).notes)


def test_reports_are_found_in_a_directory(tmp_path: Path) -> None:
    value = report(1)
    (tmp_path / "leaf.json").write_text("{}")
    (tmp_path / "damaged.json").write_text("{")
    with pytest.raises(InputError, match="no report of"):
        read_report(tmp_path)
    (tmp_path / "report.json").write_text(json.dumps(value))
    assert read_report(tmp_path) == read_report(tmp_path / "report.json") == value
    (tmp_path / "old.json").write_text(json.dumps({**value, "version": 1}))
    with pytest.raises(InputError, match=r"2 reports \(old.json, report.json\)"):
        read_report(tmp_path)
    with pytest.raises(InputError, match="version 1; this release reads 2 and 3"):
        read_report(tmp_path / "old.json")


def test_every_package_reads_reports_by_the_same_function() -> None:
    for package in (leaf_embed.distill, leaf_embed.evaluation, leaf_embed.export):
        assert package.read_report is read_report
