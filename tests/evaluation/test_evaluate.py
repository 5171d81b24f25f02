"""The whole report, with encoders that can be followed by hand: a vector counts the letters a, b, c and d."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from leaf_embed.encoders import BaseEncoder, LeafEncoder
from leaf_embed.errors import InputError, SpaceMismatchError, VectorError
from leaf_embed.evaluation import EvaluationReport, RetrievalSet, evaluate
from leaf_embed.space import EmbeddingSpace, Role
from leaf_embed.vectors import FloatArray

SPACE = EmbeddingSpace("letters", 4, unit_norm=False)


class Letters(BaseEncoder):
    """Counts letters; a ``blind`` one takes every ``b`` for an ``a``."""

    def __init__(self, blind: bool = False, space: EmbeddingSpace = SPACE) -> None:
        self.blind = blind
        self._space = space
        self.seen: Counter[str] = Counter()

    @property
    def space(self) -> EmbeddingSpace:
        return self._space

    def _encode(self, texts: Sequence[str], role: Role) -> FloatArray:
        self.seen.update(f"{role} {text}" for text in texts)
        texts = [text.replace("b", "a") if self.blind else text for text in texts]
        return np.array([[text.count(letter) for letter in "abcd"] for text in texts], dtype=np.float32)


DOCUMENTS = ("aaaa", "bbbb", "cccc", "dddd", "abcd")
SET = RetrievalSet(
    name="letters",
    document_ids=DOCUMENTS,
    documents=DOCUMENTS,
    query_ids=("qa", "qb", "qc"),
    queries=("aa", "bb", "cc"),
    qrels={"qa": {"aaaa": 1}, "qb": {"bbbb": 1}, "qc": {"cccc": 1}},
)
OTHER_SET = RetrievalSet("other", DOCUMENTS, DOCUMENTS, ("q",), ("dd",), {"q": {"dddd": 1, "gone": 1}})


@pytest.fixture
def report() -> EvaluationReport:
    sets = [SET, OTHER_SET]
    return evaluate(Letters(blind=True), Letters(), sets, dims=[3], quantization=["float32", "int8"])


def test_three_modes_by_hand() -> None:
    """The blind leaf takes "bb" for "aa". Among the teacher's documents it ranks aaaa, abcd, then dddd, cccc, bbbb (of
    equal scores the larger id comes first): 1/log2(6). Among its own, aaaa and bbbb are equal: bbbb is first, and
    aaaa second, 1/log2(3)."""
    report = evaluate(Letters(blind=True), Letters(), [SET], latency_queries=0)
    point = report.sets[0].points[0]
    assert point.results["teacher"].per_query == pytest.approx([1, 1, 1])
    assert point.results["asymmetric"].per_query == pytest.approx([1, 1 / np.log2(6), 1], abs=1e-4)
    assert point.results["symmetric"].per_query == pytest.approx([1 / np.log2(3), 1, 1], abs=1e-4)
    kept = point.retention["asymmetric"]
    assert kept is not None
    assert kept.value == pytest.approx((2 + 1 / np.log2(6)) / 3, abs=1e-4)
    assert not kept.has_interval  # of three queries
    assert report.latency is None


def test_each_side_is_encoded_once() -> None:
    leaf, teacher = Letters(blind=True), Letters()
    evaluate(leaf, teacher, [SET], dims=[2, 3], quantization=["int8", "binary"], latency_queries=0)
    for encoder in (leaf, teacher):
        assert set(encoder.seen.values()) == {1}
        assert len(encoder.seen) == 8


def test_the_grid_has_the_full_point_first_and_nothing_twice() -> None:
    report = evaluate(Letters(), Letters(), [SET], dims=[3, 4], quantization=["int8", "binary"], latency_queries=0)
    assert [(point.dim, point.quantization) for point in report.sets[0].points] == [
        (4, "float32"),
        (4, "int8"),
        (4, "binary"),
        (3, "int8"),
        (3, "binary"),
    ]


def test_of_a_leaf_encoder_the_student_is_measured_on_both_sides() -> None:
    student = Letters(blind=True)
    pair = LeafEncoder(student, Letters())
    alone = LeafEncoder(student)
    first, second = (evaluate(leaf, Letters(), [SET], latency_queries=0) for leaf in (pair, alone))
    assert str(first) == str(second) == str(evaluate(student, Letters(), [SET], latency_queries=0))


def test_progress_is_reported() -> None:
    heard: list[tuple[str, int, int | None, str]] = []
    evaluate(Letters(), Letters(), [SET], progress=lambda *values: heard.append(values), latency_queries=0)
    assert heard == [
        ("letters: queries, leaf", 3, 3, ""),
        ("letters: queries, teacher", 3, 3, ""),
        ("letters: documents, leaf", 5, 5, ""),
        ("letters: documents, teacher", 5, 5, ""),
    ]


def test_the_report_as_json(report: EvaluationReport, tmp_path: Path) -> None:
    report.save(tmp_path / "report.json")
    value = json.loads((tmp_path / "report.json").read_text())
    assert (value["format"], value["version"], value["dim"]) == ("leaf-embed/evaluation", 3, 4)
    assert value["fingerprint"] == SPACE.fingerprint
    first, second = value["sets"]
    assert (first["name"], first["queries"], first["documents"], first["unknown_documents"]) == ("letters", 3, 5, 0)
    assert second["unknown_documents"] == 1
    assert [(point["dim"], point["quantization"]) for point in first["points"]] == [
        (4, "float32"),
        (4, "int8"),
        (3, "float32"),
        (3, "int8"),
    ]
    assert first["points"][0]["modes"]["teacher"] == {
        "nDCG@10": 1.0,
        "Recall@100": 1.0,
        "MRR@10": 1.0,
        "MAP@100": 1.0,
    }
    assert first["points"][0]["modes"]["asymmetric"]["retention"]["value"] == pytest.approx(0.79562)
    assert first["per_query"]["query_ids"] == ["qa", "qb", "qc"]
    assert first["per_query"]["asymmetric"] == [1.0, 0.38685, 1.0]
    assert value["latency"]["queries"] == 3
    assert (value["latency"]["ratio"] is None) == bool(value["latency"]["refused"])
    assert list(tmp_path.iterdir()) == [tmp_path / "report.json"]


def test_the_report_as_a_table(report: EvaluationReport) -> None:
    lines = report.table().splitlines()
    assert len({len(line) for line in lines}) == 1
    assert [cell.strip() for cell in lines[0].strip("| ").split("|")][:5] == [
        "set",
        "dims",
        "stored as",
        "teacher",
        "asymmetric",
    ]
    assert lines[2].split()[1:10:2] == ["letters", "4", "float32", "1.0000", "0.7956"]
    assert lines[-4].startswith("| mean of 2 ")
    assert "other: 1 judgements name documents that the corpus lacks" in str(report)
    assert str(report.latency) in str(report)


def test_a_long_table_is_short_on_the_terminal_and_whole_in_the_file() -> None:
    sets = [SET, OTHER_SET]
    found = evaluate(Letters(), Letters(), sets, [1, 2, 3], ["float32", "int8", "binary"], rotation="fitted")
    points = len(found.sets[0].points)
    assert points == 12 + 11
    shown, written = str(found), found.markdown()
    assert shown.count("| letters ") == 1
    assert shown.count("| mean of 2 ") == points
    assert written.count("| letters ") == 1 + points
    assert "## Every set at every point" in written


def test_a_teacher_that_finds_nothing() -> None:
    """The only relevant document is not in the corpus, so there is no score to keep a share of."""
    lost = RetrievalSet("lost", DOCUMENTS, DOCUMENTS, ("q",), ("dd",), {"q": {"gone": 1}})
    report = evaluate(Letters(), Letters(), [lost], latency_queries=0)
    assert report.sets[0].points[0].retention == {"asymmetric": None, "symmetric": None}
    assert report.retention("asymmetric") is None
    assert "NaN" not in json.dumps(report.to_dict())
    assert lost.name in str(report)


def test_spaces_have_to_agree() -> None:
    other = Letters(space=EmbeddingSpace("other", 4))
    with pytest.raises(SpaceMismatchError, match="the leaf and the teacher live in different embedding spaces"):
        evaluate(other, Letters(), [SET])


@pytest.mark.parametrize(
    ("sets", "dims", "quantization", "message"),
    [
        ([], [], ["float32"], "at least one retrieval set"),
        ([SET, SET], [], ["float32"], "same name"),
        ([SET], [5], ["float32"], "cannot evaluate at 5 dimensions; the space has 4"),
        ([SET], [0], ["float32"], "cannot evaluate at 0 dimensions"),
        ([SET], [], ["int3"], "unknown quantization 'int3'"),
    ],
)
def test_options_that_cannot_be(
    sets: list[RetrievalSet], dims: list[int], quantization: list[str], message: str
) -> None:
    leaf = Letters()
    with pytest.raises(InputError, match=message):
        evaluate(leaf, Letters(), sets, dims, quantization)  # type: ignore[arg-type]
    assert not leaf.seen  # refused before anything was encoded


def test_an_unknown_option_is_refused() -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'rotate'"):
        evaluate(Letters(), Letters(), [SET], rotate=True)  # type: ignore[call-arg]


def test_a_matrix_that_is_no_rotation_is_refused_before_anything_is_encoded() -> None:
    leaf = Letters()
    for matrix, message in ((2 * np.eye(4), "not orthogonal"), (np.eye(3), "expected \\(4, 4\\)")):
        with pytest.raises(VectorError, match=message):
            evaluate(leaf, Letters(), [SET], rotation=matrix.astype(np.float32))
    assert not leaf.seen


def test_an_engine_may_search_instead() -> None:
    """One that compares everything gives what we find; one that reverses it gives something else."""

    def exact(queries: FloatArray, documents: FloatArray, k: int) -> NDArray[np.intp]:
        by_id = np.argsort(DOCUMENTS)[::-1]  # equal scores by descending id
        return by_id[np.argsort(-(queries @ documents[by_id].T), axis=1, kind="stable")][:, :k]

    def reverse(queries: FloatArray, documents: FloatArray, k: int) -> NDArray[np.intp]:
        return np.argsort(queries @ documents.T, axis=1, kind="stable")[:, :k]

    report = evaluate(
        Letters(blind=True),
        Letters(),
        [SET],
        [3],
        ["float32", "exact", "reverse"],
        engines={"exact": exact, "reverse": reverse},
        rotation=np.eye(4, dtype=np.float32),
        latency_queries=0,
    )
    by_name = {(point.dim, point.quantization, point.rotated): point.results for point in report.sets[0].points}
    assert len(by_name) == 6 + 5
    for dim, rotated in ((4, False), (3, False), (3, True)):
        ours, same, other = (by_name[dim, name, rotated] for name in ("float32", "exact", "reverse"))
        for mode in ("teacher", "asymmetric", "symmetric"):
            np.testing.assert_array_equal(ours[mode].per_query, same[mode].per_query)  # type: ignore[index]
        assert other["teacher"].ndcg < ours["teacher"].ndcg
