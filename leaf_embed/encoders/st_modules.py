"""What sentence-transformers directories look like: the modules that a query passes, also inside a Router.

A plain model: ``modules.json`` lists module types with their folders (``""``, ``1_Pooling``, ``2_Dense``, ...).
A Router, as ``MongoDB/mdbr-leaf-ir-asym``: its one module is a Router, and ``router_config.json`` names the folders of
each road under ``structure`` (``query_0_Transformer``, ``query_1_Pooling``, ...) and their types under ``types``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from leaf_embed.errors import NotALeafError

__all__ = ["LAYOUT_FILES", "Layout", "Part", "read_layout"]

LAYOUT_FILES = ("modules.json", "router_config.json")
QUERY_ROADS = ("query", "query_text")


@dataclass(frozen=True)
class Part:
    """One module.

    Attributes:
        kind: Its class: ``"Transformer"``, ``"Pooling"``, ``"Dense"``, ``"Normalize"``, ``"StaticEmbedding"``, ...
        folder: Inside the directory, ``""`` for the directory itself.
    """

    kind: str
    folder: str


@dataclass(frozen=True)
class Layout:
    """The modules that a query passes, in their order.

    Attributes:
        parts: At least one.
        routed: Whether they are one road of a Router.
    """

    parts: tuple[Part, ...]
    routed: bool

    def part(self, kind: str) -> Part | None:
        """The first module of a kind."""
        return next((part for part in self.parts if part.kind == kind), None)


def read_layout(directory: Path) -> Layout:
    """Read the modules that a query passes.

    Raises:
        NotALeafError: No sentence-transformers model, damaged, or a Router without a road for queries.
    """
    parts = [Part(_kind(one["type"]), one["path"].strip("/")) for one in _read(directory / "modules.json")]
    routers = [number for number, part in enumerate(parts) if part.kind in ("Router", "Asym")]
    if not routers:
        return Layout(tuple(parts), routed=False)
    at = routers[0]
    base = parts[at].folder
    config = _read(directory / base / "router_config.json")
    try:
        road = next(name for name in QUERY_ROADS if name in config["structure"])
        inner = [Part(_kind(config["types"][name]), f"{base}/{name}".strip("/")) for name in config["structure"][road]]
    except (KeyError, StopIteration) as error:
        roads = sorted(config.get("structure", {}))
        raise NotALeafError(f"the Router in {directory} has no road named 'query'; it has {roads}") from error
    return Layout((*parts[:at], *inner, *parts[at + 1 :]), routed=True)


def _kind(name: str) -> str:
    """``sentence_transformers.models.Transformer`` and ``...modules.transformer.Transformer`` are the same kind."""
    return name.rsplit(".", 1)[-1]


def _read(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise NotALeafError(
            f"cannot read {file} ({error}); expected a sentence-transformers model directory"
        ) from error
