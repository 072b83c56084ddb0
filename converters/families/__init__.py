"""The networks a checkpoint can hold. To add one: write its file beside `ddpm.py` and list its `Family` here."""

from sige_mlx.converters.families import ddpm
from sige_mlx.converters.families.family import Family, Shape, Shapes, Source
from sige_mlx.converters.families.recognise import Match, recognise

FAMILIES: tuple[Family, ...] = (ddpm.FAMILY,)

__all__ = ["FAMILIES", "Family", "Match", "Shape", "Shapes", "Source", "recognise"]
