"""Where values are, and in which forms."""

from dataclasses import dataclass, field

from sige_mlx.graph.fusion import Modulation, Read
from sige_mlx.graph.tiling import Size


@dataclass(frozen=True)
class Form:
    """What a value has gone through when it is written: normalised as channels `first` … of `norm`, modulated,
    activated. Blocks are written in every form that they are read in. Whole arrays are raw, except where a modulation
    is part of the form: such a form is called ready, for it is what is recorded, too."""

    norm: int | None = None
    first: int = 0
    mod: Modulation | None = None
    act: str | None = None

    @staticmethod
    def of(read: Read) -> "Form":
        return Form(read.norm, read.first, read.mod, read.act)

    @property
    def kept(self) -> "Form":
        """The form of the whole array behind blocks of this one."""
        return self if self.mod else RAW


RAW = Form()


@dataclass
class Stored:
    """Where a value is: whole arrays by form, or blocks by form when only tiles of `plane` were recomputed."""

    whole: dict[Form, int] = field(default_factory=dict)
    plane: Size | None = None
    blocks: dict[Form, int] = field(default_factory=dict)
