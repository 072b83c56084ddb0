"""Requests that did not come from the editor's own page, as bytes on a socket. Each is refused, and goes through where
the one check that is for it is taken away."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from sige_mlx.app import guard
from tests.app.talking import PATIENCE, Running, ask, serving

KEY = "dGhlIHNhbXBsZSBub25jZQ=="


def exchanged(running: Running, request: str) -> str:
    """What comes back for raw bytes, as far as the headers."""
    with socket.create_connection(("127.0.0.1", running.port), PATIENCE) as line:
        line.sendall(request.replace("\n", "\r\n").encode("latin-1"))
        got = b""
        while b"\r\n\r\n" not in got and (part := line.recv(65536)):
            got += part
    return got.decode("latin-1")


def status(running: Running, request: str) -> int:
    return int(exchanged(running, request).split(" ", 2)[1])


def get(running: Running, path: str = "/api/models", host: str = "", more: str = "", token: str | None = None) -> int:
    given = running.token if token is None else token
    bearer = f"Authorization: Bearer {given}\n" if given else ""
    host = host or f"127.0.0.1:{running.port}"
    return status(running, f"GET {path} HTTP/1.1\nHost: {host}\n{bearer}{more}\n")


def shake(running: Running, host: str = "", origin: str | None = None, token: str | None = None, more: str = "") -> int:
    """The status of a websocket's handshake: 101 where it is open."""
    own = f"127.0.0.1:{running.port}"
    origin = f"http://{own}" if origin is None else origin
    given = running.token if token is None else token
    return status(
        running,
        f"GET /ws HTTP/1.1\nHost: {host or own}\nUpgrade: websocket\nConnection: Upgrade\nSec-WebSocket-Key: {KEY}\n"
        f"Sec-WebSocket-Version: 13\nSec-WebSocket-Protocol: sige.v1{f', token.{given}' if given else ''}\n"
        + (f"Origin: {origin}\n" if origin else "")
        + f"{more}\n",
    )


def test_the_editors_own_page_is_let_in(running: Running) -> None:
    assert get(running) == 200 and shake(running) == 101
    assert get(running, more=f"Origin: http://127.0.0.1:{running.port}\nSec-Fetch-Site: same-origin\n") == 200
    assert get(running, more="Sec-Fetch-Site: none\n") == 200


ATTACKS: dict[str, tuple[guard.Check, Callable[[Running], int], int]] = {
    "another name": (guard.named, lambda on: get(on, host=f"evil.example:{on.port}"), 421),
    "localhost": (guard.named, lambda on: get(on, host=f"localhost:{on.port}"), 421),
    "another port": (guard.named, lambda on: get(on, host="127.0.0.1:1"), 421),
    "no port": (guard.named, lambda on: get(on, host="127.0.0.1"), 421),
    "a websocket by another name": (guard.named, lambda on: shake(on, host=f"evil.example:{on.port}"), 403),
    "another page": (guard.from_own_page, lambda on: get(on, more="Origin: http://evil.example\n"), 403),
    "another port's page": (guard.from_own_page, lambda on: get(on, more="Origin: http://127.0.0.1:1\n"), 403),
    "a frame in a sandbox": (guard.from_own_page, lambda on: get(on, more="Origin: null\n"), 403),
    "two origins": (
        guard.from_own_page,
        lambda on: get(on, more=f"Origin: http://127.0.0.1:{on.port}\nOrigin: http://evil.example\n"),
        403,
    ),
    "a websocket of another page": (guard.from_own_page, lambda on: shake(on, origin="http://evil.example"), 403),
    "a websocket of a frame in a sandbox": (guard.from_own_page, lambda on: shake(on, origin="null"), 403),
    "a websocket of nobody": (guard.from_own_page, lambda on: shake(on, origin=""), 403),
    "another site": (guard.from_here, lambda on: get(on, more="Sec-Fetch-Site: cross-site\n"), 403),
    "another port's site": (guard.from_here, lambda on: get(on, more="Sec-Fetch-Site: same-site\n"), 403),
    "no token": (guard.with_token, lambda on: get(on, token=""), 401),
    "another token": (guard.with_token, lambda on: get(on, token="x" * 43), 401),
    "a part of the token": (guard.with_token, lambda on: get(on, token=on.token[:-1]), 401),
    "a token beyond ASCII": (guard.with_token, lambda on: get(on, token="é" * 43), 401),
    "a websocket without a token": (guard.with_token, lambda on: shake(on, token=""), 403),
    "a websocket with another token": (guard.with_token, lambda on: shake(on, token="x" * 43), 403),
    "a token in the query": (guard.with_token, lambda on: get(on, f"/api/models?token={on.token}", token=""), 401),
    "a token in a cookie": (guard.with_token, lambda on: get(on, more=f"Cookie: token={on.token}\n", token=""), 401),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_attacks_are_refused_by_the_check_that_is_for_them(name: str, tiny: Path) -> None:
    check, attack, refused = ATTACKS[name]
    with serving(tiny) as running:
        assert attack(running) == refused
    others = [other for other in guard.CHECKS if other is not check]
    with serving(tiny, checks=others) as running:
        assert attack(running) in ((101,) if "websocket" in name else (200, 404))


@pytest.mark.parametrize(
    "path",
    [
        "//api/models",
        "/static/../api/models",
        "/static/%2e%2e/api/models",
        "/%61pi/models",
        "/api%2fmodels",
        "/./api/models",
        "/API/models",
        "http://127.0.0.1/static/../api/models",
        "/static/..%2f..%2f..%2fpyproject.toml",
        "/static/../server.py",
        "/static/%2e%2e/server.py",
    ],
)
def test_spelling_a_path_otherwise_leads_nowhere(running: Running, path: str) -> None:
    for token in ("", None):
        told = exchanged(running, f"GET {path} HTTP/1.1\nHost: 127.0.0.1:{running.port}\nConnection: close\n\n")
        assert int(told.split(" ", 2)[1]) in (400, 401, 404), (path, token)
        assert get(running, path, token="") in (400, 401, 404)


def test_it_listens_on_this_machine_alone(running: Running) -> None:
    own = running._socket.getsockname()
    assert own[0] == "127.0.0.1"
    _, _, addresses = socket.gethostbyname_ex(socket.gethostname())
    for address in addresses:
        if not address.startswith("127."):
            with pytest.raises(OSError):
                socket.create_connection((address, running.port), 1)


def test_the_token_is_256_random_bits_and_behind_the_hash(running: Running, tiny: Path) -> None:
    assert len(running.token) >= 43
    address, fragment = running.address.split("#")
    assert fragment == f"token={running.token}" and running.token not in address
    with serving(tiny) as other:
        assert other.token != running.token


@pytest.mark.parametrize("path", ["/", "/static/nothing", "/api/models", "/api/nothing"])
def test_every_answer_tells_browsers_what_it_may_do(running: Running, path: str) -> None:
    for token in (True, False):
        _, _, headers = ask(running, "GET", path, token=token)
        policy = headers["content-security-policy"]
        assert (
            policy.startswith("default-src 'none';") and "unsafe" not in policy and "frame-ancestors 'none'" in policy
        )
        assert (headers["x-content-type-options"], headers["cache-control"]) == ("nosniff", "no-store")
        assert headers["cross-origin-resource-policy"] == headers["cross-origin-opener-policy"] == "same-origin"
        assert (headers["x-frame-options"], headers["referrer-policy"]) == ("DENY", "no-referrer")
        assert headers["access-control-allow-origin"] is headers["set-cookie"] is headers["server"] is None


def test_a_preflight_is_not_answered(running: Running) -> None:
    asks = {"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}
    told, _, headers = ask(running, "OPTIONS", "/api/open", headers=asks, token=False)
    assert told == 403 and headers["access-control-allow-origin"] is None
