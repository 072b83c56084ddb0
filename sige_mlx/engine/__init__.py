"""Executors of lowered networks, and the engine that records originals and recomputes edits."""

from sige_mlx.engine.changes import Change
from sige_mlx.engine.engine import Engine
from sige_mlx.engine.executor import DEVICES
from sige_mlx.engine.prepared import PreparedEdit
from sige_mlx.engine.recordings import Codec, Kept, physical_memory

__all__ = ["DEVICES", "Change", "Codec", "Engine", "Kept", "PreparedEdit", "physical_memory"]
