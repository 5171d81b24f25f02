"""A grammar of calls of a collection's public methods, right and wrong ones, drawn by seed."""

from __future__ import annotations

import math
import random
import uuid
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import numpy as np

from leaf_embed.qdrant import Document

DIM = 16
INTEGERS = (0, 1, -1, 2, 7, 10, 2**31 - 1, 2**31, 2**32, 2**53, 2**63 - 1, 2**63, 2**64 - 1, 2**64, -(2**63) - 1)
NUMBERS = (*INTEGERS, 10**40, 0.0, 0.5, -0.5, 1.5, 1e-320, 1e308, math.nan, math.inf, -math.inf, Decimal("0.1"), True)
LONG = ("é" * 300, "x" * 70_000)
TEXTS = (
    "",
    " ",
    "a",
    "topic1 word",
    "\ud800",
    "a\udfff",
    "\0",
    "👩\u200d👧",
    "null",
    "..",
    '"',
    "a.b",
    "[0]",
    "\n",
    *LONG,
)
NAMES = (
    "n",
    "lang",
    "when",
    "a.b",
    '"a.b"',
    "tags[]",
    "tags[0]",
    "$id",
    "$or",
    "$and",
    "$not",
    "$text",
    "$no",
    "",
    ".",
)
KEYS = (*NAMES, "\ud800", "x" * 3000, 5, None)
DATES = (date(2024, 1, 31), datetime(1, 1, 1), datetime.max)
CONTAINERS = ({1, 2}, (), [], {}, [[]], {"a": 1}, [None], np.zeros(DIM))
ODD = (None, object(), b"bytes", np.float32(1), np.int64(3), uuid.UUID(int=5), Ellipsis, abs, *DATES, *CONTAINERS)
OPERATORS = ("gt", "gte", "lt", "lte", "not", "contains", "like", "\ud800")


class Grammar:
    """Draws values; about half of them are right."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)

    def any_of(self, *choices: Any) -> Any:
        return self.dice.choice(choices)

    def odd(self) -> Any:
        return self.dice.choice(self.dice.choice((INTEGERS, NUMBERS, TEXTS, ODD)))

    def mostly(self, right: Callable[[], Any], share: float = 0.6) -> Any:
        return right() if self.dice.random() < share else self.odd()

    def integer(self) -> Any:
        return self.mostly(lambda: self.dice.choice(INTEGERS), 0.8)

    def size(self) -> Any:
        return self.mostly(lambda: self.any_of(1, 3, 10, 100))

    def id(self) -> Any:
        return self.mostly(lambda: self.any_of("a", "b", 1, 7, "new", str(uuid.UUID(int=3)), *TEXTS, *INTEGERS), 0.9)

    def text(self) -> Any:
        return self.mostly(lambda: self.any_of("topic1 word", "topic2", *TEXTS), 0.85)

    def json(self, depth: int = 0) -> Any:
        kind = self.dice.randrange(5 if depth < 3 else 3)
        if kind == 3:
            return [self.json(depth + 1) for _ in range(self.dice.randrange(4))]
        if kind == 4:
            return {self.dice.choice(KEYS): self.json(depth + 1) for _ in range(self.dice.randrange(4))}
        return self.any_of(*TEXTS[:6]) if kind == 0 else self.any_of(*NUMBERS) if kind == 1 else self.odd()

    def where(self, depth: int = 0) -> Any:
        if self.dice.random() < 0.25:
            return None
        return self.mostly(
            lambda: {self.dice.choice(KEYS): self.condition(depth) for _ in range(self.dice.randint(0, 3))}, 0.9
        )

    def condition(self, depth: int) -> Any:
        kind = self.dice.randrange(6)
        if kind == 0 and depth < 3:
            return [self.where(depth + 1) for _ in range(self.dice.randrange(3))]
        if kind == 1 and depth < 3:
            return self.where(depth + 1)
        if kind == 2:
            return {self.any_of(*OPERATORS): self.odd() for _ in range(self.dice.randint(1, 3))}
        if kind == 3:
            return [self.odd() for _ in range(self.dice.randrange(4))]
        return self.any_of(*NUMBERS, *TEXTS)

    def vector(self) -> Any:
        row = np.asarray([self.dice.gauss(0, 1) for _ in range(self.any_of(DIM, DIM, DIM, DIM, 1, 0, DIM + 1))])
        if self.dice.random() < 0.15 and len(row):
            row[0] = self.any_of(math.nan, math.inf, 1e300, 1e-40)
        return self.any_of(row, row.tolist(), row.astype(np.float32), np.zeros(DIM))

    def document(self) -> Any:
        parts = {"_id": self.id(), "text": self.text(), "title": self.mostly(lambda: "", 0.8), "payload": self.json()}
        if self.dice.random() < 0.3:
            parts.pop(self.any_of(*parts))
        return self.mostly(lambda: parts if self.dice.random() < 0.7 else Document("b", "topic2"), 0.9)

    def documents(self) -> Any:
        return self.mostly(lambda: [self.document() for _ in range(self.dice.randrange(5))], 0.9)

    def stored(self) -> Any:
        return self.mostly(lambda: Document(self.any_of("a", "b"), "topic1 word").with_vector(self.usable()), 0.9)

    def usable(self) -> Any:
        return self.any_of(np.ones(DIM), np.zeros(DIM), np.ones(DIM - 1), None)

    def options(self, **kinds: Callable[[], Any]) -> dict[str, Any]:
        return {name: kind() for name, kind in kinds.items() if self.dice.random() < 0.35}

    def search_options(self) -> dict[str, Any]:
        return self.options(
            limit=self.size,
            offset=self.size,
            where=self.where,
            exact=lambda: self.any_of(True, False, self.odd()),
            mrl=lambda: self.any_of(4, 8, None, self.odd(), self.dice.choice(INTEGERS)),
            candidates=self.integer,
            oversampling=lambda: self.any_of(*NUMBERS),
            hnsw_ef=self.integer,
            score_threshold=lambda: self.any_of(*NUMBERS),
            hybrid=lambda: self.any_of(True, False, self.odd()),
            words=self.text,
        )

    def query(self) -> Any:
        return self.any_of(self.text(), self.text(), self.vector())

    def call(self) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
        """Draws a method with its arguments."""
        ids = self.mostly(lambda: [self.id() for _ in range(self.dice.randrange(4))], 0.85)
        documents = self.documents()
        writing = self.options(batch_size=self.size, optimize=lambda: self.any_of("later", "here", self.odd()))
        return self.any_of(
            ("search", (self.query(),), self.search_options()),
            ("search_batch", (self.mostly(lambda: [self.query(), self.query()], 0.8),), self.search_options()),
            ("explain", (self.query(),), self.search_options()),
            (
                "search_mmr",
                (self.query(),),
                self.options(
                    limit=self.size, fetch=self.size, diversity=lambda: self.any_of(*NUMBERS), where=self.where
                ),
            ),
            ("get", (ids,), self.options(with_vectors=lambda: self.any_of(True, False, self.odd()))),
            ("delete", (ids,), {}),
            ("count", (self.where(),), {}),
            (
                "iter_documents",
                (),
                self.options(page_size=self.integer, where=self.where, with_vectors=lambda: self.any_of(True, False)),
            ),
            ("index", (documents,), writing),
            (
                "index_vectors",
                (documents, self.any_of(None, [self.vector() for _ in range(3)], self.vector(), self.odd())),
                writing,
            ),
            (
                "verify_vectors",
                (self.any_of(documents, [self.stored() for _ in range(3)]),),
                self.options(sample=self.integer),
            ),
            ("add_mrl", (self.any_of(self.integer(), self.odd()),), self.options(page_size=self.integer)),
            ("change_quantization", (self.odd(),), {}),
        )  # type: ignore[no-any-return]
