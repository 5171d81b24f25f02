"""Corpora too large for memory: texts that stay in their file, ids packed side by side."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import overload

import numpy as np

__all__ = ["FileTexts", "PackedStrings"]

BLOCK = 4096  # strings at a time in a pass over all


class PackedStrings(Sequence[str]):
    """Short strings in one block of memory: their bytes and 8 more per string, where a tuple takes 60 more."""

    def __init__(self, strings: Iterable[str]) -> None:
        """Pack the strings, read once."""
        packed, ends = bytearray(), array("q", [0])
        for string in strings:
            packed += string.encode("utf-8", "surrogatepass")
            ends.append(len(packed))
        self._bytes = bytes(packed)
        self._ends = np.array(ends, dtype=np.int64)

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __iter__(self) -> Iterator[str]:
        for start in range(0, len(self), BLOCK):
            ends = self._ends[start : start + BLOCK + 1].tolist()
            for first, last in pairwise(ends):
                yield self._bytes[first:last].decode("utf-8", "surrogatepass")

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        start, end = self._ends[range(len(self))[index]], self._ends[range(1, len(self) + 1)[index]]
        return self._bytes[start:end].decode("utf-8", "surrogatepass")


class FileTexts(Sequence[str]):
    """The texts of a file of lines, read on access; a slice is read in one pass."""

    def __init__(self, file: Path, starts: Sequence[int], text_of: Callable[[bytes], str]) -> None:
        """Keeps the offsets of the lines.

        Args:
            file: Must not change afterwards.
            starts: Byte offset of each line that counts, ascending.
            text_of: Returns the text of a line.
        """
        self._file = file
        self._starts = np.asarray(starts, dtype=np.int64)
        self._text_of = text_of

    def __len__(self) -> int:
        return len(self._starts)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, int):
            return self._read([range(len(self))[index]])[0]
        return self._read(range(*index.indices(len(self))))

    def _read(self, wanted: Sequence[int]) -> list[str]:
        found = []
        with self._file.open("rb") as stream:
            for index in wanted:
                stream.seek(int(self._starts[index]))  # within the read buffer for neighbours, so nearly free
                found.append(self._text_of(stream.readline()))
        return found
