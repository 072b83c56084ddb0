"""The editor's server: HTTP for whole files, a websocket for everything else, on this machine alone."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import mimetypes
import os
import re
import sys
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import Image
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket, WebSocketDisconnect

from sige_mlx.app import opening, protocol, saving
from sige_mlx.app.clients import Client, png
from sige_mlx.app.opening import GALLERY, Catalogue, Opened
from sige_mlx.app.saving import Snapshot
from sige_mlx.app.studio import Studio
from sige_mlx.errors import SigeError, first_line, printable

STATIC = Path(__file__).parent / "static"

MOST_BYTES = 1 << 30
"""Of a file that a page sends: a picture of 134 million pixels of 16 bits, uncompressed, is smaller."""

MOST_PAGES = 32

mimetypes.add_type("text/javascript", ".js")  # whatever the system says
mimetypes.add_type("text/css", ".css")


class Server:
    """The routes, and the studio behind them. Files are in `folder`, which nobody else reads, under names of our
    own."""

    def __init__(
        self, folder: Path, catalogue: Catalogue, device: str = "cpu", most_bytes: int = MOST_BYTES, **studio: Any
    ):
        self.catalogue, self.device = catalogue, device
        self._folder, self._most_bytes, self._of_studio = folder, most_bytes, studio
        self._numbers = itertools.count()
        self._one_at_a_time = asyncio.Lock()
        self.first: Opened | None = None
        """What is open from the beginning."""
        self.studio: Studio

    def app(self) -> Starlette:
        """The ASGI application, without its guard."""
        answer = self._answered
        routes = [
            Route("/", lambda request: FileResponse(STATIC / "index.html")),
            Mount("/static", StaticFiles(directory=STATIC, check_dir=False)),
            Route("/api/models", answer(self.models)),
            Route("/api/gallery", answer(self.gallery)),
            Route("/api/gallery/{name}", answer(self.gallery_picture)),
            Route("/api/gallery/{name}", answer(self.open_gallery), methods=["POST"]),
            Route("/api/open", answer(self.open), methods=["POST"]),
            Route("/api/session", answer(self.open_session), methods=["POST"]),
            Route("/api/session", answer(self.session)),
            Route("/api/picture", answer(self.picture)),
            WebSocketRoute("/ws", self.websocket),
        ]
        return Starlette(routes=routes, lifespan=self._lifespan)

    @contextlib.asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        self.studio = Studio(self.catalogue, self.device, **self._of_studio)
        if self.first:
            self.studio.open(self.first)
        try:
            yield
        finally:
            self.studio.close()

    async def models(self, request: Request) -> Response:
        return JSONResponse({"models": await asyncio.to_thread(self.catalogue.models), "usual": self.catalogue.usual})

    async def gallery(self, request: Request) -> Response:
        scenes = [
            {"name": name, "title": of.title, "kind": opening.kind_of(of.model), "model": of.model}
            for name, of in GALLERY.items()
        ]
        return JSONResponse({"pictures": scenes})

    async def gallery_picture(self, request: Request) -> Response:
        scene = opening.scene_of(request.path_params["name"])
        return Response(await asyncio.to_thread(_thumbnail, opening.file_of(scene)), media_type="image/png")

    async def open_gallery(self, request: Request) -> Response:
        model = request.query_params.get("model")
        if model is not None:
            self.catalogue.check(model)
        name = request.path_params["name"]
        async with self._one_at_a_time:
            self.studio.open(await asyncio.to_thread(opening.of_gallery, name, model, self.device))
        return JSONResponse({})

    async def open(self, request: Request) -> Response:
        model = self.catalogue.check(request.query_params.get("model") or self.catalogue.usual)
        name = printable(request.query_params.get("name") or "the picture", 200)
        async with self._one_at_a_time, self._received(request) as path:
            opened = await asyncio.to_thread(opening.opened, path, name, model, self.device, opening.FORMATS)
            self.studio.open(opened)
        return JSONResponse({})

    async def open_session(self, request: Request) -> Response:
        async with self._one_at_a_time, self._received(request) as path:
            limits = self.device, self.studio.history
            self.studio.open(await asyncio.to_thread(saving.open_document, path, self.catalogue, *limits))
        return JSONResponse({})

    async def session(self, request: Request) -> Response:
        return await self._saved(saving.save_document, "application/octet-stream", ".sige")

    async def picture(self, request: Request) -> Response:
        form = request.query_params.get("format", "png")
        if form not in saving.FORMATS:
            raise SigeError(f"there is no format {form!r}: it is {', '.join(saving.FORMATS)}")
        return await self._saved(saving.save_picture, *saving.FORMATS[form])

    async def websocket(self, socket: WebSocket) -> None:
        if protocol.SUBPROTOCOL not in socket.scope.get("subprotocols", ()) or len(self.studio.clients) >= MOST_PAGES:
            await socket.close()
            return
        await socket.accept(subprotocol=protocol.SUBPROTOCOL)

        async def send(frame: str | bytes) -> None:
            await (socket.send_text(frame) if isinstance(frame, str) else socket.send_bytes(frame))

        client = Client(send)
        self.studio.clients.add(client)
        tasks = {asyncio.create_task(of) for of in (client.run(), self._listen(socket, client))}
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.studio.gone(client)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            with contextlib.suppress(RuntimeError, WebSocketDisconnect):  # it is closed already
                await socket.close()

    async def _listen(self, socket: WebSocket, client: Client) -> None:
        """Does what a page asks for, until it is gone."""
        while (message := await socket.receive())["type"] == "websocket.receive":
            seq: Any = None
            try:
                if (data := message.get("bytes")) is not None:
                    if len(data) >= protocol.STROKE.size:
                        seq = protocol.STROKE.unpack_from(data)[4]
                    self.studio.stroke(client, data)
                else:
                    text = message.get("text") or ""
                    seq = protocol.seq_of(text)
                    self.studio.message(client, text)
            except SigeError as error:
                self.studio.clients.say("error", client, seq=seq, why=str(error))
            except Exception as error:  # a fault of ours, for which the page must not be let go: it is told
                traceback.print_exc(file=sys.stderr)
                self.studio.clients.say("error", client, seq=seq, why=f"that failed: {first_line(error)}")

    def _answered(self, do: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
        """Answers with a sentence for what cannot be done, in which files of ours have no path."""
        own_file = re.compile(re.escape(f"{self._folder}/") + r"\d+(\.[a-z]+)?")

        async def answered(request: Request) -> Response:
            try:
                return await do(request)
            except _TooLarge as error:
                return JSONResponse({"error": str(error)}, 413, {"connection": "close"})
            except SigeError as error:
                return JSONResponse({"error": own_file.sub("the file", str(error))}, 422)
            except ClientDisconnect:
                return Response(status_code=400)

        return answered

    @contextlib.asynccontextmanager
    async def _received(self, request: Request) -> AsyncIterator[Path]:
        """The body of a request in a file, which is gone after the block; bytes are counted, whatever was announced."""
        path, count = self._new_file(), 0
        too_large = f"the file is too large: {self._most_bytes >> 20} MiB are the most"
        announced = request.headers.get("content-length", "0")
        if not announced.isdecimal() or int(announced) > self._most_bytes:
            raise _TooLarge(too_large)
        try:
            with path.open("xb") as file:
                async for part in request.stream():
                    count += len(part)
                    if count > self._most_bytes:
                        raise _TooLarge(too_large)
                    file.write(part)
            yield path
        finally:
            path.unlink(missing_ok=True)

    async def _saved(self, save: Callable[[Snapshot, Path], None], media_type: str, extension: str) -> Response:
        document = self.studio.document
        if document is None:
            raise SigeError("no picture is open")
        snapshot, revision = Snapshot.of(document), document.revision
        path = self._new_file(extension)
        try:
            await asyncio.to_thread(save, snapshot, path)
            file = path.open("rb")  # which is read to its end, though it has no name any more
        finally:
            path.unlink(missing_ok=True)
        document.saved_at = revision
        self.studio.tell_saved(document)
        headers = {
            "content-disposition": f'attachment; filename="edited{extension}"',
            "content-length": str(os.fstat(file.fileno()).st_size),
        }
        return StreamingResponse(_parts(file), 200, headers, media_type)

    def _new_file(self, extension: str = "") -> Path:
        return self._folder / f"{next(self._numbers)}{extension}"


class _TooLarge(SigeError):
    """A body that is larger than it may be."""


async def _parts(file: IO[bytes]) -> AsyncIterator[bytes]:
    """What is in a file, which is closed at the end."""
    with file:
        while part := await asyncio.to_thread(file.read, 1 << 20):
            yield part


def _thumbnail(path: Path) -> bytes:
    with Image.open(path) as image:
        small = image.convert("RGB")
    small.thumbnail((512, 512))
    return png(np.asarray(small))
