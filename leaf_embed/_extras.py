"""The one place that says: pip install 'leaf-embed[...]'."""

from __future__ import annotations

import importlib
from types import ModuleType

from leaf_embed.errors import MissingExtraError

__all__ = ["require", "require_package"]


def require(module: str, extra: str, purpose: str) -> ModuleType:
    """Import ``module``, or say which extra brings it.

    Args:
        module: Dotted name of the module to import, for example ``"qdrant_client"``.
        extra: Name of the leaf-embed extra that installs it.
        purpose: What needs it, as the subject of a sentence: ``"Training a leaf"``.

    Raises:
        MissingExtraError: ``module`` (or a package it lies in) is not installed. An import error that comes
            from inside an installed module is passed on as it is.
    """
    return _import(module, purpose, f"'leaf-embed[{extra}]'")


def require_package(module: str, package: str, purpose: str) -> ModuleType:
    """:func:`require` for what no extra of ours brings: the name of its own package is said."""
    return _import(module, purpose, package)


def _import(module: str, purpose: str, installed: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise
        raise MissingExtraError(
            f"{purpose} needs the package {module.split('.')[0]!r}, which is not installed. "
            f"Install it with: pip install {installed}"
        ) from error
