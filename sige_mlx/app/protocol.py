"""What the page and the server of the editor say to each other over `/ws` (subprotocols `sige.v1`, `token.TOKEN`).

All coordinates are pixels of the picture, with y downwards; (0, 0) is the corner of the first pixel and (0.5, 0.5) its
middle. `seq` is a number that the page chooses and that answers repeat. `revision` counts changes of the document: a
number that is smaller than the last one never comes. Colours are `#rrggbb`.

Text frames are JSON objects, told apart by `t`. From the page (fields with `?` may be missing):

- `hello`: answered by `document` and all layers.
- `fill` seq, x, y, value: [r, g, b] or [label], tolerance? (levels of 255, 32 if missing; labels ignore it), render?
  (true: renders when it is done)
- `abandon` seq: takes back a stroke of this page that is under way, whose number it is; what can be undone and done
  again is what it was before
- `undo` seq, `redo` seq
- `render` seq, seeds?: several seeds (at most 8) make variants
- `cancel`: stops the render that runs and those that wait
- `accept` seq: the result becomes the original. `reject` seq: the result goes; where there is none, the paint goes
- `choose` seq, variant: makes another variant the result
- `settings` seq, and any of model, seed, strength, steps, quality, device, scale (null: as the edit asks for), prompt
- `pick` seq, x, y, layer? (canvas if missing): answered by `picked`
- `close`: closes the document, without a question

To the page:

- `document`: the whole state. Without a document it has only `t`, `name`: null, `revision` and `device`. Else name,
  kind ("picture" or "labels"), model, w, h, palette (labels only: [{value, name, colour}], which is also the order to
  show), and everything that `state` has. Sent after `hello` and whenever another document is opened; all
  layers follow.
- `state` seq?, revision, undo, redo (how many steps), undo_name, redo_name (what they would undo and redo: "stroke",
  "fill", "render", "accept", "reject", "choose"; or null), edited (share of the pixels painted, 0 to 1), dirty (there
  is something that was not saved), result (the result layer shows what a network made), proposed (there is a result to
  accept or reject), stale ([x, y, w, h] of what was painted since the result, or null), variants ([{seed, chosen}],
  empty for fewer than two), settings (model, seed, strength, steps, quality, device, scale, prompt; what a model does
  not have is null; one with a prompt renders at `render` alone, and with one seed), figures (those of the last render,
  see `rendered`, or null), tiles (likewise), pending ({seq, what}: "open" or "render", or null). Sent after every
  change, after its rectangles; figures and tiles only where they are others than before.
- `progress` seq, what ("open", "record", "edit", "dense", "commit"), step, steps, seed. The first comes when something
  takes longer than a moment: before it, a page need not show that anything runs
- `rendered` seq, revision, figures, tiles, variants, notes ([sentence]). figures: edited (share of the pixels), tiles
  (active), all_tiles, macs, dense_macs, ms (from the request to the result), engine_ms (of it the engine's own edit),
  dense_ms (what a dense edit takes; null where that is unknown), recording_ms, way ("tiles", "tokens" or "dense
  pass"), window ([x, y, w, h]). tiles, or tokens: size (the side of one in pixels of the picture), x, y, w, h (the
  window that the network saw), active ([[row, column]] in it); null for a dense pass. Sent after the rectangles of the
  result.
- `copy` layer, of: a layer is, whole, as another is now; rectangles of what differs follow. Sent with a whole document
- `loaded`: all layers of the document that was sent last have come
- `cancelled` seq
- `picked` seq, value ([r, g, b] or [label]), colour, name (of the label, else null)
- `error` seq?, why: one sentence

Binary frames. A stroke, from the page: kind 1, tool, hardness 0 to 255, flags, seq, radius, four bytes of value, then
(x, y, pressure) as float32 for each point, at most 20,000 of them; little-endian throughout. Tools: 0 brush, 1 eraser
(gives the original back), 2 line (from the first point to the last), 3 rectangle (filled, between the same), 4 lasso
(filled). Value: r, g, b, 0 or label, 0, 0, 0. The pressure (0 to 1) scales the radius of brush and eraser. Flags: 1
renders when the stroke is done, 2 says that more of it follows: the parts of a brush or eraser have one seq, and the
server joins them. Points beside the picture are fine.

A rectangle, to the page: layer (0 original, 1 canvas, 2 result, 3 a variant, 4 before), format (low half: 0 raw RGBA, 1
PNG, 2 WebP without loss; high half: number of the variant), 0, seq (of what caused it, 0 at `hello`), revision, x, y,
w, h, then the body. Every layer is as large as the picture and begins as what `hello` brought: a whole layer comes in
as many rectangles as it takes, or as a `copy`. A variant is the original but for its one rectangle. Canvas and original
of labels come in the colours of the palette. Without a result the result layer of a picture is its original; of labels,
and of networks that translate pictures, it is black until the network has made it of the original, which it does by
itself at first. Of these alone there is the layer before: what the network makes of the original, with which the result
is to be compared.
"""

from __future__ import annotations

import json
import math
import struct
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from sige_mlx.errors import SigeError

SUBPROTOCOL = "sige.v1"

STROKE = struct.Struct("<BBBBIf4B")
"""Kind, tool, hardness, flags, seq, radius, value."""

RECTANGLE = struct.Struct("<BBHIIHHHH")
"""Layer, format, 0, seq, revision, x, y, w, h."""

MOST_POINTS = 20_000
MOST_RADIUS = 4096.0
MOST_SEEDS = 8
MOST_TEXT = 65_536
"""Characters of a text frame."""
FURTHEST = 1e6
"""Pixels from the picture's corner that a point may be."""

RAW, PNG, WEBP = range(3)
Layer = Literal[0, 1, 2, 3, 4]
ORIGINAL: Layer = 0
CANVAS: Layer = 1
RESULT: Layer = 2
VARIANT: Layer = 3
BEFORE: Layer = 4

BRUSH, ERASER, LINE, BOX, LASSO = range(5)
RENDER, MORE = 1, 2

_SEQ = ("seq", int, 0, 2**32 - 1)
_FIELDS: dict[str, tuple[tuple[str, type, float, float], ...]] = {
    "hello": (),
    "fill": (_SEQ, ("x", float, -FURTHEST, FURTHEST), ("y", float, -FURTHEST, FURTHEST)),
    "abandon": (_SEQ,),
    "undo": (_SEQ,),
    "redo": (_SEQ,),
    "render": (_SEQ,),
    "cancel": (),
    "accept": (_SEQ,),
    "reject": (_SEQ,),
    "choose": (_SEQ, ("variant", int, 0, MOST_SEEDS - 1)),
    "settings": (_SEQ,),
    "pick": (_SEQ, ("x", float, -FURTHEST, FURTHEST), ("y", float, -FURTHEST, FURTHEST)),
    "close": (),
}
"""What messages must have, in which bounds."""


class Stroke(NamedTuple):
    """What a pen did, in pixels of the picture."""

    tool: int
    hardness: float
    """0 to 1: the share of the radius that is covered wholly."""
    render: bool
    more: bool
    seq: int
    radius: float
    value: tuple[int, int, int]
    points: npt.NDArray[np.float32]
    """(N, 3): x, y and pressure."""


def stroke(data: bytes) -> Stroke:
    """Reads a stroke. Raises `SigeError` for what is none."""
    if len(data) < STROKE.size or data[0] != 1:
        raise SigeError("a binary message that is no stroke")
    _, tool, hardness, flags, seq, radius, *value = STROKE.unpack_from(data)
    count, rest = divmod(len(data) - STROKE.size, 12)
    if tool > LASSO or flags > (RENDER | MORE) or rest:
        raise SigeError("a stroke of another kind than there is")
    if not 0 < count <= MOST_POINTS:
        raise SigeError(f"a stroke has 1 to {MOST_POINTS:,} points, not {count:,}")
    points = np.frombuffer(data, "<f4", count * 3, STROKE.size).reshape(count, 3).astype(np.float32)
    if not np.isfinite(points).all() or np.abs(points[:, :2]).max() > FURTHEST or not 0 < radius <= MOST_RADIUS:
        raise SigeError("a stroke with a point or a radius that no picture has")
    points[:, 2] = points[:, 2].clip(0, 1)
    red, green, blue, _ = value
    return Stroke(
        tool, hardness / 255, bool(flags & RENDER), bool(flags & MORE), seq, radius, (red, green, blue), points
    )


def message(text: str) -> dict[str, Any]:
    """Reads a text frame. Raises `SigeError` for what is no message, or has not what it must have."""
    if len(text) > MOST_TEXT:
        raise SigeError(f"a message of {len(text):,} characters: {MOST_TEXT:,} is the most")
    try:
        told = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SigeError("a message that is no JSON") from error
    fields = _FIELDS.get(told["t"]) if isinstance(told, dict) and isinstance(told.get("t"), str) else None
    if fields is None:
        raise SigeError("a message that is none of this protocol's")
    for name, kind, least, most in fields:
        value = told.get(name)
        right = isinstance(value, int if kind is int else (int, float)) and not isinstance(value, bool)
        if not right or not least <= value <= most:
            raise SigeError(f"the message {told['t']} needs a number {name} from {least:g} to {most:g}")
    return told


def numbers(told: dict[str, Any], name: str, least: int, most: int, length: range) -> list[int]:
    """A list of whole numbers out of a message. Raises `SigeError` for another."""
    given = told.get(name)
    found = [n for n in given if type(n) is int and least <= n <= most] if isinstance(given, list) else []
    if not isinstance(given, list) or len(found) != len(given) or len(found) not in length:
        raise SigeError(f"{name} must be a list of whole numbers from {least} to {most}")
    return found


def text(t: str, **fields: Any) -> str:
    """A text frame. Numbers that JSON has not become null."""
    return json.dumps({"t": t, **{name: _plain(value) for name, value in fields.items()}}, allow_nan=False)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(of) for name, of in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(of) for of in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def rectangle(
    layer: Layer, form: int, seq: int, revision: int, place: tuple[int, int, int, int], body: bytes, variant: int = 0
) -> bytes:
    """A binary frame: a part of a layer at (x, y, w, h)."""
    return RECTANGLE.pack(layer, form | variant << 4, 0, seq, revision & 0xFFFFFFFF, *place) + body


def seq_of(text: str) -> int | None:
    """The number of a message that may be none, for its answer."""
    try:
        seq = json.loads(text)["seq"] if len(text) <= MOST_TEXT else None
    except (ValueError, RecursionError, KeyError, TypeError):
        return None
    return seq if isinstance(seq, int) and 0 <= seq < 2**32 else None
