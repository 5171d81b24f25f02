"""make_set: questions and the pages that answer them, as a BEIR set that ``evaluate`` reads."""

from __future__ import annotations

import csv
import io
import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from leaf_embed._files import replacing_directory
from leaf_embed.errors import CorpusError, InputError
from leaf_embed.evaluation.beir import PAGES_FILE
from leaf_embed.evaluation.own_data.pages import Pages, field_of
from leaf_embed.texts import clean

__all__ = ["MadeSet", "make_set"]

QUESTION_KEYS = ("question", "query", "text")
SOURCE_KEYS = ("source", "page", "url", "document", "answer")


@dataclass(frozen=True)
class MadeSet:
    """What a set was made of.

    Attributes:
        directory: The set.
        questions: Questions in it.
        documents: Documents in it.
        pages: Pages that these lie on.
        matched: How many sources named a document, a section or a whole page.
        unmatched: Question and source of each line that names nothing, or several pages; not in the set.
        without_source: Number of questions that name no source; not in the set.
    """

    directory: Path
    questions: int
    documents: int
    pages: int
    matched: Mapping[str, int]
    unmatched: Sequence[tuple[str, str]]
    without_source: int


@dataclass
class Judged:
    """The questions that were read so far, by their text."""

    relevant: dict[str, dict[str, None]] = field(default_factory=dict)
    matched: Counter[str] = field(default_factory=Counter)
    unmatched: list[tuple[str, str]] = field(default_factory=list)
    without_source: int = 0

    def read(self, record: Mapping[str, Any], pages: Pages) -> None:
        """Reads one question; the sources of a question that comes again are added."""
        question = _text(record, QUESTION_KEYS)
        sources = _sources(record)
        self.without_source += not sources
        for source in sources:
            found = pages.find(source)
            if found is None:
                self.unmatched.append((question, source))
                continue
            self.matched[found[0]] += 1
            self.relevant.setdefault(question, {}).update(dict.fromkeys(found[1]))


def make_set(
    questions: Iterable[Mapping[str, Any]],
    documents: Iterable[Mapping[str, Any]],
    output: str | os.PathLike[str],
    *,
    page_key: str | None = None,
) -> MadeSet:
    """Writes a retrieval set of one's own.

    A question has a ``question`` (or ``query``, ``text``) and a ``source`` (or ``page``, ``url``, ``document``): the id
    of a document, a page, or ``page#section``; a list of them, or several lines with one question, for several.
    Documents are parts of pages: every one of a page answers a question about it, and ``evaluate`` ranks pages by their
    best one.

    Args:
        questions: Read once.
        documents: Mappings with ``_id`` (or ``id``), ``text`` and optionally ``title``; read once.
        output: Directory to write, in BEIR's layout with ``pages.tsv``; must not exist.
        page_key: Field of a document that names its page, with dots into nested objects; by default the first of
            ``page``, ``source``, ``url``, ``path`` and ``file``, also in ``metadata``. A document without one is a
            page.

    Raises:
        CorpusError: No document, an id that repeats, a question without a text, or no question whose source names
            anything.
        InputError: ``output`` exists.
        StorageError: It cannot be written.
    """
    target = Path(output)
    if target.exists():
        raise InputError(f"{target} exists already; choose another --output, or move it away")
    pages, judged = Pages(page_key), Judged()
    with replacing_directory(target) as folder:
        _write_documents(folder, documents, pages)
        for record in questions:
            judged.read(record, pages)
        _require_any(judged, pages)
        _write_questions(folder, judged)
    return MadeSet(
        target,
        len(judged.relevant),
        len(pages.ids),
        len(pages.by_page),
        dict(judged.matched),
        tuple(judged.unmatched),
        judged.without_source,
    )


def _write_documents(folder: Path, documents: Iterable[Mapping[str, Any]], pages: Pages) -> None:
    with (
        (folder / "corpus.jsonl").open("w", encoding="utf-8") as corpus,
        (folder / PAGES_FILE).open("w", encoding="utf-8", newline="") as places,
    ):
        table = _table(places)
        for number, document in enumerate(documents, start=1):
            name, text = document.get("_id", document.get("id")), document.get("text")
            if name in (None, "") or not isinstance(text, str):
                raise CorpusError(f"document number {number} has no '_id' or no 'text'; it has {sorted(document)}")
            name = clean(str(name))
            line = {"_id": name, "title": clean(str(document.get("title") or "")), "text": clean(text)}
            corpus.write(json.dumps(line, ensure_ascii=False) + "\n")
            table.writerow([_field(name), _field(pages.add(name, document))])
    if not pages.ids:
        raise CorpusError("there is no document; expected at least one")


def _write_questions(folder: Path, judged: Judged) -> None:
    (folder / "qrels").mkdir()
    with (
        (folder / "queries.jsonl").open("w", encoding="utf-8") as queries,
        (folder / "qrels" / "test.tsv").open("w", encoding="utf-8", newline="") as qrels,
    ):
        table = _table(qrels)
        table.writerow(["query-id", "corpus-id", "score"])
        for number, (question, relevant) in enumerate(judged.relevant.items(), start=1):
            queries.write(json.dumps({"_id": f"q{number}", "text": question}, ensure_ascii=False) + "\n")
            table.writerows([f"q{number}", _field(name), 1] for name in relevant)


def _table(stream: io.TextIOBase | Any) -> Any:
    return csv.writer(stream, delimiter="\t", lineterminator="\n", quoting=csv.QUOTE_NONE, quotechar=None)


def _field(value: str) -> str:
    if any(sign in value for sign in "\t\r\n"):
        raise CorpusError(f"the id or page {value!r:.80} holds a tab or a line break; qrels are columns between tabs")
    return value


def _require_any(judged: Judged, pages: Pages) -> None:
    if judged.relevant:
        return
    if judged.without_source and not judged.unmatched:
        raise CorpusError(
            "no question has a source (a column source, page, url or document). Without them the leaf can be compared "
            "with its teacher: leaf-embed evaluate --questions FILE --documents FILE"
        )
    named = ", ".join(repr(source) for _, source in judged.unmatched[:3]) or "none"
    there = ", ".join(repr(page) for page in list(pages.by_page)[:3])
    raise CorpusError(
        f"no source of a question names a document or a page: sources {named}; pages (by {pages.key!r}) {there}. "
        "Name the field of the pages with --page-key"
    )


def _text(record: Mapping[str, Any], keys: Sequence[str]) -> str:
    found = next((record[key] for key in keys if record.get(key)), None)
    if not isinstance(found, str) or not found.strip():
        raise CorpusError(
            f"a question has no text under {', '.join(keys)}; it has the fields {sorted(map(str, record))}"
        )
    return clean(found.strip())


def _sources(record: Mapping[str, Any]) -> list[str]:
    value = next((found for key in SOURCE_KEYS if (found := field_of(record, key)) not in (None, "", [])), None)
    values = value if isinstance(value, list) else [] if value is None else [value]
    return [clean(str(one)) for one in values if one not in (None, "")]
