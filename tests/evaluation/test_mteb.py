"""mteb's own tasks, over data made here, against our own evaluation and scipy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import spearmanr

from leaf_embed import vectors
from leaf_embed.encoders import Encoder, LeafEncoder
from leaf_embed.errors import InputError
from leaf_embed.evaluation import RetrievalSet, evaluate
from leaf_embed.evaluation.mteb import MtebEncoder
from tests.conftest import sentences
from tests.evaluation.words import DIM, SPACE, Words

mteb = pytest.importorskip("mteb")

DOCUMENTS = sentences(120, seed=3)
QUERIES = [" ".join(text.split()[:3]) for text in DOCUMENTS[:40]]
SET = RetrievalSet(
    "words",
    tuple(f"d{i}" for i in range(120)),
    tuple(DOCUMENTS),
    tuple(f"q{i}" for i in range(40)),
    tuple(QUERIES),
    {f"q{i}": {f"d{i}": 1} for i in range(40)},
)


def metadata(kind: str, name: str, score: str) -> Any:
    return mteb.TaskMetadata(
        type=kind,
        name=name,
        main_score=score,
        description="made in a test",
        dataset={"path": "none", "revision": "none"},
        category="t2t",
        eval_splits=["test"],
        eval_langs=["eng-Latn"],
        modalities=["text"],
    )


def retrieval_task() -> Any:
    from datasets import Dataset
    from mteb.abstasks.retrieval import AbsTaskRetrieval
    from mteb.abstasks.retrieval_dataset_loaders import RetrievalSplitData

    class Local(AbsTaskRetrieval):  # type: ignore[misc]
        metadata = metadata("Retrieval", "LocalRetrieval", "ndcg_at_10")

        def load_data(self, **_: Any) -> None:
            split = RetrievalSplitData(
                queries=Dataset.from_dict({"id": SET.query_ids, "text": SET.queries}),
                corpus=Dataset.from_dict({"id": SET.document_ids, "text": SET.documents, "title": [""] * 120}),
                relevant_docs={q: dict(grades) for q, grades in SET.qrels.items()},
                top_ranked=None,
            )
            self.dataset = {"default": {"test": split}}
            self.data_loaded = True

    return Local()


def sts_task(first: Sequence[str], second: Sequence[str], scores: Sequence[float]) -> Any:
    from datasets import Dataset, DatasetDict
    from mteb.abstasks.sts import AbsTaskSTS

    class Local(AbsTaskSTS):  # type: ignore[misc]
        metadata = metadata("STS", "LocalSTS", "cosine_spearman")
        min_score, max_score = 0, 1

        def load_data(self, **_: Any) -> None:
            rows = {"sentence1": first, "sentence2": second, "score": scores}
            self.dataset = DatasetDict({"test": Dataset.from_dict(rows)})
            self.data_loaded = True

    return Local()


def run(model: MtebEncoder, task: Any) -> dict[str, Any]:
    found = mteb.evaluate(model, task, cache=None, co2_tracker=False, show_progress_bar=False)
    scores: dict[str, Any] = found.task_results[0].scores["test"][0]
    return scores


@pytest.mark.parametrize("mode", ["teacher", "asymmetric", "symmetric"])
def test_retrieval_agrees_with_our_own_evaluation(mode: str) -> None:
    student, teacher = Words(noise=2), Words()
    ours = evaluate(student, teacher, [SET], latency_queries=0).sets[0].points[0].results
    model = {
        "teacher": teacher,
        "asymmetric": LeafEncoder(student, teacher),
        "symmetric": LeafEncoder(student, student),
    }[mode]
    scores = run(MtebEncoder(model, "test/words"), retrieval_task())
    expected = ours[mode]  # type: ignore[index]
    assert scores["ndcg_at_10"] == pytest.approx(expected.ndcg, abs=1e-4)
    assert scores["recall_at_100"] == pytest.approx(expected.metrics["Recall@100"], abs=1e-4)
    assert ours["symmetric"].ndcg < ours["asymmetric"].ndcg < ours["teacher"].ndcg  # the three are told apart


def test_queries_go_to_the_leaf_and_documents_to_the_teacher() -> None:
    student, teacher = Words(noise=2), Words()
    run(MtebEncoder(LeafEncoder(student, teacher), "test/words", revision="1"), retrieval_task())
    assert student.seen == Counter(query=40)
    assert teacher.seen == Counter(document=120)


def test_sts_is_the_leafs_alone() -> None:
    student, teacher = Words(noise=2), Words()
    first, second = DOCUMENTS[:40], QUERIES
    scores = np.random.default_rng(0).random(40)
    found = run(MtebEncoder(LeafEncoder(student, teacher), "test/words"), sts_task(first, second, scores.tolist()))
    cosines = vectors.cosine(Words(noise=2).encode_query(first), Words(noise=2).encode_query(second))
    assert found["cosine_spearman"] == pytest.approx(spearmanr(cosines, scores).statistic, abs=1e-4)
    assert not teacher.seen


def test_it_is_what_mteb_calls_an_encoder() -> None:
    model = MtebEncoder(Words(), "test/words", revision="1")
    assert isinstance(model, mteb.EncoderProtocol)
    assert (model.mteb_model_meta.name, model.mteb_model_meta.revision) == ("test/words", "1")
    assert model.mteb_model_meta.embed_dim == DIM
    with pytest.raises(InputError, match="organisation/model"):
        MtebEncoder(Words(), "words")
    with pytest.raises(InputError, match="the task brought image"):
        model.encode([{"image": [b""]}])
    assert model.encode([]).shape == (0, DIM)


def test_another_leaf_is_measured_again(tmp_path: Path) -> None:
    """mteb's cache knows a model by name and revision, which the weights and the document side are part of."""
    cache = mteb.ResultCache(tmp_path)

    def score(model: Encoder) -> float:
        wrapped = MtebEncoder(model, "test/words")
        found = mteb.evaluate(wrapped, retrieval_task(), cache=cache, co2_tracker=False, show_progress_bar=False)
        return float(found.task_results[0].scores["test"][0]["ndcg_at_10"])

    teacher = Words()
    models = [teacher, LeafEncoder(Words(noise=2), teacher), LeafEncoder(Words(noise=4), teacher)]
    leaf = Words(noise=2)
    scores = [score(model) for model in [*models, LeafEncoder(leaf, leaf)]]
    assert len(set(scores)) == 4
    seen = teacher.seen.copy()
    assert [score(model) for model in models] == scores[:3]
    assert teacher.seen["document"] == seen["document"]  # answered by the cache
    assert MtebEncoder(models[1], "a/b").mteb_model_meta.revision.startswith(SPACE.fingerprint)
