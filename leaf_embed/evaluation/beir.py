"""Retrieval sets in BEIR's layout: ``corpus.jsonl``, ``queries.jsonl`` and ``qrels/<split>.tsv``, also in TREC's form.

Source: Thakur et al., BEIR, arXiv 2104.08663; https://github.com/beir-cellar/beir.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
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

    Raises:
        CorpusError: Nothing to evaluate, ids that repeat or do not fit, or a query without a positive judgement.
    """

    name: str
    document_ids: Sequence[str]
    documents: Sequence[str]
    query_ids: tuple[str, ...]
    queries: tuple[str, ...]
    qrels: Mapping[str, Mapping[str, int]]

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
                raise CorpusError(f"the set {self.name!r} has {len(ids) - distinct} repeated ids of {what}")
        bad = [q for q in self.query_ids if not any(grade > 0 for grade in self.qrels.get(q, {}).values())]
        if bad:
            raise CorpusError(f"the set {self.name!r} has {len(bad)} queries without a positive judgement: {bad[0]!r}")

    @property
    def unknown_documents(self) -> int:
        """Number of judgements, of the queries evaluated, that name a document the corpus does not have."""
        judged = [document for query in self.query_ids for document in self.qrels[query]]
        known = set(judged).intersection(self.document_ids)
        return sum(document not in known for document in judged)

    def head(self, queries: int) -> RetrievalSet:
        """The same documents with the first so many queries only."""
        return replace(self, query_ids=self.query_ids[:queries], queries=self.queries[:queries])


def load_beir(directory: str | os.PathLike[str], split: str = "test", *, stream: bool = False) -> RetrievalSet:
    """Reads a set; a document's text is ``title + " " + text``, stripped.

    Args:
        directory: Holds ``corpus.jsonl``, ``queries.jsonl`` and ``qrels/<split>.tsv``: BEIR's ``query-id``,
            ``corpus-id`` and ``score`` between tabs, or TREC's four columns between tabs or blanks, of which the
            second is ignored, as trec_eval does; with or without a header.
        split: Which judgements. Queries without a positive one are left out.
        stream: Leave the documents in their file, which must not change meanwhile, and read them block by block:
            memory grows by their ids and 16 bytes each.

    Raises:
        CorpusError: A file is missing or empty, a line is malformed (the message names file and line), an id
            repeats, or the judgements name no query, or no document, of the set.
    """
    path = Path(directory)
    files = [path / "corpus.jsonl", path / "queries.jsonl", path / "qrels" / f"{split}.tsv"]
    missing = [str(file.relative_to(path)) for file in files if not file.is_file()]
    if missing:
        raise CorpusError(
            f"{path} is no BEIR set: {', '.join(missing)} not found. Expected corpus.jsonl, queries.jsonl and "
            f"qrels/{split}.tsv; is the directory right, and the split?"
        )
    document_ids, documents = (_open_texts if stream else _read_both)(files[0])
    queries = _read_texts(files[1])
    qrels = _read_qrels(files[2])
    judged = {q: text for q, text in queries.items() if any(grade > 0 for grade in qrels.get(q, {}).values())}
    if not {document for query in judged for document in qrels[query]}.intersection(document_ids):
        raise CorpusError(
            f"{files[2]} judges no query of {files[1].name} with a document of {files[0].name}; "
            "do the three files belong together?"
        )
    name = path.resolve().name
    return RetrievalSet(name, document_ids, documents, tuple(judged), tuple(judged.values()), qrels)


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
                    yield _parse(line, f"{file}:{number}")[0]
                offset += len(line)

    ids = PackedStrings(names())
    if not starts:
        raise CorpusError(f"{file} is empty; expected one JSON object per line")
    return ids, FileTexts(file, starts, lambda line: _parse(line, str(file))[1])


def _parse(line: bytes, place: str) -> tuple[str, str]:
    """Returns the id, and title with text, of a line."""
    try:
        text = line.decode("utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise CorpusError(f"{place} is no UTF-8 text ({error}); convert the file first") from error
    return _fields(parse_json(text, place, CorpusError), place)


def _fields(record: Any, place: str) -> tuple[str, str]:
    """Returns the id, and title with text, of a record."""
    try:
        name, text, title = record["_id"], record["text"], record.get("title") or ""
        if not all(isinstance(value, str) for value in (name, text, title)):
            raise TypeError("_id, title and text must be strings")
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


def _read_qrels(file: Path) -> dict[str, dict[str, int]]:
    """Query id -> document id -> grade, with or without a header line."""
    qrels: dict[str, dict[str, int]] = {}
    for place, (number, line) in enumerate(read_lines(file, CorpusError)):
        try:
            query, document, grade = _judgement(line)
        except ValueError as error:
            if place == 0 and not line.split()[-1].isdecimal():  # the header
                continue
            raise CorpusError(f"{file}:{number}: {line!r:.80}: {error}; expected {JUDGEMENT}") from error
        qrels.setdefault(query, {})[document] = grade
    if not qrels:
        raise CorpusError(f"{file} holds no judgement; expected {JUDGEMENT}")
    return qrels


def _judgement(line: str) -> tuple[str, str, int]:
    """Query id, document id and grade of a line."""
    tabs = "\t" in line
    fields = line.rstrip().split("\t") if tabs else line.split()
    if len(fields) != 4 and not (tabs and len(fields) == 3):
        raise ValueError(f"{len(fields)} columns between {'tabs' if tabs else 'blanks'}")
    return fields[0], fields[-2], int(fields[-1])
