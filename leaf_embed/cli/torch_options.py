"""How torch loads and runs a teacher: options that every command has that may load one, given once for all of them."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Annotated, Any, Literal

from leaf_embed.cli.options import panel

if TYPE_CHECKING:
    from leaf_embed.encoders.transformer import Loading, SentenceTransformerEncoder

__all__ = ["chosen_loading", "load_torch_encoder", "with_torch_options"]

torch_option = panel("Teacher in torch")
OPTIONS: dict[str, Any] = {
    "device": Annotated[
        str | None,
        torch_option(help="Of teacher and student, as in torch: cpu, cuda, cuda:1, mps. Default: a GPU if any."),
    ],
    "dtype": Annotated[
        Literal["auto", "float32", "float16", "bfloat16"],
        torch_option(help="Weights and arithmetic. auto: as saved, in bfloat16 where the machine has units for it."),
    ],
    "batch_tokens": Annotated[int, torch_option(help="Tokens per batch, padding included.")],
    "attention": Annotated[str | None, torch_option(help="As in transformers: sdpa, eager, flash_attention_2.")],
    "trust_remote_code": Annotated[
        bool, torch_option("--trust-remote-code", help="Run code that comes with the model; only if you trust it.")
    ],
}
DEFAULTS: dict[str, Any] = {
    "device": None,
    "dtype": "auto",
    "batch_tokens": 4096,
    "attention": None,
    "trust_remote_code": False,
}
_chosen: ContextVar[dict[str, Any]] = ContextVar("torch options", default=DEFAULTS)


def with_torch_options(command: Callable[..., None]) -> Callable[..., None]:
    """Returns a command that has the options of :data:`OPTIONS` too, and loads teachers as they say.

    An option that the command has itself stays its own, and counts for its teachers as well.
    """
    signature = inspect.signature(command, eval_str=True)
    added = [name for name in OPTIONS if name not in signature.parameters]

    @functools.wraps(command)
    def wrapped(*args: Any, **options: Any) -> None:
        values = {name: options[name] for name in OPTIONS if options.get(name) is not None}
        token = _chosen.set(DEFAULTS | values)
        try:
            command(*args, **{name: value for name, value in options.items() if name not in added})
        finally:
            _chosen.reset(token)

    keyword = inspect.Parameter.KEYWORD_ONLY
    extra = [inspect.Parameter(name, keyword, default=DEFAULTS[name], annotation=OPTIONS[name]) for name in added]
    wrapped.__signature__ = signature.replace(parameters=[*signature.parameters.values(), *extra])  # type: ignore[attr-defined]
    wrapped.__annotations__ = command.__annotations__ | {name: OPTIONS[name] for name in added}
    return wrapped


def chosen_loading() -> Loading:
    """Returns how the running command was told to load models.

    Raises:
        InputError: An option that cannot be.
    """
    from leaf_embed.encoders.transformer import Loading

    return Loading(**_chosen.get())


def load_torch_encoder(model: str) -> SentenceTransformerEncoder:
    """Loads a teacher as the running command says, without the libraries' own bars and advice on the terminal."""
    from leaf_embed.cli.console import quiet_transformers

    quiet_transformers()
    from leaf_embed.encoders.transformer import SentenceTransformerEncoder

    return SentenceTransformerEncoder(model, loading=chosen_loading())
