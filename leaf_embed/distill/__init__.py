"""Distillation: a small student aligned to a teacher by a plain L2 loss on ordinary text. Extra: ``train``.

Also exports the names of :mod:`leaf_embed.teacher` and :mod:`leaf_embed.export`, which a distillation needs before and
after.
"""

from leaf_embed.distill.config import DistillConfig
from leaf_embed.distill.pipeline import DistillReport, distill
from leaf_embed.distill.students.backbone import build_student
from leaf_embed.encoders.api import Cost, estimate_cost
from leaf_embed.export import (
    Floor,
    Parity,
    Upload,
    export,
    export_router,
    push_to_hub,
    read_report,
    truncate_leaf,
    write_card,
)
from leaf_embed.teacher import (
    CachedEncoder,
    Corpus,
    EvaluationIndex,
    Exclusion,
    FilledCache,
    Overlap,
    StoredVectors,
    TeacherCache,
    Text,
    VectorFiles,
    count_overlap,
)

__all__ = [
    "CachedEncoder",
    "Corpus",
    "Cost",
    "DistillConfig",
    "DistillReport",
    "EvaluationIndex",
    "Exclusion",
    "FilledCache",
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
