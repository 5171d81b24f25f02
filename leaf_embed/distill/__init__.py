"""Distillation: a small student aligned to a teacher by a plain L2 loss on ordinary text. Extra: ``train``."""

from leaf_embed.distill.config import DistillConfig
from leaf_embed.distill.pipeline import DistillReport, distill
from leaf_embed.distill.students.backbone import build_student
from leaf_embed.encoders.estimate import Cost, estimate_cost
from leaf_embed.export.card import read_report, write_card
from leaf_embed.export.onnx import Floor, Parity, export
from leaf_embed.export.push import Upload, push_to_hub
from leaf_embed.export.router import export_router
from leaf_embed.export.truncate import truncate_leaf
from leaf_embed.teacher.cache import CachedEncoder, TeacherCache
from leaf_embed.teacher.contamination import EvaluationIndex, Overlap, count_overlap
from leaf_embed.teacher.corpus import Corpus
from leaf_embed.teacher.filtering import Exclusion
from leaf_embed.teacher.stored_vectors import StoredVectors
from leaf_embed.teacher.vector_files import VectorFiles
from leaf_embed.texts import Text

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
