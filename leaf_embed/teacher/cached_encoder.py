"""A teacher behind a cache."""

from __future__ import annotations

from leaf_embed.encoders.base import BaseEncoder, Encoder, precision_of
from leaf_embed.space import EmbeddingSpace
from leaf_embed.teacher.cache import TeacherCache
from leaf_embed.texts import Role, Text
from leaf_embed.vectors import FloatArray

__all__ = ["CachedEncoder"]


class CachedEncoder(BaseEncoder):
    """A teacher behind a cache: no text is embedded twice, in this process or a later one."""

    def __init__(self, cache: TeacherCache, teacher: Encoder) -> None:
        """Puts a cache before a teacher of its space."""
        self._cache = cache
        self._teacher = teacher

    @property
    def space(self) -> EmbeddingSpace:
        return self._cache.space

    @property
    def precision(self) -> str | None:
        """What the teacher computes in, if it says so, and what its vectors are stored as."""
        computed = precision_of(self._teacher)
        return computed and f"{computed}, stored as float16"

    def _encode(self, texts: list[str], role: Role) -> FloatArray:
        wanted = [Text(text, role) for text in texts]
        self._cache.fill(wanted, self._teacher)
        return self._cache.vectors(self._cache.rows(wanted))
