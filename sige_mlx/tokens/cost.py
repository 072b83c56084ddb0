"""What a pass of FLUX.2's transformer takes in multiplications and what a record of it takes in bytes, by its sizes."""

from __future__ import annotations

from dataclasses import dataclass

from sige_mlx.engine.recordings import Codec
from sige_mlx.tokens.active import ActiveTokens
from sige_mlx.tokens.stored import row_nbytes


@dataclass(frozen=True)
class Flux2Sizes:
    """Sizes of the transformer; those of FLUX.2-klein-4B if nothing is said."""

    double_layers: int = 5
    single_layers: int = 20
    heads: int = 24
    head_dim: int = 128
    channels: int = 128
    text_width: int = 7680
    time_channels: int = 256
    mlp_ratio: float = 3.0

    @property
    def width(self) -> int:
        return self.heads * self.head_dim

    @property
    def parameters(self) -> int:
        """Weights of the transformer."""
        square, mlp = self.width**2, self.mlp_ratio
        layers = self.double_layers * 2 * (4 + 3 * mlp) + self.single_layers * (4 + 3 * mlp)
        ends = self.width * (2 * self.channels + self.text_width + self.time_channels)
        modulation = square * (1 + 3 * 5 + 2)
        norms = (4 * self.double_layers + 2 * self.single_layers) * self.head_dim
        return round(layers * square + ends + modulation + norms)

    def macs(self, active: ActiveTokens, recorded: bool = True) -> int:
        """Multiplications with additions of one pass over active tokens; all that attention computes count, also the
        rows that it masks out. Without a record it is the dense pass of all tokens.
        """
        total = active.text_count + active.image_count
        text, image = (active.text.size, active.image.size) if recorded else (active.text_count, active.image_count)
        computed = text + image
        read = total if not recorded or active.complete else total + computed
        square, mlp = self.width**2, self.mlp_ratio
        attention = 2 * computed * read * self.width
        # Queries, keys, values and the output; SwiGLU has two matrices up and one down.
        double = computed * square * (4 + 3 * mlp) + attention
        single = computed * square * (4 + 3 * mlp) + attention
        embedding = self.width * (image * 2 * self.channels + text * self.text_width)
        # Of the time, once a pass: two layers; shift, scale and gate of 2 + 2 + 1 places; shift and scale at the end.
        time = self.time_channels * self.width + square * (1 + 3 * 5 + 2)
        return round(self.double_layers * double + self.single_layers * single + embedding + time)

    def record_nbytes(self, tokens: int, steps: int, precision: Codec) -> int:
        """Bytes of the keys and values of so many text and image tokens in all layers of so many steps."""
        layers = self.double_layers + self.single_layers
        return steps * layers * tokens * row_nbytes(precision, self.heads, self.head_dim)
