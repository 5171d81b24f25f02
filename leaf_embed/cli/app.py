"""All commands together, and how they end.

Results go to standard output, progress and errors to standard error. Exit codes: 0 done, 1 the work failed (the
message says what came, what was expected and what to do), 2 the command line is wrong, 130 interrupted.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

import typer
from rich.markup import escape

from leaf_embed import __version__
from leaf_embed.cli.commands import (
    cache,
    compare,
    demo,
    distill,
    evaluate,
    export,
    index,
    inspect,
    overlap,
    push,
    search,
    serve,
    tune,
)
from leaf_embed.cli.console import errors
from leaf_embed.errors import LeafEmbedError

__all__ = ["app", "main", "run", "spread"]

MANY = (
    "--corpus",
    "--train",
    "--data",
    "--input",
    "--dims",
    "--quantization",
    "--mrl",
    "--vectors",
    "--where",
    "--exclude",
    "--sts",
    "--classification",
)
"""Options that take several values: ``--corpus a b`` as well as ``--corpus a --corpus b``."""

app = typer.Typer(
    name="leaf-embed",
    help="Documents once by a big embedding model, queries for ever by a tiny one, in one vector space.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def ending_well(command: Callable[..., None]) -> Callable[..., None]:
    """A command whose failures are a message and an exit code, not a traceback."""

    @functools.wraps(command)
    def wrapped(*args: Any, **options: Any) -> None:
        try:
            command(*args, **options)
        except LeafEmbedError as error:
            errors.print(f"[bold red]error:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
            raise typer.Exit(1) from error
        except KeyboardInterrupt as error:
            errors.print("interrupted; run the same command again to go on where it stopped", highlight=False)
            raise typer.Exit(130) from error
        except BrokenPipeError:  # the reader of our output, such as head, has had enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    return wrapped


for module in (distill, cache, export, evaluate, compare, overlap, index, search, inspect, tune, push, serve, demo):
    app.command(name=module.__name__.rsplit(".", 1)[-1])(ending_well(module.command))


@app.callback(invoke_without_command=True)
def _version(
    version: bool = typer.Option(False, "--version", help="Show the version and exit.", is_eager=True),
) -> None:
    if version:
        typer.echo(f"leaf-embed {__version__}")
        raise typer.Exit


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit."""
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: Sequence[str]) -> int:
    """Run the command line; the exit code."""
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    try:
        app(spread(arguments), prog_name="leaf-embed")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


def spread(arguments: Sequence[str]) -> list[str]:
    """Turn ``--corpus a b`` into ``--corpus a --corpus b`` for the options in :data:`MANY`."""
    result: list[str] = []
    many: str | None = None
    fresh = False
    for argument in arguments:
        if argument.startswith("-"):
            many, fresh = (argument if argument in MANY else None), True
        elif many is not None and not fresh:
            result.append(many)
        else:
            fresh = False
        result.append(argument)
    return result
