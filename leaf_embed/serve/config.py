"""Names, key and limits of a server."""

from __future__ import annotations

from dataclasses import dataclass, field

from leaf_embed.errors import InputError
from leaf_embed.texts import Role

__all__ = ["COMMON_NAMES", "ServeConfig"]

COMMON_NAMES = ("leaf", "text-embedding-3-small", "text-embedding-3-large", "text-embedding-ada-002")
"""Model names that OpenAI's clients send where their user named none."""


@dataclass(frozen=True)
class ServeConfig:
    """Names, key and limits of a server.

    Attributes:
        api_key: Key that clients must send as ``Authorization: Bearer``; ``None`` asks for none.
        name: Name of the model in ``/v1/models`` and in answers.
        aliases: Further names that requests may use; any other name gets 404. A request without a name is served.
        input_type: Role of texts that come without ``input_type``, as OpenAI's clients send them.
        allow_origins: Origins whose browsers may read answers (CORS), such as ``"http://localhost:5173"``, or ``"*"``.
        vocabulary: Where the vocabulary of token ids comes from: ``"download"`` (tiktoken's cache, or its download, in
            the background at start), a file ``cl100k_base.tiktoken``, or ``"none"``.
        max_texts: Texts per request.
        max_bytes: Bytes per request body. All bodies that are being read may hold eight times as many together, all
            answers that clients have not read yet 32 times as many.
        max_waiting: Texts that may wait in each lane; beyond them a request is answered by 503 with ``Retry-After``.
        max_waiting_tokens: Tokens, estimated from the texts' lengths, that documents and large requests may wait with;
            short requests have a lane of their own with a quarter of it.
        retry_after: Seconds of ``Retry-After``.
        timeout: Seconds that a client may take for the head of a request, for its body, and to read 64 kB of an answer;
            a connection without a request ends after them.
        max_connections: Open connections; beyond them the one that is idle for longest is closed.

    Raises:
        InputError: A limit below 1, or an unknown role.
    """

    api_key: str | None = field(default=None, repr=False)
    name: str = "leaf"
    aliases: tuple[str, ...] = COMMON_NAMES
    input_type: Role = "query"
    allow_origins: tuple[str, ...] = ()
    vocabulary: str = "download"
    max_texts: int = 2048
    max_bytes: int = 8_000_000
    max_waiting: int = 4096
    max_waiting_tokens: int = 131_072
    retry_after: int = 1
    timeout: float = 20.0
    max_connections: int = 900

    def __post_init__(self) -> None:
        limits = (self.max_texts, self.max_bytes, self.max_waiting, self.max_waiting_tokens, self.retry_after)
        if min(*limits, self.max_connections) < 1:
            raise InputError(f"limits must be at least 1; got {self}")
        if not self.timeout > 0:
            raise InputError(f"timeout must be more than 0 seconds; got {self.timeout}")
        if self.input_type not in ("query", "document"):
            raise InputError(f"input_type must be 'query' or 'document'; got {self.input_type!r}")
        if not self.name:
            raise InputError("name must not be empty; it is the model's name in requests and answers")
        if any(isinstance(names, str) for names in (self.aliases, self.allow_origins)):
            raise InputError("aliases and allow_origins take several texts: give a tuple")

    def serves(self, model: str) -> bool:
        """Whether requests may name their model so; no name means the only model there is."""
        return not model or model == self.name or model in self.aliases
