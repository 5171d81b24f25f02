"""Fetching a leaf from the hub: only the files that queries need, all of one commit."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from leaf_embed.encoders.rotation import ROTATION_FILE
from leaf_embed.encoders.st_modules import MODULE_FILES, Modules, read_modules
from leaf_embed.errors import LeafEmbedError, NotALeafError
from leaf_embed.format import LEAF_FILE, ROUTER_FILE, LeafInfo, graphs_for, read_leaf

__all__ = ["find_leaf"]

TORCH_FILES = ("*.json", "*.safetensors", "*.model", "*.txt")


def find_leaf(path: str | os.PathLike[str], revision: str | None, variant: str) -> tuple[Path, LeafInfo | None]:
    """Finds a leaf on this machine, or fetches it from the hub.

    Args:
        path: A directory, or a hub id.
        revision: Hub commit, branch or tag.
        variant: As for :func:`leaf_embed.load`; with ``"torch"`` a leaf is fetched whole.

    Returns:
        Its directory, and what its ``leaf.json`` says; ``None`` if it has none.

    Raises:
        NotALeafError: Neither a directory nor a hub id, the hub did not deliver it, or its ``leaf.json`` is damaged.
    """
    local = Path(path)
    if local.exists():
        return local, _info(local)
    if not isinstance(path, str) or not re.fullmatch(r"[\w.-]+/[\w.-]+", path):
        raise NotALeafError(f"there is no leaf at {path}; expected a leaf directory, or a hub id such as 'org/leaf'")
    try:
        return _fetch(path, revision, variant)
    except LeafEmbedError:
        raise
    except Exception as error:  # the hub's client has errors of its own for names, networks, access and disks
        raise NotALeafError(
            f"there is no directory {path}, and the hub did not deliver a leaf of this name ({error})"
        ) from error


def _info(folder: Path) -> LeafInfo | None:
    return read_leaf(folder) if (folder / LEAF_FILE).is_file() else None


def _fetch(name: str, revision: str | None, variant: str) -> tuple[Path, LeafInfo | None]:
    """Fetches the small files first, which say what else is needed."""
    folder = _get(name, revision, [LEAF_FILE, ROTATION_FILE, *MODULE_FILES])
    if re.fullmatch(r"[0-9a-f]{40}", folder.name):
        revision = folder.name  # a branch may move between two calls
    info = _info(folder)
    if info is not None and not (folder / ROUTER_FILE).is_file():
        if variant == "torch":
            return _get(name, revision, None), info
        if not info.needs_graph:
            return _get(name, revision, ["tokenizer.json", "model.safetensors"]), info
        _get(name, revision, ["tokenizer.json"])
        return _first_graph(name, revision, variant, "") or folder, info
    modules = read_modules(folder)
    prefix = _prefix(modules.items[0].folder)
    if modules.items[0].kind == "Transformer" and variant != "torch":
        small = [f"{prefix}{file}" for file in ("tokenizer.json", "tokenizer_config.json", "sentence_bert_config.json")]
        _get(name, revision, [*small, *(f"{part.folder}/*" for part in modules.items[1:] if part.folder)])
        found = _first_graph(name, revision, variant, prefix)
        if found is not None:
            return found, info
    return _get(name, revision, _torch_patterns(modules)), info


def _first_graph(name: str, revision: str | None, variant: str, prefix: str) -> Path | None:
    """Fetches the first graph that serves a variant: no float32 graph where there is an int8 one."""
    for graph in graphs_for(variant):
        folder = _get(name, revision, [f"{prefix}{graph}", f"{prefix}{graph}_data"])
        if (folder / f"{prefix}{graph}").is_file():
            return folder
    return None


def _torch_patterns(modules: Modules) -> list[str]:
    """Patterns of the files of the modules that a query passes; ``*`` matches across folders on the hub."""
    patterns = [f"{_prefix(part.folder)}{file}" for part in modules.items if part.folder for file in TORCH_FILES]
    if any(not part.folder for part in modules.items):
        patterns += ["*.json", "model.safetensors", "*.txt", "*.model"]
    return patterns


def _prefix(folder: str) -> str:
    return f"{folder}/" if folder else ""


def _get(name: str, revision: str | None, patterns: Sequence[str] | None) -> Path:
    from huggingface_hub import snapshot_download

    return Path(snapshot_download(name, revision=revision, allow_patterns=None if patterns is None else list(patterns)))
