"""The server on its port, with the guard before it."""

from __future__ import annotations

import secrets
import socket
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import uvicorn

from sige_mlx.app import protocol
from sige_mlx.app.guard import Check, Guard
from sige_mlx.app.opening import Catalogue
from sige_mlx.app.server import Server
from sige_mlx.errors import SigeError

MOST_FRAME = protocol.STROKE.size + 12 * protocol.MOST_POINTS
"""Bytes that a page may send at once over the websocket."""


class Running:
    """A server on a port of its own, 0 for one that is free, which it has as soon as this is made. `checks` and
    `headers` are those of `Guard`, whose own are right."""

    def __init__(
        self,
        catalogue: Catalogue,
        device: str = "cpu",
        port: int = 0,
        checks: Sequence[Check] | None = None,
        headers: Sequence[tuple[str, str]] | None = None,
        **of_server: Any,
    ):
        self._folder = tempfile.TemporaryDirectory(prefix="sige-mlx-app-")
        # Named as TCP: asyncio lets small packets wait on sockets that are not, 40 ms each.
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._socket.bind(("127.0.0.1", port))
            self._socket.listen(128)  # whoever comes before it serves waits
        except OSError as error:
            self._socket.close()
            raise SigeError(f"port {port} cannot be had: {error.strerror}") from error
        self.port: int = self._socket.getsockname()[1]
        self.token = secrets.token_urlsafe(32)
        self.server = Server(Path(self._folder.name), catalogue, device, **of_server)
        guarded = Guard(self.server.app(), f"127.0.0.1:{self.port}", self.token, checks, headers)
        config = uvicorn.Config(
            guarded,
            http="h11",
            ws="websockets-sansio",
            ws_max_size=MOST_FRAME,
            ws_per_message_deflate=False,
            log_level="error",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=1,
        )
        self._uvicorn = uvicorn.Server(config)

    @property
    def address(self) -> str:
        """What a browser is to open: the token is behind the #, which browsers send nowhere."""
        return f"http://127.0.0.1:{self.port}/#token={self.token}"

    @property
    def started(self) -> bool:
        """Whether it answers."""
        return self._uvicorn.started

    def run(self) -> None:
        """Serves until the process is interrupted, or `stop` is called."""
        with self._folder:
            self._uvicorn.run(sockets=[self._socket])

    def stop(self) -> None:
        """Ends `run`, which another thread waits for."""
        self._uvicorn.should_exit = True
