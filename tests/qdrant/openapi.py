"""Qdrant's OpenAPI, hardened until it can reject something.

As published it accepts almost anything: a branch ``{"nullable": true}`` without a type matches every value, and objects
allow unknown fields. The file is not part of this repository: set ``LEAF_EMBED_OPENAPI`` to a copy of
docs/redoc/master/openapi.json of qdrant/qdrant.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

VARIABLE = "LEAF_EMBED_OPENAPI"


class OpenApi:
    """Answers what is wrong with a request."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._document = harden(document)
        self._paths = [(re.compile(re.sub(r"\{\w+\}", "[^/]+", path)), path) for path in self._document["paths"]]
        # A literal segment is preferred to a parameter: /collections/aliases to /collections/{collection_name}.
        self._paths.sort(key=lambda pair: pair[1].count("{"))

    @classmethod
    def from_environment(cls) -> OpenApi | None:
        file = os.environ.get(VARIABLE)
        return cls(json.loads(Path(file).read_text(encoding="utf-8"))) if file else None

    def problems(self, method: str, path: str, query: dict[str, str], body: Any) -> list[str]:
        """One line for each thing that the specification does not allow."""
        found = next((name for pattern, name in self._paths if pattern.fullmatch(path)), None)
        if found is None or method.lower() not in self._document["paths"][found]:
            return [f"{method} {path}: no such operation"]
        operation = self._document["paths"][found][method.lower()]
        known = {p["name"] for p in operation.get("parameters", []) if p["in"] == "query"}
        problems = [f"{method} {found}: unknown query parameter {name!r}" for name in set(query) - known]
        content = operation.get("requestBody", {}).get("content", {}).get("application/json")
        if content is None:
            return problems + ([f"{method} {found}: takes no body"] if body is not None else [])
        schema = {**content["schema"], "components": self._document["components"]}
        errors = Draft202012Validator(schema).iter_errors(body)
        return problems + [f"{method} {found} at {error.json_path}: {error.message:.300}" for error in errors]


def harden(value: Any) -> Any:
    """Reject unknown fields, and read ``nullable`` as JSON Schema does."""
    if isinstance(value, list):
        return [harden(item) for item in value]
    if not isinstance(value, dict):
        return value
    if value.get("nullable") is True and set(value) <= {"nullable", "description", "default"}:
        return {"type": "null"}
    result = {key: harden(item) for key, item in value.items()}
    if "oneOf" in result:  # several integer formats match one number
        result["anyOf"] = result.pop("oneOf")
    if result.pop("nullable", None) is True and "type" in result:
        result["type"] = [result["type"], "null"]
        if "enum" in result:
            result["enum"] = [*result["enum"], None]
    if result.get("type") == "object" and "properties" in result and "additionalProperties" not in result:
        result["additionalProperties"] = False
    return result
