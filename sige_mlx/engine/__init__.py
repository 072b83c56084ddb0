"""Executors of lowered networks, and the engine that records originals and recomputes edits."""

from sige_mlx.engine.changes import Change
from sige_mlx.engine.engine import DEVICES, Engine, PreparedEdit
from sige_mlx.engine.recordings import physical_memory

__all__ = ["DEVICES", "Change", "Engine", "PreparedEdit", "physical_memory"]
