"""Filters over the payload: a small algebra that every backend can express.

    {"lang": "en"}                                  equal
    {"lang": ["en", "de"]}                          equal to any of them
    {"year": {"gte": 1990, "lt": 2000}}             in a range: gt, gte, lt, lte
    {"lang": {"not": "en"}}                         not equal; also {"not": ["en", "de"]}
    {"$or": [{"lang": "en"}, {"year": {"gt": 5}}]}  any of these filters; also "$and", and "$not" with one filter

Several entries of one mapping must all hold. A dot leads into a nested object: ``{"author.name": "Ada"}``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from leaf_embed.errors import InputError

__all__ = ["Condition", "Filter", "Group", "Part", "Range", "comparison", "filter_json", "parse_filter"]

Filter: TypeAlias = "Mapping[str, Any]"

BOUNDS = ("gt", "gte", "lt", "lte")
SIGNS = {">": "gt", ">=": "gte", "<": "lt", "<=": "lte"}


@dataclass(frozen=True)
class Condition:
    """A field of the payload must equal one of these values."""

    key: str
    values: tuple[str | int | bool, ...]


@dataclass(frozen=True)
class Range:
    """A field of the payload must lie between bounds: pairs such as ``("gte", 1.5)``."""

    key: str
    bounds: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Group:
    """All, any or none of the parts must hold, as Qdrant's ``must``, ``should`` and ``must_not``."""

    kind: Literal["must", "should", "must_not"]
    parts: tuple[Part, ...]


Part: TypeAlias = "Condition | Range | Group"


def parse_filter(where: Filter | None, prefix: str) -> tuple[Part, ...]:
    """Parts that must all hold.

    Args:
        where: See the top of this module; ``None`` or an empty mapping filters nothing.
        prefix: What is put before each field: where the caller's payload lies in the stored one.

    Raises:
        InputError: Something that no backend could filter by.
    """
    if where is None:
        return ()
    if not isinstance(where, Mapping):
        raise InputError(f"a filter must be a mapping such as {{'lang': 'en'}}; got {type(where).__name__}")
    return tuple(_entry(key, value, prefix) for key, value in where.items())


def comparison(key: str, operator: str, value: Any) -> Filter:
    """A filter from a field, a sign and a value, which is how frameworks write them.

    Raises:
        InputError: A sign that is not one of ``==  !=  >  >=  <  <=  in  not in``.
    """
    equal = {key: {"gte": value, "lte": value} if isinstance(value, float) else value}
    if operator in ("==", "in"):
        return equal
    if operator in ("!=", "not in", "nin"):
        return {"$not": equal}
    if operator in SIGNS:
        return {key: {SIGNS[operator]: value}}
    raise InputError(f"filter {key!r}: the operator {operator!r} is unknown; expected ==, !=, >, >=, <, <=, in, not in")


def _entry(key: Any, value: Any, prefix: str) -> Part:
    if key in ("$and", "$or"):
        if not isinstance(value, list | tuple) or not value:
            raise InputError(f"filter {key!r} needs a list of filters; got {value!r:.80}")
        parts = tuple(Group("must", parse_filter(item, prefix)) for item in value)
        return Group("must" if key == "$and" else "should", parts)
    if key == "$not":
        return Group("must_not", (Group("must", parse_filter(value, prefix)),))
    if isinstance(value, Mapping) and set(value) == {"not"}:
        return Group("must_not", (_condition(key, value["not"], prefix),))
    if isinstance(value, Mapping):
        return _range(key, value, prefix)
    return _condition(key, value, prefix)


def _condition(key: Any, value: Any, prefix: str) -> Condition:
    values = tuple(value) if isinstance(value, list | tuple) else (value,)
    kinds = {type(v) for v in values}
    if not isinstance(key, str) or not key or len(kinds) != 1 or not kinds <= {str, int, bool}:
        raise InputError(
            f"filter {key!r}: {value!r} cannot be used; expected a field of the payload and a text, a whole number, "
            "true or false, a list of texts or of whole numbers, a range such as {'gte': 1}, or {'not': ...}"
        )
    if kinds == {bool} and len(values) > 1:
        raise InputError(f"filter {key!r}: a list of true and false filters nothing; leave it out")
    return Condition(f"{prefix}{key}", values)


def _range(key: Any, bounds: Mapping[Any, Any], prefix: str) -> Range:
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in bounds.values())
    if not isinstance(key, str) or not key or not bounds or not set(bounds) <= set(BOUNDS) or not numbers:
        raise InputError(
            f"filter {key!r}: {dict(bounds)!r:.80} cannot be used; a range has numbers under {', '.join(BOUNDS)}"
        )
    return Range(f"{prefix}{key}", tuple((name, float(value)) for name, value in sorted(bounds.items())))


def filter_json(parts: tuple[Part, ...]) -> dict[str, Any] | None:
    """The filter in Qdrant's REST form; ``None`` if there is nothing to filter by."""
    return {"must": [_json(part) for part in parts]} if parts else None


def _json(part: Part) -> dict[str, Any]:
    if isinstance(part, Group):
        return {part.kind: [_json(inner) for inner in part.parts]}
    if isinstance(part, Range):
        return {"key": part.key, "range": dict(part.bounds)}
    values = part.values
    return {"key": part.key, "match": {"value": values[0]} if len(values) == 1 else {"any": list(values)}}
