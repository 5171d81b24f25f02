"""``leaf-embed serve``: an OpenAI-compatible endpoint over a leaf."""

from __future__ import annotations

import os
from typing import Annotated, Literal

import typer

from leaf_embed._extras import require
from leaf_embed.cli.console import errors
from leaf_embed.cli.options import Leaf
from leaf_embed.cli.torch_options import chosen_loading

__all__ = ["command"]


def command(
    leaf: Leaf,
    document: Annotated[
        str | None, typer.Option(help="Document encoder: teacher, leaf, or a path. Default: none, queries only.")
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one.")] = 8080,
    input_type: Annotated[
        Literal["query", "document"], typer.Option(help="Role of texts without input_type.")
    ] = "query",
    threads: Annotated[int, typer.Option(help="Threads of ONNX Runtime.")] = 1,
    max_texts: Annotated[int, typer.Option(help="Texts per request at most.")] = 2048,
    max_waiting: Annotated[int, typer.Option(help="Texts that may wait before requests get 503.")] = 4096,
) -> None:
    """Serve POST /v1/embeddings as OpenAI does, GET /health and GET /metrics.

    The environment's LEAF_EMBED_API_KEY, if set, is asked of clients.
    """
    uvicorn = require("uvicorn", "serve", "leaf-embed serve")
    import leaf_embed
    from leaf_embed.serve import ServeConfig, create_app

    config = ServeConfig(
        api_key=os.environ.get("LEAF_EMBED_API_KEY") or None,
        input_type=input_type,
        max_texts=max_texts,
        max_waiting=max_waiting,
    )
    encoder = leaf_embed.load(leaf, document=document, threads=threads, loading=chosen_loading())
    errors.print(f"serving {encoder.space.describe()} on http://{host}:{port}/v1", highlight=False, markup=False)
    uvicorn.run(create_app(encoder, config), host=host, port=port, log_level="warning", timeout_graceful_shutdown=30)
