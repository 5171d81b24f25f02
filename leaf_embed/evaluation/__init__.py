"""What a leaf gains and loses: retrieval quality against its teacher, and the time of a query.

Needs the extra ``eval``, which is asked for when a metric is computed.
"""

from leaf_embed.evaluation.beir import RetrievalSet, load_beir
from leaf_embed.evaluation.bootstrap import Retention, mean_retention, retention
from leaf_embed.evaluation.latency import Latency, measure_latency
from leaf_embed.evaluation.modes import evaluate
from leaf_embed.evaluation.report import EvaluationReport
from leaf_embed.evaluation.retrieval import evaluate_retrieval

__all__ = [
    "EvaluationReport",
    "Latency",
    "Retention",
    "RetrievalSet",
    "evaluate",
    "evaluate_retrieval",
    "load_beir",
    "mean_retention",
    "measure_latency",
    "retention",
]
