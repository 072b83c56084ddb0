"""What keeps other pages, other users' programs and other machines out of the editor's server."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Protocol

Scope = dict[str, Any]


class Check(Protocol):
    """A reason to refuse a request."""

    def __call__(self, guard: Guard, scope: Scope) -> HTTPStatus | None: ...


class Guard:
    """An ASGI application before another: it refuses what did not come from the editor's own page, or has no token, and
    says to browsers what the page may do. `host` is the only name, with its port, that the server goes by. Whoever
    runs the server with other `checks` or `headers` than these leaves it open; tests do."""

    def __init__(
        self,
        app: Any,
        host: str,
        token: str,
        checks: Sequence[Check] | None = None,
        headers: Sequence[tuple[str, str]] | None = None,
    ):
        self._app, self.host, self.token = app, host, token
        self.origin = f"http://{host}"
        self._checks = CHECKS if checks is None else checks
        told = headers_of(host) if headers is None else headers
        self._headers = [(name.encode(), value.encode()) for name, value in told]

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        for check in self._checks:
            if status := check(self, scope):
                await self._refuse(status, scope, send)
                return

        async def telling(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *self._headers]
            await send(message)

        await self._app(scope, receive, telling if scope["type"] == "http" else send)

    async def _refuse(self, status: HTTPStatus, scope: Scope, send: Any) -> None:
        if scope["type"] == "websocket":  # before it is accepted: the handshake fails
            await send({"type": "websocket.close", "code": 4000 + status})
            return
        headers = [*self._headers, (b"content-type", b"application/json"), (b"connection", b"close")]
        await send({"type": "http.response.start", "status": int(status), "headers": headers})
        await send({"type": "http.response.body", "body": b'{"error": "refused"}'})


def named(guard: Guard, scope: Scope) -> HTTPStatus | None:
    """Refuses a name that is not the server's: that of a page whose name was made to lead here."""
    given = _headers(scope, b"host")
    return None if given == [guard.host] else HTTPStatus.MISDIRECTED_REQUEST


def from_own_page(guard: Guard, scope: Scope) -> HTTPStatus | None:
    """Refuses what another page asks for, or one that has no origin, such as a frame in a sandbox. Websockets, which
    browsers open to anywhere, must name theirs."""
    given = _headers(scope, b"origin")
    if any(origin != guard.origin for origin in given) or (scope["type"] == "websocket" and not given):
        return HTTPStatus.FORBIDDEN
    return None


def from_here(guard: Guard, scope: Scope) -> HTTPStatus | None:
    """Refuses what the browser says is asked for by another site."""
    given = _headers(scope, b"sec-fetch-site")
    return None if all(site in ("same-origin", "none") for site in given) else HTTPStatus.FORBIDDEN


def with_token(guard: Guard, scope: Scope) -> HTTPStatus | None:
    """Refuses what has not the token, besides the page itself, which has nothing of the user's."""
    if scope["type"] == "websocket":
        given = [told[len("token.") :] for told in scope.get("subprotocols", ()) if told.startswith("token.")]
    elif scope["path"] == "/" or scope["path"].startswith("/static/"):
        return None
    else:
        told = _headers(scope, b"authorization")
        given = [of[len("Bearer ") :] for of in told if of.startswith("Bearer ")]
    right = len(given) == 1 and hmac.compare_digest(given[0].encode("latin-1", "replace"), guard.token.encode())
    return None if right else HTTPStatus.UNAUTHORIZED


CHECKS: tuple[Check, ...] = (named, from_own_page, from_here, with_token)
"""In their order."""


def headers_of(host: str) -> list[tuple[str, str]]:
    """What all answers say: the page loads nothing but its own files, and nobody frames, reads or keeps them."""
    policy = (
        "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; img-src 'self' blob: data:;"
        f" connect-src 'self' ws://{host}; manifest-src 'self'; base-uri 'none'; form-action 'none';"
        " frame-ancestors 'none'"
    )
    return [
        ("content-security-policy", policy),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("cache-control", "no-store"),
    ]


def _headers(scope: Scope, name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in scope["headers"] if key.lower() == name]
