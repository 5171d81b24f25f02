"""Corpora too large for memory: texts that stay in their file, ids packed side by side."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import overload

import numpy as np

__all__ = ["FileTexts", "PackedStrings"]


class PackedStrings(Sequence[str]):
    """Short strings in one piece of memory: their bytes and 8 more each, where a tuple takes 60 more."""

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

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> list[str]: ...
    def __getitem__(self, place: int | slice) -> str | list[str]:
        if isinstance(place, slice):
            return [self[i] for i in range(*place.indices(len(self)))]
        start, end = self._ends[range(len(self))[place]], self._ends[range(1, len(self) + 1)[place]]
        return self._bytes[start:end].decode("utf-8", "surrogatepass")


class FileTexts(Sequence[str]):
    """The texts of a file of lines, read when they are asked for; a slice is read in one go."""

    def __init__(self, file: Path, starts: Sequence[int], text_of: Callable[[bytes], str]) -> None:
        """Remember where the lines begin.

        Args:
            file: Must not change afterwards.
            starts: Byte offset of each line that counts, ascending.
            text_of: The text of a line.
        """
        self._file = file
        self._starts = np.asarray(starts, dtype=np.int64)
        self._text_of = text_of

    def __len__(self) -> int:
        return len(self._starts)

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> list[str]: ...
    def __getitem__(self, place: int | slice) -> str | list[str]:
        if isinstance(place, int):
            return self._read([range(len(self))[place]])[0]
        return self._read(range(*place.indices(len(self))))

    def _read(self, places: Sequence[int]) -> list[str]:
        found = []
        with self._file.open("rb") as stream:
            for place in places:
                stream.seek(int(self._starts[place]))  # within the read buffer for neighbours, so nearly free
                found.append(self._text_of(stream.readline()))
        return found
