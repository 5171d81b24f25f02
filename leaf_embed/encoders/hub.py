"""From the hub only what a query needs: the graph asked for, or one road of a Router, all of one commit."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from leaf_embed.encoders.rotation import ROTATION_FILE
from leaf_embed.encoders.st_modules import LAYOUT_FILES, Layout, read_layout
from leaf_embed.errors import NotALeafError
from leaf_embed.format import LEAF_FILE, ROUTER_FILE, graphs_for, read_leaf

__all__ = ["find_leaf"]

TORCH_FILES = ("*.json", "*.safetensors", "*.model", "*.txt")


def find_leaf(path: str | os.PathLike[str], revision: str | None, variant: str) -> Path:
    """A local directory, fetched from the hub if need be.

    Args:
        path: A directory, or a hub id.
        revision: Hub commit, branch or tag.
        variant: As for :func:`leaf_embed.load`; with ``"torch"`` a leaf is fetched whole.

    Raises:
        NotALeafError: Neither a directory nor a hub id, or the hub did not give it.
    """
    local = Path(path)
    if local.exists():
        return local
    if not isinstance(path, str) or not re.fullmatch(r"[\w.-]+/[\w.-]+", path):
        raise NotALeafError(f"there is no leaf at {path}; expected a leaf directory, or a hub id such as 'org/leaf'")
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return _fetch(path, revision, variant)
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise NotALeafError(
            f"there is no directory {path}, and the hub did not give a leaf of this name ({error})"
        ) from error


def _fetch(name: str, revision: str | None, variant: str) -> Path:
    """Small files first, which say what else is needed."""
    folder = _get(name, revision, [LEAF_FILE, ROTATION_FILE, *LAYOUT_FILES])
    if re.fullmatch(r"[0-9a-f]{40}", folder.name):
        revision = folder.name  # a branch may move between two calls
    if (folder / LEAF_FILE).is_file() and not (folder / ROUTER_FILE).is_file():
        if variant == "torch":
            return _get(name, revision, None)
        if read_leaf(folder).kind == "static":
            return _get(name, revision, ["tokenizer.json", "model.safetensors"])
        _get(name, revision, ["tokenizer.json"])
        return _first_graph(name, revision, variant, "") or folder
    layout = read_layout(folder)
    prefix = _prefix(layout.parts[0].folder)
    if layout.parts[0].kind == "Transformer" and variant != "torch":
        small = [f"{prefix}{file}" for file in ("tokenizer.json", "tokenizer_config.json", "sentence_bert_config.json")]
        _get(name, revision, [*small, *(f"{part.folder}/*" for part in layout.parts[1:] if part.folder)])
        found = _first_graph(name, revision, variant, prefix)
        if found is not None:
            return found
    return _get(name, revision, _torch_patterns(layout))


def _first_graph(name: str, revision: str | None, variant: str, prefix: str) -> Path | None:
    """Ask for the graphs that serve a variant one by one: a float32 graph is not fetched where int8 is there."""
    for graph in graphs_for(variant):
        folder = _get(name, revision, [f"{prefix}{graph}", f"{prefix}{graph}_data"])
        if (folder / f"{prefix}{graph}").is_file():
            return folder
    return None


def _torch_patterns(layout: Layout) -> list[str]:
    """Files of the modules that a query passes; ``*`` crosses folders on the hub, so a Router's top has none."""
    patterns = [f"{_prefix(part.folder)}{file}" for part in layout.parts if part.folder for file in TORCH_FILES]
    if any(not part.folder for part in layout.parts):
        patterns += ["*.json", "model.safetensors", "*.txt", "*.model"]
    return patterns


def _prefix(folder: str) -> str:
    return f"{folder}/" if folder else ""


def _get(name: str, revision: str | None, patterns: Sequence[str] | None) -> Path:
    from huggingface_hub import snapshot_download

    return Path(snapshot_download(name, revision=revision, allow_patterns=None if patterns is None else list(patterns)))
