"""All code that touches qdrant-client or qdrant-edge-py."""
