"""Fusion turns a graph's operations into the few that store something.

Norms, modulations, activations, concatenations and resamplings store nothing: they become a part of how an operation
*reads* the values before it. Additions become a part of the convolution that *writes*: a time embedding is a vector
added to every pixel, a residual is read by the epilogue, a 1x1 shortcut is one more term of the same convolution.
Convolutions that read the same values become one where only attention reads their results.
"""

from sige_mlx.graph.fusion.forms import (
    Embedding,
    Fused,
    FusedAttention,
    FusedConv,
    FusedEmbedding,
    FusedNorm,
    Groups,
    Modulation,
    Read,
    Stored,
    Term,
    Unfused,
)
from sige_mlx.graph.fusion.fuse import fuse
from sige_mlx.graph.fusion.join import joined

__all__ = [
    "Embedding",
    "Fused",
    "FusedAttention",
    "FusedConv",
    "FusedEmbedding",
    "FusedNorm",
    "Groups",
    "Modulation",
    "Read",
    "Stored",
    "Term",
    "Unfused",
    "fuse",
    "joined",
]
