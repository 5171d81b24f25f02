"""What a worker process runs; it imports little, so that the process starts quickly."""


def embed(encoder, texts, answers):
    """Put the vectors of some queries into a queue."""
    answers.put(encoder.encode_query(texts))
