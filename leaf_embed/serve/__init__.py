"""An OpenAI-compatible endpoint over a leaf; needs the extra ``serve``.

protocol.py   the request and the response, as OpenAI's clients write and read them
tokens.py     token numbers in the place of texts, which some clients send
batcher.py    a bounded queue, whose waiting texts are encoded together
metrics.py    numbers for Prometheus
app.py        routes, key and limits
"""

from leaf_embed._extras import require

require("starlette", "serve", "Serving embeddings")

from leaf_embed.serve.app import ServeConfig, create_app  # noqa: E402

__all__ = ["ServeConfig", "create_app"]
