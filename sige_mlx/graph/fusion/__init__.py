"""Fusion: from a graph's operations to the few that store something.

Norms, modulations, activations, concatenations and resamplings store nothing: they become part of how an operation
*reads* the values before them. Additions become part of the convolution that *writes*: a time embedding is a vector
added to every pixel, a residual is read by the epilogue, a 1x1 shortcut is one more term of the same convolution.
Convolutions whose results attention reads, and that read the same themselves, become one.
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
