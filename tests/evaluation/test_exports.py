"""Run files and the JSON Schema, read by other programs: pytrec_eval and jsonschema."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import jsonschema
import numpy as np
import pyarrow.parquet as pq
import pytest

from leaf_embed.errors import InputError
from leaf_embed.evaluation import EvaluationReport, evaluate, report_schema
from leaf_embed.evaluation.agreement import OwnTexts
from leaf_embed.evaluation.report.exports import write_scores
from leaf_embed.evaluation.tasks import SimilaritySet
from tests.evaluation.test_compare import DOCUMENTS, SETS, make_set
from tests.evaluation.words import Words

pytrec_eval = pytest.importorskip("pytrec_eval")

NAMES = {"ndcg_cut_10": "nDCG@10", "recall_100": "Recall@100", "map_cut_100": "MAP@100"}
OWN = OwnTexts(tuple("abcdef"), tuple(DOCUMENTS[:6]))
TASK = SimilaritySet("pairs", ("a", "a b", "c"), ("a", "b", "d"), (1.0, 0.5, 0.0))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def report(runs: Path) -> EvaluationReport:
    found = evaluate(
        Words(noise=2), Words(), SETS, [16], ["int8"], runs=runs, rotation="fitted", tasks=[TASK], own=(OWN, OWN)
    )
    return replace(found, name="leaf")


def test_trec_eval_finds_the_same_scores_in_the_runs(runs: Path, report: EvaluationReport) -> None:
    assert len(list(runs.iterdir())) == sum(len(one.points) for one in report.sets) * 3
    for dataset, one in zip(SETS, report.sets, strict=True):
        judge = pytrec_eval.RelevanceEvaluator(dict(dataset.qrels), {"ndcg_cut.10", "recall.100", "map_cut.100"})
        for point in one.points:
            for mode, result in point.results.items():
                label = f"{point.dim}{'-rotated' if point.rotated else ''}"
                with (runs / f"{one.name}.{label}.{point.quantization}.{mode}.trec").open() as stream:
                    found = judge.evaluate(pytrec_eval.parse_run(stream))
                for name, ours in NAMES.items():
                    scores = [found[query][name] for query in one.query_ids]
                    np.testing.assert_allclose(scores, result.scores[ours], atol=1e-9)


def test_the_report_follows_its_schema(report: EvaluationReport) -> None:
    schema = report_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    value = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    jsonschema.validate(value, schema)
    known = schema["properties"]
    assert set(value) <= set(known)
    assert set(value["sets"][0]) <= set(schema["$defs"]["set"]["properties"])
    for change in ({"version": 2}, {"sets": [{}]}, {"mean": [{"dim": 0}]}, {"verdict": {"status": "maybe"}}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**value, **change}, schema)


def test_ids_that_a_run_cannot_name_are_refused_before_the_work(tmp_path: Path) -> None:
    one = make_set("one", 0)
    blank = replace(one, document_ids=("d 0", *one.document_ids[1:]))
    leaf = Words()
    with pytest.raises(InputError, match="id 'd 0' of the set 'one' is empty or holds a blank"):
        evaluate(leaf, Words(), [blank], runs=tmp_path)
    assert not leaf.seen


def test_half_an_emoji_in_an_id_or_a_text_loses_no_report(tmp_path: Path) -> None:
    one = make_set("one", 0)
    odd = replace(
        one,
        query_ids=("q\ud83d", *one.query_ids[1:]),
        queries=("\ud83d", *one.queries[1:]),
        qrels={"q\ud83d": one.qrels["q0"], **one.qrels},
    )
    found = evaluate(Words(noise=6), Words(), [odd], latency_queries=0, runs=tmp_path / "runs", worst=40)
    report, _, _ = found.save_all(tmp_path / "report.json")
    assert json.loads(report.read_text())["sets"][0]["per_query"]["query_ids"][0] == "q\ud83d"
    table = pq.read_table(write_scores(tmp_path / "s.parquet", found.sets)).to_pylist()
    assert table[0]["query_id"] == "q\ufffd"
