"""The stored side of a collection: documents, vectors, quantization, metadata."""
