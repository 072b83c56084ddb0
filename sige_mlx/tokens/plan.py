"""What editing with FLUX.2 takes of memory, known before anything is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import mlx.core as mx

from sige_mlx.engine.recordings import Codec, physical_memory
from sige_mlx.errors import SigeError
from sige_mlx.tokens.active import TokenPlane
from sige_mlx.tokens.cost import Flux2Sizes

GB = 1e9

BITS = (16, 8, 4)
"""Of a weight; 16 are those that were published."""

TEXT_PARAMETERS = 4.02e9
"""Of the text encoder of FLUX.2-klein-4B, which is gone before the first pass."""

AUTOENCODER_BYTES = 2 * 84e6 * 4
"""Its weights, in float32, and these packed for its programs."""

ALIVE = 28
"""Planes of a layer's width that are alive at once in a pass, as measured: a fused projection of nine and its parts,
queries and keys with positions in them, what goes in and out."""

DECODED = 256 * 4
"""Bytes of a pixel in the decoder's largest planes, which are of 256 channels in float32; two are alive at once, and
less than another of sums by tile and of what is handed over."""

TEXT_TOKENS = 512


@dataclass(frozen=True)
class Plan:
    """A way to edit, and the bytes that it takes. `planes` are the tokens of the picture, as its window has them, and
    of the reference pictures."""

    sizes: Flux2Sizes
    planes: tuple[TokenPlane, ...]
    steps: int
    bits: int
    precision: Codec
    text_tokens: int = TEXT_TOKENS
    text_parameters: float = TEXT_PARAMETERS
    autoencoder: float = AUTOENCODER_BYTES
    value: int = 2
    """Bytes of a number in a pass."""

    @property
    def tokens(self) -> int:
        return self.text_tokens + sum(plane.count for plane in self.planes)

    @property
    def weights(self) -> int:
        """Of the transformer."""
        return round(self.sizes.parameters * _nbytes(self.bits))

    @property
    def recorded(self) -> int:
        """Of keys and values, before any edit."""
        return self.sizes.record_nbytes(self.tokens, self.steps, self.precision)

    @property
    def activations(self) -> int:
        """Of a pass over all tokens, and in int8 of one layer decoded. Where attention is not MLX's fused one, which is
        the GPU's, its scores are counted, in three arrays."""
        decoded = 4 * self.tokens if self.precision == "int8" else 0
        scores = 0 if mx.metal.is_available() else 3 * self.sizes.heads * self.tokens**2
        return ((ALIVE * self.tokens + decoded) * self.sizes.width + scores) * self.value

    @property
    def peak(self) -> int:
        """The most at any time: while the prompt is read, while the transformer runs, or while the picture is
        decoded. An edit of a fifth of the picture is counted; one of all of it takes as much again as the record."""
        reading = self.text_parameters * _nbytes(self.bits)
        held = self.weights + self.recorded * 1.2 + self.autoencoder
        return round(max(reading, held + max(self.activations, self.decoding)))

    @property
    def decoding(self) -> int:
        """Of decoding the picture, or encoding it or another."""
        return 3 * DECODED * max(plane.count * plane.patch**2 for plane in self.planes)

    def __str__(self) -> str:
        height, width = (side * self.planes[0].patch for side in (self.planes[0].height, self.planes[0].width))
        weights = "weights as published" if self.bits == 16 else f"q{self.bits} weights"
        return f"{width}×{height} pixels, {weights}, a record in {self.precision}"

    def others(self) -> list[Plan]:
        """The same with less memory, what costs least quality first."""
        small = (
            tuple(
                TokenPlane(min(plane.height, 512 // plane.patch), min(plane.width, 512 // plane.patch), plane.patch)
                for plane in self.planes[:1]
            )
            + self.planes[1:]
        )
        found = []
        for planes in (self.planes, small):
            for precision in dict.fromkeys((self.precision, "int8")):
                found += [
                    replace(self, planes=planes, bits=bits, precision=precision) for bits in BITS if bits <= self.bits
                ]
        return [plan for plan in dict.fromkeys(found) if plan != self]

    def fits(self, limit: int | None = None) -> bool:
        """Whether it takes no more than a limit, by default `usable_memory()`."""
        return self.peak <= (usable_memory() if limit is None else limit)

    def check(self, limit: int | None = None) -> None:
        """Raises `SigeError` unless it fits: with the numbers, and what would fit."""
        limit = usable_memory() if limit is None else limit
        if self.fits(limit):
            return
        fitting = [f"{plan} ({plan.peak / GB:.1f} GB)" for plan in self.others() if plan.fits(limit)]
        would = f"what would fit: {'; '.join(fitting[:3])}" if fitting else "nothing smaller would fit either"
        raise SigeError(
            f"{self} would take {self.peak / GB:.1f} GB ({self.weights / GB:.1f} of weights, {self.recorded / GB:.1f}"
            f" of keys and values, {self.activations / GB:.1f} of a pass), and {limit / GB:.1f} GB may be used; {would}"
        )


def _nbytes(bits: int) -> float:
    """Of a weight: quantised ones have a scale and a bias in 16 bits each for 64 of them."""
    return bits / 8 if bits == 16 else (bits + 32 / 64) / 8


def usable_memory() -> int:
    """Bytes that networks may take: what the GPU recommends, else two thirds of the machine's."""
    if mx.metal.is_available():
        return int(mx.device_info()["max_recommended_working_set_size"])
    return physical_memory() * 2 // 3


def planes_of(
    size: tuple[int, int], references: Sequence[tuple[int, int]] = (), patch: int = 16
) -> tuple[TokenPlane, ...]:
    """Tokens of pictures of these sizes, (H, W), whose sides are multiples of a token's."""
    return tuple(TokenPlane(height // patch, width // patch, patch) for height, width in (size, *references))
