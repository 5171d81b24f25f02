"""Evaluation of a leaf: retrieval quality against its teacher, latency of a query, size on disk.

    beir, streaming, tasks     the sets that a leaf is evaluated on
    encoding, alignment        the vectors of both encoders, and how near they are
    agreement                  rankings of leaf and teacher on questions without judgements
    storage, retrieval         quantized storage and exhaustive search; one pair of encoders and its metrics
    pipeline                   a leaf against its teacher in three modes
    intervals, randomisation   retention and differences with their intervals, and a test
    verdict, compare           a leaf against what is asked of it, and against another leaf
    latency, machine, size     cost of a query and of a model, and what else ran meanwhile
    worst_queries, groups      the queries that lose most, and where a leaf loses; routing
    report/                    results, JSON and Markdown, HTML pages with plots and tables, files for other tools
    mteb                       a leaf as a model of mteb 2 (extra ``mteb``)

Needs the extra ``eval`` as soon as a metric is computed.
"""

from leaf_embed.evaluation.agreement import AgreementReport, load_own_texts, measure_agreement
from leaf_embed.evaluation.beir import RetrievalSet, load_beir
from leaf_embed.evaluation.compare import compare_reports
from leaf_embed.evaluation.intervals import Retention, mean_retention, ratio_of_means, retention
from leaf_embed.evaluation.latency import Latency, measure_latency
from leaf_embed.evaluation.pipeline import evaluate
from leaf_embed.evaluation.report.report import EvaluationReport, report_schema
from leaf_embed.evaluation.retrieval import evaluate_retrieval
from leaf_embed.evaluation.tasks import load_classification, load_sts
from leaf_embed.reports import read_report

__all__ = [
    "AgreementReport",
    "EvaluationReport",
    "Latency",
    "Retention",
    "RetrievalSet",
    "compare_reports",
    "evaluate",
    "evaluate_retrieval",
    "load_beir",
    "load_classification",
    "load_own_texts",
    "load_sts",
    "mean_retention",
    "measure_agreement",
    "measure_latency",
    "ratio_of_means",
    "read_report",
    "report_schema",
    "retention",
]
