"""The demo's texts, made from the standard library's documentation: training texts, a retrieval set, and questions.

**Split.** Whole top-level modules (and whole topics of the language reference) go to one side: held out if the
CRC-32 of the name is divisible by 4. Afterwards a training text is thrown away if it shares a sentence of four words
or more, or any thirteen words in a row, with a held-out text, so nothing that is asked or searched in the evaluation
was trained on.

**Judgements** follow from the text itself, a known-item search: the query is the first sentence of a docstring, and
the document is the qualified name with the rest of the docstring. The first sentence is cut out of its document, so
that a query has to be matched by meaning and by the name, never by finding itself. Left out, because the judgement
would be trivial or wrong:

* a body of fewer than 12 words, which says too little to be found by;
* a summary that several objects share, or that stands verbatim in any document of the collection, its own or another
  (the query would have several answers, or find itself);
* a summary that is a signature or spells out the object's own identifier (``"Implements get_data"``);
* private names, which are not searched for.

Objects whose bodies are identical are all relevant to each other's queries. Every other public text of the held-out
side is in the collection too, whole, as a distractor. The name stays in the document, because a reader of
documentation searches names with their texts and the demo's index holds both. all-MiniLM-L6-v2 reaches an nDCG@10
of .58 on this set (Python 3.11), and .42 if the names are taken out of the documents.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

from leaf_embed.demo.stdlib import Entry, paragraphs, read_library
from leaf_embed.errors import CorpusError
from leaf_embed.evaluation.beir import RetrievalSet
from leaf_embed.texts import Role

__all__ = ["QUESTIONS", "DemoCorpus", "DemoDocument", "load_demo_corpus"]

MIN_DOCUMENTS = 500  # fewer is no collection; a whole standard library has thousands
MIN_BODY_WORDS = 12
QUERY_WORDS = (4, 30)
SENTENCE_WORDS = 4  # shorter ones ("Return a string.") are formulas that belong to no one object
SHINGLE_WORDS = 13
HELD_OUT_SHARE = 4  # one group in four
PLAIN_WORD = re.compile(r"[A-Za-z][a-z'-]*[.,:;!]?")
PLAIN_SHARE = 0.7  # below this a "summary" is a table row, a signature or a usage line
CODE = re.compile(r"\w\(|->|>>>|::|=")

QUESTIONS: tuple[str, ...] = (
    "how do I compress a file with gzip",
    "run another program and read its output",
    "create a directory and all missing parents",
    "parse command line options",
    "how can I pick a random element from a list",
    "send an email over an encrypted connection",
    "cache the results of a function so it is not computed twice",
    "what is the difference between is and == for objects",
    "wait for several coroutines at the same time",
    "replace a function with a fake one while testing",
    "how do I catch an exception and still clean up afterwards",
    "convert a date string into a datetime",
)
"""Questions as a Python user would type them; no text of the corpus was made from one.

They were written before any answer was seen. all-MiniLM-L6-v2 has something helpful among its first three for nine of
the twelve. It misses ``unittest.mock.patch`` and ``asyncio.gather``, and finds ``except`` but not ``finally``; those
three questions stay.
"""


@dataclass(frozen=True)
class DemoDocument:
    """A document of the demo's index.

    Attributes:
        id: Qualified name, or ``"topics/<name>/<number>"``.
        title: The title that is shown.
        text: Docstring or passage; white space collapsed.
    """

    id: str
    title: str
    text: str

    @property
    def passage(self) -> str:
        """The text that is encoded: title and text."""
        return f"{self.title} {self.text}"


@dataclass(frozen=True)
class DemoCorpus:
    """The demo's texts.

    Attributes:
        train: ``(kind, text)`` pairs without repeats; no text of ``evaluation`` among them.
        documents: Everything public, of both sides, for the demo's index.
        evaluation: The held-out side.
        withheld: Number of texts kept from training because they occur in the held-out side.
        unreadable: Number of source files that were skipped.
    """

    train: tuple[tuple[Role, str], ...]
    documents: tuple[DemoDocument, ...]
    evaluation: RetrievalSet
    withheld: int
    unreadable: int

    def describe(self) -> str:
        """One line of counts."""
        kinds = Counter(kind for kind, _ in self.train)
        return (
            f"{len(self.train):,} training texts ({kinds['document']:,} documents, {kinds['query']:,} queries; "
            f"{self.withheld:,} withheld), {len(self.documents):,} documents to index, "
            f"{len(self.evaluation.queries):,} held-out queries over {len(self.evaluation.documents):,} documents"
        )


def load_demo_corpus(root: Path | None = None, *, min_documents: int = MIN_DOCUMENTS) -> DemoCorpus:
    """Reads the standard library and divides it; takes a few seconds, and returns the same result each time.

    Args:
        root: Directory of the standard library; ``None`` takes that of the running Python.
        min_documents: Fewer than this is an error.

    Raises:
        CorpusError: Too few documents, or no held-out query.
    """
    library = read_library(root)
    public = [entry for entry in library.entries if entry.is_public]
    if len(public) < min_documents:
        raise CorpusError(
            f"found {len(public)} documented objects in {library.files} files of Python's standard library "
            f"({library.unreadable} unreadable); expected at least {min_documents}. This Python comes without its "
            "source or its docstrings; use one from python.org, a distribution's full package, or conda."
        )
    held_out = [entry for entry in library.entries if _is_held_out(entry)]
    evaluation = _retrieval_set([entry for entry in held_out if entry.is_public])
    others = _training_texts(entry for entry in library.entries if not _is_held_out(entry))
    train, withheld = _without_held_out(others, [entry.text for entry in held_out])
    documents = tuple(DemoDocument(e.id, e.title, " ".join(e.text.split())) for e in public)
    return DemoCorpus(tuple(train), documents, evaluation, withheld, library.unreadable)


def _is_held_out(entry: Entry) -> bool:
    return crc32(entry.group.encode()) % HELD_OUT_SHARE == 0


def _passage(entry: Entry) -> str:
    return f"{entry.title} {' '.join(entry.text.split())}"


def _retrieval_set(entries: list[Entry]) -> RetrievalSet:
    """Judge what can be judged; see the module's text for the rules."""
    split = {entry.id: _summary_and_body(entry) for entry in entries}
    shared = Counter(normal(summary) for summary, _ in split.values())
    queries = {e.id: split[e.id][0].rstrip(".:! ") for e in entries if shared[normal(split[e.id][0])] == 1}
    queries = {e.id: queries[e.id] for e in entries if e.id in queries and _can_be_judged(e, *split[e.id])}
    documents = {e.id: f"{e.title} {split[e.id][1]}" if e.id in queries else _passage(e) for e in entries}
    everything = " | ".join(f" {normal(text)} " for text in documents.values())
    for name in [name for name, query in queries.items() if f" {normal(query)} " in everything]:
        del queries[name]
    documents = {e.id: documents[e.id] if e.id in queries else _passage(e) for e in entries}
    same_body: defaultdict[str, list[str]] = defaultdict(list)
    for name in queries:
        same_body[normal(split[name][1])].append(name)
    # The query of an object is not the object: with the same id it would be dropped from its own ranking.
    ids = {name: f"summary of {name}" for name in queries}
    return RetrievalSet(
        name="python-stdlib",
        document_ids=tuple(documents),
        documents=tuple(documents.values()),
        query_ids=tuple(ids.values()),
        queries=tuple(queries.values()),
        qrels={ids[name]: dict.fromkeys(same_body[normal(split[name][1])], 1) for name in queries},
    )


def _summary_and_body(entry: Entry) -> tuple[str, str]:
    """First sentence, and everything after it in one line; a passage of the language reference has no summary."""
    if entry.is_topic:
        return "", entry.text
    first, *rest = paragraphs(entry.text)
    summary, *more = _split_sentences(first)
    return summary, " ".join([*more, *rest])


def _can_be_judged(entry: Entry, summary: str, body: str) -> bool:
    words = summary.split()
    own_name = entry.id.split(".")[-1]
    is_identifier = "_" in own_name or own_name != own_name.lower()
    return (
        QUERY_WORDS[0] <= len(words) <= QUERY_WORDS[1]
        and len(body.split()) >= MIN_BODY_WORDS
        and sum(bool(PLAIN_WORD.fullmatch(word)) for word in words) >= PLAIN_SHARE * len(words)
        and not CODE.search(summary)
        and not (is_identifier and own_name.lower() in summary.lower())
    )


def _training_texts(entries: Iterable[Entry]) -> Iterator[tuple[Role, str, str]]:
    """(kind, text, where it was copied from): each entry as indexed, its sentences, its name as typed in a search."""
    for entry in entries:
        yield "document", _passage(entry), entry.text
        for sentence in sentences(entry.text):
            yield "query", sentence.rstrip(".:! "), sentence
        if not entry.is_topic:
            yield "query", " ".join(_name_words(entry.id)), ""


def _name_words(name: str) -> list[str]:
    """``"http.client.HTTPMessage.get_all"`` -> http, client, http, message, get, all."""
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name)]


def _without_held_out(
    candidates: Iterable[tuple[Role, str, str]], held_out: Iterable[str]
) -> tuple[dict[tuple[Role, str], None], int]:
    """Texts that share no sentence and no thirteen words in a row with the held-out side, and how many did."""
    forbidden = {trace for text in held_out for trace in _traces(text)}
    kept: dict[tuple[Role, str], None] = {}
    dropped = set()
    for kind, text, source in candidates:
        if forbidden.isdisjoint(_traces(source)):
            kept[kind, text] = None
        else:
            dropped.add((kind, text))
    return kept, len(dropped)


def _traces(text: str) -> Iterator[str]:
    """Yields what two texts share if one was copied from the other: sentences, and runs of thirteen words."""
    yield from (normal(sentence) for sentence in sentences(text))
    words = normal(text).split()
    for start in range(len(words) - SHINGLE_WORDS + 1):
        yield " ".join(words[start : start + SHINGLE_WORDS])


def sentences(text: str) -> list[str]:
    """Sentences of at least four words; lines of an interpreter session are left out."""
    prose = "\n".join("" if re.match(r"\s*(>>>|\.\.\.)", line) else line for line in text.splitlines())
    found = [sentence for block in paragraphs(prose) for sentence in _split_sentences(block)]
    return [sentence for sentence in found if len(normal(sentence).split()) >= SENTENCE_WORDS]


def _split_sentences(block: str) -> list[str]:
    return re.split(r"""(?<!e\.g\.)(?<!i\.e\.)(?<=[.!?])\s+(?=["'`*(\[]*[A-Z])""", block)


def normal(text: str) -> str:
    """Returns the lower-case words with single spaces, which two texts share if they are the same text."""
    return " ".join(re.findall(r"\w+", text.lower()))
