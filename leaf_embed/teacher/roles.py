"""Which roles the rows of a cache have in a corpus, where a text may come as a query and as a document."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from leaf_embed.teacher.shards import Rows
from leaf_embed.texts import Role, Text

__all__ = ["BITS", "RoleBits", "SeenRoles"]

RoleBits: TypeAlias = NDArray[np.uint8]
"""Roles of texts, shape ``(n,)``: the sum of :data:`BITS`, 3 for a text of both roles."""

BITS: dict[Role, int] = {"document": 1, "query": 2}


class SeenRoles:
    """The roles that rows came in while a cache was filled; memory grows by 9 bytes per text that was read."""

    def __init__(self) -> None:
        self._rows: list[Rows] = []
        self._bits: list[RoleBits] = []

    def add(self, rows: Rows, texts: Sequence[Text]) -> None:
        """Adds the row and the role of each of some texts."""
        self._rows.append(rows)
        self._bits.append(np.fromiter((BITS[text.kind] for text in texts), dtype=np.uint8, count=len(texts)))

    def of(self, rows: Rows) -> RoleBits:
        """Returns the roles that each of some distinct rows was added in, 0 for none."""
        found = np.zeros(len(rows), dtype=np.uint8)
        order = np.argsort(rows)
        for some, bits in zip(self._rows, self._bits, strict=True):
            places = np.searchsorted(rows, some, sorter=order)
            known = places < len(rows)
            places, kept = order[places[known]], some[known]
            same = rows[places] == kept
            np.bitwise_or.at(found, places[same], bits[known][same])
        return found
