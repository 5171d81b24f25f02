"""One conversion of payloads to JSON, for every collection and every framework.

    date, datetime, time          ISO 8601 text, which filters compare as a date
    UUID, path                    text
    Decimal, NumPy scalar         number
    Enum                          its value
    tuple, NumPy array            list
    set, frozenset                list, in a fixed order
    half of a surrogate pair      U+FFFD
    numbers as keys               text

NaN, infinity, whole numbers beyond 64 bits, bytes and all other objects are refused.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import date, time
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import numpy as np

from leaf_embed.errors import InputError
from leaf_embed.texts import clean

__all__ = ["plain_json", "plain_payload", "plain_value"]


def plain_value(value: Any) -> Any:
    """Returns the JSON value for an object that JSON does not have; see the top of this module.

    Raises:
        TypeError: There is none.
    """
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, set | frozenset):
        return sorted(value, key=lambda item: (type(item).__name__, str(item)))
    raise TypeError(f"an object of type {type(value).__name__} is not JSON")


def plain_payload(payload: Mapping[Any, Any], document: str) -> dict[str, Any]:
    """Returns a copy of a payload that every backend stores exactly.

    Args:
        payload: Any JSON values, and those of the table at the top of this module.
        document: Names the document in errors.

    Raises:
        InputError: A value that cannot be stored; the message names its field.
    """
    try:
        found: dict[str, Any] = _plain(dict(payload), mend=True)
    except (TypeError, ValueError, ArithmeticError, RecursionError):
        for key, value in payload.items():
            plain_json({key: value}, f"{document}: its payload under {key!r:.80}", mend=True)
        raise
    return found


def plain_json(value: Any, source: str, *, mend: bool = False) -> Any:
    """Returns a copy of plain JSON values.

    Args:
        value: Any JSON value, or one of the table at the top of this module.
        source: Names it in errors.
        mend: Whether half a surrogate pair is replaced; otherwise it is refused.

    Raises:
        InputError: A value that cannot be stored exactly.
    """
    try:
        return _plain(value, mend=mend)
    except (TypeError, ValueError, ArithmeticError, RecursionError) as error:
        raise InputError(f"{source} cannot be stored as JSON: {error}") from error


def _plain(value: Any, *, mend: bool) -> Any:
    text = json.dumps(value, allow_nan=False, ensure_ascii=False, default=plain_value)
    if mend:
        text = clean(text)
    text.encode()
    return json.loads(text, parse_int=_int64)


def _int64(digits: str) -> int:
    """The engine would store a rounded float for a larger number."""
    number = int(digits)
    if not -(2**63) <= number < 2**63:
        raise ValueError(f"the integer {digits} has more than 64 bits")
    return number
