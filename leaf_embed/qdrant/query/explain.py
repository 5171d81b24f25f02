"""The request that a search sends, and the reason for each choice in it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from leaf_embed.qdrant.query.bm25 import RRF_K
from leaf_embed.qdrant.query.plan import SearchPlan
from leaf_embed.qdrant.schema.quantization import quantization
from leaf_embed.qdrant.schema.spec import BM25, CollectionSpec

__all__ = ["Explanation", "explain_plan"]


@dataclass(frozen=True)
class Explanation:
    """A search as the request that is sent to Qdrant.

    Attributes:
        path: The path of the request to a server.
        request: Its JSON body, as it is sent; the embedded engine is sent the same searches.
        reasons: One sentence for each choice in it.
    """

    path: str
    request: dict[str, Any]
    reasons: tuple[str, ...]

    def __str__(self) -> str:
        body = json.dumps(_shortened(self.request), indent=2, ensure_ascii=False)
        return "\n".join([f"POST {self.path}", body, *(f"- {reason}" for reason in self.reasons)])


def explain_plan(name: str, spec: CollectionSpec, plan: SearchPlan) -> Explanation:
    """Explains one search in the collection ``name``."""
    reasons = (*_hybrid(spec, plan), *_first_stage(spec, plan), *_final_stage(spec, plan))
    return Explanation(f"/collections/{name}/points/query", plan.body, reasons)


def _hybrid(spec: CollectionSpec, plan: SearchPlan) -> Iterator[str]:
    hybrid = plan.hybrid
    if hybrid is None:
        return
    if hybrid.query is None:
        yield "The query has no words but stop words, so vectors alone rank; scores are still those of the fusion."
    else:
        number = len(hybrid.query.indices)
        yield (
            f"{number} words ({spec.language}, without stop words, stemmed) are searched for in {BM25!r}; the engine "
            "weighs them by how rare they are (modifier idf)."
        )
    how = f"ranks, 1/({RRF_K} + rank) each" if hybrid.fusion == "rrf" else "scores, scaled by mean and deviation"
    yield f"Each ranking contributes {hybrid.depth} documents; they are fused by their {how}. Scores are no cosines."


def _first_stage(spec: CollectionSpec, plan: SearchPlan) -> Iterator[str]:
    dense = _dense(plan)
    if "prefetch" not in dense:
        return
    stage = dense["prefetch"]
    params = stage["params"]
    stored = quantization(spec.quantization)
    read = (
        "unquantized" if stored.family == "none" else f"quantized by {stored.name}, {stored.bits:g} bits per dimension"
    )
    yield f"Stage one takes candidates from {stage['using']}: {read}, in memory, by its graph."
    wanted = dense["limit"] + dense.get("offset", 0)
    yield (
        f"prefetch.limit is {stage['limit']} for {wanted} hits: Qdrant's default of 10 would leave "
        "stage two nothing to choose from."
    )
    yield f"hnsw_ef is {params['hnsw_ef']}: no larger than prefetch.limit, it would miss whole clusters."
    if stored.candidates > 1:
        yield f"That is {stored.candidates} times more than for exact vectors, because the quantization is coarse."
    oversampling = params["quantization"].get("oversampling")
    if oversampling is not None:
        yield (
            f"Stage one takes {oversampling:g} times more by quantized vectors and ranks them by "
            "the originals on disk, as asked."
        )
    else:
        yield "Stage one does not rescore: stage two compares every candidate with the full vector anyway."
    if "filter" in stage:
        yield "The filter is in both stages: after stage one alone, too few candidates might be left."


def _final_stage(spec: CollectionSpec, plan: SearchPlan) -> Iterator[str]:
    dense = _dense(plan)
    name, params = dense.get("using", ""), dense["params"]
    if "prefetch" in dense:
        yield (
            f"Stage two ranks the candidates by {name!r} ({spec.datatype}, from disk) with quantization.ignore: "
            "without it Qdrant would rank by quantized vectors where there are any."
        )
    elif params["exact"]:
        yield f"Every vector of {name!r} is compared: slow and complete."
    else:
        yield (
            f"{name!r} has a graph of its own, made elsewhere; if it is quantized, "
            f"{params['quantization']['oversampling']:g} times more are taken by that and ranked by the originals."
        )
    if "score_threshold" in plan.body:
        yield f"Hits below {plan.body['score_threshold']:g} are left out, by their score with the full vector."


def _dense(plan: SearchPlan) -> dict[str, Any]:
    """Returns the ranking by the full vectors: the whole search, or the first ranking of a hybrid one."""
    ranking: dict[str, Any] = plan.body if plan.hybrid is None else plan.body["prefetch"][0]
    return ranking


def _shortened(value: Any) -> Any:
    """Shortens vectors to their first three values, for printing."""
    if isinstance(value, dict):
        return {key: _shortened(item) for key, item in value.items()}
    if isinstance(value, list) and len(value) > 8 and isinstance(value[0], float):
        return [*(round(number, 4) for number in value[:3]), f"... {len(value)} floats"]
    return [_shortened(item) for item in value] if isinstance(value, list) else value
