"""Spans and metrics by OpenTelemetry's own exporters in memory; nothing without its API."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("opentelemetry.sdk", reason="pip install opentelemetry-sdk")

from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from leaf_embed import LeafEncoder, _telemetry
from tests.integrations.encoders import LetterEncoder


class Recorded:
    """What was exported."""

    def __init__(self) -> None:
        self.exporter, self.reader = InMemorySpanExporter(), InMemoryMetricReader()
        tracing = TracerProvider()
        tracing.add_span_processor(SimpleSpanProcessor(self.exporter))
        trace.set_tracer_provider(tracing)
        metrics.set_meter_provider(MeterProvider([self.reader]))

    def spans(self) -> list[tuple[str, dict[str, Any]]]:
        return [(span.name, dict(span.attributes or {})) for span in self.exporter.get_finished_spans()]

    def counts(self) -> dict[str, int]:
        """Measurements by histogram."""
        data = self.reader.get_metrics_data()
        found: dict[str, int] = {}
        for resource in data.resource_metrics if data else ():
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    found[metric.name] = sum(point.count for point in metric.data.data_points)
        return found


ONCE: list[Recorded] = []  # OpenTelemetry's providers are set once per process


@pytest.fixture
def recorded() -> Recorded:
    if not ONCE:
        ONCE.append(Recorded())
    ONCE[0].exporter.clear()
    return ONCE[0]


def test_encode_search_and_upsert(recorded: Recorded, tmp_path: Path) -> None:
    pytest.importorskip("qdrant_client", reason="pip install 'leaf-embed[qdrant]'")
    from leaf_embed.qdrant import Document, LeafCollection

    leaf = LeafEncoder(LetterEncoder(), LetterEncoder())
    with LeafCollection.create("letters", leaf, path=tmp_path) as collection:
        collection.index([Document(str(i), "abc" * i) for i in range(1, 4)])
        recorded.exporter.clear()
        collection.search("abba", limit=2)
        collection.index([Document("7", "cab")])
    spans = recorded.spans()
    assert ("leaf_embed.encode", {"role": "query", "texts": 1}) in spans
    assert ("leaf_embed.encode", {"role": "document", "texts": 1}) in spans
    assert ("leaf_embed.upsert", {"points": 1}) in spans
    searches = [attributes for name, attributes in spans if name == "leaf_embed.search"]
    assert [attributes["queries"] for attributes in searches] == [1]
    assert set(searches[0]) == {"queries", "prefetch", "rescore"}
    assert {"leaf_embed.encode.duration", "leaf_embed.search.duration", "leaf_embed.upsert.duration"} <= set(
        recorded.counts()
    )


def test_a_failure_is_named_and_not_quoted(recorded: Recorded) -> None:
    class Fails(LetterEncoder):
        def _encode(self, texts: list[str], role: Any) -> Any:
            raise RuntimeError(f"cannot read {texts}")

    with pytest.raises(RuntimeError):
        LeafEncoder(Fails()).encode_query("my secret")
    (span,) = recorded.exporter.get_finished_spans()
    assert span.status.description == "RuntimeError"
    assert not span.status.is_ok
    assert "secret" not in span.to_json()


def test_serve_records_the_queue(recorded: Recorded) -> None:
    pytest.importorskip("starlette", reason="pip install starlette uvicorn")
    from tests.serve.helpers import post, serving

    before = recorded.counts().get("leaf_embed.queue.duration", 0)
    with serving(LeafEncoder(LetterEncoder())) as address:
        assert [post(address, {"input": "my secret"})[0] for _ in range(3)] == [200] * 3
    spans = recorded.exporter.get_finished_spans()
    queues = [span for span in spans if span.name == "leaf_embed.queue"]
    assert [dict(span.attributes or {}) for span in queues] == [{"lane": "short"}] * 3
    assert all(0 <= (span.end_time or 0) - (span.start_time or 0) < 10**10 for span in queues)
    assert recorded.counts()["leaf_embed.queue.duration"] == before + 3
    assert not any("secret" in span.to_json() for span in spans)


def test_without_the_api_nothing_is_recorded(leaf_path: Path) -> None:
    code = (
        "import sys; sys.modules['opentelemetry'] = None\n"
        f"import leaf_embed; print(leaf_embed.load({str(leaf_path)!r}).encode_query('red').shape)\n"
        "from leaf_embed import _telemetry; _telemetry.record('leaf_embed.queue', 1.0)\n"
        "print(_telemetry.span('a') is _telemetry.span('b'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split()[-1] == "True"


def test_the_package_does_not_load_it_before_it_is_used() -> None:
    code = "import sys, leaf_embed; print('opentelemetry' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
    assert _telemetry.span("leaf_embed.encode") is not None
