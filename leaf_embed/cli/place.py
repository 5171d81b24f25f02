"""Where a collection lies: the options that ``index``, ``search`` and ``inspect`` share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from leaf_embed._extras import require
from leaf_embed.errors import InputError

__all__ = ["CollectionName", "Path_", "Url", "place"]

CollectionName = Annotated[str, typer.Option("--collection", help="Name of the collection.")]
Path_ = Annotated[Path | None, typer.Option("--path", help="Directory of the embedded engine.")]
Url = Annotated[str | None, typer.Option("--url", help="A Qdrant server; its key comes from QDRANT_API_KEY.")]


def place(path: Path | None, url: str | None) -> dict[str, Any]:
    """Keyword arguments that say where a collection lies.

    Raises:
        InputError: Not exactly one of the two.
    """
    if (path is None) == (url is None):
        raise InputError("give either --path (a directory, for the embedded engine) or --url (a Qdrant server)")
    if path is not None:
        return {"path": path}
    client = require("qdrant_client", "qdrant", "A Qdrant server")
    return {"client": client.QdrantClient(url=url, api_key=os.environ.get("QDRANT_API_KEY"))}
