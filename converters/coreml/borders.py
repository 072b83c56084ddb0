"""This module says what arrays go into a function of a package and come out of it: their names, shapes and types."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sige_mlx.converters.coreml.windows import Windows, windows_of
from sige_mlx.graph import program as p
from sige_mlx.graph.fusion import Embedding
from sige_mlx.graph.program import Buffer, Kind, slots_of
from sige_mlx.graph.tiling import Size

NAMES = {"x": "image", "t": "timestep"}
"""An app knows the inputs of networks by these names; others keep their own."""

OUTPUT = "output"
MASK = "mask"
EDITED = "edited"
"""This plane is 1 where an edit computes the output, and 0 where it leaves the recorded one."""


def input_name(name: str) -> str:
    """Returns what an app calls an input of a network."""
    return NAMES.get(name, name)


def recorded_name(key: Any) -> str:
    """Returns what an array of a recording is called."""
    what, node = key
    if isinstance(what, str):
        return f"recorded_{what}_{node}"
    mod = what.mod
    form = "" if mod is None else f"_by_{mod.gamma}_{mod.gamma_first}_{mod.beta}_{mod.beta_first}"
    act = "" if what.act is None else f"_{type(what.act).__name__.lower()}"
    norm = "" if what.norm is None else f"_norm_{what.norm}_{what.first}"
    return f"recorded_value_{node}{norm}{form}{act}"


def nchw(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Returns the shape of an NHWC array in Core ML's order."""
    return (shape[0], shape[3], shape[1], shape[2]) if len(shape) == 4 else shape


def recorded_shape(buffer: Buffer) -> tuple[int, ...]:
    """Returns the shape of an array of a recording. Planes are rows of pixels, (N·H·W, C), so that a gathered pixel is
    contiguous; vectors, and what norms do to channels, are (N, C, 1, 1); means and variances of groups of channels are
    (N, 2, groups), those of tiles (tiles, 2, C)."""
    shape = buffer.shape
    if len(shape) == 4:
        n, h, w, c = shape
        return (n, c, 1, 1) if h == w == 1 else (n * h * w, c)
    return (*shape, 1, 1) if len(shape) == 2 else shape


@dataclass(frozen=True)
class Border:
    """It is what programs take: inputs by the graph's names, arrays of the recording, and lists of tiles."""

    inputs: dict[str, tuple[int, ...]]
    recorded: dict[int, Buffer]
    """By slot, where it is of one program."""
    windows: tuple[Windows, ...]
    images: tuple[Size, ...]
    """Of these planes it is asked which image each tile belongs to."""

    @classmethod
    def of_all(cls, borders: Sequence["Border"]) -> "Border":
        """Returns what any of several programs takes."""
        inputs: dict[str, tuple[int, ...]] = {}
        recorded: dict[Any, Buffer] = {}
        for one in borders:
            inputs |= one.inputs
            recorded |= one.by_key
        windows = dict.fromkeys(found for one in borders for found in one.windows)
        images = dict.fromkeys(size for one in borders for size in one.images)
        return cls(inputs, dict(enumerate(recorded.values())), tuple(windows), tuple(images))

    @property
    def by_key(self) -> dict[Any, Buffer]:
        """What is taken of the recording, by its keys."""
        return {buffer.key: buffer for buffer in self.recorded.values()}


def border(program: p.Program, shapes: dict[str, tuple[int, ...]], tile: int) -> Border:
    """Returns what a program takes, in tiles of so many pixels a side; `shapes` are those of the graph's inputs."""
    used = dict.fromkeys(slot for op in program.ops for slot in _owners(program, op))
    inputs: dict[str, tuple[int, ...]] = {}
    for slot in used:
        buffer = program.buffers[slot]
        if buffer.kind is Kind.INPUT:
            name = buffer.key.input if isinstance(buffer.key, Embedding) else buffer.key
            inputs[name] = shapes[name]
    recorded = {int(slot): program.buffers[slot] for slot in used if program.buffers[slot].kind is Kind.RECORDED}
    windows = dict.fromkeys(found for op in program.ops for found in windows_of(program, op, tile))
    batched = any(shape[0] > 1 for shape in shapes.values())
    planes = {b.key: None for b in program.buffers if b.kind is Kind.ROWS} if batched else {}
    return Border(inputs, recorded, tuple(windows), tuple(planes))


def _owners(program: p.Program, op: p.ProgramOp) -> Iterator[p.Slot]:
    """Yields the slots of an op; a part's slot is that of the array that it is a part of."""
    for slot in slots_of(op):
        buffer = program.buffers[slot]
        yield buffer.key[0] if buffer.kind is Kind.PART else slot


def images_name(size: Size) -> str:
    """Returns what the list is called that says which image each tile of a plane belongs to."""
    return f"images_{size[0]}x{size[1]}"


def rows_name(size: Size) -> str:
    """Returns what the list of a plane's tiles is called: image, row and column of each, the active ones first."""
    return f"tiles_{size[0]}x{size[1]}"


def count_name(size: Size) -> str:
    """Returns what the number of a plane's active tiles is called."""
    return f"count_{size[0]}x{size[1]}"
