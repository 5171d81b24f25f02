"""Filters over the payload: a small algebra that every backend can express.

    {"lang": "en"}                                  equal
    {"lang": ["en", "de"]}                          equal to any of them
    {"year": {"gte": 1990, "lt": 2000}}             in a range: gt, gte, lt, lte
    {"when": {"gte": "2024-01-31T12:00:00Z"}}       later: an ISO date in a text, or Python's date or datetime
    {"lang": None}                                  missing, null, or an empty list
    {"note": {"contains": "red bridge"}}            has these words in it: whole ones, in any order
    {"lang": {"not": "en"}}                         not equal; also {"not": ["en", "de"]} and {"not": None}
    {"$or": [{"lang": "en"}, {"year": {"gt": 5}}]}  any of these filters; also "$and", and "$not" with one filter
    {"$id": ["a", 7]}                               the document's own id; also "$text" and "$title"

Several entries of one mapping must all hold. A dot leads into a nested object: ``{"author.name": "Ada"}``. The names
with a dollar belong to documents that leaf-embed wrote. A date without a time zone is UTC.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal, TypeAlias

from leaf_embed.errors import InputError
from leaf_embed.qdrant.schema.documents import ID, PAYLOAD, TEXT, TITLE

__all__ = [
    "Condition",
    "Contains",
    "DateRange",
    "Empty",
    "Filter",
    "Group",
    "Part",
    "Range",
    "comparison",
    "filter_json",
    "parse_filter",
]

Filter: TypeAlias = "Mapping[str, Any]"

BOUNDS = ("gt", "gte", "lt", "lte")
SIGNS = {">": "gt", ">=": "gte", "<": "lt", "<=": "lte"}
OWN = {"$id": ID, "$text": TEXT, "$title": TITLE}


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
class DateRange:
    """A date of the payload must lie between bounds: pairs such as ``("gte", "2024-01-31T12:00:00")``."""

    key: str
    bounds: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Empty:
    """A field of the payload must be missing, null or an empty list."""

    key: str


@dataclass(frozen=True)
class Contains:
    """A text of the payload must have these words in it."""

    key: str
    text: str


@dataclass(frozen=True)
class Group:
    """All, any or none of the parts must hold, as Qdrant's ``must``, ``should`` and ``must_not``."""

    kind: Literal["must", "should", "must_not"]
    parts: tuple[Part, ...]


Part: TypeAlias = "Condition | Range | DateRange | Empty | Contains | Group"


def parse_filter(where: Filter | None, prefix: str = f"{PAYLOAD}.") -> tuple[Part, ...]:
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
    single = isinstance(value, float | date)
    equal = {key: {"gte": value, "lte": value} if single else value}
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
    path = _path(key, prefix)
    if isinstance(value, Mapping) and set(value) == {"not"}:
        return Group("must_not", (_field(key, path, value["not"]),))
    return _field(key, path, value)


def _path(key: Any, prefix: str) -> str:
    """Where a field lies in the stored payload."""
    if not isinstance(key, str) or not key:
        raise InputError(f"filter {key!r}: it cannot be used; a field of the payload is named by a text")
    if not key.startswith("$"):
        return f"{prefix}{key}"
    if key not in OWN or prefix != f"{PAYLOAD}.":
        raise InputError(
            f"filter {key!r}: no field begins with a dollar; expected '$and', '$or' or '$not', or in a collection that "
            f"leaf-embed made one of {', '.join(map(repr, OWN))}"
        )
    return OWN[key]


def _field(key: str, path: str, value: Any) -> Part:
    if value is None:
        return Empty(path)
    if isinstance(value, Mapping) and set(value) == {"contains"}:
        if not isinstance(value["contains"], str) or not value["contains"]:
            raise InputError(f"filter {key!r}: 'contains' takes a text; got {value['contains']!r:.80}")
        return Contains(path, value["contains"])
    return _range(key, path, value) if isinstance(value, Mapping) else _condition(key, path, value)


def _condition(key: str, path: str, value: Any) -> Condition | Group:
    values = tuple(value) if isinstance(value, list | tuple) else (value,)
    kinds = {type(v) for v in values}
    if key == "$id" and kinds == {str, int}:
        parts = tuple(Condition(path, tuple(v for v in values if type(v) is kind)) for kind in (str, int))
        return Group("should", parts)
    if len(kinds) != 1 or not kinds <= {str, int, bool}:
        raise InputError(
            f"filter {key!r}: {value!r} cannot be used; expected a field of the payload and a text, a whole number, "
            "true or false, a list of texts or of whole numbers, a range such as {'gte': 1}, None, {'contains': ...}, "
            "or {'not': ...}"
        )
    if kinds == {bool} and len(values) > 1:
        raise InputError(f"filter {key!r}: a list of true and false filters nothing; leave it out")
    return Condition(path, values)


def _range(key: str, path: str, bounds: Mapping[Any, Any]) -> Range | DateRange:
    values = list(bounds.values())
    if bounds and set(bounds) <= set(BOUNDS):
        if all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
            return Range(path, tuple((name, float(value)) for name, value in sorted(bounds.items())))
        if all(isinstance(v, str | date) for v in values):
            return DateRange(path, tuple((name, _date(key, value)) for name, value in sorted(bounds.items())))
    raise InputError(
        f"filter {key!r}: {dict(bounds)!r:.80} cannot be used; a range has numbers, or dates, under {', '.join(BOUNDS)}"
    )


def _date(key: str, value: str | date) -> str:
    """An ISO date that every backend reads alike."""
    try:
        read = datetime.fromisoformat(value.replace("Z", "+00:00")) if isinstance(value, str) else value
    except ValueError as error:
        raise InputError(f"filter {key!r}: {value!r:.80} is no ISO date, such as '2024-01-31T12:00:00Z'") from error
    return read.isoformat() if isinstance(read, datetime) else f"{read.isoformat()}T00:00:00"


def filter_json(parts: tuple[Part, ...]) -> dict[str, Any] | None:
    """The filter in Qdrant's REST form; ``None`` if there is nothing to filter by."""
    return {"must": [_json(part) for part in parts]} if parts else None


def _json(part: Part) -> dict[str, Any]:
    if isinstance(part, Group):
        return {part.kind: [_json(inner) for inner in part.parts]}
    if isinstance(part, Range | DateRange):
        return {"key": part.key, "range": dict(part.bounds)}
    if isinstance(part, Empty):
        return {"is_empty": {"key": part.key}}
    if isinstance(part, Contains):
        return {"key": part.key, "match": {"text": part.text}}
    return {"key": part.key, "match": _match(part.values)}


def _match(values: tuple[str | int | bool, ...]) -> dict[str, Any]:
    return {"value": values[0]} if len(values) == 1 else {"any": list(values)}
