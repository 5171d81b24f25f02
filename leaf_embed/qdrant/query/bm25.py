"""Words beside meaning: sparse vectors by BM25, and how their ranking is fused with that of the full vectors.

The words of a text are found by the embedded engine's own BM25 (``qdrant_edge.Bm25``: lower case, stop words and
stemming by language), in this process, with nothing to download. Its settings are the defaults of Qdrant's
``qdrant/bm25``, which a server may run by itself. The engine multiplies by the inverse document frequency.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, TypeAlias

from leaf_embed._extras import require
from leaf_embed.errors import InputError
from leaf_embed.qdrant.schema.spec import BM25

__all__ = [
    "BM25",
    "Fusion",
    "Hybrid",
    "SparseVector",
    "document_words",
    "plan_hybrid",
    "query_words",
    "require_language",
]

RRF_K = 60  # Cormack, Clarke & Büttcher, SIGIR 2009; Qdrant's own default of 2 lets the first places decide alone
DEPTH = 100  # documents that each ranking brings at least
DEPTH_PER_HIT = 2

Fusion: TypeAlias = Literal["rrf", "dbsf"]


@dataclass(frozen=True)
class SparseVector:
    """Numbers at some places, zeros elsewhere.

    Attributes:
        indices: The places, all different: hashes of words.
        values: As many numbers.
    """

    indices: tuple[int, ...]
    values: tuple[float, ...]

    def to_json(self) -> dict[str, Any]:
        """Qdrant's REST form."""
        return {"indices": list(self.indices), "values": list(self.values)}


@dataclass(frozen=True)
class Hybrid:
    """The part of a search that looks for words.

    Attributes:
        words: Of the query; ``None`` if it has none but stop words.
        fusion: ``"rrf"``: by the places in both rankings (reciprocal rank fusion). ``"dbsf"``: by the sum of their
            scores, each scaled by its mean and deviation (distribution-based score fusion).
        depth: Documents that each ranking brings.
    """

    words: SparseVector | None
    fusion: Fusion
    depth: int

    def fusion_json(self) -> dict[str, Any]:
        """The query that fuses, in Qdrant's REST form."""
        return {"rrf": {"k": RRF_K}} if self.fusion == "rrf" else {"fusion": "dbsf"}


def plan_hybrid(hybrid: bool | Fusion, words: str | None, language: str, wanted: int) -> Hybrid:
    """Settle the word part of a search.

    Args:
        hybrid: ``True`` for ``"rrf"``.
        words: The text whose words are looked for.
        language: Of the collection's words.
        wanted: Hits to return, those that are skipped included.

    Raises:
        InputError: An unknown fusion, or no text.
    """
    fusion: Any = "rrf" if hybrid is True else hybrid
    if fusion not in ("rrf", "dbsf"):
        raise InputError(f"hybrid must be True, 'rrf' or 'dbsf'; got {hybrid!r}")
    if not isinstance(words, str):
        raise InputError("a hybrid search looks for words, and the query is a vector; give its text too: words='...'")
    return Hybrid(query_words(words, language), fusion, max(DEPTH, DEPTH_PER_HIT * wanted))


def document_words(texts: Sequence[str], language: str) -> list[SparseVector | None]:
    """Words of documents, each weighed by how often it comes and how long the text is; ``None`` for no words."""
    model = _model(language)
    return [_sparse(model.embed_document(text)) for text in texts]


def require_language(language: str) -> None:
    """Refuse a language before a collection is made for it.

    Raises:
        InputError: There is no BM25 for it.
    """
    _model(language)


def query_words(text: str, language: str) -> SparseVector | None:
    """Words of a query, 1.0 each; ``None`` for no words."""
    return _sparse(_model(language).embed_query(text))


def _sparse(vector: Any) -> SparseVector | None:
    return SparseVector(tuple(vector.indices), tuple(vector.values)) if vector.indices else None


@lru_cache(maxsize=8)
def _model(language: str) -> Any:
    edge = require("qdrant_edge", "qdrant", "Searching for words")
    try:
        return edge.Bm25(edge.Bm25Config(language=language))
    except (TypeError, ValueError) as error:
        raise InputError(
            f"there is no BM25 for the language {language!r} ({error}); expected such as 'english' or 'german'"
        ) from error
