"""The functions of a package as programs of Core ML: a dense pass, a recording pass, and edits in so many tiles."""

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
from sige_mlx.converters.coreml.translate import Translator
from sige_mlx.engine.weights import Loader
from sige_mlx.graph import program as p
from sige_mlx.graph.fusion import Embedding
from sige_mlx.graph.lowered import Lowered
from sige_mlx.graph.program import Kind
from sige_mlx.graph.tiling import Size


def tiles_in(size: Size, tile: int, n: int = 1) -> int:
    """Returns how many tiles the planes of n images have, active or not."""
    return n * -(-size[0] // tile) * -(-size[1] // tile)


class Functions:
    """They are of one network under one policy; `half` says that recordings are kept in float16."""

    def __init__(self, lowered: Lowered, load: Loader, target: Any, half: bool):
        self.lowered, self.load, self.target = lowered, load, target
        self.kept = types.fp16 if half else types.fp32
        self.shapes = {name: lowered.graph.nodes[i].shape for name, i in lowered.graph.inputs.items()}

    @property
    def dense(self) -> Function:
        """It takes the inputs of the network and gives its output."""
        return self._function(self.lowered.dense, 0, False)

    @property
    def record(self) -> Function:
        """It also gives what edits read of the original."""
        return self._function(self.lowered.recording, 0, True)

    def edit(self, bucket: int) -> Function:
        """It computes at most `bucket` tiles of every plane."""
        return self._function(self.lowered.edit, bucket, False)

    def border_of_edits(self) -> Border:
        """Returns what edits take."""
        return border(self.lowered.edit, self.shapes)

    def _count(self, size: Size, bucket: int) -> int:
        return min(bucket, tiles_in(size, self.lowered.tile, self.lowered.batch))

    def _function(self, program: p.Program, bucket: int, recording: bool) -> Function:
        takes = border(program, self.shapes)
        specs = {input_name(name): mb.placeholder(nchw(shape)) for name, shape in takes.inputs.items()}
        if not recording:
            for buffer in takes.recorded.values():
                specs[recorded_name(buffer.key)] = mb.placeholder(recorded_shape(buffer), dtype=self.kept)
        for windows in takes.windows:
            tiles = 1 if windows.tiles is None else self._count(windows.tiles, bucket)
            specs[windows.name] = mb.placeholder(windows.shape(tiles), dtype=types.int32)
        for size in takes.images:
            specs[images_name(size)] = mb.placeholder((self._count(size, bucket),), dtype=types.int32)
        with Function(specs, opset_version=self.target) as function:
            of = Translator(self.lowered.groups, program, self.load, self.lowered.tile)
            given = function.inputs
            of.indices = {windows: given[windows.name] for windows in takes.windows}
            of.images = {size: given[images_name(size)] for size in takes.images}
            for slot, buffer in takes.recorded.items():
                if not recording:
                    of.values[slot] = _float(given[recorded_name(buffer.key)])
            for slot, buffer in enumerate(program.buffers):
                name = buffer.key.input if isinstance(buffer.key, Embedding) else buffer.key
                if buffer.kind is Kind.INPUT and name in takes.inputs:
                    x = given[input_name(name)]
                    of.values[slot] = of.embedding(buffer.key, x) if isinstance(buffer.key, Embedding) else x
            of.translate()
            result = next(of.values[i] for i, b in enumerate(program.buffers) if b.kind is Kind.OUTPUT)
            outputs = [mb.identity(x=result, name=OUTPUT)]
            if recording:
                for slot, buffer in takes.recorded.items():
                    outputs.append(self._keep(of.recorded(slot), recorded_name(buffer.key)))
                value = recorded_name(("value", self.lowered.graph.output))
                if value in {recorded_name(b.key) for b in self.border_of_edits().recorded.values()}:
                    outputs.append(self._keep(of.rows(result), value))
            function.set_outputs(outputs)
        return function

    def _keep(self, x: Any, name: str) -> Any:
        """Returns an array of the recording as an output."""
        return mb.cast(x=x, dtype="fp16", name=name) if self.kept == types.fp16 else mb.identity(x=x, name=name)


def _float(x: Any) -> Any:
    return mb.cast(x=x, dtype="fp32") if x.dtype == types.fp16 else x
