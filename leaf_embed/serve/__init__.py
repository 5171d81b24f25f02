"""An OpenAI-compatible endpoint over a leaf; needs the extra ``serve``.

protocol   the request and the response, as OpenAI's clients write and read them, token ids among them
batcher    a bounded queue, whose waiting texts are encoded together
app        routes, key, limits, and metrics for Prometheus
"""

from leaf_embed._extras import require

for module in ("starlette", "prometheus_client"):
    require(module, "serve", "Serving embeddings")

from leaf_embed.serve.app import ServeConfig, create_app  # noqa: E402

__all__ = ["ServeConfig", "create_app"]
