"""Retrieval sets in BEIR's layout: ``corpus.jsonl``, ``queries.jsonl`` and ``qrels/<split>.tsv``, also in TREC's form.

Source: Thakur et al., BEIR, arXiv 2104.08663; https://github.com/beir-cellar/beir.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from leaf_embed._records import parse_json, read_lines, read_records
from leaf_embed.errors import CorpusError
from leaf_embed.evaluation.streaming import FileTexts, PackedStrings

__all__ = ["RetrievalSet", "load_beir"]

JUDGEMENT = (
    "query-id, corpus-id and score between tabs, or TREC's query-id, 0, corpus-id and score between tabs or blanks"
)
GRADE = re.compile(r"[+-]?[0-9]+(\.0*)?")
PAGES_FILE = "pages.tsv"
PER_PAGE = 5  # documents of a page among the best, in the mean, that still leave k pages
UNJUDGED = "queries without a judgement"
IRRELEVANT = "queries whose judged documents are all irrelevant"
UNKNOWN = "judged queries that queries.jsonl lacks"
REPEATED = "judgements that stand twice"
LIMITED = "queries beyond the limit"


@dataclass(frozen=True)
class RetrievalSet:
    """Documents, queries, and which document answers which query.

    Attributes:
        name: Name of the set in a report.
        document_ids: One per document, all different.
        documents: Texts to index, in the order of ``document_ids``.
        query_ids: One per query, all different; every one has a positive judgement.
        queries: Texts to search with, in the order of ``query_ids``.
        qrels: Query id -> document id -> grade. Judgements of documents that are not in ``document_ids`` stay and
            count as never found, which is what trec_eval does.
        split: The split that the judgements were read from; ``""`` if the set was made in the process.
        left_out: By reason the number of lines, queries or judgements of the files that are not evaluated.
        pages: The page of a document, where documents are parts of pages: pages are ranked then, each by its best
            document, and ``qrels`` judge pages. Empty otherwise.

    Raises:
        CorpusError: Nothing to evaluate, ids that repeat or do not fit, or a query without a positive judgement.
    """

    name: str
    document_ids: Sequence[str]
    documents: Sequence[str]
    query_ids: tuple[str, ...]
    queries: tuple[str, ...]
    qrels: Mapping[str, Mapping[str, int]]
    split: str = ""
    left_out: Mapping[str, int] = field(default_factory=dict)
    pages: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for what, ids, texts in (
            ("documents", self.document_ids, self.documents),
            ("queries", self.query_ids, self.queries),
        ):
            if not ids:
                raise CorpusError(f"the set {self.name!r} has no {what}; expected at least one")
            if len(ids) != len(texts):
                raise CorpusError(f"the set {self.name!r} has {len(ids)} ids for {len(texts)} {what}")
            distinct = len(np.unique(np.fromiter(map(hash, ids), dtype=np.int64, count=len(ids))))  # 8 bytes per id
            if distinct != len(ids):
                first = _first_repeated(ids)
                raise CorpusError(f"the set {self.name!r} has {len(ids) - distinct} repeated ids of {what}: {first!r}")
        bad = [q for q in self.query_ids if not any(grade > 0 for grade in self.qrels.get(q, {}).values())]
        if bad:
            raise CorpusError(f"the set {self.name!r} has {len(bad)} queries without a positive judgement: {bad[0]!r}")

    @property
    def unknown_documents(self) -> int:
        """Number of judgements, of the queries evaluated, that name a document the corpus does not have."""
        judged = [document for query in self.query_ids for document in self.qrels[query]]
        known = set(judged).intersection(self.judged_names)
        return sum(document not in known for document in judged)

    def rows_for(self, k: int) -> int:
        """Returns how many documents to rank for k places: one more for the query itself, several of each page."""
        return k * (PER_PAGE if self.pages else 1) + 1

    @property
    def judged_names(self) -> Sequence[str]:
        """What is judged of each document."""
        return [self.judged_name(name) for name in self.document_ids] if self.pages else self.document_ids

    def judged_name(self, document: str) -> str:
        """Returns what is judged of a document: its page, or itself."""
        return self.pages.get(document, document)

    @property
    def own_documents(self) -> int:
        """Number of queries that have the id of a document, which is left out of their rankings."""
        if not self.shares_ids:
            return 0
        return len({q for q in self.query_ids if q not in self.qrels[q]}.intersection(self.document_ids))

    @cached_property
    def shares_ids(self) -> bool:
        """Whether a document that has a query's id is that query, as in ArguAna and Quora.

        Such a document is left out of the query's ranking, as in BEIR. ``False`` if a query's relevant documents
        include one with its own id: then queries and documents are numbered alike by chance, and nothing is left out.
        """
        return not any(self.qrels[query].get(query, 0) > 0 for query in self.query_ids)

    @property
    def digest(self) -> str:
        """16 hexadecimal digits of the queries and judgements evaluated, whatever their order; two reports compare."""
        rows = [
            [query, text, sorted(self.qrels[query].items())]
            for query, text in zip(self.query_ids, self.queries, strict=True)
        ]
        return hashlib.sha256(json.dumps(sorted(rows)).encode()).hexdigest()[:16]

    def head(self, queries: int) -> RetrievalSet:
        """The same documents with the first so many queries only; the others are counted in ``left_out``."""
        if queries >= len(self.query_ids):
            return self
        left_out = {**self.left_out, LIMITED: len(self.query_ids) - queries}
        return replace(self, query_ids=self.query_ids[:queries], queries=self.queries[:queries], left_out=left_out)


def load_beir(directory: str | os.PathLike[str], split: str = "test", *, stream: bool = False) -> RetrievalSet:
    """Reads a set; a document's text is ``title + " " + text``, stripped.

    What is not evaluated is counted in :attr:`RetrievalSet.left_out`: queries without a judgement or without a positive
    one, judged queries that ``queries.jsonl`` lacks, and judgements that stand twice.

    Args:
        directory: Holds ``corpus.jsonl``, ``queries.jsonl`` and ``qrels/<split>.tsv``, each also with ``.gz`` after its
            name: BEIR's ``query-id``, ``corpus-id`` and ``score`` between tabs, or TREC's four columns between tabs or
            blanks, of which the second is ignored, as trec_eval does; with or without a header. Grades are whole
            numbers, ``1.0`` among them.
        split: Which judgements. ``pages.tsv`` beside the files, each line a document's id, a tab and its page, says
            that documents are parts of pages; :func:`leaf_embed.evaluation.own_data.make_set` writes it.
        stream: Leave the documents in their file, which must not change meanwhile, and read them block by block:
            memory grows by their ids and 16 bytes each. A compressed file is read into memory.

    Raises:
        CorpusError: A file is missing or empty, a line is malformed (the message names file and line), an id
            repeats, a document is judged twice for one query with different grades, or the judgements name no query,
            or no document, of the set.
    """
    path = Path(directory)
    corpus, asked, judged = _files(path, split)
    document_ids, documents = (_open_texts if stream and corpus.suffix != ".gz" else _read_both)(corpus)
    queries = _read_texts(asked)
    qrels, repeated = _read_qrels(judged, queries)
    chosen = {q: text for q, text in queries.items() if any(grade > 0 for grade in qrels.get(q, {}).values())}
    if not {document for query in chosen for document in qrels[query]}.intersection(document_ids):
        raise CorpusError(
            f"{judged} judges no query of {asked.name} with a document of {corpus.name}; "
            "do the three files belong together?"
        )
    counts = {
        UNJUDGED: sum(query not in qrels for query in queries),
        IRRELEVANT: sum(query in qrels for query in queries) - len(chosen),
        UNKNOWN: sum(query not in queries for query in qrels),
        REPEATED: repeated,
    }
    left_out = {reason: count for reason, count in counts.items() if count}
    if pages := _read_pages(path / PAGES_FILE):
        qrels = {query: _by_page(grades, pages) for query, grades in qrels.items()}
    names = (path.resolve().name, document_ids, documents, tuple(chosen), tuple(chosen.values()))
    return RetrievalSet(*names, qrels, split, left_out, pages)


def _read_pages(file: Path) -> dict[str, str]:
    """Document id -> page, of a set whose documents are parts of pages; empty if it is another."""
    pages = {}
    for number, line in read_lines(file, CorpusError) if file.is_file() else ():
        document, tab, page = line.partition("\t")
        if not tab or not page or document in pages:
            raise CorpusError(f"{file}:{number}: {line!r:.80}; expected a document's id, a tab and its page, once each")
        pages[document] = page
    return pages


def _by_page(grades: Mapping[str, int], pages: Mapping[str, str]) -> dict[str, int]:
    """Page -> the highest grade of its documents."""
    found: dict[str, int] = {}
    for document, grade in grades.items():
        page = pages.get(document, document)
        found[page] = max(grade, found.get(page, grade))
    return found


def _first_repeated(ids: Sequence[str]) -> str:
    seen: set[str] = set()
    return next(one for one in ids if one in seen or seen.add(one))  # type: ignore[func-returns-value]


def _files(path: Path, split: str) -> list[Path]:
    """The three files of a set, each as it is or compressed."""
    wanted = ("corpus.jsonl", "queries.jsonl", f"qrels/{split}.tsv")
    found = [next((file for file in (path / name, path / f"{name}.gz") if file.is_file()), None) for name in wanted]
    if missing := [name for name, file in zip(wanted, found, strict=True) if file is None]:
        splits = sorted({file.name.split(".")[0] for file in path.glob("qrels/*.tsv*")})
        there = f" qrels/ holds the splits {', '.join(splits)}: choose one with --split." if splits else ""
        raise CorpusError(
            f"{path} is no BEIR set: {', '.join(missing)} not found. Expected corpus.jsonl, queries.jsonl and "
            f"qrels/{split}.tsv; is the directory right, and the split?{there}"
        )
    return [file for file in found if file is not None]


def _read_both(file: Path) -> tuple[Sequence[str], Sequence[str]]:
    texts = _read_texts(file)
    return tuple(texts), tuple(texts.values())


def _open_texts(file: Path) -> tuple[Sequence[str], Sequence[str]]:
    """Ids and texts of a corpus whose texts stay in the file; every line is checked now."""
    starts = array("q")  # 8 bytes per line, where a list of integers takes 40

    def names() -> Iterator[str]:
        offset = 0
        with file.open("rb") as stream:
            for number, line in enumerate(stream, start=1):
                if line.strip():
                    starts.append(offset)
                    yield _parse(line, f"{file}:{number}", first=number == 1)[0]
                offset += len(line)

    ids = PackedStrings(names())
    if not starts:
        raise CorpusError(f"{file} is empty; expected one JSON object per line")
    return ids, FileTexts(file, starts, lambda line: _parse(line, str(file), first=True)[1])


def _parse(line: bytes, place: str, *, first: bool) -> tuple[str, str]:
    """Returns the id, and title with text, of a line; of the first one a byte order mark is skipped."""
    try:
        text = line.decode("utf-8-sig" if first else "utf-8").strip(" \t\r\n")
    except UnicodeDecodeError as error:
        raise CorpusError(f"{place} is no UTF-8 text ({error}); convert the file first") from error
    return _fields(parse_json(text, place, CorpusError), place)


def _fields(record: Any, place: str) -> tuple[str, str]:
    """Returns the id, and title with text, of a record."""
    try:
        name, text, title = record["_id"], record["text"], record.get("title") or ""
        if not all(isinstance(value, str) for value in (name, text, title)):
            raise TypeError("_id, title and text must be strings, in quotation marks")
        if not name:
            raise TypeError("_id must not be empty")
    except (KeyError, TypeError, AttributeError) as error:
        raise CorpusError(
            f'{place}: {record!s:.80} is no object with "_id" and "text" ({type(error).__name__}: {error})'
        ) from error
    return name, f"{title} {text}".strip()


def _read_texts(file: Path) -> dict[str, str]:
    """Id -> title and text of a corpus or query file."""
    texts: dict[str, str] = {}
    for number, record in read_records(file, CorpusError):
        if record == "":
            continue
        name, text = _fields(record, f"{file}:{number}")
        if name in texts:
            raise CorpusError(f"{file}:{number}: the id {name!r} occurs twice; ids must differ")
        texts[name] = text
    if not texts:
        raise CorpusError(f"{file} is empty; expected one JSON object per line")
    return texts


def _read_qrels(file: Path, queries: Mapping[str, str]) -> tuple[dict[str, dict[str, int]], int]:
    """Query id -> document id -> grade, with or without a header line, and the number of lines that repeat one."""
    qrels: dict[str, dict[str, int]] = {}
    columns = lines = 0
    for place, (number, line) in enumerate(read_lines(file, CorpusError)):
        try:
            fields = _columns(line, columns)
            columns = len(fields)
            if place == 0 and _is_header(fields, queries):
                continue
            query, document, grade = fields[0], fields[-2], _grade(fields[-1])
            before = qrels.setdefault(query, {}).setdefault(document, grade)
            if before != grade:
                raise ValueError(f"query {query!r} and document {document!r} have the grade {before} above")
        except ValueError as error:
            raise CorpusError(f"{file}:{number}: {line!r:.80}: {error}; expected {JUDGEMENT}") from error
        lines += 1
    if not qrels:
        raise CorpusError(f"{file} holds no judgement; expected {JUDGEMENT}")
    return qrels, lines - sum(map(len, qrels.values()))


def _columns(line: str, expected: int) -> list[str]:
    """The fields of a line, as many as in the lines above."""
    tabs = "\t" in line
    fields = line.rstrip().split("\t") if tabs else line.split()
    if len(fields) != 4 and not (tabs and len(fields) == 3):
        raise ValueError(f"{len(fields)} columns between {'tabs' if tabs else 'blanks'}")
    if expected and len(fields) != expected:
        raise ValueError(f"{len(fields)} columns below {expected} columns")
    return fields


def _is_header(fields: Sequence[str], queries: Mapping[str, str]) -> bool:
    """Whether the first line names columns: no number at the end, and no query at the beginning."""
    try:
        float(fields[-1])
    except ValueError:
        return fields[0] not in queries
    return False


def _grade(text: str) -> int:
    """A grade, which may be written as ``1.0``."""
    if not GRADE.fullmatch(text.strip()):
        raise ValueError(f"the grade is {text!r}, no whole number")
    return int(text.strip().split(".")[0])
