"""What a new collection stores: the options of ``index`` that become a spec."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from leaf_embed.cli.console import many_numbers
from leaf_embed.errors import InputError

if TYPE_CHECKING:
    from leaf_embed.qdrant import CollectionSpec
    from leaf_embed.space import EmbeddingSpace

__all__ = ["Hybrid", "Language", "Mrl", "Preset", "Quantization", "spec_from"]

Preset = Annotated[
    str, typer.Option(help="Of a new collection: balanced, small (less memory) or exact (no memory, slow when large).")
]
Mrl = Annotated[list[str] | None, typer.Option(help="Truncated dimensions to search first, as in 128.")]
Quantization = Annotated[
    str | None, typer.Option(help="Of the truncated vectors, in the place of the preset's: none, int8, turbo4, ...")
]
Hybrid = Annotated[bool, typer.Option("--hybrid", help="Keep the documents' words too, for search --hybrid.")]
Language = Annotated[str, typer.Option(help="Of these words: english, german, ...")]


def spec_from(
    space: EmbeddingSpace, preset: str, mrl: list[str] | None, quantization: str | None, *, hybrid: bool, language: str
) -> CollectionSpec:
    """The spec that the options ask for.

    Raises:
        InputError: A value that no collection of this space can have.
    """
    from leaf_embed.qdrant import CollectionSpec

    if preset not in ("balanced", "small", "exact"):
        raise InputError(f"--preset must be balanced, small or exact; got {preset!r}")
    # A small space needs no first stage, whatever its preset would say.
    base = CollectionSpec.for_space(space) if preset == "balanced" else CollectionSpec.preset(preset, space)  # type: ignore[arg-type]
    changes: dict[str, Any] = {}
    if mrl:
        changes["mrl"] = many_numbers(mrl, "--mrl")
    if quantization is not None:
        changes["quantization"] = quantization
    if hybrid:
        changes.update(sparse="bm25", language=language)
    spec = replace(base, **changes)
    spec.require_fit(space)
    return spec
