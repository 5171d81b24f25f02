"""What a leaf gains and loses: quality against its teacher, the time of a query, the bytes on disk.

    beir, streaming             what is evaluated on
    encoding, alignment        the vectors of both encoders, and how near they are
    topk, stored, scoring      exhaustive search block by block, how vectors are stored, what a ranking scores
    retrieval, modes, tasks    one pair of encoders; a leaf against its teacher; similarity and classification
    bootstrap, compare         shares and differences with their intervals
    latency, size, losses      what a query costs, what a model weighs, which queries lose most
    results, report, tables    numbers, JSON, Markdown
    page, page_tables, plots, style     the HTML page
    mteb                       a leaf as a model of mteb 2 (extra ``mteb``)

Needs the extra ``eval``, which is asked for when a metric is computed.
"""

from leaf_embed.evaluation.beir import RetrievalSet, load_beir
from leaf_embed.evaluation.bootstrap import Retention, mean_retention, retention
from leaf_embed.evaluation.compare import compare_reports
from leaf_embed.evaluation.latency import Latency, measure_latency
from leaf_embed.evaluation.pipeline import evaluate
from leaf_embed.evaluation.report.report import EvaluationReport
from leaf_embed.evaluation.retrieval import evaluate_retrieval
from leaf_embed.evaluation.tasks import load_classification, load_sts
from leaf_embed.reports import read_report

__all__ = [
    "EvaluationReport",
    "Latency",
    "Retention",
    "RetrievalSet",
    "compare_reports",
    "evaluate",
    "evaluate_retrieval",
    "load_beir",
    "load_classification",
    "load_sts",
    "mean_retention",
    "measure_latency",
    "read_report",
    "retention",
]
