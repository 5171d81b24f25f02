"""Reading of bodies: at most so large, so slow, and so much of all of them together."""

from __future__ import annotations

import anyio
from starlette.exceptions import HTTPException
from starlette.requests import Request

from leaf_embed.serve.lanes import OverloadError

__all__ = ["Bodies"]

FREE = 65_536  # bytes of each body that do not count, so that half-sent large ones never keep questions out
TOGETHER = 8  # largest bodies that may be read at a time


class Bodies:
    """Reads request bodies within limits.

    Args:
        max_bytes: Of one body. All that are being read, or are read and not yet parsed, hold up to eight times as much.
        seconds: From the first byte to the last.
    """

    def __init__(self, max_bytes: int, seconds: float) -> None:
        self._max_bytes = max_bytes
        self._seconds = seconds
        self._held = 0

    async def read(self, request: Request) -> bytes:
        """Returns the body.

        Raises:
            HTTPException: 413, it is too large; 408, it did not come in time. The connection ends.
            OverloadError: All bodies together are too large.
            ClientDisconnect: The client is gone.
        """
        declared = request.headers.get("content-length", "")
        if declared.isdigit() and int(declared[:20]) > TOGETHER * self._max_bytes:
            raise self._too_large()
        body, held, size = bytearray(), 0, 0
        try:
            with anyio.fail_after(self._seconds):
                async for part in request.stream():
                    size += len(part)
                    if size > self._max_bytes:  # let it come: many clients read no answer before they sent all
                        body.clear()
                        if size > TOGETHER * self._max_bytes:
                            break
                        continue
                    body += part
                    more = max(0, len(body) - FREE) - held
                    if self._held + more > TOGETHER * self._max_bytes:
                        raise OverloadError
                    self._held, held = self._held + more, held + more
        except TimeoutError as error:
            message = f"the body did not come within {self._seconds:g} s"
            raise HTTPException(408, message, {"Connection": "close"}) from error
        finally:
            self._held -= held
        if size > self._max_bytes:
            raise self._too_large()
        return bytes(body)

    def _too_large(self) -> HTTPException:
        return HTTPException(413, f"the body is larger than {self._max_bytes} bytes; send fewer texts")
