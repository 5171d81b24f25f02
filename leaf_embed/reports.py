"""The file of an evaluation report: its format and version, the one reader of it, and tables in Markdown."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from leaf_embed._files import read_json
from leaf_embed.errors import InputError

__all__ = ["CARD_VERSIONS", "FORMAT", "VERSION", "VERSIONS", "markdown", "read_report"]

FORMAT = "leaf-embed/evaluation"
VERSION = 3
VERSIONS = (2, VERSION)  # those that hold scores per query; in 2 the retention over sets is the ratio of means
CARD_VERSIONS = (1, *VERSIONS)  # those that hold what a model card shows


def read_report(path: str | os.PathLike[str], versions: Sequence[int] = VERSIONS) -> dict[str, Any]:
    """Reads a report that ``leaf-embed evaluate --output`` wrote, in its JSON form.

    Args:
        path: The JSON file, or a directory that holds exactly one report, such as a leaf's.
        versions: Versions of the format that the caller can use.

    Raises:
        InputError: The file cannot be read or is something else, the directory holds no report or several, or the
            report's version is not one of ``versions``.
    """
    place = Path(path)
    if place.is_dir():
        found = [file for file in sorted(place.glob("*.json")) if _is_report(file)]
        if len(found) != 1:
            what = "no report" if not found else f"{len(found)} reports ({', '.join(file.name for file in found)})"
            raise InputError(f"{what} of 'leaf-embed evaluate --output' in {place}; expected one: name its JSON file")
        place = found[0]
    try:
        value = read_json(place)
    except (OSError, ValueError) as error:
        raise InputError(
            f"cannot read an evaluation report from {place} ({error}); expected the JSON file that "
            "'leaf-embed evaluate --output' writes"
        ) from error
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise InputError(
            f"{place} is no evaluation report: expected the format {FORMAT!r}. Make one with: leaf-embed evaluate "
            f"--output {place.with_name('report.json')}"
        )
    if value.get("version") not in versions:
        raise InputError(
            f"{place} is an evaluation report of version {value.get('version')!r}; this release reads "
            f"{' and '.join(map(str, versions))} here. Evaluate again, or update leaf-embed"
        )
    return value


def _is_report(file: Path) -> bool:
    try:
        value = read_json(file)
    except (OSError, ValueError):
        return False
    return isinstance(value, dict) and value.get("format") == FORMAT


def markdown(rows: Sequence[Sequence[str]], left: Collection[int] = (0,)) -> str:
    """A Markdown table with aligned columns, which reads as plain text too.

    Args:
        rows: The first is the header; all of one length. A ``|`` inside a cell is escaped.
        left: Columns that hold names; the others, numbers, are aligned to the right.
    """
    cells = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    widths = [max(3, *map(len, column)) for column in zip(*cells, strict=True)]

    def line(row: Sequence[str]) -> str:
        padded = enumerate(zip(row, widths, strict=True))
        return f"| {' | '.join(cell.ljust(w) if i in left else cell.rjust(w) for i, (cell, w) in padded)} |"

    rule = [f":{'-' * (w - 1)}" if i in left else f"{'-' * (w - 1)}:" for i, w in enumerate(widths)]
    return "\n".join([line(cells[0]), f"| {' | '.join(rule)} |", *map(line, cells[1:])])
