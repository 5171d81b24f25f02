"""``leaf-embed push``: publish a leaf."""

from __future__ import annotations

from typing import Annotated

import typer

from leaf_embed.cli.console import output
from leaf_embed.cli.options import LeafArgument, Report

__all__ = ["command"]


def command(
    leaf: LeafArgument,
    repository: Annotated[str, typer.Argument(help="Hub id, as in org/my-leaf.", metavar="ORG/NAME")],
    private: Annotated[bool, typer.Option("--private", help="Make a new repository private.")] = False,
    report: Report = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the files; send and change nothing.")] = False,
) -> None:
    """Upload a leaf with its model card to the Hugging Face hub. The token comes from HF_TOKEN."""
    from leaf_embed.distill import push_to_hub, read_report, write_card
    from leaf_embed.reports import CARD_VERSIONS

    if report is not None:
        found = read_report(report, CARD_VERSIONS)
        if not dry_run:
            write_card(leaf, name=repository, report=found)
    upload = push_to_hub(leaf, repository, private=private, dry_run=dry_run)
    for name, size in upload.files:
        output.print(f"{size / 1e6:9.3f} MB  {name}", markup=False, highlight=False)
    output.print(
        f"pushed to {upload.url}" if upload.url else f"dry run: nothing was sent to {repository}", markup=False
    )
