"""Numbers for Prometheus, in its text format."""

from __future__ import annotations

from collections import Counter

__all__ = ["Metrics"]

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """Counts requests by status, texts by role, and the seconds of answered requests."""

    def __init__(self) -> None:
        self._requests: Counter[int] = Counter()
        self._texts: Counter[str] = Counter()
        self._buckets: Counter[float] = Counter()
        self._seconds = 0.0

    def request(self, status: int) -> None:
        """Count a request."""
        self._requests[status] += 1

    def embedded(self, role: str, texts: int, seconds: float) -> None:
        """Count an answered request's texts and its seconds, from arrival to answer."""
        self._texts[role] += texts
        self._seconds += seconds
        self._buckets.update(bound for bound in SECONDS if seconds <= bound)
        self._buckets[float("inf")] += 1

    def render(self, *, waiting: int) -> str:
        """The page that Prometheus reads."""
        name = "leaf_embed_request_seconds"
        lines = ["# TYPE leaf_embed_requests_total counter"]
        lines += [f'leaf_embed_requests_total{{status="{s}"}} {n}' for s, n in sorted(self._requests.items())]
        lines += ["# TYPE leaf_embed_texts_total counter"]
        lines += [f'leaf_embed_texts_total{{input_type="{r}"}} {n}' for r, n in sorted(self._texts.items())]
        lines += ["# TYPE leaf_embed_waiting_texts gauge", f"leaf_embed_waiting_texts {waiting}"]
        lines += [f"# TYPE {name} histogram"]
        lines += [f'{name}_bucket{{le="{bound}"}} {self._buckets[bound]}' for bound in SECONDS]
        count = self._buckets[float("inf")]
        lines += [f'{name}_bucket{{le="+Inf"}} {count}', f"{name}_sum {self._seconds:.6f}", f"{name}_count {count}"]
        return "\n".join(lines) + "\n"
