"""What an edit of a picture is: the picture that was painted into, and the region that is rendered anew."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sige_mlx.arguments import real, whole
from sige_mlx.editing.images import Source
from sige_mlx.graph.policy import EditPolicy
from sige_mlx.masks import difference_mask, dilate, user_mask
from sige_mlx.masks.difference import LEVELS, Mask
from sige_mlx.pictures import ImageLike, Size

ROUNDED = 3 / LEVELS
"""Of [-1, 1]: what 8 bits may lose on the way from one colour profile to another, which is no edit."""

MANY = 0.2
"""Share of the pixels that must differ for an edit to be suspected of being noise."""

NEARLY_ALL = 0.9
"""Share of the pixels that is worth a word whatever it is."""

SLIGHT = 16
"""Levels of 255 by which half of the pixels differ at most when it is noise."""

CLEAR = 64
"""Levels of 255 by which what was painted on purpose is thought to differ."""

TOLERANCES = (4, 8, 12, 16, 24, 32, 48)
"""In levels of 255: one of them is offered."""


BOTH = "the original is {}, and both must have one size"
"""What is wrong with a picture of another size than the original."""


class Painted(NamedTuple):
    """A picture that was painted into."""

    source: Source
    mask: Mask
    """(H, W): as drawn, else where it differs from the original."""
    grow: int
    """By so many of the network's pixels around the mask more is rendered anew."""
    notes: tuple[str, ...]
    """What a user should know of it, a sentence each."""

    @property
    def region(self) -> Mask:
        """(H, W): what is rendered anew, where the network's pixels are the picture's."""
        return dilate(self.mask, self.grow)


class PictureReader:
    """How pictures of `size` (H, W) are read that were painted into. Pixels that differ by more than `eps` (of [-1, 1])
    in any channel are edited, and `dilation` pixels around them; what is None is as the policy has it. Raises
    `SigeError` for numbers out of range."""

    def __init__(self, policy: EditPolicy, size: Size, eps: float | None = None, dilation: int | None = None):
        self.size = size
        self.eps = real(policy.eps if eps is None else eps, "eps", 0, 2)
        self.dilation = whole(policy.dilation if dilation is None else dilation, "the dilation", 0)

    def original(self, given: ImageLike | Source, words: str = "") -> Source:
        """The picture before any edit. Raises `SigeError` for another size, in a sentence that ends in `words`, and for
        what is no picture."""
        return Source.of(given, self.size, "the original", words=words)

    def edited(self, given: ImageLike | Source, original: Source) -> Source:
        """A copy of the original that was painted into. Raises `SigeError` for another size, and for what is no
        picture."""
        return Source.of(given, self.size, "the edited image", original, BOTH)

    def read(self, original: Source, edited: ImageLike | Source, mask: ImageLike | None) -> Painted:
        """An edit: where `mask` says as drawn, else where the pictures differ, grown by the dilation. Raises
        `SigeError` for pictures and masks of another size, and for what is none."""
        source = self.edited(edited, original)
        notes = (*original.notes, *source.notes)
        if mask is not None:
            return Painted(source, user_mask(mask, self.size), 0, notes)
        alike = original.own.alike(source.own)
        differs = difference_mask(original.pixels, source.pixels, self.eps if alike else max(self.eps, ROUNDED))
        if alike and original.own.profile:
            differs |= difference_mask(original.own.rgb, source.own.rgb, self.eps)  # colours that sRGB has not
        if hint := self._noise(original, source, differs):
            notes += (hint,)
        return Painted(source, differs, self.dilation, notes)

    def _noise(self, original: Source, edited: Source, differs: Mask) -> str:
        """What to say of an edit that is everywhere because the file changed every pixel a little; else nothing."""
        if (share := float(differs.mean())) < MANY:
            return ""
        levels = np.abs(original.pixels.astype(np.int16) - edited.pixels).max(-1)
        usual = int(np.median(levels[differs]))
        if usual > SLIGHT and not edited.lossy:
            told = f"{edited.name} differs from the original in {share:.0%} of its pixels, so all of that is rendered"
            return f"{told}: if less was painted, a mask of it keeps the rest" if share > NEARLY_ALL else ""
        clear = float((levels > CLEAR).mean())
        tolerance = next((t for t in TOLERANCES if self.eps * LEVELS < t and (levels > t).mean() < clear + 0.02), None)
        offered = f"a tolerance of {tolerance} levels (eps {tolerance / LEVELS:.3f})" if tolerance else "a PNG file"
        because = f"{edited.lossy} changes every pixel" if edited.lossy else "such is noise, not paint"
        return (
            f"{edited.name} differs from the original in {share:.0%} of its pixels, in most by {usual} of 255 levels or"
            f" less ({because}), so all of that is rendered: a mask of what was painted, or {offered}, keeps the rest"
        )
