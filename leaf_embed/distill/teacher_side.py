"""The teacher's side of a distillation: an encoder, the texts to embed, and the cache that keeps their vectors."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from leaf_embed.canaries import Canaries
from leaf_embed.distill.config import DistillConfig
from leaf_embed.distill.reading import leave_out_longer
from leaf_embed.distill.students.base import Student
from leaf_embed.encoders.base import Encoder
from leaf_embed.encoders.transformer import Loading, SentenceTransformerEncoder
from leaf_embed.errors import InputError
from leaf_embed.progress import Progress
from leaf_embed.space import EmbeddingSpace
from leaf_embed.teacher.cache import TeacherCache
from leaf_embed.teacher.fill import Gathered, as_exclusion, gather
from leaf_embed.teacher.filled import FilledCache
from leaf_embed.teacher.filtering import Exclusion
from leaf_embed.teacher.given_texts import as_texts
from leaf_embed.texts import Text

__all__ = ["TeacherSide"]


@dataclass(frozen=True)
class TeacherSide:
    """A teacher and what it embeds.

    Attributes:
        encoder: The teacher.
        space: Its space, with canaries.
        corpus: Texts, or paths of corpus files.
        exclude: Files whose texts must not be learned from.
        cache: Directory of the teacher cache.
    """

    encoder: Encoder
    space: EmbeddingSpace
    corpus: Iterable[Text | str | os.PathLike[str]] | None
    exclude: Sequence[str | os.PathLike[str]] | Exclusion
    cache: Path

    @classmethod
    def of(
        cls,
        teacher: Encoder | str | os.PathLike[str],
        corpus: Iterable[Text | str | os.PathLike[str]] | None,
        exclude: Sequence[str | os.PathLike[str]] | Exclusion,
        cache: str | os.PathLike[str],
        loading: Loading | None = None,
    ) -> TeacherSide:
        """Loads the teacher, if it is a name, and has it embed the canaries, if its space has none.

        Raises:
            InputError: The teacher cannot be loaded, or an encoder came together with options of loading.
        """
        if loading is not None and isinstance(teacher, Encoder):
            raise InputError("loading says how to load a teacher that is named, but an encoder came, which is loaded")
        encoder = teacher if isinstance(teacher, Encoder) else SentenceTransformerEncoder(teacher, loading=loading)
        space = encoder.space.with_canaries(encoder.space.canaries or Canaries.of(encoder))
        return cls(encoder, space, corpus, exclude, Path(cache))

    def open(self) -> TeacherCache:
        """Returns the cache as it is on disk now."""
        return TeacherCache(self.cache, self.space)

    def fill(self, student: Student, config: DistillConfig, max_tokens: int, progress: Progress) -> Gathered:
        """Embeds what is not in the cache yet: the corpus, cut as for every student, and what this one starts from.

        Args:
            student: The student.
            config: The recipe.
            max_tokens: Number of tokens that the student reads.
            progress: Called as the teacher goes on.

        Returns:
            The cache's rows of the texts of the corpus, their roles, and reasons for which texts were left out.

        Raises:
            CorpusError: There is no text, or a file is damaged.
            CacheError: The cache is in use, damaged, or of another teacher.
            InputError: The student reads less of most texts than the teacher.
        """
        stored = self.open()
        exclusion = as_exclusion(self.exclude)
        cut = config.teacher_tokens
        corpus = as_texts(self.corpus)
        found = gather(stored, corpus, self.encoder, cut, exclusion, progress)
        stored.fill(student.start_texts(), self.encoder)
        cut = corpus.max_tokens or cut if isinstance(corpus, FilledCache) else cut
        return leave_out_longer(found, stored, self.encoder, student, max_tokens, cut)
