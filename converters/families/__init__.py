"""How checkpoints lay out the parameters of a family's networks: a module of its name, with its `FAMILY`."""

from importlib import import_module

from sige_mlx.converters.families.family import Family, Layout, Shape, Shapes, Source
from sige_mlx.converters.families.recognise import Match, recognise, under
from sige_mlx.families import FAMILIES

LAYOUTS: tuple[Family, ...] = tuple(import_module(f"{__name__}.{name}").FAMILY for name in FAMILIES)

__all__ = ["LAYOUTS", "Family", "Layout", "Match", "Shape", "Shapes", "Source", "recognise", "under"]
