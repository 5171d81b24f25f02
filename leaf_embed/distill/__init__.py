"""Distillation: a small student aligned to a teacher by a plain L2 loss on ordinary text. Extra: ``train``."""

from leaf_embed.distill.cache import CachedEncoder, TeacherCache
from leaf_embed.distill.card import read_report, write_card
from leaf_embed.distill.config import DistillConfig
from leaf_embed.distill.corpus import Corpus, Text
from leaf_embed.distill.estimate import Cost, estimate_cost
from leaf_embed.distill.existing import StoredVectors
from leaf_embed.distill.export import Floor, Parity, export
from leaf_embed.distill.mixing import Exclusion
from leaf_embed.distill.overlap import EvaluationIndex, Overlap, count_overlap
from leaf_embed.distill.pipeline import DistillReport, distill
from leaf_embed.distill.push import Upload, push_to_hub
from leaf_embed.distill.router import export_router
from leaf_embed.distill.student import build_student
from leaf_embed.distill.truncate import truncate_leaf
from leaf_embed.distill.vector_files import VectorFiles

__all__ = [
    "CachedEncoder",
    "Corpus",
    "Cost",
    "DistillConfig",
    "DistillReport",
    "EvaluationIndex",
    "Exclusion",
    "Floor",
    "Overlap",
    "Parity",
    "StoredVectors",
    "TeacherCache",
    "Text",
    "Upload",
    "VectorFiles",
    "build_student",
    "count_overlap",
    "distill",
    "estimate_cost",
    "export",
    "export_router",
    "push_to_hub",
    "read_report",
    "truncate_leaf",
    "write_card",
]
