"""What is given as a corpus: texts or paths, in every form that a caller may hold."""

from pathlib import Path

import pytest

from leaf_embed.distill import Corpus, Text
from leaf_embed.errors import CorpusError
from leaf_embed.teacher.given_texts import as_texts, checked_texts

WORDS = ["red stone", "where is it? see page 3/4", ""]
TEXTS = [Text("red stone"), Text("where is it? see page 3/4"), Text("")]


def read(corpus):
    return list(checked_texts(as_texts(corpus)))


@pytest.fixture
def file(tmp_path):
    (tmp_path / "a.txt").write_text("red stone\n")
    return tmp_path / "a.txt"


@pytest.mark.parametrize("kind", [list, tuple, iter, lambda words: (word for word in words)])
def test_str_are_documents(kind):
    assert read(kind(WORDS)) == TEXTS


def test_texts_of_any_kind():
    mixed = ["red", Text("where", "query"), None, Text("\ud83d x")]
    assert read(mixed) == [Text("red"), Text("where", "query"), Text(""), Text("\ufffd x")]
    assert read([]) == read(None) == []


@pytest.mark.parametrize(
    "kind", [lambda f: f, str, lambda f: [f], lambda f: [str(f)], lambda f: f.parent.glob("*.txt")]
)
def test_paths_are_paths_in_every_form(file, kind):
    assert isinstance(as_texts(kind(file)), Corpus)
    assert read(kind(file)) == [Text("red stone")]


def test_existing_files_need_no_suffix_of_a_corpus(file):
    assert isinstance(as_texts([str(file.parent)]), Corpus)


@pytest.mark.parametrize("name", ["dcos.jsonl", "my dcos.jsonl", "data/dcos", Path("dcos"), "hub:", "docs.txt.gz"])
def test_a_misspelt_path_is_no_text(name):
    with pytest.raises(CorpusError, match=r"no file|needs a name"):
        as_texts([name])


def test_paths_and_texts_together_are_refused(file):
    with pytest.raises(CorpusError, match=r"names the path .*a\.txt.* beside it holds 'red stone'"):
        as_texts([str(file), "red stone"])


def test_an_iterator_of_texts_is_not_read_ahead():
    seen = []

    def texts():
        for word in ("red", "blue", "green"):
            seen.append(word)
            yield word

    found = checked_texts(as_texts(texts()))
    assert next(found) == Text("red")
    assert seen == ["red"]


@pytest.mark.parametrize(
    ("corpus", "message"),
    [
        (3, "got int"),
        (b"red", "got bytes"),
        (["red", 3], "item 1 of the corpus is of type int: 3"),
        ([Text("red", "passage")], "item 0 .*'query' or 'document'"),
        ([Text(None)], "item 0"),
    ],
)
def test_anything_else_is_refused(corpus, message):
    with pytest.raises(CorpusError, match=message):
        read(corpus)
