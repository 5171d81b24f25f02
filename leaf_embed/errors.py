"""Everything that leaf-embed raises on purpose.

    LeafEmbedError
    ├── MissingExtraError (also ImportError)   an optional dependency is not installed
    ├── InputError (also ValueError)           a value, option or text that cannot be used
    │   ├── CorpusError                        a corpus file that is missing, empty or malformed
    │   └── VectorError                        a vector of the wrong size, or holding NaN or only zeros
    ├── StorageError (also OSError)            a file that cannot be written: a full disk, a read-only place
    ├── NotALeafError                          a directory or file that is no leaf, or of an unknown format
    ├── SpaceMismatchError                     two things that live in different embedding spaces meet
    ├── TeacherError                           a teacher (an API, a function) that failed or whose vectors do not match
    │   └── BudgetError                        the next call would cost more tokens than are left
    ├── CacheError                             a teacher cache that is locked, damaged or of another space
    ├── TrainingError                          a distillation that cannot go on
    ├── ExportError                            a graph that could not be made
    │   └── ParityError                        an exported graph that differs from the model it came from
    └── CollectionError                        a vector collection that cannot be made, opened or used
        ├── CollectionNotFoundError
        └── CollectionExistsError

Each message says what came, what was expected and what to do next.
"""

from __future__ import annotations

__all__ = [
    "BudgetError",
    "CacheError",
    "CollectionError",
    "CollectionExistsError",
    "CollectionNotFoundError",
    "CorpusError",
    "ExportError",
    "InputError",
    "LeafEmbedError",
    "MissingExtraError",
    "NotALeafError",
    "ParityError",
    "SpaceMismatchError",
    "StorageError",
    "TeacherError",
    "TrainingError",
    "VectorError",
]


class LeafEmbedError(Exception):
    """The root of every error that leaf-embed raises on purpose."""


class MissingExtraError(LeafEmbedError, ImportError):
    """An optional dependency is not installed; the message holds the pip line."""


class InputError(LeafEmbedError, ValueError):
    """A value, option or text that cannot be used."""


class CorpusError(InputError):
    """A corpus file that is missing, empty or malformed."""


class VectorError(InputError):
    """A vector of the wrong size, or holding NaN, infinity or only zeros."""


class StorageError(LeafEmbedError, OSError):
    """A file or directory that cannot be written: its disk is full, or its place is read-only or no directory."""


class NotALeafError(LeafEmbedError):
    """A directory or file that is no leaf, or whose format version is unknown."""


class SpaceMismatchError(LeafEmbedError):
    """Two things that live in different embedding spaces were about to be mixed."""


class TeacherError(LeafEmbedError):
    """A teacher that failed, or whose vectors do not match its texts."""


class BudgetError(TeacherError):
    """The next call would cost more tokens than the budget has left; vectors that were paid for are in the cache."""


class CacheError(LeafEmbedError):
    """A teacher cache that is locked by another writer, damaged, or of another space."""


class TrainingError(LeafEmbedError):
    """A distillation that cannot go on, for example because the loss became NaN."""


class ExportError(LeafEmbedError):
    """A graph that could not be made of a leaf."""


class ParityError(ExportError):
    """An exported graph whose vectors differ too much from those of its model."""


class CollectionError(LeafEmbedError):
    """A vector collection that cannot be made, opened or used."""


class CollectionNotFoundError(CollectionError):
    """No such collection."""


class CollectionExistsError(CollectionError):
    """A collection of this name exists already; leaf-embed never recreates or drops one by itself."""
