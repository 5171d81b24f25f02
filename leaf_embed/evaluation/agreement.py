"""Without judgements: how far the leaf's rankings of one's own questions agree with the teacher's.

A leaf that ranks as its teacher does cannot be worse than it. The reverse does not hold: of two documents that answer a
question equally well either may come first, so a change is a reason to look, and not yet a loss.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leaf_embed._records import check_file, read_records
from leaf_embed.encoders.base import Encoder
from leaf_embed.encoders.leaf import LeafEncoder
from leaf_embed.errors import CorpusError, InputError
from leaf_embed.evaluation.encoding import encode_texts
from leaf_embed.evaluation.intervals import mean_difference
from leaf_embed.evaluation.retrieval import DEPTH
from leaf_embed.evaluation.storage import search
from leaf_embed.evaluation.worst_queries import RankedDocument, beginning
from leaf_embed.progress import Progress, no_progress

__all__ = ["Agreement", "AgreementReport", "Change", "OwnTexts", "load_own_texts", "measure_agreement", "rank_overlap"]

FORMATS = (".txt", ".jsonl", ".csv", ".tsv", ".parquet")
PERSISTENCE = 0.9  # of rank-biased overlap: the first ten ranks have 86 % of the weight
TOP = 10
SHOWN = 20  # questions
SHOWN_HITS = 5


@dataclass(frozen=True)
class OwnTexts:
    """Questions or documents of one's own.

    Attributes:
        ids: One per text, all different.
        texts: None of them empty.
        left_out: By reason the number of lines that are no text of their own.
    """

    ids: tuple[str, ...]
    texts: tuple[str, ...]
    left_out: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Agreement:
    """A mean over the questions.

    Attributes:
        value: 0 to 1.
        low: Lower limit of the 95 % interval; ``None`` with fewer than 30 questions.
        high: Upper limit.
    """

    value: float
    low: float | None
    high: float | None

    def to_dict(self) -> dict[str, float | None]:
        """The JSON form, rounded to 5 digits."""
        values = (("value", self.value), ("low", self.low), ("high", self.high))
        return {name: None if value is None else round(value, 5) for name, value in values}

    def __str__(self) -> str:
        limits = "no interval" if self.low is None or self.high is None else f"{self.low:.1%} to {self.high:.1%}"
        return f"{self.value:.1%} ({limits})"


@dataclass(frozen=True)
class Change:
    """A question that leaf and teacher answer differently.

    Attributes:
        id: Of the question.
        text: Of the question.
        overlap: Rank-biased overlap of both rankings, 0 to 1.
        teacher_hits: The teacher's five best documents.
        leaf_hits: The leaf's five best, among the same documents.
    """

    id: str
    text: str
    overlap: float
    teacher_hits: tuple[RankedDocument, ...]
    leaf_hits: tuple[RankedDocument, ...]

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        hits = {
            "teacher_hits": [hit.to_dict() for hit in self.teacher_hits],
            "leaf_hits": [hit.to_dict() for hit in self.leaf_hits],
        }
        return {"id": self.id, "text": self.text, "overlap": round(self.overlap, 4), **hits}


@dataclass(frozen=True)
class AgreementReport:
    """The agreement of leaf queries with teacher queries, on the teacher's documents.

    Attributes:
        questions: Number of questions.
        documents: Number of documents.
        top_ten: Share of the teacher's ten best documents that are among the leaf's ten best.
        rank_biased: Rank-biased overlap of the hundred best.
        first_changed: Share of the questions whose first document is another one.
        changes: The questions that change most, the most changed first.
        left_out: By reason the number of lines of the files that were not used.
    """

    questions: int
    documents: int
    top_ten: Agreement
    rank_biased: Agreement
    first_changed: Agreement
    changes: tuple[Change, ...]
    left_out: dict[str, int] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "questions": self.questions,
            "documents": self.documents,
            "top_ten": self.top_ten.to_dict(),
            "rank_biased": self.rank_biased.to_dict(),
            "first_changed": self.first_changed.to_dict(),
            "changes": [change.to_dict() for change in self.changes],
            "left_out": dict(self.left_out),
        }

    def __str__(self) -> str:
        head = f"{self.questions:,} questions without judgements, {self.documents:,} documents: leaf against teacher"
        lines = [
            f"the teacher's ten best among the leaf's ten best: {self.top_ten}",
            f"rank-biased overlap: {self.rank_biased}",
            f"another first document: {self.first_changed}",
        ]
        return "\n".join([head, *lines, *(f"{count:,} {reason}" for reason, count in self.left_out.items())])

    def details(self) -> str:
        """The questions that change most with both rankings, in Markdown."""
        parts = ["## Questions that change most"]
        for change in self.changes:
            parts += [f"### {change.text} (overlap {change.overlap:.2f})", _list("Teacher", change.teacher_hits)]
            parts.append(_list("Leaf", change.leaf_hits))
        return "\n\n".join(parts)


def _list(name: str, hits: Sequence[RankedDocument]) -> str:
    return "\n".join([f"{name}:", "", *(f"{rank}. `{hit.id}` {hit.text}" for rank, hit in enumerate(hits, 1))])


def load_own_texts(path: str | os.PathLike[str]) -> OwnTexts:
    """Reads questions or documents: lines of a .txt, or the fields ``text``, optional ``title`` and ``_id`` or ``id``.

    A text without an id gets the number of its line or row. Empty texts, and questions or documents that repeat an
    earlier text, are left out and counted.

    Raises:
        CorpusError: The file is missing, malformed, holds no text, or two texts have one id.
    """
    file = Path(path)
    check_file(file, FORMATS, CorpusError)
    found: dict[str, str] = {}
    seen: set[str] = set()
    counts = {f"empty texts in {file.name}": 0, f"repeated texts in {file.name}": 0}
    empty, repeated = counts
    for number, record in read_records(file, CorpusError):
        name, text = _own_text(record, number, f"{file}:{number}")
        if not text:
            counts[empty] += 1
        elif text in seen:
            counts[repeated] += 1
        elif name in found:
            raise CorpusError(f"{file}:{number}: the id {name!r} occurs twice; ids must differ")
        else:
            found[name] = text
            seen.add(text)
    if not found:
        raise CorpusError(f"{file} holds no text; expected one per line, or records with the field 'text'")
    return OwnTexts(tuple(found), tuple(found.values()), {reason: count for reason, count in counts.items() if count})


def _own_text(record: Any, number: int, where: str) -> tuple[str, str]:
    if isinstance(record, str):
        return str(number), record.strip()
    given = record if isinstance(record, dict) else {}
    parts = [given.get("title") or "", given.get("text") or ""]
    if "text" not in given or not all(isinstance(part, str) for part in parts):
        raise CorpusError(f"{where} has no text: expected an object or row with a string 'text'; got {record!s:.80}")
    name = next((given[key] for key in ("_id", "id") if given.get(key) is not None), number)
    return str(name), " ".join(parts).strip()


def measure_agreement(
    leaf: Encoder, teacher: Encoder, questions: OwnTexts, documents: OwnTexts, progress: Progress = no_progress
) -> AgreementReport:
    """Compares the rankings of leaf queries and of teacher queries over documents that the teacher encodes.

    Args:
        leaf: The student; of a :class:`LeafEncoder` the query encoder is taken.
        teacher: The teacher of the same space.
        questions: From :func:`load_own_texts`.
        documents: From the same.
        progress: Called after each block of texts.

    Raises:
        SpaceMismatchError: Leaf and teacher live in different spaces.
        InputError: Fewer than two documents, which every ranking agrees on.
        MissingExtraError: The extra ``eval`` is not installed.
    """
    advice = "Compare with the teacher that the leaf was distilled from, with the same prompts and length."
    leaf.space.require_same(teacher.space, mine="the leaf", theirs="the teacher", advice=advice)
    if len(documents.ids) < 2:
        raise InputError("agreement needs at least two documents to rank; got one")
    student = leaf.query_encoder if isinstance(leaf, LeafEncoder) else leaf
    with tempfile.TemporaryDirectory(prefix="leaf-embed-") as directory:
        place = Path(directory)
        stored = encode_texts(teacher, "document", documents, place / "d.npy", "documents, teacher", progress)
        rankings = []
        for who, encoder in (("leaf", student), ("teacher", teacher)):
            asked = encode_texts(encoder, "query", questions, place / f"{who}.npy", f"questions, {who}", progress)
            rankings.append(search(asked, stored, DEPTH, ids=documents.ids)[0])
        del stored, asked  # before the files go: Windows does not remove a mapped one
    return _report(questions, documents, *rankings)


def _report(
    questions: OwnTexts, documents: OwnTexts, leaf: NDArray[np.intp], teacher: NDArray[np.intp]
) -> AgreementReport:
    overlaps = np.array([rank_overlap(ours, theirs) for ours, theirs in zip(leaf, teacher, strict=True)])
    pairs = zip(leaf[:, :TOP], teacher[:, :TOP], strict=True)
    shared = np.array([len(np.intersect1d(ours, theirs)) / len(theirs) for ours, theirs in pairs])
    changed = (leaf[:, 0] != teacher[:, 0]).astype(np.float64)
    worst = [int(row) for row in np.argsort(overlaps, kind="stable")[:SHOWN] if overlaps[row] < 1 - 1e-9]
    return AgreementReport(
        len(questions.ids),
        len(documents.ids),
        _mean(shared, 1.0),
        _mean(overlaps, 1.0),
        _mean(changed, 0.0),
        tuple(
            Change(
                questions.ids[row],
                questions.texts[row],
                float(overlaps[row]),
                _hits(documents, teacher[row]),
                _hits(documents, leaf[row]),
            )
            for row in worst
        ),
        {**questions.left_out, **documents.left_out},
    )


def _mean(values: NDArray[np.float64], unchanged: float) -> Agreement:
    """The mean with its interval, which counts a question as changed if its value is another one."""
    found = mean_difference([(np.full_like(values, unchanged), values)])
    if not np.isfinite(found.high):
        return Agreement(float(values.mean()), None, None)
    low, high = (min(max(unchanged + limit, 0.0), 1.0) for limit in (found.low, found.high))
    return Agreement(float(values.mean()), low, high)


def _hits(documents: OwnTexts, rows: NDArray[np.intp]) -> tuple[RankedDocument, ...]:
    shown = rows[:SHOWN_HITS].tolist()
    return tuple(RankedDocument(documents.ids[row], 0, beginning(documents.texts[row])) for row in shown)


def rank_overlap(first: NDArray[np.intp], second: NDArray[np.intp], persistence: float = PERSISTENCE) -> float:
    """Returns the rank-biased overlap of two rankings of one length, extrapolated; 1 for equal ones, 0 for disjoint.

    Source: Webber, Moffat and Zobel, A Similarity Measure for Indefinite Rankings, ACM TOIS 2010, equation 30.

    Args:
        first: Document rows, best first, shape ``(k,)``.
        second: The same of the other ranking.
        persistence: Probability that a reader goes on to the next rank.
    """
    depth = len(first)
    place = {row: rank for rank, row in enumerate(second.tolist())}
    both = np.array([max(rank, place.get(row, depth)) for rank, row in enumerate(first.tolist())])  # when both have it
    common = np.cumsum(np.bincount(both[both < depth], minlength=depth))[:depth] / np.arange(1, depth + 1)
    weights = persistence ** np.arange(1, depth + 1)
    return float(common[-1] * persistence**depth + (1 - persistence) / persistence * (common * weights).sum())
