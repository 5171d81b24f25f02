"""What a search really sends, and why."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from leaf_embed.qdrant.query.bm25 import BM25, RRF_K
from leaf_embed.qdrant.query.plan import SearchPlan
from leaf_embed.qdrant.schema.quantization import quantization
from leaf_embed.qdrant.schema.spec import CollectionSpec

__all__ = ["Explanation", "explain_plan"]


@dataclass(frozen=True)
class Explanation:
    """A search in Qdrant's own words.

    Attributes:
        path: Where a server would be sent it.
        request: Its JSON body; the embedded engine is asked the same.
        reasons: One sentence for each choice in it.
    """

    path: str
    request: dict[str, Any]
    reasons: tuple[str, ...]

    def __str__(self) -> str:
        body = json.dumps(_shortened(self.request), indent=2, ensure_ascii=False)
        return "\n".join([f"POST {self.path}", body, *(f"- {reason}" for reason in self.reasons)])


def explain_plan(name: str, spec: CollectionSpec, plan: SearchPlan) -> Explanation:
    """Explain one search in the collection ``name``."""
    reasons = (*_words(spec, plan), *_first_stage(spec, plan), *_final_stage(spec, plan))
    return Explanation(f"/collections/{name}/points/query", plan.to_json(), reasons)


def _words(spec: CollectionSpec, plan: SearchPlan) -> Iterator[str]:
    hybrid = plan.hybrid
    if hybrid is None:
        return
    if hybrid.words is None:
        yield "The query has no words but stop words, so meaning alone ranks; scores are those of the fusion still."
    else:
        number = len(hybrid.words.indices)
        yield (
            f"{number} words ({spec.language}, without stop words, stemmed) are looked for in {BM25!r}; the engine "
            "weighs them by how rare they are (modifier idf)."
        )
    how = f"places, 1/({RRF_K} + place) each" if hybrid.fusion == "rrf" else "scores, scaled by mean and deviation"
    yield f"Each ranking brings {hybrid.depth} documents; they are fused by their {how}. Scores are no cosines."


def _first_stage(spec: CollectionSpec, plan: SearchPlan) -> Iterator[str]:
    stage = plan.prefetch
    if stage is None:
        return
    codes = quantization(spec.quantization)
    read = "unquantized vectors" if codes.family == "none" else f"{codes.name} codes, {codes.bits:g} bits a dimension"
    yield f"Stage one takes candidates from {stage.using}: {read}, in memory, by its graph."
    wanted = plan.limit + plan.offset if plan.hybrid is None else plan.hybrid.depth
    yield (
        f"prefetch.limit is {stage.limit} for {wanted} hits: Qdrant's default of 10 would leave "
        "stage two nothing to choose from."
    )
    yield f"hnsw_ef is {stage.params.hnsw_ef}: a walk that is no wider than the candidates misses whole clusters."
    if codes.candidates > 1:
        yield f"That is {codes.candidates} times more than for exact vectors, because the codes are coarse."
    if stage.params.rescore:
        yield (
            f"Stage one takes {stage.params.oversampling:g} times more by its codes and ranks them by its originals on "
            "disk, as asked."
        )
    else:
        yield "Stage one does not rescore: stage two compares every candidate with the full vector anyway."
    if plan.conditions:
        yield "The filter is in both stages: after stage one alone, too few candidates might be left."


def _final_stage(spec: CollectionSpec, plan: SearchPlan) -> Iterator[str]:
    if plan.prefetch is not None:
        yield (
            f"Stage two ranks the candidates by {plan.using!r} ({spec.datatype}, from disk) with quantization.ignore: "
            "without it Qdrant would rank by codes where there are any."
        )
    elif plan.params.exact:
        yield f"Every vector of {plan.using!r} is compared: slow and complete."
    else:
        yield (
            f"{plan.using!r} has a graph of its own, made elsewhere; if it has codes, "
            f"{plan.params.oversampling:g} times more are taken by them and ranked by the originals."
        )
    if plan.score_threshold is not None:
        yield f"Hits below {plan.score_threshold:g} are left out, by their score with the full vector."


def _shortened(value: Any) -> Any:
    """Vectors as their first three numbers."""
    if isinstance(value, dict):
        return {key: _shortened(item) for key, item in value.items()}
    if isinstance(value, list) and len(value) > 8 and isinstance(value[0], float):
        return [*(round(number, 4) for number in value[:3]), f"... {len(value)} floats"]
    return value
