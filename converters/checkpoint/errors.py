"""The exception of everything that reads a checkpoint."""

from sige_mlx.errors import SigeError


class CheckpointError(SigeError):
    """The file is not a checkpoint this package can read, or not one of a network it knows."""
