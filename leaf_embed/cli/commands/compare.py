"""``leaf-embed compare``: the difference of two leaves, from their reports."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from leaf_embed.cli.console import output

__all__ = ["command"]


def command(
    first: Annotated[Path, typer.Argument(help="Report of 'evaluate --output', or a directory that holds one.")],
    second: Annotated[Path, typer.Argument(help="The report to compare with it.")],
    result: Annotated[Path | None, typer.Option("--output", help="Write the comparison as JSON.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write the comparison as a page for a browser.")] = None,
) -> None:
    """Compare two leaves on the same sets: differences, and which of them are beyond chance."""
    from leaf_embed._files import check_writable, write_json, write_text
    from leaf_embed.evaluation import compare_reports, read_report
    from leaf_embed.evaluation.report.comparison import comparison_page

    for file in (result, html):
        if file is not None:
            check_writable(file)
    reports = read_report(first), read_report(second)
    found = compare_reports(*reports)
    if result is not None:
        write_json(result, found.to_dict())
    if html is not None:
        write_text(html, comparison_page(found.to_dict(), *reports))
    output.print(str(found), markup=False, highlight=False, soft_wrap=True)
