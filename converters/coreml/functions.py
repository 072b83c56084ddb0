"""The functions of a package as programs of Core ML: a dense pass, a recording pass, edits in so many tiles, and what
estimates the statistics of large ones."""

import math
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from coremltools.converters.mil import Builder as mb
from coremltools.converters.mil.mil import Function, types

from sige_mlx.converters.coreml.borders import (
    OUTPUT,
    Border,
    border,
    images_name,
    input_name,
    nchw,
    recorded_name,
    recorded_shape,
)
from sige_mlx.converters.coreml.builder import Builder
from sige_mlx.converters.coreml.estimate import Estimate
from sige_mlx.converters.coreml.tiles import tiles_function
from sige_mlx.converters.coreml.translate import Translator
from sige_mlx.engine.weights import Loader
from sige_mlx.graph import program as p
from sige_mlx.graph.fusion import Embedding
from sige_mlx.graph.lowered import Lowered
from sige_mlx.graph.policy import Statistics
from sige_mlx.graph.program import Buffer, Kind
from sige_mlx.graph.tiling import Size


def tiles_in(size: Size, tile: int, n: int = 1) -> int:
    """Returns how many tiles the planes of n images have, active or not."""
    return n * -(-size[0] // tile) * -(-size[1] // tile)


def share_of(lowered: Lowered, bucket: int) -> float:
    """Returns the share of the images that the largest square mask covers whose tiles fit into a bucket."""
    h, w = lowered.image_size
    side = math.isqrt(bucket // lowered.batch) * lowered.tile - 2  # a tile sees one pixel around it
    return min(1.0, max(0, side) ** 2 / (h * w))


class Functions:
    """They are of one network under one policy, with edits in `buckets` of so many tiles.

    `half` says that recordings are kept in float16; `state` that edits take them as states. `small` is the network at
    half the size, where edits take estimated statistics. `pictures` names what an app has as pictures, of "image" and
    "output": these hold 0 to 255 where the network has -1 to 1."""

    def __init__(
        self,
        lowered: Lowered,
        load: Loader,
        target: Any,
        half: bool,
        *,
        buckets: tuple[int, ...] = (),
        state: bool = False,
        small: Lowered | None = None,
        pictures: tuple[str, ...] = (),
    ):
        self.lowered, self.load, self.target, self.half, self.state = lowered, load, target, half, state
        self.small, self.pictures = small, pictures
        most = max((tiles_in(size, lowered.tile, lowered.batch) for size in lowered.planes), default=1)
        self.buckets = tuple(sorted({min(bucket, most) for bucket in buckets}))
        """One larger than all tiles of the image adds nothing to one of them all, and is that one."""
        self.shapes = {name: lowered.graph.nodes[i].shape for name, i in lowered.graph.inputs.items()}

    def statistics(self, bucket: int) -> Statistics:
        """Returns those that edits of a bucket take. A function cannot ask how large an edit is: its bucket tells."""
        return self.lowered.policy.statistics_of(share_of(self.lowered, bucket))

    @property
    def estimates(self) -> bool:
        """Whether edits of some bucket take estimated statistics."""
        return any(self.statistics(bucket) == "estimated" for bucket in self.buckets)

    def program(self, bucket: int) -> p.Program:
        """Returns the program of edits of a bucket."""
        return self.lowered.edits[self.statistics(bucket)]

    @cached_property
    def recording(self) -> p.Program:
        """It keeps what edits of some bucket read, and what estimates begin from."""
        programs = [self.program(bucket) for bucket in self.buckets] or [self.lowered.edit]
        keys = {key: None for program in programs for key in border(program, self.shapes, self.lowered.tile).by_key}
        return self.lowered.keeping([*keys, *(self.estimate.keys if self.estimates else ())])

    @cached_property
    def edits(self) -> Border:
        """What edits take, of any bucket."""
        taken = [border(self.program(bucket), self.shapes, self.lowered.tile) for bucket in self.buckets]
        return Border.of_all(taken or [border(self.lowered.edit, self.shapes, self.lowered.tile)])

    @cached_property
    def estimate(self) -> Estimate:
        """What estimates statistics of large edits."""
        assert self.small is not None
        return Estimate(self.lowered, self.small, self.load, self.half)

    # ---- functions

    def make(self, name: str) -> Function:
        """Returns the function of a name: "dense" takes the inputs of the network and gives its output; "record" gives
        what edits read of the original, too; "edit_N" computes at most N tiles of every plane; "tiles" makes lists of a
        mask; "estimate" makes statistics for large edits."""
        if name == "tiles":
            return tiles_function(self.lowered, self.edits, self.target)
        if name == "estimate":
            return self._estimate()
        if name.startswith("edit_"):
            bucket = int(name.removeprefix("edit_"))
            return self._function(self.program(bucket), bucket, False)
        return self._function(self.lowered.dense if name == "dense" else self.recording, 0, name == "record")

    def kept(self, buffer: Buffer) -> Any:
        """Returns the type that an array of the recording is kept as."""
        return types.fp16 if self.half and buffer.dtype == "float32" else types.fp32

    def is_state(self, buffer: Buffer) -> bool:
        """Says whether edits take an array of the recording as a state, which holds float16."""
        return self.state and self.kept(buffer) == types.fp16

    def count(self, size: Size, bucket: int) -> int:
        """Returns how many tiles of a plane edits of a bucket compute."""
        return min(bucket, tiles_in(size, self.lowered.tile, self.lowered.batch))

    def _function(self, program: p.Program, bucket: int, recording: bool) -> Function:
        takes = border(program, self.shapes, self.lowered.tile)
        specs = {input_name(name): mb.placeholder(nchw(shape)) for name, shape in takes.inputs.items()}
        if not recording:
            for buffer in takes.recorded.values():
                make = mb.state_tensor_placeholder if self.is_state(buffer) else mb.placeholder
                specs[recorded_name(buffer.key)] = make(recorded_shape(buffer), dtype=self.kept(buffer))
        for windows in takes.windows:
            tiles = 1 if windows.tiles is None else self.count(windows.tiles, bucket)
            specs[windows.name] = mb.placeholder(windows.shape(tiles), dtype=types.int32)
        for size in takes.images:
            specs[images_name(size)] = mb.placeholder((self.count(size, bucket),), dtype=types.int32)
        with Function(specs, opset_version=self.target) as function:
            of = Translator(self.lowered.groups, program, self.load, self.lowered.tile, self.half)
            given = function.inputs
            of.indices = {windows: given[windows.name] for windows in takes.windows}
            of.images = {size: given[images_name(size)] for size in takes.images}
            if not recording:
                for slot, buffer in takes.recorded.items():
                    x = given[recorded_name(buffer.key)]
                    of.values[slot] = mb.read_state(input=x) if self.is_state(buffer) else x
            values = self._given(of.exact, given)
            self._inputs(of, values)
            of.translate()
            result = next(of.values[i] for i, b in enumerate(program.buffers) if b.kind is Kind.OUTPUT)
            outputs = [self._output(of, result)]
            if recording:
                outputs += [
                    self._recorded(recorded_name(buffer.key), of.recorded(slot), buffer)
                    for slot, buffer in takes.recorded.items()
                ]
                key = "value", self.lowered.graph.output
                if key in self.edits.by_key:
                    outputs.append(self._recorded(recorded_name(key), of.rows(result), self.edits.by_key[key]))
                if self.estimates:
                    small = self.estimate.measured(values)
                    outputs += [of.exact.output(x, name) for name, x in small.items()]
            function.set_outputs(outputs)
        return function

    def _estimate(self) -> Function:
        estimate = self.estimate
        specs = {input_name(name): mb.placeholder(nchw(shape)) for name, shape in self.shapes.items()}
        specs |= {name: mb.placeholder(shape) for name, shape in estimate.takes.items()}
        with Function(specs, opset_version=self.target) as function:
            exact = Builder(False)
            given = function.inputs
            found = estimate.estimated(estimate.measured(self._given(exact, given)), given)
            read = {recorded_name(key): buffer for key, buffer in self.edits.by_key.items()}
            function.set_outputs([self._recorded(name, x, read[name]) for name, x in found.items() if name in read])
        return function

    # ---- what goes in and comes out

    def _given(self, exact: Builder, given: Any) -> dict[str, Any]:
        """Returns the network's inputs by the graph's names, pictures as the network has them."""
        made = {}
        for name in self.shapes:
            x = given.get(input_name(name))
            if x is not None and input_name(name) in self.pictures:
                x = exact.sub(x=exact.mul(x=x, y=1 / 127.5), y=1.0)
            made[name] = x
        return made

    def _inputs(self, of: Translator, values: Mapping[str, Any]) -> None:
        """Puts inputs, and what is made of them, into their slots."""
        for slot, buffer in enumerate(of.program.buffers):
            if buffer.kind is Kind.INPUT:
                embedded = isinstance(buffer.key, Embedding)
                x = values[buffer.key.input if embedded else buffer.key]
                if x is not None:
                    of.values[slot] = of.embedding(buffer.key, x) if embedded else x

    def _output(self, of: Translator, x: Any) -> Any:
        exact = of.exact
        if OUTPUT in self.pictures:
            x = exact.clip(x=exact.mul(x=exact.add(x=x, y=1.0), y=127.5), alpha=0.0, beta=255.0)
        return exact.output(x, OUTPUT)

    def _recorded(self, name: str, x: Any, buffer: Buffer) -> Any:
        return Builder(self.kept(buffer) == types.fp16).output(x, name)
