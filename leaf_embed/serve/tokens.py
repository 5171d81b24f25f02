"""Token ids in the place of texts, as LangChain's ``OpenAIEmbeddings`` sends them."""

from __future__ import annotations

import base64
import logging
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from leaf_embed._extras import require
from leaf_embed.errors import InputError, MissingExtraError
from leaf_embed.serve.lanes import OverloadError

__all__ = ["Vocabulary"]

ENCODING = "cl100k_base"  # of OpenAI's embedding models, and what LangChain takes for a model that it does not know
SPECIAL = {"<|endoftext|>": 100257, "<|fim_prefix|>": 100258, "<|fim_middle|>": 100259, "<|fim_suffix|>": 100260}
SPECIAL["<|endofprompt|>"] = 100276
SECONDS = 15.0  # that a download may take
ADVICE = (
    "Send texts instead: in LangChain's OpenAIEmbeddings set check_embedding_ctx_length=False. "
    "Or start the server with --vocabulary FILE, a copy of cl100k_base.tiktoken."
)

log = logging.getLogger(__name__)


class Vocabulary:
    """The vocabulary of token ids, loaded once when the server starts and never while a request waits."""

    def __init__(self, source: str) -> None:
        """Opens a vocabulary.

        Args:
            source: ``"download"`` lets :meth:`start` load it by tiktoken, from its cache or the network; ``"none"`` has
                none; else a file in tiktoken's format, read here.

        Raises:
            InputError: The file cannot be read.
            MissingExtraError: tiktoken is not installed, and a file is given.
        """
        self._source = source
        self._encoding: Any = None
        self._problem = "this server was started without a vocabulary (--vocabulary none)"
        self._until = 0.0
        if source not in ("download", "none"):
            self._encoding = _read(Path(source))

    def start(self) -> None:
        """Begins to load, in the background; a download that hangs is given up after 15 seconds."""
        if self._source == "download" and self._encoding is None:
            self._until = time.monotonic() + SECONDS
            self._problem = f"its vocabulary could not be fetched within {SECONDS:.0f} s"
            threading.Thread(target=self._load, name="leaf-embed-vocabulary", daemon=True).start()

    def _load(self) -> None:
        try:
            self._encoding = require("tiktoken", "serve", "Reading token ids").get_encoding(ENCODING)
        except MissingExtraError as error:
            self._problem = str(error)
        except Exception as error:  # a network error of requests, or a damaged download
            self._problem = f"its vocabulary could not be fetched ({type(error).__name__})"
            log.warning("no vocabulary for token ids (%s); requests that send them get 400", type(error).__name__)
        self._until = 0.0

    def decode(self, rows: Sequence[Sequence[int]]) -> tuple[str, ...]:
        """Returns the texts that token ids stand for. A leaf's own tokenizer then reads them.

        Args:
            rows: Token ids of each text.

        Raises:
            InputError: No such token, or there is no vocabulary.
            OverloadError: The vocabulary is still being loaded.
        """
        encoding = self._encoding
        if encoding is None:
            if time.monotonic() < self._until:
                raise OverloadError
            raise InputError(f"input holds token ids, and {self._problem}. {ADVICE}")
        texts = []
        for place, row in enumerate(rows):
            try:
                texts.append(encoding.decode(list(row)))
            except (KeyError, OverflowError) as error:
                raise InputError(f"input {place} holds an id that is no token of {ENCODING}. {ADVICE}") from error
        return tuple(texts)


def _read(path: Path) -> Any:
    """A vocabulary file: on each line a token in base64 and its number."""
    tiktoken = require("tiktoken", "serve", "Reading token ids")
    try:
        lines = (line.split() for line in path.read_bytes().splitlines() if line)
        ranks = {base64.b64decode(token, validate=True): int(rank) for token, rank in lines}
        return tiktoken.Encoding(ENCODING, pat_str=r"\w+|\W+", mergeable_ranks=ranks, special_tokens=SPECIAL)
    except Exception as error:  # tiktoken's part in Rust raises a class of its own
        raise InputError(
            f"{path} is no vocabulary in tiktoken's format ({type(error).__name__}); expected a copy of "
            f"{ENCODING}.tiktoken, with a token in base64 and its number on each line"
        ) from error
