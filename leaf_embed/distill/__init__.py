"""Distillation: a small student aligned to a teacher by a plain L2 loss on ordinary text. Extra: ``train``."""

from leaf_embed.distill.cache import CachedEncoder, TeacherCache
from leaf_embed.distill.config import DistillConfig
from leaf_embed.distill.corpus import Corpus, Text
from leaf_embed.distill.export import Floor, Parity, export
from leaf_embed.distill.pipeline import DistillReport, distill
from leaf_embed.distill.student import build_student

__all__ = [
    "CachedEncoder",
    "Corpus",
    "DistillConfig",
    "DistillReport",
    "Floor",
    "Parity",
    "TeacherCache",
    "Text",
    "build_student",
    "distill",
    "export",
]
