"""All commands together, and how they end.

Results go to standard output, progress and errors to standard error. Exit codes: 0 done, 1 the work failed (the
message says what came, what was expected and what to do), 2 the command line is wrong, 130 interrupted.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click
import typer

from leaf_embed import __version__
from leaf_embed.cli import cache, demo, distill, evaluate, export, index, inspect, search
from leaf_embed.cli.console import errors
from leaf_embed.errors import LeafEmbedError

__all__ = ["app", "main", "run", "spread"]

MANY = ("--corpus", "--data", "--input", "--dims", "--quantization", "--mrl")
"""Options that take several values: ``--corpus a b`` as well as ``--corpus a --corpus b``."""

app = typer.Typer(
    name="leaf-embed",
    help="Documents once by a big embedding model, queries for ever by a tiny one, in one vector space.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for module in (distill, cache, export, evaluate, index, search, inspect, demo):
    app.command(name=module.__name__.rsplit(".", 1)[-1])(module.command)


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
    command = typer.main.get_command(app)
    try:
        code = command.main(spread(arguments), prog_name="leaf-embed", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except LeafEmbedError as error:
        errors.print(f"[bold red]error:[/] {_plain(error)}", highlight=False, soft_wrap=True)
        return 1
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        errors.print("interrupted; run the same command again to go on where it stopped", highlight=False)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
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


def _plain(error: LeafEmbedError) -> str:
    """The message with square brackets that rich must not read as markup."""
    return str(error).replace("[", "\\[")
