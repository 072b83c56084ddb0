"""Executors of lowered networks, and the engine that records originals and recomputes edits."""

from sige_mlx.engine.changes import Change
from sige_mlx.engine.engine import DEVICES, Engine, PreparedEdit
from sige_mlx.engine.recordings import Codec, Kept, physical_memory

__all__ = ["DEVICES", "Change", "Codec", "Engine", "Kept", "PreparedEdit", "physical_memory"]
