"""The modules of a sentence-transformers directory that a query passes, also inside a Router.

A plain model: ``modules.json`` lists module types with their folders (``""``, ``1_Pooling``, ``2_Dense``, ...).
A Router, as ``MongoDB/mdbr-leaf-ir-asym``: its one module is a Router, and ``router_config.json`` names the folders of
each route under ``structure`` (``query_0_Transformer``, ``query_1_Pooling``, ...) and their types under ``types``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePath, PureWindowsPath
from typing import Any

from tokenizers import Tokenizer

from leaf_embed._files import read_json
from leaf_embed.errors import NotALeafError

__all__ = ["MODULE_FILES", "Modules", "Module", "read_modules", "read_tokenizer"]

MODULE_FILES = ("modules.json", "router_config.json")
QUERY_ROUTES = ("query", "query_text")


@dataclass(frozen=True)
class Module:
    """A module.

    Attributes:
        kind: Its class: ``"Transformer"``, ``"Pooling"``, ``"Dense"``, ``"Normalize"``, ``"StaticEmbedding"``, ...
        folder: Inside the directory, ``""`` for the directory itself.
    """

    kind: str
    folder: str


@dataclass(frozen=True)
class Modules:
    """The modules that a query passes, in their order.

    Attributes:
        items: At least one.
        routed: Whether they are one route of a Router.
    """

    items: tuple[Module, ...]
    routed: bool

    def first(self, kind: str) -> Module | None:
        """Returns the first module of a kind."""
        return next((part for part in self.items if part.kind == kind), None)


def read_modules(directory: Path) -> Modules:
    """Reads the modules that a query passes.

    Raises:
        NotALeafError: No sentence-transformers model, damaged, a folder outside of the directory, or a Router without a
            route for queries.
    """
    parts = [Module(_kind(one["type"]), _folder(one["path"])) for one in _read(directory / "modules.json")]
    routers = [number for number, part in enumerate(parts) if part.kind in ("Router", "Asym")]
    if not routers:
        return Modules(tuple(parts), routed=False)
    at = routers[0]
    base = parts[at].folder
    config = _read(directory / base / "router_config.json")
    try:
        route = next(name for name in QUERY_ROUTES if name in config["structure"])
        inner = [Module(_kind(config["types"][name]), _folder(f"{base}/{name}")) for name in config["structure"][route]]
    except (KeyError, StopIteration) as error:
        routes = sorted(config.get("structure", {}))
        raise NotALeafError(f"the Router in {directory} has no route named 'query'; it has {routes}") from error
    return Modules((*parts[:at], *inner, *parts[at + 1 :]), routed=True)


def _folder(path: str) -> str:
    """A module's folder within the model's directory, ``""`` for the directory itself."""
    folder = path.strip("/")
    if ".." in PurePath(folder).parts or PureWindowsPath(folder).drive or "\\" in folder:
        raise NotALeafError(f"the model names the folder {path!r}, outside of its directory; do not trust its source")
    return folder


def _kind(name: str) -> str:
    """``sentence_transformers.models.Transformer`` and ``...modules.transformer.Transformer`` are the same kind."""
    return name.rsplit(".", 1)[-1]


def _read(file: Path) -> Any:
    try:
        return read_json(file)
    except (OSError, ValueError) as error:
        raise NotALeafError(
            f"cannot read {file} ({error}); expected a sentence-transformers model directory"
        ) from error


def read_tokenizer(directory: Path) -> tuple[Tokenizer, int]:
    """Returns the tokenizer of a directory, which does not pad, and the id to pad with.

    Raises:
        NotALeafError: There is no ``tokenizer.json``.
    """
    file = directory / "tokenizer.json"
    if not file.is_file():
        raise NotALeafError(f"{directory} has no tokenizer.json; the directory is incomplete, distil or copy it again")
    tokenizer = Tokenizer.from_file(str(file))
    padding = tokenizer.padding or {}
    pad_id = padding.get("pad_id", tokenizer.token_to_id("[PAD]") or tokenizer.token_to_id("<pad>") or 0)
    tokenizer.no_padding()
    return tokenizer, pad_id
