"""PyTorch checkpoints without PyTorch: `read` a file, find its `state_dict`. Nothing in the file is ever executed."""

from sige_mlx.converters.checkpoint.errors import CheckpointError
from sige_mlx.converters.checkpoint.objects import Dict, Global, Placeholder
from sige_mlx.converters.checkpoint.reader import Checkpoint, read
from sige_mlx.converters.checkpoint.state_dict import StateDict, state_dict
from sige_mlx.converters.checkpoint.tensor import Storage, Tensor

__all__ = [
    "Checkpoint",
    "CheckpointError",
    "Dict",
    "Global",
    "Placeholder",
    "StateDict",
    "Storage",
    "Tensor",
    "read",
    "state_dict",
]
