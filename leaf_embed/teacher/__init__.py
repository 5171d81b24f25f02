"""The teacher's side of a distillation: texts, and the cache of their vectors. Extra: ``train``."""

from leaf_embed.teacher.cache import TeacherCache
from leaf_embed.teacher.cached_encoder import CachedEncoder
from leaf_embed.teacher.contamination import EvaluationIndex, Overlap, count_overlap
from leaf_embed.teacher.corpus import Corpus
from leaf_embed.teacher.filled import FilledCache
from leaf_embed.teacher.filtering import Exclusion
from leaf_embed.teacher.stored_vectors import StoredVectors
from leaf_embed.teacher.vector_files import VectorFiles
from leaf_embed.texts import Text

__all__ = [
    "CachedEncoder",
    "Corpus",
    "EvaluationIndex",
    "Exclusion",
    "FilledCache",
    "Overlap",
    "StoredVectors",
    "TeacherCache",
    "Text",
    "VectorFiles",
    "count_overlap",
]
