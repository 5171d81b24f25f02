"""An OpenAI-compatible endpoint over a leaf; needs the extra ``serve``.

config       names, key and limits
protocol     the request and the response, as OpenAI's clients write and read them
tokens       token ids in the place of texts
lanes        jobs that wait, and what of them is encoded next
batcher      two lanes, each with a thread: short requests, and documents and large ones
readiness    the document encoder, loaded at start
limits       bodies: their size, their time, and all of them together
metrics      what Prometheus reads
access       around every request: id, log, count, an answer whatever happens
app          routes, key, origins, errors
connections  uvicorn, with time-outs for slow clients
"""

from leaf_embed._extras import require

for module in ("starlette", "prometheus_client"):
    require(module, "serve", "Serving embeddings")

from leaf_embed.serve.app import create_app  # noqa: E402
from leaf_embed.serve.config import ServeConfig  # noqa: E402

__all__ = ["ServeConfig", "create_app"]
