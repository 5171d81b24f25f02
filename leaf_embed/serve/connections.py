"""uvicorn with what it lacks: time-outs for slow clients, a bound on connections, and JSON where HTTP is broken."""

from __future__ import annotations

import asyncio
import socket

import h11
import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.h11_impl import H11Protocol

from leaf_embed.serve import access
from leaf_embed.serve.config import ServeConfig
from leaf_embed.serve.protocol import error_response

__all__ = ["make_server"]

PROGRESS = 65_536  # bytes of an answer that a client must take within the time-out
UNREAD = 32  # largest bodies
LINGER = 1.0  # seconds in which a client may read that its request is broken while it still sends
GRACE = 30  # seconds for answers that are under way when the server is told to stop


def make_server(app: Starlette, config: ServeConfig) -> uvicorn.Server:
    """Returns a server of an application; start it with ``run(sockets=[...])``.

    Args:
        app: The application of :func:`leaf_embed.serve.create_app`.
        config: Its configuration, for ``timeout`` and ``max_connections``.
    """

    class Protocol(TimedProtocol):
        timeout = config.timeout
        max_connections = config.max_connections
        max_unread = UNREAD * config.max_bytes

    return uvicorn.Server(
        uvicorn.Config(
            app,
            http=Protocol,
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            timeout_keep_alive=max(1, round(config.timeout)),
            timeout_graceful_shutdown=GRACE,
        )
    )


class TimedProtocol(H11Protocol):
    """A connection that ends if its client makes no progress.

    Attributes:
        timeout: Seconds without a request, or without 64 kB read of an answer.
        max_connections: Beyond them the connection that waits longest for a request is closed.
        max_unread: Bytes of answers that clients have not taken yet; beyond them the slowest client is let go.
    """

    timeout = 20.0
    max_connections = 900
    max_unread = 256_000_000
    _waiting: asyncio.TimerHandle | None = None
    _writing: asyncio.TimerHandle | None = None
    _broken = False

    def data_received(self, data: bytes) -> None:
        if not self._broken:
            super().data_received(data)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        _send_at_once(transport.get_extra_info("socket"))
        self._wait_for_request()
        if len(self.connections) > self.max_connections:
            idle = [other for other in self._ours() if other._waiting is not None]  # this one, if no other
            min(idle, key=lambda other: other._deadline).transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        self._stop_writing()
        super().connection_lost(exc)

    def handle_events(self) -> None:
        super().handle_events()
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_waiting()
        elif self._waiting is None:
            self._wait_for_request()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._waiting is None and self.cycle.response_complete:
            self._wait_for_request()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._blocked = self.loop.time()
        self._expect_progress(self.transport.get_write_buffer_size())
        blocked = [other for other in self._ours() if other._writing is not None]
        if sum(other.transport.get_write_buffer_size() for other in blocked) > self.max_unread:
            min(blocked, key=lambda other: other._blocked).transport.abort()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop_writing()

    def send_400_response(self, msg: str) -> None:
        response = error_response(400, msg, {"Connection": "close"})
        access.log.info("- broken HTTP 400")
        if (metrics := self.app_state.get("metrics")) is not None:
            metrics.count(400)
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            head = h11.Response(status_code=400, headers=response.raw_headers, reason=b"Bad Request")
            for event in (head, h11.Data(data=bytes(response.body)), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        self._broken = True  # closed at once, with bytes unread, the connection is reset and the answer may be lost
        self.transport.write_eof()
        self.loop.call_later(LINGER, self.transport.close)

    def _should_upgrade(self) -> bool:
        """There are no web sockets: such a request is answered as any other, and not worth two lines in the log."""
        return False

    def _ours(self) -> list[TimedProtocol]:
        return [other for other in self.connections if isinstance(other, TimedProtocol)]

    def _wait_for_request(self) -> None:
        self._deadline = self.loop.time() + self.timeout
        self._waiting = self.loop.call_at(self._deadline, self.transport.abort)

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _expect_progress(self, left: int) -> None:
        self._stop_writing()
        self._writing = self.loop.call_later(self.timeout, self._check_progress, left)

    def _check_progress(self, before: int) -> None:
        left = self.transport.get_write_buffer_size()
        if before - left < PROGRESS:
            self.transport.abort()
        else:
            self._expect_progress(left)

    def _stop_writing(self) -> None:
        if self._writing is not None:
            self._writing.cancel()
            self._writing = None


def _send_at_once(connection: socket.socket) -> None:
    """Without this an answer's body waits 40 ms for the client to acknowledge its head.

    asyncio sets it too, but not for connections to a socket of ``socket.create_server``, which names no protocol.
    """
    if connection.family in (socket.AF_INET, socket.AF_INET6):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
