"""A real server for the tests, if ``LEAF_EMBED_QDRANT_URL`` names an empty one: ``make test-server URL=...``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from qdrant_client import QdrantClient

SERVER = "LEAF_EMBED_QDRANT_URL"


@contextmanager
def empty_server() -> Iterator[QdrantClient]:
    """A client of the server; what a test makes there goes away with it, and nothing else is ever touched."""
    client = QdrantClient(os.environ[SERVER], api_key=os.environ.get("QDRANT_API_KEY"), timeout=60)
    if client.get_collections().collections:
        pytest.fail(f"the server at {os.environ[SERVER]} holds collections; the tests take none but an empty one")
    try:
        yield client
    finally:
        for collection in client.get_collections().collections:  # all made by the test: the server was empty
            client.delete_collection(collection.name)
        client.close()
