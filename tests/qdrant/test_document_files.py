"""Vectors that were embedded before become a collection without a teacher."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from leaf_embed.errors import CacheError, CorpusError, InputError
from leaf_embed.qdrant import CollectionSpec, Document, LeafCollection, parquet_documents
from leaf_embed.qdrant.document_files import check_documents, read_documents
from leaf_embed.teacher.cache import TeacherCache
from leaf_embed.texts import Text

parquet: Any = pytest.importorskip("pyarrow.parquet", reason="pip install 'leaf-embed[train]'")
pyarrow: Any = pytest.importorskip("pyarrow")

SPEC = CollectionSpec(mrl=(16,))
TEXTS = [f"topic{i % 5} word{i}" for i in range(40)]


def test_a_parquet_file_becomes_a_collection(home: Any, leaf: Any, tmp_path: Any) -> None:
    columns = {
        "key": [f"d{i}" for i in range(40)],
        "text": TEXTS,
        "title": [None] * 40,
        "year": list(range(2000, 2040)),
        "vector": leaf.encode_document(TEXTS).tolist(),
    }
    file = tmp_path / "docs.parquet"
    parquet.write_table(pyarrow.table(columns), file)
    leaf.asked.clear()
    with LeafCollection.create("docs", leaf, spec=SPEC, check_canaries=False, **home) as docs:
        assert docs.index_vectors(parquet_documents(file, key="key", batch_rows=7)).added == 40
        assert leaf.asked == []
        best = docs.search("topic3 word13")[0]
        assert (best.id, best.payload, best.score) == ("d13", {"year": 2013}, pytest.approx(1, abs=1e-5))
    with pytest.raises(InputError, match=r"lacks \['_id'\]; .*; it has \['key', 'text'"):
        list(parquet_documents(file))
    with pytest.raises(InputError, match="as parquet"):
        list(parquet_documents(tmp_path / "none.parquet"))


def test_a_teacher_cache_becomes_a_collection(home: Any, leaf: Any, tmp_path: Any) -> None:
    cache = TeacherCache(tmp_path / "cache", leaf.space)
    cache.fill([Text(text, "document") for text in TEXTS], leaf)
    leaf.asked.clear()
    with LeafCollection.create("docs", leaf, spec=SPEC, check_canaries=False, **home) as docs:
        some = [Document(i, text) for i, text in enumerate(TEXTS)]
        assert docs.index_vectors(some, cache.document_vectors, space=cache.space).added == 40
        assert leaf.asked == []
        assert docs.search("topic3 word13")[0].id == 13
        vector = docs.get([13], with_vectors=True)[0].vector
        np.testing.assert_allclose(vector, leaf.encode_document(TEXTS[13]), atol=1e-3)  # the cache holds float16
        with pytest.raises(CacheError, match=r"holds no document 'other' \(1 of 1 are missing\)"):
            docs.index_vectors([Document(99, "other")], cache.document_vectors)
        assert docs.count() == 40


def test_documents_of_every_format_have_an_id(tmp_path: Any) -> None:
    (tmp_path / "a.txt").write_text("\ufeffred stone\n\n blue \n", encoding="utf-8")
    (tmp_path / "b.jsonl").write_text('{"_id": "x", "text": "a", "n": 1}\n\n{"text": "b"}\n{"id": 7, "text": "c"}\n')
    (tmp_path / "c.csv").write_text('text,lang\n"two\nlines",en\nb,de\n')
    assert list(read_documents(tmp_path / "a.txt")) == [
        {"_id": "a.txt:1", "text": "red stone"},
        {"_id": "a.txt:3", "text": "blue"},
    ]
    assert list(read_documents(tmp_path / "b.jsonl")) == [
        {"_id": "x", "text": "a", "n": 1},
        {"_id": "b.jsonl:3", "text": "b"},
        {"id": 7, "text": "c"},
    ]
    assert list(read_documents(tmp_path / "c.csv")) == [
        {"_id": "c.csv:2", "text": "two\nlines", "lang": "en"},
        {"_id": "c.csv:3", "text": "b", "lang": "de"},
    ]
    (tmp_path / "bad.jsonl").write_text('{"text": "a"}\n[1]\n')
    with pytest.raises(CorpusError, match=r"bad\.jsonl:2 holds list; expected an object"):
        list(read_documents(tmp_path / "bad.jsonl"))
    pdf = tmp_path / "a.pdf"
    pdf.write_text("")
    with pytest.raises(CorpusError, match=r"unknown format; expected \.jsonl, \.csv, \.txt"):
        check_documents(pdf)
