"""A server of the editor, and pages that talk with it without a browser."""

from __future__ import annotations

import http.client
import io
import itertools
import json
import struct
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
connect = pytest.importorskip("websockets.sync.client").connect

from sige_mlx.app import protocol
from sige_mlx.app.opening import Catalogue
from sige_mlx.app.running import Running

VARIANTS = 8
"""What a page calls the layer of the first variant."""

PATIENCE = 240.0
"""Seconds that an answer may take on a machine that does other things, too."""


@contextmanager
def serving(model: Path | str | None = None, **options: Any) -> Iterator[Running]:
    """A server that runs in a thread. Nothing is recorded in the background unless a test asks for it: what runs when
    would be chance."""
    running = Running(Catalogue(None if model is None else str(model)), **{"background": False, **options})
    thread = threading.Thread(target=running.run, daemon=True)
    thread.start()
    end = time.monotonic() + PATIENCE
    while not running.started and time.monotonic() < end:
        time.sleep(0.01)
    try:
        yield running
    finally:
        running.stop()
        thread.join(PATIENCE)
        assert not thread.is_alive()


def ask(
    running: Running,
    method: str,
    path: str,
    body: Any = None,
    headers: dict[str, str] | None = None,
    token: bool = True,
) -> tuple[int, bytes, http.client.HTTPMessage]:
    """Status, body and headers of an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=PATIENCE)
    try:
        given = {"Authorization": f"Bearer {running.token}"} if token else {}
        connection.request(method, path, body, {**given, **(headers or {})})
        answer = connection.getresponse()
        return answer.status, answer.read(), answer.headers
    finally:
        connection.close()


def sent(picture: np.ndarray, form: str = "PNG", **options: Any) -> bytes:
    """A picture as a file."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, form, **options)
    return file.getvalue()


def stroke(
    points: Sequence[Sequence[float]],
    value: Sequence[int] = (200, 160, 60),
    tool: int = protocol.BRUSH,
    radius: float = 3,
    flags: int = 0,
    seq: int = 1,
    hardness: int = 255,
) -> bytes:
    """A stroke as a page sends it; points have a pressure of 1 where they have none."""
    value = (*value, 0, 0, 0)[:4]
    head = protocol.STROKE.pack(1, tool, hardness, flags, seq, radius, *value)
    return head + b"".join(struct.pack("<fff", *(*point, 1.0)[:3]) for point in points)


class Page:
    """What a page knows, made of nothing but what the server has sent."""

    def __init__(self, running: Running, hello: bool = True):
        self._closing = ExitStack()
        connected = connect(
            f"ws://127.0.0.1:{running.port}/ws",
            origin=f"http://127.0.0.1:{running.port}",
            subprotocols=[protocol.SUBPROTOCOL, f"token.{running.token}"],
            max_size=None,
            compression=None,
        )
        self._socket = self._closing.enter_context(connected)
        self.document: dict[str, Any] = {}
        self.layers: dict[int, np.ndarray] = {}
        self.heard: list[dict[str, Any]] = []
        self.placed: list[tuple[int, int, int]] = []
        """Layer, height and width of each rectangle that came."""
        self._seqs = itertools.count(1)
        if hello:
            self.say("hello")
            self.until("document")

    def close(self) -> None:
        self._closing.close()

    def __enter__(self) -> Page:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def say(self, t: str, **fields: Any) -> int:
        """Sends a message; returns its number."""
        seq = next(self._seqs)
        self._socket.send(json.dumps({"t": t, "seq": seq, **fields}))
        return seq

    def text(self, text: str) -> None:
        """Sends anything."""
        self._socket.send(text)

    def draw(self, *args: Any, **options: Any) -> int:
        """Sends a stroke; returns its number."""
        seq = options.pop("seq", None) or next(self._seqs)
        self._socket.send(stroke(*args, seq=seq, **options))
        return seq

    def raw(self, data: bytes) -> None:
        """Sends bytes."""
        self._socket.send(data)

    def do(self, t: str, **fields: Any) -> dict[str, Any]:
        """Sends a message and waits for the state after it, or the error."""
        return self.until("state", "error", seq=self.say(t, **fields))

    def paint(self, *args: Any, **options: Any) -> dict[str, Any]:
        """Sends a stroke and waits for the state after it."""
        return self.until("state", "error", seq=self.draw(*args, **options))

    def renders_for_long(self, points: Any) -> int:
        """Sends a stroke whose render takes longer than any test, and waits until it runs; returns its number."""
        self.do("settings", steps=400, strength=1.0)
        self.settled()
        seq = self.draw(points, flags=protocol.RENDER)
        self.until("progress", seq=seq)
        return seq

    def until(self, *kinds: str, seq: int | None = None) -> dict[str, Any]:
        """Listens until a message of these kinds, and of this number."""
        while True:
            told = self.hear()
            if told and told["t"] in kinds and (seq is None or told.get("seq") == seq):
                return told

    def settled(self) -> dict[str, Any]:
        """Listens until nothing is opened or rendered any more."""
        while self.document.get("pending"):
            self.hear()
        return self.document

    def hear(self) -> dict[str, Any] | None:
        """Takes in the next frame; returns it if it is a message."""
        frame = self._socket.recv(timeout=PATIENCE)
        if isinstance(frame, bytes):
            self._place(frame)
            return None
        told: dict[str, Any] = json.loads(frame)
        self.heard.append(told)
        if told["t"] == "document":
            self.document, self.layers = told, {}
            if told["name"] is not None:
                size = told["h"], told["w"], 3
                self.layers = {layer: np.zeros(size, np.uint8) for layer in range(3)}
        elif told["t"] == "copy":
            self.layers[told["layer"]] = self.layers[told["of"]].copy()
        elif told["t"] == "state":
            self.document |= {**told, "t": "document"}
        return told

    def _place(self, frame: bytes) -> None:
        layer, form, _, _, _, x, y, w, h = protocol.RECTANGLE.unpack_from(frame)
        self.placed.append((layer, h, w))
        body = frame[protocol.RECTANGLE.size :]
        if form & 15 == protocol.RAW:
            pixels = np.frombuffer(body, np.uint8).reshape(h, w, 4)
        else:
            pixels = np.asarray(Image.open(io.BytesIO(body)).convert("RGBA"))
        assert pixels.shape == (h, w, 4) and (pixels[..., 3] == 255).all()
        if layer == protocol.VARIANT:
            layer = VARIANTS + (form >> 4)
            self.layers[layer] = self.layers[protocol.ORIGINAL].copy()
        if layer == protocol.BEFORE and layer not in self.layers:
            self.layers[layer] = np.zeros_like(self.layers[protocol.RESULT])
        self.layers[layer][y : y + h, x : x + w] = pixels[..., :3]


@contextmanager
def editing(running: Running, picture: bytes, model: str | None = None) -> Iterator[Page]:
    """A page on which a picture was opened, once the model is loaded."""
    with Page(running) as page:
        status, body, _ = ask(running, "POST", "/api/open" + (f"?model={model}" if model else ""), picture)
        assert status == 200, body
        page.until("document")
        page.settled()
        yield page
