"""Vectors that come with documents, judged by a random sample of every batch."""

from __future__ import annotations

import warnings
from typing import Any

import pytest

from leaf_embed.errors import InputError, SpaceMismatchError
from leaf_embed.qdrant import Document, StoredDocument
from leaf_embed.qdrant.vouching import Voucher
from tests.qdrant.conftest import WordEncoder

TEXTS = [f"topic{i % 40} word{i}" for i in range(1000)]
HONEST, FOREIGN = (
    [Document(t, t).with_vector(v) for t, v in zip(TEXTS, encoder.encode_document(TEXTS), strict=True)]
    for encoder in (WordEncoder(384), WordEncoder(384, model="b"))
)


class QueryOnly(WordEncoder):
    """Knows nothing of texts in another script, as a leaf of one language, and has no document encoder."""

    can_encode_documents = False

    def __init__(self) -> None:
        super().__init__(384, canaries=False)

    def _encode(self, texts: list[str], role: Any) -> Any:
        rows = super()._encode(texts, role)
        strange = [place for place, text in enumerate(texts) if text.startswith("кириллица")]
        if role == "document" and not self.can_encode_documents:
            raise InputError("loaded for queries only")
        if role == "query" and strange:
            rows[strange] = WordEncoder(384, model="b").encode_query([texts[place] for place in strange])
        return rows


class WithTeacher(QueryOnly):
    can_encode_documents = True


def strange(count: int) -> list[StoredDocument]:
    texts = [f"кириллица word{i}" for i in range(count)]
    rows = WordEncoder(384).encode_document(texts)
    return [Document(t, t).with_vector(row) for t, row in zip(texts, rows, strict=True)]


@pytest.mark.parametrize("kind", [QueryOnly, WithTeacher])
@pytest.mark.parametrize("size", [1, 7, 100, 1000])
def test_foreign_batches_are_refused_at_any_time(kind: Any, size: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for start in (0, 92):
            voucher = Voucher(kind(), "docs", 0.3)
            for place in range(start):
                voucher.check(HONEST[place * 10 : place * 10 + 10])
            if size > 1 or kind is WithTeacher or not start:
                with pytest.raises(SpaceMismatchError, match=r"not of the space of .*'docs'.*mean cosine"):
                    voucher.check(FOREIGN[:size])
            voucher.check(HONEST[:size])  # a refused batch is not remembered


@pytest.mark.filterwarnings("ignore:the vector of")
@pytest.mark.parametrize("honest", [8, 50, 90])
def test_a_mixed_batch_is_refused_wherever_the_foreign_ones_are(honest: int) -> None:
    for batch in (HONEST[:honest] + FOREIGN[honest:100], FOREIGN[honest:100] + HONEST[:honest]):
        refused = 0
        for _ in range(40):
            try:
                Voucher(QueryOnly(), "docs", 0.3).check(batch, sample=32)
            except SpaceMismatchError:
                refused += 1
        assert refused >= 25  # of 10 among 100, a sample of 32 holds two or more in 87 of 100 draws


def test_single_documents_are_judged_by_what_came_before() -> None:
    voucher = Voucher(QueryOnly(), "docs", 0.3)
    for document in HONEST[:20]:
        voucher.check([document])
    with pytest.warns(UserWarning, match="no document encoder is here that could vouch for it"):
        voucher.check(FOREIGN[:1])
    with pytest.raises(SpaceMismatchError):
        voucher.check(FOREIGN[1:2])


def test_texts_that_the_leaf_does_not_know_are_settled_by_the_teacher() -> None:
    batch = [*HONEST[:20], *strange(2)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Voucher(WithTeacher(), "docs", 0.3).check(batch, sample=22)
        Voucher(WithTeacher(), "docs", 0.3).check(strange(1))
    one = Voucher(QueryOnly(), "docs", 0.3)
    with pytest.warns(UserWarning, match="no document encoder"):
        one.check([*HONEST[:20], *strange(1)], sample=21)


def test_little_is_encoded_of_large_batches() -> None:
    encoder = QueryOnly()
    voucher = Voucher(encoder, "docs", 0.3)
    encoder.asked.clear()
    for start in range(0, 1000, 250):
        voucher.check(HONEST[start : start + 250])
    voucher.check(HONEST * 4)
    assert [len(texts) for _, texts in encoder.asked] == [8, 8, 8, 8, 64]
    voucher.check([Document("a", "no vector").with_vector(None)])
    assert len(encoder.asked) == 5
