"""The demo's texts: judgements by the written rules, and nothing held out that was trained on."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from leaf_embed.demo import QUESTIONS, DemoCorpus, load_demo_corpus
from leaf_embed.errors import CorpusError

LONG = "The rest of this text says with many more words what the thing is really good for."
OTHER = "Another long explanation that has nothing to do with the one before and is not equal to it."


@pytest.fixture(scope="module")
def real() -> DemoCorpus:
    return load_demo_corpus()


@pytest.fixture
def small(tmp_path: Path) -> DemoCorpus:
    """By CRC-32, ``asyncio`` is held out and ``json`` is not."""
    (tmp_path / "asyncio.py").write_text(
        f'''
def wait():
    """Wait until all of them are done.

    {LONG}
    """
def hold():
    """Hold on for a moment please.

    {LONG}
    """
def copy_file():
    """Call copy_file on the two names.

    {OTHER}
    """
def short():
    """Do something very short here.

    Too short.
    """
def twin_a():
    """This summary occurs twice here.

    {OTHER}
    """
def twin_b():
    """This summary occurs twice here.

    {LONG} Really.
    """
def _private():
    """A private thing nobody searches.

    {LONG}
    """
'''
    )
    (tmp_path / "json.py").write_text(
        f'''
def dump():
    """Write an object to a file. {OTHER}"""
def waits():
    """Wait until all of them are done!"""
def loadString():
    """Read it."""
'''
    )
    return load_demo_corpus(tmp_path, min_documents=1)


def test_judgements_follow_the_rules(small: DemoCorpus) -> None:
    found = small.evaluation
    assert dict(zip(found.query_ids, found.queries, strict=True)) == {
        "summary of asyncio.wait": "Wait until all of them are done",
        "summary of asyncio.hold": "Hold on for a moment please",
    }
    both = {"asyncio.wait": 1, "asyncio.hold": 1}  # their bodies are identical
    assert found.qrels == {"summary of asyncio.wait": both, "summary of asyncio.hold": both}
    documents = dict(zip(found.document_ids, found.documents, strict=True))
    assert documents["asyncio.wait"] == f"asyncio.wait {LONG}"
    assert documents["asyncio.twin_a"] == f"asyncio.twin_a This summary occurs twice here. {OTHER}"
    assert len(documents) == 6
    assert "asyncio._private" not in documents


def test_training_leaves_out_what_is_held_out(small: DemoCorpus) -> None:
    """``json.dump`` and ``json.waits`` share a sentence with ``asyncio``."""
    assert small.train == (
        ("query", "Write an object to a file"),
        ("query", "json dump"),
        ("query", "json waits"),
        ("document", "json.loadString Read it."),
        ("query", "json load string"),
    )
    assert small.withheld == 4
    assert [document.id for document in small.documents if document.id.startswith("json")] == [
        "json.dump",
        "json.waits",
        "json.loadString",
    ]
    assert small.documents[-1].passage == "json.loadString Read it."


def test_the_real_library_gives_enough(real: DemoCorpus) -> None:
    assert len(real.documents) > 1_000
    assert len(real.evaluation.queries) > 100
    assert len(real.evaluation.documents) > 500
    assert len(real.train) > 5_000
    assert len(set(real.train)) == len(real.train)
    assert len({document.id for document in real.documents}) == len(real.documents)
    assert all(text.strip() for _, text in real.train)
    assert real.evaluation.unknown_documents == 0


def test_nothing_held_out_is_trained_on(real: DemoCorpus) -> None:
    """An independent check: plain sentence splitting and plain substrings instead of the module's own traces."""
    train = {words(text) for _, text in real.train}
    train_sentences = {words(part) for _, text in real.train for part in re.split(r"[.!?]\s+", text)}
    for text in (*real.evaluation.queries, *real.evaluation.documents):
        assert words(text) not in train
    for text in real.evaluation.queries:
        assert words(text) not in train_sentences
    long_texts = "\n".join(words(text) for _, text in real.train if len(text) > 60)
    for document in real.evaluation.documents:
        for part in re.split(r"[.!?]\s+", document):
            if len(words(part).split()) >= 13:
                assert words(part) not in long_texts


def test_no_query_stands_in_a_document(real: DemoCorpus) -> None:
    everything = "\n".join(f" {words(document)} " for document in real.evaluation.documents)
    assert [query for query in real.evaluation.queries if f" {words(query)} " in everything] == []


def test_the_questions_are_in_no_text(real: DemoCorpus) -> None:
    texts = {words(text) for _, text in real.train} | {words(document.text) for document in real.documents}
    assert len(QUESTIONS) == 12
    assert not texts & {words(question) for question in QUESTIONS}


def test_the_same_texts_each_time(real: DemoCorpus) -> None:
    assert load_demo_corpus() == real


def test_a_library_without_documentation(tmp_path: Path) -> None:
    (tmp_path / "json.py").write_text("x = 1")
    with pytest.raises(CorpusError, match=r"found 0 documented objects in 1 files .* expected at least 500"):
        load_demo_corpus(tmp_path)


def words(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.lower()))
