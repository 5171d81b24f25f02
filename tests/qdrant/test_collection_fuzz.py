"""Every call of a collection ends within its deadline, in a result or in an error of the tree, and harms nothing."""

from __future__ import annotations

import random
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
import pytest

from leaf_embed.errors import InputError, LeafEmbedError
from leaf_embed.qdrant import CollectionSpec, Document, LeafCollection
from tests.qdrant.conftest import WordEncoder
from tests.qdrant.fuzzed_calls import DIM, ODD, TEXTS, Grammar

SPEC = CollectionSpec(mrl=(8,), sparse="bm25")
DEADLINE = 20.0  # seconds
KEPT = [Document(f"kept{i}", f"topic{i} word", payload={"n": i, "lang": "en"}) for i in range(20)]


class TooLongError(BaseException):
    """No error that a mapping catches."""


@contextmanager
def deadline() -> Iterator[None]:
    def late(*_: object) -> None:
        raise TooLongError

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, DEADLINE)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def outcome(docs: LeafCollection, method: str, positional: tuple[Any, ...], named: dict[str, Any]) -> str:
    """Carry out one call; ``""`` for a result, else what is wrong with it, or the error of the tree."""
    try:
        with deadline():
            answer = getattr(docs, method)(*positional, **named)
            if method == "iter_documents":
                list(answer)
    except LeafEmbedError as error:
        return type(error).__name__
    except (Exception, TooLongError) as error:
        return f"ESCAPED {type(error).__name__}: {error!s:.200}"
    return "result"


def fuzz(home: dict[str, Any], calls: int, seed: int) -> Counter[str]:
    grammar, outcomes, escaped = Grammar(seed), Counter[str](), []
    leaf = WordEncoder(DIM)
    with LeafCollection.create("docs", leaf, spec=SPEC, **home) as docs:
        docs.index(KEPT)
        for number in range(calls):
            method, positional, named = grammar.call()
            told = outcome(docs, method, positional, named)
            outcomes[told.split(":")[0]] += 1
            if told.startswith("ESCAPED"):
                escaped.append(f"call {number} of seed {seed}: {method}{positional!r:.300} {named!r:.300} -> {told}")
        assert not escaped, "\n".join(escaped)
        check_kept(docs)
    with LeafCollection.open("docs", leaf, **home) as docs:
        check_kept(docs)
    return outcomes


def check_kept(docs: LeafCollection) -> None:
    assert [(d.id, d.text, d.payload) for d in docs.get([d.id for d in KEPT])] == [
        (d.id, d.text, d.payload) for d in KEPT
    ]
    assert docs.count() == sum(1 for _ in docs.iter_documents())
    assert [docs.search(d.text, limit=1, where={"$id": d.id})[0].id for d in KEPT[:3]] == [d.id for d in KEPT[:3]]


@pytest.mark.filterwarnings("ignore")
def test_calls_end_in_a_result_or_an_error_of_the_tree(home: dict[str, Any]) -> None:
    outcomes = fuzz(home, 150, seed=1)
    assert min(outcomes["result"], outcomes["InputError"]) > 25


@pytest.mark.chaos
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", range(10))
def test_many_calls_end_in_a_result_or_an_error_of_the_tree(home: dict[str, Any], seed: int) -> None:
    print(dict(fuzz(home, 2000, seed=100 + seed)))


@pytest.mark.filterwarnings("ignore")
def test_names_and_options_of_a_collection_end_alike(home: dict[str, Any], leaf: Any) -> None:
    dice = random.Random(2)
    names = [*TEXTS, *ODD, "a" * 201, "é" * 150, "a/../b", "con", "a" * 200, 5, 2**70]
    for name in names:
        for call in (LeafCollection.create, LeafCollection.open, LeafCollection.adopt):
            with deadline(), suppress(LeafEmbedError):
                call(name, leaf, **home).close()
    for value in (*ODD, -1, 0, 2**70, "\ud800"):
        fields = (
            "mrl",
            "quantization",
            "m",
            "ef_construct",
            "index_from_kb",
            "datatype",
            "shard_number",
            "payload_indexes",
        )
        with deadline():
            try:
                spec = CollectionSpec(**{dice.choice(fields): value})
                LeafCollection.create(f"spec{abs(hash(repr(value)))}", leaf, spec=spec, **home).close()
            except LeafEmbedError:
                pass


@pytest.mark.parametrize("size", [0, -1, True, 2.5, None, 2**70])
def test_pages_hold_at_least_one_document(home: dict[str, Any], leaf: Any, size: Any) -> None:
    with LeafCollection.create("docs", leaf, **home) as docs:
        docs.index(KEPT)
        with deadline(), pytest.raises(InputError, match="page_size must be a whole number of at least 1"):
            list(docs.iter_documents(page_size=size))
        with deadline(), pytest.raises(InputError, match="page_size must be a whole number of at least 1"):
            docs.add_mrl(8, page_size=size)
        assert docs.spec.mrl == ()


def test_arrays_have_no_truth_value(leaf: Any, tmp_path: Any) -> None:
    with LeafCollection.create("docs", leaf, path=tmp_path) as docs:
        with pytest.raises(InputError, match="optimize must be"):
            docs.index(KEPT, optimize=np.zeros(2))  # type: ignore[arg-type]
        for field in ("payload", "title"):
            with pytest.raises(InputError, match=field):
                docs.index([{"_id": "a", "text": "topic1", field: np.zeros(2)}])
        assert docs.count() == 0
