"""The asked side of a collection: search plans, filters, BM25."""
