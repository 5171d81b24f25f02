"""``--where``: conditions on the payload as a shell user writes them."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from leaf_embed.errors import InputError

__all__ = ["Where", "conditions"]

Where = Annotated[
    list[str] | None,
    typer.Option(
        help="Conditions that must all hold: lang=en, lang!=en, 'year>=1990', 'day<2024-01-31', "
        "'lang=[\"en\",\"de\"]', note (is there), '!note' (is missing); several may follow."
    ),
]
SIGNS = {">": "gt", ">=": "gte", "<": "lt", "<=": "lte"}


def conditions(given: Sequence[str]) -> dict[str, Any]:
    """A filter as :mod:`leaf_embed.qdrant.query.filters` has it; ``{}`` for no condition.

    Raises:
        InputError: Something that is no condition.
    """
    parts = [_condition(text) for text in given]
    keys = [key for part in parts for key in part]
    if len(set(keys)) == len(keys):
        return {key: value for part in parts for key, value in part.items()}
    return {"$and": parts}


def _condition(text: str) -> dict[str, Any]:
    found = re.fullmatch(r"(!?)([^=<>!]+?)(?:(!=|>=|<=|=|>|<)(.*))?", text, re.DOTALL)
    absent, key, sign, value = found.groups() if found else ("", "", "", "")
    if not key or (absent and sign):
        raise InputError(
            "--where takes key=value, as in lang=en, or != > >= < <=, or a key alone, which must be there, "
            f"or !key, which must not; got {text!r}"
        )
    if sign is None:
        return {key: None if absent else {"not": None}}
    read = _value(value)
    if sign in SIGNS:
        return {key: {SIGNS[sign]: read}}
    if isinstance(read, float):
        read = {"gte": read, "lte": read}
        return {key: read} if sign == "=" else {"$not": {key: read}}
    return {key: read if sign == "=" else {"not": read}}


def _value(text: str) -> Any:
    """Numbers, true, false and lists become what they look like; a text in quotes stays one."""
    if text in ("true", "false"):
        return text == "true"
    if re.fullmatch(r"-?\d+", text):
        return int(text)
    if re.fullmatch(r"-?\d*\.\d+", text):
        return float(text)
    if text[:1] in ("[", '"'):
        try:
            return json.loads(text)
        except ValueError as error:
            raise InputError(f'--where: {text!r} is no JSON ({error}); expected such as ["en", "de"]') from error
    return text
