"""``leaf-embed serve``: an OpenAI-compatible endpoint over a leaf."""

from __future__ import annotations

import logging
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import typer

from leaf_embed._extras import require
from leaf_embed.cli.console import errors
from leaf_embed.cli.options import Leaf, panel
from leaf_embed.cli.torch_options import chosen_loading
from leaf_embed.errors import InputError

__all__ = ["command"]

BACKLOG = 1024  # connections that wait until they are accepted
LEVELS = (("leaf_embed", logging.INFO), ("uvicorn", logging.ERROR))
SWITCH = (
    0.0005  # seconds after which a thread that encodes lets the one that answers have the interpreter; default .005
)
api_option, limit_option = panel("API"), panel("Limits")


def command(
    leaf: Leaf,
    document: Annotated[
        str | None, typer.Option(help="Document encoder: teacher, leaf, or a path. Default: none, queries only.")
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one.")] = 8080,
    threads: Annotated[int, typer.Option(help="Threads of ONNX Runtime.")] = 1,
    access_log: Annotated[bool, typer.Option(help="A line per request on standard error.")] = True,
    name: Annotated[
        str | None, api_option(help="Name of the model in /v1/models and in answers. Default: the leaf's directory.")
    ] = None,
    alias: Annotated[
        list[str] | None,
        api_option(help="Further name that requests may use. Default: leaf, and OpenAI's embedding models."),
    ] = None,
    input_type: Annotated[Literal["query", "document"], api_option(help="Role of texts without input_type.")] = "query",
    allow_origin: Annotated[
        list[str] | None, api_option(help="Origin whose browsers may ask, such as http://localhost:5173, or *.")
    ] = None,
    vocabulary: Annotated[
        str, api_option(help="For token ids: download at start, none, or a file cl100k_base.tiktoken.")
    ] = "download",
    max_texts: Annotated[int, limit_option(help="Texts per request at most.")] = 2048,
    max_waiting: Annotated[int, limit_option(help="Texts that may wait before requests get 503.")] = 4096,
    max_waiting_tokens: Annotated[int, limit_option(help="Tokens that may wait before requests get 503.")] = 131_072,
    timeout: Annotated[float, limit_option(help="Seconds that a client may make no progress.")] = 20.0,
) -> None:
    """Serve POST /v1/embeddings and GET /v1/models as OpenAI does, GET /health, /livez, /readyz and /metrics.

    The environment's LEAF_EMBED_API_KEY, if set, is asked of clients.
    """
    require("uvicorn", "serve", "leaf-embed serve")
    import leaf_embed
    from leaf_embed.serve import ServeConfig, create_app
    from leaf_embed.serve.config import COMMON_NAMES
    from leaf_embed.serve.connections import make_server

    config = ServeConfig(
        api_key=os.environ.get("LEAF_EMBED_API_KEY") or None,
        name=name or Path(leaf).resolve().name or "leaf",
        aliases=tuple(alias) if alias else COMMON_NAMES,
        input_type=input_type,
        allow_origins=tuple(allow_origin or ()),
        vocabulary=vocabulary,
        max_texts=max_texts,
        max_waiting=max_waiting,
        max_waiting_tokens=max_waiting_tokens,
        timeout=timeout,
    )
    sys.setswitchinterval(SWITCH)
    with _logging_to_standard_error(access_log):
        encoder = leaf_embed.load(leaf, document=document, threads=threads, loading=chosen_loading())
        server = make_server(create_app(encoder, config), config)
        with _listen(host, port) as listening:
            address = f"[{host}]" if ":" in host else host
            at = f"http://{address}:{listening.getsockname()[1]}/v1"
            errors.print(f"serving the leaf {config.name} on {at}", highlight=False, markup=False, soft_wrap=True)
            server.run(sockets=[listening])


def _listen(host: str, port: int) -> socket.socket:
    """A socket that takes connections: what is announced is already bound."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except (OSError, OverflowError) as error:
        raise InputError(
            f"cannot listen on {host} port {port} ({error}); name another with --port or --host, or --port 0 for a "
            "free one"
        ) from error


@contextmanager
def _logging_to_standard_error(access_log: bool) -> Iterator[None]:
    """Lines of the package and of uvicorn, with the time; nothing in them is a text or a key."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    access = logging.getLogger("leaf_embed.serve.access")
    loggers = [(logging.getLogger(name), level) for name, level in LEVELS]
    before, access.disabled = access.disabled, not access_log
    for logger, level in loggers:
        logger.addHandler(handler)
        logger.setLevel(level)
    try:
        yield
    finally:
        access.disabled = before
        for logger, _ in loggers:
            logger.removeHandler(handler)
