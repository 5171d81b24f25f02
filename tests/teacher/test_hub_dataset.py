"""Data sets of the hub, tried on local directories: the hub's own reader reads them alike."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from leaf_embed.distill import Corpus, Text
from leaf_embed.errors import CorpusError
from leaf_embed.teacher.hub_dataset import HubSet


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    root = tmp_path_factory.mktemp("set")
    table = {
        "question": ["who", "where", "", "how"],
        "context": ["C1", None, "C3", "C4"],
        "title": ["T", "", None, "U"],
    }
    pq.write_table(pa.table(table), root / "train.parquet")
    return root


def test_a_column_is_read_and_its_kind_is_said(directory):
    corpus = Corpus([f"hub:{directory}?text=question&kind=query"])
    assert list(corpus) == [Text("who", "query"), Text("where", "query"), Text("how", "query")]
    assert corpus.skipped == {"empty text": 1}
    assert len(list(corpus)) == 3, "twice"


def test_titles_limits_and_other_files_beside_it(directory, tmp_path):
    (tmp_path / "a.txt").write_text("red stone\n")
    address = f"hub:{directory}?text=question&title=title&limit=2&split=train"
    assert list(Corpus([address, tmp_path / "a.txt"])) == [Text("T who"), Text("where"), Text("red stone")]
    assert list(Corpus([address], titles=False)) == [Text("who"), Text("where")]


def test_jsonl_sets_and_their_own_kinds(tmp_path):
    records = [{"text": "red", "kind": "query"}, {"text": "blue", "kind": "document"}]
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records))
    assert list(Corpus([f"hub:{tmp_path}"])) == [Text("red", "query"), Text("blue")]


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("hub:", "needs a name"),
        ("hub:org/name?colum=x", r"unknown options \['colum'\]"),
        ("hub:org/name?kind=passage", "kind is query or document"),
        ("hub:org/name?limit=many", "whole number"),
        ("hub:org/name?limit=0", "at least 1"),
    ],
)
def test_bad_addresses_are_refused_before_anything_is_fetched(address, message):
    with pytest.raises(CorpusError, match=message):
        Corpus([address])


def test_what_is_not_there_is_a_clear_error(directory):
    with pytest.raises(CorpusError, match=r"has no column 'text'; it has \['context', 'question', 'title'\]"):
        list(Corpus([f"hub:{directory}"]))
    with pytest.raises(CorpusError, match=r"cannot read hub:.* \(split 'test'\)"):
        list(Corpus([f"hub:{directory}?split=test&text=question"]))
    with pytest.raises(CorpusError, match="cannot read hub:org/no-such-set"):
        list(Corpus(["hub:org/no-such-set"]))


def test_a_null_is_skipped_and_counted(directory):
    corpus = Corpus([f"hub:{directory}?text=context"])
    found = list(corpus)
    assert all(text.text for text in found)
    assert sum(corpus.skipped.values()) > 0


def test_an_address_reads_back():
    found = HubSet.parse("hub:org/name?config=en&split=validation&text=q&kind=query&limit=5")
    assert found == HubSet("org/name", "en", "validation", "q", None, "query", 5)
