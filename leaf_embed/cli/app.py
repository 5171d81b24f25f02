"""The command line: all commands, and their exit codes.

Results go to standard output, progress and errors to standard error. Exit codes: 0 done, 1 the work failed (the
message says what came, what was expected and what to do), 2 the command line is wrong, 3 the leaf is not shown to keep
the share of ``evaluate --accept``, 130 interrupted.
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
    adopt,
    cache,
    compare,
    demo,
    distill,
    evaluate,
    export,
    index,
    inspect,
    make_eval,
    overlap,
    push,
    search,
    serve,
    tune,
)
from leaf_embed.cli.console import errors
from leaf_embed.cli.torch_options import with_torch_options
from leaf_embed.errors import LeafEmbedError

__all__ = ["app", "main", "run", "spread"]

CACHED = "is an option of leaf-embed cache: fill a cache with it, then leaf-embed distill --cache DIR"
FIELD = "is a field of the recipe: --set {0}=VALUE"
LOST = "was removed: it did not help (examples/LOG.md)"
MOVED = {
    "distill": {
        **dict.fromkeys(
            "--vectors --title-key --vector-name --where --query-prompt --document-prompt".split()
            + "--api --api-model --api-key-env --api-items --budget --dimensions".split(),
            CACHED,
        ),
        **dict.fromkeys("--batch-size --learning-rate --query-share --max-tokens --token-embeddings".split(), FIELD),
        **dict.fromkeys("--focal --averaging --prefixes".split(), LOST),
    },
    "export": {"--float16": LOST},
    "cache": {"--api-model": "is --teacher now: with --api, the model's name there"},
}
"""Options that a command had, with what became of them."""

ROAD = """Documents once by a big embedding model, queries for ever by a tiny one, in one vector space.

The road, from a teacher model and texts to answers:

\b
leaf-embed distill --teacher MODEL --corpus docs.jsonl --recipe quick --output my-leaf
leaf-embed index --leaf my-leaf --input docs.jsonl --path collections --collection docs
leaf-embed search "a question" --leaf my-leaf --path collections --collection docs
leaf-embed evaluate --leaf my-leaf --data my-beir-set --output report.json

From a Qdrant collection alone: leaf-embed distill --from-qdrant URL --collection NAME --student MODEL --output my-leaf
"""

app = typer.Typer(
    name="leaf-embed",
    help=ROAD,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def ending_well(command: Callable[..., None]) -> Callable[..., None]:
    """Returns a command whose failures are a message and an exit code, not a traceback."""

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


LOAD_TEACHERS = (distill, cache, evaluate, index, adopt, serve)

for module in (
    distill,
    cache,
    export,
    make_eval,
    evaluate,
    compare,
    overlap,
    index,
    adopt,
    search,
    inspect,
    tune,
    push,
    serve,
    demo,
):
    command = with_torch_options(module.command) if module in LOAD_TEACHERS else module.command
    app.command(name=module.__name__.rsplit(".", 1)[-1].replace("_", "-"))(ending_well(command))


@app.callback(invoke_without_command=True)
def _version(
    version: bool = typer.Option(False, "--version", help="Show the version and exit.", is_eager=True),
) -> None:
    if version:
        typer.echo(f"leaf-embed {__version__}")
        raise typer.Exit


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line and exits."""
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: Sequence[str]) -> int:
    """Runs the command line and returns the exit code."""
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read when torch is loaded: threads that wait let others run
    if moved := _moved(arguments):
        errors.print(f"[bold red]error:[/] {escape(moved)}", highlight=False, soft_wrap=True)
        return 2
    try:
        app(spread(arguments), prog_name="leaf-embed")
    except OSError as error:
        return _refused(error)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


def _refused(error: OSError) -> int:
    """Says what the operating system refused, such as standard output on a full disk; returns the exit code."""
    about = f" ({error.filename})" if error.filename else ""
    message = f"reading or writing failed{about}: {error.strerror or error}"
    advice = "Make room there, or name another place; then run the same again"
    errors.print(f"[bold red]error:[/] {escape(message)}. {advice}", highlight=False, soft_wrap=True)
    try:
        sys.stdout.flush()
    except OSError:  # the interpreter would try it again when it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1


def _moved(arguments: Sequence[str]) -> str | None:
    """Returns what became of the first option that the command no longer has."""
    known = MOVED.get(arguments[0], {}) if arguments else {}
    for argument in arguments[1:]:
        option = argument.partition("=")[0]
        if option in known:
            return f"{option} {known[option].format(option[2:].replace('-', '_'))}"
    return None


def spread(arguments: Sequence[str]) -> list[str]:
    """Turns ``--corpus a b`` into ``--corpus a --corpus b`` for the options of a command that take several values."""
    several = _several(arguments[0]) if arguments else set()
    result: list[str] = []
    many: str | None = None
    fresh = False
    for argument in arguments:
        if argument.startswith("-"):
            many, fresh = (argument if argument in several else None), True
        elif many is not None and not fresh:
            result.append(many)
        else:
            fresh = False
        result.append(argument)
    return result


def _several(command: str) -> set[str]:
    """Returns the options of a command that take several values."""
    commands: Any = getattr(typer.main.get_command(app), "commands", {})
    parameters = commands[command].params if command in commands else ()
    return {name for one in parameters if getattr(one, "multiple", False) for name in one.opts}
