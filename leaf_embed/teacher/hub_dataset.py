"""Data sets of the hub as a corpus, streamed, so that only what is read is downloaded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from leaf_embed._extras import require
from leaf_embed.errors import CorpusError
from leaf_embed.texts import Role

__all__ = ["PREFIX", "HubSet"]

PREFIX = "hub:"
OPTIONS = ("config", "split", "text", "title", "kind", "limit")


@dataclass(frozen=True)
class HubSet:
    """One column of a data set, as ``hub:org/name?split=train&text=question&kind=query&limit=100000``.

    Attributes:
        name: Hub id, or a directory of parquet, jsonl or csv files.
        config: Configuration of the set, if it has several.
        split: Name of the split.
        text: Column of the texts.
        title: Column of a title to put before them.
        kind: ``query`` or ``document``; by default the column ``kind`` decides, if there is one, else ``document``.
        limit: Maximal number of records to read.

    Raises:
        CorpusError: An option that cannot be used.
    """

    name: str
    config: str | None = None
    split: str = "train"
    text: str = "text"
    title: str | None = None
    kind: Role | None = None
    limit: int | None = None

    def __post_init__(self) -> None:
        if not self.name:
            raise CorpusError("a hub data set needs a name, as in hub:org/name?split=train&text=question")
        if self.kind not in (None, "query", "document"):
            raise CorpusError(f"{self}: kind is query or document; got {self.kind!r}")
        if self.limit is not None and self.limit < 1:
            raise CorpusError(f"{self}: limit must be at least 1; got {self.limit}")

    def __str__(self) -> str:
        return f"{PREFIX}{self.name}"

    @classmethod
    def parse(cls, address: str) -> HubSet:
        """Reads ``hub:name?option=value&...``."""
        name, _, query = address.removeprefix(PREFIX).partition("?")
        options: dict[str, Any] = dict(parse_qsl(query, keep_blank_values=True))
        if unknown := sorted(set(options) - set(OPTIONS)):
            raise CorpusError(f"{PREFIX}{name} has the unknown options {unknown}; expected some of {OPTIONS}")
        if "limit" in options:
            if not options["limit"].isdigit():
                raise CorpusError(f"{PREFIX}{name}: limit must be a whole number; got {options['limit']!r}")
            options["limit"] = int(options["limit"])
        return cls(name, **options)

    def records(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yields row numbers from 1, with ``text`` and, where they exist, ``title`` and ``kind``.

        Raises:
            CorpusError: The set does not exist, cannot be reached, or lacks the column.
        """
        datasets = require("datasets", "train", "A hub data set")
        try:
            rows = datasets.load_dataset(self.name, self.config, split=self.split, streaming=True)
            for place, row in enumerate(rows, 1):
                if self.limit is not None and place > self.limit:
                    return
                yield place, self._record(row)
        except CorpusError:
            raise
        except Exception as error:  # the library passes on whatever its readers and its transport raise
            raise CorpusError(f"cannot read {self} (split {self.split!r}): {type(error).__name__}: {error}") from error

    def _record(self, row: dict[str, Any]) -> dict[str, Any]:
        if self.text not in row:
            raise CorpusError(f"{self} has no column {self.text!r}; it has {sorted(row)}. Name it with ?text=...")
        record = {"text": row[self.text]}
        if self.title is not None:
            record["title"] = row.get(self.title)
        kind = self.kind or row.get("kind")
        return record if kind is None else {**record, "kind": kind}
