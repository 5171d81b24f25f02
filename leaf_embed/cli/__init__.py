"""The command ``leaf-embed``: one short module per command."""

from leaf_embed.cli.app import main, run

__all__ = ["main", "run"]
