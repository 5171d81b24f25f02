"""What a server counts, for Prometheus."""

from __future__ import annotations

from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from leaf_embed.serve.lanes import Embedded, Lane
from leaf_embed.texts import Role

__all__ = ["Metrics"]

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """Counters of one application, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self._requests = Counter(
            "leaf_embed_requests_total", "Answers but for probes that succeed", ["status"], registry=registry
        )
        self._texts = Counter("leaf_embed_texts_total", "Embedded texts", ["input_type"], registry=registry)
        self._cut = Counter("leaf_embed_cut_texts_total", "Texts whose end was not read", registry=registry)
        self._seconds = self._histogram("leaf_embed_request_seconds", "From arrival to answer")
        self._queue = self._histogram("leaf_embed_queue_seconds", "From arrival to the encoder")
        self._encode = self._histogram("leaf_embed_encode_seconds", "In the encoder, with the batch's other texts")
        self._waiting = Gauge("leaf_embed_waiting_texts", "Texts that wait to be encoded", registry=registry)
        self._tokens = Gauge(
            "leaf_embed_waiting_tokens", "Estimated tokens that wait to be encoded", ["lane"], registry=registry
        )
        self._dropped = Gauge(
            "leaf_embed_dropped_texts", "Texts not encoded, since their client was gone", registry=registry
        )

    def _histogram(self, name: str, text: str) -> Histogram:
        return Histogram(name, text, registry=self.registry, buckets=SECONDS)

    def watch(self, lanes: Sequence[Lane]) -> None:
        """Shows what waits in these lanes."""
        self._waiting.set_function(lambda: sum(lane.texts for lane in lanes))
        self._dropped.set_function(lambda: sum(lane.dropped for lane in lanes))
        for lane in lanes:
            self._tokens.labels(lane.name).set_function(lambda lane=lane: lane.tokens)  # type: ignore[misc]

    def count(self, status: int) -> None:
        """Counts an answer; 499 is a client that did not wait for it."""
        self._requests.labels(status).inc()

    def embedded(self, role: Role, made: Embedded, seconds: float) -> None:
        """Counts a request whose texts are embedded."""
        self._texts.labels(role).inc(len(made.rows))
        self._cut.inc(made.cut)
        self._seconds.observe(seconds)
        self._queue.observe(made.queued)
        self._encode.observe(made.encoding)

    def page(self) -> bytes:
        """Returns all of it in Prometheus' text format."""
        return generate_latest(self.registry)
