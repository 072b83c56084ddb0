"""What a model and an edit cost, as text and as JSON."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sige_mlx import families
from sige_mlx.cli import terminal
from sige_mlx.cli.figures import steps_in_words
from sige_mlx.cli.mask_picture import mask_picture
from sige_mlx.engine import Codec
from sige_mlx.engine.native.record import CODECS, Layout
from sige_mlx.errors import SigeError
from sige_mlx.graph.cost import Cost, OpCost, dense_cost, edit_cost
from sige_mlx.graph.lowered import Lowered
from sige_mlx.graph.tiling import Size, Tiling
from sige_mlx.label_classes import Classes


@dataclass(frozen=True)
class Layer:
    """The ops of one layer together, per step."""

    name: str
    plane: Size | None
    channels: tuple[int, int]
    macs: int
    nbytes: int


@dataclass(frozen=True)
class Described:
    """A model, and an edit of it if there is one, with `steps` sampler steps."""

    name: str
    family: str
    config: Any
    lowered: Lowered
    edit: Tiling | None
    steps: int
    classes: Classes = ()

    @cached_property
    def cache(self) -> dict[Codec, int]:
        """What recording one step keeps on the CPU, in bytes by how planes are kept. A network that no program runs is
        recorded by the reference, as it is."""
        try:
            return {codec: Layout(self.lowered, codec).nbytes for codec in CODECS}
        except SigeError:
            return {"float32": self.dense_cost.recorded_nbytes}

    @cached_property
    def dense_cost(self) -> Cost:
        return dense_cost(self.lowered)

    @cached_property
    def edit_cost(self) -> Cost | None:
        return edit_cost(self.lowered, self.edit) if self.edit else None

    @property
    def parameters(self) -> int:
        shapes = {
            node.params[key]: shape for node in self.lowered.graph.nodes for key, shape in node.param_shapes.items()
        }
        return sum(math.prod(shape) for shape in shapes.values())

    @property
    def tiles(self) -> dict[Size, tuple[int, int]]:
        """Active and all tiles by plane size, the largest first."""
        if self.edit is None:
            return {}
        levels = {size: self.edit.at(size) for size in self.lowered.planes}
        return {size: (len(level), level.grid.size) for size, level in levels.items()}

    def as_json(self, layers: bool) -> dict[str, Any]:
        """Everything, in MACs and bytes of one step where nothing else is said."""
        dense, edit = self.dense_cost, self.edit_cost
        numbers: dict[str, Any] = {
            "model": self.name,
            "family": self.family,
            "image": list(self.lowered.image_size),
            "parameters": self.parameters,
            "weight_bytes": dense.weight_nbytes,
            "macs": dense.macs,
            "bytes_moved": dense.nbytes,
            "cache_bytes_per_step": self.cache["float32"],
            "steps": self.steps,
            "cache_bytes": self.cache["float32"] * self.steps,
            "cache_bytes_per_step_by_codec": self.cache,
        }
        if self.edit and edit:
            numbers["edit"] = {
                "edited": self.edit.edited,
                "macs": edit.macs,
                "bytes_moved": edit.nbytes,
                "tiles": {f"{h}x{w}": list(counts) for (h, w), counts in self.tiles.items()},
            }
        if families.FAMILIES[self.family].task == "labels":
            named = [{"id": i, "name": name, "colour": list(colour)} for i, (name, colour) in enumerate(self.classes)]
            numbers["classes"] = named or [{"id": i} for i in range(self.config.input_nc)]
        if layers:
            edited = _layers(edit) if edit else {}
            numbers["layers"] = [_layer_json(layer, edited, edit is not None) for layer in _layers(dense).values()]
        return numbers

    def print(self, layers: bool) -> None:
        """The summary, the edit drawn, and with `layers` a line for each."""
        dense, edit = self.dense_cost, self.edit_cost
        steps = steps_in_words(self.steps)
        (h, w), cache = self.lowered.image_size, dict(self.cache)
        exact = cache.pop("float32")
        others = "".join(f", {nbytes / 2**20:.0f} MiB in {codec}" for codec, nbytes in cache.items())
        terminal.pairs(
            [
                ("model", f"{self.name} ({self.family}, {w} × {h} pixels)"),
                ("parameters", f"{self.parameters / 1e6:.1f} million, {dense.weight_nbytes / 2**20:.0f} MiB in memory"),
                ("cache", f"{exact / 2**20:.0f} MiB a step, {exact * self.steps / 2**30:.2f} GiB for {steps}{others}"),
            ]
        )
        terminal.say()
        names = ["GMACs a step", "MB moved a step"]
        wholes = [(dense.macs, 1e9), (dense.nbytes, 1e6)]
        if not self.edit or not edit:
            terminal.table(["", "dense"], [[n, f"{v / unit:.2f}"] for n, (v, unit) in zip(names, wholes, strict=True)])
        else:
            pixels = self.edit.mask[0].size
            edited = int(self.edit.mask[0].sum())
            rows = [[f"edited pixels ({self.edit.edited:.2%})", f"{edited}", f"{pixels}", _times(pixels, edited)]]
            for (th, tw), (active, count) in self.tiles.items():
                rows.append([f"tiles at {tw} × {th}", f"{active}", f"{count}", _times(count, active)])
            for name, part, (whole, unit) in zip(names, (edit.macs, edit.nbytes), wholes, strict=True):
                rows.append([name, f"{part / unit:.2f}", f"{whole / unit:.2f}", _times(whole, part)])
            terminal.table(["", "the edit", "everything", "times less"], rows)
            self._draw(self.edit)
        if families.FAMILIES[self.family].task == "labels":
            self._print_classes(self.config.input_nc)
        if layers:
            self._print_layers()

    def _draw(self, edit: Tiling) -> None:
        console = terminal.console()
        tiles = edit.at(self.lowered.image_size).pixels()[0]
        console.print()
        colour = console.color_system is not None and not console.no_color
        console.print(mask_picture(edit.mask[0], tiles, colour))

    def _print_classes(self, count: int) -> None:
        terminal.say()
        if not self.classes:
            terminal.say(f"classes 0 to {count - 1}, whose names and colours nobody told: give label maps in grey")
            return
        rows = [[name, str(i), ", ".join(map(str, colour))] for i, (name, colour) in enumerate(self.classes)]
        terminal.table(["class", "id", "red, green, blue"], rows)

    def _print_layers(self) -> None:
        edited = _layers(self.edit_cost) if self.edit_cost else {}
        rows = []
        for layer in _layers(self.dense_cost).values():
            plane = f"{layer.plane[1]}×{layer.plane[0]}" if layer.plane else ""
            row = [layer.name, plane, f"{layer.channels[0]}→{layer.channels[1]}", *_cells(layer)]
            if self.edit:
                row += _cells(edited[layer.name]) if layer.name in edited else ["", ""]
            rows.append(row)
        terminal.say()
        of_edit = ["MMACs, edit", "MB, edit"] if self.edit else []
        terminal.table(["layer", "writes", "channels", "MMACs", "MB", *of_edit], rows)


def _layers(cost: Cost) -> dict[str, Layer]:
    """The ops of each layer added up, by its name, in order; plane and channels are those of the op that multiplies."""
    ops: dict[str, list[OpCost]] = {}
    for op in cost.ops:
        ops.setdefault(op.layer, []).append(op)
    layers = {}
    for name, group in ops.items():
        main = max(group, key=lambda op: op.macs)
        macs, nbytes = sum(op.macs for op in group), sum(op.nbytes for op in group)
        layers[name] = Layer(name, main.plane, main.channels, macs, nbytes)
    return layers


def _layer_json(layer: Layer, edited: dict[str, Layer], has_edit: bool) -> dict[str, Any]:
    numbers: dict[str, Any] = {"name": layer.name, "macs": layer.macs, "bytes_moved": layer.nbytes}
    if has_edit:
        part = edited.get(layer.name)
        numbers |= {"edit_macs": part.macs if part else 0, "edit_bytes_moved": part.nbytes if part else 0}
    return numbers


def _cells(layer: Layer) -> list[str]:
    return [f"{layer.macs / 1e6:.1f}", f"{layer.nbytes / 1e6:.2f}"]


def _times(whole: float, part: float) -> str:
    return f"{whole / part:.1f}×" if part else ""
