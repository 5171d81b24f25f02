"""What a trace shows of a search. Both stages are one request: the engine takes candidates and rescores them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager

from leaf_embed import _telemetry
from leaf_embed.qdrant.query.plan import SearchPlan

__all__ = ["search_span"]


def search_span(plans: Sequence[SearchPlan]) -> AbstractContextManager[None]:
    """Returns a span ``leaf_embed.search`` around the sending of plans.

    Its attributes: ``queries``, ``prefetch`` (candidates of the first stage per query, 0 without one) and ``rescore``
    (whether the full vectors rank them).
    """
    first = plans[0].body.get("prefetch") if plans else None
    stages = first if isinstance(first, list) else [first] if first else []
    candidates = sum(int(stage.get("limit", 0)) for stage in stages)
    return _telemetry.span("leaf_embed.search", queries=len(plans), prefetch=candidates, rescore=bool(stages))
