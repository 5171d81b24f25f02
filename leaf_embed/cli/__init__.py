"""The command ``leaf-embed``: one short module a command."""

from leaf_embed.cli.app import main, run

__all__ = ["main", "run"]
