"""Filters over the payload: a small language for ``where``, parsed into Qdrant's REST form.

    {"lang": "en"}                                  equal; a number finds its whole and its decimal form, 5 and 5.0
    {"lang": ["en", "de"]}                          equal to any of them
    {"year": {"gte": 1990, "lt": 2000}}             in a range: gt, gte, lt, lte
    {"when": {"gte": "2024-01-31T12:00:00Z"}}       later: an ISO date in a text, or Python's date or datetime
    {"lang": None}                                  missing, null, or an empty list
    {"note": {"contains": "red bridge"}}            has these words in it: whole ones, in any order
    {"lang": {"not": "en"}}                         not equal; also {"not": ["en", "de"]} and {"not": None}
    {"$or": [{"lang": "en"}, {"year": {"gt": 5}}]}  any of these filters; also "$and", and "$not" with one filter
    {"$id": ["a", 7]}                               the document's own id; also "$text" and "$title"

Several entries of one mapping must all hold. A dot leads into a nested object: ``{"author.name": "Ada"}``; a name that
has a dot itself stands between quotation marks: ``{'"file.name"': "a.txt"}``. The names
with a dollar belong to documents that leaf-embed wrote. A date without a time zone is UTC.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime
from enum import Enum
from sys import float_info
from typing import Any, TypeAlias

from leaf_embed.errors import InputError
from leaf_embed.qdrant.schema.documents import ID, PAYLOAD, TEXT, TITLE
from leaf_embed.qdrant.schema.payload import plain_value
from leaf_embed.texts import clean

__all__ = ["Filter", "FilterJson", "comparison", "parse_filter"]

Filter: TypeAlias = "Mapping[str, Any]"
FilterJson: TypeAlias = "dict[str, Any]"
"""A filter in Qdrant's REST form, such as ``{"must": [{"key": "lang", "match": {"value": "en"}}]}``."""

BOUNDS = ("gt", "gte", "lt", "lte")
SIGNS = {">": "gt", ">=": "gte", "<": "lt", "<=": "lte"}
SEGMENTS = re.compile(r'"[^"]*"|[^.]+|(?<=\.)(?=\.|$)|^(?=\.)')  # a dot between quotation marks is part of the name
PLAIN = re.compile(r"[A-Za-z0-9_-]+(\[\d*\])*")
EXACT = 2**53  # whole numbers up to this one are exact as floats, which is what a range compares
OWN = {"$id": ID, "$text": TEXT, "$title": TITLE}


def parse_filter(where: Filter | None, prefix: str = f"{PAYLOAD}.") -> FilterJson | None:
    """Parses a filter into Qdrant's REST form; ``None`` if it filters nothing.

    Args:
        where: See the top of this module; ``None`` or an empty mapping filters nothing.
        prefix: What is put before each field: where the caller's payload lies in the stored one.

    Raises:
        InputError: Something that no backend could filter by.
    """
    if where is None:
        return None
    if not isinstance(where, Mapping):
        raise InputError(f"a filter must be a mapping such as {{'lang': 'en'}}; got {type(where).__name__}")
    return _all_of(where, prefix) if where else None


def _all_of(where: Filter, prefix: str) -> FilterJson:
    return {"must": [_entry(key, value, prefix) for key, value in where.items()]}


def comparison(key: str, operator: str, value: Any) -> Filter:
    """Builds a filter from a field, a sign and a value, the form that frameworks use.

    Raises:
        InputError: A sign that is not one of ``==  !=  >  >=  <  <=  in  not in``.
    """
    equal = {key: value}
    if operator in ("==", "in"):
        return equal
    if operator in ("!=", "not in", "nin"):
        return {"$not": equal}
    if operator in SIGNS:
        return {key: {SIGNS[operator]: value}}
    raise InputError(f"filter {key!r}: the operator {operator!r} is unknown; expected ==, !=, >, >=, <, <=, in, not in")


def _entry(key: Any, value: Any, prefix: str) -> FilterJson:
    if key in ("$and", "$or"):
        if not isinstance(value, list | tuple) or not value:
            raise InputError(f"filter {key!r} needs a list of filters; got {value!r:.80}")
        parts = [_inner(item, prefix) for item in value]
        return {"must" if key == "$and" else "should": parts}
    if key == "$not":
        return {"must_not": [_inner(value, prefix)]}
    path = _path(key, prefix)
    if isinstance(value, Mapping) and set(value) == {"not"}:
        return {"must_not": [_field(key, path, value["not"])]}
    return _field(key, path, value)


def _inner(where: Any, prefix: str) -> FilterJson:
    return parse_filter(where, prefix) or {"must": []}


def _path(key: Any, prefix: str) -> str:
    """Returns the key of a field in the stored payload."""
    if not isinstance(key, str) or not key:
        raise InputError(f"filter {key!r}: it cannot be used; a field of the payload is named by a text")
    if not key.startswith("$"):
        return prefix + ".".join(_segment(key, part) for part in SEGMENTS.findall(clean(key)))
    if key not in OWN or prefix != f"{PAYLOAD}.":
        raise InputError(
            f"filter {key!r}: no field begins with a dollar; expected '$and', '$or' or '$not', or in a collection that "
            f"leaf-embed made one of {', '.join(map(repr, OWN))}"
        )
    return OWN[key]


def _segment(key: str, name: str) -> str:
    """Returns one name of a path as Qdrant reads it: quoted, unless it is plain."""
    quoted = len(name) > 1 and name[0] == name[-1] == '"'
    bare = name[1:-1] if quoted else name
    if '"' in bare or not bare:
        raise InputError(f"filter {key!r}: a field's name cannot be empty or hold a quotation mark")
    return name if quoted or PLAIN.fullmatch(name) else f'"{name}"'


def _field(key: str, path: str, value: Any) -> FilterJson:
    if value is None:
        return {"is_empty": {"key": path}}
    if isinstance(value, Mapping) and set(value) == {"contains"}:
        if not isinstance(value["contains"], str) or not value["contains"]:
            raise InputError(f"filter {key!r}: 'contains' takes a text; got {value['contains']!r:.80}")
        return {"key": path, "match": {"text": value["contains"]}}
    return _range(key, path, value) if isinstance(value, Mapping) else _equal(key, path, value)


def _equal(key: str, path: str, value: Any) -> FilterJson:
    values = [_plain(key, v) for v in (value if isinstance(value, list | tuple | set | frozenset) else [value])]
    if huge := [v for v in values if isinstance(v, int) and not -(2**63) <= v < 2**64]:
        raise InputError(f"filter {key!r}: {huge[0]!s:.40}... has more than 64 bits, as no stored number has")
    kinds = {type(v) for v in values}
    if key == "$id" and kinds and kinds <= {str, int}:
        parts = [_match(path, [v for v in values if type(v) is kind]) for kind in (str, int) if kind in kinds]
        return {"should": parts} if len(parts) > 1 else parts[0]
    if kinds and (kinds <= {int, float} or all(isinstance(v, date) for v in values)):
        parts = [_same(key, path, v) for v in values]
        return {"should": parts} if len(parts) > 1 else parts[0]
    if len(kinds) != 1 or not kinds <= {str, bool}:
        raise InputError(
            f"filter {key!r}: {value!r} cannot be used; expected a field of the payload and a text, a number, a date, "
            "true or false, a list of texts, of numbers or of dates, a range such as {'gte': 1}, None, "
            "{'contains': ...}, or {'not': ...}"
        )
    if kinds == {bool} and len(values) > 1:
        raise InputError(f"filter {key!r}: a list of true and false filters nothing; leave it out")
    return _match(path, values)


def _plain(key: str, value: Any) -> Any:
    """Returns a value as it is stored, but for a date, which is compared as one."""
    if isinstance(value, Enum):
        return _plain(key, value.value)
    if isinstance(value, str):
        return clean(value)
    if type(value) in (int, float, bool) or isinstance(value, date):
        return value
    if isinstance(value, float):  # NumPy's float64
        return float(value)
    try:
        return plain_value(value)
    except TypeError:
        return value


def _same(key: str, path: str, value: float | date) -> FilterJson:
    """Equality of numbers whatever their JSON form: 5 finds a stored 5.0, as a match by value does not."""
    if isinstance(value, int) and abs(value) > EXACT:
        return _match(path, [value])
    return _range(key, path, {"gte": value, "lte": value})


def _match(path: str, values: list[Any]) -> FilterJson:
    return {"key": path, "match": {"value": values[0]} if len(values) == 1 else {"any": values}}


def _range(key: str, path: str, bounds: Mapping[Any, Any]) -> FilterJson:
    bounds = {name: _plain(key, value) for name, value in bounds.items()}
    values = list(bounds.values())
    if bounds and set(bounds) <= set(BOUNDS):
        if all(isinstance(v, int | float) and not isinstance(v, bool) and abs(v) <= float_info.max for v in values):
            return {"key": path, "range": {name: float(value) for name, value in bounds.items()}}
        if all(isinstance(v, str | date) for v in values):
            return {"key": path, "range": {name: _date(key, value) for name, value in bounds.items()}}
    raise InputError(
        f"filter {key!r}: {dict(bounds)!r:.80} cannot be used; a range has numbers, or dates, under {', '.join(BOUNDS)}"
    )


def _date(key: str, value: str | date) -> str:
    """Returns an ISO date that every backend reads alike."""
    try:
        read = datetime.fromisoformat(value.replace("Z", "+00:00")) if isinstance(value, str) else value
    except ValueError as error:
        raise InputError(f"filter {key!r}: {value!r:.80} is no ISO date, such as '2024-01-31T12:00:00Z'") from error
    return read.isoformat() if isinstance(read, datetime) else f"{read.isoformat()}T00:00:00"
