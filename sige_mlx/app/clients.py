"""The pages that look on: every one is sent the same, in order, and none waits for another."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeAlias

import numpy as np
from PIL import Image

from sige_mlx.app import protocol
from sige_mlx.app.protocol import Layer
from sige_mlx.editing.boxes import Box
from sige_mlx.editing.colour import Picture

Frame: TypeAlias = str | bytes
MOST_WAITING = 4096
"""Frames that a page may be behind before it is let go, to come again."""

RAW_PIXELS = 256 * 256
"""Up to which a rectangle is sent as it is: compressing takes longer than sending."""

BAND = 1 << 20
"""Pixels of a rectangle; larger ones are sent in several."""


class Client:
    """A page."""

    def __init__(self, send: Callable[[Frame], Awaitable[None]]):
        self._send = send
        self._waiting: asyncio.Queue[Frame | asyncio.Future[bytes] | None] = asyncio.Queue()
        self.behind = False
        """Whether it was let go."""

    def put(self, frame: Frame | asyncio.Future[bytes]) -> None:
        """Sends something after all that was put before."""
        if self._waiting.qsize() > MOST_WAITING:
            self.behind = True
            self.close()
        elif not self.behind:
            self._waiting.put_nowait(frame)

    def close(self) -> None:
        """Ends `run` after what was put before."""
        self._waiting.put_nowait(None)

    async def run(self) -> None:
        """Sends what is put."""
        while (frame := await self._waiting.get()) is not None:
            if self.behind:
                return
            await self._send(frame if isinstance(frame, (str, bytes)) else await frame)


class Clients:
    """All pages."""

    def __init__(self) -> None:
        self._all: list[Client] = []
        self._encoder = ThreadPoolExecutor(1, "sige-mlx encodes")

    def __len__(self) -> int:
        return len(self._all)

    def add(self, client: Client) -> None:
        """Has a page be sent what comes from now on."""
        self._all.append(client)

    def remove(self, client: Client) -> None:
        """A page that is gone."""
        if client in self._all:
            self._all.remove(client)

    def close(self) -> None:
        """Lets all go."""
        for client in self._all:
            client.close()
        self._encoder.shutdown(wait=False, cancel_futures=True)

    def say(self, t: str, to: Client | None = None, **fields: object) -> None:
        """Sends a message to a page, or to all."""
        frame = protocol.text(t, **fields)
        for client in [to] if to else self._all:
            client.put(frame)

    def show(
        self,
        layer: Layer,
        box: Box,
        of: Callable[[Box], Picture],
        seq: int,
        revision: int,
        to: Client | None = None,
        variant: int = 0,
    ) -> None:
        """Sends a rectangle of a layer to a page, or to all; `of` gives the pixels of parts of it."""
        if not (to or self._all) or not box.width or not box.height:
            return
        rows = max(BAND // box.width, 1)
        for top in range(box.top, box.top + box.height, rows):
            part = Box(top, box.left, min(rows, box.top + box.height - top), box.width)
            place = part.left, part.top, part.width, part.height
            pixels = of(part)
            frame: Frame | asyncio.Future[bytes]
            if part.width * part.height <= RAW_PIXELS:
                frame = protocol.rectangle(layer, protocol.RAW, seq, revision, place, _raw(pixels), variant)
            else:
                head = protocol.rectangle(layer, protocol.PNG, seq, revision, place, b"", variant)
                loop = asyncio.get_running_loop()
                frame = loop.run_in_executor(self._encoder, _headed, head, pixels.copy())
            for client in [to] if to else self._all:
                client.put(frame)


def _raw(pixels: Picture) -> bytes:
    rgba = np.full((*pixels.shape[:2], 4), 255, np.uint8)
    rgba[..., :3] = pixels
    return rgba.tobytes()


def png(pixels: Picture) -> bytes:
    """Pixels as a PNG file, quickly."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", compress_level=1)
    return file.getvalue()


def _headed(head: bytes, pixels: Picture) -> bytes:
    return head + png(pixels)
