"""The networks a checkpoint can hold. To add one: write its file beside `ddpm.py` and list its `Family` here."""

from sige_mlx.converters.families import ddpm, pd, resnet_generator, spade, sub_mobile_spade
from sige_mlx.converters.families.family import Family, Layout, Shape, Shapes, Source
from sige_mlx.converters.families.recognise import Match, recognise

FAMILIES: tuple[Family, ...] = (
    ddpm.FAMILY,
    pd.FAMILY,
    spade.FAMILY,
    sub_mobile_spade.FAMILY,
    resnet_generator.FAMILY,
)

__all__ = ["FAMILIES", "Family", "Layout", "Match", "Shape", "Shapes", "Source", "recognise"]
